"""Runs many `es` at once without loading Python for each.

Reads lines of JSON, `[ARGUMENTS, PROCESSES]`. Forks processes that run the real command line of earthscope-cli, and
prints `[[exit code, output], …]`.
"""

import json
import os
import sys
import traceback

import anyio  # noqa: F401 - the SDK imports these late; here they are imported once, before the forks
import httpx  # noqa: F401
from earthscope_cli.main import app
from earthscope_sdk import EarthScopeClient  # noqa: F401
from earthscope_sdk.auth import device_code_flow  # noqa: F401
from earthscope_sdk.config import settings  # noqa: F401


def fork(words):
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        return child, read
    os.dup2(write, 1)
    os.dup2(write, 2)
    code = 1
    try:
        app(words)
    except SystemExit as ended:
        code = ended.code or 0
    except Exception:  # noqa: BLE001 - printed, as Python does
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def collect(child, read):
    with os.fdopen(read) as output:
        text = output.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


for line in sys.stdin:
    words, many = json.loads(line)
    children = [fork(words) for _ in range(many)]
    print(json.dumps([collect(*child) for child in children]), flush=True)
