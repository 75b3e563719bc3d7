"""The documentation as a site: every page is on it, and every link leads somewhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from mkdocs.exceptions import Abort
from scripts.build_docs import build

ROOT = Path(__file__).resolve().parent.parent
SMALL = "site_name: small\nnav: [index.md, docs]\nplugins: []\nvalidation: {anchors: warn, omitted_files: warn}\n"


@pytest.mark.rule("HO14")
def test_the_site(tmp_path: Path) -> None:
    site = tmp_path / "site"
    build(ROOT, tmp_path / "gathered", site)
    decisions = {path.stem for path in (ROOT / "docs" / "adr").glob("0*.md")}
    assert {path.parent.name for path in (site / "docs" / "adr").glob("*/index.html")} == decisions
    listed = (site / "docs" / "adr" / "index.html").read_text()
    assert [name for name in decisions if f'<li><a href="{name}/">' not in listed] == []
    assert (site / "docs" / "images" / "demo.png").read_bytes() == (ROOT / "docs" / "images" / "demo.png").read_bytes()
    start = (site / "index.html").read_text()
    assert 'src="docs/images/demo.png"' in start
    assert 'href="docs/connect/"' in start
    assert "https://fonts" not in start  # nothing is loaded from others


@pytest.mark.rule("HO14")
@pytest.mark.parametrize("link", ["[gone](docs/gone.md)", "[gone](docs/there.md#gone)"])
def test_a_link_that_leads_nowhere(tmp_path: Path, link: str) -> None:
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    (root / "mkdocs.yml").write_text(SMALL)
    (root / "README.md").write_text("# Small\n\n[there](docs/there.md#here)\n")
    (root / "docs" / "there.md").write_text("# Here\n\n[back](../README.md)\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    build(root, tmp_path / "gathered", tmp_path / "site")
    assert (tmp_path / "site" / "docs" / "there" / "index.html").exists()
    (root / "README.md").write_text(f"# Small\n\n{link}\n")
    with pytest.raises(Abort):
        build(root, tmp_path / "gathered", tmp_path / "site")
