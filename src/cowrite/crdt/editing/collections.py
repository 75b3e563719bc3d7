"""Maps and arrays in a document that is edited here.

Values are JSON, as in operations: a shared type within is written as a tagged value, ``{"$map": {…}}``, ``{"$array": […]}``,
``{"$text": [{"insert": "Hello"}]}``; a key of one's own that begins with ``$`` is written with one more in front.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from typing import Any, SupportsIndex, overload

from cowrite.crdt.building import Builder, checked_name
from cowrite.crdt.content import MAX_KEY_BYTES
from cowrite.crdt.editing.document import EditableDocument
from cowrite.crdt.editing.values import check_value
from cowrite.crdt.shared_types import Handle, Reader, Transaction
from cowrite.crdt.values import Json


class EditableMap(MutableMapping[str, Json]):
    """A map from names to values. What :meth:`__getitem__` gives is a copy: changing it changes nothing."""

    def __init__(self, document: EditableDocument, handle: Handle, told: Callable[[Iterable[str]], None]) -> None:
        self._document = document
        self._handle = handle
        self._told = told
        self._observer = document.observe(handle.observe_deep, self._changed)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {dict(self)!r}>"

    def __getitem__(self, key: str) -> Json:
        def work(reader: Reader) -> tuple[Json, ...]:
            if not self._handle.has(reader.txn, key):
                return ()
            return (reader.value(self._handle.get(reader.txn, key)),)

        found = self._document.read(work)
        if not found:
            raise KeyError(key)
        return found[0]

    def __setitem__(self, key: str, value: Json) -> None:
        """Raises ``ValueError`` for a key or a value that cannot be stored."""
        checked_name(key, MAX_KEY_BYTES, "the key")
        check_value(value)
        self._document.write(lambda txn: Builder(txn).set_entry(self._handle, key, value, "the value", 0))

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._document.write(lambda txn: self._remove(txn, key))

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._document.read(lambda reader: self._handle.keys(reader.txn))))

    def __len__(self) -> int:
        return len(self._document.read(lambda reader: self._handle.keys(reader.txn)))

    def _remove(self, txn: Transaction, key: str) -> None:
        self._handle.remove(txn, key)

    def _changed(self, events: Sequence[Any]) -> None:
        self._told({key for event in events for key in (event.path[:1] or event.keys)})


class EditableArray(Sequence[Json]):
    """A list of values. What is read of it is a copy: changing it changes nothing."""

    def __init__(self, document: EditableDocument, handle: Handle, told: Callable[[], None]) -> None:
        self._document = document
        self._handle = handle
        self._told = told
        self._observer = document.observe(handle.observe_deep, self._changed)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {list(self)!r}>"

    def __len__(self) -> int:
        return int(self._document.read(lambda reader: self._handle.len(reader.txn)))

    @overload
    def __getitem__(self, where: SupportsIndex) -> Json: ...
    @overload
    def __getitem__(self, where: slice) -> list[Json]: ...
    def __getitem__(self, where: SupportsIndex | slice) -> Json:
        indexes = range(len(self))[where]
        if isinstance(indexes, int):
            return self._document.read(lambda reader: reader.value(self._handle.get(reader.txn, indexes)))
        return self._document.read(lambda reader: [reader.value(self._handle.get(reader.txn, at)) for at in indexes])

    def __iter__(self) -> Iterator[Json]:
        return iter(self[:])

    def __delitem__(self, where: SupportsIndex | slice) -> None:
        indexes = range(len(self))[where]
        if isinstance(indexes, int):
            indexes = range(indexes, indexes + 1)
        if indexes.step != 1:
            raise ValueError("only a range without a step can be deleted")
        self.delete(indexes.start, max(indexes.start, indexes.stop))

    def insert(self, index: int, *values: Json) -> None:
        """Insert before the value at an index. Raises ``IndexError``, and ``ValueError`` for what cannot be stored."""
        self._check(index)
        for value in values:
            check_value(value)
        if values:
            self._document.write(lambda txn: self._insert(txn, index, values))

    def append(self, *values: Json) -> None:
        """Insert at the end. See :meth:`insert`."""
        self.insert(len(self), *values)

    def delete(self, start: int, stop: int) -> None:
        """Delete from one index up to, and without, another one. Raises ``IndexError``."""
        self._check(start, stop)
        if start < stop:
            self._document.write(lambda txn: self._handle.remove_range(txn, start, stop - start))

    def replace(self, index: int, value: Json) -> None:
        """Put another value into the place of one, in one edit. Raises what :meth:`insert` raises."""
        if not 0 <= index < len(self):
            raise IndexError(f"there is no value {index} in an array of {len(self)}")
        check_value(value)

        def work(txn: Transaction) -> None:
            self._handle.remove_range(txn, index, 1)
            self._insert(txn, index, (value,))

        self._document.write(work)

    def _insert(self, txn: Transaction, index: int, values: Sequence[Json]) -> None:
        for at, value in enumerate(values, index):
            Builder(txn).insert_item(self._handle, at, value, "the value", 0)

    def _check(self, *indexes: int) -> None:
        for index in indexes:
            if not 0 <= index <= len(self):
                raise IndexError(f"there is no place {index} in an array of {len(self)}")

    def _changed(self, _: object) -> None:
        self._told()
