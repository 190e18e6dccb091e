#!/usr/bin/env python3
"""Checks docs/dev/dependencies.md: each direct dependency has a row, each row a dependency, and no tree exceeds its ceiling.

    tests/deps/check.py            checks
    tests/deps/check.py --write    first updates the table: the crates that each dependency alone adds
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "dev" / "dependencies.md"
ROOTS = ("earthbroker", "earthbroker-cli")
# Its features are named after the dependencies, which have no rows.
MIDDLEWARE = "broker-http"


def cargo(*arguments: str) -> str:
    return subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def direct() -> tuple[set[str], set[str]]:
    """Returns the direct dependencies of released crates, and those of tests only."""
    packages = {p["name"]: p for p in json.loads(cargo("metadata", "--format-version=1", "--no-deps", "--locked"))["packages"]}
    released, waiting = set(), list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name not in released:
            released.add(name)
            waiting += [d["name"] for d in packages[name]["dependencies"] if d["name"] in packages and d["kind"] != "dev"]
    shipped, every = set(), set()
    for name, package in packages.items():
        foreign = [d for d in package["dependencies"] if d["name"] not in packages]
        every |= {d["name"] for d in foreign if name != MIDDLEWARE}
        if name in released:
            shipped |= {d["name"] for d in foreign if d["kind"] != "dev"}
    return shipped, every - shipped


def brings() -> dict[str, int]:
    """Returns the number of crates that each direct dependency alone adds, with itself."""
    edges: dict[str, set[str]] = {"": set()}
    own, path = set(), [""]
    roots = [word for root in ROOTS for word in ("--package", root)]
    for line in cargo("tree", *roots, "--all-features", "--locked", "--edges=normal", "--prefix=depth").splitlines():
        found = re.match(r"(\d+)(\S+) (v\S+)(.*)", line)
        if not found:
            continue
        depth, node = int(found[1]), f"{found[2]} {found[3]}"
        if "(/" in found[4]:
            own.add(node)
        edges[path[depth]].add(node)
        edges.setdefault(node, set())
        path[depth + 1 :] = [node]
    without = {}
    total = len(reached(edges, own, None))
    for name in {node.split()[0] for node in edges if node and node not in own}:
        without[name] = total - len(reached(edges, own, name))
    return without


def reached(edges: dict[str, set[str]], own: set[str], unused: str | None) -> set[str]:
    """Returns the crates of the tree without the direct dependency `unused`."""
    seen, waiting = set(), [""]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        ours = node == "" or node in own
        waiting += [to for to in edges[node] if not (ours and to.split()[0] == unused)]
    return seen


def section(page: str, title: str) -> str:
    return page.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named(text: str) -> list[str]:
    return [row[0].strip("`") for row in rows(text)]


def check(page: str) -> list[str]:
    wrong = []
    for title, expected in zip(("What is released", "Tests only"), direct()):
        names = named(section(page, title))
        wrong += [f"`{name}` has no row under \"{title}\": give its reason there, or remove the dependency" for name in sorted(expected - set(names))]
        wrong += [f"`{name}` has a row under \"{title}\", but no crate has it: remove the row" for name in sorted(set(names) - expected)]
        wrong += [f"`{name}` has two rows under \"{title}\"" for name in sorted(set(names)) if names.count(name) > 1]
    counted = brings()
    for row in rows(section(page, "What is released")):
        name = row[0].strip("`")
        if name in counted and row[3] != str(counted[name]):
            wrong.append(f"`{name}` alone adds {counted[name]} crates, the table has {row[3]}: tests/deps/check.py --write")
    return wrong + ceilings(page)


def ceilings(page: str) -> list[str]:
    wrong = []
    for row in rows(section(page, "Ceilings")):
        arguments, ceiling = row[0].strip("`").split(), int(row[1])
        listed = cargo("tree", *arguments, "--edges=normal", "--locked", "--prefix=none").splitlines()
        count = len({" ".join(line.split()[:2]) for line in listed if line})
        print(f"{count:4} crates, at most {ceiling}: {row[2]}")
        if count > ceiling:
            wrong.append(
                f"the tree {row[0]} has {count} crates, {count - ceiling} more than its ceiling: turn off unused features "
                "(`cargo tree -e features -i CRATE`), or remove the dependency; or raise the ceiling, with a reason in that table"
            )
        elif count < ceiling:
            print(f"     lower the ceiling to {count}")
    return wrong


def write(page: str) -> str:
    counted = brings()
    for row in rows(section(page, "What is released")):
        name = row[0].strip("`")
        if name in counted:
            old = f"| {row[0]} | {row[1]} | {row[2]} | {row[3]} |"
            page = page.replace(old, f"| {row[0]} | {row[1]} | {row[2]} | {counted[name]} |")
    return page


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    if sys.argv[1:] == ["--write"]:
        page = write(page)
        PAGE.write_text(page, encoding="utf-8")
    wrong = check(page)
    for what in wrong:
        print(f"docs/dev/dependencies.md: {what}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
