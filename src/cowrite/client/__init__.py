"""Edit documents of a cowrite server from Python, together with people in their editors: for scripts, tests and AI agents.

    from cowrite.client import connect

    async with connect("http://localhost:8000", "notes", token=token, name="Bot") as doc:
        body = doc.text("body")
        body.append("Hello")
        await doc.saved()           # it is on the server's disk

It speaks y-websocket's protocol with cowrite's acknowledgements over a WebSocket. docs/python-client.md tells more.

How it is made: ``document`` (what programs hold; ``live`` is behind it) says by a ``conversation`` what is to be said over a
link; ``connection`` opens links, one after the other, by a ``way``: to a ``server`` (HTTP and a ``websocket``), or to a room in
the same process.
"""

from cowrite.client.awareness import Awareness
from cowrite.client.changes import Changes
from cowrite.client.connecting import connect
from cowrite.client.connection import Status
from cowrite.client.document import Document
from cowrite.client.errors import (
    ClientError,
    Closed,
    Deleted,
    EditRefused,
    Failed,
    Forbidden,
    Lagging,
    NotConnected,
    NotSaved,
    ReadOnly,
    Refused,
    Unauthorized,
)
from cowrite.client.rich_text import Tree
from cowrite.client.text import Anchor, Text
from cowrite.client.ways import Grant, User
from cowrite.crdt.editing.collections import EditableArray as Array
from cowrite.crdt.editing.collections import EditableMap as Map
from cowrite.crdt.editing.document import Change
from cowrite.crdt.editing.positions import Edit
from cowrite.crdt.editing.text import Gone

__all__ = [
    "Anchor",
    "Array",
    "Awareness",
    "Change",
    "Changes",
    "ClientError",
    "Closed",
    "Deleted",
    "Document",
    "Edit",
    "EditRefused",
    "Failed",
    "Forbidden",
    "Gone",
    "Grant",
    "Lagging",
    "Map",
    "NotConnected",
    "NotSaved",
    "ReadOnly",
    "Refused",
    "Status",
    "Text",
    "Tree",
    "Unauthorized",
    "User",
    "connect",
]
