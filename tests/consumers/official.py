"""Writes generated settings files of the services' own tools, and prints how the tools' own code reads each (a JSON line).

  official.py earthdaily|earthscope FOLDER COUNT [SEED]
"""

import json
import os
import pathlib
import random
import sys
import tomllib

VALUES = ["abc", "a b", "a%%b", "%(base)s/x", "%(EDS_SECRET)s", "100%", "%(no)s", '"quoted"', "'single'", "x # y", "x ; y",
          "p=q", "p:q", "[x]", "", "ünïcode", "%(a)s%(base)s", "%(a", "$HOME", "back\\slash", "tab\tin"]
KEYS = ["EDS_SECRET", "eds_secret", "Eds_Secret", "EDS_CLIENT_ID", "EDS_AUTH_URL", "eds_api_url", "base", "a", "other key", "x.y"]
URLS = ["https://a.example/t", "http://127.0.0.1:1/t", "%(base)s/token", "https://%(a)s.example/", "'https://q.example/'"]
NAMES = ["default", "DEFAULT", "work", " default ", "Default", "a]b"]


def ini(pick):
    lines = [pick.choice(["", "# comment", "; comment", "\ufeff"])] if pick.random() < 0.2 else []
    for section in pick.sample(NAMES, pick.randint(1, 3)):
        lines.append(pick.choice(["[%s]", "[%s]", "[%s]", "[%s] x", " [%s]"]) % section)
        for key in pick.sample(KEYS, pick.randint(0, 6)):
            value = pick.choice(URLS if key.upper().endswith("_URL") else VALUES)
            lines.append(pick.choice(["%s = %s", "%s=%s", "%s: %s", "%s:%s", "  %s = %s", "%s\t=\t%s  "]) % (key, value))
            for _ in range(pick.choice([0, 0, 0, 0, 1, 2])):
                lines.append(pick.choice(["", "  more", "\tmore = x", "# c", "  # c", "   %(a)s", "  [x]", "\u00a0nbsp"]))
    if pick.random() < 0.1:
        lines.insert(pick.randrange(len(lines) + 1), pick.choice(["just words", "= x", "[", "[]", "key", "\x1cEDS_SECRET = s"]))
    end = pick.choice(["\n", "\n", "\r\n", "\r"])
    return end.join(lines) + pick.choice(["", end])


def scalar(pick):
    return pick.choice(["abc", "", " a ", "ü\"\\", "x\ty", 5, 0, 0.0, True, False, None, ["a"], {"a": 1}, "https://a.example/"])


def flat(pick):
    table = {key: scalar(pick) for key in pick.sample(KEYS, pick.randint(0, 6))}
    if pick.random() < 0.9:
        table |= {"EDS_SECRET": "abc", "EDS_CLIENT_ID": "id", "EDS_AUTH_URL": "https://a.example/t"} | (
            table if pick.random() < 0.3 else {})
    return table


def toml_text(pick, table):
    def value(it):
        if isinstance(it, str):
            return "'" + it + "'" if "'" not in it and "\t" not in it and pick.random() < 0.3 else json.dumps(it, ensure_ascii=False)
        return json.dumps(it) if it is not None and not isinstance(it, dict) else '"null"'
    text = "".join(f"{json.dumps(key) if ' ' in key or '.' in key else key} = {value(it)}\n" for key, it in table.items())
    return mutated(pick, text)


def mutated(pick, text):
    if pick.random() < 0.15 and text:
        at = pick.randrange(len(text))
        return text[:at] + pick.choice(["", "\n", "=", '"', "#", "[", "\\", ","]) + text[at + 1:]
    return text


def earthdaily(folder, pick):
    from earthdaily._eds_config import EDSConfig

    form = pick.choice(["ini", "ini", "ini", "json", "toml"])
    text = {"ini": ini, "json": lambda pick: mutated(pick, json.dumps(flat(pick), ensure_ascii=pick.random() < 0.5)),
            "toml": lambda pick: toml_text(pick, flat(pick))}[form](pick)
    path = folder / f"eds.{form}"
    path.write_bytes(text.encode())
    profile = pick.choice(["default", "default", "default", *NAMES])
    case = {"variable": f"EDS_{form.upper()}_PATH", "path": str(path), "profile": profile}
    try:
        read = EDSConfig(bypass_auth=True, ini_profile=profile, **{f"{form}_path": str(path)})
        case["read"] = [read.client_secret, read.client_id, read.token_url, read.base_url]
    except Exception as error:
        case["error"] = type(error).__name__
    if form == "toml":
        try:
            case["toml"] = [tomllib.loads(text).get(key) for key in ("EDS_SECRET", "EDS_CLIENT_ID", "EDS_AUTH_URL", "EDS_API_URL")]
        except tomllib.TOMLDecodeError:
            case["toml"] = None
    return case


