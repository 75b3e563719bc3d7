"""Who comes for which seat."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cowrite.loadtest.frames import FrameBook
from cowrite.loadtest.people.hocuspocus import HocuspocusPerson
from cowrite.loadtest.people.json_socket import JsonPerson
from cowrite.loadtest.people.person import Crew, Person
from cowrite.loadtest.people.polling import PollingPerson
from cowrite.loadtest.people.yjs import YjsPerson
from cowrite.loadtest.plan import Protocol, Seat


def cast(seats: Sequence[Seat], crew: Crew) -> list[Person]:
    """The people for these seats. Those of one protocol share a book."""
    read = crew.reader
    readers = {Protocol.YJS: read.yjs, Protocol.HOCUSPOCUS: read.hocuspocus, Protocol.JSON: read.json}
    books = {protocol: FrameBook(reads) for protocol, reads in readers.items()}
    crew.books += books.values()
    makers: dict[Protocol, Callable[[Seat], Person]] = {
        Protocol.YJS: lambda seat: YjsPerson(seat, crew, books[Protocol.YJS]),
        Protocol.HOCUSPOCUS: lambda seat: HocuspocusPerson(seat, crew, books[Protocol.HOCUSPOCUS]),
        Protocol.JSON: lambda seat: JsonPerson(seat, crew, books[Protocol.JSON]),
        Protocol.POLL: lambda seat: PollingPerson(seat, crew),
    }
    return [makers[seat.protocol](seat) for seat in seats]
