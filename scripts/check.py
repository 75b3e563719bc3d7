"""Run the project's checks and print what each took: all of them, or those named. `make test` and its parts call this.

    python scripts/check.py [step …] [-- arguments for pytest]

A step stops at its first command that fails; the other steps run all the same, so that one run tells everything.
The exit code is 1 when any step failed, and 2 when a name is no step's.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

# The tests of what must be covered by branches. They run counted, which makes Python three times slower; so those that are
# random or large do not (tests/conftest.py): they run with the others.
COUNTED = "tests/protocol tests/crdt tests/formats tests/core"

# asyncio's debug mode takes a tenth of the time of tests with servers: it stays on where tests are counted.
_QUICK = "-o asyncio_debug=false"
# When a process of xdist dies, what it still had to do is not always given to another, and the run would wait for ever.
_END_AT_DEATH = "--max-worker-restart 0"
_BY_FILE = "--dist loadfile --no-loadscope-reorder"

# A step that runs the tests of some folders names these: each process of xdist imports all tests that it is shown, which takes
# some seconds. tests/conftest.py sees to it that such tests are nowhere else. The longest tests of chaos come first, in one
# file: they are handed out one at a time, else one process would have both.
STEPS: dict[str, tuple[str, ...]] = {
    "lint": ("ruff format --check .", "ruff check ."),
    "types": ("mypy",),
    "layers": ("lint-imports",),
    "page": ("npm --prefix clients/web run check",),
    "client": ("npm --prefix clients/js run check",),
    "coverage": (
        f"COWRITE_TEST_SLOWNESS=5 coverage run -m pytest -n 2 --dist worksteal -m counted {COUNTED}",
        "coverage combine --quiet",
        "coverage report",
    ),
    "others": (f"pytest {_QUICK} {_END_AT_DEATH} -n 4 {_BY_FILE} -m 'not counted and not browser and not chaos'",),
    "browser": (f"pytest {_QUICK} {_END_AT_DEATH} -m browser -n 4 --dist worksteal tests/browser",),
    "chaos": (f"pytest {_QUICK} {_END_AT_DEATH} -m chaos -n 2 --dist load --maxschedchunk 1 tests/chaos tests/stores",),
}

ONLY_BY_NAME: dict[str, tuple[str, ...]] = {
    "unit": ("pytest -n 2 --dist loadfile -m 'not browser and not chaos'",),
}
"""All tests but those in a browser and those that kill, uncounted: what `others` and `coverage` run between them."""

LANES = (("lint", "types", "layers"), ("page", "client"))
"""Steps that keep one core busy each: when all steps run, the second of these go on beside the first."""

BUDGETS: dict[str, tuple[frozenset[str], float]] = {
    "browser": (frozenset({"browser"}), 150),
    "chaos": (frozenset({"chaos"}), 120),
    "the rest": (frozenset(STEPS) - {"browser", "chaos"}, 330),
}
"""Seconds that groups of steps, and all together, may take on the reference machine (2 cores): more, and people no longer run
them."""


Result = tuple[str, bool, float]
"""A step, whether it succeeded, and the seconds that it took."""


VARIABLES = {
    # The tools of the environment before those of the machine.
    "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    # The tests start Python a hundred times. Where it may not keep what it compiled, as in many containers, each start takes
    # twice as long; so it is kept, away from the sources.
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(ROOT / ".cache" / "python"),
}
"""The environment variables that a command is given besides those that are there."""


def succeeds(command: str, extra: list[str], output: IO[str] | None = None) -> bool:
    """Run one command, which may begin with variables."""
    words = shlex.split(command)
    if "pytest" in words:
        words += extra
    print(f"\n$ {shlex.join(words)}", flush=True, file=output)
    environment = os.environ | VARIABLES
    try:
        # env by its path: PATH is the one that it gives the command.
        return not subprocess.run(
            ["/usr/bin/env", *words], cwd=ROOT, env=environment, check=False, stdout=output, stderr=output
        ).returncode
    except KeyboardInterrupt:
        sys.exit(130)


def run(names: Sequence[str], extra: list[str], output: IO[str] | None = None) -> list[Result]:
    """Run steps one after the other."""
    results = []
    for name in names:
        start = time.monotonic()
        good = all(succeeds(command, extra, output) for command in (STEPS | ONLY_BY_NAME)[name])
        results.append((name, good, time.monotonic() - start))
    return results


def run_all(extra: list[str]) -> list[Result]:
    """Run all steps, those of the lanes beside one another; what the second lane prints comes when both have ended."""
    first, second = ([name for name in lane if name in STEPS] for lane in LANES)
    with tempfile.TemporaryFile("w+") as output, ThreadPoolExecutor(1) as beside:
        others = beside.submit(run, second, extra, output)
        results = run(first, extra)
        results += others.result()
        output.seek(0)
        print(output.read(), flush=True)
    return results + run([name for name in STEPS if name not in (*first, *second)], extra)


def _tell(what: str, took: float, budget: float) -> None:
    print(f"{what:<8} {'' if took <= budget else 'SLOW':<7} {took:6.1f} s of {budget:.0f}", flush=True)


def main(arguments: list[str]) -> int:
    """Run the steps; give the exit code."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    names, extra = arguments[:split] or list(STEPS), arguments[split + 1 :]
    known = STEPS | ONLY_BY_NAME
    if unknown := [name for name in names if name not in known]:
        print(f"check.py: no step is called {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    began = time.monotonic()
    results = run_all(extra) if names == list(STEPS) else run(names, extra)
    print()
    for name, good, seconds in results:
        print(f"{name:<8} {'ok' if good else 'FAILED':<7} {seconds:6.1f} s")
    if len(results) == len(STEPS):
        for group, (steps, budget) in BUDGETS.items():
            took = sum(seconds for name, _, seconds in results if name in steps)
            _tell(group, took, budget)
        _tell("all", time.monotonic() - began, sum(budget for _, budget in BUDGETS.values()))
    else:
        print(f"{'all':<16} {time.monotonic() - began:6.1f} s", flush=True)
    return 0 if all(good for _, good, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
