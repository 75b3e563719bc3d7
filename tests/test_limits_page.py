"""docs/reference/limits.md says what the code does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from cowrite.app import create_app
from cowrite.core import document_ids
from cowrite.core.delivery.outbox import OUTBOX_LIMIT
from cowrite.core.delivery.sync_statuses import MAX_UNANSWERED
from cowrite.core.history import versions as history_versions
from cowrite.core.history.turns import MAX_WAITING_OF_ONE
from cowrite.core.imports.line import IMPORT_WAIT_SECONDS
from cowrite.core.limits import Limits
from cowrite.core.operations import reading, writing
from cowrite.crdt import content
from cowrite.crdt.guard import LIVE_LIMITS, SYNC_LIMITS, GuardLimits
from cowrite.crdt.places import MAX_LEVELS
from cowrite.crdt.state_vector import MAX_CLIENTS
from cowrite.http import documents
from cowrite.http.backend import PRESENT_SECONDS
from cowrite.http.bodies import MAX_BODY_BYTES
from cowrite.http.history import MAX_GROUPS
from cowrite.http.models import MAX_TTL
from cowrite.http.polling import MAX_WAIT_SECONDS
from cowrite.http.strict_route import MAX_FIELDS_BYTES
from cowrite.limit_settings import is_limit
from cowrite.protocol import hocuspocus
from cowrite.protocol.awareness import MAX_ENTRIES, MAX_STATE_BYTES, MAX_STATE_DEPTH
from cowrite.protocol.envelope import MAX_MESSAGES
from cowrite.protocol.strict_json import MAX_DEPTH
from cowrite.settings import Settings, SettingsError, load_settings
from cowrite.stores.memory import memory_storage
from cowrite.tokens import MAX_JWKS_BYTES, MAX_TOKEN_CHARACTERS
from cowrite.transports import hocuspocus_document, hocuspocus_socket, json_reader, json_writer, lane, yjs

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "limits.md"
FIXED = {
    "MAX_ID_CHARACTERS": document_ids.MAX_ID_CHARACTERS,
    "MAX_TOKEN_CHARACTERS": MAX_TOKEN_CHARACTERS,
    "MAX_STATE_BYTES": MAX_STATE_BYTES,
    "MAX_ENTRIES": MAX_ENTRIES,
    "OUTBOX_LIMIT": OUTBOX_LIMIT,
    "OPENING_QUEUE_BYTES": yjs.OPENING_QUEUE_BYTES,
    "IMPORT_WAIT_SECONDS": IMPORT_WAIT_SECONDS,
    "LONG_BYTES": lane.LONG_BYTES,
    "BEHIND_QUEUE_BYTES": lane.BEHIND_QUEUE_BYTES,
    "MAX_UNKNOWN_MESSAGES": yjs.MAX_UNKNOWN_MESSAGES,
    "CHECKING_MESSAGES": hocuspocus_socket.CHECKING_MESSAGES,
    "CHECKING_BYTES": hocuspocus_socket.CHECKING_BYTES,
    "MAX_UNANSWERED": MAX_UNANSWERED,
    "MAX_STATELESS_BYTES": hocuspocus_document.MAX_STATELESS_BYTES,
    "MAX_BODY_BYTES": MAX_BODY_BYTES,
    "MAX_FIELDS_BYTES": MAX_FIELDS_BYTES,
    "MAX_DEPTH": MAX_DEPTH,
    "MAX_OPERATIONS": writing.MAX_OPERATIONS,
    "MAX_NODES": writing.MAX_NODES,
    "MAX_BYTES": reading.MAX_BYTES,
    "MAX_WAIT_SECONDS": MAX_WAIT_SECONDS,
    "PRESENT_SECONDS": PRESENT_SECONDS,
    "MAX_WAITING": json_writer.MAX_WAITING,
    "MAX_WAITING_BYTES": json_writer.MAX_WAITING_BYTES,
    "MAX_ANSWERS": json_reader.MAX_ANSWERS,
    "MAX_LISTED": documents.MAX_LISTED,
    "MAX_GROUPS": MAX_GROUPS,
    "MAX_MOMENT": documents.MAX_MOMENT,
    "MAX_NAME": history_versions.MAX_NAME,
    "MAX_NOTE": history_versions.MAX_NOTE,
    "MAX_TTL": MAX_TTL,
    "MAX_MESSAGES": MAX_MESSAGES,
    "MAX_WAITING_OF_ONE": MAX_WAITING_OF_ONE,
    "MAX_JWKS_BYTES": MAX_JWKS_BYTES,
    "MAX_STATE_DEPTH": MAX_STATE_DEPTH,
    "MAX_ADDRESS_BYTES": hocuspocus.MAX_ADDRESS_BYTES,
    "MAX_TOKEN_BYTES": hocuspocus.MAX_TOKEN_BYTES,
    "MAX_CLIENTS": MAX_CLIENTS,
    "MAX_LEVELS": MAX_LEVELS,
    "MAX_KEY_BYTES": content.MAX_KEY_BYTES,
    "MAX_ELEMENT_BYTES": content.MAX_ELEMENT_BYTES,
    "MAX_ROOT_BYTES": content.MAX_ROOT_BYTES,
}


def in_words(name: str, value: float) -> str:
    if name.lower().endswith("_seconds"):
        return f"{value:g} s"
    if name.lower().endswith("_bytes") or name == "OUTBOX_LIMIT":
        return f"{value / (1 << 20):g} MiB" if value >= 1 << 20 else f"{value / 1024:g} KiB"
    return f"{value:,}".replace(",", " ") if value >= 10_000 else str(value)


@pytest.mark.rule("CL50")
def test_every_limit_is_on_the_page() -> None:
    """Each field of ``Limits`` and each limit that cannot be changed, with its value."""
    values = {field.name: getattr(Limits(), field.name) for field in dataclasses.fields(Limits)} | FIXED
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \| [^|]*\|(?: ([^|]+) \|)?$", PAGE.read_text(), re.MULTILINE)
    wanted = [(name, in_words(name, value), takes_of(name)) for name, value in values.items()]
    for field in dataclasses.fields(GuardLimits):
        name = field.name
        live, sync = (in_words(name, getattr(limits, name)) for limits in (LIVE_LIMITS, SYNC_LIMITS))
        wanted.append((name, f"{live} ({sync})", ""))
    assert sorted(rows) == sorted(wanted)


def takes_of(name: str) -> str:
    """What the setting of a limit takes; nothing for what cannot be changed."""
    field = Settings.model_fields.get(f"limit_{name}")
    extra = field.json_schema_extra if field is not None else None
    return str(extra["takes"]) if isinstance(extra, dict) else ""


@pytest.mark.rule("CL52")
def test_each_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name, within bounds, and in the application; what the application is given counts more."""
    names = {field.name for field in dataclasses.fields(Limits)}
    assert {name.removeprefix("limit_") for name in Settings.model_fields if is_limit(name)} == names
    assert load_settings().limits == Limits()
    for name in names:
        value = getattr(Limits(), name)
        changed = value - (1 if isinstance(value, int) else value / 10)
        monkeypatch.setenv(f"COWRITE_LIMIT_{name.upper()}", str(changed))
        assert getattr(load_settings().limits, name) == changed
    settings = load_settings(secret="A" * 43)
    app = create_app(settings, storage=memory_storage())
    assert app.state.cowrite.limits == settings.limits != Limits()


@pytest.mark.rule("CL52")
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("UPDATE_BYTES", "12", "COWRITE_LIMIT_UPDATE_BYTES is 12; it takes a whole number from 1024 to 67108864"),
        ("CPU_SHARE", "nan", "COWRITE_LIMIT_CPU_SHARE is nan; it takes a number from 0.01 to 1"),
        ("KEEPALIVE_SECONDS", "30", "COWRITE_LIMIT_KEEPALIVE_SECONDS is 30; it takes a number from 1 to 29"),
        (
            "UPDATE_BYTES",
            "67108864",
            "COWRITE_LIMIT_UPDATE_BYTES is 67108864, more than COWRITE_LIMIT_SYNC_BYTES (33554432)",
        ),
    ],
)
def test_limits_that_are_none(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    """What would leave no whole server is refused with what it takes."""
    monkeypatch.setenv(f"COWRITE_LIMIT_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert refused.value.problems == (told,)
