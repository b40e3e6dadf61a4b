"""What Gate's payloads say, in our words.

Sources: https://www.gate.com/docs/developers/apiv4/ws/en/ and https://www.gate.com/docs/developers/futures/ws/en/ .
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, DayStatistics, Side, Trade, TradeCause
from heliograph.model.numbers import BOUND, NOT_AN_AMOUNT, PRICES, ZERO, amount, fits, parse
from heliograph.venues.gateio.bars import Bars, Units, volumes_of
from heliograph.venues.gateio.frames import (
    RawFuturesBar,
    RawFuturesCandle,
    RawFuturesDay,
    RawFuturesDepth,
    RawFuturesFill,
    RawFuturesTicker,
    RawLevel,
    RawPair,
    RawSpotCandle,
    RawSpotDepth,
    RawSpotFill,
    RawSpotTicker,
    RawTop,
)
from heliograph.venues.gateio.times import instant_ns, seconds_ns
from heliograph.venues.known import Known
from heliograph.venues.levels import to_levels

TRUNCATED: Final = "a trade of less than one contract, truncated to none: neither its size nor its side is told"
_BUY: Final = Side.BUY  # A member's look-up in its enumeration costs a tenth of a trade.
_SELL: Final = Side.SELL
_MARKET: Final = TradeCause.MARKET
_LIQUIDATION: Final = TradeCause.LIQUIDATION


class Payloads:
    """Makes events of payloads. All methods raise one of `FAULTS`; `KeyError` means an instrument not carried.

    Lists leave such instruments out one by one, and count them in `ignored`.

    Args:
        make: makes an instrument of its symbol, where every symbol is welcome; else None.
        intervals: the market's lengths of candles, by Gate's names.
        units: what the market counts in.

    """

    def __init__(
        self, make: Callable[[str], Instrument] | None, intervals: Mapping[str, Interval], units: Units
    ) -> None:
        self.ignored = 0
        self.venue_ns = 0
        """The newest time of sending that came with a candle or a ticker."""
        self._instruments = Known(make)
        self._bars = Bars(self._instruments.__getitem__, intervals)
        self._units = units
        # Once a frame has stood for several trades, their numbers say nothing of what is missing: it would be told
        # again, one by one. No such frame was seen yet.
        self._numbered = True
        self._prices = PRICES

    def carry(self, instruments: Sequence[Instrument]) -> None:
        """Know these instruments and no others, unless every symbol is welcome."""
        self._bars.clear()
        self._instruments.carry(instruments)

    def spot_candle(self, raw: RawSpotCandle, received_ns: int) -> Candle:
        """Make a candle."""
        bar = raw.result
        series = self._bars[bar.n]
        prices = self._prices
        quote, base = bar.v, bar.a
        if not (ZERO <= fits(quote) < BOUND and ZERO <= fits(base) < BOUND):
            raise ValueError(NOT_AN_AMOUNT)
        open_ns = seconds_ns(bar.t)
        return Candle(
            series.instrument, series.interval, open_ns, series.close_ns(open_ns),
            prices[bar.o], prices[bar.h], prices[bar.l], prices[bar.c],
            base, quote, None, None, bar.w, self._sent_ns(raw), received_ns,
        )  # fmt: skip

    def futures_candles(self, raw: RawFuturesCandle, received_ns: int) -> list[Candle]:
        """Make candles."""
        sent_ns = self._sent_ns(raw)
        made: list[Candle] = []
        for bar in raw.result:
            try:
                made.append(self._futures_candle(bar, sent_ns, received_ns))
            except KeyError:
                self.ignored += 1
        return made

    def _futures_candle(self, bar: RawFuturesBar, sent_ns: int | None, received_ns: int) -> Candle:
        series = self._bars[bar.n]
        prices = self._prices
        base, quote, contracts = volumes_of(self._units, series.instrument, bar.v, bar.a)
        open_ns = bar.t * NS_PER_S
        return Candle(
            series.instrument, series.interval, open_ns, series.close_ns(open_ns),
            prices[bar.o], prices[bar.h], prices[bar.l], prices[bar.c],
            base, quote, contracts, None, bar.w, sent_ns, received_ns,
        )  # fmt: skip

    def top(self, raw: RawTop, received_ns: int) -> BookTop:
        """Make a book top. An empty book has neither number nor time: both come as zero."""
        instrument = self._instruments[raw.s]
        bid = self._prices[raw.b] if raw.b else None
        ask = self._prices[raw.a] if raw.a else None
        if not (ZERO <= fits(raw.B) < BOUND and ZERO <= fits(raw.A) < BOUND):
            raise ValueError(NOT_AN_AMOUNT)
        return BookTop(
            instrument, bid or None, raw.B if bid else None, ask or None, raw.A if ask else None,
            raw.u or None, raw.t * NS_PER_MS or None, received_ns,
        )  # fmt: skip

    def spot_trade(self, raw: RawSpotFill, received_ns: int) -> Trade:
        """Make a trade."""
        quantity = raw.amount
        if not ZERO <= fits(quantity) < BOUND:
            raise ValueError(NOT_AN_AMOUNT)
        number = raw.id_market
        if raw.range and raw.range != f"{number}-{number}":
            self._numbered = False
        return Trade(
            self._instruments[raw.currency_pair], str(raw.id), number if self._numbered else None,
            self._prices[raw.price], quantity,
            _BUY if raw.side == "buy" else _SELL, _MARKET, instant_ns(raw.create_time_ms, NS_PER_MS), received_ns,
        )  # fmt: skip

    def futures_trades(self, raw: Sequence[RawFuturesFill], received_ns: int) -> list[Trade]:
        """Make trades; leave those out that have no size (`TRUNCATED`)."""
        made: list[Trade] = []
        for fill in raw:
            try:
                instrument = self._instruments[fill.contract]
            except KeyError:
                self.ignored += 1
                continue
            size = fill.size
            quantity = amount(size.copy_abs())
            if quantity:
                made.append(Trade(
                    instrument, str(fill.id), None, self._prices[fill.price], quantity,
                    _BUY if size > ZERO else _SELL, _LIQUIDATION if fill.is_internal else _MARKET,
                    fill.create_time_ms * NS_PER_MS, received_ns,
                ))  # fmt: skip
        return made

    def book(self, raw: RawSpotDepth | RawFuturesDepth, received_ns: int) -> BookSnapshot | BookDelta:
        """Make a delta, or a snapshot where the update is the whole book."""
        instrument = self._instruments[raw.s]
        bids, asks = to_levels(_pairs(raw.b), self._prices), to_levels(_pairs(raw.a), self._prices)
        event_ns = raw.t * NS_PER_MS
        if raw.full:
            bids = sorted((level for level in bids if level[1]), reverse=True)
            asks = sorted(level for level in asks if level[1])
            return BookSnapshot(instrument, bids, asks, raw.u, event_ns, received_ns)
        return BookDelta(instrument, bids, asks, raw.U, raw.u, event_ns, received_ns)

    def spot_day(self, raw: RawSpotTicker, received_ns: int) -> DayStatistics:
        """Make the day's statistics."""
        day = raw.result
        instrument, last = self._instruments[day.currency_pair], amount(parse(day.last))
        return DayStatistics(
            instrument, last, None, _told(day.high_24h), _told(day.low_24h),
            _told(day.base_volume), _told(day.quote_volume), None, None, self._sent_ns(raw), received_ns,
        )  # fmt: skip

    def futures_days(self, raw: RawFuturesTicker, received_ns: int) -> list[DayStatistics]:
        """Make the day's statistics."""
        sent_ns = self._sent_ns(raw)
        made: list[DayStatistics] = []
        for day in raw.result:
            try:
                made.append(self._futures_day(day, sent_ns, received_ns))
            except KeyError:
                self.ignored += 1
        return made

    def _futures_day(self, day: RawFuturesDay, sent_ns: int | None, received_ns: int) -> DayStatistics:
        event_ns = sent_ns if day.t is None else day.t * NS_PER_MS
        return DayStatistics(
            self._instruments[day.contract], amount(parse(day.last)), None, _told(day.high_24h), _told(day.low_24h),
            _told(day.volume_24h_base), _told(day.volume_24h_quote), _told(day.volume_24h), None, event_ns, received_ns,
        )  # fmt: skip

    def _sent_ns(self, raw: RawSpotCandle | RawFuturesCandle | RawSpotTicker | RawFuturesTicker) -> int | None:
        if raw.time_ms is not None:
            sent_ns = raw.time_ms * NS_PER_MS
        elif raw.time is not None:  # Frames before the end of 2022.
            sent_ns = raw.time * NS_PER_S
        else:
            return None
        if sent_ns > self.venue_ns:
            self.venue_ns = sent_ns
        return sent_ns


def _told(text: str | int) -> Decimal | None:
    return None if text == "" else amount(parse(str(text)))


def _pairs(raw: Sequence[RawPair] | Sequence[RawLevel]) -> list[RawPair]:
    return [(level.p, level.s) if isinstance(level, RawLevel) else level for level in raw]
