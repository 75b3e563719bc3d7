"""The parts of a server outside of it, the database, Redis and who receives webhooks, and whether all clocks agree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from cowrite.brokers.errors import BrokerSetupError
from cowrite.brokers.opening import require_redis
from cowrite.composition import database_url
from cowrite.core.clock import SystemClock
from cowrite.doctor.findings import Finding, Level, of_line
from cowrite.settings import Settings
from cowrite.stores import examining as stores
from cowrite.stores.errors import StoreOutdated, StoreSetupError
from cowrite.stores.opening import place_name
from cowrite.tokens.jwks import JwksUrl
from cowrite.tokens.public_keys import KeysUnavailable

_APART: Final = 2.0
"""Seconds that clocks may differ: tokens and leases allow for some more."""
_SLOW: Final = 0.05
_WEBHOOK_SECONDS: Final = 5.0
_PORTS: Final = {"http": 80, "https": 443}


async def signing_keys(settings: Settings) -> list[Finding]:
    """Those of signed JWTs, where they come from a URL; a file was read with the settings."""
    if settings.jwks is None:
        return []
    if settings.jwks_url is None:
        return [Finding("signing keys", Level.OK, "the key set of COWRITE_JWKS can be read")]
    try:
        keys = await JwksUrl(settings.jwks_url, SystemClock()).find(None)
    except KeysUnavailable as error:
        advice = "see that this machine reaches it, and that it answers with a JSON Web Key Set"
        return [Finding("signing keys", Level.PROBLEM, str(error), advice)]
    return [Finding("signing keys", Level.OK, f"{len(keys)} in the key set behind COWRITE_JWKS")]


async def database(settings: Settings) -> list[Finding]:
    """The database that the settings name: whether it can be used, and how fast it answers."""
    file = settings.database_file
    try:
        url, place = await asyncio.to_thread(_named, settings)
        if file is not None and not await asyncio.to_thread(file.exists):
            return [Finding("database", Level.NOTE, f"{place} is not there yet; `cowrite serve` makes it")]
        return list(_examined(place, await stores.examine(url)))
    except StoreOutdated as error:
        makes_itself = file is not None or "has no tables" in str(error)
        return [of_line("database", Level.NOTE if makes_itself else Level.PROBLEM, error)]
    except StoreSetupError as error:
        return [of_line("database", Level.PROBLEM, error, behind=": ")]


def _named(settings: Settings) -> tuple[str, str]:
    """Its URL, and its name for people."""
    url = database_url(settings)
    return url, place_name(url)


def _examined(place: str, found: stores.Examination) -> Iterator[Finding]:
    what = f"{place}: documents: {found.documents}"
    yield Finding("database", Level.OK, f"{what[0].upper()}{what[1:]}")
    if found.clock_ahead is not None:
        slowest = max(found.answer_seconds, found.write_seconds)
        what = f"it answers in {found.answer_seconds * 1000:.1f} ms, and commits in {found.write_seconds * 1000:.1f} ms"
        if slowest > _SLOW:
            yield Finding("database", Level.WARNING, what, "every acknowledgement waits for that: bring it nearer")
        else:
            yield Finding("database", Level.OK, what)
        yield _clock("the database's clock", found.clock_ahead)
    if found.newest_at is not None and (ahead := found.newest_at / 1000 - time.time()) > _APART:
        what = f"the last edit is from {ahead:.0f} s in the future"
        yield Finding("clock", Level.WARNING, what, "see that the time is right on all machines that serve (timedatectl)")


def _clock(whose: str, ahead: float) -> Finding:
    if abs(ahead) <= _APART:
        return Finding("clock", Level.OK, f"{whose} agrees with this machine's")
    what = f"{whose} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    return Finding("clock", Level.WARNING, what, "set both by a time server (timedatectl set-ntp true)")


async def redis(settings: Settings) -> list[Finding]:
    """Redis or Valkey, where the settings name one."""
    if settings.redis_url is None:
        return [Finding("redis", Level.OK, "none; what processes tell one another goes by the database")]
    try:
        require_redis()
    except BrokerSetupError as error:
        missing, _, advice = str(error).rpartition("; ")
        return [Finding("redis", Level.PROBLEM, missing, advice)]
    from cowrite.brokers import examining as brokers
    from cowrite.brokers.link import LinkLost

    try:
        found = await brokers.examine(settings.redis_url)
    except LinkLost as error:
        advice = "a server serves without it, slower; see that it runs, and COWRITE_REDIS_URL"
        return [Finding("redis", Level.PROBLEM, str(error), advice)]
    what = f"{', '.join(found.addresses)} answers in {found.answer_seconds * 1000:.1f} ms"
    level, advice = (Level.WARNING, "bring it nearer") if found.answer_seconds > _SLOW else (Level.OK, "")
    return [Finding("redis", level, what, advice), _clock("the clock of Redis", found.clock_ahead)]


async def webhooks(settings: Settings) -> list[Finding]:
    """Whether somebody is where they are sent. Nothing is sent: the receiver would take it for true."""
    if settings.webhook_url is None:
        return []
    address = urlsplit(settings.webhook_url)
    place = f"{address.scheme}://{address.netloc.rpartition('@')[2]}"  # without a password, and without what may be a key
    try:
        async with asyncio.timeout(_WEBHOOK_SECONDS):
            _, writer = await asyncio.open_connection(address.hostname, address.port or _PORTS[address.scheme.lower()])
    except (OSError, TimeoutError) as error:
        what = f"nobody answers at {place} ({str(error) or 'no answer in time'}); what is to be told waits"
        return [Finding("webhooks", Level.WARNING, what, "start the receiver, or correct COWRITE_WEBHOOK_URL")]
    writer.close()
    return [Finding("webhooks", Level.OK, f"somebody answers at {place}")]
