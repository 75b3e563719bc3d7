"""Transactions of the engine: updates go in together, and what was new comes out as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pycrdt


class Emitted(list[bytes]):
    """What was new in the engine's last transaction, as an update, unless that is not ``wanted``; none when nothing was."""

    wanted = True

    def take(self, event: pycrdt.TransactionEvent) -> None:
        """Called by the engine."""
        if self.wanted:
            self.append(event.update)


def apply_all(engine: Any, updates: Iterable[bytes]) -> None:
    """Apply updates in one transaction of the engine's document (``pycrdt._pycrdt.Doc``: its Python layer takes as long again).

    Raises whatever the engine raises.
    """
    txn = engine.create_transaction()
    try:
        for update in updates:
            engine.apply_update(txn, update)
        txn.commit()
    finally:
        txn.drop()
