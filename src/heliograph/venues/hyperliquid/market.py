"""Hyperliquid public market data: candles, tickers, trades and books of one socket.

Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions .
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument, MarketId
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Source, Trade, TradeCause
from heliograph.model.numbers import BOUND, NOT_AN_AMOUNT, PRICES, ZERO, amount, fits
from heliograph.venues.contract import CandlePage, Connection, Effect, Fetch, Refused, Request, Send, Subscription
from heliograph.venues.faults import FAULTS, reason_of
from heliograph.venues.heartbeat import Heartbeat
from heliograph.venues.hyperliquid.book import to_book
from heliograph.venues.hyperliquid.candles import Bars
from heliograph.venues.hyperliquid.control import Wishes
from heliograph.venues.hyperliquid.frames import (
    BANNER,
    SILENT,
    RawActive,
    RawActiveFrame,
    RawActiveSpotFrame,
    RawBar,
    RawBook,
    RawBookFrame,
    RawCandleFrame,
    RawConfirmedFrame,
    RawErrorFrame,
    RawFrame,
    RawTopFrame,
    RawTrade,
    RawTradesFrame,
    decode_frame,
    decode_named,
)
from heliograph.venues.hyperliquid.instruments import USDM, instrument_of_name, is_name
from heliograph.venues.hyperliquid.rest import SIDES, candle_request, check_grid, read_candles
from heliograph.venues.hyperliquid.streams import encode, streams_of
from heliograph.venues.known import INSTRUMENTS_MAX, Known
from heliograph.venues.spreading import chunks
from heliograph.venues.subscribing import Subscriber, carried_by

PING_NS: Final = 30 * NS_PER_S
"""The venue cuts a connection to which it has sent nothing for 60 s.

Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/timeouts-and-heartbeats
"""
PING: Final = b'{"method":"ping"}'
MESSAGES_PER_TICK: Final = 20
"""Control messages that may leave at once; the rest follows a second later: 2000 a minute for all sockets together."""
_MARKET: Final = TradeCause.MARKET  # A member's look-up in its enumeration costs a tenth of a trade.
_STREAM: Final = Source.STREAM


def maker_of(market: MarketId) -> Callable[[str], Instrument]:
    """Return what makes instruments of a market's names: `KeyError` is for those of the other market."""
    other = SPOT if market == USDM else USDM

    def make(name: str) -> Instrument:
        if is_name(other, name):
            raise KeyError(name)
        return instrument_of_name(market, name)

    return make


