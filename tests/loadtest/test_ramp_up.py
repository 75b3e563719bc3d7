"""What people are told who cannot come in."""

from __future__ import annotations

import errno
import os

import pytest
from picows import WSError

from cowrite.loadtest import Plan
from cowrite.loadtest.ramp_up import explain

PLAN = Plan(url="http://127.0.0.1:8000", people=30_000)


@pytest.mark.rule("LG13")
@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ECONNREFUSED, "refused"), "nobody listens at http://127.0.0.1:8000: start the server"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "may not open 30000 sockets: raise the limit (ulimit -n)"),
        (OSError(errno.EADDRNOTAVAIL, "?"), "no port is left for another socket (about 28 000 from one address)"),
        (TimeoutError(), "did not let somebody in within 120 s; is it the right protocol?"),
        (WSError("no upgrade"), "does not answer as a WebSocket server does: no upgrade"),
        (ConnectionError("the server closed it with 4401 (x)"), "closed it with 4401 (x); give a --token of the server"),
        (ConnectionError("the server closed it with 4529"), "http://127.0.0.1:8000: the server closed it with 4529"),
        (OSError("something else"), "http://127.0.0.1:8000: something else"),
    ],
)
def test_why_somebody_cannot_come_in(error: Exception, says: str) -> None:
    assert says in explain(error, PLAN)
