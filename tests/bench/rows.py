"""The rows of the table. Each function measures a group and returns its data and its rows."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import callgrind
import peers
import rounds
from stage import (
    OUT,
    REPO,
    TARGET,
    Home,
    broker,
    cargo,
    hello,
    need,
    record,
    stored,
    token,
)

PROVIDERS, SCOPES = 1000, 10
ASKED = "p0500"


@dataclass
class Row:
    """A row of the table. `met` is None for a row without a goal."""

    what: str
    figure: str
    beside: str
    ratio: str = ""
    goal: str = ""
    met: bool | None = None

    as_dict = asdict


def at_most(what, figure, beside, ratio, most=None):
    goal = "" if most is None else f"at most {most}x"
    return Row(what, figure, beside, f"{ratio:.2f}x", goal, None if most is None else ratio <= most)


def ahead(what, figure, beside, ratio):
    return Row(what, figure, beside, f"{ratio:.3g}x", "ahead", ratio < 1)


def ms(taken):
    figures = rounds.figures(taken, "ms")
    digits = 2 if figures["median"] < 100 else 0
    return f"{figures['median']:.{digits}f} ms (least {figures['min']:.{digits}f})"


def seen(taken):
    return {name: rounds.figures(each, "ms") for name, each in taken.items()}


def warm(quick):
    """Prints a stored token, compared with other programs that print one."""
    need(cat="coreutils", oidc_token="oidc-agent-cli")
    what, ours = "stored token, `broker token`", [str(broker()), "token", "earthscope"]
    es = peers.es()
    with Home() as home:
        home.log_in()
        with peers.OidcAgent(home) as oidc_token:
            names = {"broker": ours, "oidc-token": oidc_token, "python": peers.python(home), "es": es}
            for words in names.values():
                home.prints(words, token())
            cat = ["/usr/bin/cat", str(home.path / ".local/state/broker/earthscope.json")]
            short = {"broker": ours, "hello world": [str(hello())], "cat": cat, "oidc-token": oidc_token}
            taken = rounds.measure(short, home.env, home.path, 100 if quick else 1500)
            # Separate rounds: a large program changes the caches for the next one.
            large = {name: names[name] for name in ("broker", "python", "es")}
            longer = rounds.measure(large, home.env, home.path, 5 if quick else 25)
    ratio = {name: rounds.ratio(taken["broker"], taken[name]) for name in short}
    ratio |= {name: rounds.ratio(longer["broker"], longer[name]) for name in ("python", "es")}
    figure, both = ms(taken["broker"]), {**longer, **taken}
    beside = {name: f"{name} {ms(both[name])}" for name in both}
    rows = [
        at_most(what, figure, beside["hello world"], ratio["hello world"], 1.5),
        at_most(what, figure, beside["cat"].replace("cat", "`cat` of the record"), ratio["cat"]),
        ahead(what, figure, beside["oidc-token"], ratio["oidc-token"]),
        ahead(what, ms(longer["broker"]), beside["python"] + ", reading the file", ratio["python"]),
        ahead(what, ms(longer["broker"]), "`es user get-access-token` " + ms(longer["es"]), ratio["es"]),
    ]
    return {"rounds": seen(taken), "rounds with large programs": seen(longer), "ratios": ratio}, rows


def instructions(_):
    """Counts the instructions of the same call."""
    need(valgrind="valgrind")
    counted = callgrind.warm(broker(), hello())
    figure, beside = (f"{counted[name]:,}" for name in ("broker", "hello"))
    ratio = counted["broker"] / counted["hello"]
    return counted, [at_most("the same, instructions", figure, f"hello world {beside}", ratio, 4)]


def many(quick):
    """Prints a stored token with many providers and tokens, compared with one of each."""
    with Home() as home:
        sets = {
            "one": _lay_out(home, "one", 1, 1),
            "many": _lay_out(home, "many", PROVIDERS, SCOPES),
            "one record": _lay_out(home, "record", 1, PROVIDERS * SCOPES),
        }
        for words in sets.values():
            home.prints(words, token())
        taken = rounds.measure(sets, home.env, home.path, 20 if quick else 300)
    ratio = {name: rounds.ratio(taken[name], taken["one"]) for name in sets}
    beside = f"one provider, one token: {ms(taken['one'])}"
    rows = [
        at_most("stored token, 1,000 providers with 10 tokens each", ms(taken["many"]), beside, ratio["many"], 1.2),
        at_most("stored token, one of 10,000 in one record", ms(taken["one record"]), beside, ratio["one record"], 1.2),
    ]
    return {"rounds": seen(taken), "ratios": ratio}, rows


def _lay_out(home, name, providers, scopes):
    """Writes providers with tokens, and returns the command for one of them."""
    names = [ASKED] if providers == 1 else [f"p{nth:04}" for nth in range(providers)]
    table = "".join(f'[providers.{each}]\nkind = "earthscope"\nshare = false\n' for each in names)
    config = home.write(f"{name}/providers.toml", table)
    for each in names:
        tokens = {"": stored(token(), "offline_access")}
        tokens |= {f"scope-{nth:05}": stored(token(f"{each} {nth}"), f"scope-{nth:05}") for nth in range(1, scopes)}
        home.keep(record(each, tokens), name)
    return [str(broker()), "--config", str(config), "--state-dir", str(home.path / name), "token", ASKED]


def crate_rows(quick):
    """Gets a stored token through the crate, compared with the caches of other crates, in a separate program."""
    manifest = REPO / "tests/bench/stored/Cargo.toml"
    if not manifest.exists():
        return {}, []
    file = OUT / "stored.json"
    words = ["run", "--release", "--quiet", "--locked", "--manifest-path", manifest, "--", "--json", file]
    cargo(*words, *(["--quick"] if quick else []), target=OUT / "target-stored", stdout=sys.stderr)
    kept = json.loads(file.read_text())
    return kept, _crate_table([row for row in kept["rows"] if row["row"] == "stored"])


def _crate_table(found):
    ours = [row for row in found if row["contender"].startswith("broker")]
    others = [row for row in found if row not in ours]
    alone = {row["contender"]: row["median_ns"] for row in ours if row["threads"] == 1}
    rows = []
    for own in ours:
        threads, tokens, took = own["threads"], own["tokens"], own["median_ns"]
        what = f"{own['contender']}, {threads} thread" + ("s" if threads > 1 else "")
        what += ", a token each" if tokens > 1 else ""
        good = took <= 100 and own["allocations_per_call"] == 0
        rows.append(Row(what, _call(own), "", "", "at most 100 ns, no allocation", good))
        same = [other for other in others if (other["threads"], other["tokens"]) == (threads, tokens)]
        if same:
            beside = ", ".join(f"{other['contender']} {_call(other)}" for other in same)
            rows.append(ahead(what, _call(own), beside, took / min(other["median_ns"] for other in same)))
        if threads > 1:
            ratio = took / alone[own["contender"]]
            beside = f"one thread {alone[own['contender']]:.0f} ns"
            # Two runs of the same code differ by up to 10 %.
            rows.append(Row(what, _call(own), beside, f"{ratio:.2f}x", "no slower", ratio <= 1.1))
    return rows


def _call(row):
    allocations = row["allocations_per_call"]
    return f"{row['median_ns']:.0f} ns" + (f" and {allocations:g} allocations" if allocations else "")


def cold(quick):
    """Concurrent requests without a stored token."""
    cargo("build", "--release", "--quiet", "--locked", "--package", "broker-e2e", "--example", "cold")
    words = [str(TARGET / "release/examples/cold"), str(broker()), "5" if quick else "25"]
    with Home() as home:
        home.env["TMPDIR"] = str(home.path)
        kept = json.loads(home.run(words))
    rows = []
    for one, many, noun, most in (("one task", "tasks", "tasks", 1.2), ("one process", "processes", "processes", None)):
        alone, all_ = ([each["ms"] for each in kept[name]] for name in (one, many))
        exchanges = max(each["exchanges"] for each in kept[many])
        what, figure = f"no stored token, {kept[f'{noun} at once']:,} {noun} at once", ms(all_)
        row = at_most(what, figure, f"{one} {ms(alone)}", rounds.ratio(all_, alone), most)
        rows += [Row(what, f"{exchanges} exchange", "", "", "1 exchange", exchanges == 1), row]
    return kept, rows


def size(quick):
    """Memory and disk."""
    need(oidc_token="oidc-agent-cli", time="time")
    binary, times = broker(), 3 if quick else 9
    with Home() as home:
        home.log_in()
        agent = peers.OidcAgent(home)
        with agent as oidc_token:
            words = {"broker": [str(binary), "token", "earthscope"], "hello world": [str(hello())]}
            words |= {"oidc-token": oidc_token, "es": peers.es()}
            peak = {name: rounds.peak_kib(each, home.env, home.path, times) for name, each in words.items()}
            peak["oidc-agent, its agent"] = [agent.memory_kib("VmHWM")]
            peak["the same later, resident"] = [agent.memory_kib("VmRSS")]
    peak = {name: {"unit": "KiB", "median": sorted(each)[len(each) // 2], "seen": each} for name, each in peak.items()}
    mega = {name: each["median"] * 1024 / 1e6 for name, each in peak.items()}
    own = mega.pop("broker")
    what, figure = "peak memory, stored token", f"{own:.1f} MB"
    rows = [Row(what, figure, "", "", "at most 6 MB", own <= 6)]
    rows += [Row(what, figure, f"{name} {each:.1f} MB", f"{own / each:.2g}x") for name, each in mega.items()]
    bytes_ = {"broker": os.stat(binary).st_size, "hello world": os.stat(hello()).st_size}
    bytes_["oidc-token"] = os.stat("/usr/bin/oidc-token").st_size
    files = (OUT / "venv").rglob("*")
    bytes_["es and its packages"] = sum(os.lstat(each).st_size for each in files if each.is_file())
    mega = {name: each / 1e6 for name, each in bytes_.items()}
    own = mega.pop("broker")
    rows.append(Row("binary, stripped", f"{own:.2f} MB", "", "", "at most 7 MB", own <= 7))
    beside = ", ".join(f"{name} {each:.2f} MB" for name, each in mega.items())
    rows.append(Row("binary, stripped", f"{own:.2f} MB", beside))
    return {"peak memory": peak, "bytes": bytes_}, rows


TREES = {
    "crates of the command line": ["-p", "earthbroker-cli"],
    "crates of the facade, default features": ["-p", "earthbroker"],
    "crates of the facade, one service, no HTTP client": ["-p", "earthbroker", "--no-default-features", "-F", "earthdaily"],
}


def crates(_):
    """Counts the crates of a build."""
    counted = {}
    for name, words in TREES.items():
        words = ["tree", "--locked", "-e", "normal", "--prefix", "none", *words]
        printed = cargo(*words, stdout=subprocess.PIPE, text=True).stdout
        # `name v1.2.3`; local crates also have a folder, repeated ones `(*)`.
        all_ = {tuple(line.split()[:2]) for line in printed.splitlines() if line}
        counted[name] = {"all": len(all_), "own": sum(crate.startswith(("broker-", "earthbroker")) for crate, _ in all_)}
    return counted, [Row(name, f"{each['all']}, {each['own']} of them in this repository", "") for name, each in counted.items()]


def build(_):
    """Measures a build from scratch, without downloads."""
    target, took = OUT / "target-clean", {}
    cargo("fetch", "--quiet", "--locked")
    for name, words in {"debug": [], "release": ["--release"]}.items():
        shutil.rmtree(target, ignore_errors=True)
        began = time.monotonic()
        cargo("build", "--quiet", "--locked", "--package", "earthbroker-cli", *words, target=target)
        took[name] = round(time.monotonic() - began, 1)
    shutil.rmtree(target, ignore_errors=True)
    return took, [Row(f"build from clean, {name}", f"{seconds:.0f} s", "") for name, seconds in took.items()]


GROUPS = {
    "warm": warm,
    "instructions": instructions,
    "many": many,
    "stored": crate_rows,
    "cold": cold,
    "size": size,
    "crates": crates,
    "build": build,
}
