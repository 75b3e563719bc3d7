"""A Yjs client in Python, without a network: a document, an awareness entry, and the y-websocket protocol over any pair of
calls.

For tests of servers and transports. It speaks as stock clients do: SyncStep1 first, an answer to each SyncStep1, an Update for
each local transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycrdt import Doc, Text, TransactionEvent

from cowrite.crdt.state_vector import decode_state_vector
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import Acknowledged, AwarenessUpdate, SyncStep1, SyncStep2, Update


class YjsClient:
    """Give it ``send``, feed it :meth:`receive`; edit ``text`` (the root ``body``) or any other root of ``doc``."""

    def __init__(self, client_id: int | None = None) -> None:
        self.doc: Doc[Any] = Doc(client_id=client_id) if client_id is not None else Doc()
        self.text: Text = self.doc.get("body", type=Text)
        self.synced = False
        """A SyncStep2 has come since :meth:`connect`."""
        self.sent = 0
        """SyncStep2 and Update messages sent since :meth:`connect`."""
        self.acknowledged = 0
        """How many of them the server said to be durable."""
        self.offset = 0
        """The offset that came with the newest acknowledgement."""
        self.states: dict[int, AwarenessEntry] = {}
        """The newest awareness entry of every other client."""
        self._clock = 0
        self._send: Callable[[bytes], None] | None = None
        self._applying = False
        self._subscription = self.doc.observe(self._changed)

    @property
    def client_id(self) -> int:
        """The Yjs client id."""
        return int(self.doc.client_id)

    @property
    def state(self) -> dict[int, int]:
        """Client → next clock."""
        return decode_state_vector(self.doc.get_state())

    @property
    def saved(self) -> bool:
        """Everything that was sent on this connection is acknowledged."""
        return self._send is not None and self.synced and self.acknowledged == self.sent

    def connect(self, send: Callable[[bytes], None]) -> None:
        """A new connection: say what this client has."""
        self._send, self.synced, self.sent, self.acknowledged = send, False, 0, 0
        send(yjs.encode(SyncStep1(self.doc.get_state())))

    def disconnect(self) -> None:
        """No connection from now on; edits stay here until the next one."""
        self._send = None

    def uses(self, send: Callable[[bytes], None]) -> bool:
        """This is the connection that the client is on now."""
        return self._send == send

    def point(self, state: str | None) -> None:
        """Announce this client's awareness state (JSON text)."""
        self._clock += 1
        self._write(yjs.encode(AwarenessUpdate((AwarenessEntry(self.client_id, self._clock, state),))))

    def receive(self, frame: bytes) -> None:
        """One message of the server."""
        match yjs.decode(frame):
            case SyncStep1(state_vector):
                self._write(yjs.encode(SyncStep2(self.doc.get_update(state_vector))), counts=True)
            case SyncStep2(update):
                self._apply(update)
                self.synced = True
            case Update(update):
                self._apply(update)
            case Acknowledged(count, offset):
                self.acknowledged, self.offset = count, offset
            case AwarenessUpdate(entries):
                self.states.update((entry.client_id, entry) for entry in entries)
            case _:
                pass

    def _apply(self, update: bytes) -> None:
        self._applying = True
        try:
            self.doc.apply_update(update)
        finally:
            self._applying = False

    def _changed(self, event: TransactionEvent) -> None:
        if not self._applying:
            self._write(yjs.encode(Update(event.update)), counts=True)

    def _write(self, frame: bytes, *, counts: bool = False) -> None:
        if self._send is not None:
            self.sent += counts
            self._send(frame)
