"""Chooses how this process tells others."""

from __future__ import annotations

import importlib

from cowrite.brokers.errors import BrokerSetupError
from cowrite.brokers.local import LocalBroker
from cowrite.core.ports import Broker


async def open_broker(redis_url: str | None) -> Broker:
    """By Redis when there is a URL of one, else not at all: others read the database.

    A Redis that is down is no reason not to start. Raises :class:`cowrite.brokers.errors.BrokerSetupError` for one that works,
    and will never carry news as it is set up.
    """
    if redis_url is None:
        return LocalBroker()
    require_redis()
    from cowrite.brokers.redis import RedisBroker

    broker = RedisBroker(redis_url)
    await broker.start()
    return broker


def require_redis() -> None:
    """Raise :class:`cowrite.brokers.errors.BrokerSetupError` unless the packages are there by which Redis is spoken to: they
    are an extra, and a server without Redis starts in half the time when nothing of them is imported.
    """
    for package in ("redis", "hiredis"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise BrokerSetupError(
                f"For COWRITE_REDIS_URL the package {package} is missing ({error}); "
                "install it with:  pip install 'cowrite[redis]'"
            ) from None