DOMAINS = ["https://login.earthscope.org", "https://login.earthscope.org/", "https://a.example", "https://b.example/", "http://127.0.0.1:1"]
OAUTH2 = {"domain": DOMAINS, "client_id": ["one", "two", "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0"],
          "audience": ["https://api.earthscope.org", "https://x.example"], "scope": ["offline_access", "a b", ["a", "b"]],
          "client_secret": ["sec", "other"], "refresh_token": ["rt1", "rt2"], "unknown": ["x"]}


def oauth2(pick, most=4):
    return {key: pick.choice(OAUTH2[key]) for key in pick.sample(sorted(OAUTH2), pick.randint(0, most))}


def tree(pick):
    made = {"oauth2": oauth2(pick)} if pick.random() < 0.8 else {}
    if pick.random() < 0.3:
        made["resources"] = {"api_url": pick.choice(["https://api.earthscope.org", "https://c.example/"])}
    return made


def earthscope(folder, pick):
    from earthscope_sdk.config import _compat, settings

    home = folder / "home"
    (home / ".earthscope").mkdir(parents=True)
    variables, changed = {"HOME": str(home)}, False
    if pick.random() < 0.7:
        config = {}
        if pick.random() < 0.8:
            config["default"] = tree(pick)
        profiles = {name: tree(pick) for name in pick.sample(["default", "My Lab"], pick.randint(0, 2))}
        if profiles:
            config["profile"] = profiles
        text = dump(config)
        if changed := pick.random() < 0.1:
            text = mutated(pick, text)
        (home / ".earthscope/config.toml").write_text(text)
    if pick.random() < 0.3:
        state = {"access_token": None, "refresh_token": pick.choice(["old1", None]), "scope": "openid", "client_secret": "x", "domain": "https://evil.example"}
        (home / ".config/earthscope-cli").mkdir(parents=True)
        (home / ".config/earthscope-cli/sso_tokens.json").write_text(json.dumps(state))
    if pick.random() < 0.3:
        for key, value in oauth2(pick, 3).items():
            name = pick.choice([str.upper, str.lower, str.title])(f"ES_OAUTH2__{key}")
            variables[name] = value if isinstance(value, str) else " ".join(value)
    if pick.random() < 0.2:
        variables["ES_OAUTH2"] = pick.choice([json.dumps(oauth2(pick)), json.dumps(oauth2(pick)), "{", "[]", '"x"'])
    if pick.random() < 0.15:
        variables["ES_RESOURCES__API_URL"] = "https://d.example"
    if pick.random() < 0.3:
        variables[pick.choice(["ES_PROFILE", "es_profile"])] = pick.choice(["default", "My Lab"])
    if pick.random() < 0.2:
        variables["ES_BOOTSTRAP_SETTINGS"] = pick.choice([json.dumps(tree(pick)), json.dumps(tree(pick)), "{"])
    case = {"variables": variables, "changed": changed}
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    _compat._LEGACY_APP_DIR = home / ".config/earthscope-cli"
    settings._LOCAL_APP_DIR = home / ".earthscope"
    try:
        read = settings.SdkSettings()
        secret = lambda it: it and it.get_secret_value()
        auth = read.oauth2
        case["read"] = [str(auth.domain), auth.client_id, auth.audience, auth.scope, secret(auth.client_secret),
                        secret(auth.refresh_token), str(read.resources.api_url)]
    except Exception as error:
        case["error"] = type(error).__name__
    os.environ.clear()
    os.environ.update(before)
    return case


def dump(config):
    lines = []
    def table(path, values):
        lines.append(f"[{path}]")
        lines.extend(f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, dict))
        for key, value in values.items():
            if isinstance(value, dict):
                table(f"{path}.{json.dumps(key)}", value)
    for key, value in config.items():
        table(key, value)
    return "\n".join(lines) + "\n"


def main(service, folder, count, seed=1):
    make = {"earthdaily": earthdaily, "earthscope": earthscope}[service]
    for number in range(int(count)):
        place = pathlib.Path(folder) / str(number)
        place.mkdir()
        print(json.dumps(make(place, random.Random(f"{seed} {number}"))))


main(*sys.argv[1:])
