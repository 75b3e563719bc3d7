"""What the commands on webhooks that were given up do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from cowrite.archive import Archive
from cowrite.console import say
from cowrite.core.ports.webhooks import DeadLetter, WebhookLog
from cowrite.formats.diff_text import harmless
from cowrite.history_work import run
from cowrite.startup import StartError

ALL: Final = "all"
_AT_ONCE: Final = 500


def print_dead(data_dir: str | None, database_url: str | None, *, as_json: bool) -> None:
    """Print a line for each, or a JSON object a line, with what it tells."""

    async def work(archive: Archive) -> None:
        number = 0
        async for letter in _all(archive):
            number += 1
            say(_line(letter), asdict(letter), as_json=as_json)
        if not number and not as_json:
            say("no webhook was given up", {}, as_json=False)

    run(data_dir, database_url, work)


def retry(data_dir: str | None, database_url: str | None, event_id: str) -> None:
    """Have one, or all, sent again."""
    number = run(data_dir, database_url, lambda archive: _each(archive, event_id, lambda log, one: log.retry(one)))
    say(f"webhooks that will be sent again, in no order: {number}", {}, as_json=False)


def drop(data_dir: str | None, database_url: str | None, event_id: str) -> None:
    """Forget one, or all."""
    number = run(data_dir, database_url, lambda archive: _each(archive, event_id, lambda log, one: log.drop(one)))
    say(f"webhooks that were dropped: {number}", {}, as_json=False)


async def _each(archive: Archive, event_id: str, do: Callable[[WebhookLog, str], Awaitable[bool]]) -> int:
    ids = [letter.event_id async for letter in _all(archive)] if event_id == ALL else [event_id]
    number = sum([await do(_log_of(archive), one) for one in ids])
    if not number and event_id != ALL:
        raise StartError(f"there is no webhook {event_id} that was given up; `cowrite webhooks list` tells which there are")
    return number


async def _all(archive: Archive) -> AsyncIterator[DeadLetter]:
    after: str | None = None
    while letters := await _log_of(archive).dead(after=after, limit=_AT_ONCE):
        for letter in letters:
            yield letter
        after = letters[-1].event_id


def _log_of(archive: Archive) -> WebhookLog:
    log = archive.storage.webhooks
    assert log is not None, "all databases have one"
    return log


def _line(letter: DeadLetter) -> str:
    died = datetime.fromtimestamp(letter.died_at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    again = ", to be sent again" if letter.due_at is not None else ""
    what = f"{letter.type} of {harmless(letter.document_id)}, given up {died} after {letter.attempts} attempts{again}"
    return f"{letter.event_id}  {what}: {harmless(letter.reason)}"
