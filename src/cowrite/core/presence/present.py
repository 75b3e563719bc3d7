"""One session that is in a document, and one person with all sessions of theirs, as others are told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from cowrite.core.ports import PresenceRecord
from cowrite.core.sessions.session import Session
from cowrite.protocol.strict_json import Json
from cowrite.protocol.thin import encode_value, encode_with, json_list

IDLE_AFTER: Final = 60_000
"""Milliseconds without doing anything after which a session is idle."""
AWAY_AFTER: Final = 600_000
"""Milliseconds after which it is away."""
_TOLD: Final = ("activity", "cursor", "data")
_END_OF_TIME: Final = 2**47
"""In the year 6429: no session has told anything later, and what it tells then can still be written down."""


class Transport(StrEnum):
    """How a session is connected."""

    YJS = "yjs"
    HOCUSPOCUS = "hocuspocus"
    WEBSOCKET = "websocket"
    POLLING = "polling"


class Activity(StrEnum):
    """Whether somebody is at it. In JSON: ``state``."""

    ACTIVE = "active"
    IDLE = "idle"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Present:
    """One session that is here. Immutable; :meth:`but` makes another one."""

    session_id: str
    user_id: str
    name: str | None
    colour: str | None
    transport: str
    """A :class:`Transport`; of another process perhaps one that is not known here."""
    client: str | None
    """Name and version of the client's library, where it says so."""
    last_active: int
    """When it last did something, in milliseconds since 1970."""
    activity: Activity = Activity.ACTIVE
    cursor: Json = None
    """Where it points, as the client likes to tell it."""
    data: Json = None
    """What else the client tells: an object, or None."""
    process: str | None = None
    """The process that it is connected to. None: none, it is here until ``expires_at``."""
    expires_at: int | None = None
    """Milliseconds since 1970; None: as long as its process says so."""
    told_at: tuple[int, ...] = (0, 0, 0)
    """When ``activity``, ``cursor`` and ``data`` were told last, in milliseconds since 1970; of each the newer word counts. A
    state that was told later than the session was active holds until it is active again.
    """
    lasting: bytes = field(default=b"", compare=False, repr=False)
    """All that others are told but ``last_active`` as JSON, without the closing brace: encoded once for all who are told."""
    size: int = field(default=0, compare=False, repr=False)
    """Bytes of cursor and data as JSON."""

    @classmethod
    def of(cls, session: Session, transport: Transport, now: int, *, process: str) -> Present:
        """A session that has just come in."""
        access = session.access
        return cls(
            session.id, access.user_id, access.name, access.colour, transport, session.client, now, process=process
        )._written()

    @classmethod
    def read(cls, record: PresenceRecord) -> Present | None:
        """What another process wrote down; None when this one cannot make sense of it."""
        told = record.metadata
        name, colour, client = (told.get(key) for key in ("name", "colour", "client"))
        transport, activity, data = told.get("transport"), told.get("state"), told.get("data")
        texts = all(text is None or isinstance(text, str) for text in (name, colour, client)) and isinstance(transport, str)
        if not texts or activity not in list(Activity) or not (data is None or isinstance(data, dict)):
            return None
        return cls(
            record.session_id,
            record.user_id,
            name,
            colour,
            str(transport),
            client,
            record.last_active,
            Activity(activity),
            told.get("cursor"),
            data,
            record.process,
            record.expires_at,
            _times(told.get("told_at")),
        )._written()

    def record(self, document_id: str) -> PresenceRecord:
        """The form in which it is written down."""
        told = {
            "name": self.name,
            "colour": self.colour,
            "client": self.client,
            "transport": str(self.transport),
            "state": self.activity.value,
            "cursor": self.cursor,
            "data": self.data,
            "told_at": list(self.told_at),
        }
        return PresenceRecord(self.session_id, self.user_id, document_id, self.last_active, self.process, self.expires_at, told)

    def but(self, **changes: Any) -> Present:
        """The same with changes, and written anew."""
        return replace(self, **changes)._written()

    def _written(self) -> Present:
        """Itself, which nobody knows yet, with what is encoded of it: another copy would be most of what a session costs."""
        lasting = self.to_json()
        del lasting["last_active"]
        size = sum(len(encode_value(told)) for told in (self.cursor, self.data) if told is not None)
        object.__setattr__(self, "lasting", encode_value(lasting)[:-1])
        object.__setattr__(self, "size", size)
        return self

    def telling(self, told: Mapping[str, Json], now: int, *, process: str) -> Present:
        """The same, having told something: ``state``, ``cursor``, ``data``, or some of them. To tell is to be active, unless
        the state that is told is another one. ``process``: the one that was told.
        """
        changes: dict[str, Any] = {name: value for name, value in told.items() if name in ("cursor", "data")}
        activity = Activity(told["state"]) if told.get("state") is not None else Activity.ACTIVE
        # Clocks of processes differ: what is told here comes after all that is known to have been told, here or elsewhere.
        now = max(now, *(at if self.process == process else at + 1 for at in self.told_at))
        if activity is Activity.ACTIVE:
            changes["last_active"] = now
        else:
            now = max(now, self.last_active + 1)
        names = {"activity" if name == "state" else name for name in told}
        times = tuple(now if name in names else at for name, at in zip(_TOLD, self.told_at, strict=True))
        return self.but(**changes, activity=activity, told_at=times)

    def is_behind(self, other: Present) -> bool:
        """The other one knows something that the session has told later."""
        return any(mine < theirs for mine, theirs in zip(self.told_at, other.told_at, strict=True))

    def heed(self, other: Present) -> Present:
        """The same, with what the session is known to have told later by the other one."""
        if not self.is_behind(other):
            return self
        pairs = zip(_TOLD, self.told_at, other.told_at, strict=True)
        changes = {name: getattr(other, name) for name, mine, theirs in pairs if mine < theirs}
        if other.last_active > self.last_active:
            changes |= {"activity": other.activity, "last_active": other.last_active}
        return self.but(**changes, told_at=tuple(map(max, self.told_at, other.told_at)))

    def activity_at(self, now: int) -> Activity:
        """What the session has said of itself, or how long it has done nothing; ``now`` is in milliseconds since 1970."""
        return self.activity if self.told_at[0] > self.last_active else activity_at(now, self.last_active)

    def seen(self, now: int) -> Present:
        """The same, last active now: nothing has to be written anew."""
        return replace(self, last_active=now)

    @property
    def looks(self) -> tuple[bytes, str | None, str | None]:
        """All that others see of it but when it was last active."""
        return self.lasting, self.name, self.colour

    @property
    def json(self) -> bytes:
        """The JSON form, encoded."""
        return b'%s,"last_active":%d}' % (self.lasting, self.last_active)

    def to_json(self) -> dict[str, Json]:
        """The JSON form: a session of a person."""
        return {
            "session_id": self.session_id,
            "transport": str(self.transport),
            "client": self.client,
            "state": self.activity.value,
            "cursor": self.cursor,
            "data": self.data,
            "last_active": self.last_active,
        }


