"""Consumer groups: several consumers share a stream's entries, and none is lost, whoever dies.

::

    consumer = Consumer(url, "mirror:credit:request", "custodian", "custodian-1")
    running = tasks.create_task(consumer.run(handle))
    ...
    consumer.stop()  # finishes what it was given, and `run` returns

What holds:

- An entry is acknowledged after its handler has returned, and not before. So every entry is handled at least once, and
  again after a crash, or when nobody heard of the acknowledgement: **handlers are idempotent**.
- An exception of the handler is logged and counted, and the entry is handled again after a pause that doubles. It holds
  up no other: entries are handled first in the stream's order, and once more when their time comes.
- What was delivered `deliveries_max` times goes to the dead letters with the last reason, a `DecodeError` at once:
  the same bytes will not read better. A handler that kills its process is counted too, since the server counts.
- What a dead consumer had is claimed by a living one; from the living nothing is taken, however slow they are.
- A group that is gone is made again from the stream's first entry on: what had been handled comes again, nothing is
  skipped. On an exchange's replica that is what a full resync does.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec
import structlog

from heliograph.bus.dead_letters import burial
from heliograph.bus.endpoint import Endpoint, parse_url
from heliograph.bus.ids import parse_id
from heliograph.bus.link import Link, Reply, open_link, pause_s
from heliograph.bus.member import GROUP_GONE, Delivered, Member, delivered
from heliograph.bus.reader import Entry
from heliograph.bus.redeliveries import Redeliveries, Waiting
from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.errors import BusError, ConfigError, DecodeError

Asked = TypeVar("Asked")
Handler = Callable[[Entry], Awaitable[None]]
BatchHandler = Callable[[Sequence[Entry]], Awaitable[None]]

REASON_MAX: Final = 500
"""Characters of a handler's exception that go into a dead letter."""
GONE: Final = "trimmed or deleted before it was handled"
TOO_OFTEN: Final = "delivered too often, to consumers that did not live to say why"

_FATAL_CODES: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "WRONGTYPE"})
_LIFE_SIGNS: Final = 4
"""Beats within the time after which a consumer counts as dead."""
_SLEPT: Final = 3 / 4
"""The part of that time after which a consumer does not take for granted that its entries are still its own."""
_UNBLOCK_S: Final = 0.01

log = structlog.get_logger()


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a consumer takes and handles entries. The members of a group should have the same."""

    count_max: int = 128
    """Entries that are fetched at once."""
    deliveries_max: int = 5
    """How often an entry is delivered before it goes to the dead letters."""
    waiting_max: int = 1000
    """How many entries may wait for their next delivery; while there are so many, nothing is fetched or claimed."""
    retry_s: float = 1.0
    """The pause after an entry's first failure, in seconds."""
    retry_max_s: float = 60.0
    """The longest pause, in seconds."""
    dead_after_s: float = 30.0
    """After how long without a sign of life a consumer is dead, in seconds. A handler that holds up the event loop for
    longer is taken for dead; one that awaits is not, however long it takes."""
    drain_s: float = 10.0
    """How long the handlers may still take after `stop`, in seconds."""
    block_s: float = 2.0
    """How long one read waits at the server, in seconds."""
    connect_timeout_s: float = 5.0
    """How long one attempt to connect may take, in seconds."""
    reply_timeout_s: float = 10.0
    """How long beyond `block_s` a reply may take before we connect anew, in seconds."""
    backoff_max_s: float = 2.0
    """The longest pause between two attempts to connect, in seconds."""

    def __post_init__(self) -> None:
        wrong = [name for name in self.__struct_fields__ if not 0 < getattr(self, name) < float("inf")]
        if wrong:
            raise ConfigError(f"{wrong[0]} is {getattr(self, wrong[0])}", ("a number above 0",))


class Counts:
    """What a consumer has done so far."""

    def __init__(self) -> None:
        self.handled = 0
        """Entries whose handler returned."""
        self.failed = 0
        """Entries whose handler raised, each time."""
        self.buried = 0
        """Entries that went to the dead letters."""
        self.claimed = 0
        """Entries that were taken over from dead consumers."""
        self.reconnects = 0
        """Connections after the first."""
        self.groups_made_again = 0
        """Times that the group was gone."""


