"""The log: where lines go, how they look, and what is never in them."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog

from cowrite.log import Format, Level, configure, redact
from cowrite.tokens import generate_secret, issue

TOKEN = issue(generate_secret(), sub="ana", documents={"*": "write"})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Put back what ``configure`` changes, for the other tests."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("cowrite").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def logged(level: Level, form: Format, stream: io.StringIO | None = None) -> str:
    """What one line of cowrite and some of uvicorn look like."""
    stream = io.StringIO() if stream is None else stream
    configure(level, form, stream)
    structlog.get_logger("cowrite.core.journal").info("group committed", document="doc_1", entries=3)
    structlog.get_logger("cowrite.core.journal").debug("turn")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "::1", "GET", f"/yjs/a%20b?token={TOKEN}", "1.1", 200)
    logging.getLogger("alembic").info("setup plugin")
    logging.getLogger("sqlalchemy.engine").debug("SELECT 1")
    return stream.getvalue()


@pytest.mark.rule("CL15")
def test_json_lines() -> None:
    """Away from a terminal a line is a JSON object."""
    first, second = (json.loads(line) for line in logged("info", "auto").splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first.pop("timestamp"))
    assert first == {
        "level": "info",
        "logger": "cowrite.core.journal",
        "message": "group committed",
        "document": "doc_1",
        "entries": 3,
    }
    assert (second["level"], second["logger"], second["message"]) == (
        "warning",
        "uvicorn.error",
        "Invalid HTTP request received.",
    )


@pytest.mark.rule("CL15")
def test_lines_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a line is for people, with colours unless they are not wanted; the format can be chosen."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in logged("info", "auto", Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    plain = logged("info", "auto", Terminal())
    assert re.match(
        r"\d\d:\d\d:\d\d \[info     \] group committed +\[cowrite\.core\.journal\] document='doc_1' entries=3\n", plain
    )
    assert logged("info", "console").splitlines()[0][8:] == plain.splitlines()[0][8:]
    assert logged("info", "json", Terminal()).startswith("{")


@pytest.mark.rule("CL16")
def test_levels() -> None:
    """``debug`` shows cowrite's own details and each request, not the inner life of the libraries."""

    def loggers(level: Level) -> list[str]:
        return [json.loads(line)["logger"] for line in logged(level, "json").splitlines()]

    assert loggers("debug") == [
        "cowrite.core.journal",
        "cowrite.core.journal",
        "uvicorn.error",
        "uvicorn.access",
        "alembic",
    ]
    assert loggers("info") == ["cowrite.core.journal", "uvicorn.error"]
    assert loggers("warning") == ["uvicorn.error"]
    assert loggers("error") == []


@pytest.mark.rule("CL16")
def test_last_call_counts() -> None:
    """Set up twice, a line comes once."""
    configure("info", "json", io.StringIO())
    assert len(logged("info", "json").splitlines()) == 2


@pytest.mark.rule("CL17")
@pytest.mark.parametrize("form", ["console", "json"])
def test_no_token_and_no_query(form: Format) -> None:
    """Whatever brings them, a message, a value or a traceback: they are cut out."""
    stream = io.StringIO()
    configure("debug", form, stream)
    log = structlog.get_logger("cowrite")
    log.info("refused %s", TOKEN, url=f"/yjs/doc?x=1&token={TOKEN}", token=TOKEN)
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "::1", "GET", "/yjs/doc?token=opaque", "1.1", 101)
    try:
        raise ValueError(f"no session for {TOKEN} at /poll?session=opaque nor in rediss://ana:s3cr%3Ft@host:6379/0")
    except ValueError:
        log.exception("failed")
    text = stream.getvalue()
    assert "ValueError: no session for [token] at /poll?[query] nor in rediss://[credentials]@host:6379/0" in text
    assert TOKEN[:20] not in text
    assert "opaque" not in text
    assert text.count("/yjs/doc?[query]") == 2


@pytest.mark.rule("CL17")
@pytest.mark.parametrize("form", ["console", "json"])
def test_values_do_not_break_lines(form: Format) -> None:
    """An id that holds a line break and an escape sequence does not look like another line."""
    stream = io.StringIO()
    configure("info", form, stream)
    structlog.get_logger("cowrite").warning("closed", document="a\n00:00:00 [error    ] stolen\x1b[2J")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


@pytest.mark.rule("CL17")
def test_long_texts_of_others_do_not_stop_it() -> None:
    """Nothing is tried twice: with 200 KB that would take minutes."""
    line = "eyJ-" * 50_000
    assert redact(line) == line
    assert redact(f"{line} {TOKEN}") == f"{line} [token]"


def test_redact_leaves_ordinary_text() -> None:
    """A question is no query string, and a file name no token."""
    line = "what now? eyJoke.txt a=b is kept, and so are http://host/a@b and ana@host"
    assert redact(line) == line
