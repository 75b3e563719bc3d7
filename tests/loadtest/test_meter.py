"""What is counted, and how."""

from __future__ import annotations

import json
import random
import statistics

import pytest

from cowrite.loadtest.edits import YjsTypist, token
from cowrite.loadtest.frames import STEP_2, FrameCache, Reader
from cowrite.loadtest.generator import Generator, Storm
from cowrite.loadtest.histogram import Histogram
from cowrite.loadtest.meter import Meter, Second, second_from_json, second_to_json
from cowrite.loadtest.plan import Plan
from cowrite.loadtest.report.aggregation import Course, gather
from cowrite.protocol import yjs
from cowrite.protocol.hocuspocus import HocuspocusDialect
from cowrite.protocol.messages import SyncStep2, Update


@pytest.mark.rule("LG6")
def test_quantiles() -> None:
    """To within 1 % of the exact ones."""
    rng = random.Random(1)
    durations = [rng.lognormvariate(3, 1) for _ in range(20_000)]
    histogram = Histogram()
    histogram.add(durations[:5000])
    other = Histogram()
    other.add(durations[5000:])
    histogram.join(Histogram.from_json(json.loads(json.dumps(other.to_json()))))
    exact = statistics.quantiles(durations, n=100)
    assert [histogram.quantile(share) for share in (0.5, 0.95, 0.99)] == pytest.approx(
        [exact[49], exact[94], exact[98]], rel=0.01
    )
    assert histogram.longest == max(durations)
    assert histogram.quantile(1) == pytest.approx(max(durations), rel=0.01)
    assert sum(count for _, count in histogram.pairs()) == len(histogram) == 20_000


def test_no_durations() -> None:
    histogram = Histogram()
    histogram.add([])
    assert (len(histogram), histogram.quantile(0.5)) == (0, 0.0)


@pytest.mark.rule("LG3")
def test_frames_tell_the_edits_that_count() -> None:
    """Those sent before are none, and whose each is, is known; the same in both dialects."""
    reader = Reader()
    reader.since = 100
    typist = YjsTypist(3, 0, random.Random(1))
    update = typist.type(token(3, 99) + token(3, 100) + token(4, 200))
    for frame in (
        reader.yjs(yjs.encode(Update(update))),
        reader.hocuspocus(HocuspocusDialect("doc").encode(Update(update))),
    ):
        assert (frame.count, frame.times, frame.numbers) == (2, (100, 200), (3, 4))
        assert {number: count for number, (count, _) in frame.own.items()} == {3: 1, 4: 1}
        assert sum(total for _, total in frame.own.values()) == frame.sum
    state = reader.yjs(yjs.encode(SyncStep2(update)))
    assert (state.kind, state.count) == (STEP_2, 0)


def test_frames_are_read_once() -> None:
    """Until they have not come for two turns."""
    read: list[bytes] = []
    reader = Reader()

    def reads(data: bytes) -> object:
        read.append(data)
        return reader.yjs(data)

    cache = FrameCache(reads)  # type: ignore[arg-type]
    first = cache.look(b"\x00\x00\x00")
    assert cache.current[b"\x00\x00\x00"] is first
    cache.turn()
    assert cache.look(b"\x00\x00\x00") is first
    cache.turn()
    cache.turn()
    assert cache.look(b"\x00\x00\x00") is not first
    assert len(read) == 2


@pytest.mark.rule("LG9")
def test_seconds_of_two_processes_are_one() -> None:
    """Sums, and a common histogram."""
    meters = Meter(), Meter()
    whole = Second(0)
    for times, meter in enumerate(meters, 1):
        meter.latencies += [10.0 * times]
        meter.deliveries, meter.frames, meter.bytes, meter.edits = times, 2 * times, 3 * times, 4 * times
        whole.join(second_from_json(json.loads(json.dumps(second_to_json(meter.tick(0))))))
    assert (whole.deliveries, whole.frames, whole.bytes, whole.edits) == (3, 6, 9, 12)
    assert (len(whole.latency), whole.latency.longest) == (2, 20.0)


@pytest.mark.rule("LG4")
@pytest.mark.parametrize(("arrived", "missing"), [((100, 200), 0), ((100, 100), 1), ((200, 200), 1)])
async def test_one_that_is_missing_shows_though_another_came_twice(arrived: tuple[int, ...], missing: int) -> None:
    """As many as there should be, but not the same ones."""
    generator = Generator(Plan(url="http://127.0.0.1:1", people=2, typing=1, replicas=0))
    generator.crew.reader.since = 0
    author, reader = generator.people
    typist = YjsTypist(author.number, 0, random.Random(1))
    frames = {at: generator.crew.reader.yjs(yjs.encode(Update(typist.type(token(author.number, at))))) for at in (100, 200)}
    author.typed, author.typed_sum = 2, sum(frame.sum for frame in frames.values())
    for at in arrived:
        reader.took(frames[at])
    assert generator.lacking(generator.typed()) == (missing, 0)


@pytest.mark.rule("LG8")
def test_the_others_latency_while_a_storm_lasts() -> None:
    """Not before it, and not after."""
    meter = Meter()
    for second, storming in enumerate((False, True, False)):
        meter.storming = storming
        meter.latencies += [10.0 + second]
        meter.tick(second)
    assert (len(meter.during_storm), meter.during_storm.longest) == (1, 11.0)
    assert len(meter.latency) == 3


@pytest.mark.rule("LG19")
async def test_the_memory_of_a_storm_is_that_of_its_time() -> None:
    """What the server used before and after is more here, and does not count."""
    plan = Plan(url="http://127.0.0.1:1", people=2, join_storm=2)
    generator = Generator(plan)
    generator.storm = Storm(Histogram(), began=10.0, ended=20.0)
    memory = [(4.0, 90.0), (9.0, 30.0), (10.0, 40.0), (11.0, 50.0), (20.0, 60.0), (20.1, 80.0)]
    course = Course("", 0.0, 30.0, Histogram(), 1.0, None, None, (), memory)
    storm = gather(plan, course, [generator.outcome({})]).storm
    assert storm is not None
    assert (storm.memory_before_bytes, storm.memory_peak_bytes, storm.all_seconds) == (40.0, 60.0, 10.0)


@pytest.mark.rule("LG21")
def test_what_was_late_before_it_counts_is_forgotten() -> None:
    meter = Meter()
    meter.lateness += [500.0]
    meter.missed = 7
    meter.begin()
    meter.lateness += [1.0]
    meter.tick(0)
    assert (len(meter.late_by), meter.late_by.longest, meter.missed) == (1, 1.0, 0)
