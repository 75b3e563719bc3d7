"""From the URL of a database server to a place that its driver can connect to."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import URL

from cowrite.stores.errors import StoreSetupError
from cowrite.stores.sqlalchemy.server_kinds import Place

SERVERS: Final[Mapping[str, str]] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
"""Schemes of URLs, and the kind of server that each means."""
_PORTS: Final = {"postgresql": 5432, "mysql": 3306}
_TLS: Final = {
    "postgresql": ("disable", "prefer", "require", "verify-ca", "verify-full"),
    "mysql": ("disable", "require", "verify-ca", "verify-full"),
}
_DEFAULT_TLS: Final = {"postgresql": "prefer", "mysql": "disable"}
_FILES: Final = ("sslrootcert", "sslcert", "sslkey")
_TAKEN: Final = ("sslmode", *_FILES)


def server_scheme(url: URL) -> str | None:
    """The kind of server that a URL names, whatever driver it names; None: no server's."""
    return SERVERS.get(url.drivername.partition("+")[0])


def server_place(url: URL, kind: str) -> Place:
    """Raises :class:`StoreSetupError` with one line for people, without the password."""
    scheme = url.drivername.partition("+")[0]
    example = f"for example {scheme}://user:password@host/database"
    if "@" in (url.host or ""):
        # What stands before it is the end of a password: nothing of it is repeated.
        raise StoreSetupError(
            f"The database's URL has an @ too many: percent-encode the user and the password (an @ is %40), {example}."
        )
    query = _query(url, example)
    if not url.database:
        raise StoreSetupError(f"The database's URL names no database; write it behind the host, {example}.")
    if not url.host and "host" not in query:
        raise StoreSetupError(f"The database's URL names no host, {example}; a folder with a socket is ?host=/path.")
    socket_path = query.get("host")
    if socket_path is not None and (url.host or not socket_path.startswith("/")):
        raise StoreSetupError("In the database's URL ?host= is for the folder or file of a socket, and then no other host.")
    mode = query.get("sslmode", _DEFAULT_TLS[kind] if socket_path is None else "disable")
    if mode not in _TLS[kind]:
        raise StoreSetupError(f"sslmode in the database's URL is {mode!r}; it takes one of {', '.join(_TLS[kind])}.")
    return Place(
        host=None if socket_path is not None else url.host,
        port=url.port or _PORTS[kind],
        socket_path=socket_path,
        user=url.username,
        password=None if url.password is None else str(url.password),
        database=url.database,
        tls=_tls(kind, mode, {name: query[name] for name in _FILES if name in query}),
        tls_required=mode not in {"disable", "prefer"},
    )


def _query(url: URL, example: str) -> dict[str, str]:
    found = {}
    for name, value in url.query.items():
        if name not in (*_TAKEN, "host"):
            raise StoreSetupError(
                f"The database's URL has {_harmless(name)!r} behind the ?; it takes {', '.join(_TAKEN)} there, "
                f"{example}?sslmode=verify-full."
            )
        if not isinstance(value, str):
            raise StoreSetupError(f"The database's URL says {name} twice.")
        found[name] = value
    return found


def _harmless(name: str) -> str:
    """A name as it may be repeated: what follows a mistake in a URL could be a part of the password."""
    return name if re.fullmatch(r"[a-z_]{1,32}", name) else "something"


def _tls(kind: str, mode: str, files: Mapping[str, str]) -> Any:
    if mode == "disable":
        if files:
            raise StoreSetupError(
                f"The database's URL has {_names(files)} without TLS; add sslmode=verify-full or another mode."
            )
        return False if kind == "postgresql" else None
    if mode == "prefer" and not files:
        return "prefer"
    try:
        context = ssl.create_default_context(cafile=files.get("sslrootcert"))
        if "sslcert" in files:
            context.load_cert_chain(files["sslcert"], files.get("sslkey"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreSetupError(f"{_names(files)} of the database's URL cannot be used: {reason}.") from None
    context.check_hostname = mode == "verify-full"
    # As with libpq: who gives a root certificate wants it looked at.
    context.verify_mode = ssl.CERT_REQUIRED if mode.startswith("verify") or "sslrootcert" in files else ssl.CERT_NONE
    return context


def _names(files: Mapping[str, str] | Sequence[str]) -> str:
    return " and ".join(files)
