"""State vectors: for each Yjs client the next clock, as they travel in SyncStep1.

lib0 form: the number of clients, then for each its id and its next clock, all as variable-length unsigned integers.
"""

from __future__ import annotations

from collections.abc import Mapping

MAX_CLIENTS = 100_000
MAX_CLIENT_ID = 2**53 - 1
MAX_CLOCK = 2**31 - 1


class MalformedStateVector(ValueError):
    """Bytes that are no state vector."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The state vector was refused: {reason}.")
        self.reason = reason


def decode_state_vector(data: bytes) -> dict[int, int]:
    """Client → next clock. Raises :class:`MalformedStateVector`.

    Bounded: at most 100 000 clients, ids below 2^53, clocks below 2^31, every integer in its shortest form, each client once,
    nothing behind the last one. A clock of 0 is allowed (it says nothing).
    """
    try:
        count, at = _read_varuint(data, 0)
        if count > MAX_CLIENTS:
            raise MalformedStateVector(f"it names {count} clients, at most {MAX_CLIENTS} are taken")
        state: dict[int, int] = {}
        for _ in range(count):
            client, at = _read_varuint(data, at)
            clock, at = _read_varuint(data, at)
            if clock > MAX_CLOCK:
                raise MalformedStateVector(f"the clock {clock} is beyond {MAX_CLOCK}")
            state[client] = clock
    except IndexError:
        raise MalformedStateVector("it ends too early") from None
    if at != len(data):
        raise MalformedStateVector(f"{len(data) - at} bytes follow its end")
    if len(state) != count:
        raise MalformedStateVector("it names a client twice")
    return state


def encode_state_vector(state: Mapping[int, int]) -> bytes:
    """Write ``state`` as bytes. Clients are written in the order of the mapping, those at clock 0 left out.

    Raises ValueError for an id or clock that no state vector can hold.
    """
    out = bytearray()
    written = 0
    for client, clock in state.items():
        if not 0 <= client <= MAX_CLIENT_ID or not 0 <= clock <= MAX_CLOCK:
            raise ValueError(f"client {client} at clock {clock} cannot be written in a state vector")
        if clock:
            _write_varuint(out, client)
            _write_varuint(out, clock)
            written += 1
    head = bytearray()
    _write_varuint(head, written)
    return bytes(head + out)


def _read_varuint(data: bytes, at: int) -> tuple[int, int]:
    value = data[at]
    at += 1
    if value < 128:
        return value, at
    value &= 127
    shift = 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 49:
            raise MalformedStateVector("an integer is longer than 8 bytes")
    if value > MAX_CLIENT_ID:
        raise MalformedStateVector("an integer is beyond 2^53 - 1")
    if byte == 0:
        raise MalformedStateVector("an integer is not in its shortest form")
    return value, at


def _write_varuint(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
