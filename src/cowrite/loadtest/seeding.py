"""The text that is in the documents before anybody comes."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from cowrite.loadtest.addresses import Addresses
from cowrite.loadtest.edits import SEED_CLIENT, seed_updates
from cowrite.loadtest.errors import LoadError
from cowrite.loadtest.frames import STEP_2, Frame
from cowrite.loadtest.pacing import wait_until
from cowrite.loadtest.people.factory import people_for
from cowrite.loadtest.people.person import Crew
from cowrite.loadtest.people.yjs import YjsPerson
from cowrite.loadtest.plan import YJS_PROTOCOLS, Plan, Protocol, Role
from cowrite.loadtest.ramp_up import explain
from cowrite.protocol.lib0 import write_varuint
from cowrite.protocol.messages import SyncStep1

_BLOCK_SECONDS: Final = 60.0
_SEED_NUMBER: Final = 999_999_999
_AT_A_TIME: Final = 4
_LOOK_SECONDS: Final = 0.002


class Seeders:
    """Those who have put it there.

    They stay until others have come: a server that keeps nothing forgets what nobody has open.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._crew = Crew(plan, Addresses(plan))
        self._people: list[YjsPerson] = []

    async def write(self) -> None:
        """Put it there, by the plan's protocol. Raises :class:`LoadError`."""
        plan, gate = self._plan, asyncio.Semaphore(_AT_A_TIME)
        protocol = next((one for one in plan.protocols if one in YJS_PROTOCOLS), Protocol.YJS)
        people = people_for([Role(_SEED_NUMBER, document, protocol, storms=True) for document in plan.document_ids], self._crew)

        async def one(person: YjsPerson) -> None:
            async with gate:
                self._people.append(person)
                await _write(person, plan)

        await asyncio.gather(*(one(person) for person in people if isinstance(person, YjsPerson)))

    async def leave(self) -> None:
        """They go."""
        self._crew.leaving = True
        for person in self._people:
            await person.leave()


async def _write(person: YjsPerson, plan: Plan) -> None:
    written = 0
    try:
        await person.join()
        for size, update in seed_updates(plan.document_bytes):
            person.write_update(update, time.monotonic_ns())
            written += size
            await _answered(person, written)
    except Exception as error:
        if person.left is not None:
            raise LoadError(f"the text of {person.role.document} could not be put there: {person.left}") from None
        raise LoadError(explain(error, plan)) from None


async def _answered(person: YjsPerson, written: int) -> None:
    """Wait until the server has it: it answers in order, and says that it is kept where it says such things."""
    came = False
    take = person.take

    def watch(frame: Frame) -> None:
        nonlocal came
        take(frame)
        came = came or frame.kind == STEP_2

    person.take = watch  # type: ignore[method-assign]
    # It is told that all of the text is known here already, so that only the answer comes.
    person.send(person.encode(SyncStep1(b"\x01" + write_varuint(SEED_CLIENT) + write_varuint(written))))
    await wait_until(lambda: person.left is not None or (came and not person.sent), _BLOCK_SECONDS, look_every=_LOOK_SECONDS)
    if person.left is not None:
        raise ConnectionError(person.left)
    if not came or person.sent:
        raise TimeoutError
