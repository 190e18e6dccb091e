"""Other programs that print a token: EarthScope's `es`, Debian's oidc-agent, a line of Python."""

import json
import subprocess
import sys
import time

from stage import OUT, REPO, install, say, token

PINS = REPO / "tests/consumers/requirements.txt"
READS = "import json, sys; print(json.load(open(sys.argv[1]))['access_token'])"


def es():
    """EarthScope's command line from PyPI, in the version of tests/consumers."""
    venv = OUT / "venv"
    if not (venv / "bin/es").exists():
        say("installing earthscope-cli from PyPI")
        if subprocess.run([sys.executable, "-m", "ensurepip", "--version"], capture_output=True, check=False).returncode:
            install("python3-venv")
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        pip = [venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--constraint", PINS, "earthscope-cli"], check=True)
    return [str(venv / "bin/es"), "user", "get-access-token"]


def python(home):
    """A script that reads the token from its file."""
    return ["/usr/bin/python3", "-c", READS, str(home.path / ".earthscope/default/tokens.json")]


class OidcAgent:
    """Debian's oidc-agent with a loaded account of the issuer in issuer.py."""

    def __init__(self, home):
        self._home, self._started = home, []
        home.env["OIDC_SOCK"] = str(home.path / "oidc-agent.sock")

    def __enter__(self):
        try:
            self._load()
        except BaseException:
            self.__exit__()
            raise
        return ["/usr/bin/oidc-token", "bench"]

    def _load(self):
        issuer = self._start(sys.executable, "-B", REPO / "tests/bench/issuer.py", token())
        url = json.loads(issuer.stdout.readline())["url"]
        (self._home.path / ".config/oidc-agent").mkdir(parents=True)
        # setpriv ends the agent with this process; the issuer ends with its standard input.
        agent = ["/usr/bin/oidc-agent", "--console", "--socket-path", self._home.env["OIDC_SOCK"]]
        self.agent = self._start("/usr/bin/setpriv", "--pdeathsig", "TERM", *agent)
        wait_for(self._home.path / "oidc-agent.sock")
        account = ["--issuer", url, "--client-id", "bench", "--client-secret", "bench", "--rt", "bench"]
        answers = ["--scope", "openid offline_access", "--pw-cmd", "echo bench", "--prompt", "none", "--confirm-yes"]
        self._home.run(["/usr/bin/oidc-gen", "bench", *account, *answers], timeout=30)

    def memory_kib(self, field):
        """Returns the memory of the agent: `VmHWM` (peak) or `VmRSS`."""
        with open(f"/proc/{self.agent.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(f"{field}:"))

    def _start(self, *words):
        pipe = subprocess.PIPE
        pipes = {"stdin": pipe, "stdout": pipe, "stderr": subprocess.DEVNULL, "text": True}
        process = subprocess.Popen(list(map(str, words)), env=self._home.env, cwd=self._home.path, **pipes)
        self._started.append(process)
        return process

    def __exit__(self, *_):
        for process in reversed(self._started):
            process.terminate()
        for process in self._started:
            process.wait()


def wait_for(path):
    """Waits until this file exists."""
    ends = time.monotonic() + 30
    while not path.exists():
        if time.monotonic() > ends:
            raise SystemExit(f"{path.name} did not appear")
        time.sleep(0.01)
