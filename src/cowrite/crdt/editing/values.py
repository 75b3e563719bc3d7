"""Values on their way into a document that is edited here. What is refused is refused before anything has changed."""

from __future__ import annotations

from collections.abc import Callable

from pycrdt import _pycrdt as engine

from cowrite.crdt.building import Builder
from cowrite.crdt.shared_types import Transaction
from cowrite.crdt.values import MAX_SAFE_INTEGER, InvalidValue, Json


def check_value(value: Json) -> None:
    """Look whether a value can be put into a map or an array: JSON, or a shared type of its own in cowrite's form.

    Raises :class:`InvalidValue`.
    """
    check_integers(value)
    _try(lambda trial, txn: Builder(txn).insert_item(trial.get_or_insert_array(txn, "a"), 0, value, "the value", 0))


def check_node(node: Json) -> None:
    """Look whether a node can be put into a tree. Raises :class:`InvalidValue`."""
    check_integers(node)
    _try(lambda trial, txn: Builder(txn).insert_node(trial.get_or_insert_xml_fragment(txn, "x"), 0, node, "the node", 0))


def check_integers(value: Json) -> None:
    """Refuse integers that a double cannot hold: every number is one, and these would come out as others.

    Raises :class:`InvalidValue`.
    """
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, int) and not -MAX_SAFE_INTEGER <= one <= MAX_SAFE_INTEGER:
            raise InvalidValue("", f"{one} is beyond 2^53, where numbers are not exact; write it as a text")


def _try(write: Callable[[engine.Doc, Transaction], None]) -> None:
    """On a document that is thrown away."""
    trial = engine.Doc(None, None, None)
    txn = trial.create_transaction()
    try:
        write(trial, txn)
    finally:
        txn.drop()
