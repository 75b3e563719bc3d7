"""The comparison with other servers: what it makes of figures, and that it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from bench import compare
from bench.side_by_side import figures, loads, node, tables
from bench.side_by_side.documents import put_into
from bench.side_by_side.figures import Figures
from bench.side_by_side.scenarios import SCENARIOS
from bench.side_by_side.servers import SERVERS
from bench.side_by_side.targets import Judgement, Results, Spread, Target, Verdict, judge, spread

ROOT = Path(__file__).resolve().parents[1]
RESULTS: Results = {
    "cowrite": [{"cpu_us": 2.0, "p99": 30.0}, {"cpu_us": 9.0, "p99": 10.0}, {"cpu_us": 1.0}],
    "hocuspocus": [{"cpu_us": 4.0, "p99": 0.0}, {"cpu_us": 5.0}, {"cpu_us": 4.0}],
    "dead": [{}],
}


def test_the_median_counts_and_the_range_is_told() -> None:
    """One bad run of three changes the range only."""
    one = spread(RESULTS, "cowrite", "cpu_us")
    assert one is not None
    assert (one.median, one.lowest, one.highest, one.runs) == (2.0, 1.0, 9.0, 3)


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (Target("cpu_us", 2), 2.0, Verdict.PASS),
        (Target("cpu_us", 1.99), 2.0, Verdict.SHORT),
        (Target("cpu_us", 0.5, against="hocuspocus"), 0.5, Verdict.PASS),
        (Target("cpu_us", 0.49, against="hocuspocus"), 0.5, Verdict.SHORT),
        (Target("p99", 20, least=True), 20.0, Verdict.PASS),
        (Target("p99", 20.5, least=True), 20.0, Verdict.SHORT),
        (Target("cpu_us", 1, "dead"), None, Verdict.OPEN),
        (Target("cpu_us", 1, against="dead"), None, Verdict.OPEN),
        (Target("p99", 1, against="hocuspocus"), None, Verdict.OPEN),
        (Target("opens", 1), None, Verdict.OPEN),
    ],
)
def test_a_target_is_met_by_a_median_or_by_a_ratio_of_medians(target: Target, value: float | None, verdict: Verdict) -> None:
    """What is missing, and what cannot be divided by, is neither met nor missed."""
    assert judge(target, RESULTS) == Judgement(target, value, verdict)


@pytest.mark.parametrize(
    ("target", "value", "told", "verdict"),
    [
        (Target("cpu_us", 0.5, against="hocuspocus"), 0.504, "0.50", Verdict.PASS),
        (Target("cpu_us", 0.5, against="hocuspocus"), 0.506, "0.51", Verdict.SHORT),
        (Target("opens", 1, against="hocuspocus", least=True), 0.996, "1.00", Verdict.PASS),
        (Target("opens", 1, against="hocuspocus", least=True), 0.994, "0.99", Verdict.SHORT),
        (Target("p95", 250), 250.04, "250.0 ms", Verdict.PASS),
        (Target("p95", 250), 250.06, "250.1 ms", Verdict.SHORT),
        (Target("core", 3), 3.04, "3.0 %", Verdict.PASS),
        (Target("core", 3), 3.06, "3.1 %", Verdict.SHORT),
    ],
)
def test_a_verdict_is_about_what_is_printed(target: Target, value: float, told: str, verdict: Verdict) -> None:
    """So that nobody reads that 0.50 of at most 0.5 falls short."""
    one = {"R1": {"cowrite": [{target.figure: value}], "hocuspocus": [{target.figure: 1.0}]}}
    scenario = replace(SCENARIOS[0], targets=(target,))
    row = tables.judged([scenario], one)[2]
    assert [cell.strip() for cell in row.split("|")[3:-1]] == [told, verdict]


def test_a_cell_has_a_range_where_runs_differ() -> None:
    """As they are printed, each with the figure's digits."""
    assert tables.cell("p99", spread(RESULTS, "cowrite", "p99")) == "20.0 ms (10.0 … 30.0)"
    assert tables.cell("p99", Spread.of([20.0])) == "20.0 ms"
    assert tables.cell("p99", Spread.of([20.01, 20.02])) == "20.0 ms"
    assert tables.cell("p99", None) == "—"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (Target("p95", 250), "latency p95 ≤ 250.0 ms"),
        (Target("opens", 900, least=True), "opens ≥ 900 /s"),
        (Target("opens", 1, against="hocuspocus", least=True), "opens ≥ 1 of hocuspocus's"),
        (
            Target("cpu_us", 0.15, "cowrite-100ms", "hocuspocus"),
            "server CPU per delivered update (cowrite-100ms) ≤ 0.15 of hocuspocus's",
        ),
    ],
)
def test_a_target_names_its_side_and_its_server(target: Target, told: str) -> None:
    """At most or at least; and whose figure it is where that is not cowrite as it comes."""
    row = tables.judged([replace(SCENARIOS[0], targets=(target,))], {})[2]
    assert row.split("|")[2].strip() == told


def test_a_server_that_died_in_half_of_its_runs_meets_no_target() -> None:
    target = Target("p99", 10)
    dead: Figures = {}
    assert judge(target, {"cowrite": [dead, {"p99": 1}]}).verdict is Verdict.OPEN
    assert judge(target, {"cowrite": [dead, {"p99": 1}, {"p99": 2}]}).verdict is Verdict.PASS


