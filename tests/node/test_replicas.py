"""Documents of Yjs beside the server's: what replicas write is taken, and what would make them differ is refused."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from cowrite.crdt.document import Document
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.crdt.outline import missing
from cowrite.testing.yjs_writer import Id, block, gc, shared_type, text, values, write_update
from crdt.tree_of_lists import Lists, text_of
from node_program import LedProgram, install
from yjs_replicas import FUZZ

pytestmark = [pytest.mark.timeout(120), pytest.mark.rule("GU32")]

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "replicas"


@pytest.fixture(scope="module")
def yjs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedProgram]:
    packages = install(HERE / "replicas", CACHE, HERE / "led.mjs")
    with closing(LedProgram(packages / "replicas.mjs", tmp_path_factory.mktemp("node") / "complaints")) as process:
        yield process


def read(yjs: LedProgram, *ways: Sequence[bytes]) -> list[str]:
    """The texts that browsers show who were sent these updates."""
    encoded = [[base64.b64encode(update).decode() for update in way] for way in ways]
    texts: list[str] = yjs("read", root="t", ways=encoded)
    return texts


def typed(client: int, clock: int, content: str, origin: Id | None = None, right: Id | None = None) -> bytes:
    return write_update([block(client, clock, text(content, root="t", origin=origin, right=right))])


ABCD = typed(1, 0, "abcd")
CUT = typed(2, 0, "|", (1, 0), (1, 1))
CROSSED = write_update([block(6, 0, shared_type("text", root="other"), values(1, parent=(6, 0)))])

ATTACKS = [
    # (what is there; the attack; what may come before or after it)
    pytest.param([ABCD], typed(3, 0, "x", (1, 2), (1, 1)), CUT, id="left of the left one, in one piece"),
    pytest.param([ABCD], typed(3, 0, "x", (1, 1), (1, 1)), CUT, id="the same unit"),
    pytest.param(
        [typed(33, 0, "a"), typed(11, 0, "b"), typed(11, 1, "c", (11, 0))],
        typed(36, 0, "x", None, (11, 1)),
        typed(16, 0, "y", (11, 0), (33, 0)),
        id="deeper",
    ),
    pytest.param([ABCD, CROSSED], typed(3, 0, "x", (1, 1), (6, 1)), write_update([], {6: [(0, 1)]}), id="another list"),
    pytest.param([ABCD, write_update([block(6, 0, gc(1))])], typed(3, 0, "x", (6, 0), (1, 1)), CUT, id="behind collected"),
    pytest.param([ABCD, write_update([block(6, 0, gc(1))])], typed(3, 0, "x", (1, 1), (6, 0)), CUT, id="before collected"),
]


@pytest.mark.parametrize(("there", "attack", "other"), ATTACKS)
def test_what_replicas_would_show_differently_is_refused(
    yjs: LedProgram, there: list[bytes], attack: bytes, other: bytes
) -> None:
    """Of what Yjs and the engine show in any of the two orders, and after a restart, two differ."""
    shown = set()
    for way in ([*there, attack, other], [*there, other, attack]):
        state = Document.from_log(way).encode()
        shown |= {text_of(way), text_of([state]), *read(yjs, way, [state])}
    assert len(shown) > 1
    for before in ([], [other]):
        document = Document.empty()
        for update in (*there, *before):
            document.admit(update, inspect(update))
        with pytest.raises(HostileUpdate) as refused:
            document.admit(attack, inspect(attack))
        assert refused.value.code == "neighbours"


@pytest.mark.fuzz
@pytest.mark.rule("GU35")
def test_what_is_taken_is_shown_alike_by_yjs(yjs: LedProgram) -> None:
    for seed in range(30 * FUZZ):
        rng = random.Random(seed)
        lists = Lists(rng)
        for _ in range(25):
            written = lists.write()
            if written.fits:
                lists.take(written)
        ways = [lists.in_order(rng) for _ in range(3)]
        ways += [[Document.from_log(way).encode()] for way in ways]
        assert {*read(yjs, *ways), *map(text_of, ways)} == {text_of(ways[0])}, f"seed {seed}"


RESTORED_OUT_OF_ORDER = {211, 315, 459, 1076}
"""The seeds below 1400 with which Yjs writes something as in the last test here."""


def exchanged(yjs: LedProgram, seed: int) -> tuple[list[str], bool]:
    """Apply what replicas of Yjs have written. Returns why some was refused, and whether the replicas end with the same."""
    rng = random.Random(seed)
    edited = yjs("edit", seed=seed)
    waiting = [base64.b64decode(update) for update in edited["written"]]
    codes = []
    document = Document.empty()
    while waiting:
        early = []
        if seed % 2:
            rng.shuffle(waiting)
        for update in waiting:
            outline = inspect(update, SYNC_LIMITS)
            if missing(outline, document.state):
                early.append(update)
                continue
            try:
                document.admit(update, outline)
            except HostileUpdate as refused:
                codes.append(refused.code)
                document.apply(update, outline)
        assert len(early) < len(waiting)
        waiting = early
    return codes, edited["alike"]


@pytest.mark.fuzz
@pytest.mark.rule("GU1", "GU35")
def test_what_yjs_writes_is_taken(yjs: LedProgram) -> None:
    """People who type at one place, format, delete, undo and redo, also what others have deleted around it."""
    seeds = range(min(60 * FUZZ, 1400))
    for seed in seeds:
        codes, alike = exchanged(yjs, seed)
        assert codes == ["neighbours"] * (seed in RESTORED_OUT_OF_ORDER), f"seed {seed}"
        assert alike, f"seed {seed}"


@pytest.mark.rule("GU1", "GU35")
@pytest.mark.parametrize("seed", [165, 1093])
def test_yjs_may_name_one_unit_twice_when_it_restores(yjs: LedProgram, seed: int) -> None:
    """Undo brings back a list and, in it, something that stood behind what had been brought back itself."""
    assert exchanged(yjs, seed) == ([], True)


@pytest.mark.rule("GU35")
def test_what_yjs_restores_out_of_order_is_refused(yjs: LedProgram) -> None:
    """Yjs's own replicas end with different documents."""
    assert exchanged(yjs, 1566) == (["neighbours"], False)
