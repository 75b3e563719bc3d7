"""What a JSON socket is told of its session: when it comes in, and when its grant has changed."""

from __future__ import annotations

from collections.abc import Mapping

from cowrite.core.damaged import granted
from cowrite.core.operations.reading import Found
from cowrite.core.operations.state import State
from cowrite.core.rooms.room import Room
from cowrite.core.sessions.session import Session
from cowrite.protocol.strict_json import Json
from cowrite.protocol.thin import HEARTBEAT_SECONDS, encode_with, json_list


def grant_fields(room: Room, session: Session) -> Mapping[str, Json]:
    """``grant``, and ``read_only`` where something else than the grant keeps everybody from writing."""
    fields: dict[str, Json] = {"grant": granted(session, room.damage)}
    return fields if room.damage is None else fields | {"read_only": "damaged"}


def welcome(room: Room, session: Session, found: Found) -> bytes:
    """The answer to ``hello``."""
    access = session.access
    fields: dict[str, Json] = {
        "session_id": session.id,
        "document_id": session.document_id,
        "user": {"id": access.user_id, "name": access.name, "colour": access.colour},
        **grant_fields(room, session),
        "epoch": room.replicas.head.epoch,
        "heartbeat_interval_ms": int(HEARTBEAT_SECONDS * 1000),
    }
    fields |= {"head": found.head, "offset": found.offset}
    operations = () if isinstance(found, State) else [one.operations for one in found.entries]
    content = {"state": found.json} if isinstance(found, State) else {"operations": json_list(operations)}
    return encode_with("welcome", {"presence": room.presence.crowd.json} | content, **fields)
