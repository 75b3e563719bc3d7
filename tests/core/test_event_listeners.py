"""Who is told of what happens."""

from __future__ import annotations

from typing import Any, cast

import pytest

from cowrite.core.ports.events import UNHEARD, Events, Listeners


@pytest.mark.rule("HK2")
def test_all_who_listen_are_told_in_order() -> None:
    told: list[tuple[int, Any]] = []

    class Listener:
        def __init__(self, number: int) -> None:
            self.number = number

        def tell(self, event: Any) -> None:
            told.append((self.number, event))

    listeners: Events = Listeners(UNHEARD, Listener(1), Listener(2))
    listeners.tell(cast("Any", "first"))
    listeners.tell(cast("Any", "second"))
    assert told == [(1, "first"), (2, "first"), (1, "second"), (2, "second")]
