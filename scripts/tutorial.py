"""What a tutorial of docs/tutorials/ tells its reader to do, in order. A tutorial is Markdown, of which this is to be done:

* a code block with ``title="a/file.py"`` is that file, whole;
* a ``console`` block is typed: what follows ``$`` on a line, and a line that ends with a backslash goes on. Its other lines are
  what is seen then, in which ``…`` stands for anything;
* one with ``title="another terminal"`` is typed into a terminal of its own, and its last command goes on to the end;
* a list entry ``Open <http://…> as `Ana`, and type `Hello`.`` is a window of a browser of its own; who one is, and what one
  types, may be missing;
* a ``text`` block with ``title="all windows show"`` is what is then in the editor of each window.

All other text is for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt

ANOTHER_TERMINAL: Final = "another terminal"
ALL_WINDOWS: Final = "all windows show"
ANYTHING: Final = "…"
_TITLE: Final = re.compile(r'title="([^"]+)"')
_WINDOW: Final = re.compile(r"Open <(?P<url>http[^>]+)>(?:[^`]* as `(?P<person>[^`]+)`)?(?:[^`]* type `(?P<text>[^`]+)`)?")
_ADDRESS: Final = re.compile(r"(?<=127\.0\.0\.1:)\d{4,5}")


@dataclass(frozen=True, slots=True)
class File:
    """A file to write: its path in the reader's folder, the language that the block names, and all that is in it."""

    path: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Commands:
    """What is typed into a terminal; ``seen`` is what it shows at the end, which may be nothing."""

    commands: tuple[str, ...]
    seen: str
    stays: bool = False
    """The last command is a server, in a terminal of its own."""


@dataclass(frozen=True, slots=True)
class Window:
    """A browser of somebody's own at an address, and what is typed into its editor."""

    url: str
    person: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """What is in the editor of every window."""

    text: str


Step = File | Commands | Window | Shown


class UnreadableTutorial(ValueError):
    """A block that would be left out, or cannot be meant as it stands."""


def read(tutorial: Path) -> list[Step]:
    """The steps. Raises ``UnreadableTutorial`` for a block that says how it is to be done in no way that is known."""
    return list(_steps(tutorial.read_text()))


def ports(steps: list[Step]) -> set[int]:
    """The ports of this machine that the steps name."""
    return {int(port) for step in steps for port in _ADDRESS.findall(repr(step))}


def at_other_ports(text: str, others: dict[int, int]) -> str:
    """A text of the tutorial, with each of its addresses on this machine at another port."""
    return _ADDRESS.sub(lambda found: str(others.get(int(found[0]), found[0])), text)


def matches(seen: str, real: str) -> bool:
    """Whether what a tutorial shows is among what there really was."""
    pattern = ".*".join(re.escape(part) for part in seen.strip().split(ANYTHING))
    return re.search(pattern, real, re.DOTALL) is not None


def _steps(text: str) -> Iterator[Step]:
    tokens = MarkdownIt().parse(text)
    for token in tokens:
        if token.type == "fence":
            yield _block(token.info, token.content)
        elif token.type == "code_block":
            raise UnreadableTutorial(f"an indented block, of which nobody knows what it is: {token.content.strip()!r}")
        elif token.type == "inline" and (found := _WINDOW.match(" ".join(token.content.split()))):
            yield Window(found["url"], found["person"], found["text"])


def _block(info: str, content: str) -> Step:
    language = info.split(maxsplit=1)[0] if info else ""
    titled = _TITLE.search(info)
    title = titled[1] if titled else None
    if language == "console":
        if title not in {None, ANOTHER_TERMINAL}:
            raise UnreadableTutorial(f"a console block is called {title!r}: it may be {ANOTHER_TERMINAL!r}, or without a title")
        return _commands(content, stays=title == ANOTHER_TERMINAL)
    if title is None:
        raise UnreadableTutorial(f"a block of {language or 'no language'} without a title: {content.strip()[:60]!r}")
    return Shown(content.strip()) if title == ALL_WINDOWS else File(title, language, content)


def _commands(content: str, *, stays: bool) -> Commands:
    typed: list[str] = []
    seen: list[str] = []
    goes_on = False
    for line in content.splitlines():
        if goes_on:
            typed[-1] += f"\n{line}"
        elif line.startswith("$ "):
            if seen:
                raise UnreadableTutorial(f"something is typed after what is seen; begin a new block: {line!r}")
            typed.append(line[2:])
        else:
            seen.append(line)
        goes_on = not seen and line.endswith("\\")
    if not typed:
        raise UnreadableTutorial(f"a console block without a command: {content.strip()[:60]!r}")
    return Commands(tuple(typed), "\n".join(seen), stays)
