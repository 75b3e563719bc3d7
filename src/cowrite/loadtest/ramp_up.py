"""How people come in: at a rate, as fast as they are taken, or all at once."""

from __future__ import annotations

import asyncio
import errno
import re
import time
from collections.abc import Sequence
from typing import Final

from picows import WSError, WSHandshakeError

from cowrite.loadtest.errors import BRING_A_TOKEN, LoadError
from cowrite.loadtest.people.person import JOIN_SECONDS, Person
from cowrite.loadtest.plan import Plan

AT_A_TIME: Final = 50


async def arrive(people: Sequence[Person], plan: Plan, *, per_second: float) -> list[float]:
    """Have them all come in. How long each took, in ms.

    Raises :class:`LoadError` when one cannot; the others are let go.
    """
    gate = asyncio.Semaphore(AT_A_TIME)
    began = time.monotonic()

    async def one(place: int, person: Person) -> float:
        if per_second:
            await asyncio.sleep(began + place / per_second - time.monotonic())
            return await _come_in(person, plan)
        async with gate:
            return await _come_in(person, plan)

    return await _all([one(place, person) for place, person in enumerate(people)])


async def arrive_at_once(people: Sequence[Person], plan: Plan) -> tuple[list[float], list[str]]:
    """The same, and nobody waits for others. For each who cannot come in there is a reason instead."""
    outcomes = await asyncio.gather(*(_come_in(person, plan) for person in people), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, LoadError):
            raise outcome
    took = [outcome for outcome in outcomes if isinstance(outcome, float)]
    return took, [f"did not come in: {outcome}" for outcome in outcomes if isinstance(outcome, LoadError)]


async def _all(work: Sequence[object]) -> list[float]:
    tasks = [asyncio.ensure_future(one) for one in work]  # type: ignore[call-overload]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _come_in(person: Person, plan: Plan) -> float:
    began = time.monotonic()
    try:
        await person.join()
    except (OSError, TimeoutError, WSError) as error:
        raise LoadError(explain(error, plan)) from None
    return (time.monotonic() - began) * 1000


def explain(error: Exception, plan: Plan) -> str:
    """Why somebody could not come in, for people."""
    if isinstance(error, WSHandshakeError) and error.response is not None:
        return _refused(int(error.response.status), plan)
    number = getattr(error, "errno", None)
    if isinstance(error, ConnectionRefusedError) or number == errno.ECONNREFUSED:
        return f"nobody listens at {plan.url}: start the server, or give the address where it is"
    if number in {errno.EMFILE, errno.ENFILE}:
        return f"this process may not open {plan.sockets} sockets: raise the limit (ulimit -n), or use more --processes"
    if number == errno.EADDRNOTAVAIL:
        return (
            "no port is left for another socket (about 28 000 from one address): "
            "give several addresses of this machine with --source 127.0.0.2 --source 127.0.0.3"
        )
    if isinstance(error, TimeoutError):
        return f"{plan.url} did not let somebody in within {JOIN_SECONDS:.0f} s; is it the right protocol?"
    if isinstance(error, WSError):
        return f"{plan.url} does not answer as a WebSocket server does: {error}"
    denied = re.search(r"\b440[13]\b|denies access", str(error))
    return f"{plan.url}: {error}{BRING_A_TOKEN if denied else ''}"


def _refused(status: int, plan: Plan) -> str:
    if status in {401, 403}:
        return f"{plan.url} refuses access ({status}){BRING_A_TOKEN}"
    if status == 404:
        return f"{plan.url} has no such address (404): is it the right protocol, and the right server?"
    if status == 503:
        return f"{plan.url} takes nobody in now (503): it has its most connections, or is stopping"
    return f"{plan.url} answers {status} where a WebSocket was to be opened: is it the right protocol, and the right server?"
