"""Shared by the consumers' tests: a home folder for each case, the fake servers, and the table at the end."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass

BROKER = os.environ["CONSUMERS_BROKER"]
SERVICES = os.environ["CONSUMERS_SERVICES"]
VENV = pathlib.Path(sys.prefix)
MARK = "KANARIE"
"""The mark in each secret of the fake servers."""


class NotRun(Exception):
    """A program is not installed, and cannot be."""


def need(program):
    """Returns the path of a program, or skips the case."""
    found = shutil.which(program, path=f"{VENV}/bin:{os.environ['PATH']}")
    if not found:
        raise NotRun(f"{program} is not installed")
    return found


@dataclass
class Ended:
    """The result of a program."""

    words: list
    code: int
    out: str
    err: str

    def ends(self, code=0):
        output = f"stdout: {self.out.strip()[-1500:]}\nstderr: {self.err.strip()[-1500:]}"
        assert self.code == code, f"{' '.join(map(str, self.words))[:200]}: exit {self.code}, not {code}\n{output}"
        return self

    @property
    def line(self):
        """The output, which must be one line."""
        self.ends()
        assert self.out.endswith("\n") and self.out.count("\n") == 1, f"not one line: {self.out[:300]!r}"
        return self.out[:-1]


class Services:
    """The fake servers of tests/consumers/services.rs, as a process."""

    def __init__(self, *flags):
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([SERVICES, *flags], stdin=pipe, stdout=pipe, text=True)
        self.urls = json.loads(self._process.stdout.readline())

    def counts(self):
        """Returns the request counts of the fake EarthScope."""
        print(file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(10)


class Home:
    """An empty home folder, with `broker` and the programs of the venv in PATH, and an environment of its own."""

    def __init__(self, config="", **env):
        self._folder = tempfile.TemporaryDirectory(prefix="consumers-", ignore_cleanup_errors=True)
        self.path = pathlib.Path(self._folder.name)
        tools = self.path / ".local/bin"
        tools.mkdir(parents=True)
        (tools / "broker").symlink_to(BROKER)
        self.env = {
            "HOME": str(self.path),
            "PATH": f"{tools}:{VENV}/bin:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            # rustup looks for its toolchains in the home folder.
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(pathlib.Path.home() / ".rustup")),
            **env,
        }
        self.write(".config/broker/providers.toml", config, 0o600)

    def write(self, path, text, mode=0o644):
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def start(self, *words, env=None, input=None, **more):
        """Starts a program. `end` returns its output."""
        pipe = subprocess.PIPE
        stdin = subprocess.DEVNULL if input is None else pipe
        env = {**self.env, **(env or {})}
        return subprocess.Popen(
            words, env=env, cwd=self.path, stdin=stdin, stdout=pipe, stderr=pipe, text=True, **more
        )

    def run(self, *words, input=None, timeout=120, **more):
        return end(self.start(*words, input=input, **more), input, timeout)

    def broker(self, *words, **more):
        return self.run("broker", *words, **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._folder.cleanup()


class EsCrowd:
    """Many `es` at once: see es_crowd.py."""

    def __init__(self, user):
        pipe, words = subprocess.PIPE, [f"{VENV}/bin/python", f"{sys.path[0]}/es_crowd.py"]
        self._process = subprocess.Popen(words, env=user.env, stdin=pipe, stdout=pipe, text=True)

    def start(self, many, *words):
        print(json.dumps([words, many]), file=self._process.stdin, flush=True)

    def tokens(self):
        ended = json.loads(self._process.stdout.readline())
        assert all(code == 0 for code, _ in ended), ended
        return [text.strip() for _, text in ended]

    def token(self):
        self.start(1, "user", "get-access-token")
        return self.tokens()[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(60)


def end(process, input=None, timeout=120):
    """Waits for a started program. A broker's stderr must contain no secret."""
    out, err = process.communicate(input, timeout=timeout)
    ended = Ended(process.args, process.returncode, out, err)
    if ended.words[0] == "broker":
        assert MARK not in err, f"a secret is in stderr of {ended.words}"
    return ended


def with_claims(token, **changed):
    """Returns the JWT with changed claims (None removes one), for tools that do not check the signature."""
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims = {name: value for name, value in {**claims, **changed}.items() if value is not None}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{payload}.{signature}"


class Cases:
    """The cases of a script. The command line can select some."""

    def __init__(self):
        self._all = []

    def case(self, name, about):
        def add(function):
            self._all.append((name, about, function))
            return function

        return add

    def names(self):
        return [name for name, _, _ in self._all]

    def run(self, title):
        wanted = set(sys.argv[1:])
        if wanted - set(self.names()):
            sys.exit(f"unknown case; cases: {', '.join(self.names())}")
        rows = [self._one(*row) for row in self._all if not wanted or row[0] in wanted]
        print(f"\n{title}")
        for name, about, result, why, seconds in rows:
            print(f"  {result:7} {name:21} {seconds:6.1f} s  {about}{f' ({why})' if why else ''}")
        tally = [result for _, _, result, _, _ in rows]
        print("  " + ", ".join(f"{tally.count(result)} {result}" for result in ("PASS", "FAIL", "NOT RUN")), flush=True)
        sys.exit(1 if "FAIL" in tally else 0)

    @staticmethod
    def _one(name, about, function):
        began, result, why = time.monotonic(), "PASS", ""
        try:
            function()
        except NotRun as reason:
            result, why = "NOT RUN", str(reason)
        except Exception as error:  # noqa: BLE001 - the other cases run anyway
            result = "FAIL"
            message = str(error) if isinstance(error, AssertionError) and str(error) else traceback.format_exc()
            print(f"-- {name}\n{message}", flush=True)
        print(f"{result} {name}", flush=True)
        return name, about, result, why, time.monotonic() - began
