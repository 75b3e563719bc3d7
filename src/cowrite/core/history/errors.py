"""Why something about a document's past is refused."""

from __future__ import annotations


class HistoryRefused(Exception):
    """Nothing has happened. ``code`` is stable, ``reason`` is for people.

    * ``unknown_moment``: there is no such moment of this document.
    * ``version_not_found``: there is no such version.
    * ``wrong_order``: the first moment comes after the second one.
    * ``overloaded``: too much work on history waits already; ask again later.
    * ``history_too_costly``: it takes more work than one may cause.
    * ``root_unreadable``: a root holds what does not go together, and cannot be restored.
    * ``root``: the root that is asked for there is not, and was not at the moment.
    * ``restore_failed``: the document could not be brought back exactly.
    * ``history_replaced``: the document's history was replaced meanwhile; ask again.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
