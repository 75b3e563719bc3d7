"""How many sockets this process may open."""

from __future__ import annotations

from typing import Final

from cowrite.loadtest.errors import PlanError
from cowrite.loadtest.plan import Plan

_SPARE: Final = 100


def allow_sockets(plan: Plan) -> None:
    """Raise the limit as far as needed. Raises :class:`PlanError` when it may not be raised so far."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    each = 2 if "poll" in plan.protocols else 1
    wanted = each * plan.sockets // plan.processes + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise PlanError(
            f"{plan.sockets} people need {wanted} open files in each process, and {hard} are allowed (ulimit -Hn): "
            "have the limit raised, or use more --processes"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
