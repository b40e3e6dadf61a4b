"""Appends to streams that are spread over the nodes of a cluster, each entry exactly once.

What a `Publisher` promises of one server, with the same means: ids of our choosing, each entry kept until it is
acknowledged and for a while longer, written again, in order, after every loss. What differs: no transaction spans two
nodes, so that an entry on its instrument's stream and its copy on the merged feed come one after the other; and a
stream's entries wait while its node is replaced, whatever the other nodes do.

A node that is replaced takes with it what it had acknowledged and not yet handed to its replica. So whenever a stream's
node changes, what was acknowledged in the last `retain_s` is written again first.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import count
from typing import Final, Self

from heliograph.bus import resp
from heliograph.bus.endpoint import Endpoint, parse_url, refusal
from heliograph.bus.entries import Half, Stream, is_too_small
from heliograph.bus.hold import Hold
from heliograph.bus.ids import EntryId, IdSource
from heliograph.bus.lane import Lane, Piece
from heliograph.bus.link import Link, Reply, open_link, pause_s, run_id
from heliograph.bus.presence import sort_out
from heliograph.bus.routes import AWAY_CODES, Routes
from heliograph.clock import NS_PER_MS, Clock, SystemClock
from heliograph.errors import BusError, ConfigError

ROUND_ENTRIES: Final = 512
"""Entries in one write to a node at most; the next follows when all of it has been answered."""
PING_EVERY_S: Final = 1.0
PENDING_FACTOR_MAX: Final = 4
ASK_S_MAX: Final = 2.0
"""How long a node may take to say where the slots are; then another one is asked."""
_PING: Final = resp.command("PING")


class Scatter:
    """A connection to a cluster that appends to streams; `append_many` neither blocks nor makes a task.

    Its face is `Publisher`'s, and so are its counters and the rights that its user needs, with `+cluster|slots`.

    Args:
        url: any node of the cluster, or several.
        name: how the connections are called in the servers' CLIENT LIST.
        pending_bytes_max: the high-water mark: unacknowledged bytes above which `writable` is false.
        retain_s: how long acknowledged entries are kept for a node that loses them, in seconds: longer than the
            cluster's node timeout, or a primary that was cut off from the others may lose more than that.
        retained_bytes_max: how many bytes of those are kept at most.
        connect_timeout_s: how long one attempt to connect may take, in seconds.
        reply_timeout_s: how long a node may leave a write unanswered before we connect anew, in seconds.
        backoff_max_s: the longest pause between two attempts, in seconds.
        close_timeout_s: how long closing waits for the last acknowledgements, in seconds.
        clock: what the ids' milliseconds are read from.
        leased: see `Publisher`.

    """

    acknowledged = 0
    appended = 0
    resent = 0
    settled_by_id = 0
    refused_ids = 0
    failed = 0
    dropped = 0
    reconnects = 0
    moves = 0
    """How often a stream's node changed."""
    pending_bytes = 0
    retained_bytes = 0
    last_error: str | None = None

    _full = False

    def __init__(
        self,
        url: str | Endpoint,
        *,
        name: str = "heliograph-publisher",
        pending_bytes_max: int = 16 << 20,
        retain_s: float = 15.0,
        retained_bytes_max: int = 64 << 20,
        connect_timeout_s: float = 5.0,
        reply_timeout_s: float = 3.0,
        backoff_max_s: float = 0.5,
        close_timeout_s: float = 10.0,
        clock: Clock | None = None,
        leased: bool = False,
    ) -> None:
        self._endpoint = parse_url(url) if isinstance(url, str) else url
        self._name = name
        self._high_bytes = pending_bytes_max
        self._retain_s = retain_s
        self._retained_bytes_max = retained_bytes_max
        self._connect_timeout_s = connect_timeout_s
        self._reply_timeout_s = reply_timeout_s
        self._backoff_max_s = backoff_max_s
        self._close_timeout_s = close_timeout_s
        self._clock = SystemClock() if clock is None else clock
        self.hold = Hold(leased=leased, resumed=self._wake_all)
        self._routes = Routes(self._endpoint, name=f"{name}-questions", timeout_s=min(connect_timeout_s, ASK_S_MAX))
        self._lanes: dict[str, Lane] = {}
        self._ready: dict[Endpoint, dict[Lane, None]] = {}
        self._wakes: dict[Endpoint, asyncio.Event] = {}
        self._ids = IdSource()
        self._numbers = count()
        self._when_writable: list[Callable[[], None]] = []
        self._settled = asyncio.Event()
        self._refreshing = asyncio.Lock()
        self._forgot_s: dict[Endpoint, float] = {}
        self._tasks: dict[Endpoint, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self._routes.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            await self.flush(self._close_timeout_s)
        except BusError:
            if kind is None:
                raise
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await self._routes.__aexit__()

    @property
    def writable(self) -> bool:
        """Whether more should be appended. Once false, it stays so until half of what is pending is acknowledged."""
        if not self._full and self.pending_bytes >= self._high_bytes:
            self._full = True
        return not self._full

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call `callback` each time that `writable` turns true again after somebody has seen it false."""
        self._when_writable.append(callback)

    async def open_stream(self, key: str, *, maxlen: int | None = None, merged: Stream | None = None) -> Stream:
        """Get ready to append to a stream: see `Publisher.open_stream`.

        Raises:
            BusError: the key is not a stream, or its node did not answer in time.
            ConfigError: it is already open with other settings.

        """
        known = self._lanes.get(key)
        if known is None:
            newest = await self._newest(key)
            node = await self._routes.endpoint_of(key)
            known = self._lanes.setdefault(key, Lane(Stream(key, maxlen, merged), newest, node))
            self._attend(node)
        if (known.stream.maxlen, known.stream.merged) != (maxlen, merged):
            raise ConfigError(f"the stream {key} is already open with another maxlen or merged feed")
        return known.stream

    async def _newest(self, key: str) -> EntryId:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._connect_timeout_s
        while True:
            try:
                link = await self._routes.link(key)
                async with asyncio.timeout(self._reply_timeout_s):
                    return await self.hold.open(link, key, self._clock.now_ns() // NS_PER_MS)
            except TimeoutError:
                link.abort("no reply")
                raise BusError(f"{self._endpoint}: no reply about {key}") from None
            except BusError as e:
                if (e.code is not None and e.code not in AWAY_CODES) or loop.time() >= deadline_s:
                    raise
            self._routes.forget()
            await asyncio.sleep(pause_s(4, self._backoff_max_s))

    def close_streams(self, keys: Iterable[str]) -> None:
        """Write nothing more to these streams: somebody else does. What of theirs is pending is dropped."""
        for lane in [lane for key in keys if (lane := self._lanes.pop(key, None)) is not None]:
            lane.stream.closed = True
            self.dropped += sum(not piece.settled and not piece.on_feed for piece in (*lane.waiting, *lane.flight))
            self._settle([*lane.waiting, *lane.flight])
            lane.waiting.clear()
            lane.retained.clear()
            if lane.node is not None:
                self._ready.get(lane.node, {}).pop(lane, None)
        self._tell_if_settled()

    def append(self, stream: Stream, data: bytes) -> None:
        """Append one entry, with the field `data`, to a stream and to its merged feed."""
        self.append_many([stream], [data])

    def append_many(self, streams: Sequence[Stream], datas: Sequence[bytes]) -> None:
        """Append many entries, in order, each to the stream at its own place in `streams`.

        Raises:
            BusError: four times `pending_bytes_max` is pending; whoever looks at `writable` never gets there.

        """
        if self.pending_bytes > PENDING_FACTOR_MAX * self._high_bytes:
            raise BusError(
                f"{self._endpoint}: {self.pending_bytes} bytes are pending, and more was appended all the same"
            )
        now_ms = self._clock.now_ns() // NS_PER_MS
        for stream, data in zip(streams, datas, strict=True):
            entry_id = self._ids.take(1, now_ms)
            number = next(self._numbers)
            self._enqueue(stream, Piece(number, stream, data, on_feed=False, id=entry_id))
            if stream.merged is not None:
                self._enqueue(stream.merged, Piece(number, stream, data, on_feed=True, id=entry_id))
        self.appended += len(datas)

    def _enqueue(self, target: Stream, piece: Piece) -> None:
        lane = self._lanes.get(target.key)
        if lane is None or lane.stream is not target:
            self.dropped += not piece.on_feed
            return
        self.pending_bytes += piece.weight
        lane.waiting.append(piece)
        self._make_ready(lane)

    def _make_ready(self, lane: Lane) -> None:
        node = lane.node
        if node is not None and lane.waiting and not lane.flight and not lane.stream.closed:
            self._ready[node][lane] = None
            self._wakes[node].set()

    async def flush(self, timeout_s: float = 10.0) -> None:
        """Wait until everything is acknowledged.

        Raises:
            BusError: that took longer than `timeout_s` seconds.

        """
        try:
            async with asyncio.timeout(timeout_s):
                while self.pending_bytes:
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            raise BusError(
                f"{self._endpoint}: {self.pending_bytes} bytes were not acknowledged within {timeout_s:g} s"
                f" ({self.last_error or 'no error'})"
            ) from None

    def _settle(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            if not piece.settled:
                piece.settled = True
                self.pending_bytes -= piece.weight
        if self._full and self.pending_bytes <= self._high_bytes // 2:
            self._full = False
            for callback in self._when_writable:
                callback()

    def _tell_if_settled(self) -> None:
        if not self.pending_bytes:
            self._settled.set()

    # One task a node.

    def _attend(self, node: Endpoint) -> None:
        if node not in self._tasks:
            self._ready[node] = {}
            self._wakes[node] = asyncio.Event()
            self._tasks[node] = asyncio.create_task(self._serve(node), name=f"{self._name} {node}")

    def _wake_all(self) -> None:
        for wake in self._wakes.values():
            wake.set()

    async def _serve(self, node: Endpoint) -> None:
        """Write what is for a node, over as many connections as it takes."""
        attempt = 0
        server: str | None = None
        while True:
            while not self._ready[node] and attempt == 0 and server is None:
                self._wakes[node].clear()
                await self._wakes[node].wait()
            try:
                link = await open_link(node, name=self._name, timeout_s=self._connect_timeout_s)
                try:
                    async with asyncio.timeout(self._reply_timeout_s):
                        fresh = await run_id(link)
                    self.reconnects += server is not None
                    if server is not None and fresh != server:
                        self._restarted(node)  # It may have lost what it had acknowledged.
                    server = fresh or ""
                    self.hold.linked(asyncio.get_running_loop().time())
                    while True:
                        await self._round(node, link)
                        attempt = 0
                finally:
                    link.abort("closed by us")
            except (BusError, TimeoutError) as e:
                self.last_error = str(e) or f"{node}: no reply"
            attempt += 1
            await asyncio.sleep(pause_s(attempt + 2, self._backoff_max_s))
            await self._refresh()

    def _restarted(self, node: Endpoint) -> None:
        for lane in self._lanes.values():
            if lane.node == node:
                lane.write_again()
                self._make_ready(lane)
        self._weigh_retained()

    async def _refresh(self) -> None:
        """Ask where the slots are now, and send each stream's entries there."""
        async with self._refreshing:
            self._routes.forget()
            try:
                await self._routes.nodes()
            except BusError as e:
                self.last_error = str(e)
                return
            for key, lane in self._lanes.items():
                node = self._routes.place(key)
                if node is not None and node != lane.node:
                    self.moves += 1
                    self._move(lane, node)
            self._weigh_retained()

    def _move(self, lane: Lane, node: Endpoint) -> None:
        if lane.node is not None:
            self._ready[lane.node].pop(lane, None)
        lane.node = node
        self._attend(node)
        if lane.flight:
            lane.moved = True  # Its last write is unanswered yet, and goes first.
        else:
            lane.write_again()
            self._make_ready(lane)

    async def _round(self, node: Endpoint, link: Link) -> None:
        """Make one write, or wait until there is something to write; then see to its answers.

        Raises:
            BusError: the connection is gone, or the node does not serve a stream now.

        """
        loop = asyncio.get_running_loop()
        while not self._ready[node] or self.hold.lapsed(loop.time()):
            self._wakes[node].clear()
            try:
                async with asyncio.timeout(PING_EVERY_S):
                    await self._wakes[node].wait()
            except TimeoutError:
                async with asyncio.timeout(self._reply_timeout_s):
                    await link.exchange(_PING, 1)
                self._forget(node, loop.time())
        lanes, payload = self._take(node)
        answers: dict[Lane, tuple[Reply, str | None]] = {}
        failure: str | None = None
        try:
            async with asyncio.timeout(self._reply_timeout_s):
                await link.exchange_all(payload, [(lane.replies, partial(_note, answers, lane)) for lane in lanes])
        except TimeoutError:
            failure = f"{node}: no reply for {self._reply_timeout_s:g} s"
        except BusError as e:
            failure = str(e)
        refused: list[tuple[Lane, list[Piece]]] = []
        for lane in lanes:
            failure = self._answered(lane, answers.get(lane), loop.time(), refused) or failure
        if failure is not None:
            self._return(refused)
            self._tell_if_settled()
            raise BusError(failure)
        await self._sort_out(link, refused)
        if loop.time() - self._forgot_s.get(node, 0.0) > PING_EVERY_S:
            self._forget(node, loop.time())
        self._tell_if_settled()

    def _take(self, node: Endpoint) -> tuple[list[Lane], bytes]:
        lanes: list[Lane] = []
        parts: list[bytes] = []
        room = ROUND_ENTRIES
        ready = self._ready[node]
        while ready and room > 0:
            lane = next(iter(ready))
            del ready[lane]
            parts.append(lane.take(room))
            self.resent += sum(piece.sends > 1 and not piece.on_feed for piece in lane.flight)
            room -= len(lane.flight)
            lanes.append(lane)
        return lanes, b"".join(parts)

    def _answered(
        self,
        lane: Lane,
        answer: tuple[Reply, str | None] | None,
        now_s: float,
        refused: list[tuple[Lane, list[Piece]]],
    ) -> str | None:
        """See to the answer to one stream's write; return why its node does not serve it, if it does not."""
        flight, lane.flight = lane.flight, []
        if lane.stream.closed:
            return None
        reply, error = (None, None) if answer is None else answer
        if not isinstance(reply, list):
            # None of it was done, or nobody knows. Written again it is refused where it was.
            lane.give_back(flight)
            self._arrived(lane)
            return error or f"{lane.stream.key}: no answer"
        too_small = []
        for piece, said in zip(flight, reply, strict=True):
            if not isinstance(said, Exception):
                self._keep(lane, piece, now_s)
            elif is_too_small(str(said)):
                too_small.append(piece)
            else:
                self.failed += 1
                self.last_error = f"{lane.stream.key}: {refusal(self._endpoint, str(said))}"
                self._settle([piece])
        if too_small:
            lane.flight = too_small  # So that nothing overtakes them while the node is asked about them.
            refused.append((lane, too_small))
        else:
            self._arrived(lane)
        return None

    def _arrived(self, lane: Lane) -> None:
        """Go on with a stream of which nothing is unanswered any more; to its next node, if it has moved meanwhile."""
        if lane.moved:
            lane.moved = False
            lane.write_again()
        self._make_ready(lane)

    def _keep(self, lane: Lane, piece: Piece, now_s: float) -> None:
        if not piece.settled and not piece.on_feed:
            self.acknowledged += 1
        self._settle([piece])
        lane.retained.append((now_s, piece))
        self.retained_bytes += piece.weight
        while self.retained_bytes > self._retained_bytes_max and lane.retained:
            self.retained_bytes -= lane.forget(lane.retained[0][0])

    async def _sort_out(self, link: Link, refused: list[tuple[Lane, list[Piece]]]) -> None:
        """Settle what is there already, and give the rest new ids: see `presence.sort_out`."""
        while refused:
            lane, pieces = refused[0]
            again = [piece for piece in pieces if piece.sends > 1]
            self.refused_ids += len(pieces) - len(again)
            try:
                async with asyncio.timeout(self._reply_timeout_s):
                    absent, ahead = await sort_out(link, list(pieces), written_before=bool(again))
            except (BusError, TimeoutError):
                self._return(refused)
                raise
            for _, newest in ahead:
                lane.last = max(lane.last, newest)
            refused.pop(0)
            self._present(lane, pieces, absent)

    def _return(self, refused: list[tuple[Lane, list[Piece]]]) -> None:
        """Write again what could not be asked about."""
        for lane, pieces in refused:
            self._land(lane, pieces)

    def _present(self, lane: Lane, pieces: list[Piece], absent: Sequence[Half]) -> None:
        missing = {piece.entry for piece in absent}
        now_s = asyncio.get_running_loop().time()
        there = [piece for piece in pieces if piece.entry not in missing]
        self.settled_by_id += sum(not piece.on_feed for piece in there)
        for piece in there:
            self._keep(lane, piece, now_s)
        fresh = [piece for piece in pieces if piece.entry in missing]
        for piece in fresh:
            piece.sends = 0
        self._land(lane, fresh)

    def _land(self, lane: Lane, left: list[Piece]) -> None:
        """End a stream's write, of which these are left to be written again."""
        lane.flight = []
        if not lane.stream.closed:
            lane.give_back(left)
        self._arrived(lane)

    def _forget(self, node: Endpoint, heard_s: float) -> None:
        self._forgot_s[node] = heard_s
        # By the node's last sign of life: while nothing is heard of it, nothing is known to have reached its replica.
        for lane in self._lanes.values():
            if lane.node == node:
                self.retained_bytes -= lane.forget(heard_s - self._retain_s)

    def _weigh_retained(self) -> None:
        self.retained_bytes = sum(piece.weight for lane in self._lanes.values() for _, piece in lane.retained)


def _note(answers: dict[Lane, tuple[Reply, str | None]], lane: Lane, reply: Reply, error: str | None) -> None:
    answers[lane] = (reply, error)
