"""What goes wrong, told to an assistant: what happened, to which document, and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mcp.server.mcpserver.exceptions import ToolError

from cowrite.client import (
    ClientError,
    Deleted,
    EditRefused,
    Forbidden,
    Gone,
    NotConnected,
    ReadOnly,
    Refused,
    Unauthorized,
)

__all__ = ["ToolError", "ask_for_token", "away", "explained", "no_access", "quoted"]

_LONGEST_NAME: Final = 300
_BREAKS: Final = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def quoted(name: str) -> str:
    """What others have named, in quotation marks and on one line."""
    cut = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    return _BREAKS.sub(lambda found: ascii(found[0])[1:-1], json.dumps(cut, ensure_ascii=False))


def ask_for_token() -> ToolError:
    """The token is no good."""
    return ToolError(
        "The server takes no (more) requests with this token: it has expired, was revoked, or is none. Nothing can be "
        "read or written with it. Tell the person that `cowrite mcp` needs a new token (COWRITE_MCP_TOKEN), and a new start."
    )


def no_access(document: str) -> ToolError:
    """The token is good, and not for this."""
    return ToolError(
        f"You have no access to the document {quoted(document)} (any more), or not enough of it for this. list_documents tells "
        "which you may read. If you need this one, ask the person."
    )


def away(reason: str) -> ToolError:
    """There is no server to be reached."""
    return ToolError(
        f"The cowrite server cannot be reached now: {reason}. Try again in a while; if it goes on, tell the person."
    )


@contextmanager
def explained(document: str) -> Iterator[None]:
    """Tell the assistant what the client raises."""
    try:
        yield
    except ClientError as error:
        raise _explanation(document, error) from error
    except Gone as error:
        raise ToolError(
            f"Somebody has just deleted the place in {quoted(document)} where this was to be written, so nothing was. "
            "Read the document again."
        ) from error


def _explanation(document: str, error: ClientError) -> ToolError:
    match error:
        case ReadOnly():
            return ToolError(
                f"You may read the document {quoted(document)}, but not edit it: your grant does not allow writing. Others see "
                "nothing of this edit. Tell the person what you would have changed."
            )
        case Unauthorized():
            return ask_for_token()
        case Forbidden():
            return no_access(document)
        case Deleted():
            return ToolError(f"The document {quoted(document)} was deleted. An administrator can undelete it; you cannot.")
        case EditRefused():
            return ToolError(f"The server can never take this edit of {quoted(document)}: {error.reason}. Make it smaller.")
        case NotConnected():
            return away(str(error))
        case Refused():
            return ToolError(f"The server refused the document {quoted(document)}: {error.reason}. Tell the person.")
        case _:
            return ToolError(f"The connection to the document {quoted(document)} has ended: {error}. Try once more.")
