"""The services of a :class:`Process`, as its transports would use them."""

from __future__ import annotations

from cowrite.core.operations.reading import DocumentReader
from cowrite.core.operations.writing import DocumentWriter
from cowrite.core.ports import Authorizer
from cowrite.core.sessions.bridge import SessionBridge
from cowrite.testing.process import Process
from cowrite.tokens import AccessTokens, ephemeral_keys
from cowrite.transports.load import ServerLoad
from cowrite.transports.origins import OriginPolicy
from cowrite.transports.services import Connection, Services


def services_of(process: Process, authorize: Authorizer) -> Services:
    access, clock, ids, storage = process.access, process.clock, process.ids, process.storage
    connections: set[Connection] = set()
    load = ServerLoad(clock, max_connections=10_000, connections=lambda: len(connections), failing=lambda: False)
    return Services(
        registry=process.registry,
        bridge=SessionBridge(authorize, AccessTokens(ephemeral_keys(), clock), storage.access, access, clock, ids),
        access=access,
        reader=DocumentReader(storage),
        writer=DocumentWriter(
            process.registry, storage.history, storage.directory, access, process.journal.accounts, clock, ids, process.limits
        ),
        clock=clock,
        ids=ids,
        limits=process.limits,
        excess=process.excess,
        origins=OriginPolicy(),
        load=load,
        connections=connections,
    )
