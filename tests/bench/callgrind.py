"""Counts instructions, with all that moves the number held still."""

import re
import shutil
import subprocess

import stage


def warm(broker, hello):
    """The instructions of `broker token earthscope` with a held token, and of hello world."""
    with stage.Home() as home:
        home.log_in()
        return {
            "broker": count(home, broker, "token", "earthscope", prints=stage.token()),
            "hello": count(home, hello, prints="hello"),
        }


def count(home, binary, *words, prints):
    """The instructions of one run, from the first of the dynamic linker to the last."""
    # Where a binary is costs too; here that is always as far away, and on a path as long.
    here = home.path / "measured"
    shutil.copyfile(binary, here)
    here.chmod(0o700)
    home.prints([str(here), *words], prints)
    # One processor's features choose among libc's functions, and one seed the order of maps: neither is held still,
    # both are below a hundredth.
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={home.path}/callgrind.out", str(here), *words]
    done = subprocess.run(command, env=home.env, cwd=home.path, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        raise SystemExit(f"valgrind ended with {done.returncode}: {done.stderr}")
    return int(found[1])
