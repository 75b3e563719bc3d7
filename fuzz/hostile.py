"""Writes updates that look valid, and are made to do harm: at random, from what a die shows. Seeded, or led by a fuzzer.

A :class:`Writer` knows what it has written, so that most of what it writes finds what it builds on, and reaches the engine.
``scale`` is about how many structs its larger attacks have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cowrite.testing.yjs_writer import (
    Block,
    Id,
    Raw,
    binary,
    block,
    deleted,
    embed,
    gc,
    mark,
    shared_type,
    skip,
    subdocument,
    text,
    values,
    write_update,
)

ROOTS = ("body", "t", "default", "")
KEYS = ("k", "", "😀", "k" * 300, "__proto__", "\0")
TEXTS = ("a", "hello ", "é", "😀", "👩‍👩‍👧", "\n", "\0", "x" * 200, "\ufeff", b"\xed\xa0\x80", b"\xff")
VALUES: tuple[Any, ...] = (
    1,
    -0.0,
    float("nan"),
    float("inf"),
    2**53,
    ...,
    None,
    "😀",
    b"\0\xff",
    [1, [2, [3]]],
    {"a": {"": None}, "__proto__": 1},
    Raw(b"\x75\x01" * 90 + b"\x7e"),
    Raw(b"\x7a\xff\xff\xff\xff\xff\xff\xff\xff"),
    Raw(b"\x76\x02\x01k\x7e\x01k\x7f"),
)
JSON: tuple[Any, ...] = (
    True,
    None,
    1e300,
    {"$text": []},
    [[]] * 20,
    b'"\\ud83d\\ude00"',
    b'"\\ud800"',
    b"[" * 90 + b"]" * 90,
    b"1e999",
    b'{"a":1,"a":2}',
    b"9223372036854775808",
)
KINDS = ("array", "map", "text", "xmlelement", "xmlfragment", "xmltext", "xmlhook")


class Dice:
    """Small numbers from bytes, then zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> bool:
        """Whether there are bytes that were not used."""
        return self._at < len(self._data)

    def below(self, count: int) -> int:
        """A number from 0 to ``count`` - 1."""
        value, width = 0, 1 if count <= 256 else 2
        for _ in range(width):
            value = value << 8 | (self._data[self._at] if self.left else 0)
            self._at += 1
        return value % max(1, count)

    def pick(self, choices: Any) -> Any:
        """One of them."""
        return choices[self.below(len(choices))]


