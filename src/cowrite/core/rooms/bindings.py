"""Whose the Yjs clients of an open document are.

Theory of operation. A Yjs client id is *bound* to a user in the store, with an entry that was typed with it, or whose peer had
said by its awareness that it is that client; the first binding stays. The room knows the bindings: all of them from when it was
opened, those of other processes with their entries. Between an update and its COMMIT the binding is *offered*: it counts here,
and is forgotten when nothing comes of it. Content under an id that is another user's is refused while that user is somewhere in
the document, so that nobody can write what would make the user's own next edit vanish; else it is taken, as the user's.

Several processes may offer the same id to several users. The first that commits has bound it; the others find that under the
lock (*fresh* bindings), and what they have shown of it is judged anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from cowrite.core.delivery.peer import Peer
from cowrite.core.ports import Store
from cowrite.core.records import Entry
from cowrite.core.rooms.received import Received
from cowrite.core.rooms.replicas import Replicas
from cowrite.crdt.outline import ClockRange, Outline

_NOTHING: Final[Mapping[int, int]] = MappingProxyType({})


def clients_of(entries: Iterable[Entry]) -> Collection[int]:
    """The Yjs clients that wrote in these."""
    return {brought.client for entry in entries for brought in entry.ranges}


class Bindings:
    """The users of one document's Yjs clients. Synchronous but for :meth:`look_up`."""

    def __init__(self, is_here: Callable[[str], bool]) -> None:
        """``is_here``: whether a user has a session in the document, on whatever process; a hint, that may be late."""
        self._is_here = is_here
        self._bound: dict[int, str] = {}
        self._offered: dict[int, str] = {}
        self._free: set[int] = set()
        """Those that were looked up, and were nobody's."""
        self._fresh: set[int] = set()
        """Those that others have bound since the last COMMIT here."""

    def user_of(self, client: int) -> str | None:
        """Whose it is, as far as that is known here; None: nobody's."""
        return self._bound.get(client) or self._offered.get(client)

    # ---- what comes in -----------------------------------------------------------------------------------------------

    def foreign(self, author: str, outline: Outline, state: Mapping[int, int]) -> Mapping[int, int]:
        """The Yjs clients of which it brings something that is not in ``state``, although they are other users' who are here;
        and up to which clock.
        """
        brings = outline.brings
        if len(brings) == 1 and self._bound.get(brings[0].client) == author:
            return _NOTHING
        return self._foreign(author, brings, state)

    def are_foreign(self, author: str, ends: Mapping[int, int], state: Mapping[int, int]) -> bool:
        """Whether any of what :meth:`foreign` found still is."""
        return bool(self._foreign(author, [ClockRange(client, 0, end) for client, end in ends.items()], state))

    def offer(self, received: Received) -> None:
        """It was taken: who types with a Yjs client is its user, unless it has one."""
        brings = received.outline.brings
        if len(brings) == 1 and brings[0].client in self._bound:
            return  # as nearly always
        client = received.typed_with
        if client is not None and client not in self._bound and not received.session.access.anonymous:
            self._offered.setdefault(client, received.author)

    def introduce(self, peer: Peer) -> bool:
        """A peer has said which Yjs client it is. Returns whether that is nobody's by now, and will be this user's."""
        client = peer.own_client
        if client is None or client in self._bound or peer.session.access.anonymous:
            return False
        return self._offered.setdefault(client, peer.session.author) == peer.session.author

    def leave(self, peer: Peer, state: Mapping[int, int]) -> None:
        """A peer has gone. Its word counts no more, unless something was written with that Yjs client."""
        client = peer.own_client
        if client is not None and not state.get(client) and self._offered.get(client) == peer.session.author:
            del self._offered[client]

    def withdraw(self) -> None:
        """What was shown may never be committed."""
        self._offered.clear()

    # ---- what is committed -------------------------------------------------------------------------------------------

    def learn(self, entries: Iterable[Entry]) -> None:
        """Entries of others."""
        for entry in entries:
            for client in entry.claims:
                self._bind(client, entry.author)

    def settle(self, entries: Iterable[Entry], claims: Mapping[int, str]) -> None:
        """What this process has bound is committed."""
        for entry in entries:
            for client in entry.claims:
                if client not in self._bound:
                    self._know(client, entry.author)
        for client, user in claims.items():
            self._know(client, user)
        self._fresh.clear()

    def load(self, bound: Mapping[int, str]) -> None:
        """All that are bound in the store."""
        self._bound = dict(bound)
        self._offered.clear()
        self._free.clear()
        self._fresh.clear()

    async def look_up(self, store: Store, document_id: str, clients: Collection[int]) -> None:
        """Learn from the store whose these are. Raises what reading it raises."""
        unknown = [client for client in clients if client not in self._bound]
        if unknown:
            bound = await store.clients(document_id, unknown)
            self._free.update(client for client in unknown if client not in bound)
            for client, user in bound.items():
                self._bind(client, user)

    def unknown(self, batch: Iterable[Received], state: Mapping[int, int]) -> Collection[int]:
        """The Yjs clients of these that may have been bound without an entry: the log holds something of them, and it was not
        looked up whose they are.
        """
        clients = {brought.client for one in batch for brought in one.outline.brings}
        clients.update(one.peer.own_client for one in batch if one.peer.own_client is not None)
        return [one for one in clients if one not in self._bound and one not in self._free and state.get(one)]

    def lost(self, batch: Iterable[Received], state: Mapping[int, int]) -> Sequence[Received]:
        """Those that were taken before another process bound their Yjs clients to others who are here."""
        if not self._fresh:
            return ()
        return [one for one in batch if self._fresh.intersection(self.foreign(one.author, one.outline, state))]

    # ---- whose an entry is -------------------------------------------------------------------------------------------

    def run(self, received: Received) -> tuple[str, str, bool]:
        """What the updates of one run have in common: the user of the session; whose it is that was typed, of everything else
        that user again; and :attr:`Received.carries`.
        """
        user, client = received.author, received.typed_with
        return (user, user, received.carries) if client is None else (user, self.user_of(client) or user, False)

    def author(self, run: Sequence[Received], ranges: Sequence[ClockRange], *, deletes: bool) -> str:
        """Whose the entry of a run is that brings these: the user's to whom all is bound; else the session's. What somebody
        deletes who carries what others wrote is not theirs.
        """
        author = run[0].author
        if not ranges or (len(ranges) == 1 and self._bound.get(ranges[0].client) == author):
            return author
        users = {self.user_of(brought.client) or author for brought in ranges}
        if len(users) != 1 or (deletes and run[0].carries):
            return author
        return users.pop()

    def claims(self, run: Sequence[Received], author: str) -> tuple[int, ...]:
        """The Yjs clients of a run's entry that are its author's by it."""
        if run[0].session.access.anonymous:
            return ()
        typed = dict.fromkeys([one.typed_with for one in run])
        return tuple([client for client in typed if client is not None and (self.user_of(client) or author) == author])

    def own(self, run: Sequence[Received], replicas: Replicas) -> Mapping[int, str]:
        """The Yjs clients that the peers of a run say they are, where they are not bound and the log has something of them."""
        found = {}
        for one in run:
            client = one.peer.own_client
            if client is not None and client not in self._bound and self.user_of(client) == one.author:
                assert replicas.log is not None, "the run was just applied to it"
                if replicas.log.state.get(client):
                    found[client] = one.author
        return found

    def _foreign(self, author: str, brings: Iterable[ClockRange], state: Mapping[int, int]) -> Mapping[int, int]:
        found: dict[int, int] = {}
        for client, _, end in brings:
            user = self.user_of(client)
            if user is not None and user != author and end > state.get(client, 0) and self._is_here(user):
                found[client] = max(end, found.get(client, 0))
        return found

    def _bind(self, client: int, user: str) -> None:
        if client not in self._bound:
            self._know(client, user)
            self._fresh.add(client)

    def _know(self, client: int, user: str) -> None:
        self._bound[client] = user
        self._offered.pop(client, None)
        self._free.discard(client)
