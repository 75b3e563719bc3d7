"""What is to be done to the server: so many people, in so many documents, who do this and that for so long."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from cowrite.loadtest.errors import PlanError

MAX_HOCUSPOCUS_NAME: Final = 125
"""Bytes: the reader of frames takes the length of a name as one byte."""
MAX_REPLICAS: Final = 20
"""Of a whole run: each holds a document and applies everything to it."""


class Protocol(StrEnum):
    """What somebody speaks."""

    YJS = "yjs"
    """y-websocket's."""
    HOCUSPOCUS = "hocuspocus"
    JSON = "json"
    """cowrite's socket for operations."""
    POLL = "poll"
    """cowrite's requests for operations."""


YJS_PROTOCOLS: Final = frozenset({Protocol.YJS, Protocol.HOCUSPOCUS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A scenario. Raises :class:`PlanError` for what makes no sense. Times are in seconds, rates in times a second."""

    url: str
    """``http://host:port``: a cowrite server, whose addresses are known. ``ws://…``: the address of any server of the one
    protocol; y-websocket's rooms are below it."""
    protocols: Mapping[Protocol, float] = field(default_factory=lambda: {Protocol.YJS: 1.0})
    """Which share of the people of each document speaks what."""
    documents: int = 1
    people: int = 10
    """In each document."""
    typing: int | None = None
    """How many of them type; None: all."""
    rate: float = 1.0
    """Edits of each who types; 0: nobody types."""
    cursors: float = 0.0
    """How often everybody moves the cursor; 0: nobody shows one."""
    document_bytes: int = 0
    """How large the text is that is put into each document before."""
    ramp_up: float = 0.0
    """How many people come a second; 0: as fast as they are taken in, 50 on the way at a time."""
    warm_up: float = 2.0
    """How long they work before it counts."""
    seconds: float = 10.0
    """How long is measured."""
    settle: float = 10.0
    """How long is waited, at most, for what has not arrived at the end."""
    join_storm: int = 0
    """How many more come at once when half of the time is over."""
    replicas: int = 2
    """How many people of each document keep it and compare it at the end, up to 20 of all."""
    sampled: int = 50
    """How many people tell how long deliveries took, of all; everybody's are counted."""
    poll_every: float = 0.0
    """How long somebody who polls waits between two polls; 0: long polls."""
    sources: Sequence[str] = ()
    """The addresses of this machine that sockets come from, in turn."""
    processes: int = 1
    """How many processes make the load."""
    token: str | None = None
    """A session token for all, of a server that wants one."""
    secret: str | None = field(default=None, repr=False)
    """The server's, with which tokens are made."""
    server_pid: int | None = None
    """The server's process on this machine: what it and its children use is looked up, and not asked of ``/metrics``."""
    prefix: str = field(default_factory=lambda: f"load-{secrets.token_hex(4)}")
    """What the documents' ids begin with; by itself a new one for each run."""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def is_foreign(self) -> bool:
        """It is not known to be a cowrite server."""
        return urlsplit(self.url).scheme in {"ws", "wss"}

    @property
    def has_index_typists(self) -> bool:
        """Some name places by an index."""
        return not self.protocols.keys() <= YJS_PROTOCOLS

    @property
    def typing_people(self) -> int:
        """Of each document."""
        if not self.rate:
            return 0
        return self.people if self.typing is None else min(self.typing, self.people)

    @property
    def sockets(self) -> int:
        """How many people there are in all, at most."""
        return self.documents * self.people + self.join_storm

    @property
    def document_ids(self) -> tuple[str, ...]:
        """Of all documents."""
        return tuple(f"{self.prefix}-{number}" for number in range(self.documents))


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """For another process; the secret is in it."""
    return {**asdict(plan), "protocols": {str(name): share for name, share in plan.protocols.items()}}


def plan_from_json(told: Mapping[str, Any]) -> Plan:
    """The plan of another process."""
    shares = {Protocol(name): share for name, share in told["protocols"].items()}
    return Plan(**{**told, "protocols": shares, "sources": tuple(told["sources"])})


@dataclass(frozen=True, slots=True)
class Role:
    """One of the people: which document, and what they do there."""

    number: int
    document: str
    protocol: Protocol
    types: bool = False
    keeps: bool = False
    """It has a replica."""
    sampled: bool = False
    storms: bool = False
    """It comes with the storm: what arrives is not counted."""


def roles(plan: Plan) -> list[Role]:
    """Everybody. The protocols are spread evenly over those who type and those who do not."""
    order = _protocols(plan.protocols, plan.people)
    apart = max(1, plan.documents * plan.people // max(1, plan.sampled))
    spare, typing, everybody = MAX_REPLICAS, plan.typing_people, []
    for place, document in enumerate(plan.document_ids):
        keepers = 0
        for within, protocol in enumerate(order):
            number = place * plan.people + within
            # The last ones keep it, so that with few who type it is readers.
            left = sum(other in YJS_PROTOCOLS for other in order[within:])
            keeps = protocol in YJS_PROTOCOLS and left <= plan.replicas and keepers < plan.replicas and spare > 0
            keepers, spare = keepers + keeps, spare - keeps
            everybody.append(
                Role(
                    number,
                    document,
                    protocol,
                    types=within < typing,
                    keeps=keeps,
                    sampled=number % apart == apart - 1,
                )
            )
    return everybody


def storm_roles(plan: Plan) -> list[Role]:
    """Those who come later, spread over the documents; the first two of them have replicas, too."""
    order = _protocols(plan.protocols, max(1, plan.join_storm))
    first = plan.documents * plan.people
    return [
        Role(
            first + number,
            plan.document_ids[number % plan.documents],
            order[number],
            keeps=number < 2 and plan.replicas > 0 and order[number] in YJS_PROTOCOLS,
            storms=True,
        )
        for number in range(plan.join_storm)
    ]


def _protocols(shares: Mapping[Protocol, float], count: int) -> list[Protocol]:
    """So many, each protocol as often as its share says, and as evenly as can be."""
    whole, had, order = sum(shares.values()), dict.fromkeys(shares, 0), []
    for place in range(1, count + 1):
        most = max(shares, key=lambda one: shares[one] / whole * place - had[one])
        had[most] += 1
        order.append(most)
    return order


def _check(plan: Plan) -> None:
    address = urlsplit(plan.url)
    if address.scheme not in {"http", "https", "ws", "wss"} or not address.hostname:
        raise PlanError(
            f"{plan.url!r} is no address of a server: http://127.0.0.1:8000 is a cowrite, ws://127.0.0.1:1234 any other one"
        )
    if not plan.protocols or any(share <= 0 for share in plan.protocols.values()):
        raise PlanError("each protocol of a mix needs a share above 0")
    if plan.is_foreign and (len(plan.protocols) > 1 or not YJS_PROTOCOLS & set(plan.protocols)):
        raise PlanError(
            "a ws:// address is that of one protocol, yjs or hocuspocus; for a mix give the http:// address of a cowrite"
        )
    for name, least in {
        "documents": 1,
        "people": 1,
        "processes": 1,
        "join_storm": 0,
        "replicas": 0,
        "document_bytes": 0,
    }.items():
        if getattr(plan, name) < least:
            raise PlanError(f"{name.replace('_', '-')} is {getattr(plan, name)}; it is at least {least}")
    for name in ("rate", "cursors", "ramp_up", "warm_up", "settle", "poll_every"):
        if not getattr(plan, name) >= 0:
            raise PlanError(f"{name.replace('_', '-')} is {getattr(plan, name)}; it is at least 0")
    if not plan.seconds > 0:
        raise PlanError(f"seconds is {plan.seconds}; something has to be measured")
    if plan.token is not None and plan.secret is not None:
        raise PlanError("a token and a secret were given: one of them says who comes")
    if plan.typing is not None and not 0 <= plan.typing <= plan.people:
        raise PlanError(f"{plan.typing} are to type, of {plan.people} people in each document")
    longest = len(plan.document_ids[-1].encode())
    if Protocol.HOCUSPOCUS in plan.protocols and longest > MAX_HOCUSPOCUS_NAME:
        raise PlanError(
            f"the documents' names would have {longest} bytes, and {MAX_HOCUSPOCUS_NAME} at most "
            "can be measured with hocuspocus: give a shorter prefix"
        )
