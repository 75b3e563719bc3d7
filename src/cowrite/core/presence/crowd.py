"""All that are shown as present in one document: persons with their sessions, and what others are told when that changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from cowrite.core.presence.present import Person, PresenceChange, Present
from cowrite.protocol.thin import json_list


class Crowd:
    """Bounded in sessions of one user, and in the bytes of what all tell. ``told`` is called after each change others see."""

    def __init__(self, told: Callable[[PresenceChange], None], *, sessions: int, size: int) -> None:
        self._told = told
        self._max_sessions = sessions
        self._max_bytes = size
        self._sessions: dict[str, Present] = {}
        self._persons: dict[str, dict[str, Present]] = {}
        """By user, in the order in which they came, and by session."""
        self._sizes: dict[str, int] = {}
        """Bytes of what sessions tell."""
        self._bytes = 0
        self._json: bytes | None = None
        self.version = 0
        """Grows with each change."""

    def __iter__(self) -> Iterator[Present]:
        return iter(list(self._sessions.values()))

    def __bool__(self) -> bool:
        return bool(self._sessions)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._sessions

    def get(self, session_id: str) -> Present | None:
        """The session that is shown."""
        return self._sessions.get(session_id)

    @property
    def persons(self) -> Sequence[Person]:
        """All, in the order in which they came."""
        return [Person(user_id, tuple(sessions.values())) for user_id, sessions in self._persons.items()]

    @property
    def json(self) -> bytes:
        """The same as a JSON list, for whoever comes: encoded once until something changes."""
        if self._json is None:
            self._json = json_list([person.json for person in self.persons])
        return self._json

    def has_user(self, user_id: str) -> bool:
        """The user has a session here or elsewhere, as far as it is known here."""
        return user_id in self._persons

    def is_full_for(self, user_id: str, coming: int = 0) -> bool:
        """The user has as many sessions here as are shown of one, with those that are about to come."""
        return len(self._persons.get(user_id, ())) + coming >= self._max_sessions

    def has_room_for(self, present: Present, coming: int = 0) -> bool:
        """What the session tells fits in beside what the others tell, with the bytes that are about to come."""
        return not present.size or self._bytes + coming + self.growth(present) <= self._max_bytes

    def growth(self, present: Present) -> int:
        """Bytes that the session tells more than before."""
        return present.size - self._sizes.get(present.session_id, 0)

    def change(self, put: Iterable[Present] = (), removed: Iterable[str] = ()) -> None:
        """Show sessions, in the place of what was shown of them; and others, that are shown, no longer. A session keeps its
        user.
        """
        self._json = None
        before: dict[str, bool] = {}
        news = set()
        for session_id in removed:
            gone = self._sessions.pop(session_id)
            self._touch(before, gone.user_id)
            news.add(gone.user_id)
            del self._persons[gone.user_id][session_id]
            self._bytes -= self._sizes.pop(session_id)
        for present in put:
            known = self._sessions.get(present.session_id)
            self._touch(before, present.user_id)
            self._sessions[present.session_id] = self._persons[present.user_id][present.session_id] = present
            if known is None or known.looks != present.looks:
                news.add(present.user_id)
                self._bytes += self.growth(present)
                self._sizes[present.session_id] = present.size
        self._tell(before, news)

    def _touch(self, before: dict[str, bool], user_id: str) -> None:
        before.setdefault(user_id, user_id in self._persons)
        self._persons.setdefault(user_id, {})

    def _tell(self, before: Mapping[str, bool], news: set[str]) -> None:
        """``before``: the users whose sessions were looked at, and whether they were here before."""
        joined: list[Person] = []
        updated: list[Person] = []
        left: list[str] = []
        for user_id, was_here in before.items():
            now = self._persons[user_id]
            if not now:
                del self._persons[user_id]
                left.append(user_id)
            elif user_id in news:
                (updated if was_here else joined).append(Person(user_id, tuple(now.values())))
        if joined or updated or left:
            self.version += 1
            self._told(PresenceChange(joined, updated, left))
