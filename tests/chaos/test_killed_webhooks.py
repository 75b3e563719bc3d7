"""Webhooks of processes that are killed at any moment: nothing is lost, and the order stays."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path

import pytest

from timing import MS
from webhook_receiver import WebhookReceiver, webhook_receiver

PROGRAM = Path(__file__).with_name("webhook_program.py")
ENTRIES = 5000


def start(url: str, receiver: WebhookReceiver, number: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), url, receiver.url, str(number)]
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def spans(receiver: WebhookReceiver, document_id: str) -> list[tuple[int, int]]:
    """What was told of a document: a message that came several times came so before the next one."""
    ids = [
        (one.id, one.data["after"], one.data["offset"]) for one in receiver.accepted if one.data["document_id"] == document_id
    ]
    once = [one for one, _ in groupby(ids)]
    assert len({one[0] for one in once}) == len(once), "a message came again behind another one"
    return [(after, until) for _, after, until in once]


@pytest.mark.chaos
@pytest.mark.rule("WH6")
def test_processes_that_are_killed(tmp_path: Path) -> None:
    """Two of them on one database; while some are killed, others go on."""
    url, dice = f"sqlite:///{tmp_path / 'cowrite.db'}", random.Random(7)
    with webhook_receiver() as receiver:
        running = [start(url, receiver, ENTRIES), start(url, receiver, 0)]
        for _ in range(4):
            told = len(receiver.accepted)
            deadline = time.monotonic() + 20_000 * MS
            while len(receiver.accepted) < told + 10 and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(dice.uniform(0, 0.05))
            kill(running.pop(0))
            running.append(start(url, receiver, ENTRIES))
        for process in running:
            kill(process)
        last = start(url, receiver, 3)  # one entry more for each document
        heads: dict[str, int] = {}
        deadline = time.monotonic() + 20_000 * MS
        while time.monotonic() < deadline:
            now = {name: spans(receiver, name)[-1][1] for name in "abc"}
            if now == heads and len(receiver.accepted) == len(receiver.received):
                break
            heads = now
            time.sleep(1.0)
        kill(last)
    for name in "abc":
        told_spans = spans(receiver, name)
        assert [after for after, _ in told_spans] == [0, *(until for _, until in told_spans[:-1])]
        assert told_spans[-1][1] == head(tmp_path / "cowrite.db", name)


def head(path: Path, name: str) -> int:
    connection = sqlite3.connect(path)
    try:
        (found,) = connection.execute("SELECT head_offset FROM documents WHERE document_id = ?", [name]).fetchone()
    finally:
        connection.close()
    number: int = found
    return number
