"""EarthScope's own SDK and command line on one tokens.json with the broker: one login, both ways, nothing lost."""

import json
import random
import stat
import time
from contextlib import contextmanager

from stage import VENV, Cases, EsCrowd, Home, Services, end, with_claims

ES = f"{VENV}/bin/es"
SDK = """
from earthscope_sdk import EarthScopeClient
flow = EarthScopeClient().ctx.auth_flow
flow.refresh_if_necessary()
print(flow.access_token)
"""
KEYS = ["access_token", "id_token", "refresh_token"]
cases = Cases()


class Person(Home):
    """Somebody with `es` and `broker`, both told where the stand-in is."""

    def __init__(self, services, config="", more="", **env):
        url = services.urls["earthscope"]
        told = {"ES_OAUTH2__DOMAIN": url, "ES_RESOURCES__API_URL": url, "BROWSER": "true"}
        table = f'[providers.earthscope]\ndomain = "{url}"\napi_url = "{url}"\n{config}\n{more}'
        super().__init__(table, **told, **env)
        self.tokens_file = self.path / ".earthscope/default/tokens.json"

    def es(self, *words, **more):
        return self.run(ES, *words, **more)

    def es_token(self, **more):
        return self.es("user", "get-access-token", **more).line

    def token(self, provider="earthscope", **more):
        return self.broker("token", provider, **more).line

    def login(self):
        self.broker("login", "earthscope", "--no-browser").ends()

    @property
    def tokens(self):
        return json.loads(self.tokens_file.read_text())

    def write_tokens(self, tokens, path=None):
        self.write(path or self.tokens_file, json.dumps(tokens, indent=2), 0o600)

    def left(self, seconds, life=86400):
        """Lets the token in the file, of that life, have so many seconds left."""
        tokens, exp = self.tokens, int(time.time() + seconds)
        tokens["access_token"] = with_claims(tokens["access_token"], exp=exp, iat=exp - life)
        self.write_tokens(tokens)


@contextmanager
def stage(*flags, config="", more="", **env):
    flags = flags or ("--rotation", "detect-reuse")
    with Services(*flags) as services, Person(services, config, more, **env) as person:
        yield services, person


def only(services, **wanted):
    """What the service has seen, and that no spent refresh token came."""
    counts = services.counts()
    assert counts["reuses"] == 0, counts
    seen = {name: counts[name] for name in wanted}
    assert seen == wanted, f"{seen}, not {wanted}"


@cases.case("es-login", "es login -> broker token, status: no new login")
def es_login():
    with stage() as (services, person):
        person.es("login").ends()
        assert person.token() == person.tokens["access_token"]
        status = json.loads(person.broker("status", "--json").ends().out)["providers"]
        state = next(one for one in status if one["name"] == "earthscope")
        assert (state["state"], state["grant"], state["account"]) == ("valid", True, "auth0|5f1e"), state
        assert any("tokens.json" in source for source in state["sources"]), state
        only(services, device=1, token=1)


@cases.case("broker-login", "broker login -> es, the SDK: the same token")
def broker_login():
    with stage() as (services, person):
        person.login()
        token = person.token()
        assert person.es_token() == token
        assert person.run(f"{VENV}/bin/python", "-c", SDK).line == token
        assert person.es("user", "get-refresh-token").line == person.tokens["refresh_token"]
        printed = person.broker("token", "earthscope", "--refresh-token").ends()
        assert printed.line == person.tokens["refresh_token"] and printed.err, "a warning comes with it"
        only(services, device=1, token=1)


@cases.case("logout", "es logout -> the broker knows; broker logout -> es knows")
def logout():
    with stage() as (services, person):
        person.es("login").ends()
        person.token()
        person.es("logout").ends()
        gone = person.broker("token", "earthscope").ends(3)
        assert "broker login earthscope" in gone.err, gone.err
        status = json.loads(person.broker("status", "earthscope", "--json").ends().out)["providers"]
        assert status[0]["state"] in ("none", "login_required"), status
        person.login()
        person.es_token()
        person.broker("logout", "earthscope").ends()
        said = person.es("user", "get-access-token").ends(1)
        assert "No tokens found" in said.out, said.out
        only(services, device=2, revoked=1)


@cases.case("file", "the file: 0600, keys and form as es writes them; unknown keys survive")
def file():
    with stage() as (_, person):
        person.login()
        text, tokens = person.tokens_file.read_text(), person.tokens
        assert list(tokens) == [key for key in KEYS if key in tokens], list(tokens)
        assert text.rstrip("\n") == json.dumps(tokens, indent=2), text
        person.write_tokens({**tokens, "x_note": {"kept": [1, 2]}})
        person.broker("token", "earthscope", "--force").ends()
        renewed = person.tokens
        assert renewed["x_note"] == {"kept": [1, 2]}, list(renewed)
        assert renewed["access_token"] != tokens["access_token"]
        assert stat.S_IMODE(person.tokens_file.stat().st_mode) == 0o600
        left = [one.name for one in person.tokens_file.parent.iterdir() if not one.name.endswith("lock")]
        assert left == ["tokens.json"], left


