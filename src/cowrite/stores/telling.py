"""What all storage has in common that keeps how far webhooks have told."""

from __future__ import annotations

import json

from cowrite.core.records import Head


def end_of_message(epoch: str, after: int, head: int, until: Head | None) -> int:
    """Up to which offset a message tells of the entries behind ``after``."""
    if until is None or until.epoch != epoch or until.offset <= after:
        return head
    return min(head, until.offset)


def without_content(body: str) -> str:
    """A message without what the document said: that was erased since it was made."""
    told = json.loads(body)
    content = told.get("data", {}).get("content")
    if content is None or content["value"] is None:
        return body
    content["value"] = None
    return json.dumps(told)
