"""How a program comes to a document on a server."""

from __future__ import annotations

from ssl import SSLContext

from cowrite.client.document import CONNECT_SECONDS, SAVE_SECONDS, Document
from cowrite.client.server import ServerWay, Token


def connect(
    url: str,
    document: str,
    *,
    token: Token = None,
    name: str | None = None,
    colour: str | None = None,
    ssl: SSLContext | None = None,
    connect_seconds: float = CONNECT_SECONDS,
    save_seconds: float = SAVE_SECONDS,
) -> Document:
    """Edit a document on a server::

        async with connect("http://localhost:8000", "notes", token=token, name="Bot") as doc:
            doc.text("body").append("Hello")
            await doc.saved()

    ``url`` is where cowrite is served: http or https, with the path under which it is mounted. ``token`` is the user's session
    token, or a function that gets one, asynchronous or not: it is called again when a session ends. ``name`` and ``colour``
    (``"#0b72ae"``) are what others see of this program; without both it is not seen. ``ssl``: whom to trust for https.

    Entering the block waits until all that the server has is here: it raises :class:`Refused` when the server says no, and
    :class:`NotConnected` after ``connect_seconds``. Leaving it waits ``save_seconds`` at most until all edits are on the
    server's disk, and raises :class:`NotSaved` otherwise. Raises ``ValueError`` at once for an address that is none.
    """
    user = {key: value for key, value in (("name", name), ("color", colour)) if value is not None}
    way = ServerWay(url, document, token, ssl)
    state: dict[str, object] | None = {"user": user} if user else None
    return Document(document, way, state=state, connect_seconds=connect_seconds, save_seconds=save_seconds)
