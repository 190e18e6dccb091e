"""Runs docs/notebooks/earth-data-tokens.ipynb with nbconvert, unchanged, against fake servers.

The outputs must equal those in the notebook. NOTEBOOK_WRITE=1 writes them into it.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import tempfile

import doors
import notebook_files
from notebook_files import ARCHIVE, DAYS, SCENES, SIGNATURE
from stage import MARK, Cases, Home, Services, need

BOOK = pathlib.Path(__file__).parents[2] / "docs/notebooks/earth-data-tokens.ipynb"
STAC = ("carbonmapper", "--scope", "stac", "--expires", "7d")
# Replaces names of this machine in the committed outputs.
NAMES = (
    (r"http://127\.0\.0\.1:\d+", "https://login.earthscope.org"),
    (r", 127\.0\.0\.1(:\d+)?", ""),
    (r"/\S*/consumers-\w+/", "/home/ada/"),
)
# Differs between runs, and is not compared.
TIMES = (
    (r"\b[A-Z]{4}-[A-Z]{4}\b", "CODE"),
    (r"\d{4}-\d\d-\d\d(T| )\d\d:\d\d(:\d\dZ)?", "TIME"),
    (r"\b23 h 5\d min", "A DAY"),
    (r"\b[67] d( \d+ h)?", "A WEEK"),
    (" +", " "),
)
cases = Cases()


class Host(doors.Door):
    """A data host that accepts only the token that the broker prints for these arguments.

    After `renew` files the token is renewed, and the old one is rejected.
    """

    def __init__(self, home, words, renew=0):
        super().__init__(FILES)
        self._home, self._words, self._renew = home, words, renew
        self.tokens = []

    def lets_in(self, headers):
        scheme, _, value = headers.get("Authorization", "").partition(" ")
        current = self._home.broker("token", *self._words).line if value else None
        if scheme != "Bearer" or value != current:
            return False
        self.tokens.append(value)
        if len(self.tokens) == self._renew:
            self._home.broker("token", *self._words, "--force").ends()
        return True


class Bucket(doors.Door):
    """A host of signed URLs: it accepts the signature, and no token."""

    def lets_in(self, headers):
        return "Authorization" not in headers


class Scientist(Home):
    """A user with the secrets of EarthDaily and Carbon Mapper, without a login at EarthScope."""

    def __init__(self, services, **changed):
        urls = services.urls
        super().__init__(
            BROKER_PROVIDERS__EARTHSCOPE__DOMAIN=urls["earthscope"],
            BROKER_PROVIDERS__EARTHSCOPE__API_URL=urls["earthscope"],
            BROKER_PROVIDERS__EARTHDAILY__AUTH_URL=urls["auth_url"],
            BROKER_PROVIDERS__EARTHDAILY__API_URL=urls["earthdaily"],
            BROKER_PROVIDERS__CARBONMAPPER__BASE_URL=urls["carbonmapper"],
            CARBONMAPPER_EMAIL="ada@example.org",
            CARBONMAPPER_PASSWORD="standin-password",
            EDS_SECRET="standin-api-token",
        )
        self.earthscope = Host(self, ("earthscope",), renew=3)
        self.carbonmapper = Host(self, STAC)
        self.earthdaily = Host(self, ("earthdaily",))
        self.bucket = Bucket(FILES)
        self.env |= {
            "EARTHSCOPE_DATA_URL": f"http://127.0.0.1:{self.earthscope.port}/{ARCHIVE}",
            "CARBONMAPPER_STAC_URL": f"http://127.0.0.1:{self.carbonmapper.port}/api/v1/stac/",
            "EARTHDAILY_STAC_URL": f"http://127.0.0.1:{self.earthdaily.port}/platform/v1/stac",
            **changed,
        }
        self.env = {name: value for name, value in self.env.items() if value is not None}
        notebook_files.searches(FILES, f"http://127.0.0.1:{self.bucket.port}")

    def execute(self):
        """Runs the notebook. Returns the result of nbconvert, and the notebook (None after a failure)."""
        shutil.copy(BOOK, self.path / "book.ipynb")
        words = ["--to", "notebook", "--execute", "--ExecutePreprocessor.timeout=60", "--output", "done"]
        ended = self.run("jupyter-nbconvert", *words, "book.ipynb")
        done = self.path / "done.ipynb"
        return ended, json.loads(done.read_text()) if done.exists() else None

    def secrets(self):
        """Returns all credentials in requests to the hosts, without their scheme."""
        hosts = (self.earthscope, self.carbonmapper, self.earthdaily, self.bucket)
        return {one.credential.split(" ")[-1] for host in hosts for one in host.seen if one.credential}


def text_of(cell):
    """Returns the visible output of a cell."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell["outputs"]]
    return "".join("".join(text) for text in texts)


