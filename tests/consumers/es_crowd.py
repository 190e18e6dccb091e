"""Many `es` at once without each loading Python: reads `[WORDS, HOW MANY]` in JSON a line, forks that many processes
which run the real command line of earthscope-cli, and answers `[[exit code, output], …]`.
"""

import json
import os
import sys
import traceback

import anyio  # noqa: F401 - what the SDK imports late is imported once, before the forks
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
    except Exception:  # noqa: BLE001 - shown, as Python itself would
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
