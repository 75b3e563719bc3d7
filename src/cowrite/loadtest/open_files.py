"""How many sockets this process may open, and from where."""

from __future__ import annotations

import socket
from typing import Final

from cowrite.loadtest.errors import PlanError
from cowrite.loadtest.plan import Plan
from cowrite.startup import raise_open_files

_SPARE: Final = 100


def check_sources(plan: Plan) -> None:
    """Raise :class:`PlanError` for an address to come from that is none of this machine."""
    for source in plan.sources:
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as one:
                one.bind((source, 0))
        except OSError:
            raise PlanError(
                f"--source {source} is no address of this machine; Linux has 127.0.0.2 and all others of 127/8"
            ) from None


def allow_sockets(plan: Plan) -> None:
    """Raise the limit as far as needed. Raises :class:`PlanError` when it may not be raised so far."""
    each = 2 if "poll" in plan.protocols else 1
    wanted = each * plan.sockets // plan.processes + _SPARE
    if (allowed := raise_open_files(wanted)) < wanted:
        raise PlanError(
            f"{plan.sockets} people need {wanted} open files in each process, and {allowed} are allowed (ulimit -Hn): "
            "have the limit raised, or use more --processes"
        )
