"""What ``settings.COWRITE`` says: an object with these keys, of which ``GRANT`` is required.

=================  =========================================================================================================
``GRANT``          dotted path of ``grant(user, document_id)``, which says what somebody may do: ``"read"``, ``"comment"``,
                   ``"write"``, ``"admin"``, or None. ``user`` is ``request.user``, and may be anonymous
``PATH``           where cowrite is in this process, ``/collab`` unless told otherwise
``TOKEN_SECONDS``  how long a token lasts, 3600 unless told otherwise; a page fetches a new one for each connection
=================  =========================================================================================================

All other keys are cowrite's settings without ``COWRITE_``, as ``DATABASE_URL``; they win over the environment. Without
``SECRET`` there and in the environment the secret is derived from ``SECRET_KEY`` and its fallbacks.
"""

from __future__ import annotations

import base64
import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.crypto import salted_hmac
from django.utils.module_loading import import_string

from cowrite.settings import Settings, SettingsError, load_settings

Grants = Callable[[Any, str], str | None]
_OWN: Final = {"GRANT", "PATH", "TOKEN_SECONDS"}
_OF_THE_SERVER: Final = {"HOST", "PORT", "WORKERS", "DRAIN_SECONDS", "LOG_LEVEL", "LOG_FORMAT"}
"""Settings that the ASGI server has, which cowrite is in."""
_FLAG: Final = re.compile(r"^--([a-z-]+)")


@dataclass(frozen=True, slots=True)
class Collaboration:
    """What ``settings.COWRITE`` says."""

    grant: Grants
    path: str
    token_seconds: int
    settings: Settings


@cache
def collaboration() -> Collaboration:
    """What ``settings.COWRITE`` says; it is read once. Raises :class:`ImproperlyConfigured`, which says what is wrong."""
    given = dict(getattr(django_settings, "COWRITE", None) or {})
    _known(given)
    if not given.get("GRANT"):
        raise ImproperlyConfigured(
            "COWRITE['GRANT'] is missing: name the function that says who may do what, for example 'notes.access.grant'"
        )
    path = f"/{str(given.get('PATH', '/collab')).strip('/')}"
    if path == "/":
        raise ImproperlyConfigured("COWRITE['PATH'] is the whole site; name a path below it, for example '/collab'")
    seconds = given.get("TOKEN_SECONDS", 3600)
    if not isinstance(seconds, int) or seconds < 1:
        raise ImproperlyConfigured(f"COWRITE['TOKEN_SECONDS'] is {seconds!r}; it takes a whole number of seconds from 1")
    return Collaboration(import_string(given["GRANT"]), path, seconds, _settings(given))


def _known(given: dict[str, Any]) -> None:
    known = {name.upper() for name in Settings.model_fields} - _OF_THE_SERVER | _OWN
    for name in given:
        if name in _OF_THE_SERVER:
            raise ImproperlyConfigured(f"COWRITE['{name}'] says nothing here: the ASGI server that runs Django has that")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ImproperlyConfigured(f"COWRITE['{name}'] is no setting" + (f"; did you mean '{near[0]}'?" if near else ""))


def _settings(given: dict[str, Any]) -> Settings:
    own = {name.lower(): str(value) for name, value in given.items() if name not in _OWN}
    try:
        loaded = load_settings(**own)
        return loaded if loaded.secret is not None else load_settings(**own, secret=_derived())
    except SettingsError as error:
        raise ImproperlyConfigured("; ".join(map(_named, error.problems))) from None


def _named(problem: str) -> str:
    """A problem whose setting has the name that it has in ``settings.COWRITE``, instead of the flag's."""
    return _FLAG.sub(lambda flag: f"COWRITE['{flag[1].replace('-', '_').upper()}']", problem, count=1)


def _derived() -> str:
    """Keys from Django's, so that there is one secret less; the newest first, as both have it."""
    keys = (django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS)
    derived = (salted_hmac("cowrite.django", "session tokens", secret=key, algorithm="sha256").digest() for key in keys)
    return ",".join(base64.urlsafe_b64encode(key).rstrip(b"=").decode() for key in derived)


def _changed(*, setting: str, **_: Any) -> None:
    """A test of the project's has changed a setting, as ``override_settings`` does."""
    if setting in {"COWRITE", "SECRET_KEY", "SECRET_KEY_FALLBACKS"}:
        collaboration.cache_clear()


setting_changed.connect(_changed)
