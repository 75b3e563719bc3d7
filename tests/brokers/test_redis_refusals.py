"""Which servers a broker by Redis does not start with, and which are tried again."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cowrite.brokers.errors import BrokerSetupError
from cowrite.brokers.opening import open_broker
from cowrite.testing.broker_contract import Receiver, make_news
from cowrite.testing.broker_outage_contract import Missed
from redis_brokers import brokers
from relay import talking
from valkey_server import ValkeyServer


@pytest.mark.rule("BR24")
async def test_a_server_that_is_down_is_no_reason_not_to_start(tmp_path: Path) -> None:
    valkey = ValkeyServer(tmp_path)
    with capture_logs() as logs:
        async with brokers(valkey.url) as [broker]:
            assert broker.degraded
            missed = Missed(broker)
            try:
                await asyncio.to_thread(valkey.start)
                await missed.until(reaches_others=True)
            finally:
                await asyncio.to_thread(valkey.kill)
    assert f"127.0.0.1:{valkey.port} cannot be reached" in logs[0]["reason"]


@pytest.mark.rule("BR24")
@pytest.mark.parametrize("package", ["redis", "hiredis"])
async def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """The line says how to install it."""
    monkeypatch.setitem(sys.modules, package, None)  # importing it raises ImportError
    with pytest.raises(BrokerSetupError, match=rf"the package {package} is missing \(.*pip install 'cowrite\[redis\]'$"):
        await open_broker("redis://:sesame@127.0.0.1:1")


@pytest.mark.rule("BR24")
@pytest.mark.parametrize(
    ("who", "says"),
    [
        ("", "NOAUTH"),
        (":wrong@", "WRONGPASS"),
        ("nobody:sesame@", "WRONGPASS"),
        ("mute:sesame@", "NOPERM"),
        ("elsewhere:sesame@", "NOPERM"),
    ],
)
async def test_a_user_that_is_refused(locked_valkey: ValkeyServer, who: str, says: str) -> None:
    with pytest.raises(BrokerSetupError) as refused:
        await open_broker(f"redis://{who}127.0.0.1:{locked_valkey.port}")
    assert f"127.0.0.1:{locked_valkey.port} refuses the user or the password of COWRITE_REDIS_URL ({says}" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "sesame" not in str(refused.value)
    assert "wrong" not in str(refused.value)


@pytest.mark.rule("BR24")
@pytest.mark.parametrize("who", [":sesame@", "default:sesame@", "enough:sesame@"])
async def test_a_user_that_may_do_what_is_needed(locked_valkey: ValkeyServer, who: str) -> None:
    url = f"redis://{who}127.0.0.1:{locked_valkey.port}"
    async with brokers(url, url) as (broker, other):
        receiver = Receiver()
        await other.subscribe("doc", receiver)
        await broker.publish(make_news(1))
        await receiver.wait_for(1)


@pytest.mark.rule("BR24")
async def test_a_server_that_refuses_later_is_tried_again(locked_valkey: ValkeyServer) -> None:
    async with brokers(f"redis://later:sesame@127.0.0.1:{locked_valkey.port}") as [broker]:
        missed = Missed(broker)
        locked_valkey.call("AUTH", "sesame", also=("ACL", "SETUSER", "later", "resetpass"))
        locked_valkey.call("AUTH", "sesame", also=("CLIENT", "KILL", "USER", "later"))
        await missed.until(reaches_others=False)
        locked_valkey.call("AUTH", "sesame", also=("ACL", "SETUSER", "later", ">sesame"))
        await missed.until(reaches_others=True)


@pytest.mark.rule("BR24")
@pytest.mark.parametrize(
    ("hello", "is_of"),
    [
        (b"-ERR unknown command `HELLO`, with args beginning with: `3`\r\n", "is older than version 6"),
        (b"%2\r\n+version\r\n+6.2.14\r\n+role\r\n+master\r\n", "is of version 6.2.14"),
        (b"*0\r\n", "is older than version 6"),
    ],
)
async def test_a_server_that_is_too_old(hello: bytes, is_of: str) -> None:
    """There is none to try it with: it answers as they do."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"cowrite-broker\r\n")
        writer.write(hello)

    async with talking(answer) as url:
        with pytest.raises(BrokerSetupError, match=is_of):
            await open_broker(url)


@pytest.mark.rule("BR24")
async def test_a_server_that_does_not_answer_is_as_one_that_is_down(valkey: ValkeyServer) -> None:
    valkey.freeze()
    try:
        with capture_logs() as logs:
            broker = await open_broker(valkey.url)
            await broker.close()
        assert "does not answer within 1 s" in logs[0]["reason"]
    finally:
        valkey.thaw()


@pytest.mark.rule("BR9")
async def test_without_a_url_news_stays_here() -> None:
    broker = await open_broker(None)
    assert (broker.reaches_others, broker.degraded) == (False, False)


async def test_a_socket_of_the_file_system(tmp_path: Path) -> None:
    valkey = ValkeyServer(tmp_path, "--unixsocket", str(tmp_path / "s"))
    try:
        await asyncio.to_thread(valkey.start)
        async with brokers(f"unix://{tmp_path / 's'}") as [broker]:
            assert broker.reaches_others
    finally:
        await asyncio.to_thread(valkey.kill)
