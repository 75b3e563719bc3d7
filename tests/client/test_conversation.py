"""What the Python client says over a link, without one: the server is in the test's hands."""

from __future__ import annotations

import pytest

from cowrite.client.conversation import LARGE_BYTES, Conversation
from cowrite.crdt.editing.document import NOTHING, EditableDocument
from cowrite.crdt.editing.text import EditableText
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import (
    Acknowledged,
    AwarenessUpdate,
    Message,
    PermissionDenied,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    Update,
)

OWN = AwarenessUpdate((AwarenessEntry(7, 1, "{}"),))


class Client:
    """A conversation, its document, and what it says; it is whom it tells."""

    def __init__(self) -> None:
        self.said: list[Message] = []
        self.told: list[str] = []
        self.own: AwarenessUpdate | None = None
        self.document = EditableDocument(self.edited, lambda change: None)
        self.conversation = Conversation(self.document, self)
        self.text = EditableText(self.document, self.document.root("t", "text"), lambda edits: None)

    def edited(self, update: bytes) -> None:
        self.conversation.edited(update)

    def link(self, *, writes: bool = True) -> None:
        self.conversation.linked(lambda frame: self.said.append(yjs.decode(frame)), writes=writes)

    def hear(self, message: Message) -> None:
        self.conversation.received(yjs.encode(message))

    def progressed(self) -> None:
        self.told.append("progressed")

    def denied(self, reason: str) -> None:
        self.told.append(reason)

    def met(self, entries: tuple[AwarenessEntry, ...]) -> None:
        self.told += [str(entry.state) for entry in entries]

    def introduction(self) -> AwarenessUpdate | None:
        return self.own


def read(*messages: Message) -> str:
    """What is in the updates of messages, for somebody who has nothing else."""
    document = EditableDocument(lambda update: None, lambda change: None)
    text = EditableText(document, document.root("t", "text"), lambda edits: None)
    for message in messages:
        assert isinstance(message, SyncStep2 | Update)
        document.apply(message.update)
    return str(text)


@pytest.mark.rule("PY11", "PY13")
def test_a_link_begins_with_what_is_there() -> None:
    """Edits wait until the server has asked; then they go with the answer, and after it as they are made."""
    client = Client()
    client.text.append("before ")
    client.own = OWN
    client.link()
    client.text.append("then ")
    client.conversation.flush()
    hello, awareness = client.said
    assert isinstance(hello, SyncStep1)
    assert awareness == OWN
    client.hear(SyncStep1(b"\x00"))
    client.text.append("one ")
    client.text.append("two ")
    client.conversation.flush()
    client.conversation.flush()
    step2, update = client.said[2:]
    assert isinstance(step2, SyncStep2)
    assert isinstance(update, Update)
    assert (read(step2), read(step2, update)) == ("before then ", "before then one two ")
    assert (client.conversation.edits, client.conversation.saved) == (4, 0)
    client.hear(Acknowledged(1, 5))
    assert (client.conversation.saved, client.conversation.unsaved) == (2, 2)
    client.hear(Acknowledged(0, 5))
    assert client.conversation.saved == 2
    client.hear(Acknowledged(9, 6))
    assert client.conversation.unsaved == 0


@pytest.mark.rule("PY12")
def test_a_new_link_begins_anew() -> None:
    """What was not acknowledged counts as unsaved, and what was, as saved, whatever becomes of the links."""
    client = Client()
    client.link()
    client.hear(SyncStep1(b"\x00"))
    client.hear(SyncStep2(NOTHING))
    assert client.conversation.synced
    client.text.append("a")
    client.conversation.flush()
    client.hear(Acknowledged(1, 1))
    client.conversation.unlinked()
    client.text.append("b")
    client.conversation.flush()
    client.conversation.say(OWN)
    client.conversation.introduce()
    assert (client.conversation.synced, client.conversation.unsaved, len(client.said)) == (False, 2, 3)
    client.link()
    client.hear(Acknowledged(1, 1))
    assert client.conversation.unsaved == 2, "nothing was uploaded on this link"
    client.hear(SyncStep1(b"\x00"))
    assert read(client.said[-1]) == "ab"
    client.hear(Acknowledged(1, 2))
    assert client.conversation.unsaved == 0


@pytest.mark.rule("PY13")
def test_much_goes_as_a_step_2() -> None:
    """With all that the server lacked when it asked; many small ones are written anew, as one piece."""
    client = Client()
    client.link()
    client.hear(SyncStep1(b"\x00"))
    client.text.append("small ")
    client.conversation.flush()
    client.text.append("x" * LARGE_BYTES)
    client.conversation.flush()
    assert [type(said) for said in client.said[-2:]] == [Update, SyncStep2]
    assert read(client.said[-1]) == str(client.text)
    client.text.delete(0, LARGE_BYTES)
    client.conversation.flush()
    for _ in range(1000):
        client.text.append("y")
    client.conversation.flush()
    last = client.said[-1]
    assert isinstance(last, Update)
    assert len(last.update) < 1100
    assert read(*client.said[-3:]) == str(client.text)


@pytest.mark.rule("PY14")
def test_who_may_not_write_uploads_nothing() -> None:
    """The answer is counted on the wire, and saves nothing."""
    client = Client()
    client.text.append("a")
    client.link(writes=False)
    client.hear(SyncStep1(b"\x00"))
    assert client.said[-1] == SyncStep2(NOTHING)
    client.hear(Acknowledged(1, 1))
    assert client.conversation.unsaved == 1
    client.conversation.allow(writes=False)
    client.conversation.allow(writes=True)
    assert read(client.said[-1]) == "a"
    client.hear(Acknowledged(2, 1))
    assert client.conversation.unsaved == 0
    client.text.append("b")
    client.conversation.flush()
    client.hear(PermissionDenied("the grant is read"))
    assert client.told[-1] == "the grant is read"
    client.conversation.allow(writes=False)
    said = len(client.said)
    client.text.append("c")
    client.conversation.flush()
    assert (len(client.said), client.conversation.unsaved) == (said, 2)
    client.conversation.unlinked()
    client.conversation.allow(writes=True)
    assert len(client.said) == said


@pytest.mark.rule("PY12")
def test_what_comes() -> None:
    """Edits, awareness and questions; what is for newer clients is passed over, and what cannot be read is an error."""
    client, other = Client(), Client()
    other.text.append("hi")
    client.link()
    client.hear(Update(other.document.encode()))
    assert (str(client.text), client.conversation.synced) == ("hi", False)
    client.hear(AwarenessUpdate((AwarenessEntry(9, 1, '{"x":1}'),)))
    assert client.told == ['{"x":1}']
    client.hear(QueryAwareness())
    assert len(client.said) == 1
    client.own = OWN
    client.hear(QueryAwareness())
    client.conversation.say(OWN)
    assert client.said[1:] == [OWN, OWN]
    client.conversation.received(b"\x63new")
    for frame in (b"", b"\x00\x01\x05", yjs.encode(Update(b"nonsense")), yjs.encode(SyncStep1(b"\x05"))):
        with pytest.raises(ValueError, match=r"\w"):
            client.conversation.received(frame)
