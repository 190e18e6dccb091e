"""Measures programs in rounds of random order, so that other load affects all of them."""

import gc
import os
import random
import statistics
import subprocess
import time


def measure(programs, env, cwd, rounds):
    """Returns the milliseconds of each round by program. `programs` has the commands by name."""
    taken = {name: [] for name in programs}
    order, chance = list(programs), random.Random(1)
    before = os.getcwd()
    os.chdir(cwd)
    gc.disable()
    try:
        with open(os.devnull, "r+b") as null:
            for nth in range(rounds + max(2, rounds // 20)):
                chance.shuffle(order)
                for name in order:
                    took = _once(programs[name], env, null.fileno())
                    # The first rounds fill the caches.
                    if nth >= max(2, rounds // 20):
                        taken[name].append(took)
    finally:
        gc.enable()
        os.chdir(before)
    return taken


def _once(words, env, null):
    files = [(os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1, 2)]
    began = time.perf_counter_ns()
    process = os.posix_spawn(words[0], words, env, file_actions=files)
    _, status = os.waitpid(process, 0)
    took = time.perf_counter_ns() - began
    if status:
        raise SystemExit(f"{words} ended with {os.waitstatus_to_exitcode(status)}")
    return took / 1e6


def figures(taken, unit):
    """Returns the median, minimum and maximum."""
    figures = {"median": statistics.median(taken), "min": min(taken), "max": max(taken)}
    return {"unit": unit, "rounds": len(taken), **{name: round(value, 4) for name, value in figures.items()}}


def ratio(taken, beside):
    """Returns the median over rounds of one time divided by the other."""
    return round(statistics.median(one / other for one, other in zip(taken, beside, strict=True)), 3)


def peak_kib(words, env, cwd, times=5):
    """Returns the peak memory of a program."""
    # Not this process's own `wait4`: a child starts with the peak memory of its parent.
    time_it = ["/usr/bin/time", "--format", "%M", "--output", "peak", *words]
    seen = []
    for _ in range(times):
        subprocess.run(time_it, env=env, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(f"{cwd}/peak") as file:
            seen.append(int(file.read()))
    return seen
