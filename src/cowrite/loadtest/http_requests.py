"""Requests on a connection that stays open, as cheap as can be: a thousand people who poll are a thousand of these."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from cowrite.loadtest.addresses import Addresses

_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """Of the server. The names of headers are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body's object; empty where it is none."""
        try:
            told = json.loads(self.body)
        except ValueError:
            return {}
        return told if isinstance(told, dict) else {}


class Requests:
    """One connection, made when it is first needed, and again when the server has closed it. One request at a time."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, *, headers: dict[str, str] | None = None, body: Any = None) -> Answer:
        """Send a request, and read its answer. Raises ``OSError`` and ``EOFError`` when there is none.

        On a connection that was idle for some seconds a request and the server's end of it may cross: then it is sent again.
        A server of cowrite applies no operation twice.
        """
        host, port, _ = self._addresses.http
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {host}:{port}",
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
        ]
        content = b""
        if body is not None:
            content = json.dumps(body, separators=(",", ":")).encode()
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        request = "\r\n".join([*lines, "", ""]).encode() + content
        was_open = self._streams is not None
        try:
            return await self._exchange(request)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            answered = isinstance(error, asyncio.IncompleteReadError) and error.partial
            if not was_open or answered:
                raise
            return await self._exchange(request)

    async def _exchange(self, request: bytes) -> Answer:
        reader, writer = await self._connected()
        try:
            writer.write(request)
            return await _read(reader)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            host, port, secure = self._addresses.http
            source = self._addresses.source()
            self._streams = await asyncio.open_connection(host, port, ssl=secure or None, local_addr=source, limit=_LIMIT)
        return self._streams


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    status = int(first.split(maxsplit=2)[1])
    if status in {204, 304}:
        return Answer(status, headers, b"")
    if headers.get("transfer-encoding") == "chunked":
        return Answer(status, headers, await _read_chunks(reader))
    return Answer(status, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    await reader.readline()
    return b"".join(parts)
