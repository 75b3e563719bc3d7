"""Everything for some minutes, two programs at a time: ``make fuzz MINUTES=10``, or ``python -m fuzz.campaign 10 [NAME …]``.

Each program has its share of the time, and a process of its own with limited memory. What they find stands in
``.cache/fuzz/NAME/findings`` and in their logs; the exit code is 1 when there is anything. What a campaign finds becomes a test
with a name.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.corpus import CACHE, unpack
from fuzz.targets import NAMES
from fuzz.vectors import ROOT

AT_ONCE = 2
ADDRESS_BYTES = 4 << 30
_SHARES = {"admission": 3.0, "hostile_updates": 3.0, "guard": 2.0, "operations": 2.0, "rooms": 4.0, "servers": 2.0}
"""Parts of the time; 1 for all others."""
_NO_ATHERIS = """\
cowrite: atheris, the coverage-guided fuzzer, is not here (there are packages for Linux and some versions of Python only);
cowrite: the targets are attacked with seeded damage instead, which finds less. All else runs as ever."""


@dataclass
class Result:
    """What came of one program."""

    name: str
    ended: int
    figures: dict[str, object] = field(default_factory=dict)

    @property
    def line(self) -> str:
        told = ", ".join(f"{name.replace('_', ' ')} {figure}" for name, figure in self.figures.items())
        return f"{self.name:<18} {'ok' if self.ended == 0 else 'FOUND SOMETHING':<16} {told}"


def main(minutes: float, chosen: Sequence[str] = ()) -> int:
    """Run all, or those chosen; give the exit code."""
    guided = importlib.util.find_spec("atheris") is not None
    if not guided:
        print(_NO_ATHERIS)
    names = sorted(chosen or [*NAMES, "rooms", "servers"], key=lambda name: -_SHARES.get(name, 1.0))
    total = sum(_SHARES.get(name, 1.0) for name in names)
    seconds = {name: max(2.0, 60 * minutes * AT_ONCE * _SHARES.get(name, 1.0) / total) for name in names}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda name: _run(name, seconds[name], guided), names))
    for result in results:
        print(result.line)
    found = [result.name for result in results if result.ended]
    for name in found:
        print(f"\n{name}: see {(CACHE / name / 'log').relative_to(ROOT)}, which ends with:\n{_end_of(CACHE / name / 'log')}")
    return 1 if found else 0


def _run(name: str, seconds: float, guided: bool) -> Result:
    folder = CACHE / name
    (folder / "findings").mkdir(parents=True, exist_ok=True)
    seed = random.randrange(1 << 32)
    print(f"{name}: {seconds:.0f} s, seed {seed}", flush=True)
    if name in {"rooms", "servers"}:
        return _finish(name, [f"fuzz.{name}", f"{seconds:.0f}", str(seed)], seconds)
    if not guided:
        return _finish(name, ["fuzz.mutation", name, f"{seconds:.0f}", str(seed)], seconds)
    limits = [f"-max_total_time={seconds:.0f}", f"-seed={seed}", "-timeout=10", "-rss_limit_mb=2000", "-print_final_stats=1"]
    where = [str(unpack(name)), f"-artifact_prefix={folder / 'findings'}/"]
    result = _finish(name, ["fuzz.guided", name, *where, *limits], seconds)
    result.figures = _figures_of_libfuzzer((folder / "log").read_text(errors="replace"))
    result.figures["slow"] = len(list((folder / "slow").iterdir()))
    return result


def _finish(name: str, arguments: Sequence[str], seconds: float) -> Result:
    """Run a program to its end; what it prints goes to its log, and figures in the last line to the result."""
    log = CACHE / name / "log"
    # The servers come from tests/; each program finds the sources from the folder of the project.
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("src", ".", "tests")),
        "RUST_BACKTRACE": "0",
    }
    with log.open("wb") as output:
        command = [sys.executable, "-m", *arguments]
        try:
            ended = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
                preexec_fn=_limit,
                timeout=3 * seconds + 120,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            ended = -1
    last = (log.read_text(errors="replace").splitlines() or [""])[-1]
    return Result(name, ended, json.loads(last) if ended == 0 and last.startswith("{") else {})


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _figures_of_libfuzzer(log: str) -> dict[str, object]:
    figures: dict[str, object] = {}
    if executions := re.search(r"number_of_executed_units:\s*(\d+)", log):
        figures["executions"] = int(executions[1])
    if progress := re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", log):
        figures["coverage"], figures["features"], figures["corpus"] = map(int, progress[-1])
    return figures


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, sys.argv[2:]))
