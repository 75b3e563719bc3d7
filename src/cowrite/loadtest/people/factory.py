"""Makes the people of each role."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cowrite.loadtest.frames import FrameCache
from cowrite.loadtest.people.hocuspocus import HocuspocusPerson
from cowrite.loadtest.people.json_socket import JsonPerson
from cowrite.loadtest.people.person import Crew, Person
from cowrite.loadtest.people.polling import PollingPerson
from cowrite.loadtest.people.yjs import YjsPerson
from cowrite.loadtest.plan import Protocol, Role


def people_for(roles: Sequence[Role], crew: Crew) -> list[Person]:
    """The people for these roles. Those of one protocol share a cache."""
    read = crew.reader
    readers = {Protocol.YJS: read.yjs, Protocol.HOCUSPOCUS: read.hocuspocus, Protocol.JSON: read.json}
    caches = {protocol: FrameCache(reads) for protocol, reads in readers.items()}
    crew.caches += caches.values()
    makers: dict[Protocol, Callable[[Role], Person]] = {
        Protocol.YJS: lambda role: YjsPerson(role, crew, caches[Protocol.YJS]),
        Protocol.HOCUSPOCUS: lambda role: HocuspocusPerson(role, crew, caches[Protocol.HOCUSPOCUS]),
        Protocol.JSON: lambda role: JsonPerson(role, crew, caches[Protocol.JSON]),
        Protocol.POLL: lambda role: PollingPerson(role, crew),
    }
    return [makers[role.protocol](role) for role in roles]
