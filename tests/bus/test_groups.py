import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
import structlog

from heliograph.bus.dead_letters import DeadLetter, DeadLetters, dead_key
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.bus.groups import GONE, TOO_OFTEN, Consumer, Terms
from heliograph.bus.link import Link, open_link
from heliograph.bus.reader import Entry
from heliograph.errors import BusError, ConfigError, DecodeError
from tests.bus.proxy import Proxy

GROUP = "custodian"
FAST = Terms(retry_s=0.01, retry_max_s=0.04, backoff_max_s=0.05)
MORTAL = Terms(retry_s=0.01, retry_max_s=0.04, backoff_max_s=0.05, dead_after_s=0.6)
"""For tests of death alone: on a busy machine the living may be silent for so long."""
PROGRAM = Path(__file__).parent / "consuming.py"


@pytest.fixture(autouse=True)
def plain_logs() -> None:
    """Let a traceback be told as in production: the coloured one takes half a second, and holds up everything."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])


class Stream:
    """One test's own stream, and a link to look at it by."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.link: Link

    async def add(self, *values: object) -> list[str]:
        return [(await self.link.request("XADD", self.name, "*", "data", str(v))).decode() for v in values]

    async def pending(self, group: str = GROUP) -> int:
        number: int = (await self.link.request("XPENDING", self.name, group))[0]
        return number

    async def given(self, name: str) -> list[bytes]:
        values: list[bytes] = await self.link.request("LRANGE", f"{self.name}:given:{name}", 0, -1)
        return values

    async def letters(self) -> list[DeadLetter]:
        async with DeadLetters(self.server.url, self.name) as dead:
            return await dead.page()

    def consumer(self, name: str = "one", terms: Terms = FAST, url: str | None = None) -> Consumer:
        return Consumer(url or self.server.url, self.name, GROUP, name, terms=terms)


@pytest.fixture
async def stream(matrix_server: Server, request: pytest.FixtureRequest) -> AsyncIterator[Stream]:
    made = Stream(matrix_server, request.node.originalname)
    made.link = await open_link(matrix_server.endpoint, name="test", timeout_s=5)
    yield made
    await made.link.request("DEL", made.name, dead_key(made.name))
    made.link.abort("done")


class Seen:
    """A handler that notes what it is given, and raises where it is told to."""

    def __init__(self, *bad: bytes, error: type[Exception] = ValueError, times: int = 1000) -> None:
        self.data: list[bytes] = []
        self._bad = dict.fromkeys(bad, times)
        self._error = error
        self._changed = asyncio.Event()

    async def __call__(self, entry: Entry) -> None:
        self.data.append(entry.data)
        self._changed.set()
        if self._bad.get(entry.data):
            self._bad[entry.data] -= 1
            raise self._error("hush")

    async def until(self, enough: Callable[[list[bytes]], bool]) -> None:
        async with asyncio.timeout(20):
            while not enough(self.data):
                self._changed.clear()
                await self._changed.wait()


