"""The way to a document on a server: a session over HTTP, and a WebSocket with its access token.

The session is opened with the user's token, and its access token is renewed after four fifths of its life. Where the token is a
function, a session whose end is near is prolonged with a new token, while the link stays.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from ssl import SSLContext
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlsplit, urlunsplit

import httpx

from cowrite.client.errors import BROKEN, Failure, broken, described
from cowrite.client.ways import Link, Listener, Renewal, Ticket, User
from cowrite.client.websocket import SocketLink, open_socket, rest_of
from cowrite.protocol.close_codes import CloseCode

Token: TypeAlias = str | Callable[[], str | Awaitable[str]] | None
"""The session token, or a function that gets one, asynchronous or not: it is called whenever one is needed."""

REQUEST_SECONDS: Final = 15.0
TOKEN_SECONDS: Final = 30.0
_LEAVE_SECONDS: Final = 2.0
_LIVED: Final = 0.8
_LONGEST_LIFE: Final = 600.0
"""Of an access token, whatever the clocks say; and the shortest that is believed, with and without knowing the server's."""
_SHORTEST_LIFE, _SHORTEST_GUESSED = 2.0, 30.0
_AGAIN_SECONDS: Final = 2.0, 10.0
_PROBLEM: Final = "application/problem+json"
_CODES: Final = {code.name.lower(): int(code) for code in CloseCode} | {
    "draining": int(CloseCode.SERVICE_RESTART),
    "grant_too_low": int(CloseCode.FORBIDDEN),
    "origin_refused": int(CloseCode.FORBIDDEN),
    "too_large": int(CloseCode.MESSAGE_TOO_LARGE),
}
"""What codes of HTTP problems mean: those of the table, and those that have another name there."""
_AGAIN: Final = frozenset((408, 429))
_VERSION: Final = version("cowrite")


@dataclass(frozen=True, slots=True)
class _Session:
    ticket: Ticket
    access: str = field(repr=False)
    renew_at: float
    """By the loop's clock."""
    last: bool
    """With the access token the session ends, unless it is prolonged."""


class ServerWay:
    """See the module's docstring. ``trust``: for https; None: what the system trusts."""

    def __init__(self, url: str, document: str, token: Token, trust: SSLContext | None) -> None:
        """Raises ``ValueError`` for an address that is none."""
        self.renewed: Callable[[Ticket], None] = _nobody
        self._http, self._sockets = _bases(url)
        self._document = document
        self._token = token
        self._trust = trust
        self._client: httpx.AsyncClient | None = None
        self._session: _Session | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def admit(self, renew: Renewal) -> Ticket:
        session = self._session
        if session is not None and renew == "nothing":
            if asyncio.get_running_loop().time() < session.renew_at:
                return session.ticket
            try:
                return (await self._refresh(session)).ticket
            except Failure as failure:
                if failure.code != CloseCode.UNAUTHORIZED:
                    raise
        return (await self._connect()).ticket

    async def open(self, listener: Listener) -> Link:
        assert self._session is not None, "admitted before"
        address = f"{self._sockets}/yjs/{quote(self._document, safe='')}?token={quote(self._session.access, safe='')}"
        link: SocketLink = await open_socket(address, listener, self._trust)
        return link

    async def refresh(self) -> Ticket:
        if self._session is None:
            raise broken("there is no session")
        return (await self._refresh(self._session)).ticket

    async def leave(self) -> None:
        session = self._session
        self._forget()
        client, self._client = self._client, None
        if client is None:
            return
        if session is not None:
            # The server may not hear of it; then the session ends by itself.
            with suppress(httpx.HTTPError):
                await client.post(f"{self._http}/disconnect", headers=_bearer(session.access), timeout=_LEAVE_SECONDS)
        await client.aclose()

    # ---- inside ------------------------------------------------------------------------------------------------------

    async def _connect(self) -> _Session:
        self._forget()
        body = {
            "document_id": self._document,
            "session_token": await self._ask_for_token(),
            "client": {"name": "cowrite.client", "version": _VERSION},
        }
        return self._keep(await self._request("connect", body, None))

    async def _refresh(self, session: _Session) -> _Session:
        prolong = session.last and callable(self._token)
        body = {"session_token": await self._ask_for_token()} if prolong else {}
        return self._keep(await self._request("refresh", body, session.access))

    async def _ask_for_token(self) -> str | None:
        token = self._token
        if not callable(token):
            return token if token is None else token.strip()
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                given = token()
                return str(await given if inspect.isawaitable(given) else given).strip()
        except Exception as error:
            raise Failure(BROKEN, "token", f"the token function gave no token: {described(error)}") from error

    async def _request(self, path: str, body: dict[str, Any], access: str | None) -> _Session:
        try:
            client = await self._requests()
            answer = await client.post(f"{self._http}/{path}", json=body, headers=_bearer(access) if access else None)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise broken(f"no answer from {self._http}: {described(error)}") from None
        if not answer.is_success:
            raise _refusal(answer)
        try:
            return _session_of(answer, time.time(), asyncio.get_running_loop().time())
        except (ValueError, KeyError, TypeError):
            raise broken(f"what answers at {self._http} is no cowrite server") from None

    async def _requests(self) -> httpx.AsyncClient:
        if self._client is None:
            if self._trust is None:
                self._trust = await asyncio.to_thread(httpx.create_ssl_context)  # it reads certificates from the disk
            self._client = httpx.AsyncClient(verify=self._trust, timeout=REQUEST_SECONDS)
        return self._client

    def _forget(self) -> None:
        self._session = None
        renewing, self._renewing = self._renewing, None
        if renewing is not None and renewing is not asyncio.current_task():
            renewing.cancel()

    def _keep(self, session: _Session) -> _Session:
        self._forget()
        self._session = session
        # Only a function can give a token that is good for longer than the first one.
        if not session.last or callable(self._token):
            self._renewing = asyncio.get_running_loop().create_task(self._renew(session))
        return session

    async def _renew(self, session: _Session) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, session.renew_at - loop.time()))
        while self._session is session:
            try:
                self.renewed((await self._refresh(session)).ticket)
            except Failure as failure:
                # The link stays as long as the server lets it; whoever connects anew is told why it cannot be.
                await asyncio.sleep(max(failure.rest, random.uniform(*_AGAIN_SECONDS)))


