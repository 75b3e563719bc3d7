"""What an update needs of a document, and in which order its structs can be integrated."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TypeAlias

from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.outline import ClockRange

Reference: TypeAlias = tuple[int, int, int, int]
"""(row, its clock, other client, clock): this row builds on that struct of another client."""

Block: TypeAlias = tuple[int, int, int, int]
"""See ``Layout.blocks``."""
Needs: TypeAlias = tuple[tuple[int, int], ...]
Order: TypeAlias = tuple[tuple[int, int], ...]


def needs_alone(brings: Sequence[ClockRange], deletes: Sequence[ClockRange], references: Sequence[Reference]) -> Needs:
    """Find what must be known before an update of a single client: as :func:`needs_and_order`, sooner."""
    needs: dict[int, int] = {}
    if brings and brings[-1].start:
        needs[brings[-1].client] = brings[-1].start - 1
    for _, _, client, clock in references:
        if clock > needs.get(client, -1):
            needs[client] = clock
    if deletes:
        _add_deletes(needs, deletes, _by_client(brings))
    return tuple(needs.items())


def needs_and_order(
    clients: Sequence[int],
    blocks: Sequence[Block],
    brings: Sequence[ClockRange],
    deletes: Sequence[ClockRange],
    references: Sequence[Sequence[Reference]],
) -> tuple[Needs, Order]:
    """Find what must be known before, as the highest clock per client; and the order of the rest (see ``Layout.order``).

    ``references`` holds, for each block, what it refers to in other clients' structs. Raises :class:`HostileUpdate` when
    structs build on one another in a circle (no editor can have written that). Takes O(n log n) for n references.
    """
    if len({block[0] for block in blocks}) < len(blocks):
        raise HostileUpdate("duplicate", "two lists of structs for one client")
    needs: dict[int, int] = {}
    for brought in brings:  # each range follows on what comes before it; of one client's ranges the last one demands most
        if brought.start:
            needs[brought.client] = brought.start - 1
    inner: list[list[Reference]] = []
    brought_ranges = _by_client(brings)
    for block in references:
        inner.append([])
        for reference in block:
            client, clock = reference[2:]
            if _covers(brought_ranges, client, clock):
                inner[-1].append(reference)
            elif clock > needs.get(client, -1):
                needs[client] = clock
    _add_deletes(needs, deletes, brought_ranges)
    return tuple(needs.items()), _order(clients, blocks, inner)


def _add_deletes(needs: dict[int, int], deletes: Sequence[ClockRange], ranges: dict[int, list[tuple[int, int]]]) -> None:
    for deleted in deletes:
        client, clock = deleted.client, deleted.end - 1
        if clock > needs.get(client, -1) and not _covers(ranges, client, clock):
            needs[client] = clock


def _by_client(brings: Sequence[ClockRange]) -> dict[int, list[tuple[int, int]]]:
    ranges: dict[int, list[tuple[int, int]]] = {}
    for brought in brings:
        ranges.setdefault(brought.client, []).append((brought.start, brought.end))
    return ranges


def _covers(ranges: dict[int, list[tuple[int, int]]], client: int, clock: int) -> bool:
    own = ranges.get(client)
    if own is None:
        return False
    if len(own) == 1:
        return own[0][0] <= clock < own[0][1]
    at = bisect_right(own, (clock, clock + 1 << 40)) - 1
    return at >= 0 and own[at][0] <= clock < own[at][1]


def _order(clients: Sequence[int], blocks: Sequence[Block], references: Sequence[Sequence[Reference]]) -> Order:
    if not any(references):
        return tuple((index, block[2]) for index, block in enumerate(blocks))
    block_of = {clients[block[0]]: index for index, block in enumerate(blocks)}
    reached = [0] * len(blocks)  # the clock up to which each block has been taken
    taken = [0] * len(blocks)  # how many of its references have been met
    waiting: list[list[tuple[int, int]]] = [[] for _ in blocks]  # for each block a heap of (clock waited for, who waits)
    ready = list(range(len(blocks)))
    steps: list[tuple[int, int]] = []
    finished = 0
    while ready:
        block = ready.pop()
        own = references[block]
        row, reached[block] = blocks[block][2:]
        while taken[block] < len(own):
            at_row, at_clock, client, clock = own[taken[block]]
            other = block_of[client]
            if reached[other] <= clock:
                row, reached[block] = at_row, at_clock
                heappush(waiting[other], (clock, block))
                break
            taken[block] += 1
        else:
            finished += 1
        steps.append((block, row))
        while waiting[block] and waiting[block][0][0] < reached[block]:
            ready.append(heappop(waiting[block])[1])
    if finished < len(blocks):
        raise HostileUpdate("cycle", "some of its structs build on one another in a circle")
    return tuple(steps)
