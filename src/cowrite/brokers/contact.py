"""The connections to a server, or to all masters of a cluster: they are opened together, and end together.

So there is one answer to the question whether news crosses processes now, and one place where it is found again: whatever fails
(a server, a master that has become a replica, a slot that has moved), all is connected and subscribed anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.crc import key_slot

from cowrite.brokers.link import Address, Link, LinkLost, Refused

_SLOTS: Final = 16384
_NOBODYS: Final = b"cowrite:news:{}"


class Contact:
    """See the module's docstring."""

    def __init__(self, told: Callable[[Link, list[Any]], None]) -> None:
        self.links: list[Link] = []
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Why it is over, once it is."""
        self._told = told
        self._of_slot: list[Link | None] = []
        """In a cluster: by slot."""

    async def open(self, seeds: Sequence[Address]) -> None:
        """Connect to the first of these that can be, and to the other masters of its cluster. Raises :class:`LinkLost`."""
        first, found = await self._first(seeds)
        try:
            if found.get("mode") == "cluster":
                await self._spread(first)
            # Nobody has this channel. Who may not tell, or to whom nobody can, is told so now and not by the first edit.
            await self.link(_NOBODYS).call(b"SPUBLISH", _NOBODYS, b"")
        except BaseException:
            self.close()
            raise
        if self.lost.done():
            raise LinkLost(self.lost.result())

    def link(self, channel: bytes) -> Link:
        """Where a channel is."""
        if not self._of_slot:
            return self.links[0]
        link = self._of_slot[key_slot(channel)]
        assert link is not None, "all slots were there when it was opened"
        return link

    @property
    def addresses(self) -> list[Address]:
        """Of all that it is connected to."""
        return [link.address for link in self.links]

    def close(self, reason: str = "it was closed") -> None:
        """End all connections. Idempotent."""
        for link in self.links:
            link.close(reason)

    async def _first(self, seeds: Sequence[Address]) -> tuple[Link, dict[str, str]]:
        refusal = LinkLost("there is no server to connect to")
        for address in seeds:
            link = self._make(address)
            try:
                found = await link.open()
            except LinkLost as error:
                refusal = error if not isinstance(refusal, Refused) else refusal
                continue
            self.links = [link]
            return link, found
        raise refusal

    async def _spread(self, first: Link) -> None:
        slots = _masters(await first.call("CLUSTER", "SLOTS"), first.address)
        links = {address: self._make(address) for _, _, address in slots if address != first.address}
        if any(address == first.address for _, _, address in slots):
            links[first.address] = first
        self.links = list(links.values())
        if first not in self.links:
            first.close("the cluster calls it by another name, or it is a replica")
        # All at once, and none is left half open when one cannot be reached.
        results = await asyncio.gather(*(link.open() for link in self.links if link is not first), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        self._of_slot = [None] * _SLOTS
        for start, end, address in slots:
            self._of_slot[start : end + 1] = [links[address]] * (end - start + 1)
        if len(self._of_slot) != _SLOTS or None in self._of_slot:
            raise LinkLost(f"the cluster of {first.address} does not serve all slots")

    def _make(self, address: Address) -> Link:
        return Link(address, self._told, self._end)

    def _end(self, link: Link, reason: str) -> None:
        if link in self.links and not self.lost.done():
            self.lost.set_result(reason)
            self.close(reason)


def _masters(answer: Any, asked: Address) -> list[tuple[int, int, Address]]:
    """First slot, last slot, and the master. Raises :class:`LinkLost`."""
    try:
        found = []
        for start, end, (host, port, *_), *_ in answer:
            name = (host or b"").decode()
            found.append((int(start), int(end), asked.at(name if name not in {"", "?"} else asked.host, int(port))))
    except (ValueError, TypeError, AttributeError):
        raise LinkLost(f"{asked} has answered CLUSTER SLOTS in a way that cannot be read") from None
    return found
