"""Presence in Redis or Valkey.

``cowrite:presence:{document}`` is a hash for each document: session id → the record as JSON. ``cowrite:presence-processes``
is a sorted set: process → when it was last heard of, by the server's clock. No command or script touches more than one key, so
that all of it also works in a cluster. Nothing is indexed by process: one that is gone is marked as dead in the sorted set for
longer than a hash lives without being used, and whoever reads a record of a dead process takes it out.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import structlog
from redis.exceptions import NoScriptError, RedisError

from cowrite.core.ports import LEASE_SECONDS, Clock, LeasedPresence, PresenceError, PresenceRecord
from cowrite.core.presence_records import (
    CLOCKS_APART,
    check_document_ids,
    check_process,
    check_records,
    checked,
    decode_object,
    encode_metadata,
    expired,
    text_or_none,
    whole_or_none,
)
from cowrite.presence.redis_scripts import BEAT, LEAVE, PROCESSES, READ, WRITE
from cowrite.presence.redis_servers import Call, RedisServers

T = TypeVar("T")

PATIENCE: Final = 1.0
"""Seconds that one round trip may take."""
_LAST_CHANCE: Final = 0.2
"""The end of that time: an event loop that was held up itself gets so long to see what has arrived meanwhile."""
HASH_MILLISECONDS: Final = 86_400_000
"""How long a document's hash lives without being read or written."""
DEAD_MILLISECONDS: Final = 2 * HASH_MILLISECONDS
"""How long it is known that a process is dead: longer than anything that it may have written."""
PROCESSES_KEY: Final = b"cowrite:presence-processes"
_LEASE: Final = round(LEASE_SECONDS * 1000)
_AT_ONCE: Final = 500
"""Records of one call, or calls of one round trip: more would hold up the server, and what else waits for it."""
_CHARACTERS: Final = 256_000
"""Text in one round trip, for the same reason."""

_log = structlog.get_logger(__name__)


_Found: TypeAlias = tuple[str, str, bytes]
"""Document, session, and the record's bytes."""


