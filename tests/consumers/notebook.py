"""docs/notebooks/earth-data-tokens.ipynb, run by nbconvert as it stands, with stand-ins in place of the services.

Its outputs are those of this run: with NOTEBOOK_WRITE=1 they are written into it, else they have to be the same.
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
# What the outputs that are committed say instead of what belongs to this machine.
NAMES = (
    (r"http://127\.0\.0\.1:\d+", "https://login.earthscope.org"),
    (r", 127\.0\.0\.1(:\d+)?", ""),
    (r"/\S*/consumers-\w+/", "/home/ada/"),
)
# What differs from run to run, and is not compared.
TIMES = (
    (r"\b[A-Z]{4}-[A-Z]{4}\b", "CODE"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r"\b23 h 5\d min", "A DAY"),
    (r"\b[67] d( \d+ h)?", "A WEEK"),
    (" +", " "),
)
cases = Cases()


class Host(doors.Door):
    """A data host that takes what the broker holds for these words at that moment, and nothing else.

    After `renew` files the token is renewed: who goes on with the one of before is not let in.
    """

    def __init__(self, home, words, renew=0):
        super().__init__(FILES)
        self._home, self._words, self._renew = home, words, renew
        self.tokens = []

    def lets_in(self, headers):
        scheme, _, value = headers.get("Authorization", "").partition(" ")
        held = self._home.broker("token", *self._words).line if value else None
        if scheme != "Bearer" or value != held:
            return False
        self.tokens.append(value)
        if len(self.tokens) == self._renew:
            self._home.broker("token", *self._words, "--force").ends()
        return True


class Bucket(doors.Door):
    """A host of signed URLs: it takes the signature, and no token."""

    def lets_in(self, headers):
        return "Authorization" not in headers


class Desk(Home):
    """A scientist with the secrets of EarthDaily and Carbon Mapper, and no login at EarthScope yet."""

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
        # The signed URLs of the catalog lead to the bucket of this run.
        notebook_files.searches(FILES, f"http://127.0.0.1:{self.bucket.port}")

    def execute(self):
        """Runs the notebook in this home; how nbconvert ended, and the notebook as it then is (None if it failed)."""
        shutil.copy(BOOK, self.path / "book.ipynb")
        words = ["--to", "notebook", "--execute", "--ExecutePreprocessor.timeout=60", "--output", "done"]
        ended = self.run("jupyter-nbconvert", *words, "book.ipynb")
        done = self.path / "done.ipynb"
        return ended, json.loads(done.read_text()) if done.exists() else None

    def secrets(self):
        """Everything that was sent to the hosts as a credential, without its scheme."""
        hosts = (self.earthscope, self.carbonmapper, self.earthdaily, self.bucket)
        return {one.credential.split(" ")[-1] for host in hosts for one in host.seen if one.credential}


def text_of(cell):
    """What a reader sees below a cell."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell["outputs"]]
    return "".join("".join(text) for text in texts)


def changed(text, changes):
    for pattern, instead in changes:
        text = re.sub(pattern, instead, text)
    return text


def settled(cell):
    """The outputs as one text, with nothing of this machine in it."""
    return changed(text_of(cell).replace("\r\n", "\n"), NAMES)


def code(book):
    return [cell for cell in book["cells"] if cell["cell_type"] == "code"]


def write(done):
    book = json.loads(BOOK.read_text())
    for number, (cell, ran) in enumerate(zip(code(book), code(done), strict=True), 1):
        text = settled(ran).splitlines(keepends=True)
        cell["execution_count"] = number
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": text}] if text else []
    BOOK.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n")


@cases.case("all-cells", "every cell, from the login on; a token renewed on the way; the outputs are the committed ones")
def all_cells():
    with Services() as services, Desk(services) as desk:
        ended, done = desk.execute()
        no_secret(desk, json.dumps(done) + ended.ends().out + ended.err)
        if os.environ.get("NOTEBOOK_WRITE"):
            write(done)
        for cell, ran in zip(code(json.loads(BOOK.read_text())), code(done), strict=True):
            was, now = (changed(text, TIMES) for text in (text_of(cell), settled(ran)))
            assert was == now, f"committed:\n{was}\nprinted now:\n{now}\nNOTEBOOK_WRITE=1 writes what is printed now"
        hosts = (desk.earthscope, desk.carbonmapper, desk.earthdaily, desk.bucket)
        refused = [one for host in hosts for one in host.seen if one.status != 200]
        assert not refused, f"somebody was not let in: {refused}"
        files = [one.path for one in desk.earthscope.seen]
        assert files == [f"/{ARCHIVE}/2025/{day:03}/p034{day:03}0.25d.Z" for day in range(1, DAYS + 1)], files
        tokens = desk.earthscope.tokens
        assert len(set(tokens[:3])) == len(set(tokens[3:])) == 1 and tokens[2] != tokens[3], "renewed after three"
        assert services.counts()["device"] == 1, services.counts()
        assert len(desk.carbonmapper.tokens) >= 3 and len(set(desk.carbonmapper.tokens)) == 1, "catalog, search, asset"
        assert len(desk.earthdaily.tokens) >= 2 and desk.bucket.seen, "catalog, search; the asset from the bucket"


@cases.case("no-password", "without a login it ends at that cell, with the command that mends it")
def no_password():
    with Services() as services, Desk(services, CARBONMAPPER_PASSWORD=None) as desk:
        fails(desk, "exit 3", "broker login carbonmapper")
        assert desk.earthscope.seen and not desk.carbonmapper.seen, "it went on"


@cases.case("wrong-secret", "a secret that the service refuses ends it, and is not shown")
def wrong_secret():
    with Services() as services, Desk(services, EDS_SECRET=f"{MARK}-wrong") as desk:
        fails(desk, "exit 6", "earthdaily")


@cases.case("service-away", "a service that cannot be had ends it: try again later")
def service_away():
    # A port that is taken and not listened on.
    with socket.socket() as nobody, Services() as services:
        nobody.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{nobody.getsockname()[1]}/token"
        with Desk(services, BROKER_PROVIDERS__EARTHDAILY__AUTH_URL=away) as desk:
            fails(desk, "exit 4", "earthdaily")


@cases.case("turned-away", "a host that lets nobody in ends it, without the token or a signed URL in what it says")
def turned_away():
    with Services() as services, Desk(services) as desk:
        desk.bucket.lets_in = lambda headers: False
        ended = fails(desk, "HTTP 401", SCENES[0])
        assert SIGNATURE not in ended.out + ended.err, "a signed URL is shown"


@cases.case("committed", "no secret, no address of a machine, nothing of a test in the notebook of this repository")
def committed():
    text = BOOK.read_text()
    for word in (MARK, "127.0.0.1", "standin", "/tmp", "eyJ", "Bearer ey", "Signature"):
        assert word not in text, f"{word} is in the notebook"


def fails(desk, *told):
    ended, done = desk.execute()
    ended.ends(1)
    assert done is None, "nbconvert wrote a notebook"
    for words in told:
        assert words in ended.err, f"`{words}` is not in what it says: {ended.err[-1500:]}"
    no_secret(desk, ended.out + ended.err)
    return ended


def no_secret(desk, text):
    assert MARK not in text, "a secret is in the output"
    shown = [secret[:8] + "…" for secret in desk.secrets() if secret in text]
    assert not shown, f"a token is in the output: {shown}"


FILES = tempfile.mkdtemp(prefix="notebook-")
try:
    need("jupyter-nbconvert")
    notebook_files.make(FILES)
    cases.run("docs/notebooks/earth-data-tokens.ipynb")
finally:
    shutil.rmtree(FILES)
