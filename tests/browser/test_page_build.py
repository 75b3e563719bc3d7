"""The committed page and its sources."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cowrite.web import ADMIN, PAGES
from node_program import node

pytestmark = pytest.mark.browser

WEB = Path(__file__).resolve().parents[2] / "clients" / "web"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.rule("PG16")
def test_the_same_sources_build_the_same_page(tmp_path: Path) -> None:
    """Built in another folder, the page is the committed one, byte for byte. (`npm run check` compares a build in place.)"""
    sources = tmp_path / "elsewhere" / "sources"
    shutil.copytree(WEB, sources, ignore=shutil.ignore_patterns("node_modules"))
    (sources / "node_modules").symlink_to(WEB / "node_modules")
    client = shutil.copytree(WEB.parent / "js" / "src", tmp_path / "elsewhere" / "js" / "src").parent
    for name in ("package.json", "tsconfig.json"):
        shutil.copy(WEB.parent / "js" / name, client)
    shutil.copytree(WEB.parents[1] / "spec", tmp_path / "spec")
    environment = {name: value for name, value in os.environ.items() if name != "NODE_ENV"}
    for committed, config in ((PAGES, "vite.config.ts"), (ADMIN, "vite.admin.config.ts")):
        built = tmp_path / "built" / committed.name
        options = ("--logLevel", "error", "--config", config, "--outDir", str(built), "--emptyOutDir")
        command = [node(), "node_modules/vite/bin/vite.js", "build", *options]
        subprocess.run(command, cwd=sources, env=environment, check=True)
        assert files(built).keys() == files(committed).keys()
        assert [name for name, content in files(built).items() if content != files(committed)[name]] == []
