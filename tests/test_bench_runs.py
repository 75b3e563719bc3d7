"""The comparison's runs: which of them count, which verdicts they allow, and how they are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bench import compare, plan
from bench.side_by_side import cold, doubts, loads, machine
from bench.side_by_side.comparison import Comparison
from bench.side_by_side.figures import Figures
from bench.side_by_side.loads import Run
from bench.side_by_side.scenarios import SCENARIOS, Scenario
from bench.side_by_side.servers import COWRITE, Server
from bench.side_by_side.targets import Target, Verdict, judge


@pytest.mark.parametrize("runs", [1, 3])
def test_a_disturbed_run_is_made_again_up_to_as_many_times(runs: int) -> None:
    """As long as fewer are undisturbed than were asked for. A saturated server waits for itself."""
    calm, shared, busy = {"waited": 10.0}, {"waited": 10.1}, {"waited": 40.0, "core": 85.0}
    assert not doubts.lacks([calm] * runs, runs)
    assert not doubts.lacks([busy] * runs, runs)
    assert doubts.lacks([*[calm] * (runs - 1), shared], runs)
    assert not doubts.lacks([*[shared] * runs, *[calm] * runs], runs)
    assert not doubts.lacks([shared] * (2 * runs), runs)


def test_disturbed_runs_are_left_out_where_most_remain() -> None:
    """Of three that were asked for, two."""
    calm, shared = {"waited": 1.0}, {"waited": 20.0}
    assert doubts.counted([calm, shared, calm], 3) == [calm, calm]
    assert doubts.counted([calm, shared, shared], 3) == [calm, shared, shared]
    assert doubts.counted([shared, calm], 1) == [calm]
    assert doubts.counted([{}, calm, shared], 3) == [{}, calm]  # who died is part of the result


@pytest.mark.parametrize(
    ("target", "own", "other", "verdict"),
    [
        (Target("p99", 2, against="hocuspocus"), {}, {"generator": 90.0}, Verdict.DOUBTFUL),
        (Target("p99", 2, against="hocuspocus"), {}, {"generator": 89.9}, Verdict.PASS),
        (Target("p99", 0.5, against="hocuspocus"), {}, {"generator": 90.0}, Verdict.SHORT),
        (Target("p99", 2, against="hocuspocus"), {"generator": 95.0}, {}, Verdict.PASS),
        (Target("cpu_us", 2, against="hocuspocus"), {}, {"generator": 95.0}, Verdict.PASS),
        (Target("cpu_us", 2, against="hocuspocus"), {"waited": 11.0}, {}, Verdict.DOUBTFUL),
        (Target("cpu_us", 0.5, against="hocuspocus"), {}, {"waited": 11.0}, Verdict.DOUBTFUL),
        (Target("p99", 50), {"waited": 11.0}, {}, Verdict.DOUBTFUL),
        (Target("undelivered", 0), {"waited": 11.0}, {}, Verdict.PASS),
    ],
)
def test_no_doubt_is_settled_in_favour_of_cowrite(target: Target, own: Figures, other: Figures, verdict: Verdict) -> None:
    """A generator out of breath makes the other server late: falling short of that remains falling short."""
    figures = {"p99": 30.0, "cpu_us": 3.0, "undelivered": 0.0}
    results = {"cowrite": [{**figures, **own}] * 3, "hocuspocus": [{**figures, **other}] * 2 + [figures]}
    assert judge(target, results).verdict is verdict


def finished(figures: Figures, *remarks: str) -> Run:
    return Run(dict(figures), remarks, {"ok": True})


def test_runs_that_were_left_out_are_named(tmp_path: Path) -> None:
    """In the remarks; the medians are those of the others."""
    calm, shared = finished({"p99": 10.0, "waited": 1.0}), finished({"p99": 99.0, "waited": 30.0}, "the core was shared")
    text = compare.report(Comparison(["machine: one"], 3, 8.0, {"R1": {"cowrite": [calm, shared, calm, calm]}}))
    assert "99.0" not in text
    assert "* cowrite, run 2 (left out of the medians): the core was shared" in text


def test_the_plan_leaves_them_out_too() -> None:
    """The same rule, in the same words."""
    calm, shared = finished({"p99": 10.0, "waited": 1.0}), finished({"p99": 99.0, "waited": 30.0}, "the core was shared")
    chosen = [scenario for group in plan.PLAN for scenario in group.scenarios if scenario.id == "one-500"]
    text = plan.report(chosen, {"one-500": [shared, calm, calm]}, runs=3, seconds=5)
    assert "99.0" not in text
    assert "* 500 people, run 1 (left out of the medians): the core was shared" in text


def test_why_a_target_is_not_judged_is_told() -> None:
    """Below the table of targets."""
    busy = Comparison(["machine: one"], 1, 8.0, {"R1": {"cowrite": [finished({"p99": 10.0, "waited": 20.0})]}})
    assert "not judged" not in compare.report(busy)  # there is nobody to compare it with
    busy.scenarios["R1"]["hocuspocus"] = [finished({"p99": 10.0})]
    assert "| not judged " in compare.report(busy)
    assert "*not judged*: the core was shared in too many runs" in compare.report(busy)


class Measured:
    """Measures nothing: gives a run for each scenario and server that is asked for, and counts them."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, str]] = []

    def __call__(self, scenario: Scenario, server: Server, *, short: bool, seconds: float) -> Run:
        self.runs.append((scenario.id, server.name))
        if scenario.id == "R9":
            raise KeyboardInterrupt
        return finished({"first_state_ms": float(len(self.runs))})


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    one = Measured()
    monkeypatch.setattr(compare, "run", one)
    monkeypatch.setattr(machine, "description", lambda **_: ["machine: one", "versions: cowrite (abc)"])
    return one


