"""Kraken public market data: candles, tickers, trades and books of one socket.

Source: https://docs.kraken.com/exchange/api-reference/spot-websocket and the pages below it.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Side, Trade, TradeCause
from heliograph.model.numbers import amount
from heliograph.venues.contract import (
    CandlePage,
    Connection,
    Effect,
    Fetch,
    Refused,
    Request,
    Send,
    Subscription,
    TradePage,
)
from heliograph.venues.faults import FAULTS, reason_of
from heliograph.venues.heartbeat import Heartbeat
from heliograph.venues.known import Known
from heliograph.venues.kraken.bars import Bars
from heliograph.venues.kraken.book import checksum_of, to_levels
from heliograph.venues.kraken.control import answered
from heliograph.venues.kraken.frames import (
    SILENT,
    RawBook,
    RawBooks,
    RawCandle,
    RawCandles,
    RawHeartbeat,
    RawTicker,
    RawTickers,
    RawTrade,
    RawTrades,
    decode_answer,
    decode_frame,
    decode_limit,
    decode_named,
    to_ns,
)
from heliograph.venues.kraken.instruments import instrument_of_symbol
from heliograph.venues.kraken.rest import candle_request, read_candles, read_trades
from heliograph.venues.kraken.streams import BOOK_DEPTH, INTERVALS, PING, Stream, chunk, encode, streams_of
from heliograph.venues.levels import check_order
from heliograph.venues.linked_book import Books
from heliograph.venues.subscribing import Subscriber, carried_by

PING_NS: Final = 10 * NS_PER_S
"""The venue closes a connection after about a minute without any activity. Its pong is a sign of life besides its own,
which come each second where there is a subscription."""
MESSAGES_PER_TICK: Final = 5
"""How many are too many "varies with the load"; each of ours names up to a hundred symbols."""

_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}
_BOOK: Final = re.compile(rb'"channel"\s*:\s*"book"')
_SYMBOL: Final = re.compile(rb'"symbol"\s*:\s*"([^"\\]{1,50})"')


class Feed:
    """The codec of one socket.

    A connection with subscriptions tells their streams only: what else arrives, such as the last frames of a stream
    that was just left, is counted in `ignored`. One without tells whatever arrives.

    A book has no numbers: each frame proves the ten best levels of each side by a checksum. A frame of a book that
    cannot be read breaks that book, since nothing else would show that it is missing from the levels below.

    Args:
        connection: what the socket is to carry.

    """

    def __init__(self, connection: Connection) -> None:
        self.ignored = 0
        self._open_to_all = not connection.subscriptions
        self._sequenced = connection.sequenced
        self._instruments = Known(instrument_of_symbol if self._open_to_all else None)
        self._control = Subscriber(chunk, encode, per_tick_max=MESSAGES_PER_TICK)
        self._heartbeat = Heartbeat(PING_NS)
        self._bars = Bars()
        self._books = Books(checksum_of, BOOK_DEPTH)
        self._wanted: frozenset[Stream] = frozenset()
        self._venue_ns = 0  # the newest time that the venue told
        self.change(connection.subscriptions, [])

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        """Subscribe; over a few seconds where that takes many messages."""
        self._heartbeat.since_ns = now_ns
        self._control.opened(now_ns, effects)

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        """Carry exactly these subscriptions from now on."""
        carried = carried_by(wanted, streams_of)
        self._wanted = frozenset(carried)
        if not self._open_to_all:
            self._instruments.carry(subscription.instrument for subscription in wanted)
            self._books.carry(s.instrument for s in dict.fromkeys(wanted) if s.channel is Channel.BOOK)
            self._bars.keep((s.instrument.id, s.interval) for s in wanted if s.interval is not None)
        self._control.carry(carried, effects)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Say what is still to be said, ping, and ask for what is missing: books' snapshots, and candles' ends."""
        self._control.ticked(now_ns, effects)
        if self._heartbeat.due(now_ns):
            effects.append(Send(PING, heartbeat=True))
        self._mend(now_ns, effects)
        page = self._bars.due(now_ns)
        if page is not None:
            effects.append(Fetch(candle_request(page)))

    def decode(
        self, frames: Sequence[bytes], received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take the text frames of one socket read, in order; one that Kraken does not document becomes `Refused`."""
        self._bars.heard(received_ns)
        for index, frame in enumerate(frames):
            try:
                raw = decode_frame(frame)
                if type(raw) is RawBooks:
                    for book in raw.data:
                        self._book(book, raw.type == "snapshot", received_ns, events, effects)
                elif type(raw) is RawTrades:
                    events.extend([self._trade(trade, received_ns) for trade in raw.data])
                elif type(raw) is RawTickers:
                    for ticker in raw.data:
                        self._ticker(ticker, received_ns, events)
                elif type(raw) is RawCandles:
                    self._candles(raw, received_ns, events)
                elif type(raw) is RawHeartbeat:
                    self._bars.alive()
            except KeyError:
                self.ignored += 1
            except FAULTS as e:
                self._other(index, frame, e, received_ns, events, effects)

    def fetched(
        self, request: Request, body: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take an answer."""
        page = request.purpose
        try:
            if isinstance(page, CandlePage):
                candles = read_candles(page, body, self._venue_ns, received_ns).candles
                for candle in candles:
                    if candle.closed:
                        self._bars.settled(candle)
                events.extend(candles)
            elif isinstance(page, TradePage):
                told = read_trades(page.instrument, body, received_ns)
                events.extend(t for t in told if page.from_sequence <= (t.sequence or 0) <= page.to_sequence)
        except FAULTS as e:
            effects.append(Refused(-1, f"{request.path}: {reason_of(e)}"))

    def failed(self, request: Request, reason: str, now_ns: int, effects: list[Effect]) -> None:
        """Do nothing: a candle that is overdue is asked for again in its turn, other pages are their asker's."""

    def book_counters(self) -> Mapping[str, Mapping[str, int]]:
        """Return the counters of each book, by the venue's symbol."""
        return {
            symbol: {
                "dropped": book.dropped,
                "applied": book.applied,
                "gaps": book.gaps,
                "checksum_ok": book.checksum_ok,
                "checksum_bad": book.checksum_bad,
            }
            for symbol, book in self._books.by_symbol.items()
        }

    def _mend(self, now_ns: int, effects: list[Effect]) -> None:
        if not self._control.busy:  # Else the first request for some of them may not have left yet.
            due = self._books.due(now_ns)
            self._control.renew([Stream("book", instrument.venue_symbol) for instrument in due], effects)

    def _expect(self, stream: Stream) -> None:
        if not self._open_to_all and stream not in self._wanted:
            raise KeyError(stream)

    def _told(self, time: datetime | None) -> int | None:
        if time is None:
            return None
        time_ns = to_ns(time)
        self._venue_ns = max(self._venue_ns, time_ns)
        self._bars.told(time_ns)
        return time_ns

    def _candles(self, raw: RawCandles, received_ns: int, events: list[VenueEvent]) -> None:
        self._told(raw.timestamp)
        whole = raw.type == "snapshot"
        made = []
        for number, row in enumerate(raw.data, 1):
            if row.interval not in INTERVALS:
                raise KeyError(row.interval)
            self._expect(Stream("ohlc", row.symbol, row.interval))
            # What a snapshot goes on from is over.
            closed = whole and number < len(raw.data) and raw.data[number].symbol == row.symbol
            made.append(self._candle(row, received_ns, closed=closed))
        for candle in made:
            if self._sequenced:
                self._bars.take(candle, events)
            else:
                events.append(candle)

    def _candle(self, row: RawCandle, received_ns: int, *, closed: bool) -> Candle:
        interval, open_ns = INTERVALS[row.interval], to_ns(row.interval_begin)
        o, h, l, c = amount(row.open), amount(row.high), amount(row.low), amount(row.close)  # noqa: E741
        if not (l <= o <= h and l <= c <= h):
            raise ValueError(f"prices out of order: open {o}, high {h}, low {l}, close {c}")
        if interval.open_of(open_ns) != open_ns:
            raise ValueError(f"a candle of {interval.value} that opens at {row.interval_begin}")
        return Candle(
            self._instruments[row.symbol], interval, open_ns, interval.next_open(open_ns), o, h, l, c,
            amount(row.volume), None, None, row.trades, closed, None, received_ns,
        )  # fmt: skip

    def _ticker(self, raw: RawTicker, received_ns: int, events: list[VenueEvent]) -> None:
        self._expect(Stream("ticker", raw.symbol))
        instrument, event_ns = self._instruments[raw.symbol], self._told(raw.timestamp)
        day = DayStatistics(
            instrument, amount(raw.last), None, amount(raw.high), amount(raw.low), amount(raw.volume),
            None, None, None, event_ns, received_ns,
        )  # fmt: skip
        top = BookTop(
            instrument, amount(raw.bid), amount(raw.bid_qty), amount(raw.ask), amount(raw.ask_qty),
            None, event_ns, received_ns,
        )  # fmt: skip
        events += (day, top)

    def _trade(self, raw: RawTrade, received_ns: int) -> Trade:
        self._expect(Stream("trade", raw.symbol))
        return Trade(
            self._instruments[raw.symbol], str(raw.trade_id), raw.trade_id, amount(raw.price), amount(raw.qty),
            _SIDES[raw.side], TradeCause.MARKET, self._told(raw.timestamp), received_ns,
        )  # fmt: skip

    def _book(
        self, raw: RawBook, whole: bool, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        self._expect(Stream("book", raw.symbol))
        instrument, event_ns = self._instruments[raw.symbol], self._told(raw.timestamp)
        bids, asks = to_levels(raw.bids), to_levels(raw.asks)
        if whole:
            check_order(bids, asks)
            snapshot = BookSnapshot(instrument, bids, asks, None, event_ns, received_ns)
            if self._sequenced:
                self._books.of(instrument).start(snapshot, events, raw.checksum)
            else:
                events.append(snapshot)
            return
        delta = BookDelta(instrument, bids, asks, None, None, event_ns, received_ns)
        if not self._sequenced:
            events.append(delta)
            return
        book = self._books.of(instrument)
        book.take(delta, None, events, raw.checksum)
        if book.waiting:
            self._mend(received_ns, effects)

    def _other(
        self,
        index: int,
        frame: bytes,
        error: Exception,
        received_ns: int,
        events: list[VenueEvent],
        effects: list[Effect],
    ) -> None:
        """Take a frame that is no data of ours, or that was refused as such."""
        try:
            if decode_named(frame).channel in SILENT:
                return
        except FAULTS:
            problem = self._answered(frame, effects)
            if problem is None:
                return
            error = problem
        effects.append(Refused(index, reason_of(error)))
        self._doubt(frame, received_ns, events, effects)

    def _answered(self, frame: bytes, effects: list[Effect]) -> Exception | None:
        """Take a frame that names no channel; return what is wrong with it, if anything."""
        try:
            raw = decode_answer(frame)
            if raw is not None and raw.method is not None:
                answered(raw, self._control, effects)
            else:
                decode_limit(frame)  # What it was about is not acknowledged, which ends in a new connection.
        except FAULTS as e:
            return e
        return None

    def _doubt(self, frame: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]) -> None:
        """Break the book that a frame which cannot be read is about; all of them where it does not tell."""
        if not self._sequenced or not _BOOK.search(frame):
            return
        named = _SYMBOL.search(frame)
        symbol = None if named is None else named[1].decode("utf-8", "replace")
        for book in self._books.by_symbol.values():
            if not book.waiting and symbol in (None, book.instrument.venue_symbol):
                book.break_off("a change that cannot be read", None, received_ns, events)
        self._mend(received_ns, effects)
