"""Every block of docs/recipes.md, run with the real program against doors.py."""

import json
import pathlib
import re
import shutil
import tempfile
import textwrap

import doors
import fixtures
from stage import MARK, VENV, Cases, Home, NotRun, Services, need

PAGE = pathlib.Path(__file__).parents[2] / "docs/recipes.md"
SHELLS = {
    "sh": ("bash", "-euo", "pipefail", "-c"),
    "python": ("python", "-c"),
    "fish": ("fish", "-c"),
    "powershell": ("pwsh", "-c"),
}
STRANGER = "other.example.net"
# Which host of the page is which door.
HOSTS = {
    "earthdaily": ["api.earthdaily.com", "git.example.org", "crates.example.org"],
    # docker and kubectl send nothing without TLS.
    "tls": ["registry.example.org", "cluster.example.org"],
    "earthscope": ["api.earthscope.org", "data.earthscope.org", "service.earthscope.org"],
    "carbonmapper": ["api.carbonmapper.org"],
    # In nobody's `hosts`; they want a credential all the same.
    "stranger": [STRANGER],
    "tls stranger": ["other.tls.example.net"],
}
PROVIDERS = ("earthdaily", "earthscope", "carbonmapper")
cases = Cases()


def page():
    """The blocks below each heading, `[(file, language, text), …]`; what stands before the first is not run."""
    sections = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    block = re.compile(r"^(?:In `(~/\S+)`:\n\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    found = {title: block.findall(text) for title, text in zip(sections[::2], sections[1::2], strict=True)}
    return {title: blocks for title, blocks in found.items() if blocks}


class Kitchen(Home):
    """Somebody with a login at these providers, and the doors in place of their hosts."""

    def __init__(self, services, providers):
        urls = services.urls
        self.doors = {name: doors.Door(FILES, CERTIFICATE if "tls" in name else None) for name in HOSTS}
        host = {name: f"127.0.0.1:{door.port}" for name, door in self.doors.items()}
        config = f"""
            [providers.earthscope]
            domain = "{urls["earthscope"]}"
            api_url = "{urls["earthscope"]}"
            hosts = ["{host["earthscope"]}"]
            [providers.earthdaily]
            auth_url = "{urls["auth_url"]}"
            api_url = "{urls["earthdaily"]}"
            hosts = ["{host["earthdaily"]}", "{host["tls"]}", "localhost"]
            [providers.carbonmapper]
            base_url = "{urls["carbonmapper"]}"
            email = "ada@example.org"
            hosts = ["{host["carbonmapper"]}"]
            """
        super().__init__(config, EDS_SECRET="standin-api-token", CARBONMAPPER_PASSWORD="standin-password")
        self._here = {name: host[door] for door, names in HOSTS.items() for name in names}
        # Files of .netrc and cookies know no port: there the stranger has another name.
        self._here["netrc.example.org"] = f"localhost:{self.doors['earthdaily'].port}"
        self._here["cookieless.example.net"] = f"localhost:{self.doors['stranger'].port}"
        self.env["AWS_ENDPOINT_URL"] = f"http://{host['earthscope']}"
        self.env |= {"SSL_CERT_FILE": CERTIFICATE, "REQUESTS_CA_BUNDLE": CERTIFICATE}
        for name in providers:
            self.broker("login", name, "--no-browser").ends()
            self.doors[name].token = self.broker("token", name).line
        self.doors["tls"].token = self.doors["earthdaily"].token

    def here(self, text):
        """The text with the doors in place of the hosts."""
        for name, door in self._here.items():
            scheme = "https" if name in HOSTS["tls"] + HOSTS["tls stranger"] else "http"
            text = text.replace(f"https://{name}", f"{scheme}://{door}").replace(name, door)
        return text

    def cook(self, blocks):
        """Runs the blocks of a recipe; what each of them prints."""
        return [self._block(file, language, self.here(text)) for file, language, text in blocks]

    def _block(self, file, language, text):
        named = re.match(r"# (~/\S+|\w+\.py)\n", text)
        if file or named:
            self.write((file or named[1]).removeprefix("~/"), text, 0o600)
            return ""
        if text.startswith("# notebook\n"):
            return self._notebook(text)
        shell, *words = SHELLS[language]
        ended = self.run(need(shell), *words, text)
        if ended.code:
            print({name: [(one.path, one.status) for one in door.seen] for name, door in self.doors.items()})
        assert MARK not in ended.ends().err, f"a secret is in stderr: {text}"
        return ended.out

    def ask_stranger(self, language, text):
        shell, *words = SHELLS[language]
        ended = self.run(need(shell), *words, self.here(dedented(text)))
        seen = self.doors["stranger"].seen + self.doors["tls stranger"].seen
        # kubectl asks nobody if it gets no token.
        assert seen or "kubectl" in text and ended.code, f"the stranger was not asked: {ended.err[-800:]}"
        assert not [one for one in seen if one.credential], f"the stranger was given something: {seen}"

    def _notebook(self, text):
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python"}}
        cell = {"cell_type": "code", "id": "one", "metadata": {}, "execution_count": None, "outputs": []}
        book = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": [{**cell, "source": text}]}
        self.write("recipe.ipynb", json.dumps(book))
        self.run("jupyter-nbconvert", "--to", "notebook", "--execute", "recipe.ipynb", "--output", "done").ends()
        done = json.loads((self.path / "done.ipynb").read_text())
        return "".join("".join(output.get("text", "")) for output in done["cells"][0]["outputs"])


def recipe(title, prints, door="earthdaily", *, needs=None, prepare=None, stranger=None):
    """A case for the section of that title: its blocks end well, those that print print this, that door let them in.

    `needs` is a section whose blocks but the last are run before. `stranger` is what the same program is told to get
    from a host that is not the provider's: it comes there with nothing.
    """

    def run():
        blocks = (BLOCKS[needs][:-1] if needs else []) + BLOCKS[title]
        page = door.replace("tls", "earthdaily") + "".join(text for _, _, text in blocks)
        providers = [name for name in PROVIDERS if name in page]
        with Services() as services, Kitchen(services, providers) as kitchen:
            if prepare:
                prepare(kitchen)
            printed = kitchen.cook(blocks)
            told = [one for one in printed if one]
            assert told and all(prints in one for one in told), f"`{prints}` is not what all printed: {told}"
            assert kitchen.doors[door].let_in(), f"nobody was let in: {kitchen.doors[door].seen}"
            if stranger:
                kitchen.ask_stranger(*stranger)

    cases.case(title, "its words are served" + ", and no other host's" * bool(stranger))(run)


def rejected(kitchen):
    """The door does not take the token that is held."""
    door = kitchen.doors["earthdaily"]
    door.refused = door.token


def with_cookie(kitchen):
    """The door takes the asset cookie only."""
    door = kitchen.doors["earthdaily"]
    line = kitchen.broker("token", "earthdaily", "--format", "cookies").ends().out.splitlines()[-1]
    door.cookie, door.token = line.split("\t")[6], "KANARIE-no-token-is-right"


def new_kubectl(kitchen):
    """Debian's speaks an older version of the protocol than everybody's kubeconfig."""
    client = json.loads(kitchen.run(need("kubectl"), "version", "--client", "-o", "json").ends().out)
    if int(client["clientVersion"]["minor"].strip("+")) < 22:
        raise NotRun(f"kubectl {client['clientVersion']['gitVersion']} is older than 1.22")


def duckdb_extension(kitchen):
    """From PyPI; INSTALL would have it from DuckDB's own server."""
    (extension,) = VENV.glob("lib/*/site-packages/duckdb_extension_httpfs/extensions/*/httpfs.duckdb_extension")
    folder = kitchen.path / f".duckdb/extensions/{extension.parent.name}/linux_amd64"
    folder.mkdir(parents=True)
    shutil.copy(extension, folder)


def dedented(text):
    """A block that stands in this file."""
    return textwrap.dedent(text).strip() + "\n"


CLONE = """
    export GIT_TERMINAL_PROMPT=0
    git config --global credential.helper '!broker helper git'
    git clone -q https://other.example.net/plumes.git strange
    """
MANIFEST = """
    echo '{"credHelpers": {"other.tls.example.net": "broker"}}' > ~/.docker/config.json
    docker manifest inspect other.tls.example.net/plumes:1
    """
RESOLVE = """
    import docker.auth, requests
    config = docker.auth.AuthConfig({"credHelpers": {"other.tls.example.net": "broker"}})
    found = config.resolve_authconfig("other.tls.example.net")
    requests.get("https://other.tls.example.net/v2/", auth=found and (found["Username"], found["Password"]))
    """
FETCH = """
    sed -i 's|sparse+.*/index/|sparse+https://other.example.net/index/|' ~/.cargo/config.toml
    cd work && rm Cargo.lock && cargo fetch -q
    """
VERSION = """
    sed -i 's|server: "[^"]*"|server: "https://other.tls.example.net"|' ~/.kube/config
    kubectl get --raw /version
    """
SELECT = """
    import subprocess, duckdb
    duckdb.sql("LOAD httpfs")
    words = ["broker", "token", "earthdaily", "--format", "duckdb"]
    duckdb.sql(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    duckdb.sql("SELECT sum(kg) FROM 'https://other.example.net/data/obs.csv'").show()
    """
GET = """
    import {0}
    from broker_{0} import BrokerAuth
    {0}.get("https://other.example.net/", auth=BrokerAuth("earthdaily", "api.earthdaily.com"))
    """
SCENE = "GDAL_CONFIG_FILE=~/.gdalrc-earthdaily rio info /vsicurl/https://other.example.net/data/scene.tif"
COOKIE = "GDAL_HTTP_COOKIEFILE=~/.earthdaily-cookies gdalinfo /vsicurl/https://cookieless.example.net/data/scene.tif"
CSV = fixtures.CSV.splitlines()[1]

recipe("curl", "plumes-catalog")
recipe("wget", CSV, "earthscope")
recipe("aria2", CSV, "earthscope")
recipe("netrc", CSV, stranger=("sh", f"curl -fsS --netrc-file ~/.netrc-earthdaily https://{STRANGER}/data/obs.csv"))
recipe("rclone", CSV, "earthscope")
recipe("git", "plumes of methane", stranger=("sh", CLONE))
recipe("docker", "schemaVersion", "tls", stranger=("sh", MANIFEST))
recipe("docker-py", "200", "tls", needs="docker", stranger=("python", RESOLVE))
recipe("cargo", "plumes", stranger=("sh", FETCH))
recipe("kubectl", "v1.30-doors", "tls", prepare=new_kubectl, stranger=("sh", VERSION))
recipe("kubernetes for Python", "v1.30-doors", "tls", needs="kubectl")
recipe("aws", "UO.DBO.mseed", "earthscope")
recipe("boto3", "['UO.DBO.mseed']", "earthscope", needs="aws")
recipe("gdal", '"shape": [64, 64]', stranger=("sh", SCENE))
recipe("gdal-headers", "Size is 64, 64")
recipe("cookies", "Size is 64, 64", prepare=with_cookie, stranger=("sh", COOKIE))
recipe("rasterio", "(64, 64) 12288")
recipe("requests", "plumes-catalog", prepare=rejected, stranger=("python", GET.format("requests")))
recipe("httpx", "plumes-catalog", prepare=rejected, stranger=("python", GET.format("httpx")))
recipe("pystac-client", "['plume-1']", "carbonmapper", needs="requests")
recipe("fsspec", CSV)
recipe("xarray", "42.0")
recipe("obspy", "UO.DBO..HHZ", "earthscope")
recipe("DuckDB", "42", prepare=duckdb_extension, stranger=("python", SELECT))
recipe("Jupyter", CSV)
recipe("dotenv", CSV)
recipe("exec", CSV)
recipe("env", CSV)
recipe("fish", CSV)
recipe("PowerShell", CSV)

BLOCKS = page()
without = set(BLOCKS) ^ set(cases.names())
assert not without, f"these are not both on the page and here: {without}"
linked = set(re.findall(r"\[([^]]+)\]\(#[\w-]+\)", PAGE.read_text().partition("\n## ")[0]))
assert linked == set(BLOCKS), f"these are not both in the table at the top and below: {linked ^ set(BLOCKS)}"
FILES = tempfile.mkdtemp(prefix="doors-")
try:
    fixtures.make(FILES, need("git"))
    CERTIFICATE = fixtures.certificate(FILES, need("openssl"))
    cases.run("The consumers of docs/recipes.md")
finally:
    shutil.rmtree(FILES)
