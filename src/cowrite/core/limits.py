"""How much is too much. Safe defaults; every limit ends in a typed refusal or a close with its code, never in silence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds in bytes, counts and seconds."""

    update_bytes: int = 1 << 20
    """An Update: one edit of a live client."""
    sync_bytes: int = 32 << 20
    """A SyncStep2: all that a client did while it was away."""
    document_bytes: int = 64 << 20
    """The encoded state of a document; 0: as large as it becomes. What would make it larger is refused."""
    import_bytes: int = 1 << 20
    """A SyncStep2 beyond it is looked at in a process of its own, one at a time."""
    import_cpu_seconds: float = 60.0
    """CPU time that this process may take."""
    import_memory_bytes: int = 1536 << 20
    """Its address space."""
    source_bytes: int = 1 << 20
    """Of Markdown, HTML, text and JSON that is imported."""
    source_nodes: int = 20_000
    """Elements, texts, their pieces and attributes of it, or lines."""
    incoming_bytes: int = 128 << 20
    """Messages and bodies that have not come to their end, or wait until they are looked at, of all clients of the process; a
    quarter of it of one user."""
    leaving_bytes: int = 256 << 20
    """Answers to requests until they have left, and large messages of sockets (cowrite's own server), of all clients of the
    process; a quarter of it of one address, and of one user's sockets."""
    arrival_seconds: float = 60.0
    """How long a message of a socket (cowrite's own server), or the body of a request, may be on its way, and an answer until
    it is read (own server)."""
    arrival_bytes: int = 8 << 10
    """It may be so a second longer for each so many bytes of it that have come."""
    pending_document_bytes: int = 8 << 20
    """Updates of one document that were taken and are not committed, with what is known about large ones. Beyond: refused until
    the store writes again."""
    pending_process_bytes: int = 64 << 20
    """The same for all documents of the process."""
    pending_document_updates: int = 20_000
    """Their number: with what is known about it, a keystroke takes 1.4 KB of memory until it is committed."""
    pending_process_updates: int = 100_000
    """The same for all documents of the process."""
    held_updates: int = 100
    """Updates of one peer that wait for others on which they build."""
    held_bytes: int = 1 << 20
    """Their bytes, with what is known about large ones."""
    held_seconds: float = 10.0
    """How long they may wait before the peer is closed."""
    ask_again_seconds: float = 2.0
    """How often a peer with held updates is asked for what is missing (SyncStep1)."""
    submission_seconds: float = 5.0
    """How long a client waits for its operations to be committed before it is told to send them again."""
    group_updates: int = 1000
    """Updates in one transaction."""
    group_bytes: int = 4 << 20
    """Their bytes; one larger update goes alone."""
    presence_sessions: int = 50
    """Sessions of one user that are shown in one document; more are served, and not shown."""
    presence_bytes: int = 4 << 20
    """What all sessions in one document together tell about themselves, as JSON."""
    loss_grace_seconds: float = 2.0
    """How long the awareness of a lost connection stays, so that a quick reconnect does not blink."""
    keepalive_seconds: float = 25.0
    """A peer that was sent nothing for so long gets an empty message: Yjs clients leave a server that is silent for 30 s."""
    idle_seconds: float = 40.0
    """How long nothing may come from a socket before it is closed (cowrite's own server); after three quarters of that it is
    sent a ping."""
    hocuspocus_idle_seconds: float = 60.0
    """The same of a Hocuspocus client that is not logged in, or that answers the protocol's own pings: after half of that it is
    sent one."""
    hello_seconds: float = 10.0
    """How long a JSON socket may take to say who it is."""
    stranger_messages: int = 2000
    """Messages and pings of a socket until it is known whose it is (cowrite's own server)."""
    cpu_share: float = 0.25
    """CPU time that one connection's messages may use, in seconds a second; whoever uses more is served later than others."""
    cpu_burst_seconds: float = 1.0
    """What it may use at once after it has used little."""
    rate_messages: int = 1000
    """Messages of one connection in a second, over a time; whoever sends more is served later than others."""
    burst_messages: int = 50_000
    """What it may send at once after it has sent little."""
    rate_bytes: int = 4 << 20
    """Bytes of its messages in a second, over a time."""
    burst_bytes: int = 256 << 20
    """What it may send at once after it has sent little."""
    late_seconds: float = 30.0
    """How long its messages may wait for CPU time, for their number or for their bytes without an end before it is closed."""
    head_bytes: int = 64 << 10
    """Of the head of a request, beyond what came in one read of the socket (cowrite's own server)."""
    head_seconds: float = 10.0
    """How long a connection may take until the head of its request is complete (cowrite's own server)."""
    authenticate_seconds: float = 10.0
    """How long the host application, or the server of its keys, may take to say who somebody is."""
    address_sockets: int = 1000
    """Sockets of one address of the open Internet, in one process."""
    user_sockets: int = 1000
    """Sockets of one user in one process; each document of a Hocuspocus connection is one here."""
    session_sockets: int = 100
    """Sockets of one session that was opened by ``connect``, in one process."""
    documents_per_socket: int = 200
    """Documents on one Hocuspocus connection, those that were refused included."""
    eviction_seconds: float = 30.0
    """How long a room without peers stays open."""

    def arrives_within(self, size: int) -> float:
        """How many seconds something may be on its way of which so many bytes have come."""
        return self.arrival_seconds + size / self.arrival_bytes
