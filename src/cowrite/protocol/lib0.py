"""The integers, byte strings and texts of lib0, the encoding under every Yjs message.

A reader takes the frame and an index and returns the value and the index behind it. Indexes given by callers must not be
negative. Whatever a peer sends, a reader raises nothing but :class:`MalformedFrame`, and costs no more than what it returns.
"""

from __future__ import annotations

MAX_INTEGER = 2**53 - 1
"""The largest integer that JavaScript holds exactly, and so the largest on the wire."""

MAX_VARUINT_BYTES = 10
"""An integer may be written longer than needed, up to this. 2^53-1 needs 8 bytes."""

_ONE_BYTE = tuple(bytes((value,)) for value in range(128))


class MalformedFrame(ValueError):
    """A peer's bytes that are no message. ``what`` says what is wrong, ``at`` is the index of the byte where."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(f"{what} at byte {at}")
        self.what = what
        self.at = at


def read_varuint(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned integer of 7 bits a byte, least significant first.

    Raises :class:`MalformedFrame` when the data end before it does, when it is longer than 10 bytes, and above 2^53-1.
    """
    try:
        byte = data[at]
        if byte < 128:  # nearly every integer of nearly every message
            return byte, at + 1
        value = byte & 127
        # The bound on the length comes before the arithmetic: without it a long run of 0xff costs quadratic time.
        for index in range(at + 1, at + MAX_VARUINT_BYTES):
            byte = data[index]
            value |= (byte & 127) << 7 * (index - at)
            if byte < 128:
                if value > MAX_INTEGER:
                    raise MalformedFrame("integer above 2^53-1", at)
                return value, index + 1
    except IndexError:
        raise MalformedFrame("the frame ends inside an integer", at) from None
    raise MalformedFrame(f"integer longer than {MAX_VARUINT_BYTES} bytes", at)


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Read a length and that many bytes. Raises :class:`MalformedFrame` when the data are shorter than the length says."""
    length, start = read_varuint(data, at)
    end = start + length
    if end > len(data):
        raise MalformedFrame(f"length {length} with only {len(data) - start} bytes left", at)
    return data[start:end], end


def read_string(data: bytes, at: int) -> tuple[str, int]:
    """Read a text: its length in bytes, then strict UTF-8 (no surrogates, nothing overlong; a byte order mark is kept)."""
    raw, end = read_bytes(data, at)
    try:
        return raw.decode(), end
    except UnicodeDecodeError as error:
        raise MalformedFrame("text that is not UTF-8", end - len(raw) + error.start) from None


def write_varuint(value: int) -> bytes:
    """Write an integer in as few bytes as it needs. Raises ``ValueError`` outside 0 … 2^53-1."""
    if 0 <= value < 128:
        return _ONE_BYTE[value]
    if not 0 <= value <= MAX_INTEGER:
        raise ValueError(f"{value} cannot be sent: integers on the wire are 0 to 2^53-1")
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)


def write_bytes(data: bytes) -> bytes:
    """Write the length and the bytes."""
    return write_varuint(len(data)) + data


def write_string(text: str) -> bytes:
    """Write a text as UTF-8 with its length in bytes. Raises ``UnicodeEncodeError`` for a lone surrogate."""
    return write_bytes(text.encode())