@cases.case("renewal", "what one of them renews, the other one uses")
def renewal():
    with stage() as (services, person):
        person.es("login").ends()
        person.left(-10)
        renewed = person.es_token()
        assert person.token() == renewed, "the broker uses what es wrote"
        person.left(-10)
        renewed = person.token()
        assert person.tokens["access_token"] == renewed
        assert person.es_token() == renewed, "es uses what the broker wrote"
        only(services, device=1, refreshes=2)


@cases.case("early", "the broker renews before es would, which does it below 600 s")
def early():
    with stage() as (services, person):
        person.login()
        for number, (seconds, life) in enumerate([(1800, 86400), (610, 1800)], 1):
            person.left(seconds, life)
            renewed = person.token()
            assert person.tokens["access_token"] == renewed, f"{seconds} s left of {life}"
            assert person.es_token() == renewed
            only(services, refreshes=number)


@cases.case("fifty", "es login -> broker token -> 50 mixed renewals -> es: one login, nothing lost")
def fifty():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    choose = random.Random(seed)
    with stage() as (services, person):
        person.es("login").ends()
        person.token()
        with EsCrowd(person) as es:
            both = {"es": es.token, "broker": person.token}
            for number in range(1, 51):
                person.left(-10)
                who = choose.choice(sorted(both))
                renewed = both[who]()
                assert {name: one() for name, one in both.items()} == dict.fromkeys(both, renewed), (number, who)
        assert person.es_token() == renewed
        only(services, device=1, token=51, refreshes=50)


@cases.case("crowd", "24 broker and 8 es at once, 20 rounds: es never asks, nothing is reused")
def crowd():
    with stage() as (services, person):
        person.es("login").ends()
        refreshes = 0
        with EsCrowd(person) as es:
            for number in range(20):
                due = number % 4 != 3
                if due:
                    person.left(1800)
                    refreshes += 1
                before = person.tokens["access_token"]
                brokers = [person.start("broker", "token", "earthscope") for _ in range(12)]
                if number == 0:
                    real = [person.start(ES, "user", "get-access-token") for _ in range(8)]
                else:
                    es.start(8, "user", "get-access-token")
                brokers += [person.start("broker", "token", "earthscope") for _ in range(12)]
                given = {end(process).line for process in brokers}
                given |= {end(process).line for process in real} if number == 0 else set(es.tokens())
                after = person.tokens["access_token"]
                assert given <= {before, after} and (before != after) == due, (number, len(given))
                only(services, device=1, token=1 + refreshes, refreshes=refreshes)
        only(services, token=16)


@cases.case("expired-crowd", "24 broker on an expired file: one request; es then makes none")
def expired_crowd():
    with stage() as (services, person):
        person.es("login").ends()
        person.left(-10)
        brokers = [person.start("broker", "token", "earthscope") for _ in range(24)]
        given = {end(process).line for process in brokers}
        assert given == {person.es_token()}, len(given)
        only(services, device=1, refreshes=1)


@cases.case("base64url", "a token that makes the SDK crash is not left in the file")
def base64url():
    with stage("--rotation", "rotate", "--subject", "auth0|ada???>>>~~~") as (services, person):
        person.login()
        token = person.token()
        assert set("-_") & set(token.split(".")[1]), "the payload is one of those"
        assert list(person.tokens) == ["refresh_token"], list(person.tokens)
        assert person.es("user", "get-refresh-token").line == person.tokens["refresh_token"]
        only(services, device=1, token=1)


@cases.case("profiles", "ES_PROFILE and `profile`: a folder each, as the SDK names it")
def profiles():
    with stage() as (services, person):
        person.write(".earthscope/config.toml", '[profile."My Lab"]\n')
        lab = {"ES_PROFILE": "My Lab"}
        person.es("login", env=lab).ends()
        file = person.path / ".earthscope/my-lab/tokens.json"
        token = json.loads(file.read_text())["access_token"]
        assert person.token(env=lab) == token
        person.broker("token", "earthscope").ends(3)
        configured = {"BROKER_PROVIDERS__EARTHSCOPE__PROFILE": "My Lab"}
        assert person.token(env=configured) == token
        person.es("logout", env=lab).ends()
        person.broker("login", "earthscope", "--no-browser", env=lab).ends()
        assert person.es_token(env=lab) == person.token(env=lab)
        only(services, device=2)


