"""What an update needs of a document, and in which order its structs can be integrated."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeAlias

from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.outline import CLOCK_MASK, ClockRange

Reference: TypeAlias = tuple[int, int, int, int]
"""(row, its clock, other client, clock): this row builds on that struct of another client."""
Block: TypeAlias = tuple[int, int, int, int]
"""See ``Layout.blocks``."""
Needs: TypeAlias = tuple[tuple[int, int], ...]
Order: TypeAlias = tuple[tuple[int, int], ...]


def needs_alone(brings: Sequence[ClockRange], deletes: Sequence[ClockRange], references: Sequence[Reference]) -> Needs:
    """Find what must be known before an update of a single client: as :func:`needs_and_inner`, sooner."""
    if not references and not deletes:
        return ((brings[-1][0], brings[-1][1] - 1),) if brings and brings[-1][1] else ()
    needs: dict[int, int] = {}
    if brings and brings[-1].start:
        needs[brings[-1].client] = brings[-1].start - 1
    for _, _, client, clock in references:
        if clock > needs.get(client, -1):
            needs[client] = clock
    if deletes:
        _add_deletes(needs, deletes, _by_client(brings))
    return tuple(needs.items())


def needs_and_inner(
    brings: Sequence[ClockRange], deletes: Sequence[ClockRange], references: Sequence[Sequence[Reference]]
) -> tuple[Needs, list[list[Reference]]]:
    """Find what must be known before, as the highest clock per client; and those references that the update meets itself.

    ``references`` holds, for each block, what it refers to in other clients' structs; the second answer is a part of it.
    """
    needs: dict[int, int] = {}
    for brought in brings:  # each range follows on what comes before it; of one client's ranges the last one demands most
        if brought.start:
            needs[brought.client] = brought.start - 1
    inner: list[list[Reference]] = []
    ranges = _by_client(brings)
    for block in references:
        inner.append([])
        for reference in block:
            _, _, client, clock = reference
            if _covers(ranges, client, clock):
                inner[-1].append(reference)
            elif clock > needs.get(client, -1):
                needs[client] = clock
    _add_deletes(needs, deletes, ranges)
    return tuple(needs.items()), inner


def _add_deletes(needs: dict[int, int], deletes: Sequence[ClockRange], ranges: dict[int, list[tuple[int, int]]]) -> None:
    for client, _, end in deletes:
        clock = end - 1
        if clock > needs.get(client, -1) and not _covers(ranges, client, clock):
            needs[client] = clock


def _by_client(brings: Sequence[ClockRange]) -> dict[int, list[tuple[int, int]]]:
    ranges: dict[int, list[tuple[int, int]]] = {}
    for client, start, end in brings:
        ranges.setdefault(client, []).append((start, end))
    return ranges


def _covers(ranges: dict[int, list[tuple[int, int]]], client: int, clock: int) -> bool:
    own = ranges.get(client)
    if own is None:
        return False
    start, end = own[-1]
    if start <= clock:  # as nearly always: few have holes
        return clock < end
    at = bisect_right(own, (clock, CLOCK_MASK + 1)) - 1
    return at >= 0 and clock < own[at][1]


def integration_order(
    clients: Sequence[int], blocks: Sequence[Block], rows: Sequence[int], references: Sequence[Sequence[Reference]], limit: int
) -> Order:
    """Return steps (block, row behind): taking the rows in these steps, each comes after everything that it refers to.

    ``references`` holds, for each block, what it refers to in other blocks. The order is the engine's: the highest client
    first, and where a struct has to wait, the client that it waits for. Each such step looks through all that wait.

    Raises :class:`HostileUpdate` when that would take more than ``limit`` looks, and when structs build on one another in a
    circle, which no editor can have written.
    """
    highest_first = sorted(range(len(blocks)), key=lambda index: -clients[blocks[index][0]])
    if not any(references):
        return tuple((index, blocks[index][2]) for index in highest_first)
    block_of = {clients[block[0]]: index for index, block in enumerate(blocks)}
    taken = [block[1] for block in blocks]  # the row up to which each block has been taken
    reached = [0] * len(blocks)  # and the clock
    clocks: list[list[int] | None] = [None] * len(blocks)  # of each block's rows; filled when needed
    met = [0] * len(blocks)  # how many of its references have been met
    steps: list[tuple[int, int]] = []
    looks = 0
    for first in highest_first:
        waiting = [(first, blocks[first][2])]  # (block, row that is to be reached): each waits for the next one
        waits = {first}
        while waiting:
            block, goal = waiting[-1]
            own = references[block]
            behind = goal
            while met[block] < len(own) and own[met[block]][0] < goal:
                row, _, client, clock = own[met[block]]
                other = block_of[client]
                if clock >= reached[other]:
                    behind = row
                    if other in waits:
                        raise HostileUpdate("cycle", "some of its structs build on one another in a circle")
                    waits.add(other)
                    known = clocks[other] or _clocks(rows, blocks[other])
                    clocks[other] = known
                    waiting.append((other, blocks[other][1] + bisect_right(known, clock)))
                    break
                met[block] += 1
            else:
                waiting.pop()
                waits.discard(block)
            if behind > taken[block]:
                looks += (behind - taken[block]) * len(waits)
                taken[block] = behind
                reached[block] = rows[4 * behind] & CLOCK_MASK if behind < blocks[block][2] else blocks[block][3]
                steps.append((block, behind))
            if looks > limit:
                raise HostileUpdate("waits", "too many of its structs wait for one another")
    return tuple(steps)


def _clocks(rows: Sequence[int], block: Block) -> list[int]:
    return [head & CLOCK_MASK for head in rows[4 * block[1] : 4 * block[2] : 4]]
