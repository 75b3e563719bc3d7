"""What the honest notice of the rude: everything is really done, and nothing is lost. No time is judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import rude
from bench.rudeness.behaviours import BEHAVIOURS
from bench.rudeness.phases import QUIET, TOGETHER, Measured
from bench.rudeness.results import Results

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.rule("HB4", "LM1", "LM4", "LM21", "LM22", "TR27", "HP24", "JS1")
@pytest.mark.timeout(240)
def test_the_honest_and_the_rude_on_a_real_server(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """All behaviours, the silent at once. Nobody honest is sent away, every edit arrives and is stored, who is rude is
    ended where the rules say so, and afterwards the server has only the honest's sockets and documents, and then none."""
    file = tmp_path / "rude.json"
    code = rude.main(["--short", "--json", str(file)])
    assert code == 0, capfd.readouterr().out
    (run,) = Results.read(file).runs
    phases = {phase.name: phase for phase in run}
    assert all(phase.edits["count"] > 0 and phase.joins["count"] > 0 for phase in run)
    silent = {one.name for one in BEHAVIOURS.values() if one.silent}
    made = phases[TOGETHER].did
    assert set(made) >= silent - {"vanished"}  # to cut a network takes root
    assert all(made.values())
    for name in BEHAVIOURS.keys() - silent:
        assert phases[name].did, name
        assert all(phases[name].did.values()), name
    assert phases["crowd_of_one"].ended["user_sockets"] == 50
    ended = phases[TOGETHER].ended
    assert ended["arrival_seconds"] == made["drip_body"] + made["drip_frame"]
    assert ended["connection_timeout"] == made["no_login"]
    assert ended["head_seconds"] == made["silence"] + made["half_upgrade"] + made["drip_head"]
    pinged = ("no_pong", "not_reading", "stopped", "vanished", "drip_frame")
    assert ended["idle"] == made["no_hello"] + sum(made.get(name, 0) for name in pinged)


def measured(name: str, p99: float, *, waited: float = 0.0, problems: tuple[str, ...] = ()) -> Measured:
    times = {"count": 100.0, "p50": p99 / 2, "p99": p99, "worst": p99}
    return Measured(name, 6.0, times, times, times, waited=waited, problems=list(problems))


def test_a_verdict_is_against_the_quiet_of_the_same_run() -> None:
    """Twice is allowed. Where the core was shared nothing is judged, and what went wrong is below the table."""
    quiet = [measured(QUIET, 2.0), measured(QUIET, 4.0)]
    kept, not_kept, doubtful = measured("silence", 6.0), measured("crowd", 6.1), measured("no_pong", 1.0, waited=0.2)
    doubtful.problems.append("1 sockets too many are left")
    results = Results(["machine: one"], 6.0, [[quiet[0], kept, not_kept, doubtful, quiet[1]]])
    rows = {line.split("|")[1].strip(): line for line in results.table([*BEHAVIOURS, TOGETHER]).splitlines() if "|" in line}
    assert rows[BEHAVIOURS["silence"].title].endswith("| yes |")
    assert rows[BEHAVIOURS["crowd"].title].endswith("| **no** |")
    assert rows[BEHAVIOURS["no_pong"].title].endswith("| not judged: the core was shared (20%) |")
    assert "* **no_pong: 1 sockets too many are left**" in results.table([*BEHAVIOURS])


def test_what_is_measured_anew_takes_the_place_of_the_old(tmp_path: Path) -> None:
    """Of the same machine and commit only; and the table is made of the file."""
    file = tmp_path / "rude.json"
    old = Results(["one"], 6.0, [[measured(QUIET, 1), measured("silence", 1), measured("crowd", 9), measured(QUIET, 1)]])
    new = Results(["one"], 6.0, [[measured(QUIET, 2), measured("crowd", 2), measured(QUIET, 2)]])
    both = old.with_new(new)
    assert [[phase.name for phase in run] for run in both.runs] == [[QUIET, "silence", QUIET], [QUIET, "crowd", QUIET]]
    both.write(file)
    page = tmp_path / "page.md"
    page.write_text("<!-- rude -->\nold\n<!-- end of rude -->\n")
    assert rude.main(["--from", str(file), "--into", str(page)]) == 0
    assert "old" not in page.read_text()
    assert BEHAVIOURS["crowd"].title in page.read_text()
    with pytest.raises(SystemExit, match="another machine, commit or time"):
        old.with_new(Results(["two"], 6.0, []))
    file.write_text("{}")
    with pytest.raises(SystemExit, match=r"has no results of bench\.rude"):
        Results.read(file)


def test_the_documentation_has_a_place_for_the_table() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    assert text.index("<!-- rude -->\n") < text.index("<!-- end of rude -->")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--short", "--into", "page.md"], "mean nothing"),
        (["--only", "crowd", "--into", "page.md"], "would drop what --only leaves out"),
    ],
)
def test_options_that_would_make_a_wrong_table(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        rude.main(arguments)
    assert says in capsys.readouterr().err


def test_an_unknown_behaviour_is_named() -> None:
    with pytest.raises(SystemExit, match="nobody is rude in this way: kind; there are silence"):
        rude.main(["--only", "kind"])
