"""The limit of open files, which a server raises for itself. Each case has a process of its own: once lowered it stays so."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.rule("CL53"), pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")]

PROGRAM = """
import resource, sys
from cowrite.startup import allow_open_files
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(allow_open_files(connections))
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def allowed(soft: int, hard: int, connections: int) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(connections)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_it_is_raised_as_far_as_the_connections_need() -> None:
    assert allowed(64, 1000, 300) == ["None", "500 1000"]


def test_it_stays_where_it_is_high_enough() -> None:
    assert allowed(600, 1000, 300) == ["None", "600 1000"]


def test_what_may_not_be_raised_so_far_is_told() -> None:
    problem, limits = allowed(64, 400, 300)
    assert limits == "400 400"
    assert problem.startswith("300 connections need 500 open files, and 400 are allowed: have that raised (ulimit -Hn, ")
