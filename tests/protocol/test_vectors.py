"""The golden vectors in ``spec/vectors``, which clients in other languages read too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cowrite.protocol import hocuspocus
from cowrite.protocol.awareness import AwarenessEntry, is_valid_state
from cowrite.protocol.lib0 import MalformedFrame, read_string, read_varuint, write_string, write_varuint
from cowrite.protocol.messages import (
    Acknowledged,
    AwarenessUpdate,
    Message,
    PermissionDenied,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    UnknownMessage,
    Update,
)
from cowrite.protocol.yjs import decode, encode

VECTORS = Path(__file__).parents[2] / "spec" / "vectors"


def vectors(name: str) -> list[Any]:
    listed = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))["vectors"]
    assert len({vector["id"] for vector in listed}) == len(listed) > 0
    return [pytest.param(vector, id=vector["id"], marks=pytest.mark.rule(vector["rule"])) for vector in listed]


def message_of(value: dict[str, Any]) -> Message:
    match value:
        case {"type": "sync_step_1", "state_vector": str(state_vector)}:
            return SyncStep1(bytes.fromhex(state_vector))
        case {"type": "sync_step_2", "update": str(update)}:
            return SyncStep2(bytes.fromhex(update))
        case {"type": "update", "update": str(update)}:
            return Update(bytes.fromhex(update))
        case {"type": "awareness", "entries": list(entries)}:
            return AwarenessUpdate(tuple(AwarenessEntry(**entry) for entry in entries))
        case {"type": "query_awareness"}:
            return QueryAwareness()
        case {"type": "permission_denied", "reason": str(reason)}:
            return PermissionDenied(reason)
        case {"type": "acknowledged", "count": int(count), "offset": int(offset)}:
            return Acknowledged(count, offset)
    raise AssertionError(f"no message: {value}")


def addressed_of(value: dict[str, Any]) -> tuple[hocuspocus.Addressed | hocuspocus.Ping | hocuspocus.Pong, bytes]:
    """A message with its address, and how it is written."""
    match value:
        case {"type": "ping"}:
            return hocuspocus.Ping(), hocuspocus.PING
        case {"type": "pong"}:
            return hocuspocus.Pong(), hocuspocus.PONG
        case {"type": "authenticate", "token": str(token), "version": version}:
            message: hocuspocus.Message = hocuspocus.Authenticate(token, version)
        case {"type": "token_request"}:
            message = hocuspocus.TokenRequest()
        case {"type": "authenticated", "scope": str(scope)}:
            message = hocuspocus.Authenticated(hocuspocus.Scope(scope))
        case {"type": "stateless", "payload": str(payload)}:
            message = hocuspocus.Stateless(payload)
        case {"type": "broadcast_stateless", "payload": str(payload)}:
            message = hocuspocus.BroadcastStateless(payload)
        case {"type": "close", "reason": reason}:
            message = hocuspocus.Close(reason)
        case {"type": "sync_status", "stored": bool(stored)}:
            message = hocuspocus.SyncStatus(stored)
        case _:
            shared = message_of(value)
            assert not isinstance(shared, Acknowledged)
            message = shared
    address = value["address"]
    return hocuspocus.Addressed(address, message), hocuspocus.HocuspocusDialect(address).encode(message)


@pytest.mark.rule("HP4")
@pytest.mark.parametrize("vector", vectors("hocuspocus"))
def test_hocuspocus_frame(vector: dict[str, Any]) -> None:
    """A frame of the other dialect, too."""
    if "message" in vector:
        frame = bytes.fromhex(vector["hex"])
        message, written = addressed_of(vector["message"])
        assert hocuspocus.decode(frame) == message
        assert (written == frame) is vector.get("canonical", True)
    else:
        check_refusal(hocuspocus.decode, vector)


@pytest.mark.rule("PR20")
@pytest.mark.parametrize("vector", vectors("yjs"))
def test_frame(vector: dict[str, Any]) -> None:
    """A frame means what its vector says, or is refused as its vector says."""
    frame = bytes.fromhex(vector["hex"])
    if "message" in vector:
        message = message_of(vector["message"])
        assert decode(frame) == message
        assert (encode(message) == frame) is vector.get("canonical", True)
    else:
        check_refusal(decode, vector)


def check_refusal(decode: Callable[[bytes], object], vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["hex"])
    match vector:
        case {"error": "malformed"}:
            with pytest.raises(MalformedFrame) as malformed:
                decode(frame)
            assert malformed.value.at == vector["at"]
        case _:
            assert vector["error"] == "unknown"
            with pytest.raises(UnknownMessage) as unknown:
                decode(frame)
            assert unknown.value.kind == vector["kind"]


@pytest.mark.rule("PR20")
@pytest.mark.parametrize("vector", vectors("lib0"))
def test_lib0(vector: dict[str, Any]) -> None:
    """An integer or text is read and written as its vector says."""
    data = bytes.fromhex(vector["hex"])
    match vector:
        case {"integer": int(value)}:
            assert read_varuint(data, 0) == (value, len(data))
            assert (write_varuint(value) == data) is vector.get("canonical", True)
        case {"string": str(text)}:
            assert read_string(data, 0) == (text, len(data))
            assert write_string(text) == data
        case _:
            assert vector["error"] == "malformed"
            with pytest.raises(MalformedFrame) as malformed:
                {"integer": read_varuint, "string": read_string}[vector["type"]](data, 0)
            assert malformed.value.at == vector["at"]


@pytest.mark.rule("PR15")
@pytest.mark.parametrize("vector", vectors("awareness_states"))
def test_awareness_state(vector: dict[str, Any]) -> None:
    """A state is relayed or not as its vector says; never one that a browser cannot parse."""
    assert is_valid_state(vector["state"]) is vector["valid"]
    assert vector["json"] or not vector["valid"]
