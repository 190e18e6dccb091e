"""The versions of the machine, the tools and the peers."""

import os
import subprocess

from stage import OUT, REPO


def all_():
    return {"machine": _machine(), "tools": _tools(), "peers": _peers()}


def _machine():
    uname = os.uname()
    system = f"{uname.sysname} {uname.machine.replace('_', '-')}"
    return {"cores": os.cpu_count(), "system": system, "kernel": uname.release}


def _tools():
    commit = ["git", "-C", str(REPO), "describe", "--always", "--dirty"]
    rustc = _first_line(["rustc", "--version"]) or ""
    tools = {"broker": _first_line(commit), "rustc": rustc.removeprefix("rustc ")}
    return tools | _debian("libc6", "valgrind", "time")


def _peers():
    packages = ("earthscope-cli", "earthscope-sdk")
    asked = f"from importlib.metadata import version; print(*map(version, {packages}))"
    es = _first_line([str(OUT / "venv/bin/python"), "-c", asked]) or ""
    found = _debian("oidc-agent-cli", "python3-minimal", "coreutils")
    return found | dict(zip(packages, es.split(), strict=False))


def _debian(*packages):
    asked = ["dpkg-query", "--show", "--showformat", "${Version}"]
    return {package: _first_line([*asked, package]) for package in packages}


def _first_line(words):
    """Returns None if the program is not installed; then it was not measured."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return next(iter(done.stdout.splitlines()), None)
