"""Chooses how this process tells others."""

from __future__ import annotations

from cowrite.brokers.local import LocalBroker
from cowrite.core.ports import Broker


async def open_broker(redis_url: str | None) -> Broker:
    """By Redis when there is a URL of one, else not at all: others read the database.

    A Redis that is down is no reason not to start. Raises :class:`cowrite.brokers.errors.BrokerSetupError` for one that works,
    and will never carry news as it is set up.
    """
    if redis_url is None:
        return LocalBroker()
    from cowrite.brokers.redis import RedisBroker  # here: a server without Redis starts in half the time

    broker = RedisBroker(redis_url)
    await broker.start()
    return broker