def test_what_was_measured_before_an_interruption_is_not_lost(measured: Measured, tmp_path: Path) -> None:
    """Its tables are made of the file, and go into the document; what is measured anew replaces its own rows only."""
    results, page = tmp_path / "results" / "one.json", tmp_path / "page.md"
    with pytest.raises(KeyboardInterrupt):
        compare.main(["--only", "R5,R8,R9", "--runs", "1", "--json", str(results)])
    assert measured.runs == [("R5", "cowrite"), ("R8", "cowrite"), ("R9", "cowrite")]
    assert compare.main(["--from", str(results), "--only", "R8"]) == 0
    page.write_text("<!-- compare -->\nformer\n<!-- end of compare -->\n")
    assert compare.main(["--from", str(results), "--into", str(page)]) == 0
    assert len(measured.runs) == 4
    assert "former" not in page.read_text()
    assert "**R5**" in page.read_text()
    assert "| R8 | open → first state, median ≤ 30.0 ms | 4.0 ms   | pass " in page.read_text()
    assert "**R9**" not in page.read_text()


def test_results_of_another_commit_are_not_mixed_in(
    measured: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor of another number of runs; both are said, and nothing is measured."""
    results = tmp_path / "one.json"
    Comparison(["machine: one", "versions: cowrite (old)"], 3, 8.0).write(results)
    with pytest.raises(
        SystemExit, match=r"other conditions.*there: versions: cowrite \(old\); here: versions: cowrite \(abc\)"
    ):
        compare.main(["--from", str(results), "--only", "R8"])
    Comparison(["machine: one", "versions: cowrite (abc)"], 3, 8.0).write(results)
    with pytest.raises(SystemExit, match=r"there: 3 runs of 8 s; here: 5 of 8 s"):
        compare.main(["--from", str(results), "--only", "R8", "--runs", "5"])
    results.write_text("{}")
    with pytest.raises(SystemExit, match=r"has no results of bench\.compare"):
        compare.main(["--from", str(results)])
    with pytest.raises(SystemExit, match="No such file"):
        compare.main(["--from", str(tmp_path / "none.json")])
    assert measured.runs == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--short", "--into", "page.md"], "mean nothing"),
        (["--only", "R1", "--into", "page.md"], "would drop what --only leaves out"),
        (["--from", "one.json", "--servers", "cowrite"], "all of them or none"),
    ],
)
def test_options_that_would_make_a_wrong_table(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        compare.main(arguments)
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("scenario", ["R1", "R8"])
def test_a_server_that_does_not_start_is_a_remark(scenario: str) -> None:
    """Also where cold documents are opened: the other scenarios go on."""
    broken = replace(COWRITE, settings={"COWRITE_BATCH_MS": "many"})
    one = loads.run(next(one for one in SCENARIOS if one.id == scenario), broken, short=True, seconds=1)
    assert one.figures == {}
    assert one.remarks[0].startswith("cowrite does not start (exit code ")


def test_whatever_goes_wrong_with_a_run_is_a_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only what was thought of."""

    def fails(*_: object, **__: object) -> None:
        raise AssertionError("cold-1 came with 0 bytes")

    monkeypatch.setattr(cold, "measure", fails)
    one = loads.run(next(one for one in SCENARIOS if one.cold), COWRITE, short=True, seconds=1)
    assert one == Run({}, ("failed: AssertionError: cold-1 came with 0 bytes",))
