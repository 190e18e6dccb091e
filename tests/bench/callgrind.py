"""Counts instructions, with everything else kept constant."""

import re
import shutil
import subprocess

import stage


def warm(broker, hello):
    """Returns the instructions of `broker token earthscope` with a stored token, and of hello world."""
    with stage.Home() as home:
        home.log_in()
        return {
            "broker": count(home, broker, "token", "earthscope", prints=stage.token()),
            "hello": count(home, hello, prints="hello"),
        }


def growth(broker, *words):
    """Returns how the instructions of a command grow with the number of providers: 2 is linear, 4 is quadratic."""
    with stage.Home() as home:
        few, more, many = (_with_providers(home, number, broker, words) for number in (50, 100, 200))
    return (many - more) / (more - few)


def _with_providers(home, number, broker, words):
    table = '[providers.p{0}]\nkind = "static"\ntoken = {{ env = "P{0}" }}\n'
    home.write(".config/broker/providers.toml", "".join(map(table.format, range(number))))
    return count(home, broker, *words)


def count(home, binary, *words, prints=None):
    """Returns the instructions of one run, with the dynamic linker."""
    # The length of the path affects the number, so the binary always has the same path length.
    here = home.path / "measured"
    shutil.copyfile(binary, here)
    here.chmod(0o700)
    if prints is not None:
        home.prints([str(here), *words], prints)
    # Not constant: libc's functions depend on the processor, the order of maps on a seed. Both change less than 1 %.
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={home.path}/callgrind.out", str(here), *words]
    done = subprocess.run(command, env=home.env, cwd=home.path, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    # doctor ends with 1 if it found a problem.
    if done.returncode not in (0, 1) or not found:
        raise SystemExit(f"valgrind ended with {done.returncode}: {done.stderr}")
    return int(found[1])
