"""How often people are told who is here."""

from __future__ import annotations

import pytest

from cowrite.core.presence.notices import LEAST_SECONDS, MOST_SECONDS, PresenceNotices
from cowrite.core.presence.present import Person, PresenceChange
from cowrite.testing.clock import ManualClock


class Told:
    def __init__(self, readers: int = 1) -> None:
        self.clock = ManualClock()
        self.changes: list[tuple[list[str], list[str], list[str]]] = []
        self.persons: list[Person] = []
        self.notices = PresenceNotices(self.clock, self._tell, lambda: readers)

    def _tell(self, change: PresenceChange) -> None:
        self.persons += [*change.joined, *change.updated]
        self.changes.append(
            ([one.user_id for one in change.joined], [one.user_id for one in change.updated], list(change.left))
        )

    def take(self, joined: str = "", updated: str = "", left: str = "") -> None:
        """Users are single letters."""
        self.notices.take(PresenceChange([Person(one, ()) for one in joined], [Person(one, ()) for one in updated], list(left)))


@pytest.mark.rule("PE18")
def test_the_first_change_is_told_at_once_and_those_that_follow_as_one() -> None:
    told = Told()
    told.take(joined="a")
    assert told.changes == [(["a"], [], [])]
    for _ in range(1000):
        told.take(updated="a")
    told.take(updated="b")
    assert len(told.changes) == 1
    told.clock.advance(LEAST_SECONDS)
    assert told.changes[1:] == [([], ["a", "b"], [])]
    told.clock.advance(LEAST_SECONDS)
    told.take(updated="a")
    assert len(told.changes) == 3, "it was quiet"


@pytest.mark.rule("PE18")
def test_the_last_one_is_never_lost() -> None:
    told = Told()
    told.take(updated="a")
    newest = Person("a", ())
    told.take(updated="a")
    told.notices.take(PresenceChange(updated=[newest]))
    told.clock.advance(LEAST_SECONDS)
    assert told.persons[-1] is newest


@pytest.mark.rule("PE18")
@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ((("j", "a"), ("u", "a")), (["a"], [], [])),
        ((("j", "a"), ("l", "a")), None),
        ((("l", "a"), ("j", "a")), ([], ["a"], [])),
        ((("l", "a"), ("j", "a"), ("l", "a")), ([], [], ["a"])),
        ((("u", "a"), ("l", "a")), ([], [], ["a"])),
        ((("j", "a"), ("l", "a"), ("j", "a")), (["a"], [], [])),
    ],
)
def test_what_is_told_is_what_there_is_to_see_at_the_end(
    changes: tuple[tuple[str, str], ...], seen: tuple[list[str], list[str], list[str]] | None
) -> None:
    told = Told()
    told.take(updated="z")
    for kind, user in changes:
        told.take(**{{"j": "joined", "u": "updated", "l": "left"}[kind]: user})
    told.clock.advance(LEAST_SECONDS)
    assert told.changes[1:] == ([seen] if seen is not None else [])


@pytest.mark.rule("PE18")
@pytest.mark.parametrize(("readers", "seconds"), [(1, LEAST_SECONDS), (100, 0.2), (5000, MOST_SECONDS)])
def test_the_more_are_told_the_less_often(readers: int, seconds: float) -> None:
    told = Told(readers)
    told.take(updated="a")
    told.take(updated="a")
    told.clock.advance(seconds - 0.001)
    assert len(told.changes) == 1
    told.clock.advance(0.001)
    assert len(told.changes) == 2


@pytest.mark.rule("PE18")
def test_nobody_is_told_after_the_end() -> None:
    told = Told()
    told.notices.close()
    told.take(updated="a")
    told.take(updated="a")
    told.notices.close()
    told.clock.advance(MOST_SECONDS)
    assert len(told.changes) == 1
