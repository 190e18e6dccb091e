"""EarthScope's SDK and command line share tokens.json with the broker: one login, in both directions, nothing lost."""

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


class User(Home):
    """A user with `es` and `broker`, both configured for the fake server."""

    def __init__(self, services, config="", more="", **env):
        url = services.urls["earthscope"]
        variables = {"ES_OAUTH2__DOMAIN": url, "ES_RESOURCES__API_URL": url, "BROWSER": "true"}
        table = f'[providers.earthscope]\ndomain = "{url}"\napi_url = "{url}"\n{config}\n{more}'
        super().__init__(table, **variables, **env)
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
        """Rewrites the token in the file: its lifetime, and the seconds until it expires."""
        tokens, exp = self.tokens, int(time.time() + seconds)
        tokens["access_token"] = with_claims(tokens["access_token"], exp=exp, iat=exp - life)
        self.write_tokens(tokens)


@contextmanager
def stage(*flags, config="", more="", **env):
    flags = flags or ("--rotation", "detect-reuse")
    with Services(*flags) as services, User(services, config, more, **env) as user:
        yield services, user


def only(services, **wanted):
    """Checks the counts of the service, and that no refresh token was reused."""
    counts = services.counts()
    assert counts["reuses"] == 0, counts
    seen = {name: counts[name] for name in wanted}
    assert seen == wanted, f"{seen}, not {wanted}"


@cases.case("es-login", "es login -> broker token, status: no new login")
def es_login():
    with stage() as (services, user):
        user.es("login").ends()
        assert user.token() == user.tokens["access_token"]
        status = json.loads(user.broker("status", "--json").ends().out)["providers"]
        state = next(one for one in status if one["name"] == "earthscope")
        assert (state["state"], state["grant"], state["account"]) == ("valid", True, "auth0|5f1e"), state
        assert any("tokens.json" in source for source in state["sources"]), state
        only(services, device=1, token=1)


@cases.case("broker-login", "broker login -> es, the SDK: the same token")
def broker_login():
    with stage() as (services, user):
        user.login()
        token = user.token()
        assert user.es_token() == token
        assert user.run(f"{VENV}/bin/python", "-c", SDK).line == token
        assert user.es("user", "get-refresh-token").line == user.tokens["refresh_token"]
        printed = user.broker("token", "earthscope", "--refresh-token").ends()
        assert printed.line == user.tokens["refresh_token"] and printed.err, "no warning"
        only(services, device=1, token=1)


@cases.case("logout", "es logout -> broker is logged out; broker logout -> es is logged out")
def logout():
    with stage() as (services, user):
        user.es("login").ends()
        user.token()
        user.es("logout").ends()
        gone = user.broker("token", "earthscope").ends(3)
        assert "broker login earthscope" in gone.err, gone.err
        status = json.loads(user.broker("status", "earthscope", "--json").ends().out)["providers"]
        assert status[0]["state"] in ("none", "login_required"), status
        user.login()
        user.es_token()
        user.broker("logout", "earthscope").ends()
        failed = user.es("user", "get-access-token").ends(1)
        assert "No tokens found" in failed.out, failed.out
        only(services, device=2, revoked=1)


@cases.case("file", "the file: mode 0600, keys and layout as es writes them; unknown keys are preserved")
def file():
    with stage() as (_, user):
        user.login()
        text, tokens = user.tokens_file.read_text(), user.tokens
        assert list(tokens) == [key for key in KEYS if key in tokens], list(tokens)
        assert text.rstrip("\n") == json.dumps(tokens, indent=2), text
        user.write_tokens({**tokens, "x_note": {"kept": [1, 2]}})
        user.broker("token", "earthscope", "--force").ends()
        renewed = user.tokens
        assert renewed["x_note"] == {"kept": [1, 2]}, list(renewed)
        assert renewed["access_token"] != tokens["access_token"]
        assert stat.S_IMODE(user.tokens_file.stat().st_mode) == 0o600
        left = [one.name for one in user.tokens_file.parent.iterdir() if not one.name.endswith("lock")]
        assert left == ["tokens.json"], left


@cases.case("renewal", "each uses tokens that the other renewed")
def renewal():
    with stage() as (services, user):
        user.es("login").ends()
        user.left(-10)
        renewed = user.es_token()
        assert user.token() == renewed, "the broker uses what es wrote"
        user.left(-10)
        renewed = user.token()
        assert user.tokens["access_token"] == renewed
        assert user.es_token() == renewed, "es uses what the broker wrote"
        only(services, device=1, refreshes=2)