def _bases(url: str) -> tuple[str, str]:
    """Of the API, and of the WebSockets."""
    parts = urlsplit(url)
    secure = {"http": False, "ws": False, "https": True, "wss": True}.get(parts.scheme)
    if secure is None or not parts.hostname:
        raise ValueError(f"{url!r} is no address of a server; it looks like http://localhost:8000")
    path = parts.path.rstrip("/")
    http, sockets = ("https", "wss") if secure else ("http", "ws")
    return (
        urlunsplit((http, parts.netloc, f"{path}/api/v2/realtime", "", "")),
        urlunsplit((sockets, parts.netloc, path, "", "")),
    )


def _bearer(access: str) -> dict[str, str]:
    return {"authorization": f"Bearer {access}"}


def _session_of(answer: httpx.Response, now: float, at: float) -> _Session:
    told = answer.json()
    user = told["user"]
    ends, session_ends = float(told["expires_at"]) / 1000, float(told["session_expires_at"]) / 1000
    # The machines' clocks may differ by more than a token lasts.
    theirs = _time_of(answer)
    shortest = _SHORTEST_GUESSED if theirs is None else _SHORTEST_LIFE
    life = max(shortest, ends - (now if theirs is None else theirs))
    return _Session(
        Ticket(told["grant"], User(str(user["id"]), user.get("name"), user.get("colour"))),
        str(told["access_token"]),
        at + _LIVED * min(_LONGEST_LIFE, life),
        session_ends - ends < 1,
    )


def _time_of(answer: httpx.Response) -> float | None:
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except ValueError:
        return None


def _refusal(answer: httpx.Response) -> Failure:
    """Only the server's own word is final: anybody on the way may answer 403."""
    rest = rest_of(answer.headers.get("retry-after"))
    status = answer.status_code
    problem: Any = None
    if answer.headers.get("content-type", "").startswith(_PROBLEM):
        with suppress(ValueError):
            problem = answer.json()
    name = problem.get("code") if isinstance(problem, dict) else None
    if not isinstance(name, str):
        return broken(f"HTTP status {status} from {answer.url}", rest)
    reason = str(problem.get("detail") or problem.get("title") or name)
    final = 400 <= status < 500 and status not in _AGAIN
    code = _CODES.get(name, CloseCode.MALFORMED_FRAME if final else CloseCode.STORE_UNAVAILABLE)
    return Failure(int(code), name, reason, rest)


def _nobody(_: Ticket) -> None:
    """Nobody wants to know."""