class Feed:
    """The codec of one socket of one market.

    A connection with subscriptions tells their instruments only: what else arrives, such as the last frames of a
    stream that was just left, is counted in `ignored`. One without tells whatever arrives of its market.

    Candles and day statistics carry no event time, since the venue gives none; tops, books and trades carry their
    `time`. Every book is a whole one, of at most 20 levels a side, so that there is no sequence to hold it to.

    Args:
        market: the market.
        connection: what the socket is to carry.

    """

    def __init__(self, market: MarketId, connection: Connection) -> None:
        self.ignored = 0
        self._open_to_all = not connection.subscriptions
        self._sequenced = connection.sequenced
        self._instruments = Known(maker_of(market) if self._open_to_all else None)
        one_each = partial(chunks, count_max=1)
        self._control = Subscriber(one_each, encode, per_tick_max=MESSAGES_PER_TICK)
        self._wishes = Wishes(self._control)
        self._heartbeat = Heartbeat(PING_NS)
        self._bars = Bars(INSTRUMENTS_MAX)
        self._candles_wanted: set[tuple[str, str]] = set()
        self._last: dict[str, RawTrade] = {}  # the newest trade of each instrument, for the day's statistics
        self._books: dict[str, int] = {}  # how many books came, by the venue's name
        self._prices = PRICES
        self._venue_ms = 0  # the newest instant that the venue told
        self.change(connection.subscriptions, [])

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        """Subscribe; over a few seconds where that takes many messages."""
        self._heartbeat.since_ns = now_ns
        self._control.opened(now_ns, effects)

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        """Carry exactly these subscriptions from now on."""
        candles = [(s.instrument, s.interval) for s in wanted if s.channel is Channel.CANDLES]
        self._candles_wanted = {(instrument.venue_symbol, i) for instrument, i in candles if i is not None}
        if not self._open_to_all:
            self._bars.keep((instrument.id, i) for instrument, i in candles if i is not None)
            self._instruments.carry(subscription.instrument for subscription in wanted)
            self._last = {name: trade for name, trade in self._last.items() if name in self._instruments}
            self._books = {name: count for name, count in self._books.items() if name in self._instruments}
        self._control.carry(carried_by(wanted, streams_of), effects)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Say what is still to be said, ping a venue that is silent, and ask for candles that are overdue."""
        self._control.tick(now_ns, effects)
        if self._heartbeat.due(now_ns):
            effects.append(Send(PING, heartbeat=True))
        self._wishes.ticked(effects)
        page = self._bars.due(now_ns)
        if page is not None:
            effects.append(Fetch(candle_request(page)))

    def decode(
        self, frames: Sequence[bytes], received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take the text frames of one socket read, in order; one that is not documented becomes `Refused`."""
        append = events.append
        instruments, prices = self._instruments, self._prices
        self._bars.heard(received_ns)
        self._heartbeat.since_ns = received_ns
        for index, frame in enumerate(frames):
            try:
                raw = decode_frame(frame)
                if type(raw) is RawTopFrame:
                    top = raw.data
                    instrument = instruments[top.coin]
                    bid, ask = top.bbo
                    if bid is not None and not ZERO <= fits(bid.sz) < BOUND:
                        raise ValueError(NOT_AN_AMOUNT)
                    if ask is not None and not ZERO <= fits(ask.sz) < BOUND:
                        raise ValueError(NOT_AN_AMOUNT)
                    append(BookTop(
                        instrument,
                        None if bid is None else prices[bid.px], None if bid is None else bid.sz,
                        None if ask is None else prices[ask.px], None if ask is None else ask.sz,
                        None, top.time * NS_PER_MS, received_ns,
                    ))  # fmt: skip
                    if top.time > self._venue_ms:
                        self._venue_ms = top.time
                elif type(raw) is RawTradesFrame:
                    self._trades(raw.data, received_ns, events)
                elif type(raw) is RawCandleFrame:
                    data = raw.data
                    for bar in data if isinstance(data, list) else (data,):
                        self._candle(bar, received_ns, events)
                elif type(raw) is RawBookFrame:
                    self._book(raw.data, received_ns, events)
                else:
                    self._other(raw, received_ns, events, effects)
            except KeyError:
                self.ignored += 1
            except FAULTS as e:
                self._unread(index, frame, e, effects)

    def fetched(
        self, request: Request, body: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take an answer, and ask for the next page where there is more."""
        purpose = request.purpose
        if not isinstance(purpose, CandlePage):
            return
        try:
            answer = read_candles(purpose, body, self._venue_ms * NS_PER_MS, received_ns)
        except FAULTS as e:
            effects.append(Refused(-1, f"{request.path}: {reason_of(e)}"))
            return
        for candle in answer.candles:
            if candle.closed:
                self._bars.settled(candle)
        events.extend(answer.candles)
        if answer.following is not None:
            effects.append(Fetch(candle_request(answer.following)))

    def failed(self, request: Request, reason: str, now_ns: int, effects: list[Effect]) -> None:
        """Do nothing: a candle that is overdue is asked for again in its turn, other pages are their asker's."""

    def book_counters(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many books came, by the venue's name; each is whole, so that none is dropped or missed."""
        return {name: {"dropped": 0, "applied": count, "gaps": 0} for name, count in self._books.items()}

    def _candle(self, bar: RawBar, received_ns: int, events: list[VenueEvent]) -> None:
        if not self._open_to_all and (bar.s, bar.i) not in self._candles_wanted:
            raise KeyError(bar.s)
        instrument = self._instruments[bar.s]
        volume = bar.v
        if not ZERO <= fits(volume) < BOUND:
            raise ValueError(NOT_AN_AMOUNT)
        check_grid(bar)
        prices = self._prices
        candle = Candle(
            instrument, bar.i, bar.t * NS_PER_MS, bar.T * NS_PER_MS + NS_PER_MS,
            prices[bar.o], prices[bar.h], prices[bar.l], prices[bar.c],
            volume, None, None, bar.n, False, None, received_ns, _STREAM,
        )  # fmt: skip
        if bar.t > self._venue_ms:
            self._venue_ms = bar.t
        if self._sequenced:
            self._bars.take(candle, events)
        else:
            events.append(candle)

    def _trades(self, raws: list[RawTrade], received_ns: int, events: list[VenueEvent]) -> None:
        prices, instruments = self._prices, self._instruments
        trades: list[Trade] = []
        for raw in raws:
            quantity = raw.sz
            if not ZERO <= fits(quantity) < BOUND:
                raise ValueError(NOT_AN_AMOUNT)
            # A trade without a number is explained in `rest.to_trade`.
            trades.append(Trade(
                instruments[raw.coin], str(raw.tid) if raw.tid else None, None, prices[raw.px], quantity,
                SIDES[raw.side], _MARKET, raw.time * NS_PER_MS, received_ns, _STREAM,
            ))  # fmt: skip
        last = self._last
        for raw in raws:
            known = last.get(raw.coin)
            if known is None or raw.time >= known.time:
                last[raw.coin] = raw
            if raw.time > self._venue_ms:
                self._venue_ms = raw.time
        if len(last) > INSTRUMENTS_MAX:
            last.clear()
        events.extend(trades)

    def _book(self, raw: RawBook, received_ns: int, events: list[VenueEvent]) -> None:
        events.append(to_book(raw, self._instruments[raw.coin], self._prices, received_ns))
        if len(self._books) > INSTRUMENTS_MAX:
            self._books.clear()
        self._books[raw.coin] = self._books.get(raw.coin, 0) + 1
        if raw.time > self._venue_ms:
            self._venue_ms = raw.time

    def _other(self, raw: RawFrame, received_ns: int, events: list[VenueEvent], effects: list[Effect]) -> None:
        if isinstance(raw, RawActiveFrame | RawActiveSpotFrame):
            statistics = self._day(raw.data, received_ns)
            if statistics is not None:
                events.append(statistics)
        elif isinstance(raw, RawConfirmedFrame):
            self._wishes.confirmed(raw.data)
        elif isinstance(raw, RawErrorFrame):
            self._wishes.refused(raw.data, effects)

    def _day(self, raw: RawActive, received_ns: int) -> DayStatistics | None:
        instrument = self._instruments[raw.coin]
        ctx = raw.ctx
        base = None if ctx.day_base_vlm is None else amount(ctx.day_base_vlm)
        quote, opened = amount(ctx.day_ntl_vlm), amount(ctx.prev_day_px)
        last = self._last.get(raw.coin)
        if last is None:  # Its mark and mid prices are not the price of a trade.
            return None
        return DayStatistics(
            instrument, self._prices[last.px], opened or None, None, None, base, quote, None, None, None, received_ns
        )

    def _unread(self, index: int, frame: bytes, error: Exception, effects: list[Effect]) -> None:
        if frame == BANNER:
            return
        try:
            if decode_named(frame).channel in SILENT:
                return
        except FAULTS:
            pass
        self._bars.doubt()  # It may have been the last revision of any.
        effects.append(Refused(index, reason_of(error)))
