"""`make fuzz`, for two seconds."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.rule("HB3")
def test_a_campaign_tells_what_it_has_done() -> None:
    """One target, with atheris where it is installed; else a line says that it is not, and seeded damage does."""
    command = [sys.executable, "-m", "fuzz.campaign", "0.02", "integers"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    guided = importlib.util.find_spec("atheris") is not None
    assert ("atheris, the coverage-guided fuzzer, is not here" in done.stdout) is not guided
    told = re.search(r"^integers +ok +executions (\d+)", done.stdout, re.MULTILINE)
    assert told, done.stdout
    assert int(told[1]) > 0


@pytest.mark.rule("HB3")
def test_a_campaign_fails_when_a_program_does(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And shows how its log ends."""
    monkeypatch.syspath_prepend(str(ROOT))
    from fuzz import campaign

    assert campaign.main(0.001, ["nothing"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^nothing +FOUND SOMETHING", out, re.MULTILINE)
    assert "No module named 'fuzz.targets.nothing'" in out
