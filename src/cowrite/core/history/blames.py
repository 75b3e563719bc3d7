"""Who wrote what can be seen in a document at a moment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Final

from cowrite.core.history.authors import Authors
from cowrite.core.history.cache import Cache
from cowrite.core.history.faults import reading
from cowrite.core.history.moments import Moment, Moments
from cowrite.core.history.worker import HistoryWorker
from cowrite.core.operations.state import State
from cowrite.crdt.history.attribution import Attribution
from cowrite.crdt.history.blame import blame
from cowrite.crdt.history.items import read_items

CACHE_BYTES: Final = 16 << 20

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Blames:
    """Answers who wrote what. Remembers what was asked for last."""

    moments: Moments
    authors: Authors
    worker: HistoryWorker
    kept: Cache[bytes]

    async def of(self, moment: Moment, root: str | None) -> bytes:
        """The runs of a moment as a JSON list; see :func:`cowrite.crdt.history.blame.blame`. ``root``: only those in it.

        Raises as :meth:`Moments.state`.
        """
        info, key = moment.info, (moment.offset, root)
        runs = self.kept.get(info, key)
        if runs is None:
            with self.kept.making(info, key) as keep:
                state = await self.moments.state(moment)
                attribution = await self.authors.until(info, moment.offset)
                runs = await self.worker.run(info.document_id, partial(_blame, info.document_id, state, attribution, root))
                if not attribution.unowned:  # what is nobody's becomes somebody's without an entry
                    keep(runs, len(runs) + 200)
        return runs


def _blame(document_id: str, state: State, attribution: Attribution, root: str | None) -> bytes:
    committed = state.committed
    roots = {name: kind for name, kind in committed.roots.items() if root in (None, name)}
    with reading(document_id):
        return _encode(blame(read_items(committed.state), attribution, roots)).encode()