@cases.case("early", "the broker renews before es does at 600 s")
def early():
    with stage() as (services, user):
        user.login()
        for number, (seconds, life) in enumerate([(1800, 86400), (610, 1800)], 1):
            user.left(seconds, life)
            renewed = user.token()
            assert user.tokens["access_token"] == renewed, f"{seconds} s left of {life}"
            assert user.es_token() == renewed
            only(services, refreshes=number)


@cases.case("fifty", "es login -> broker token -> 50 mixed renewals -> es: one login, nothing lost")
def fifty():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    choose = random.Random(seed)
    with stage() as (services, user):
        user.es("login").ends()
        user.token()
        with EsCrowd(user) as es:
            both = {"es": es.token, "broker": user.token}
            for number in range(1, 51):
                user.left(-10)
                who = choose.choice(sorted(both))
                renewed = both[who]()
                assert {name: one() for name, one in both.items()} == dict.fromkeys(both, renewed), (number, who)
        assert user.es_token() == renewed
        only(services, device=1, token=51, refreshes=50)


@cases.case("crowd", "24 broker and 8 es at once, 20 rounds: es never renews, no refresh token is reused")
def crowd():
    with stage() as (services, user):
        user.es("login").ends()
        refreshes = 0
        with EsCrowd(user) as es:
            for number in range(20):
                due = number % 4 != 3
                if due:
                    user.left(1800)
                    refreshes += 1
                before = user.tokens["access_token"]
                brokers = [user.start("broker", "token", "earthscope") for _ in range(12)]
                if number == 0:
                    real = [user.start(ES, "user", "get-access-token") for _ in range(8)]
                else:
                    es.start(8, "user", "get-access-token")
                brokers += [user.start("broker", "token", "earthscope") for _ in range(12)]
                tokens = {end(process).line for process in brokers}
                tokens |= {end(process).line for process in real} if number == 0 else set(es.tokens())
                after = user.tokens["access_token"]
                assert tokens <= {before, after} and (before != after) == due, (number, len(tokens))
                only(services, device=1, token=1 + refreshes, refreshes=refreshes)
        only(services, token=16)


@cases.case("expired-crowd", "24 broker with an expired file: one request; es then sends none")
def expired_crowd():
    with stage() as (services, user):
        user.es("login").ends()
        user.left(-10)
        brokers = [user.start("broker", "token", "earthscope") for _ in range(24)]
        tokens = {end(process).line for process in brokers}
        assert tokens == {user.es_token()}, len(tokens)
        only(services, device=1, refreshes=1)


@cases.case("base64url", "a token that crashes the SDK is not written to the file")
def base64url():
    with stage("--rotation", "rotate", "--subject", "auth0|ada???>>>~~~") as (services, user):
        user.login()
        token = user.token()
        assert set("-_") & set(token.split(".")[1]), "the payload does not crash the SDK"
        assert list(user.tokens) == ["refresh_token"], list(user.tokens)
        assert user.es("user", "get-refresh-token").line == user.tokens["refresh_token"]
        only(services, device=1, token=1)


@cases.case("profiles", "ES_PROFILE and `profile`: one folder each, with the SDK's name")
def profiles():
    with stage() as (services, user):
        user.write(".earthscope/config.toml", '[profile."My Lab"]\n')
        lab = {"ES_PROFILE": "My Lab"}
        user.es("login", env=lab).ends()
        file = user.path / ".earthscope/my-lab/tokens.json"
        token = json.loads(file.read_text())["access_token"]
        assert user.token(env=lab) == token
        user.broker("token", "earthscope").ends(3)
        configured = {"BROKER_PROVIDERS__EARTHSCOPE__PROFILE": "My Lab"}
        assert user.token(env=configured) == token
        user.es("logout", env=lab).ends()
        user.broker("login", "earthscope", "--no-browser", env=lab).ends()
        assert user.es_token(env=lab) == user.token(env=lab)
        only(services, device=2)