class RedisPresence:
    """The port :class:`cowrite.core.ports.Presence`. Connects with the first call; a round trip ends within ``PATIENCE``."""

    def __init__(self, url: str, clock: Clock, *, patience: float = PATIENCE) -> None:
        self._servers = RedisServers(url)
        self.place = self._servers.place
        self._clock = clock
        self._patience = patience
        self._beaten: set[str] = set()
        self._generation = 0
        self._failing = False
        self._told = False
        self._closed = False

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def degraded(self) -> bool:
        return self._failing

    async def beat(self, process: str) -> frozenset[str]:
        check_process(process)
        [(held, *living)] = await self._run([Call(BEAT, PROCESSES_KEY, (process, _LEASE, DEAD_MILLISECONDS))])
        if process in self._beaten and not held:
            self._generation += 1
        self._beaten.add(process)
        return _names(living)

    async def processes(self) -> frozenset[str]:
        """Whose leases hold."""
        [(living, _)] = await self._run([_processes()])
        return _names(living)

    async def write(self, put: Sequence[PresenceRecord], removed: Sequence[PresenceRecord]) -> None:
        check_records((*put, *removed))
        calls = [call for id_, records in _by_document(removed) for call in _remove(id_, [_removal(one) for one in records])]
        calls += [call for id_, records in _by_document(put) for call in self._put(id_, records)]
        await self._run_all(calls)

    async def read(self, document_ids: Collection[str]) -> Mapping[str, Sequence[PresenceRecord]]:
        check_document_ids(document_ids)
        ids = list(dict.fromkeys(document_ids))
        if not ids:
            return {}
        beaten = frozenset(self._beaten)
        leases, *hashes = await self._run_all([_processes(), *(Call(READ, _key(id_), (HASH_MILLISECONDS,)) for id_ in ids)])
        found = [
            (id_, session.decode(errors="replace"), value)
            for id_, pairs in zip(ids, hashes, strict=True)
            for session, value in zip(pairs[::2], pairs[1::2], strict=True)
        ]
        living = _names(leases[0])
        if not beaten & self._beaten <= living:
            self._generation += 1  # the server has lost what it had: what is missing may live
        return await self._living(found, living=living, dead=_names(leases[1]))

    async def leave(self, process: str) -> None:
        check_process(process)
        await self._run([Call(LEAVE, PROCESSES_KEY, (process, _LEASE, DEAD_MILLISECONDS))])
        self._beaten.discard(process)

    async def close(self) -> None:
        self._closed = True
        with suppress(RedisError, OSError, TimeoutError):  # then it is gone already
            async with asyncio.timeout(PATIENCE):
                await self._servers.close()

    # ---- records -----------------------------------------------------------------------------------------------------

    def _put(self, document_id: str, records: Sequence[PresenceRecord]) -> Iterator[Call]:
        ends = [record.expires_at for record in records if record.expires_at is not None]
        lifetime = max([HASH_MILLISECONDS, *(end - self._clock.now() for end in ends)])
        for part in _parts([(record.session_id, _encode(record)) for record in records]):
            yield Call(WRITE, _key(document_id), (lifetime, 0, *part))

    async def _living(
        self, found: Sequence[_Found], *, living: frozenset[str], dead: frozenset[str]
    ) -> Mapping[str, Sequence[PresenceRecord]]:
        now, records = self._clock.now(), defaultdict[str, list[PresenceRecord]](list)
        gone = defaultdict[str, list[tuple[str, str]]](list)
        for number, (document_id, session_id, value) in enumerate(found, 1):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)  # the event loop has other things to do
            record = self._decode(document_id, session_id, value)
            if record is None:
                continue
            if record.process in dead or expired(record, now - CLOCKS_APART):
                gone[document_id].append(_removal(record, with_end=True))
            elif (record.process is None or record.process in living) and not expired(record, now):
                records[document_id].append(record)
        if gone:
            await self._forget(gone)
        return records

    async def _forget(self, gone: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        with suppress(PresenceError):  # then the next who reads will do it; what has been read is right
            await self._run_all([call for document_id, removals in gone.items() for call in _remove(document_id, removals)])

    def _decode(self, document_id: str, session_id: str, value: bytes) -> PresenceRecord | None:
        try:
            found = decode_object(value)
            user_id, last_active = text_or_none(found["user_id"]), whole_or_none(found["last_active"])
            process, expires_at = text_or_none(found["process"]), whole_or_none(found["expires_at"])
            metadata = found["metadata"]
            if user_id is None or last_active is None or not isinstance(metadata, dict):
                raise ValueError("its user, its time or its metadata is missing")
            return checked(PresenceRecord(session_id, user_id, document_id, last_active, process, expires_at, metadata))
        except (ValueError, KeyError) as error:
            if not self._told:
                self._told = True
                reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                _log.warning(
                    "presence has records that this version cannot read; they are skipped",
                    place=self.place,
                    document=document_id,
                    session=session_id,
                    reason=reason,
                )
            return None

    # ---- round trips -------------------------------------------------------------------------------------------------

    async def _run_all(self, calls: Sequence[Call]) -> list[Any]:
        """Run them in as many round trips as it takes."""
        results: list[Any] = []
        for some in _batches(calls):
            results += await self._run(some)
        return results

    async def _run(self, calls: Sequence[Call]) -> list[Any]:
        """Run them in one round trip. Raises :class:`PresenceError`."""
        if self._closed:
            raise PresenceError(f"This process has closed its connections to {self.place}.")
        try:
            results = await _within(self._patience, self._send(calls))
        except (RedisError, OSError, TimeoutError) as error:
            self._failing = True
            reason = str(error) or f"no answer within {self._patience:g} s"
            raise PresenceError(
                f"Presence cannot be kept in {self.place} ({reason}): see that it runs, and that COWRITE_REDIS_URL names it."
            ) from error
        self._failing = False
        return results

    async def _send(self, calls: Sequence[Call]) -> list[Any]:
        try:
            return await self._servers.run(calls)
        except NoScriptError:  # a server that has started anew, or another one of the cluster
            await self._servers.load({call.script for call in calls})
            return await self._servers.run(calls)


async def _within(seconds: float, call: Coroutine[Any, Any, T]) -> T:
    """What it returns. Raises ``TimeoutError``."""
    task = asyncio.get_running_loop().create_task(call)
    try:
        for part in (seconds - _LAST_CHANCE, _LAST_CHANCE):
            await asyncio.wait([task], timeout=part)
            if task.done():
                return task.result()
    finally:
        task.cancel()
    raise TimeoutError


def _key(document_id: str) -> bytes:
    return b"cowrite:presence:{%s}" % document_id.encode()


def _processes() -> Call:
    return Call(PROCESSES, PROCESSES_KEY, (_LEASE,))


def _names(found: Sequence[bytes]) -> frozenset[str]:
    return frozenset(name.decode(errors="replace") for name in found)


def _encode(record: PresenceRecord) -> str:
    """Begins as :func:`_removal` says: scripts compare that, and do not read JSON."""
    more = json.dumps({"user_id": record.user_id, "last_active": record.last_active}, separators=(",", ":"))[1:-1]
    return f'{_beginning(record)}"expires_at":{json.dumps(record.expires_at)},{more},"metadata":{encode_metadata(record)}}}'


def _beginning(record: PresenceRecord) -> str:
    return f'{{"process":{json.dumps(record.process)},'


def _removal(record: PresenceRecord, *, with_end: bool = False) -> tuple[str, str]:
    """Session, and how its record must begin to be removed; ``with_end``: only while it also ends when this one does."""
    beginning = _beginning(record)
    return record.session_id, f'{beginning}"expires_at":{json.dumps(record.expires_at)},' if with_end else beginning


def _remove(document_id: str, removals: Sequence[tuple[str, str]]) -> Iterator[Call]:
    for part in _parts(removals):
        yield Call(WRITE, _key(document_id), (0, len(part) // 2, *part))


def _by_document(records: Sequence[PresenceRecord]) -> Iterable[tuple[str, Sequence[PresenceRecord]]]:
    groups = defaultdict[str, list[PresenceRecord]](list)
    for record in records:
        groups[record.document_id].append(record)
    return groups.items()


def _parts(pairs: Sequence[tuple[str, str]]) -> Iterator[Sequence[str]]:
    """Their texts in parts, each small enough for one call."""
    part: list[str] = []
    size = 0
    for pair in pairs:
        size += len(pair[1])
        if part and (len(part) >= 2 * _AT_ONCE or size > _CHARACTERS):
            yield part
            part, size = [], len(pair[1])
        part += pair
    if part:
        yield part


def _batches(calls: Sequence[Call]) -> Iterator[Sequence[Call]]:
    """Each no larger than the largest call, and for no more than so many documents."""
    batch: list[Call] = []
    size = 0
    for call in calls:
        more = sum(len(argument) for argument in call.arguments if isinstance(argument, str))
        size += more
        if batch and (len(batch) >= _AT_ONCE or size > _CHARACTERS):
            yield batch
            batch, size = [], more
        batch.append(call)
    if batch:
        yield batch


if TYPE_CHECKING:
    _: type[LeasedPresence] = RedisPresence
