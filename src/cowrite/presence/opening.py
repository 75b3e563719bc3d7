"""Chooses where presence is kept."""

from __future__ import annotations

from cowrite.core.ports import Clock, LeasedPresence, Presence
from cowrite.presence.local import LocalPresence


def open_presence(redis_url: str | None, database: LeasedPresence | None, clock: Clock) -> Presence:
    """In Redis when there is a URL of one, with the database in its place while Redis does not work; else in the database; in
    this process when there is none.

    Connects to nothing yet: a Redis that is down is found by the first call, which the database then answers.
    """
    kept = database if database is not None else LocalPresence(clock)
    if redis_url is None:
        return kept
    from cowrite.presence.failover import FailoverPresence  # here: a server without Redis starts in half the time
    from cowrite.presence.redis import RedisPresence

    return FailoverPresence(RedisPresence(redis_url, clock), kept, clock)