def test_the_table_of_targets_says_pass_and_falls_short() -> None:
    """Each target has a row, also when its scenario was not run."""
    lines = tables.judged(SCENARIOS, {"R1": RESULTS})
    assert len(lines) == 2 + sum(len(scenario.targets) for scenario in SCENARIOS)
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        "R1",
        "server CPU per delivered update ≤ 0.5 of hocuspocus's",
        "0.50",
        "pass",
    ]
    assert all("not measured" in line for line in lines[3:])


def test_every_scenario_names_known_servers_and_figures() -> None:
    """A target needs its figure among those that are shown, and its servers among those that take part."""
    for scenario in SCENARIOS:
        assert set(scenario.servers) <= set(SERVERS)
        assert {target.figure for target in scenario.targets} <= set(scenario.figures) <= set(figures.FIGURES)
        for target in scenario.targets:
            assert {target.server, target.against or target.server} <= set(scenario.servers)


def test_a_longer_window_is_measured_on_both_sides() -> None:
    """A window of 100 ms is a setting that Hocuspocus has, too; targets are against what it comes with."""
    assert {"cowrite-100ms", "hocuspocus-100ms"} <= set(SCENARIOS[0].servers)
    assert {target.against for scenario in SCENARIOS for target in scenario.targets} == {None, "hocuspocus"}


def test_the_others_run_on_a_node_that_they_ask_for() -> None:
    """What Hocuspocus' package says is what is taken for new enough."""
    lock = json.loads((ROOT / "bench" / "peers" / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/@hocuspocus/server"]["engines"]["node"] == f">={node.LEAST_VERSION}"
    assert [node.is_new_enough(version) for version in ("v20.20.2", "v22.0.0", "v100.1.0")] == [False, True, True]


def test_a_report_of_another_kind_of_load_lacks_figures() -> None:
    """What does not apply is left out, not taken for 0."""
    report = {
        "plan": {"document_bytes": 1000},
        "server": {"core_percent": 3.0, "cpu_us_per_delivery": None, "bytes_per_socket": 2048},
        "delivery": {"latency": None, "undelivered": 0},
        "storm": {"all_seconds": 2.0, "memory_peak_bytes": 5000, "memory_before_bytes": 2000, "latency_meanwhile": None},
        "generator_core_percent": [40.0, 60.0],
    }
    assert figures.read(report) == {
        "core": 3.0,
        "socket_kib": 2.0,
        "undelivered": 0.0,
        "storm_s": 2.0,
        "storm_growth": 3.0,
        "generator": 60.0,
    }


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"generator": 89.0, "waited": 9.0, "undelivered": 0.0}, []),
        ({"generator": 91.0}, []),
        ({"undelivered": 7.0}, ["fell behind: 7 undelivered at the end"]),
        ({"p50": 2500.0}, ["fell behind: half of the updates took more than 2.5 s"]),
        ({"waited": 20.0, "core": 40.0}, ["the core was shared: the server waited for it 20 % of the time"]),
        ({"waited": 20.0, "core": 99.0}, []),
    ],
)
def test_a_run_is_marked_that_did_not_measure_the_server(found: dict[str, float], said: list[str]) -> None:
    """The generator out of breath, the server behind, the core shared with somebody."""
    assert loads.remarks(found, {"problems": ["one"], "warnings": ["two"]}, died=False) == [*said, "one", "two"]
    assert loads.remarks(found, {}, died=True) == ["died during the run", *said]


def test_results_replace_those_that_are_in_the_document(tmp_path: Path) -> None:
    """Twice gives the same as once, and nothing around them changes."""
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- plan -->\nold\n<!-- end of plan -->\nb\n<!-- soak -->\n<!-- end of soak -->\n")
    for _ in range(2):
        put_into(page, "plan", r"| new \1 |")
    assert (
        page.read_text() == "a\n<!-- plan -->\n\n| new \\1 |\n\n<!-- end of plan -->\nb\n<!-- soak -->\n<!-- end of soak -->\n"
    )
    with pytest.raises(SystemExit, match="no place for the results"):
        put_into(page, "compare", "new")


def test_the_documentation_has_a_place_for_all_results() -> None:
    """For those of the comparison, of the plan and of the soak."""
    text = (ROOT / "docs" / "load-testing.md").read_text()
    for name in ("compare", "plan", "soak"):
        assert text.index(f"<!-- {name} -->\n") < text.index(f"<!-- end of {name} -->")


def test_an_unknown_scenario_is_named() -> None:
    """With those that there are."""
    with pytest.raises(SystemExit, match="no scenario R99; there are R1, R2"):
        compare.main(["--only", "R99"])


@pytest.mark.timeout(240)  # the first run installs the packages
def test_everything_arrives_on_all_servers_under_the_same_load() -> None:
    """The smoke test: real servers, real generator, a few people; in a document that was put in before, with cursors."""
    paths = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "bench.compare", "--short", "--only", "R4"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("| undelivered"))
    assert [cell.strip() for cell in row.split("|")[2:-1]] == ["0", "0", "0"]
