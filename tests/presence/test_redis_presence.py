"""Presence in a real Valkey: the contract, and what is its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from redis.crc import key_slot
from structlog.testing import capture_logs

from cowrite.core.ports import LEASE_SECONDS, PresenceError
from cowrite.core.presence_records import CLOCKS_APART
from cowrite.presence.redis import HASH_MILLISECONDS, PATIENCE, PROCESSES_KEY, RedisPresence
from cowrite.testing.clock import ManualClock
from cowrite.testing.presence_contract import PresenceBackend, PresenceContract, make_record, present
from presence.presence_backends import ClusterBackend, RedisBackend
from timing import MS
from valkey_server import ValkeyCluster, ValkeyServer


class TestRedisPresence(PresenceContract):
    @pytest.fixture
    def backend(self, redis: RedisBackend) -> PresenceBackend:
        return redis


class TestRedisPresenceInCluster(PresenceContract):
    @pytest.fixture
    def backend(self, redis_cluster: ClusterBackend) -> PresenceBackend:
        return redis_cluster


@pytest.mark.rule("PS40")
async def test_documents_are_spread_over_a_cluster(redis_cluster: ClusterBackend, shared_cluster: ValkeyCluster) -> None:
    presence = await redis_cluster.open()
    await presence.beat("one")
    names = [f"document {number}" for number in range(30)]
    await presence.write([make_record(f"s{name}", document_id=name) for name in names], [])
    assert all("cowrite:presence:" in server.call("KEYS", "cowrite:presence:*") for server in shared_cluster.servers)
    found = await presence.read(names)
    assert {name: [one.session_id for one in found[name]] for name in names} == {name: [f"s{name}"] for name in names}


@pytest.mark.rule("PS40")
async def test_slots_that_move_are_followed(redis_cluster: ClusterBackend, shared_cluster: ValkeyCluster) -> None:
    presence = await redis_cluster.open()
    await presence.beat("one")
    slot = str(key_slot(b"cowrite:presence:{doc}"))
    old, new = "", ""
    for server in shared_cluster.servers:
        identity = server.call("CLUSTER", "MYID").split()[-1]
        is_old = not server.call("HLEN", "cowrite:presence:{doc}").startswith("-")
        old, new = (identity, new) if is_old else (old, identity)
    for owner in (new, old):
        for server in shared_cluster.servers:
            server.call("CLUSTER", "SETSLOT", f"{slot} NODE {owner}")
        await presence.write([make_record("1")], [])
        assert [one.session_id for one in (await presence.read(["doc"]))["doc"]] == ["1"]
        await presence.write([], [make_record("1")])


@pytest.mark.rule("PS13")
async def test_nothing_stays_for_ever(redis: RedisBackend) -> None:
    """Every key has an end: a day after the last use, or when the last record ends if that is later; reading moves it on."""
    presence = await redis.open()
    await presence.beat("one")
    await presence.write([make_record("1")], [])
    end = redis.clock.now() + 3 * HASH_MILLISECONDS
    await presence.write([make_record("2", document_id="late", process=None, expires_at=end)], [])
    day, late = b"cowrite:presence:{doc}", b"cowrite:presence:{late}"
    assert {key async for key in redis.redis.scan_iter()} == {PROCESSES_KEY, day, late}
    assert 0 < await redis.redis.pttl(PROCESSES_KEY) <= 2 * HASH_MILLISECONDS
    assert 0 < await redis.redis.pttl(day) <= HASH_MILLISECONDS
    assert 2 * HASH_MILLISECONDS < await redis.redis.pttl(late) <= 3 * HASH_MILLISECONDS
    await presence.write([make_record("3", document_id="late")], [])
    assert await redis.redis.pttl(late) > 2 * HASH_MILLISECONDS
    await redis.redis.pexpire(day, 100_000)
    await presence.read(["doc"])
    assert await redis.redis.pttl(day) > 100_000


@pytest.mark.rule("PS26")
async def test_a_server_that_has_lost_everything_is_noticed_by_reading(redis: RedisBackend) -> None:
    """Or those who live would be taken for gone until the next beat."""
    presence = await redis.open()
    await presence.read(["doc"])
    await presence.beat("one")
    await presence.read(["doc"])
    assert presence.generation == 0
    await redis.redis.flushall()
    await presence.read(["doc"])
    assert presence.generation == 1


@pytest.mark.rule("PS8")
async def test_what_stays_for_longer_is_not_taken_out_by_who_has_read_that_it_ended(redis: RedisBackend) -> None:
    """It was renewed by another process between the two."""
    one, two = await redis.open(), await redis.open()
    now = redis.clock.now()
    await one.write([make_record("bot", process=None, expires_at=now + 1000)], [])
    redis.clock.step_wall(2000 + CLOCKS_APART)
    assert isinstance(one, RedisPresence)
    forget = one._forget

    async def late(gone: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        await two.write([make_record("bot", process=None, expires_at=now + 10 * CLOCKS_APART)], [])
        await forget(gone)

    one._forget = late  # type: ignore[method-assign]
    assert await present(one) == []
    assert [record.session_id for record in await present(two)] == ["bot"]


@pytest.mark.rule("PS13")
async def test_the_dead_are_forgotten_in_the_end(redis: RedisBackend) -> None:
    """When what they wrote cannot be there any more."""
    presence = await redis.open()
    await presence.beat("one")
    await redis.pass_time(2 * HASH_MILLISECONDS / 1000 - 60)
    await presence.beat("two")
    assert await redis.redis.zcard(PROCESSES_KEY) == 2
    await redis.pass_time(61)
    await presence.beat("two")
    assert await redis.redis.zrange(PROCESSES_KEY, 0, -1) == [b"two"]


def _record(**fields: str) -> str:
    written = {"process": '"one"', "expires_at": "null", "user_id": '"u"', "last_active": "1", "metadata": "{}"} | fields
    return "{{{}}}".format(",".join(f'"{name}":{value}' for name, value in written.items()))


NEVER_WRITTEN = (
    _record(metadata='{"cursor":NaN}'),
    _record(metadata='{"cursor":1e999}'),
    _record(metadata='{"cursor":%s}' % ("[" * 5000 + "]" * 5000)),
    _record(metadata='{"name":"%s"}' % ("x" * 30_000)),
    _record(process="null"),
    _record(process="null", expires_at="999999999999999999"),
    _record(last_active="-5"),
    _record(last_active="9" * 4000),
    _record(user_id='"%s"' % ("u" * 300)),
    _record(user_id='"\\ud800"'),
)
"""What this version would refuse to write, and could not write again."""


@pytest.mark.rule("PS12")
async def test_what_another_version_wrote(redis: RedisBackend) -> None:
    """It is skipped and left alone, and one line says so."""
    presence = await redis.open()
    await presence.beat("one")
    record = make_record("1")
    await presence.write([record], [])
    strange = {
        "a": "",
        "b": "[]",
        "c": "{}",
        b"\xff": b"\xff",
        "d": '{"user_id":"u","last_active":1,"process":1,"expires_at":1,"metadata":{}}',
    }
    strange["e"] = '{"user_id":"u","last_active":1,"process":null,"expires_at":null,"metadata":[]}'
    strange |= {f"never {number}": value for number, value in enumerate(NEVER_WRITTEN)}
    strange["s" * 60] = '{"user_id":"u","last_active":1,"process":"one","expires_at":null,"metadata":{}}'
    await redis.redis.hset("cowrite:presence:{doc}", mapping=strange)  # type: ignore[arg-type]
    with capture_logs() as lines:
        assert await present(presence) == await present(presence) == [record]
    assert [line["document"] for line in lines] == ["doc"]
    assert await redis.stored() == 8 + len(NEVER_WRITTEN)


@pytest.mark.rule("PS14")
async def test_scripts_that_the_server_has_lost(redis: RedisBackend) -> None:
    """They are sent again."""
    presence = await redis.open()
    await presence.beat("one")
    await redis.redis.script_flush()
    await presence.write([make_record("1")], [])
    await redis.redis.script_flush()
    assert len(await present(presence)) == 1


@pytest.mark.rule("PS14")
async def test_a_server_that_is_gone(own_valkey: ValkeyServer) -> None:
    """Every call says in one line where and why, without the password; when it is back, it works again."""
    presence = RedisPresence(own_valkey.url.replace("//", "//:secret@"), ManualClock())
    assert presence.place == f"Redis at 127.0.0.1:{own_valkey.port}"
    await presence.close()
    presence = RedisPresence(own_valkey.url, ManualClock())
    await presence.beat("one")
    own_valkey.kill()
    for call in (presence.beat("one"), presence.processes(), presence.write([make_record()], []), presence.read(["doc"])):
        with pytest.raises(PresenceError, match=rf"Redis at 127.0.0.1:{own_valkey.port} \(.*COWRITE_REDIS_URL"):
            await call
    assert presence.degraded
    own_valkey.start()
    before = presence.generation
    await presence.beat("one")
    assert (presence.degraded, presence.generation) == (False, before + 1)
    await presence.close()
    with pytest.raises(PresenceError, match="closed"):
        await presence.beat("one")


@pytest.mark.rule("PS14")
async def test_a_server_that_hangs(own_valkey: ValkeyServer) -> None:
    """A call gives up, and the next one works when the server does."""
    presence = RedisPresence(own_valkey.url, ManualClock(), patience=300 * MS)
    await presence.beat("one")
    assert 2 * PATIENCE < LEASE_SECONDS
    own_valkey.freeze()
    try:
        with pytest.raises(PresenceError, match="no answer within"):
            await presence.beat("one")
    finally:
        own_valkey.thaw()
    own_valkey.kill()
    own_valkey.start()
    assert await presence.beat("one") == {"one"}
    await presence.close()
