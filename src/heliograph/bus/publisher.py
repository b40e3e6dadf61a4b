"""Appends to streams, fast, and each entry exactly once.

Appends of one turn of the loop are one batch: one write, one transaction, so that an entry on its instrument's stream
and its copy on the merged feed stand or fall together. Three things make it exactly once:

- every entry has an id of our choosing, above all earlier ones of its stream; written again it is refused, not doubled;
- a batch is kept until it is acknowledged, and written again, in order, after every reconnect;
- an acknowledged batch is kept for `retain_s` longer, and written again to a server that has been restarted. A server
  with `appendfsync everysec` that is killed loses writes that it has acknowledged (measured: 2,120 in one of five kills
  with a busy disk).

One stream has one writer at a time. A second writer is noticed (`refused_ids`) and survived, but then the order between
the two is the server's. Where several processes may come to write the same streams one after the other, each is opened
`leased`: see `Hold`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final, Self

from heliograph.bus import resp
from heliograph.bus.backlog import BATCH_ENTRIES, Backlog
from heliograph.bus.endpoint import Endpoint, parse_url, refusal
from heliograph.bus.entries import Batch, Half, Stream, refusals, weigh
from heliograph.bus.hold import Hold
from heliograph.bus.ids import EntryId, IdSource
from heliograph.bus.link import Link, Reply, open_link, pause_s, run_id
from heliograph.bus.presence import sort_out
from heliograph.bus.retained import Retained
from heliograph.clock import NS_PER_MS, Clock, SystemClock
from heliograph.errors import BusError, ConfigError

BATCHES_IN_FLIGHT: Final = 16
STRAIGHT_MAX: Final = 2
"""Batches on their way up to which the next one does not wait for the end of the turn, for what else is read in it."""
TRIM_FEEDS_EVERY: Final = 256
"""Entries between two trims of the merged feeds."""
TICK_S: Final = 0.5
PING_AFTER_S: Final = 15.0
ASK_PAUSE_S: Final = 0.02
PENDING_FACTOR_MAX: Final = 4
"""Appending on although `writable` says no is refused at this multiple of the high-water mark."""

_FATAL_CODES: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})
_PASSING_CODES: Final = frozenset({"LOADING", "BUSY", "MASTERDOWN"})
_PING: Final = resp.command("PING")


class Publisher:
    """A connection that appends to streams; `append` neither blocks nor makes a task.

    Counters are plain integers, to be read at any time: `acknowledged` (entries that the server has answered for),
    `resent` (entries written more than once), `settled_by_id` (of those, entries that turned out to be there),
    `refused_ids` (XADDs refused at first sight, which get a new id), `failed` (XADDs that can never succeed, such as on
    a key of another type, and are given up), `dropped` (entries let go with their streams). `last_error` says what went
    wrong last.

    The user needs the rights `+hello +client|setname +ping +multi +exec +xadd +xtrim +xlen +xrange +xinfo|stream` on
    its streams, and `+xsetid +xdel` where it is leased; without `+info` every reconnect counts as one to a restarted
    server, which costs some repetition.

    Args:
        url: the server, as `redis://`, `rediss://` or `unix://`.
        username: used where the URL has none.
        password: used where the URL has none.
        name: how the connection is called in the server's CLIENT LIST.
        pending_bytes_max: the high-water mark: unacknowledged bytes above which `writable` is false.
        retain_s: how long acknowledged entries are kept for a server that loses them, in seconds.
        retained_bytes_max: how many bytes of those are kept at most.
        connect_timeout_s: how long one attempt to connect may take, in seconds.
        reply_timeout_s: how long the server may leave a batch unanswered before we connect anew, in seconds.
        backoff_max_s: the longest pause between two attempts, in seconds; pauses double and are jittered in full.
        close_timeout_s: how long closing waits for the last acknowledgements, in seconds.
        clock: what the ids' milliseconds are read from.
        leased: write only while `hold` allows it, and make every stream that is opened refuse older ids.

    """

    acknowledged = 0
    resent = 0
    settled_by_id = 0
    refused_ids = 0
    failed = 0
    dropped = 0
    last_error: str | None = None

    _scheduled = False
    _full = False
    _untrimmed = 0
    _attempt = 0
    _run_number = 0
    _loop: asyncio.AbstractEventLoop

    def __init__(
        self,
        url: str | Endpoint,
        *,
        username: str | None = None,
        password: str | None = None,
        name: str = "heliograph-publisher",
        pending_bytes_max: int = 16 << 20,
        retain_s: float = 2.5,
        retained_bytes_max: int = 64 << 20,
        connect_timeout_s: float = 5.0,
        reply_timeout_s: float = 10.0,
        backoff_max_s: float = 2.0,
        close_timeout_s: float = 10.0,
        clock: Clock | None = None,
        leased: bool = False,
    ) -> None:
        self._endpoint = parse_url(url, username=username, password=password) if isinstance(url, str) else url
        self._name = name
        self._high_bytes = pending_bytes_max
        self._low_bytes = pending_bytes_max // 2
        self._retain_s = retain_s
        self._connect_timeout_s = connect_timeout_s
        self._reply_timeout_s = reply_timeout_s
        self._backoff_max_s = backoff_max_s
        self._close_timeout_s = close_timeout_s
        self._clock = SystemClock() if clock is None else clock
        self.hold = Hold(leased=leased, resumed=self._pump)

        self._known: dict[str, Stream] = {}
        self._feeds: list[Stream] = []
        self._ahead: set[Stream] = set()
        self._ids = IdSource()

        # Entries pass through these in order.
        self._backlog = Backlog()
        self._flight: deque[Batch] = deque()
        self._retained = Retained(retained_bytes_max)
        self._repairs: deque[tuple[Batch, list[Half], bool]] = deque()

        self._when_writable: list[Callable[[], None]] = []
        self._link: Link | None = None
        self._window = BATCHES_IN_FLIGHT
        self._run_id: str | None = None
        self._heard_s = self._written_s = 0.0
        self._wake = asyncio.Event()
        self._linked = asyncio.Event()
        self._settled = asyncio.Event()
        self._fatal: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._ticking: asyncio.TimerHandle | None = None

    @property
    def appended(self) -> int:
        """Entries taken from the caller so far."""
        return self._backlog.appended

    @property
    def pending_bytes(self) -> int:
        """What is not acknowledged yet, in bytes, with our own overhead for it."""
        return self._backlog.pending_bytes

    @property
    def retained_bytes(self) -> int:
        """What is acknowledged and kept all the same, in bytes."""
        return self._retained.bytes

    @property
    def unretained(self) -> int:
        """Acknowledged entries that were let go early because of `retained_bytes_max`."""
        return self._retained.dropped

    @property
    def reconnects(self) -> int:
        """Connections made after the first one."""
        return max(0, self._run_number - 1)

    @property
    def connected(self) -> bool:
        """Whether there is a connection at this moment."""
        return self._link is not None

    @property
    def writable(self) -> bool:
        """Whether more should be appended. Once false, it stays so until half of what is pending is acknowledged."""
        if not self._full and self.pending_bytes >= self._high_bytes:
            self._full = True
        return not self._full

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call `callback` each time that `writable` turns true again after somebody has seen it false."""
        self._when_writable.append(callback)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name=self._name)
        self._task.add_done_callback(self._run_ended)
        self._ticking = self._loop.call_later(TICK_S, self._tick)
        try:
            await self._linked_within(self._connect_timeout_s)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            await self.flush(self._close_timeout_s)
        except BusError:
            if kind is None:
                raise
        finally:
            await self._stop()

    async def open_stream(self, key: str, *, maxlen: int | None = None, merged: Stream | None = None) -> Stream:
        """Get ready to append to a stream, after whatever it holds.

        Args:
            key: its name.
            maxlen: how many entries it keeps, about; None keeps all.
            merged: the feed, itself opened here, that gets every entry as well, with the fields `key` and `data`.

        Raises:
            BusError: the key is not a stream, the stream can take no more ids, or the server did not answer in time.
            ConfigError: it is already open with other settings.

        """
        known = self._known.get(key)
        if known is not None:
            if (known.maxlen, known.merged) != (maxlen, merged):
                raise ConfigError(f"the stream {key} is already open with another maxlen or merged feed")
            return known
        stream = Stream(key, maxlen, merged)
        newest = await self._ask(partial(self.hold.open, key=key, now_ms=self._clock.now_ns() // NS_PER_MS))
        if newest[0] >= 2**64 - 1:
            raise BusError(f"{self._endpoint}: the stream {key} has used up its last possible id: rename or delete it")
        if key in self._known:
            return self._known[key]
        self._note_last_id(stream, newest)
        self._known[key] = stream
        if merged is not None and merged not in self._feeds:
            self._feeds.append(merged)
        return stream

    def close_streams(self, keys: Iterable[str]) -> None:
        """Write nothing more to these streams: somebody else does. What of theirs is pending is dropped."""
        for stream in [stream for key in keys if (stream := self._known.pop(key, None)) is not None]:
            stream.closed = True
            self._ahead.discard(stream)
        self._feeds = [feed for feed in self._feeds if not feed.closed]
        self.dropped += self._backlog.drop_closed()
        self._tell_if_room()
        self._tell_if_settled()

    def append(self, stream: Stream, data: bytes) -> None:
        """Append one entry, with the field `data`, to a stream and to its merged feed.

        Raises:
            BusError: four times `pending_bytes_max` is pending; whoever looks at `writable` never gets there.

        """
        self.append_many((stream,), (data,))

    def append_many(self, streams: Sequence[Stream], datas: Sequence[bytes]) -> None:
        """Append many entries, in order, each to the stream at its own place in `streams`.

        They are written at once while next to nothing is on its way, and else at the end of the loop's turn.

        Raises:
            BusError: as `append`.

        """
        backlog = self._backlog
        if len(backlog.datas) >= BATCH_ENTRIES:
            self._batch_is_full()
        backlog.streams += streams
        backlog.datas += datas
        if self._scheduled:
            return
        if len(self._flight) < STRAIGHT_MAX:
            self._pump()
        else:
            self._scheduled = True
            self._loop.call_soon(self._turn_ended)

    async def flush(self, timeout_s: float = 10.0) -> None:
        """Wait until the server has acknowledged everything.

        Raises:
            BusError: that took longer than `timeout_s` seconds.

        """
        try:
            async with asyncio.timeout(timeout_s):
                while self._unsettled():
                    if self._fatal is not None:
                        raise self._fatal
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            left = self.appended - self.acknowledged - self.dropped
            raise BusError(
                f"{self._endpoint}: {left} entries were not acknowledged within {timeout_s:g} s"
                f" ({self.last_error or 'no error'})"
            ) from None

    def _unsettled(self) -> bool:
        return bool(self._backlog or self._flight or self._repairs)

    def _tell_if_settled(self) -> None:
        if not self._unsettled():
            self._settled.set()

    # What is appended becomes batches, and batches go out.

    def _turn_ended(self) -> None:
        self._scheduled = False
        self._pump()

    def _batch_is_full(self) -> None:
        pending_bytes = self._backlog.cut_bytes
        if pending_bytes > PENDING_FACTOR_MAX * self._high_bytes:
            raise BusError(f"{self._endpoint}: {pending_bytes} bytes are pending, and more was appended all the same")
        self._backlog.close_full()
        self._pump()

    def _pump(self) -> None:
        link = self._link
        while self._backlog and link is not None and link.writable and len(self._flight) < self._window:
            # In this order: wherever the process stands still here for long, ids are of a time when it might write.
            now_ms = self._clock.now_ns() // NS_PER_MS
            if self.hold.lapsed(self._loop.time()) or (batch := self._backlog.take()) is None:
                return
            self._write(link, batch, now_ms)

    def _write(self, link: Link, batch: Batch, now_ms: int) -> None:
        if batch.sends:
            self.resent += batch.entries
        else:
            batch.number(self._ids.take(batch.span(), now_ms), streams_ahead=self._ahead)
        batch.sends += 1
        trims: Sequence[Stream] = ()
        self._untrimmed += batch.entries
        if self._untrimmed >= TRIM_FEEDS_EVERY:
            self._untrimmed = 0
            trims = [feed for feed in self._feeds if feed.maxlen is not None]
        payload, replies = batch.encode(trims)
        if not self._flight:
            self._written_s = self._loop.time()
        self._flight.append(batch)
        link.send(payload, replies, partial(self._answered, batch))

    # Answers.

    def _answered(self, batch: Batch, reply: Reply, error: str | None) -> None:
        link = self._link
        assert link is not None
        self._heard_s = self._loop.time()
        if not isinstance(reply, list):
            # None of it was done: the server is out of memory, read-only, loading … To keep the order we connect
            # anew, after a pause, and write everything again that is not acknowledged.
            self._window = 1
            self.last_error = str(refusal(self._endpoint, error or f"EXEC answered {reply!r}"))
            link.abort(self.last_error)
            return
        self._flight.popleft()
        self._attempt = 0
        self._window = BATCHES_IN_FLIGHT
        if error is None:
            self._acknowledge(batch, batch.entries, batch.size)
        else:
            self._partly(batch, reply)
        self._retained.keep(batch, self._heard_s, whole=error is not None)
        self._forget()
        self._pump()
        self._tell_if_settled()

    def _acknowledge(self, batch: Batch, entries: int, size: int) -> None:
        if batch.acknowledged:
            return
        batch.acknowledged = True
        self._settle(entries, size)

    def _settle(self, entries: int, size: int) -> None:
        self.acknowledged += entries
        self._backlog.cut_bytes -= size
        self._tell_if_room()

    def _tell_if_room(self) -> None:
        if self._full and self._backlog.cut_bytes <= self._low_bytes:
            self._full = False
            for callback in self._when_writable:
                callback()

    def _partly(self, batch: Batch, reply: list[Reply]) -> None:
        """Sort out a batch of which the server refused some commands."""
        too_small, others = refusals(batch, reply)
        for half, text in others:
            self.failed += 1
            self.last_error = f"{half.target.key}: {refusal(self._endpoint, text)}"
        entries, size = weigh(too_small)
        if batch.acknowledged:
            self.settled_by_id += entries
            return
        if too_small:
            if batch.sends == 1:
                self.refused_ids += len(too_small)
                batch.leave_out(too_small)
            self._repairs.append((batch, too_small, batch.sends > 1))
            self._wake.set()
        self._acknowledge(batch, batch.entries - entries, batch.size - size)

    def _forget(self) -> None:
        # By the server's last sign of life: while nothing is heard of it, nothing is known to have reached its disk.
        self._retained.forget(self._heard_s - self._retain_s)

    # Refused ids.

    async def _repair(self, link: Link, batch: Batch, halves: list[Half], *, written_before: bool) -> None:
        """Settle what is there already, and give the rest new ids, but for what goes to streams that were closed."""
        closed = [half for half in halves if half.target.closed]
        absent, ahead = await sort_out(
            link, [half for half in halves if not half.target.closed], written_before=written_before
        )
        # A stream may have been closed while the server was asked. And all is counted after the answer, since without
        # one it is asked again.
        for target, newest in ahead:
            self._note_last_id(target, newest)
        left = [half for half in absent if not half.target.closed]
        (entries, size), (left_entries, left_size) = weigh(halves), weigh(left)
        unwritten = weigh([*closed, *absent])[0]
        self.dropped += unwritten - left_entries
        self.settled_by_id += entries - unwritten if written_before else 0
        self._settle(entries - unwritten, size - left_size)
        if left:
            batch.leave_out(left)
            self._backlog.put_first([Batch.of_halves(left)])

    def _note_last_id(self, stream: Stream, newest: EntryId) -> None:
        """Remember a last id that our own ids have not reached yet."""
        if not stream.closed and newest >= self._ids.last and (stream.ahead is None or stream.ahead < newest):
            stream.ahead = newest
            self._ahead.add(stream)

    # The connection.

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except BusError as e:
                self.last_error = str(e)
                if e.code in _FATAL_CODES and self._run_number == 0:
                    raise  # Nobody has been served yet: a wrong password is for the caller to mend.
            self._attempt += 1
            await asyncio.sleep(pause_s(self._attempt, self._backoff_max_s))

    async def _serve(self) -> None:
        """Connect, and serve until the connection is gone.

        Raises:
            BusError: there was no connection, or none that could be used.

        """
        link = await open_link(
            self._endpoint,
            name=self._name,
            timeout_s=self._connect_timeout_s,
            resumed=self._pump,
            ended=self._wake.set,
        )
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                server = await run_id(link)
            self._take_up(link, server)
            while link.lost is None:
                self._wake.clear()
                if self._repairs:
                    batch, halves, written_before = self._repairs[0]
                    await self._repair(link, batch, halves, written_before=written_before)
                    self._repairs.popleft()
                    self._pump()
                    self._tell_if_settled()
                else:
                    await self._wake.wait()
            self.last_error = link.lost
        except TimeoutError:
            raise BusError(f"{self._endpoint}: no answer within {self._connect_timeout_s:g} s") from None
        finally:
            self._link = None
            self._linked.clear()
            link.abort("closed by us")

    def _take_up(self, link: Link, server: str | None) -> None:
        """Go on over a fresh connection: what is unanswered is written again, and what a restart may have lost."""
        again: list[Batch] = []
        if server is None or server != self._run_id:
            again = self._retained.take_all()
        self._backlog.put_first([*again, *self._flight])
        self._flight.clear()
        self.dropped += self._backlog.drop_closed()
        self._run_id = server
        self._run_number += 1
        self._heard_s = self._written_s = self._loop.time()
        self._link = link
        self._linked.set()
        self.hold.linked(self._heard_s)
        self._pump()
        self._tell_if_settled()

    def _tick(self) -> None:
        """Notice a server that does not answer, and make an idle one show that it lives."""
        loop = self._loop
        self._ticking = loop.call_later(TICK_S, self._tick)
        link = self._link
        if link is None or link.lost is not None:
            return
        silence_s = loop.time() - max(self._heard_s, self._written_s)
        if link.waiting:
            if silence_s > self._reply_timeout_s:
                link.abort(f"{self._endpoint}: no reply for {silence_s:.1f} s")
        elif self._retained or silence_s > PING_AFTER_S:
            self._written_s = loop.time()
            link.send(_PING, 1, self._ponged)

    def _ponged(self, _: Reply, __: str | None) -> None:
        self._heard_s = self._loop.time()
        self._forget()

    async def _linked_within(self, timeout_s: float) -> Link:
        try:
            async with asyncio.timeout(timeout_s):
                while self._link is None:
                    await self._linked.wait()
                    if self._fatal is not None:
                        raise self._fatal
                return self._link
        except TimeoutError:
            raise BusError(self.last_error or f"{self._endpoint}: no answer within {timeout_s:g} s") from None

    async def _ask(self, question: Callable[[Link], Awaitable[EntryId]]) -> EntryId:
        """Ask the server, over as many connections as it takes within the time of one attempt to connect."""
        loop = self._loop
        deadline_s = loop.time() + self._connect_timeout_s
        while True:
            link = await self._linked_within(deadline_s - loop.time())
            try:
                return await question(link)
            except BusError as e:
                if link.lost is not None:
                    self._linked.clear()
                elif e.code not in _PASSING_CODES or loop.time() >= deadline_s:
                    raise
            await asyncio.sleep(ASK_PAUSE_S)

    async def _stop(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _run_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (e := task.exception()) is not None:
            self.last_error = f"{type(e).__name__}: {e}"
            self._fatal = e
        self._linked.set()
        self._settled.set()
