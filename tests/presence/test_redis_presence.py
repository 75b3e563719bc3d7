from __future__ import annotations

import pytest

from cowrite.testing.presence_contract import PresenceBackend, PresenceContract
from presence.presence_backends import RedisBackend


class TestRedisPresence(PresenceContract):
    @pytest.fixture
    def backend(self, redis: RedisBackend) -> PresenceBackend:
        return redis