class Writer:
    """See the module's docstring."""

    def __init__(self, dice: Dice, *, scale: int = 100, first_client: int = 10) -> None:
        self._dice = dice
        self._scale = scale
        self._first = first_client
        self._clocks: dict[int, int] = {}
        self._types: list[Id] = []
        self._told: tuple[dict[int, int], list[Id]] = {}, []

    def update(self) -> bytes:
        """The next update. Call :meth:`remember` when it was taken."""
        self._told = dict(self._clocks), list(self._types)
        attacks: tuple[Callable[[], bytes], ...] = (
            self._structs,
            self._structs,
            self._structs,
            self._structs,
            self._deletions,
            self._deletions,
            self._one_origin,
            self._farthest_right,
            self._deeper,
            self._many_clients,
            self._other_content,
            self._beyond,
            self._pieces,
            self._marks,
            self._map_entries,
            self._joined,
            self._between,
            self._between,
        )
        return attacks[self._dice.below(len(attacks))]()

    def remember(self) -> None:
        """The last update was taken: what it brought can be built on."""
        self._clocks, self._types = self._told

    # ---- single structs ----------------------------------------------------------------------------------------------

    def _client(self) -> int:
        return self._first + self._dice.below(4)

    def _known(self) -> Id | None:
        """An id that is there, nearly always."""
        clocks = self._told[0]
        if not clocks:
            return None
        client = self._dice.pick(sorted(clocks))
        return client, self._dice.below(clocks[client] + (self._dice.below(50) == 1))

    def _place(self, *, keyed: bool = False) -> dict[str, Any]:
        """Where something goes: beside what is there, in a type, or in a root."""
        choice = self._dice.below(8)
        known = self._known()
        if keyed or choice == 0 or known is None:
            where: dict[str, Any] = {"root": self._dice.pick(ROOTS)}
            if self._told[1] and self._dice.below(2):
                where = {"parent": self._dice.pick(self._told[1])}
            return where | ({"key": self._dice.pick(KEYS)} if keyed or self._dice.below(4) == 0 else {})
        if choice == 1 and self._told[1]:
            return {"parent": self._dice.pick(self._told[1])}
        return {"origin": known} if choice < 5 else {"origin": known, "right": self._right_of(known)}

    def _right_of(self, origin: Id) -> Id | None:
        """Something that may stand right of it, or cannot."""
        client, clock = origin
        match self._dice.below(4):
            case 0:
                return self._known()
            case 1:
                return client, max(0, clock - self._dice.below(3))
            case _:
                return client, min(clock + 1 + self._dice.below(2), max(self._told[0].get(client, 0) - 1, 0))

    def _struct(self, clock: Id) -> tuple[bytes, int]:
        """Something of any kind; and its length."""
        dice = self._dice
        place = self._place()
        match dice.below(12):
            case 0 | 1 | 2:
                content = dice.pick(TEXTS)
                length = 1 if isinstance(content, bytes) else len(content.encode("utf-16-le")) // 2
                return text(content, **place), length
            case 3:
                length = 1 + dice.below(4)
                return deleted(length, **place), length
            case 4:
                return binary(b"\0" * dice.below(9), **place), 1
            case 5:
                return embed(dice.pick(JSON), **place), 1
            case 6:
                return mark(dice.pick(KEYS), dice.pick(JSON), **place), 1
            case 7 | 8:
                self._told[1].append(clock)
                kind = dice.pick(KINDS)
                return shared_type(kind, "p" if kind in {"xmlelement", "xmlhook"} else None, **place), 1
            case 9:
                return subdocument(dice.pick(KEYS), dice.pick(VALUES), **place), 1
            case 10:
                return gc(1 + dice.below(3)), 0
            case _:
                some = [dice.pick(VALUES) for _ in range(1 + dice.below(3))]
                return values(*some, **place), len(some)

    def _block(self, client: int, structs: list[bytes], length: int) -> Block:
        """Structs from the client's next clock on."""
        start = self._told[0].get(client, 0)
        self._told[0][client] = start + length
        return block(client, start, *structs)

    # ---- whole updates -----------------------------------------------------------------------------------------------

    def _structs(self) -> bytes:
        """Some of anything, by one or more clients, with deletions now and then."""
        blocks = []
        for client in {self._client() for _ in range(1 + self._dice.below(3))}:
            start = clock = self._told[0].get(client, 0)
            structs = []
            for _ in range(1 + self._dice.below(6)):
                struct, length = self._struct((client, clock))
                length = length or struct[1]  # of collected structs
                structs.append(struct)
                clock += length
                self._told[0][client] = clock
            if self._dice.below(12) == 0:
                structs.insert(self._dice.below(len(structs)), skip(1 + self._dice.below(3)))
            blocks.append(block(client, start, *structs))
        return write_update(blocks, self._ranges() if self._dice.below(3) == 0 else None)

    def _ranges(self) -> dict[int, list[tuple[int, int]]]:
        ranges: dict[int, list[tuple[int, int]]] = {}
        for client, end in self._told[0].items():
            clock = self._dice.below(end + 1)
            while clock < end and len(ranges.setdefault(client, [])) < 5:
                length = 1 + self._dice.below(3)
                ranges[client].append((clock, min(length, end - clock) or 1))
                clock += length + 1 + self._dice.below(3)
        return {client: some for client, some in ranges.items() if some}

    def _deletions(self) -> bytes:
        """Of some of what is there, often in the middle of something."""
        return write_update([], self._ranges())

    def _root_text(self, client: int, length: int) -> Block:
        return self._block(client, [text("a" * length, root=self._dice.pick(ROOTS))], length)

    def _one_origin(self) -> bytes:
        """Two clients put many structs behind one origin: each looks past those of the other."""
        count = 1 + self._dice.below(self._scale)
        one, other = self._first, self._first + 1
        origin = self._known()
        place: dict[str, Any] = {"origin": origin} if origin else {"root": "body"}
        blocks = [self._block(client, [embed(client, **place)] * count, count) for client in (other, one)]
        return write_update(blocks)

    def _farthest_right(self) -> bytes:
        """Each struct between another place of a text and its end."""
        count = 3 + self._dice.below(self._scale)
        client, other = self._first, self._first + 1
        start = self._told[0].get(client, 0)
        first = self._root_text(client, count)
        structs = [text("x", origin=(client, start + at), right=(client, start + count - 1)) for at in range(count - 2)]
        if self._dice.below(2):
            structs.reverse()
        return write_update([self._block(other, structs, len(structs)), first])

    def _deeper(self) -> bytes:
        """Types within one another, which goes on where the last one has stopped."""
        client = self._client()
        start = self._told[0].get(client, 0)
        count = 1 + self._dice.below(min(self._scale, 99))
        inner: dict[str, Any] = {"parent": self._told[1][-1]} if self._told[1] else {"root": self._dice.pick(ROOTS)}
        kind = self._dice.pick(("xmlelement", "array", "map"))
        key: dict[str, Any] = {"key": "k"} if kind == "map" else {}
        name = "p" if kind == "xmlelement" else None
        structs = [
            shared_type(kind, name, **(inner if at == 0 else {"parent": (client, start + at - 1)}), **key)
            for at in range(count)
        ]
        self._told[1].append((client, start + count - 1))
        return write_update([self._block(client, structs, count)])

    def _many_clients(self) -> bytes:
        """A struct each of many clients, each behind the one of the next lower client, or all at one place."""
        count = 1 + self._dice.below(self._scale)
        base = 1000 + self._scale * self._dice.below(4)
        chained = self._dice.below(2)
        blocks = []
        for client in range(base, base + count):
            chain = chained and client > base
            struct = text("x", origin=(client - 1, 0)) if chain else text("x", root="body")
            blocks.append(block(client, 0, struct))
            self._told[0].setdefault(client, 1)
        return write_update(blocks if self._dice.below(2) else blocks[::-1])

    def _other_content(self) -> bytes:
        """Something else for a clock that is there."""
        known = self._known() or (self._first, 0)
        struct, _ = self._struct(known)
        return write_update([block(known[0], known[1], struct)])

    def _beyond(self) -> bytes:
        """Clocks that nobody has reached, small and huge, and what needs them."""
        client = self._client()
        far = self._told[0].get(client, 0) + self._dice.pick((1, 5, 10_000, 2**31 - 2, 2**32, 2**53 - 1))
        match self._dice.below(4):
            case 0:
                return write_update([block(client, far, text("far", root="body"))])
            case 1:
                return write_update([block(client, self._told[0].get(client, 0), text("x", origin=(client + 1, far)))])
            case 2:
                return write_update([], {client: [(0, far + 1)]})
            case _:
                return write_update([block(client, self._told[0].get(client, 0), gc(far))])

    def _pieces(self) -> bytes:
        """Every second character of what is there is deleted, or gets something behind it: all is cut to pieces."""
        known = self._known()
        if known is None:
            return self._deletions()
        client, end = known[0], self._told[0][known[0]]
        places = range(0, min(end, 2 * self._scale), 2)
        if self._dice.below(2):
            return write_update([], {client: [(at, 1) for at in places] or [(0, 1)]})
        structs = [text("|", origin=(client, at)) for at in places] or [text("|", root="body")]
        return write_update([self._block(self._first + 5, structs, len(structs))])

    def _marks(self) -> bytes:
        """Formats that begin and end, many and without a text between them."""
        client = self._client()
        count = 1 + self._dice.below(self._scale)
        start = self._told[0].get(client, 0)
        key = self._dice.pick(KEYS)
        structs = [mark(key, True, **self._place())]
        structs += [mark(f"{key}{at % 7}", at % 3 or None, origin=(client, start + at - 1)) for at in range(1, count)]
        return write_update([self._block(client, structs, count)])

    def _map_entries(self) -> bytes:
        """One key of a map again and again; all but one entry are hidden."""
        client = self._client()
        count = 1 + self._dice.below(self._scale)
        start = self._told[0].get(client, 0)
        first = values(self._dice.pick(VALUES), **self._place(keyed=True))
        structs = [first, *(values(at, origin=(client, start + at - 1)) for at in range(1, count))]
        return write_update([self._block(client, structs, count)])

    def _joined(self) -> bytes:
        """Neighbours that the engine joins one by one."""
        client = self._client()
        count = 1 + self._dice.below(self._scale)
        start = self._told[0].get(client, 0)
        structs = [text("j", **self._place()), *(text("j", origin=(client, start + at - 1)) for at in range(1, count))]
        return write_update([self._block(client, structs, count)])

    def _between(self) -> bytes:
        """Short strings by several clients, before what stands left, deeper, elsewhere, or was collected."""
        blocks = []
        for client in {self._client() for _ in range(1 + self._dice.below(3))}:
            structs, length = [], 0
            start = self._told[0].get(client, 0)
            for _ in range(1 + self._dice.below(4)):
                origin = self._known()
                right = self._right_of(origin) if origin and self._dice.below(4) else self._known()
                string = "abcd"[: 1 + self._dice.below(4)]
                structs.append(text(string, origin=origin, right=right, root="body"))
                length += len(string)
                self._told[0][client] = start + length
            blocks.append(block(client, start, *structs))
        return write_update(blocks)