@dataclass(frozen=True)
class Person:
    """A user with all sessions of theirs that are here, one or more."""

    user_id: str
    sessions: Sequence[Present]

    @cached_property
    def lasting(self) -> bytes:
        """What there is to know of the person but when they were last active."""
        return b",".join([self._user, *(one.lasting for one in self.sessions)])

    @property
    def json(self) -> bytes:
        """The JSON form, encoded."""
        return b'{"user":%s,"sessions":%s}' % (self._user, json_list([one.json for one in self.sessions]))

    def to_json(self) -> dict[str, Json]:
        """The JSON form."""
        return {"user": self._to_json(), "sessions": [one.to_json() for one in self.sessions]}

    @cached_property
    def _user(self) -> bytes:
        return encode_value(self._to_json())

    def _to_json(self) -> Mapping[str, Json]:
        newest = self.sessions[-1]
        return {"id": self.user_id, "name": newest.name, "colour": newest.colour}


@dataclass(frozen=True)
class PresenceChange:
    """What has changed."""

    joined: Sequence[Person] = ()
    updated: Sequence[Person] = ()
    left: Sequence[str] = ()
    """Ids of users."""

    @cached_property
    def frame(self) -> bytes:
        """As a message of :mod:`cowrite.protocol.thin`, encoded once for all readers."""
        joined, updated = (json_list([person.json for person in some]) for some in (self.joined, self.updated))
        return encode_with("presence", {"joined": joined, "updated": updated}, left=list(self.left))


def _times(told: Json) -> tuple[int, ...]:
    """When things were told, of a record; a release that did not write it knew of one process only."""
    if isinstance(told, list) and len(told) == len(_TOLD) and all(type(at) is int and 0 <= at < _END_OF_TIME for at in told):
        return tuple(told)
    return (0,) * len(_TOLD)


def activity_at(now: int, last_active: int) -> Activity:
    """How active somebody is who did something then; both in milliseconds since 1970."""
    if now - last_active < IDLE_AFTER:
        return Activity.ACTIVE
    return Activity.IDLE if now - last_active < AWAY_AFTER else Activity.AWAY
