"""The ports: what core asks of the world. Each has a contract suite in ``cowrite.testing`` that every implementation runs."""

from __future__ import annotations

from cowrite.core.grant import Grant
from cowrite.core.ports.authorizer import Access, AccessClaims, AccessDenied, AccessTokenMaker, Authorizer
from cowrite.core.ports.broker import (
    AwarenessLost,
    AwarenessNews,
    AwarenessQuery,
    Broker,
    Missed,
    News,
    PresenceNews,
    ProcessLeft,
    Receiver,
    Signal,
    StatelessNews,
    Subscription,
)
from cowrite.core.ports.clock import Clock, Timer
from cowrite.core.ports.history import Erasure, History, Versions
from cowrite.core.ports.presence import LEASE_SECONDS, LeasedPresence, Presence, PresenceError, PresenceRecord
from cowrite.core.ports.storage import AccessChanges, AccessLog, Directory, PoolUse, Sessions, Storage
from cowrite.core.ports.store import (
    CommitDoubtful,
    DocumentDeleted,
    HistoryForgotten,
    InvalidId,
    Store,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    WriteTransaction,
)

__all__ = [
    "LEASE_SECONDS",
    "Access",
    "AccessChanges",
    "AccessClaims",
    "AccessDenied",
    "AccessLog",
    "AccessTokenMaker",
    "Authorizer",
    "AwarenessLost",
    "AwarenessNews",
    "AwarenessQuery",
    "Broker",
    "Clock",
    "CommitDoubtful",
    "Directory",
    "DocumentDeleted",
    "Erasure",
    "Grant",
    "History",
    "HistoryForgotten",
    "InvalidId",
    "LeasedPresence",
    "Missed",
    "News",
    "PoolUse",
    "Presence",
    "PresenceError",
    "PresenceNews",
    "PresenceRecord",
    "ProcessLeft",
    "Receiver",
    "Sessions",
    "Signal",
    "StatelessNews",
    "Storage",
    "Store",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "StoreRefused",
    "StoreUnavailable",
    "Subscription",
    "Timer",
    "Versions",
    "WriteTransaction",
]
