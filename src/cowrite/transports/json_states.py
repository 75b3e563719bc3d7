"""How far a JSON socket has come."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeAlias

from cowrite.core.rooms.room import Room
from cowrite.core.sessions.session import Session
from cowrite.transports.json_reader import JsonReader
from cowrite.transports.json_writer import JsonWriter


@dataclass(slots=True, eq=False)
class Greeting:
    """Nobody has said anything."""


@dataclass(slots=True, eq=False)
class Opening:
    """The session is looked up and the room opened."""

    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class Attached:
    """In the room."""

    room: Room
    session: Session
    reader: JsonReader
    writer: JsonWriter


@dataclass(slots=True, eq=False)
class Closed:
    """It is over."""


State: TypeAlias = Greeting | Opening | Attached | Closed