class Consumer:
    """One consumer of a group.

    `ready` is set once it reads; `counts` says what it did, `last_error` what went wrong last.

    Args:
        url: the server; one node, since a cluster's other nodes are not looked for.
        stream: what is read. It is made if it is not there.
        group: who shares the entries; made, if it is not there, from the stream's first entry on.
        name: which consumer this is, unlike every other that lives. After a restart the same name is best: then what it
            had is handled at once, and not only when it is taken for dead.
        terms: how it takes and handles entries.
        username: used where the URL has none.
        password: used where the URL has none.

    """

    def __init__(
        self,
        url: str | Endpoint,
        stream: str,
        group: str,
        name: str,
        *,
        terms: Terms | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self._endpoint = parse_url(url, username=username, password=password) if isinstance(url, str) else url
        self._member = Member(stream, group, name)
        self._terms = terms or Terms()
        self._redeliveries = Redeliveries(
            self._terms.deliveries_max, int(self._terms.retry_s * NS_PER_S), int(self._terms.retry_max_s * NS_PER_S)
        )
        self._log = log.bind(stream=stream, group=group, consumer=name)
        self._stopping = asyncio.Event()
        self._link: Link | None = None
        self._side_link: Link | None = None
        self._side_opening = asyncio.Lock()
        self._link_id: int | None = None
        self._handle: BatchHandler | None = None
        self._batch_max = 1
        self._acknowledging: dict[bytes, None] = {}
        self._beaten_s = 0.0
        self._slept = False
        self._reading = False
        self._claim_s = 0.0
        self._more = False
        self.ready = asyncio.Event()
        self.counts = Counts()
        self.last_error: str | None = None

    def stop(self) -> None:
        """Have `run` return once what was delivered is handled and acknowledged, at most `drain_s` from now.

        What is not done by then, or waits for its next attempt, stays this consumer's until it comes back or is dead.
        """
        self._stopping.set()

    async def run(self, handler: Handler) -> None:
        """Hand every entry to the handler, one at a time, until `stop`. Reconnects are nobody else's business.

        Raises:
            BusError: the server refuses us for good: credentials, rights, or a key that is not a stream.
            ConfigError: the files for TLS cannot be loaded.

        """

        async def each(entries: Sequence[Entry]) -> None:
            for entry in entries:
                await handler(entry)

        await self._run(each, 1)

    async def run_batches(self, handler: BatchHandler, batch_max: int = 128) -> None:
        """Do as `run` does, but hand over up to `batch_max` entries at once.

        If the handler raises, each of them is handled again by itself, so that one bad entry costs no other.

        Raises:
            BusError: the server refuses us for good: credentials, rights, or a key that is not a stream.
            ConfigError: the files for TLS cannot be loaded.

        """
        await self._run(handler, batch_max)

    async def _run(self, handler: BatchHandler, batch_max: int) -> None:
        self._handle, self._batch_max = handler, batch_max
        try:
            async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as tasks:
                aside = [tasks.create_task(work) for work in (self._beat_on(), self._await_stop(limit))]
                refused: BusError | ConfigError | None = await self._consume()
                for task in aside:
                    task.cancel()
        except TimeoutError:
            if not self._stopping.is_set():
                raise  # It is the caller's, not ours.
            refused = None
            self._log.warning("stopped before everything was handled", drain_s=self._terms.drain_s)
        finally:
            for link in (self._link, self._side_link):
                if link is not None:
                    link.abort("closed by us")
        if refused is not None:
            raise refused

    async def _consume(self) -> BusError | ConfigError | None:
        """Consume until `stop`, over any number of connections; return the error that is for good, if there is one."""
        attempt = 0
        while not self._stopping.is_set() or self._acknowledging:
            try:
                link = await self._connect()
                attempt = 0
                await self._serve(link)
            except ConfigError as e:
                return e
            except BusError as e:
                self.last_error = str(e)
                if e.code in _FATAL_CODES:
                    return e
                if self._link is not None:
                    self._link.abort("given up after an error")
                attempt += 1
                self._log.info("the group's connection failed", error=str(e), attempt=attempt)
                await self._pause(pause_s(attempt, self._terms.backoff_max_s))
            else:
                return None
        return None

    async def _pause(self, pause_s: float) -> None:
        """Wait, or until `stop` is called for the first time."""
        if self._stopping.is_set():
            await asyncio.sleep(pause_s)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()

    async def _connect(self) -> Link:
        terms = self._terms
        first = self._link is None
        self._link = await open_link(self._endpoint, name="heliograph-group", timeout_s=terms.connect_timeout_s)
        self.counts.reconnects += not first
        self._beaten_s = time.monotonic()
        # Whoever lives shall have had the time to say so to a server that was away.
        self._claim_s = self._beaten_s + terms.dead_after_s
        try:
            self._link_id = await self._timed(self._link.request("CLIENT", "ID"))
        except BusError as e:
            if e.code != "NOPERM":
                raise
            self._link_id = None  # Then a stop waits for the end of a read.
        return self._link

    async def _serve(self, link: Link) -> None:
        while True:
            try:
                await self._begin(link)
                while not self._stopping.is_set():
                    await self._turn(link)
                await self._acknowledge(link)
            except BusError as e:
                if e.code not in GROUP_GONE:
                    raise
            else:
                return

    async def _begin(self, link: Link) -> None:
        if await self._timed(self._member.make_group(link)):
            self._acknowledging.clear()
            if self.ready.is_set():
                self.counts.groups_made_again += 1
                self._log.warning("the group was gone and is made again, from the stream's beginning")
        await self._timed(self._member.beat(link))
        await self._acknowledge(link)
        await self._look_again(link)
        self.ready.set()

    async def _look_again(self, link: Link) -> None:
        """See what is ours to handle, whatever we remember."""
        self._slept = False
        found = await self._timed(self._member.pending(link, self._terms.waiting_max))
        self._more = len(found) == self._terms.waiting_max
        self._redeliveries.pending(found, time.monotonic_ns())

    def _may_be_robbed(self) -> bool:
        """Tell whether we gave no sign of life for so long that others may handle what we were given."""
        return self._slept or time.monotonic() - self._beaten_s > self._terms.dead_after_s * _SLEPT

    async def _turn(self, link: Link) -> None:
        """Do what is due, and else wait for entries."""
        if self._more and len(self._redeliveries) < self._terms.waiting_max / 2:
            await self._look_again(link)
        if self._room and time.monotonic() >= self._claim_s:
            await self._claim(link)
        waiting = self._redeliveries.take(time.monotonic_ns())
        if waiting is not None:
            await self._redeliver(link, waiting)
            return
        rest_s = self._rest_s()
        if not self._room:
            await self._pause(rest_s)
            return
        if self._stopping.is_set():
            return
        self._reading = True  # Without an await since the look at `_stopping`, or a stop could miss the read.
        try:
            request = self._member.reading(self._terms.count_max, int(rest_s * 1000))
            reply = await self._timed(link.exchange(request, 1), rest_s)
        finally:
            self._reading = False
        fresh = delivered(reply, self._member.stream)
        for start in range(0, len(fresh), self._batch_max):
            if self._may_be_robbed():
                break
            await self._attempt(link, fresh[start : start + self._batch_max], 1)
        await self._acknowledge(link)
        if self._may_be_robbed():
            await self._look_again(link)

    def _rest_s(self) -> float:
        """Return for how long there is nothing to do but to wait for entries, in seconds."""
        now_ns = time.monotonic_ns()
        next_ns = self._redeliveries.next_ns
        due_s = self._terms.block_s if next_ns is None else (next_ns - now_ns + NS_PER_MS) / NS_PER_S
        claim_s = self._claim_s - now_ns / NS_PER_S if self._room else self._terms.block_s
        return max(0.001, min(self._terms.block_s, due_s, claim_s))

    @property
    def _room(self) -> int:
        """How many more entries may wait."""
        return max(0, self._terms.waiting_max - len(self._redeliveries))

    async def _claim(self, link: Link) -> None:
        room = self._room
        claimed = await self._timed(self._member.claim(link, room, int(self._terms.dead_after_s * 1000)))
        if claimed:
            self.counts.claimed += len(claimed)
            self._log.warning("entries of dead consumers were claimed", entries=len(claimed))
        for waiting in claimed:
            self._redeliveries.found(waiting, time.monotonic_ns())
        # There may be more where that came from.
        self._claim_s = time.monotonic() + (self._terms.dead_after_s / 2 if len(claimed) < room else 0.0)

    async def _redeliver(self, link: Link, waiting: Waiting) -> None:
        entry = await self._timed(self._member.again(link, waiting.id))
        if entry is None:
            return  # It is not ours any more.
        if entry.raw is None:
            await self._bury(link, entry, waiting.deliveries, GONE)
        elif self._redeliveries.exhausted(waiting.deliveries):
            await self._bury(link, entry, waiting.deliveries, waiting.reason or TOO_OFTEN)
        else:
            await self._attempt(link, [entry], waiting.deliveries + 1)
            await self._acknowledge(link)

    async def _attempt(self, link: Link, entries: Sequence[Delivered], deliveries: int) -> None:
        assert self._handle is not None
        try:
            await self._handle([self._entry(entry) for entry in entries])
        except (
            Exception
        ) as e:  # It is the caller's code: whatever it raises must cost neither the entry nor the others.
            self.counts.failed += len(entries)
            self._log.warning(
                "a handler failed",
                entry=entries[0].id.decode(),
                entries=len(entries),
                deliveries=deliveries,
                exc_info=e,
            )
            await self._failed(link, entries, deliveries, e)
            return
        self.counts.handled += len(entries)
        self._send_acknowledgement(link, [entry.id for entry in entries])

    async def _failed(self, link: Link, entries: Sequence[Delivered], deliveries: int, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"[:REASON_MAX]
        alone = len(entries) == 1
        for entry in entries:
            waiting = Waiting(parse_id(entry.id), deliveries, reason)
            if alone and (isinstance(error, DecodeError) or self._redeliveries.exhausted(deliveries)):
                await self._bury(link, entry, deliveries, reason)
            elif alone:
                self._redeliveries.failed(waiting, time.monotonic_ns())
            else:
                self._redeliveries.found(waiting, time.monotonic_ns())

    async def _bury(self, link: Link, entry: Delivered, deliveries: int, reason: str) -> None:
        member = self._member
        payload, replies = burial(
            member.stream, member.group, entry.id, entry.raw or (), deliveries=deliveries, reason=reason
        )
        await self._timed(link.exchange(payload, replies))
        self.counts.buried += 1
        self._log.error("an entry went to the dead letters", entry=entry.id.decode(), reason=reason)

    def _entry(self, entry: Delivered) -> Entry:
        raw = entry.raw or ()
        return Entry(self._member.stream, entry.id.decode(), dict(zip(raw[::2], raw[1::2], strict=True)))

    def _send_acknowledgement(self, link: Link, ids: Sequence[bytes]) -> None:
        """Acknowledge at once without waiting for the answer; if none comes, it is sent again after the reconnect."""
        self._acknowledging.update(dict.fromkeys(ids))

        def done(_: Reply, error: str | None) -> None:
            if error is None:
                for entry_id in ids:
                    self._acknowledging.pop(entry_id, None)

        if link.lost is None:
            link.send(self._member.acknowledgement(ids), 1, done)

    async def _acknowledge(self, link: Link) -> None:
        """Wait until everything that was handled is acknowledged."""
        if self._acknowledging:
            ids = list(self._acknowledging)
            await self._timed(link.exchange(self._member.acknowledgement(ids), 1))
            self._acknowledging.clear()

    async def _timed(self, asking: Awaitable[Asked], blocks_s: float = 0.0) -> Asked:
        timeout_s = blocks_s + self._terms.reply_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await asking
        except TimeoutError:
            raise BusError(f"{self._endpoint}: no reply for {timeout_s:g} s") from None

    async def _beat_on(self) -> None:
        """Say again and again that we live, beside the connection that waits for entries."""
        every_s = self._terms.dead_after_s / _LIFE_SIGNS
        while True:
            await asyncio.sleep(every_s)
            now_s = time.monotonic()
            self._slept = self._may_be_robbed()  # The beat that follows would hide it.
            try:
                await self._timed(self._member.beat(await self._side()))
            except (BusError, ConfigError) as e:
                if not (isinstance(e, BusError) and e.code in GROUP_GONE):
                    self.last_error = str(e)
            else:
                self._beaten_s = now_s

    async def _side(self) -> Link:
        async with self._side_opening:
            if self._side_link is None or self._side_link.lost is not None:
                self._side_link = await open_link(
                    self._endpoint, name="heliograph-group-beats", timeout_s=self._terms.connect_timeout_s
                )
            return self._side_link

    async def _await_stop(self, limit: asyncio.Timeout) -> None:
        """Wait for `stop`; then set the time for what is left to do, and wake the read that waits for entries."""
        await self._stopping.wait()
        limit.reschedule(asyncio.get_running_loop().time() + self._terms.drain_s)
        if self._link_id is None:
            return
        with contextlib.suppress(BusError, ConfigError):
            while self._reading:
                if await self._timed((await self._side()).request("CLIENT", "UNBLOCK", self._link_id)):
                    return
                await asyncio.sleep(_UNBLOCK_S)  # The read is on its way, and not there yet.
