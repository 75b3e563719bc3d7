"""What must hold before a server starts, checked so that a person gets one clear line instead of a traceback."""

from __future__ import annotations

import errno
import ipaddress
import socket
import tempfile
from pathlib import Path
from typing import Any, Final

WRONG: Final = 2
"""The exit code for what will not be better before somebody changes something."""
AWAY: Final = 1
"""The exit code for what may be better when it is tried again."""
DEMO_ADMIN_DAYS: Final = 7
"""How long the token is good that the demo prints for its administrator, if the demo runs for so long."""
_SPARE_FILES: Final = 200
"""Of a process, beside its sockets: the database's, the broker's, libraries."""
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}

NO_DATABASE: Final = (
    "there is no database {}; --data-dir or --database-url says where it is, and cowrite migrate makes a new one"
)
"""Of commands that look into one."""


class StartError(Exception):
    """A server cannot start as it was told to. ``problems`` has one line for each reason, saying what to do about it."""

    def __init__(self, *problems: str, code: int = WRONG) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.code = code
        """The exit code."""


def prepare_folder(folder: Path) -> None:
    """Create the data folder, for its owner alone, when it does not exist.

    Raises :class:`StartError` when files cannot be made in it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:  # ValueError: U+0000 in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise StartError(
            f"the data folder {folder.absolute()} cannot be used: {reason}; choose another with --data-dir or COWRITE_DATA_DIR"
        ) from None


def raise_open_files(wanted: int) -> int:
    """Raise this process's limit of open files to so many, as far as it may. Returns how many of them are allowed now."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def allow_open_files(connections: int) -> str | None:
    """Raise that limit as far as so many sockets need. Returns what to do where it may not be raised so far, else None."""
    wanted = connections + _SPARE_FILES
    allowed = raise_open_files(wanted)
    if allowed == wanted:
        return None
    return (
        f"{connections} connections need {wanted} open files, and {allowed} are allowed: "
        "have that raised (ulimit -Hn, LimitNOFILE), or lower COWRITE_MAX_CONNECTIONS"
    )


def listen(host: str, port: int) -> list[socket.socket]:
    """Open a listening socket for each address that ``host`` stands for. With port 0 all get the same free port.

    Raises :class:`StartError` when the host is unknown or the port cannot be had.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            if sockets and port == 0:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            sockets.append(_listen(family, address))
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise StartError(_reason(error, host, port)) from None
    return sockets


def http_address(host: str, port: int) -> str:
    """The URL by which a server that listens on ``host`` is reached from this machine."""
    name = _EVERYWHERE.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"


def ready_line(host: str, sockets: list[socket.socket], *, demo: bool, admin: str | None = None) -> str:
    """What a server prints once it serves: where it can be reached, and what is there. ``admin``: a token for administrators;
    with it there is a second line.
    """
    url = http_address(host, sockets[0].getsockname()[1])
    if demo:
        # Behind the #: no browser sends that to any server.
        administration = "" if admin is None else f"\nits administration, for {DEMO_ADMIN_DAYS} days: {url}admin/#token={admin}"
        return f"cowrite is ready at {url}{administration}"
    return f"cowrite is ready: editors at {url.replace('http', 'ws', 1)}yjs/{{document_id}}, HTTP at {url}docs"


def require_loopback(host: str) -> None:
    """Raise :class:`StartError` unless every address that ``host`` stands for can be reached from this machine alone."""
    try:
        addresses = [str(address[0]) for _, address in _addresses(host, 0)]
    except OSError as error:
        raise StartError(_reason(error, host, 0)) from None
    # An IPv6 address may carry its interface: fe80::1%eth0.
    if not all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses):
        raise StartError(
            f"host {host} can be reached from other machines, and --demo lets everybody read and write: "
            "listen on 127.0.0.1, or set COWRITE_SECRET and leave --demo out"
        )


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:  # an empty label, or one of more than 63 characters
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _listen(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a restart has to wait for connections in TIME_WAIT
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Connections inherit it. asyncio sets it only for sockets that were made with the protocol's number; uvloop always.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.bind(address)
        opened.listen(2048)
    except OSError:
        opened.close()
        raise
    return opened


def _reason(error: OSError, host: str, port: int) -> str:
    if isinstance(error, socket.gaierror):
        return f"host {host} is not known; set --host or COWRITE_HOST to a name or an address of this machine"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is taken by another program; choose another with --port or COWRITE_PORT"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host {host} is no address of this machine; set --host or COWRITE_HOST to one that is"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"port {port} of {host} may not be used by this user; choose one above 1023 with --port or COWRITE_PORT"
    return f"port {port} of {host} cannot be listened on: {error.strerror}"
