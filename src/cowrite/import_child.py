"""The process that looks at one large update: ``python -m cowrite.import_child CPU_SECONDS MEMORY_BYTES``.

It has what comes in its standard input, and nothing else: no secret, no database, no socket. What the limits kill, or the
engine, is this process alone.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress

from cowrite.core.imports.frames import NO_MEMORY
from cowrite.core.imports.work import work

_NICENESS = 5
"""The server's loop comes first."""


def main() -> None:
    """Look at the update, and end."""
    seconds, size = map(int, sys.argv[1:])
    if sys.platform != "win32":  # there only the server's clock on the wall limits it
        _limit(seconds, size)
    gc.disable()  # millions of objects, hardly any in cycles, and then the end
    try:
        work(sys.stdin.buffer, sys.stdout.buffer)
    except MemoryError:
        os._exit(NO_MEMORY)


def _limit(seconds: int, size: int) -> None:
    import resource

    for limit, soft, hard in (
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_AS, size, size),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        with suppress(OSError, ValueError):  # where the system has no such limit, or a lower one
            resource.setrlimit(limit, (soft, hard))
    with suppress(OSError):
        os.nice(_NICENESS)


if __name__ == "__main__":
    main()
