"""A document's channel at this process, and what the broker counts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from cowrite.brokers.contact import Contact
from cowrite.core.ports import News, Receiver, Signal


@dataclass(slots=True)
class BrokerCounters:
    """What has happened since the start, for people and metrics."""

    contacts: int = 0
    """How often contact was made."""
    sent: int = 0
    """Messages handed to the server."""
    sent_bytes: int = 0
    dropped: int = 0
    """Messages that others were not told: no contact, or too much waiting."""
    received: int = 0
    """Messages of others."""
    received_bytes: int = 0
    own: int = 0
    """Messages that came back."""
    undecodable: int = 0
    """Messages that could not be read; the documents are compared with the store instead."""


@dataclass(slots=True, eq=False)
class Channel:
    """A document that is subscribed."""

    document_id: str
    name: bytes
    receivers: dict[object, Receiver] = field(default_factory=dict)
    """By subscription, in the order of subscribing."""
    contact: Contact | None = None
    """Where it was subscribed last."""
    confirmed: asyncio.Future[None] | None = None
    """Done when the server has confirmed that, or contact is lost."""
    late: bool = False
    """Somebody has not waited for it: something may have been told meanwhile."""

    def hand_over(self, told: News | Signal) -> None:
        """Call the receivers, but for those that one of them ends."""
        for subscription, receive in list(self.receivers.items()):
            if subscription not in self.receivers:
                continue
            try:
                receive(told)
            except Exception as error:
                # A receiver's fault is neither the publisher's nor the other receivers': it goes where those of callbacks go.
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"news of document {told.document_id!r} not taken by {receive!r}", "exception": error}
                )


def channel_name(document_id: str) -> bytes:
    """The channel of a document; its slot is that of the document's keys."""
    return b"cowrite:news:{%b}" % document_id.encode(errors="surrogatepass")
