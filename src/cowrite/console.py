"""What commands write: lines for people, or JSON for programs; and how far a long one is, where somebody watches."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, TypeVar

import typer

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON, for programs.")]


def say(line: str, told: dict[str, Any], *, as_json: bool) -> None:
    """Print the line, or in its place what it tells as a JSON object in one line."""
    sys.stdout.write(f"{json.dumps(told, ensure_ascii=False) if as_json else line}\n")
    sys.stdout.flush()


def followed(things: Iterable[T], what: str) -> Iterator[T]:
    """The things one by one, with a bar on stderr that says how many are done, where that is a terminal."""
    if not sys.stderr.isatty():
        yield from things
        return
    from rich.console import Console
    from rich.progress import Progress

    # It goes away at the end, and leaves stdout alone: what it was for is told there.
    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        yield from progress.track(list(things), description=what)


def busy(what: str) -> AbstractContextManager[object]:
    """A sign on stderr that something is done while the block runs, where that is a terminal."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(what)
