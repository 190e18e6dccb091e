"""The release binary, a home folder with stored logins, and programs for comparison."""

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

# Fixed, so that every run reads the same bytes.
ISSUED, EXPIRES = "2026-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
CLIENT_ID, AUDIENCE = "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0", "https://api.earthscope.org"
CLAIMS = {"iss": "https://login.earthscope.org/", "sub": "auth0|5f1e", "aud": AUDIENCE, "azp": CLIENT_ID}
REFRESH_TOKEN = "a-refresh-token"


def say(*words):
    """Prints progress to stderr; stdout is the table."""
    print(*words, file=sys.stderr, flush=True)


def end_on_signals():
    """Turns signals into exceptions, so that started programs are stopped and files removed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def need(**packages):
    """Installs the Debian packages of missing programs: `program=package`."""
    missing = [package for program, package in packages.items() if not shutil.which(program.replace("_", "-"))]
    if missing:
        install(*missing)


def install(*packages):
    say("installing", *packages)
    asked = ["apt-get", "install", "-qqy", "--no-install-recommends", *packages]
    for words in (["apt-get", "update", "-qq"], asked):
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def broker():
    """Returns the release binary: `BENCH_BROKER`, or a new build."""
    if named := os.environ.get("BENCH_BROKER"):
        return pathlib.Path(named).absolute()
    cargo("build", "--release", "--quiet", "--locked", "--package", "earthbroker-cli")
    return TARGET / "release/broker"


def cargo(*words, target=TARGET, **more):
    env = {**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_TERM_COLOR": "never"}
    return subprocess.run(["cargo", *words], cwd=REPO, env=env, check=True, **more)


def hello():
    """Builds Rust's hello world with the flags of the broker."""
    OUT.mkdir(parents=True, exist_ok=True)
    source, binary = OUT / "hello.rs", OUT / "hello"
    source.write_text('fn main() {\n    println!("hello");\n}\n')
    flags = ["-O", "-C", "strip=symbols", "-C", "panic=abort", "-C", "codegen-units=1"]
    subprocess.run(["rustc", *flags, "-o", binary, source], check=True)
    return binary


def token(name=""):
    """Returns an access token like EarthScope's, valid until 2100. The name determines it."""
    claims = {**CLAIMS, "iat": 1767225600, "exp": 4102444800, "scope": "offline_access", "jti": name}
    head = {"alg": "RS256", "typ": "JWT", "kid": "bench"}
    signature = b"".join(hashlib.sha256(f"{name}{nth}".encode()).digest() for nth in range(8))
    return ".".join([*(_base64(json.dumps(each).encode()) for each in (head, claims)), _base64(signature)])


def _base64(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def stored(secret, scope=None):
    """Returns a token in the format of records."""
    scope = {} if scope is None else {"scope": scope}
    return {"secret": secret, "token_type": "Bearer", **scope, "issued_at": ISSUED, "expires_at": EXPIRES}


def record(provider, tokens, **more):
    """Returns a record as a login at EarthScope writes it."""
    issuer = {"kind": "earthscope", "flow": "device_code", "endpoint": "https://login.earthscope.org/oauth/token"}
    issuer |= {"client_id": CLIENT_ID, "audience": AUDIENCE}
    grant = {"secret": REFRESH_TOKEN, "issued_at": ISSUED}
    named = {"version": 1, "provider": provider, "revision": 1, "issuer": issuer, "account": CLAIMS["sub"]}
    return {**named, "grant": grant, "tokens": tokens, **more}


class Home:
    """A temporary home folder, and the whole environment of measured programs."""

    def __init__(self):
        # The length of the path affects the result, so it does not depend on TMPDIR.
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
        """Writes the files of `broker login earthscope` without configuration: the login file and the record."""
        tokens = {"access_token": token(), "refresh_token": REFRESH_TOKEN}
        file = self.write_json(".earthscope/default/tokens.json", tokens)
        fingerprint = hashlib.sha256(b"a shared login\0" + REFRESH_TOKEN.encode()).hexdigest()[:16]
        more = {"shared": {"path": str(file), "grant_mark": fingerprint}, "grant": {"secret": "", "issued_at": ISSUED}}
        self.keep(record("earthscope", {"": stored(token(), "offline_access")}, **more))

    def keep(self, record, state=".local/state/broker"):
        return self.write_json(f"{state}/{record['provider']}.json", record)

    def run(self, words, **more):
        """Runs a program and returns its output."""
        done = subprocess.run(
            words,
            env=self.env,
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **more,
        )
        if done.returncode:
            raise SystemExit(f"{words[:2]} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def prints(self, words, wanted):
        """Checks that a program prints this token."""
        if self.run(words).strip() != wanted:
            raise SystemExit(f"{words[:2]} did not print the stored token")
