"""Build the documentation as a site into build/site: `make docs`. Any link or anchor that leads nowhere is an error.

The pages lie where they belong (beside an example, in spec/, in docs/) and link to one another by relative paths. They are put
into one folder in the same order, with the files to which they link, so that those links hold on the site, too.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
GATHERED: Final = ROOT / "build" / "docs"
SITE: Final = ROOT / "build" / "site"
_LINK: Final = re.compile(r"\]\(([^)#\s:]+)((?:#[^)\s]*)?\))")
_NO_PAGES: Final = re.compile(r"(src|tests|clients/web)/")
"""Markdown in these is made for somebody else."""


def gather(root: Path, into: Path) -> list[str]:
    """Copy the pages, and what they link to. Returns the pages, as paths in ``into``."""
    shutil.rmtree(into, ignore_errors=True)
    pages = [path for path in _tracked(root) if path.endswith(".md") and not _NO_PAGES.match(path)]
    for page in pages:
        text = (root / page).read_text()
        placed = into / _placed(page)
        placed.parent.mkdir(parents=True, exist_ok=True)
        placed.write_text(_LINK.sub(partial(_link, root, page), text))
        for target in {found[1] for found in _LINK.finditer(text)}:
            _copy((root / page).parent / target, root, into)
    return [_placed(page) for page in pages]


def _tracked(root: Path) -> list[str]:
    """All files of the repository that are not ignored; also those that are not committed yet."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    told = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    return sorted(path for path in set(told.split("\0")) if path and (root / path).is_file())


def _placed(page: str) -> str:
    return "index.md" if page == "README.md" else page


def _link(root: Path, page: str, found: re.Match[str]) -> str:
    """A link as it is on the site: to the first page instead of README.md, to a folder's README instead of the folder."""
    target, rest = found.groups()
    path = (root / page).parent / target
    if path.resolve() == root / "README.md":
        target = os.path.relpath("index.md", Path(page).parent)
    elif (path / "README.md").is_file():
        target = f"{target.rstrip('/')}/README.md"
    return f"]({target}{rest}"


def _copy(target: Path, root: Path, into: Path) -> None:
    """What is no page: an image, an example's program."""
    target = target.resolve()
    if target.is_file() and target.suffix != ".md" and target.is_relative_to(root):
        copied = into / target.relative_to(root)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target, copied)


def navigation(nav: list[Any], pages: list[str]) -> list[Any]:
    """The site's sections, with a folder's pages in its place; a folder behind a title is a section of its own."""
    return [made for entry in nav for made in _entries(entry, pages)]


def _entries(entry: Any, pages: list[str]) -> Iterator[Any]:
    if isinstance(entry, dict):
        for title, below in entry.items():
            yield {title: below if _is_page(below) else navigation(below if isinstance(below, list) else [below], pages)}
    elif _is_page(entry):
        yield entry
    else:
        yield from (page for page in pages if page.startswith(f"{entry}/"))


def _is_page(entry: object) -> bool:
    return isinstance(entry, str) and entry.endswith(".md")


def build(root: Path = ROOT, gathered: Path = GATHERED, site: Path = SITE) -> None:
    """Make the site. Raises mkdocs' ``Abort`` where there is something to warn of."""
    from mkdocs.commands.build import build as build_site
    from mkdocs.config import load_config

    # A strict build counts the warnings that are logged, so they have to be, whatever else is.
    logging.getLogger("mkdocs").setLevel(logging.INFO)
    pages = gather(root, gathered)
    config = load_config(str(root / "mkdocs.yml"), docs_dir=str(gathered), site_dir=str(site), strict=True)
    config.nav = navigation(config.nav or [], pages)
    build_site(config)


if __name__ == "__main__":
    # A notice of the theme's makers about another program of theirs.
    os.environ["NO_MKDOCS_2_WARNING"] = "1"
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    build()
    print(f"the site: {SITE.relative_to(Path.cwd()) if SITE.is_relative_to(Path.cwd()) else SITE}/index.html", file=sys.stderr)
