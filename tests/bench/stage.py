"""What is measured, and where: the release binary, a home of its own with logins that are held, and what is started."""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

REPO = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target")).absolute()
OUT = TARGET / "bench"

# As far ahead as no run of this will be; fixed, so that the same bytes are read in every run.
ISSUED, EXPIRES = "2026-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
CLIENT_ID, AUDIENCE = "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0", "https://api.earthscope.org"
CLAIMS = {"iss": "https://login.earthscope.org/", "sub": "auth0|5f1e", "aud": AUDIENCE, "azp": CLIENT_ID}
REFRESH_TOKEN = "a-refresh-token"


def say(*words):
    """For people; stdout is the table."""
    print(*words, file=sys.stderr, flush=True)


def end_on_signals():
    """A signal ends the run as an exception, so that whatever was started is stopped and removed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def need(**packages):
    """Installs the Debian packages of the programs that are not here: `program=package`."""
    missing = [package for program, package in packages.items() if not shutil.which(program.replace("_", "-"))]
    if missing:
        install(*missing)


def install(*packages):
    say("installing", *packages)
    asked = ["apt-get", "install", "-qqy", "--no-install-recommends", *packages]
    for words in (["apt-get", "update", "-qq"], asked):
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def broker():
    """The release binary, built unless `BENCH_BROKER` names one that is there."""
    if named := os.environ.get("BENCH_BROKER"):
        return pathlib.Path(named).absolute()
    cargo("build", "--release", "--quiet", "--locked", "--package", "broker-cli")
    return TARGET / "release/broker"


def cargo(*words, target=TARGET, **more):
    env = {**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_TERM_COLOR": "never"}
    return subprocess.run(["cargo", *words], cwd=REPO, env=env, check=True, **more)


def hello():
    """Rust's hello world, built as the broker is."""
    OUT.mkdir(parents=True, exist_ok=True)
    source, binary = OUT / "hello.rs", OUT / "hello"
    source.write_text('fn main() {\n    println!("hello");\n}\n')
    flags = ["-O", "-C", "strip=symbols", "-C", "panic=abort", "-C", "codegen-units=1"]
    subprocess.run(["rustc", *flags, "-o", binary, source], check=True)
    return binary


def token(name=""):
    """An access token as EarthScope's are, in form and length; good until 2100. The same for the same name."""
    part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=").decode()  # noqa: E731
    claims = {**CLAIMS, "iat": 1767225600, "exp": 4102444800, "scope": "offline_access", "jti": name}
    head = {"alg": "RS256", "typ": "JWT", "kid": "bench"}
    signature = b"".join(hashlib.sha256(f"{name}{nth}".encode()).digest() for nth in range(8))
    return ".".join([*(part(json.dumps(each).encode()) for each in (head, claims)), part(signature)])


def held(secret, scope=None):
    """A token as records have it."""
    scope = {} if scope is None else {"scope": scope}
    return {"secret": secret, "token_type": "Bearer", **scope, "issued_at": ISSUED, "expires_at": EXPIRES}


def record(provider, tokens, **more):
    """A record as a login at EarthScope leaves it."""
    issuer = {"kind": "earthscope", "flow": "device_code", "endpoint": "https://login.earthscope.org/oauth/token"}
    issuer |= {"client_id": CLIENT_ID, "audience": AUDIENCE}
    grant = {"secret": REFRESH_TOKEN, "issued_at": ISSUED}
    named = {"version": 1, "provider": provider, "revision": 1, "issuer": issuer, "account": CLAIMS["sub"]}
    return {**named, "grant": grant, "tokens": tokens, **more}


class Home:
    """A home that is gone at the end, and the environment that everything measured has: no more than this."""

    def __init__(self):
        # The length of the path is part of what a call costs: not that of whoever runs this.
        self._folder = tempfile.TemporaryDirectory(prefix="broker-bench-", dir="/tmp", ignore_cleanup_errors=True)
        self.path = pathlib.Path(self._folder.name)
        self.env = {"HOME": str(self.path), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._folder.cleanup()

    def write(self, path, text):
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)
        return file

    def write_json(self, path, value):
        return self.write(path, json.dumps(value, indent=2))

    def log_in(self):
        """What `broker login earthscope` leaves, with nothing configured: the shared login, and the record."""
        tokens = {"access_token": token(), "refresh_token": REFRESH_TOKEN}
        file = self.write_json(".earthscope/default/tokens.json", tokens)
        mark = hashlib.sha256(b"a shared login\0" + REFRESH_TOKEN.encode()).hexdigest()[:16]
        more = {"shared": {"path": str(file), "grant_mark": mark}, "grant": {"secret": "", "issued_at": ISSUED}}
        self.keep(record("earthscope", {"": held(token(), "offline_access")}, **more))

    def keep(self, record, state=".local/state/broker"):
        return self.write_json(f"{state}/{record['provider']}.json", record)

    def run(self, words, **more):
        """Runs a program to its end, and gives what it printed."""
        done = subprocess.run(
            words, env=self.env, cwd=self.path, stdin=subprocess.DEVNULL, capture_output=True, text=True, **more
        )
        if done.returncode:
            raise SystemExit(f"{words[:2]} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def prints(self, words, wanted):
        """Checks that a program prints this token, and no other."""
        if self.run(words).strip() != wanted:
            raise SystemExit(f"{words[:2]} did not print the held token")
