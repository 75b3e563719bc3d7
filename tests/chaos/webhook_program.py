"""A process that writes to documents and tells of them by webhooks, until it is killed.

``URL RECEIVER NUMBER``: opens the database, writes NUMBER entries (0: none, it only tells) to three documents, and goes on
telling. Prints ``started``.
"""

from __future__ import annotations

import asyncio
import sys

from cowrite.core.clock import SystemClock
from cowrite.core.event_types import EventType
from cowrite.core.ids import Ids
from cowrite.core.ports import News, Storage
from cowrite.stores import open_store
from cowrite.testing.records import make_entry, new_id
from cowrite.webhooks.receiver import Receiver
from cowrite.webhooks.sender import SenderTimes, WebhookSender
from webhook_receiver import KEY

TIMES = SenderTimes(pause=0.01, schedule=(0.05,) * 100, look=0.05, sweep=0.1, claim=0.3)
DOCUMENTS = ("a", "b", "c")


async def write(storage: Storage, sender: WebhookSender, number: int) -> None:
    for turn in range(number):
        name = DOCUMENTS[turn % 3]
        async with storage.store.writing([name], wait=5.0) as transaction:
            offset = transaction.heads[name].offset + 1
            await transaction.append(name, [make_entry(offset)])
        sender.committed(News(name, "", offset, ()))
        await asyncio.sleep(0.005)


async def main(url: str, receiver: str, number: str) -> None:
    storage = await open_store(url)
    clock = SystemClock()
    assert storage.webhooks is not None
    await storage.webhooks.begin()
    to = Receiver(receiver)
    wanted = tuple(EventType)
    sender = WebhookSender(storage.webhooks, to, [KEY], clock, Ids(clock), process=new_id(), wanted=wanted, times=TIMES)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sender.run())
        print("started", flush=True)
        tasks.create_task(write(storage, sender, int(number)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
