"""One venue on the demo's stage: its simulator, its feeds, and what its streams are held against."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeVar

import msgspec

from heliograph.bus import keys
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Reader
from heliograph.cli.troupe import Player
from heliograph.clock import NS_PER_MS
from heliograph.marketdata.feed import MarketFeed
from heliograph.marketdata.publish import StreamSink
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel, Gap, Trade
from heliograph.model.wire import decode_candle, decode_gap, decode_trade
from heliograph.sim.audit import Verdict, audit_candles, audit_trades, audit_unnumbered, numbered_as
from heliograph.venues.contract import Market, Subscription, Venue
from heliograph.venues.scene import Aggregate, Fill

BEGIN_S: Final = 20.0
"""How long a feed may take to tell of its first candle."""

Happened = TypeVar("Happened")


class Record(msgspec.Struct, frozen=True):
    """The streams, as they are written and read back."""

    sink: StreamSink
    reader: Reader
    publisher: Publisher


class _Part(msgspec.Struct, frozen=True):
    """One instrument, the length of its candles, since when the record of either is whole, and of what sort it is."""

    instrument: Instrument
    interval: Interval
    candles_since_ns: int
    trades_since_ns: int
    numbered: bool
    """Whether its trades are numbered without holes."""


class Play:
    """One venue of the demo.

    Args:
        sim: the venue as it is played.
        venue: where its markets are.

    """

    def __init__(self, sim: Player, venue: Venue) -> None:
        self.sim = sim
        self.venue = venue
        self.feeds: list[MarketFeed] = []
        self._parts: list[_Part] = []
        self._running: list[asyncio.Task[None]] = []

    @property
    def instruments(self) -> list[Instrument]:
        """What is supplied."""
        return [part.instrument for part in self._parts]

    @property
    def symbols(self) -> dict[tuple[MarketId, Interval], list[str]]:
        """The venue's symbols of what is supplied, by market and the length of its candles."""
        by_market: dict[tuple[MarketId, Interval], list[str]] = {}
        for part in self._parts:
            by_market.setdefault((part.instrument.market, part.interval), []).append(part.instrument.venue_symbol)
        return by_market

    async def add(
        self, feed: MarketFeed, market: Market, instruments: Sequence[Instrument], interval: Interval
    ) -> None:
        """Run a feed with every channel of some instruments, and wait until it tells of the first candle.

        Args:
            feed: the feed.
            market: its market.
            instruments: what it is to supply.
            interval: the length of their candles.

        Raises:
            TimeoutError: it told of none.

        """
        wanted = [Subscription(Channel.CANDLES, i, interval) for i in instruments]
        others = [channel for channel in market.channels if channel is not Channel.CANDLES]
        feed.add(wanted + [Subscription(channel, i) for i in instruments for channel in others])
        self.feeds.append(feed)
        self._running.append(asyncio.create_task(feed.run()))
        async with asyncio.timeout(BEGIN_S):
            while not feed.metrics.quotes_open:  # noqa: ASYNC110 (a counter has nobody to tell)
                await asyncio.sleep(0.01)
        # The candle that is open now is the first that the record has to close; of trades, what is whole from the next
        # minute on, by when each instrument has been subscribed to.
        now_ns = self.sim.clock.now_ns()
        since_ns = interval.open_of(now_ns), Interval.M1.next_open(Interval.M1.open_of(now_ns))
        self._parts += [_Part(i, interval, *since_ns, market.trade_request is not None) for i in instruments]

    async def stop(self) -> None:
        """Stop the feeds."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def arrived(self, record: Record, until_ns: int) -> bool:
        """Say whether what happened until then is on the streams."""
        for part in self._parts:
            instrument, (market, symbol) = part.instrument, (part.instrument.market, part.instrument.venue_symbol)
            bars = self.sim.ledger.candles(market, symbol, part.interval, part.candles_since_ns, until_ns)
            closed = [bar for bar in bars if bar.end_ns <= until_ns]
            newest_ns = await record.sink.last_closed(instrument, part.interval)
            if closed and (newest_ns is None or newest_ns < closed[-1].open_ns):
                return False
            newest = [
                decode_trade(entry.data, instrument, 0)
                for entry in await record.reader.last_entries(keys.of_kind(instrument, Trade), 1)
            ]
            told_ns = max((trade.event_ns or 0 for trade in newest), default=0)
            last = self.sim.ledger.fills(market, symbol, part.trades_since_ns, until_ns)
            if last and told_ns < last[-1].time_ns // NS_PER_MS * NS_PER_MS:
                return False
        return True

    async def judged(self, record: Record, until_ns: int) -> dict[str, int]:
        """Hold the streams against what happened until then.

        Returns:
            How many holes were found, how many filled and how many duplicates dropped; how many closed candles there
            should be; of closed candles and trades how many there should be, how many are lost, doubled or wrong; how
            many are missing and told to be so, since the venue does not give them any more; and how many trades were
            missed where the venue does not number them, so that nobody could know, nor ask for them.

        """
        verdict, candles, unfillable, missed = Verdict(), 0, 0, 0
        for part in self._parts:
            gaps = await self._gaps(record, part)
            found, told_missing = await self._candles(record, part, gaps, until_ns)
            candles += found.expected
            unfillable += told_missing
            verdict += found
            trades = await self._trades(record, part)
            if part.numbered:
                truth = self._truth(part, trades, until_ns)
                numbers = {trade.sequence for trade in trades}
                known = without_gaps(truth, numbers, spans_of_trades(gaps), lambda trade: trade.id)
                unfillable += len(truth) - len(known)
                verdict += audit_trades(known, trades)
            else:
                market, symbol = part.instrument.market, part.instrument.venue_symbol
                found = audit_unnumbered(self.sim.ledger.fills(market, symbol, part.trades_since_ns, until_ns), trades)
                missed += found.lost
                verdict += msgspec.structs.replace(found, lost=0, expected=found.expected - found.lost)
        metrics = [feed.metrics for feed in self.feeds]
        return {
            "gaps_found": sum(m.gaps_found for m in metrics),
            "gaps_filled": sum(m.gaps_filled for m in metrics),
            "duplicates_dropped": sum(m.duplicates for m in metrics),
            "candles": candles,
            "expected": verdict.expected,
            "lost": verdict.lost,
            "doubled": verdict.doubled,
            "wrong": verdict.wrong + verdict.invented + verdict.disordered,
            "unfillable": unfillable,
            "unnumbered_missed": missed,
        }

    async def _candles(self, record: Record, part: _Part, gaps: Sequence[Gap], until_ns: int) -> tuple[Verdict, int]:
        instrument = part.instrument
        entries = await record.reader.entries(keys.candles(instrument, part.interval))
        candles = [decode_candle(entry.data, instrument, 0) for entry in entries]
        market, symbol = instrument.market, instrument.venue_symbol
        # The record is whole from the first candle on that the venue told of; some say nothing before the first trade.
        since_ns = max([part.candles_since_ns, *(candle.open_ns for candle in candles[:1])])
        bars = self.sim.ledger.candles(market, symbol, part.interval, since_ns, until_ns)
        truth = [bar for bar in bars if bar.end_ns <= until_ns]
        opens = {candle.open_ns for candle in candles if candle.closed}
        known = without_gaps(truth, opens, spans_of_candles(gaps, part.interval), lambda bar: bar.open_ns)
        return audit_candles(known, candles), len(truth) - len(known)

    async def _gaps(self, record: Record, part: _Part) -> list[Gap]:
        entries = await record.reader.entries(keys.of_kind(part.instrument, Gap))
        return [decode_gap(entry.data, part.instrument) for entry in entries]

    async def _trades(self, record: Record, part: _Part) -> list[Trade]:
        entries = await record.reader.entries(keys.of_kind(part.instrument, Trade))
        return [decode_trade(entry.data, part.instrument, 0) for entry in entries]

    def _truth(self, part: _Part, told: Sequence[Trade], until_ns: int) -> Sequence[Aggregate | Fill]:
        """Return what happened, in the numbers in which the venue told of it, from the first that was told on."""
        where = part.instrument.market, part.instrument.venue_symbol
        ledger = self.sim.ledger
        truth = numbered_as(
            told,
            ledger.trades(*where, part.trades_since_ns, until_ns),
            ledger.fills(*where, part.trades_since_ns, until_ns),
        )
        begin = next((trade.sequence for trade in told if trade.sequence is not None), 0)
        return [trade for trade in truth if trade.id >= begin]


def spans_of_trades(gaps: Sequence[Gap]) -> list[range]:
    """Return the numbers of the trades that are told to be missing, where the gap names them."""
    return [
        range(gap.from_sequence, gap.to_sequence)
        for gap in gaps
        if gap.channel is Channel.TRADES and gap.from_sequence is not None and gap.to_sequence is not None
    ]


def spans_of_candles(gaps: Sequence[Gap], interval: Interval) -> list[range]:
    """Return when the candles of an interval open, in nanoseconds, that are told to be missing."""
    return [
        range(gap.from_ns, gap.to_ns)
        for gap in gaps
        if gap.channel is Channel.CANDLES
        and gap.interval == interval
        and gap.from_ns is not None
        and gap.to_ns is not None
    ]


def without_gaps(
    truth: Sequence[Happened], told: Collection[int | None], spans: Sequence[range], place: Callable[[Happened], int]
) -> list[Happened]:
    """Return what happened without what is neither told nor lost: a gap says that it is missing.

    Args:
        truth: what happened.
        told: the places of what the record has.
        spans: the places that the gaps name.
        place: where something is, in the same terms.

    """
    return [each for each in truth if place(each) in told or not any(place(each) in span for span in spans)]
