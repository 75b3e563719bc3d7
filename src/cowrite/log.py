"""Where log lines go and how they look. Only the command line sets this up: inside another application, that application does.

Lines go to stderr, for people or as one JSON object each; those of uvicorn and other libraries take the same way. Tokens,
query strings and the passwords of URLs are cut out of every line at its very end, so that no message and no traceback can bring
one in.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import Any, Final, Literal, TextIO

import structlog

Level = Literal["debug", "info", "warning", "error", "critical"]
Format = Literal["auto", "console", "json"]

_QUERY: Final = re.compile(r"\?[^\s?=\"'<>\\]+=[^\s\"'<>\\]*")
_TOKEN: Final = re.compile(r"(?<![\w-])eyJ[\w-]++(?:\.[\w-]*+){2,4}")
"""JWS and JWE in compact form: a base64url header that begins with ``{"``, and two or four parts behind it. Nothing is tried
twice: lines may have long texts of others."""
_CREDENTIALS: Final = re.compile(r"(?<=://)[^\s/?#@\"'<>\\]+@")
"""User and password in the URL of a database or of Redis."""
_UVICORN: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


def configure(level: Level = "info", form: Format = "auto", stream: TextIO | None = None) -> None:
    """Send the log lines from ``level`` on to ``stream`` (stderr). May be called again: the last call counts.

    The level is for cowrite's own lines. Other libraries are heard from ``warning`` on, and with ``debug`` from ``info`` on:
    uvicorn would tell of every request, and Alembic of each of its plugins.
    """
    stream = sys.stderr if stream is None else stream
    console = form == "console" or (form == "auto" and stream.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(console=console, colours=stream.isatty() and "NO_COLOR" not in os.environ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if level == "debug" else max(number, logging.WARNING))
    logging.getLogger("cowrite").setLevel(number)
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_DESCRIBED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def redact(line: str) -> str:
    """Cut tokens, query strings and what stands before the host of URLs out of a log line."""
    return _CREDENTIALS.sub("[credentials]@", _TOKEN.sub("[token]", _QUERY.sub("?[query]", line)))


def _with_trace(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Which trace and span a line is written in. Where nobody has loaded OpenTelemetry there is none."""
    tracing: Any = sys.modules.get("opentelemetry.trace")
    if tracing is not None and (within := tracing.get_current_span().get_span_context()).is_valid:
        line["trace_id"], line["span_id"] = f"{within.trace_id:032x}", f"{within.span_id:016x}"
    return line


_DESCRIBED: Final[tuple[structlog.typing.Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    _with_trace,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.StackInfoRenderer(),
)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    def __init__(self, *, console: bool, colours: bool) -> None:
        rendering: tuple[structlog.typing.Processor, ...] = (
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        )
        if console:
            rendering = (
                structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
                # repr: ids come from outside, may hold line breaks and what terminals obey. A plain traceback shows no values.
                structlog.dev.ConsoleRenderer(
                    colors=colours, repr_native_str=True, exception_formatter=structlog.dev.plain_traceback, pad_event_to=40
                ),
            )
        super().__init__(foreign_pre_chain=_DESCRIBED, processors=(self.remove_processors_meta, *rendering))

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