async def until(enough: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await enough():  # noqa: ASYNC110 (the server says nothing of itself)
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(consumer: Consumer, handler: Callable[[Entry], Awaitable[None]]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(consumer.run(handler))
    try:
        async with asyncio.timeout(20):
            await consumer.ready.wait()
        yield task
        consumer.stop()
        async with asyncio.timeout(20):
            await task
    finally:
        task.cancel()
        await asyncio.wait([task])


@contextlib.asynccontextmanager
async def process(stream: Stream, name: str, then: str, **terms: float) -> AsyncIterator[asyncio.subprocess.Process]:
    settings = {"then": then, "retry_s": 0.01, "dead_after_s": 0.6, **terms}
    arguments = (str(PROGRAM), stream.server.url, stream.name, GROUP, name, json.dumps(settings))
    child = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def test_entries_from_before_and_after_are_handled_in_order_and_acknowledged(stream: Stream) -> None:
    await stream.add(0, 1)
    seen, consumer = Seen(), stream.consumer()
    async with running(consumer, seen):
        await stream.add(2, 3)
        await seen.until(lambda data: len(data) == 4)
    assert seen.data == [b"0", b"1", b"2", b"3"]
    assert await stream.pending() == 0
    assert (consumer.counts.handled, consumer.counts.failed, consumer.counts.reconnects) == (4, 0, 0)


async def test_two_consumers_share_and_two_groups_do_not(stream: Stream) -> None:
    seen, other = Seen(), Seen()
    elsewhere = Consumer(stream.server.url, stream.name, "auditor", "one", terms=FAST)
    async with running(stream.consumer("a"), seen), running(stream.consumer("b"), seen), running(elsewhere, other):
        await stream.add(*range(50))
        await seen.until(lambda data: len(data) == 50)
        await other.until(lambda data: len(data) == 50)
    assert sorted(seen.data) == sorted(other.data)
    assert other.data == [b"%d" % n for n in range(50)]


async def test_a_failure_is_surfaced_tried_again_and_holds_up_nobody(
    stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    seen, consumer = Seen(b"bad", times=2), stream.consumer()
    await stream.add("bad", "good", "better")
    async with running(consumer, seen):
        await seen.until(lambda data: data.count(b"bad") == 3)
    assert [data for data in seen.data if data != b"bad"] == [b"good", b"better"]
    assert seen.data[:2] == [b"bad", b"good"], "the stream's order, and nobody waits for the pause"
    assert await stream.pending() == 0
    assert (consumer.counts.handled, consumer.counts.failed, consumer.counts.buried) == (3, 2, 0)
    assert "a handler failed" in (said := capsys.readouterr().out)
    assert "ValueError: hush" in said


async def test_what_fails_too_often_is_buried_and_can_be_sent_again(stream: Stream) -> None:
    seen, consumer = Seen(b"bad", times=5), stream.consumer()
    async with running(consumer, seen):
        (bad,) = await stream.add("bad")
        await until(lambda: _is(stream.letters, 1))
        (letter,) = await stream.letters()
        assert (letter.source_id, letter.group, letter.deliveries) == (bad, GROUP, 5)
        assert letter.reason == "ValueError: hush"
        assert letter.fields == {b"data": b"bad"}
        assert seen.data.count(b"bad") == 5
        assert await stream.pending() == 0
        async with DeadLetters(stream.server.url, stream.name) as dead:
            sent = await dead.replay([letter.id, "1-1"])
            assert list(sent) == [letter.id]
            assert await dead.count() == 0
            assert await dead.replay([letter.id]) == {}
        await seen.until(lambda data: data.count(b"bad") == 6)
    assert consumer.counts.buried == 1


async def _is(asked: Callable[[], Awaitable[Sequence[object]]], count: int) -> bool:
    return len(await asked()) == count


async def test_bytes_that_cannot_be_read_are_not_read_twice(stream: Stream) -> None:
    seen = Seen(b"bad", error=DecodeError)
    async with running(stream.consumer(), seen):
        await stream.add("bad", "good")
        await seen.until(lambda data: b"good" in data)
        await until(lambda: _is(stream.letters, 1))
    assert seen.data == [b"bad", b"good"]


async def test_one_bad_entry_of_a_batch_costs_no_other(stream: Stream) -> None:
    batches: list[list[bytes]] = []

    async def handle(entries: Sequence[Entry]) -> None:
        batches.append([entry.data for entry in entries])
        if b"3" in batches[-1]:
            raise ValueError("3 is bad")

    await stream.add(*range(6))
    consumer = stream.consumer()
    task = asyncio.ensure_future(consumer.run_batches(handle, 4))
    await until(lambda: _is(stream.letters, 1))
    consumer.stop()
    await task
    assert batches[0] == [b"0", b"1", b"2", b"3"]
    assert [b"4", b"5"] in batches
    assert [batch for batch in batches if len(batch) == 1] == [[b"0"], [b"1"], [b"2"], *[[b"3"]] * 4]
    assert await stream.pending() == 0


async def test_so_many_may_wait_and_then_nothing_more_is_fetched(stream: Stream) -> None:
    terms = Terms(retry_s=0.2, retry_max_s=0.2, waiting_max=2, count_max=1, deliveries_max=2)
    seen, consumer = Seen(b"0", b"1", times=1), stream.consumer(terms=terms)
    async with running(consumer, seen):
        await stream.add(0, 1, 2)
        await seen.until(lambda data: len(data) == 5)
    assert seen.data.index(b"2") > 2


async def test_a_stop_finishes_what_was_delivered_and_wakes_the_read(stream: Stream) -> None:
    started, finish = asyncio.Event(), asyncio.Event()
    handled: list[bytes] = []

    async def handle(entry: Entry) -> None:
        started.set()
        await finish.wait()
        handled.append(entry.data)

    await stream.add(0, 1)
    consumer = stream.consumer(terms=Terms(block_s=60.0))
    async with running(consumer, handle) as task:
        await started.wait()
        consumer.stop()
        await asyncio.sleep(0)
        assert not task.done()
        finish.set()
        async with asyncio.timeout(5):
            await task
    assert handled == [b"0", b"1"]
    assert await stream.pending() == 0
    idle = stream.consumer(terms=Terms(block_s=60.0))
    async with running(idle, handle) as task:
        while not idle._reading:  # noqa: ASYNC110 (that is what the stop has to hit)
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            idle.stop()
            await task


async def test_a_stop_is_bounded_and_what_is_not_done_stays_ours(stream: Stream) -> None:
    started = asyncio.Event()

    async def handle(_: Entry) -> None:
        started.set()
        await asyncio.Event().wait()

    await stream.add(0)
    consumer = stream.consumer(terms=Terms(drain_s=0.05))
    async with running(consumer, handle) as task:
        await started.wait()
        consumer.stop()
        await task
    assert await stream.pending() == 1
    seen = Seen()
    async with running(stream.consumer(), seen):
        await seen.until(lambda data: data == [b"0"])


async def test_a_cancelled_consumer_loses_nothing(stream: Stream) -> None:
    seen = Seen()
    for number in range(20):
        consumer = stream.consumer()
        task = asyncio.ensure_future(consumer.run(seen))
        await stream.add(number)
        for _ in range(number):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with running(stream.consumer(), seen):
        await seen.until(lambda data: len(set(data)) == 20)
    assert await stream.pending() == 0


async def test_a_group_that_is_gone_is_made_again_from_the_beginning(stream: Stream) -> None:
    seen, consumer = Seen(), stream.consumer()
    async with running(consumer, seen):
        await stream.add(0)
        await seen.until(lambda data: data == [b"0"])
        await stream.link.request("XGROUP", "DESTROY", stream.name, GROUP)
        await stream.add(1)
        await seen.until(lambda data: data[1:] == [b"0", b"1"])
        await stream.link.request("DEL", stream.name)
        await stream.add(2)
        await seen.until(lambda data: data[-1] == b"2")
    assert consumer.counts.groups_made_again == 2
    assert await stream.pending() == 0


async def test_cuts_lose_nothing_and_what_was_handled_is_not_handled_again(stream: Stream) -> None:
    seen = Seen()
    async with Proxy(stream.server.port) as proxy:
        consumer = stream.consumer(url=proxy.url)
        async with running(consumer, seen):
            for number in range(5):
                await stream.add(number)
                await seen.until(lambda data: len(data) == number + 1)  # noqa: B023
                proxy.cut()
        assert consumer.counts.reconnects > 0
    assert seen.data == [b"%d" % number for number in range(5)]
    assert await stream.pending() == 0


async def test_a_killed_server_is_read_on_and_knows_what_was_handled(server_binary: Path) -> None:
    seen = Seen()
    async with Server(binary=server_binary, appendfsync="always") as server:
        stream = Stream(server, "s")
        stream.link = await open_link(server.endpoint, name="test", timeout_s=5)
        consumer = stream.consumer()
        async with running(consumer, seen):
            await stream.add(0)
            await seen.until(lambda data: data == [b"0"])
            await until(lambda: _none(stream))
            await server.restart()
            stream.link = await open_link(server.endpoint, name="test", timeout_s=5)
            await stream.add(1)
            await seen.until(lambda data: len(data) == 2)
        stream.link.abort("done")
    assert seen.data == [b"0", b"1"]
    assert (consumer.counts.reconnects > 0, consumer.counts.groups_made_again) == (True, 0)


async def test_a_killed_consumers_entries_are_claimed_once_by_another(stream: Stream) -> None:
    await stream.add(*range(10))
    async with process(stream, "dead", "hang") as child:
        await until(lambda: _is(lambda: stream.given("dead"), 1))
        child.send_signal(signal.SIGKILL)
        await child.wait()
    assert await stream.pending() == 10
    seen, others = Seen(), [stream.consumer(f"heir-{n}", MORTAL) for n in range(2)]
    async with running(others[0], seen), running(others[1], seen):
        await seen.until(lambda data: len(data) == 10)
        await until(lambda: _none(stream))
    assert sorted(seen.data) == [b"%d" % n for n in range(10)], "each once"
    assert sum(heir.counts.claimed for heir in others) == 10


async def test_of_many_pending_entries_no_more_are_taken_up_than_may_wait(stream: Stream) -> None:
    await stream.link.request("XGROUP", "CREATE", stream.name, GROUP, "0", "MKSTREAM")
    await stream.add(*range(20))
    for name in ("dead", "one"):
        await stream.link.request("XREADGROUP", "GROUP", GROUP, name, "COUNT", 10, "STREAMS", stream.name, ">")
    terms = Terms(dead_after_s=0.2, waiting_max=3)
    seen, consumer = Seen(), stream.consumer(terms=terms)
    async with running(consumer, seen):
        await seen.until(lambda data: len(data) == 20)
        await until(lambda: _none(stream))
    assert seen.data == [b"%d" % n for n in (*range(10, 20), *range(10))], "its own first"
    assert consumer.counts.claimed == 10


async def _none(stream: Stream) -> bool:
    return await stream.pending() == 0


async def test_nothing_is_taken_from_the_living_however_slow(stream: Stream) -> None:
    await stream.add(0, 1)
    busy = asyncio.Event()
    release = asyncio.Event()

    async def slow(_: Entry) -> None:
        busy.set()
        await release.wait()

    terms = Terms(dead_after_s=1.0)
    seen, other = Seen(), stream.consumer("other", terms)
    async with running(stream.consumer("slow", terms), slow):
        await busy.wait()
        async with running(other, seen):
            await until(lambda: _abandoned(stream, b"slow", 1.5 * terms.dead_after_s))
        release.set()
    assert (seen.data, other.counts.claimed) == ([], 0)


async def _abandoned(stream: Stream, consumer: bytes, idle_s: float) -> bool:
    rows = await stream.link.request("XPENDING", stream.name, GROUP, "-", "+", 10)
    assert {row[1] for row in rows} == {consumer}
    return rows[0][2] > idle_s * 1000


async def test_who_slept_lets_go_of_what_was_taken_meanwhile(stream: Stream) -> None:
    await stream.add(*range(4))
    async with process(stream, "sleeper", "sleep") as child:
        await until(lambda: _is(lambda: stream.given("sleeper"), 1))
        seen = Seen()
        async with running(stream.consumer("heir", MORTAL), seen):
            await seen.until(lambda data: len(data) == 4)
            await until(lambda: _none(stream))
        assert seen.data == [b"0", b"1", b"2", b"3"]
        os.kill(child.pid, signal.SIGCONT)
        await stream.add("later")
        await until(lambda: _is(lambda: stream.given("sleeper"), 2))
        assert await stream.given("sleeper") == [b"0", b"later"]


async def test_who_comes_to_a_server_that_was_away_lets_the_living_say_so_first(stream: Stream) -> None:
    await stream.add(0)
    other = stream.consumer(terms=MORTAL)
    await stream.link.request("XGROUP", "CREATE", stream.name, GROUP, "0")
    await stream.link.request("XREADGROUP", "GROUP", GROUP, "quiet", "STREAMS", stream.name, ">")
    await until(lambda: _abandoned(stream, b"quiet", 0.7))
    seen = Seen()
    loop = asyncio.get_running_loop()
    async with running(other, seen):
        since_s = loop.time()
        await seen.until(lambda data: data == [b"0"])
        assert loop.time() - since_s > 0.5


async def test_an_entry_that_kills_its_process_is_buried_and_its_neighbours_live(stream: Stream) -> None:
    await stream.add("poison", "good")
    for _ in range(3):
        async with process(stream, "phoenix", "die", deliveries_max=3, dead_after_s=30) as child:
            assert await asyncio.wait_for(child.wait(), 20) == -signal.SIGKILL
    async with process(stream, "phoenix", "die", deliveries_max=3, dead_after_s=30):
        await until(lambda: _is(stream.letters, 1))
        await until(lambda: _none(stream))
    assert await stream.given("phoenix") == [*[b"poison"] * 3, b"good"]
    (letter,) = await stream.letters()
    assert (letter.deliveries, letter.reason) == (3, TOO_OFTEN)


async def test_an_entry_that_was_deleted_under_us_leaves_a_letter(stream: Stream) -> None:
    seen, consumer = Seen(b"bad"), stream.consumer(terms=Terms(retry_s=0.05))
    async with running(consumer, seen):
        (bad,) = await stream.add("bad")
        await seen.until(lambda data: data == [b"bad"])
        await stream.link.request("XDEL", stream.name, bad)
        await until(lambda: _is(stream.letters, 1))
        await until(lambda: _none(stream))
    (letter,) = await stream.letters()
    assert (letter.source_id, letter.reason, letter.fields) == (bad, GONE, {})
    async with DeadLetters(stream.server.url, stream.name) as dead:
        assert await dead.replay([letter.id]) == {}


async def test_what_is_refused_for_good_is_raised(stream: Stream) -> None:
    await stream.link.request("SET", stream.name, "x")
    with pytest.raises(BusError, match="rename or delete") as caught:
        await stream.consumer().run(Seen())
    assert caught.value.code == "WRONGTYPE"
    with pytest.raises(ConfigError, match="drain_s is 0"):
        Terms(drain_s=0)
    with pytest.raises(ConfigError, match="could not be loaded"):
        await Consumer("rediss://127.0.0.1?ssl_ca_certs=/nowhere", stream.name, GROUP, "one").run(Seen())


async def test_a_user_that_may_not_unblock_stops_all_the_same(stream: Stream) -> None:
    rights = [
        "reset",
        "on",
        ">x",
        f"~{stream.name}*",
        "-@all",
        "+@stream",
        "+hello",
        "+auth",
        "+client|setname",
        "+multi",
    ]
    await stream.link.request("ACL", "SETUSER", "plain", *rights)
    seen = Seen()
    endpoint = parse_url(stream.server.url, username="plain", password="x")
    consumer = Consumer(endpoint, stream.name, GROUP, "one", terms=Terms(block_s=0.2))
    async with running(consumer, seen):
        await stream.add(0)
        await seen.until(lambda data: data == [b"0"])
    assert await stream.pending() == 0


async def test_a_replica_that_is_wiped_is_read_on(matrix_pair: Pair) -> None:
    stream = Stream(matrix_pair.replica, "exchange:stream:A")
    stream.link = await open_link(stream.server.endpoint, name="test", timeout_s=5)
    seen, consumer = Seen(), stream.consumer()
    async with running(consumer, seen):
        await stream.add(0)
        await seen.until(lambda data: data == [b"0"])
        await matrix_pair.primary.restart()
        await matrix_pair.linked()
        if stream.link.lost is not None:
            stream.link = await open_link(stream.server.endpoint, name="test", timeout_s=5)
        await stream.add(1)
        await seen.until(lambda data: data[-1] == b"1")
    assert consumer.counts.groups_made_again >= 1
    stream.link.abort("done")
