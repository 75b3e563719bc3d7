"""Real processes that look at a large update, and what kills them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from core.rooms.large_updates_tools import LONG, embeds
from cowrite.core.imports import process as module
from cowrite.core.imports.process import ImportKilled, ImportProcess, ImportRefused, ImportUnavailable
from cowrite.core.imports.work import SLICE_PARTS
from cowrite.core.limits import Limits
from cowrite.testing.yjs_writer import block, gc, text, varuint, write_update

EMPTY = b"\0"
"""The state vector of an empty document."""

HOSTILE = write_update([block(1, 0, text("x" * 20_000_000, root="t"), *[gc(1)] * 100_000)]) + b"\x00"


def fate_of(process: ImportProcess, update: bytes = LONG) -> ImportRefused:
    try:
        with pytest.raises(ImportRefused) as caught:
            process.begin(update, EMPTY)
    finally:
        process.kill()
        process.close()
    return caught.value


@pytest.mark.rule("IM1")
def test_an_update_goes_there_and_comes_back_in_slices() -> None:
    process = ImportProcess(Limits())
    try:
        assert process.begin(embeds(2 * SLICE_PARTS), EMPTY) == (True, {})
        assert len(list(process.slices())) == 2
    finally:
        process.kill()
        process.close()


@pytest.mark.rule("IM1", "IM2")
def test_what_contradicts_is_told_after_the_comparison() -> None:
    process = ImportProcess(Limits())
    try:
        assert process.begin(embeds(3), b"\x01\x01\x02") == (True, {1: 0})
        process.compare(embeds(2).replace(b"\x01t", b"\x01u"))
        with pytest.raises(ImportRefused) as caught:
            next(process.slices())
        assert caught.value.contradicts
        assert caught.value.limit is None
    finally:
        process.kill()
        process.close()


@pytest.mark.rule("IM2")
def test_20_megabytes_that_are_hostile_at_their_end() -> None:
    assert len(HOSTILE) > 20_000_000
    refused = fate_of(ImportProcess(Limits()), HOSTILE)
    assert refused.reason == "1 bytes follow its end"
    assert (refused.limit, refused.fault) == (None, "trailing")


@pytest.mark.rule("IM3")
def test_too_much_cpu_time() -> None:
    refused = fate_of(ImportProcess(replace(Limits(), import_cpu_seconds=1)))
    assert refused.limit == "import_cpu_seconds"
    assert "1 s of CPU time" in refused.reason


@pytest.mark.rule("IM7")
def test_what_it_has_used_is_known_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when somebody else has made it end; not where the system does not tell."""
    process = ImportProcess(replace(Limits(), import_cpu_seconds=1))
    assert fate_of(process).limit == "import_cpu_seconds"
    assert 0.05 < process.cpu_seconds < 3
    process = ImportProcess(Limits())
    timer = threading.Timer(0.6, process.kill)
    timer.start()
    with pytest.raises(ImportKilled):
        process.begin(LONG, EMPTY)
    process.close()
    assert 0 < process.cpu_seconds < 3
    monkeypatch.delattr(os, "wait4")
    process = ImportProcess(Limits())
    process.begin(embeds(2), EMPTY)
    process.kill()
    process.close()
    assert process.cpu_seconds == 0


@pytest.mark.rule("IM3")
def test_too_much_memory() -> None:
    refused = fate_of(ImportProcess(replace(Limits(), import_memory_bytes=64 << 20)), HOSTILE)
    assert refused.limit == "import_memory_bytes"
    assert "64 MB" in refused.reason


@pytest.mark.rule("IM3")
def test_too_long_on_the_clock_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has stopped it, perhaps."""
    monkeypatch.setattr(module, "_LATE", 0.001)
    assert fate_of(ImportProcess(Limits())).limit == "import_cpu_seconds"


@pytest.mark.rule("IM3")
def test_a_crash_is_the_end_of_that_process_alone() -> None:
    process = ImportProcess(Limits())
    start = process._start

    def started() -> None:
        start()
        assert process._process is not None
        os.kill(process._process.pid, signal.SIGSEGV)

    process._start = started  # type: ignore[method-assign]
    refused = fate_of(process)
    assert refused.limit == "import_crashed"
    assert "-11" in refused.reason


@pytest.mark.rule("IM6")
@pytest.mark.parametrize(
    ("ends", "limit"), [("os._exit(3)", "import_memory_bytes"), ("", "import_crashed")], ids=["memory", "odd"]
)
def test_a_process_that_says_something_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: str, limit: str) -> None:
    """It has no memory left, not even to say so; or it speaks out of turn."""
    says = "write_frame(sys.stdout.buffer, Kind.END)"
    (tmp_path / "odd_child.py").write_text(
        f"import os, sys\nfrom cowrite.core.imports.frames import Kind, write_frame\n{ends or says}\nsys.stdin.buffer.read()\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), *filter(None, sys.path))))
    monkeypatch.setattr(module, "_MODULE", "odd_child")
    assert fate_of(ImportProcess(Limits()), embeds(10)).limit == limit


@pytest.mark.rule("IM3")
def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    process = ImportProcess(Limits())
    with pytest.raises(ImportUnavailable):
        process.begin(LONG, EMPTY)
    process.kill()
    process.close()


@pytest.mark.rule("IM4")
def test_it_is_killed_before_it_begins_and_while_it_looks() -> None:
    process = ImportProcess(Limits())
    process.kill()
    with pytest.raises(ImportKilled):
        process.begin(LONG, EMPTY)
    process = ImportProcess(Limits())
    timer = threading.Timer(0.3, process.kill)
    timer.start()
    with pytest.raises(ImportKilled):
        process.begin(LONG, EMPTY)
    timer.join()
    process.close()
    assert process._process is not None
    assert process._process.returncode == -signal.SIGKILL


@pytest.mark.rule("IM5")
def test_it_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COWRITE_SECRET", "a secret that a child must not have")
    process = ImportProcess(Limits())
    try:
        process.begin(embeds(2), EMPTY)
        assert process._process is not None
        environment = Path(f"/proc/{process._process.pid}/environ")
        if environment.exists():
            assert b"COWRITE_SECRET" not in environment.read_bytes()
            assert b"PATH" in environment.read_bytes()
    finally:
        process.kill()
        process.close()


@pytest.mark.rule("IM6")
def test_many_clients_are_told_of() -> None:
    """What the document holds of each is asked for, which is longer than the update was."""
    limits = Limits()
    clients = range(100, 30_100)
    update = write_update([block(client, 0, gc(1)) for client in clients])
    process = ImportProcess(limits)
    try:
        known = varuint(len(clients)) + b"".join(varuint(client) + varuint(1) for client in clients)
        whole, starts = process.begin(update, known)
        assert (whole, len(starts)) == (True, len(clients))
    finally:
        process.kill()
        process.close()