@cases.case("sources", "environment over config.toml over tokens.json over the legacy file")
def sources():
    with stage("--rotation", "keep") as (services, user):
        user.es("login").ends()
        refresh, access = user.tokens["refresh_token"], user.tokens["access_token"]
        legacy = user.path / ".config/earthscope-cli/sso_tokens.json"
        user.es("logout").ends()
        user.write(legacy, json.dumps({"access_token": access, "refresh_token": refresh, "scope": "offline_access"}))
        assert user.token() == access == user.es_token(), "the legacy file"
        other = with_claims(access, jti="KANARIE-other")
        user.write_tokens({"access_token": other, "refresh_token": refresh})
        assert user.token() == other == user.es_token(), "tokens.json overrides it"
        third = with_claims(access, jti="KANARIE-third")
        user.write(".earthscope/config.toml", f'[default.oauth2]\naccess_token = "{third}"\n', 0o600)
        assert user.token() == third == user.es_token(), "config.toml overrides that"
        variables = {"ES_OAUTH2__ACCESS_TOKEN": with_claims(access, jti="KANARIE-fourth")}
        token = variables["ES_OAUTH2__ACCESS_TOKEN"]
        assert user.token(env=variables) == token == user.es_token(env=variables)
        only(services, device=1, refreshes=0)


@cases.case("environment", "ES_OAUTH2__REFRESH_TOKEN alone is a login")
def environment():
    with stage("--rotation", "keep") as (services, user):
        user.es("login").ends()
        variables = {"ES_OAUTH2__REFRESH_TOKEN": user.tokens["refresh_token"]}
        user.es("logout").ends()
        token = user.token(env=variables)
        assert user.token(env=variables) == token, "not stored"
        only(services, device=1, refreshes=1)


@cases.case("machine", "machine to machine writes nothing into the user's file")
def machine():
    with Services("--client-secret", "KANARIE-machine") as services:
        url = services.urls["earthscope"]
        more = f'[providers.machine]\nkind = "earthscope"\ndomain = "{url}"\nclient_secret = {{ env = "MACHINE" }}\n'
        with User(services, more=more, MACHINE="KANARIE-machine") as user:
            user.login()
            before = user.tokens_file.read_bytes()
            assert user.token("machine") != user.token()
            user.broker("token", "machine", "--force").ends()
            assert user.tokens_file.read_bytes() == before
            assert user.es_token() == user.token()


@cases.case("not-shared", "`share = false` uses a separate record, and does not touch the file")
def not_shared():
    with stage(config="share = false") as (services, user):
        user.es("login").ends()
        before = user.tokens_file.read_bytes()
        user.broker("token", "earthscope").ends(3)
        user.login()
        assert user.token() != user.es_token()
        assert user.tokens_file.read_bytes() == before
        only(services, device=2)


@cases.case("aws", "the SDK's keys and the broker's keys come from the same login")
def aws():
    with stage() as (services, user):
        user.es("login").ends()
        allowed = {"ES_OAUTH2__ALLOWED_HOSTS": '["127.0.0.1"]'}
        printed = json.loads(user.es("user", "get-aws-credentials", "s3-miniseed-v2", env=allowed).ends().out)
        assert set(printed["aws_secret_access_key"]) == {"*"}, "es prints asterisks"
        words = ["token", "earthscope", "--format", "aws", "--role", "s3-miniseed-v2"]
        words += ["--param", "network=FDSN:UO", "--param", "year=2024"]
        keys = json.loads(user.broker(*words).ends().out)
        assert keys["Version"] == 1 and keys["SecretAccessKey"].startswith("KANARIE"), list(keys)
        assert json.loads(user.broker(*words).ends().out) == keys, "not stored"
        asked = services.counts()["aws"]
        assert len(asked) == 2 and "network=FDSN" in asked[1] and "year=2024" in asked[1], asked


OLD = """
import sys
from earthscope_sdk.auth.device_code_flow import DeviceCodeFlowSimple
flow = DeviceCodeFlowSimple(sys.argv[1])
if len(sys.argv) > 2:
    tokens = {"access_token": sys.argv[2], "refresh_token": sys.argv[3], "scope": "offline_access"}
    flow.validate_and_save_tokens(tokens)
flow.load_tokens()
print(flow.access_token)
"""


@cases.case("old-sdk", "the broker reads the login of SDK 0.2.1")
def old_sdk():
    with stage("--rotation", "keep") as (services, user):
        user.es("login").ends()
        tokens = user.tokens
        user.es("logout").ends()
        folder = user.path / ".config/earthscope-cli"
        folder.mkdir(parents=True)
        old = {"PYTHONPATH": str(VENV.parent / "old")}
        saved = [tokens["access_token"], tokens["refresh_token"]]
        user.run(f"{VENV}/bin/python", "-c", OLD, str(folder), *saved, env=old).ends()
        written = json.loads((folder / "sso_tokens.json").read_text())
        assert written["id_token"] is None and written["expires_at"], list(written)
        assert user.token() == tokens["access_token"]
        only(services, device=1, refreshes=0)


cases.run("EarthScope's SDK and command line")
