"""What axe finds on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser.page_window import PageWindow

AXE = Path(__file__).resolve().parents[2] / "clients" / "web" / "node_modules" / "axe-core" / "axe.min.js"


def violations(window: PageWindow) -> list[str]:
    """What axe finds against WCAG 2.2 A and AA, as "rule: elements"."""
    window.page.evaluate(AXE.read_text())
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found: dict[str, Any] = window.page.evaluate("(tags) => axe.run(document, { runOnly: tags })", tags)
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found["violations"]]
