"""Of what the figures are: the machine without its name, the tools, the peers."""

import os
import platform
import subprocess

from stage import OUT, REPO


def all_():
    return {"machine": _machine(), "tools": _tools(), "peers": _peers()}


def _machine():
    uname = os.uname()
    system = f"{uname.sysname} {uname.release} {uname.machine}"
    return {"cores": os.cpu_count(), "system": system, "libc": platform.libc_ver()[1]}


def _tools():
    asked = {
        "broker": ["git", "-C", str(REPO), "describe", "--always", "--dirty"],
        "rustc": ["rustc", "--version"],
        "valgrind": ["valgrind", "--version"],
        "GNU time": ["/usr/bin/time", "--version"],
    }
    return {name: _first_line(words) for name, words in asked.items()}


def _peers():
    asked = {"Python": "/usr/bin/python3", "coreutils": "/usr/bin/cat"}
    found = {name: _first_line([program, "--version"]) for name, program in asked.items()}
    found["oidc-agent"] = _first_line(["oidc-token", "--version"])
    packages = ("earthscope-cli", "earthscope-sdk")
    asked = f"from importlib.metadata import version; print(*map(version, {packages}))"
    said = _first_line([str(OUT / "venv/bin/python"), "-c", asked])
    found |= dict(zip(packages, (said or "").split(), strict=False))
    return found


def _first_line(words):
    """None: it is not here, and nothing of it was measured."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return next(iter((done.stdout or done.stderr).splitlines()), None)
