"""The report as one page: nothing is loaded from elsewhere, and no script runs."""

from __future__ import annotations

from html import escape
from typing import Final

from cowrite.loadtest.report import svg
from cowrite.loadtest.report.model import Report
from cowrite.loadtest.report.rows import Row, headline, sections, verdict

_STYLE: Final = """
:root { color-scheme: light dark; --surface: #fcfcfb; --card: #ffffff; --ink: #0b0b0b; --second: #52514e; --grid: #e1e0d9;
  --one: #2a78d6; --two: #c8501c; --good: #006300; --bad: #b3261e; --edge: rgba(11,11,11,.1) }
@media (prefers-color-scheme: dark) { :root { --surface: #0d0d0d; --card: #1a1a19; --ink: #ffffff; --second: #c3c2b7;
  --grid: #2c2c2a; --one: #3987e5; --two: #e0703a; --good: #4fc04f; --bad: #ff8a80; --edge: rgba(255,255,255,.1) } }
* { box-sizing: border-box }
body { margin: 0; background: var(--surface); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 24px 16px 48px }
h1 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 4px; overflow-wrap: anywhere }
h2 { font-size: .95rem; margin: 0 0 8px } p { margin: 4px 0; overflow-wrap: anywhere }
.second, .note { color: var(--second) } .good { color: var(--good) } .bad { color: var(--bad) }
.tiles, .plots { display: grid; gap: 12px; margin-top: 16px }
.tiles { grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)) }
.plots { grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)) }
.tables { columns: 2 400px; column-gap: 12px; margin-top: 12px } .tables .card { break-inside: avoid; margin-bottom: 12px }
.card { background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: 12px 14px; min-width: 0 }
.tile b { display: block; font-size: 1.5rem; font-weight: 600; line-height: 1.25 }
.tile span { color: var(--second); font-size: .85rem }
svg { display: block; width: 100%; height: auto } svg text { fill: var(--second); font: 10.5px system-ui, sans-serif }
.grid { stroke: var(--grid); fill: none } .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
.one { stroke: var(--one) } .two { stroke: var(--two) } .bar { fill: var(--one) } .hover { fill: transparent }
.hover:hover { fill: var(--edge) }
.mark { stroke: var(--second); stroke-dasharray: 3 3; fill: none } svg .told { fill: var(--ink) }
.key { color: var(--second); font-size: .85rem; font-weight: 400; margin-left: 10px; white-space: nowrap }
.key i { display: inline-block; width: 14px; height: 0; border-top: 3px solid; vertical-align: middle; margin-right: 5px }
table { border-collapse: collapse; width: 100%; font-size: .9rem } td { padding: 4px 0; vertical-align: top;
  border-top: 1px solid var(--grid) } tr:first-child td { border: 0 }
td:first-child { color: var(--second); padding-right: 12px; width: 34% } td small { display: block; color: var(--second) }
td { font-variant-numeric: tabular-nums } code { font-size: .85rem; overflow-wrap: anywhere }
"""


def page(report: Report) -> str:
    """The page, as HTML that is XML, too."""
    title = escape(f"Load on {report.plan['url']}")
    state = "good" if report.ok else "bad"
    problems = [f"lost: {one}" for one in report.problems] + [f"warning: {one}" for one in report.warnings]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<style>{escape(_STYLE, quote=False)}</style></head>"
        f"<body><main><h1>{title}</h1><p>{escape(headline(report))}</p>"
        f'<p class="second">{escape(report.began_at)} · cowrite {escape(report.cowrite)} · {report.seconds:g} s measured</p>'
        f'<p class="{state}"><b>{escape(verdict(report))}</b></p>'
        f"{''.join(f'<p class={chr(34)}bad{chr(34)}>{escape(one)}</p>' for one in problems)}"
        f'<div class="tiles">{_tiles(report)}</div><div class="plots">{_plots(report)}</div>'
        f'<div class="tables">{_tables(report)}</div></main></body></html>\n'
    )


def _tiles(report: Report) -> str:
    told, server = report.delivery, report.server
    tiles = [("undelivered", f"{told.undelivered:,}"), ("deliveries a second", f"{told.per_second:,.0f}")]
    if told.latency is not None:
        tiles += [("p50 latency", f"{told.latency.p50:,.1f} ms"), ("p99 latency", f"{told.latency.p99:,.1f} ms")]
    if server is not None:
        tiles.append(("server, of a core", f"{server.core_percent:.1f} %"))
        if server.cpu_us_per_delivery is not None:
            tiles.append(("server, for a delivery", f"{server.cpu_us_per_delivery:,.2f} µs"))
    return "".join(f'<div class="card tile"><b>{escape(value)}</b><span>{name}</span></div>' for name, value in tiles)


def _plots(report: Report) -> str:
    seconds = [one for one in report.timeline if one.at < report.seconds]
    latency = report.delivery.latency
    marks = [] if latency is None else [(f"p50 {latency.p50:,.1f}", latency.p50), (f"p99 {latency.p99:,.1f}", latency.p99)]
    plots = [
        (
            "Latency, ms",
            svg.lines(
                [
                    svg.Series("p50", "one", [(one.at, one.p50) for one in seconds]),
                    svg.Series("p99", "two", [(one.at, one.p99) for one in seconds]),
                ],
                unit="ms",
                label="Latency of deliveries over time",
            ),
            _key("one", "p50") + _key("two", "p99"),
        ),
        (
            "How long deliveries took, % of them",
            svg.distribution(report.histogram, marks=marks, label="How long deliveries took"),
            "",
        ),
        ("Deliveries a second", _one([(one.at, one.deliveries) for one in seconds], "", "Deliveries a second"), ""),
        ("Server, % of a core", _one([(one.at, one.server_core_percent) for one in seconds], "%", "Processor use"), ""),
        (
            "Server, memory in MB",
            _one([(one.at, one.server_memory_bytes and one.server_memory_bytes / 1e6) for one in seconds], "MB", "Memory"),
            "",
        ),
    ]
    return "".join(f'<section class="card"><h2>{name}{key}</h2>{plot}</section>' for name, plot, key in plots if plot)


def _one(points: list[tuple[float, float | None]], unit: str, label: str) -> str:
    return svg.lines([svg.Series(label, "one", points)], unit=unit, label=f"{label} over time")


def _key(style: str, name: str) -> str:
    return f'<span class="key"><i style="border-color: var(--{style})"></i>{name}</span>'


def _tables(report: Report) -> str:
    tables = "".join(
        f'<section class="card"><h2>{escape(section.title)}</h2><table>{"".join(map(_row, section.rows))}</table></section>'
        for section in sections(report)
    )
    plan = "".join(
        _row(Row(name.replace("_", " "), _told(value))) for name, value in report.plan.items() if value or value == 0
    )
    return f'{tables}<section class="card"><h2>Plan</h2><table>{plan}</table></section>'


def _row(row: Row) -> str:
    note = f"<small>{escape(row.note)}</small>" if row.note else ""
    state = ' class="bad"' if row.bad else ""
    return f"<tr><td>{escape(row.name)}</td><td{state}>{escape(row.value)}{note}</td></tr>"


def _told(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {share:g}" for name, share in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
