"""What a peer's update is looked at for before any room has it, and what becomes of a peer with one that is refused."""

from __future__ import annotations

from cowrite.core.errors import PeerError
from cowrite.core.limits import Limits
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import LIVE_LIMITS, SYNC_LIMITS, inspect
from cowrite.crdt.outline import Outline
from cowrite.protocol.close_codes import CloseCode

NOTHING = b"\x00\x00"
"""The empty update."""
NOTHING_OUTLINE = inspect(NOTHING)


def inspect_from_peer(update: bytes, *, everything: bool, limits: Limits) -> Outline:
    """The outline of an Update, or of a SyncStep2 (``everything``). Raises :class:`PeerError` with what is wrong with it."""
    if update == NOTHING:
        return NOTHING_OUTLINE  # what nearly all answer who come in
    check_size(update, limits.sync_bytes if everything else limits.update_bytes)
    try:
        return inspect(update, SYNC_LIMITS if everything else LIVE_LIMITS)
    except HostileUpdate as error:
        raise hostile(error) from error


def hostile(error: HostileUpdate) -> PeerError:
    """What becomes of a peer whose update the guard refuses."""
    return PeerError(CloseCode.HOSTILE_UPDATE, f"the update was refused: {error.reason}", fault=error.code)


def check_size(update: bytes, allowed: int) -> None:
    """Raises :class:`PeerError`."""
    if len(update) > allowed:
        raise PeerError(CloseCode.MESSAGE_TOO_LARGE, f"an update of {len(update)} bytes; at most {allowed} are taken")


def contradicting() -> PeerError:
    """What becomes of a peer whose update gives other content to something that is there."""
    return PeerError(
        CloseCode.CONTRADICTING_CONTENT, "the update gives other content to something already here; start a new Doc"
    )