@cases.case("sources", "environment over config.toml over tokens.json over the legacy file")
def sources():
    with stage("--rotation", "keep") as (services, person):
        person.es("login").ends()
        refresh, access = person.tokens["refresh_token"], person.tokens["access_token"]
        legacy = person.path / ".config/earthscope-cli/sso_tokens.json"
        person.es("logout").ends()
        person.write(legacy, json.dumps({"access_token": access, "refresh_token": refresh, "scope": "offline_access"}))
        assert person.token() == access == person.es_token(), "the legacy file"
        other = with_claims(access, jti="KANARIE-other")
        person.write_tokens({"access_token": other, "refresh_token": refresh})
        assert person.token() == other == person.es_token(), "tokens.json is above it"
        third = with_claims(access, jti="KANARIE-third")
        person.write(".earthscope/config.toml", f'[default.oauth2]\naccess_token = "{third}"\n', 0o600)
        assert person.token() == third == person.es_token(), "config.toml is above that"
        told = {"ES_OAUTH2__ACCESS_TOKEN": with_claims(access, jti="KANARIE-fourth")}
        assert person.token(env=told) == told["ES_OAUTH2__ACCESS_TOKEN"] == person.es_token(env=told)
        only(services, device=1, refreshes=0)


@cases.case("environment", "ES_OAUTH2__REFRESH_TOKEN alone is a login")
def environment():
    with stage("--rotation", "keep") as (services, person):
        person.es("login").ends()
        told = {"ES_OAUTH2__REFRESH_TOKEN": person.tokens["refresh_token"]}
        person.es("logout").ends()
        token = person.token(env=told)
        assert person.token(env=told) == token, "it is held"
        only(services, device=1, refreshes=1)


@cases.case("machine", "machine to machine writes nothing into the person's file")
def machine():
    with Services("--client-secret", "KANARIE-machine") as services:
        url = services.urls["earthscope"]
        more = f'[providers.machine]\nkind = "earthscope"\ndomain = "{url}"\nclient_secret = {{ env = "MACHINE" }}\n'
        with Person(services, more=more, MACHINE="KANARIE-machine") as person:
            person.login()
            before = person.tokens_file.read_bytes()
            assert person.token("machine") != person.token()
            person.broker("token", "machine", "--force").ends()
            assert person.tokens_file.read_bytes() == before
            assert person.es_token() == person.token()


@cases.case("not-shared", "`share = false` keeps the broker's own record, and leaves the file alone")
def not_shared():
    with stage(config="share = false") as (services, person):
        person.es("login").ends()
        before = person.tokens_file.read_bytes()
        person.broker("token", "earthscope").ends(3)
        person.login()
        assert person.token() != person.es_token()
        assert person.tokens_file.read_bytes() == before
        only(services, device=2)


@cases.case("aws", "the SDK's keys and the broker's come from the same login")
def aws():
    with stage() as (services, person):
        person.es("login").ends()
        allowed = {"ES_OAUTH2__ALLOWED_HOSTS": '["127.0.0.1"]'}
        shown = json.loads(person.es("user", "get-aws-credentials", "s3-miniseed-v2", env=allowed).ends().out)
        assert set(shown["aws_secret_access_key"]) == {"*"}, "es shows asterisks there"
        words = ["token", "earthscope", "--format", "aws", "--role", "s3-miniseed-v2"]
        words += ["--param", "network=FDSN:UO", "--param", "year=2024"]
        keys = json.loads(person.broker(*words).ends().out)
        assert keys["Version"] == 1 and keys["SecretAccessKey"].startswith("KANARIE"), list(keys)
        assert json.loads(person.broker(*words).ends().out) == keys, "they are held"
        asked = services.counts()["aws"]
        assert len(asked) == 2 and "network=FDSN" in asked[1] and "year=2024" in asked[1], asked


OLD = """
import sys
from earthscope_sdk.auth.device_code_flow import DeviceCodeFlowSimple
flow = DeviceCodeFlowSimple(sys.argv[1])
if len(sys.argv) > 2:
    given = {"access_token": sys.argv[2], "refresh_token": sys.argv[3], "scope": "offline_access"}
    flow.validate_and_save_tokens(given)
flow.load_tokens()
print(flow.access_token)
"""


@cases.case("old-sdk", "what SDK 0.2.1 wrote, the broker reads")
def old_sdk():
    with stage("--rotation", "keep") as (services, person):
        person.es("login").ends()
        tokens = person.tokens
        person.es("logout").ends()
        folder = person.path / ".config/earthscope-cli"
        folder.mkdir(parents=True)
        old = {"PYTHONPATH": str(VENV.parent / "old")}
        saved = [tokens["access_token"], tokens["refresh_token"]]
        person.run(f"{VENV}/bin/python", "-c", OLD, str(folder), *saved, env=old).ends()
        written = json.loads((folder / "sso_tokens.json").read_text())
        assert written["id_token"] is None and written["expires_at"], list(written)
        assert person.token() == tokens["access_token"]
        only(services, device=1, refreshes=0)


cases.run("EarthScope's SDK and command line")
