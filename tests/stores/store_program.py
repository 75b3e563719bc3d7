"""A process that writes to a store, for tests that kill it, fill its disk or run several of it.

Commands: ``numbers URL DOCUMENT``: writes entries for ever and prints the offset of each when it is durable.
``many URL DOCUMENT NUMBER NAME``: writes so many entries, some at a time. ``changes URL NUMBER NAME``:
changes access so often, and prints the revisions. ``hold URL DOCUMENT``: locks it. ``full URL``: see :func:`full`.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from itertools import count

from cowrite.core.ports import AccessLog, Store, StoreBusy, StoreUnavailable
from cowrite.stores import open_store
from cowrite.testing.records import make_change, make_entry, write


def say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def numbers(store: Store, document_id: str) -> None:
    """The update of an entry says its offset; the kill comes from outside."""
    for turn in count():
        async with store.writing([document_id]) as transaction:
            start = transaction.heads[document_id].offset + 1
            entries = [make_entry(offset, update=b"%d" % offset * 50) for offset in range(start, start + 1 + turn % 5)]
            await transaction.append(document_id, entries)
        say(entries[-1].offset)


async def many(store: Store, document_id: str, number: str, name: str) -> None:
    """Entries by this process, in groups of up to seven, with another document of its own beside."""
    written = 0
    while written < int(number):
        try:
            async with store.writing([document_id, name]) as transaction:
                for place in (document_id, name):
                    start = transaction.heads[place].offset + 1
                    found = await transaction.entries(place, start=max(1, start - 1))
                    assert [entry.offset for entry in found] == ([start - 1] if start > 1 else [])
                    group = min(1 + written % 7, int(number) - written)
                    await transaction.append(place, [make_entry(start + index, author=name) for index in range(group)])
        except StoreBusy:
            say("busy")
        else:
            written += group
    say("done")


async def changes(access: AccessLog, number: str, name: str) -> None:
    """Grants that this process changes."""
    for _ in range(int(number)):
        say(await access.change(make_change(changed_by=name)))


async def hold(store: Store, document_id: str) -> None:
    """Lock a document, and do nothing: the process is frozen then."""
    async with store.writing([document_id]):
        say("held")
        await asyncio.sleep(3600)


async def full(store: Store) -> None:
    """The disk is full for a while: no file may grow beyond what the largest has now plus a little."""
    await write(store, "doc", make_entry(1, update=bytes(100_000)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (180_000, limits[1]))
    failures = []
    for size in (500_000, 500_000, 10):
        try:
            await write(store, "doc", make_entry(2, update=bytes(size)))
        except StoreUnavailable as error:
            failures.append(error)
    say([type(error).__name__ for error in failures])
    say(failures[0])
    loaded = await store.load("doc")
    assert loaded is not None
    say(f"read while full: {loaded.head.offset} {[len(entry.update) for entry in loaded.entries]}")
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    offset = loaded.head.offset
    await write(store, "doc", make_entry(offset + 1, update=bytes(500_000)))
    say(f"written after: {(await store.heads(['doc']))['doc'].offset}")


async def main() -> None:
    command, url, *arguments = sys.argv[1:]
    storage = await open_store(url)
    commands = {"hold": hold, "numbers": numbers, "many": many, "full": full, "changes": changes}
    port = storage.access if command == "changes" else storage.store
    await commands[command](port, *arguments)  # type: ignore[operator]
    await storage.close()


if __name__ == "__main__":
    asyncio.run(main())