def changed(text, changes):
    for pattern, instead in changes:
        text = re.sub(pattern, instead, text)
    return text


def portable(cell):
    """Returns the output of a cell without names of this machine."""
    return changed(text_of(cell).replace("\r\n", "\n"), NAMES)


def code(book):
    return [cell for cell in book["cells"] if cell["cell_type"] == "code"]


def write(done):
    book = json.loads(BOOK.read_text())
    for number, (cell, ran) in enumerate(zip(code(book), code(done), strict=True), 1):
        text = portable(ran).splitlines(keepends=True)
        cell["execution_count"] = number
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": text}] if text else []
    BOOK.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n")


@cases.case("all-cells", "all cells, with a login and a renewal; the outputs equal the committed ones")
def all_cells():
    with Services() as services, Scientist(services) as scientist:
        ended, done = scientist.execute()
        no_secret(scientist, json.dumps(done) + ended.ends().out + ended.err)
        if os.environ.get("NOTEBOOK_WRITE"):
            write(done)
        for cell, ran in zip(code(json.loads(BOOK.read_text())), code(done), strict=True):
            was, now = (changed(text, TIMES) for text in (text_of(cell), portable(ran)))
            assert was == now, f"committed:\n{was}\nnew:\n{now}\nNOTEBOOK_WRITE=1 writes the new output"
        hosts = (scientist.earthscope, scientist.carbonmapper, scientist.earthdaily, scientist.bucket)
        refused = [one for host in hosts for one in host.seen if one.status != 200]
        assert not refused, f"rejected requests: {refused}"
        files = [one.path for one in scientist.earthscope.seen]
        assert files == [f"/{ARCHIVE}/2025/{day:03}/p034{day:03}0.25d.Z" for day in range(1, DAYS + 1)], files
        tokens = scientist.earthscope.tokens
        assert len(set(tokens[:3])) == len(set(tokens[3:])) == 1 and tokens[2] != tokens[3], "no renewal after three files"
        assert services.counts()["device"] == 1, services.counts()
        assert len(scientist.carbonmapper.tokens) >= 3 and len(set(scientist.carbonmapper.tokens)) == 1, "catalog, search, asset"
        assert len(scientist.earthdaily.tokens) >= 2 and scientist.bucket.seen, "catalog, search; the asset from the bucket"


@cases.case("no-password", "without a login it stops at that cell, and names the command to run")
def no_password():
    with Services() as services, Scientist(services, CARBONMAPPER_PASSWORD=None) as scientist:
        fails(scientist, "exit 3", "broker login carbonmapper")
        assert scientist.earthscope.seen and not scientist.carbonmapper.seen, "it did not stop"


@cases.case("wrong-secret", "it stops if the service rejects the secret, and does not show it")
def wrong_secret():
    with Services() as services, Scientist(services, EDS_SECRET=f"{MARK}-wrong") as scientist:
        fails(scientist, "exit 6", "earthdaily")


@cases.case("service-away", "it stops if a service is unreachable: try again later")
def service_away():
    # A bound port without a listener.
    with socket.socket() as unused, Services() as services:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/token"
        with Scientist(services, BROKER_PROVIDERS__EARTHDAILY__AUTH_URL=url) as scientist:
            fails(scientist, "exit 4", "earthdaily")


@cases.case("turned-away", "it stops if a host rejects all requests, and shows neither token nor signed URL")
def turned_away():
    with Services() as services, Scientist(services) as scientist:
        scientist.bucket.lets_in = lambda headers: False
        ended = fails(scientist, "HTTP 401", SCENES[0])
        assert SIGNATURE not in ended.out + ended.err, "a signed URL is shown"


@cases.case("committed", "the committed notebook has no secret, no address, and nothing of a test")
def committed():
    text = BOOK.read_text()
    for word in (MARK, "127.0.0.1", "standin", "/tmp", "eyJ", "Bearer ey", "Signature"):
        assert word not in text, f"{word} is in the notebook"


def fails(scientist, *texts):
    ended, done = scientist.execute()
    ended.ends(1)
    assert done is None, "nbconvert wrote a notebook"
    for text in texts:
        assert text in ended.err, f"`{text}` is not in stderr: {ended.err[-1500:]}"
    no_secret(scientist, ended.out + ended.err)
    return ended


def no_secret(scientist, text):
    assert MARK not in text, "a secret is in the output"
    found = [secret[:8] + "…" for secret in scientist.secrets() if secret in text]
    assert not found, f"a token is in the output: {found}"


FILES = tempfile.mkdtemp(prefix="notebook-")
try:
    need("jupyter-nbconvert")
    notebook_files.make(FILES)
    cases.run("docs/notebooks/earth-data-tokens.ipynb")
finally:
    shutil.rmtree(FILES)
