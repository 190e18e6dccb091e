"""Formats the table for a terminal and for docs/dev/performance.md."""

from stage import REPO

PAGE = REPO / "docs/dev/performance.md"
BEGIN, END = "<!-- what tests/bench/run --markdown prints -->\n", "<!-- until here -->\n"
HEAD = ["what", "figure", "beside", "ratio", "goal", "met"]


def _lines(kept):
    rows = [row for group in kept["groups"].values() for row in group["rows"]]
    met = {None: "", True: "yes", False: "no"}
    return [[*(row[name] for name in HEAD[:-1]), met[row["met"]]] for row in rows]


def text(kept):
    lines = [HEAD, *_lines(kept)]
    wide = [max(len(line[nth]) for line in lines) for nth in range(len(HEAD))]
    printed = ["  ".join(f"{cell:{width}}" for cell, width in zip(line, wide, strict=True)).rstrip() for line in lines]
    missed = sum(line[-1] == "no" for line in lines)
    return "\n".join([*printed, f"{missed} goals are not met" if missed else "every goal is met"])


def markdown(kept):
    lines = [HEAD, ["---"] * len(HEAD), *_lines(kept)]
    printed = ["|" + "".join(f" {cell} |" if cell else " |" for cell in line) for line in lines]
    groups, versions = kept["groups"].values(), kept["versions"]
    machine, programs = versions["machine"], {**versions["tools"], **versions["peers"]}
    programs |= kept["groups"].get("stored", {}).get("seen", {}).get("versions", {})
    named = ", ".join(f"{name} {version}" for name, version in programs.items() if version and name != "broker")
    about = f"{machine['cores']} cores, {machine['system']}. {named}."
    if any(group["quick"] for group in groups):
        about += " Few rounds (`--quick`)."
    return "\n".join([*printed, "", about, ""])


def put(text):
    """Replaces the table in the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{PAGE.name} has no markers for the table: {BEGIN.strip()} … {END.strip()}")
    PAGE.write_text(before + BEGIN + "\n" + text + "\n" + END + after)
