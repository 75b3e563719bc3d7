"""Awareness entries: what a Yjs client tells about itself (cursor, name, colour), as it stands on the wire.

States stay the JSON text that came: they are relayed, not read. Which entry counts, and whose it is, is decided elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NoReturn

from cowrite.protocol.lib0 import MalformedFrame, read_string, read_varuint, write_string, write_varuint

MAX_ENTRIES: Final = 4096
"""Default bound of the entries of one message. Clients send back in one message all that they were told in one, so whoever
sends awareness must stay below it too."""

MAX_STATE_BYTES: Final = 16 * 1024
"""Default bound of one state, in bytes of UTF-8."""

MAX_STATE_DEPTH: Final = 64
"""Default bound of the nesting of a state; editors use about five levels."""

_SMALLEST_ENTRY: Final = 3
_JSON_WHITESPACE: Final = " \t\r\n"


@dataclass(frozen=True, slots=True)
class AwarenessEntry:
    """One client's state at a clock. ``state`` is JSON text as received, not known to be valid; None means that it is gone."""

    client_id: int
    clock: int
    state: str | None


def decode_entries(
    body: bytes, *, max_entries: int = MAX_ENTRIES, max_state_bytes: int = MAX_STATE_BYTES
) -> tuple[AwarenessEntry, ...]:
    """Read the body of an awareness message (without its outer length).

    Raises :class:`MalformedFrame` for anything else than exactly a count and that many entries, for more than ``max_entries``,
    and for a state over ``max_state_bytes``. A client id may come twice. States are not parsed: see :func:`is_valid_state`.
    """
    count, at = read_varuint(body, 0)
    # Checked before anything is built, so that a count alone costs nothing.
    if count * _SMALLEST_ENTRY > len(body) - at:
        raise MalformedFrame(f"{count} awareness entries announced in {len(body) - at} bytes", 0)
    if count > max_entries:
        raise MalformedFrame(f"{count} awareness entries; at most {max_entries} are allowed", 0)
    entries = []
    for _ in range(count):
        client_id, at = read_varuint(body, at)
        clock, start = read_varuint(body, at)
        length, _ = read_varuint(body, start)
        if length > max_state_bytes:
            raise MalformedFrame(f"awareness state of {length} bytes; at most {max_state_bytes} are allowed", start)
        state, at = read_string(body, start)
        entries.append(AwarenessEntry(client_id, clock, None if state.strip(_JSON_WHITESPACE) == "null" else state))
    if at != len(body):
        raise MalformedFrame(f"{len(body) - at} bytes after the last awareness entry", at)
    return tuple(entries)


def encode_entries(entries: Iterable[AwarenessEntry]) -> bytes:
    """Write the body of an awareness message. Raises ``ValueError`` for a client id or clock outside 0 … 2^53-1."""
    written = [
        write_varuint(entry.client_id)
        + write_varuint(entry.clock)
        + write_string("null" if entry.state is None else entry.state)
        for entry in entries
    ]
    return write_varuint(len(written)) + b"".join(written)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Numbers stay text: nothing is computed from them, and turning a long one into an int would be slow and may raise.
_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=str, parse_float=str)
_string_or_bracket = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def is_valid_state(state: str, *, max_depth: int = MAX_STATE_DEPTH, must_be_object: bool = False) -> bool:
    """Tell whether every client can parse this state: JSON as browsers read it (no NaN), nested at most ``max_depth`` deep.

    Ask before relaying: y-protocols parses states without a guard, so one bad state would break every peer that gets it.
    Never raises, whatever the text. ``must_be_object``: also refuse JSON that is not an object.
    """
    try:
        value = _decoder.decode(state)
    except (ValueError, RecursionError):
        return False
    if must_be_object and not isinstance(value, dict):
        return False
    # Most states have too few brackets to be too deep; only the others are walked.
    return state.count("[") + state.count("{") <= max_depth or _depth(state) <= max_depth


def _depth(state: str) -> int:
    """Count the nesting of a text that is known to be JSON (on other text the pattern could take quadratic time)."""
    depth = deepest = 0
    for match in _string_or_bracket.finditer(state):
        token = match[0]
        if token in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in "]}":
            depth -= 1
    return deepest
