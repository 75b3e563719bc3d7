"""Gives peers what they lack: who comes in, and who has not been reading."""

from __future__ import annotations

from cowrite.core.delivery.broadcast import Broadcast
from cowrite.core.delivery.outbox import Arrears
from cowrite.core.delivery.peer import Peer
from cowrite.core.delivery.state_frames import StateFrames
from cowrite.core.errors import PeerError
from cowrite.core.presence.awareness import Awareness
from cowrite.core.rooms.intake import Intake
from cowrite.crdt.state_vector import MalformedStateVector, decode_state_vector
from cowrite.protocol.close_codes import CloseCode


class Synchronising:
    """For the peers of one room."""

    def __init__(self, intake: Intake, awareness: Awareness, broadcast: Broadcast) -> None:
        self._intake = intake
        self._awareness = awareness
        self._broadcast = broadcast
        self._frames = StateFrames()

    def begin(self, peer: Peer, state_vector: bytes) -> None:
        """SyncStep1: queue what the peer lacks, and let it go live in the same step. Raises :class:`PeerError`."""
        try:
            has = decode_state_vector(state_vector)
        except MalformedStateVector as error:
            raise PeerError(CloseCode.MALFORMED_FRAME, f"the state vector cannot be read: {error}") from error
        peer.acknowledgements.begin(has)
        live = self._intake.live
        if peer.outbox.blocked:
            peer.outbox.owe({client: has.get(client, 0) for client, clock in live.state.items() if has.get(client, 0) < clock})
        else:
            peer.outbox.send_all(self._frames.behind(has, live, peer.dialect))
        self._broadcast.enter(peer)

    def make_good(self, peer: Peer, arrears: Arrears) -> None:
        """A slow peer reads again: give it, newest only, what it was not given meanwhile."""
        if arrears.lacks is not None:
            peer.outbox.send_all(self._frames.lacking(arrears.lacks, self._intake.live, peer.dialect))
        if arrears.acknowledgement is not None:
            peer.outbox.acknowledge(arrears.acknowledgement)
        if arrears.awareness:
            peer.announce(self._awareness.entries(arrears.awareness))

    def rest(self) -> None:
        """Keep nothing that can be made again."""
        self._frames.forget()
