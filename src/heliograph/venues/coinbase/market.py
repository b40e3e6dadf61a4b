"""Coinbase public market data: candles, tickers, trades and books of one socket.

Source: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels

All frames of a connection are numbered together, so that one number missing may be a frame of any channel (the
documentation has the field and not its meaning; frames that others recorded on 2026-09-07 count across channels). Then
every book of the connection is taken for broken. Trades have numbers of their own, candles are closed by REST, and a
ticker that is lost is followed by another.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot, Level
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.market import BookTop, Candle, DayStatistics, Side, Trade, TradeCause
from heliograph.model.numbers import BOUND, NOT_AN_AMOUNT, ZERO, Amounts, amount, fits
from heliograph.venues.coinbase.closing import Closing
from heliograph.venues.coinbase.frames import (
    RawBook,
    RawBooksFrame,
    RawCandlesFrame,
    RawFrame,
    RawHeartbeatFrame,
    RawLevel,
    RawSubscriptionsFrame,
    RawTicker,
    RawTickersFrame,
    RawTradesFrame,
    decode_error,
    decode_frame,
    instant_ns,
)
from heliograph.venues.coinbase.instruments import instrument_of_symbol
from heliograph.venues.coinbase.rest import candle_request, read_candles, read_trades
from heliograph.venues.coinbase.streams import HEARTBEATS, STREAMED, Stream, chunk, encode, streams_of
from heliograph.venues.contract import (
    CandlePage,
    Connection,
    Effect,
    Fetch,
    Reconnect,
    Refused,
    Request,
    Subscription,
    TradePage,
    VenueError,
)
from heliograph.venues.faults import FAULTS, reason_of
from heliograph.venues.known import INSTRUMENTS_MAX, Known
from heliograph.venues.levels import check_order
from heliograph.venues.linked_book import STALE_MAX, Books
from heliograph.venues.subscribing import UNACKNOWLEDGED, Subscriber, carried_by

PRICES_REMEMBERED_MAX: Final = 65_536
MESSAGES_PER_TICK: Final = 3
"""Of the eight a second that the venue takes of an address."""
_BUY: Final = Side.BUY  # A member's look-up in its enumeration costs a tenth of a trade.
_SELL: Final = Side.SELL
_MARKET: Final = TradeCause.MARKET
_TOO_OFTEN: Final = ("rate", "limit", "too many")
"""Words by which an error is taken to be about how often we spoke, and not about what we said."""


class Feed:
    """The codec of one socket.

    A connection with subscriptions tells their products only: what else arrives, such as the last frames of a stream
    that was just left, is counted in `ignored`. One without tells whatever arrives.

    Candles, tickers and books carry the time at which the venue made the frame, trades that of the trade.

    Args:
        connection: what the socket is to carry.

    """

    def __init__(self, connection: Connection) -> None:
        self.ignored = 0
        self._open_to_all = not connection.subscriptions
        self._sequenced = connection.sequenced
        self._instruments = Known(instrument_of_symbol if self._open_to_all else None)
        self._control: Subscriber[Stream] = Subscriber(chunk, encode, per_tick_max=MESSAGES_PER_TICK)
        self._books = Books()
        self._told: dict[str, int] = {}  # the number of the frame that each book was last told by
        self._closing = Closing(INSTRUMENTS_MAX)
        self._prices = Amounts(PRICES_REMEMBERED_MAX)
        self._expected: int | None = None  # the number of the next frame
        self._losses = 0
        self._stale_run = 0
        self._venue_ns = 0  # the newest time that the venue told
        self.change(connection.subscriptions, [])

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        """Subscribe; over a few seconds where that takes many messages."""
        self._control.opened(now_ns, effects)

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        """Carry exactly these subscriptions from now on."""
        carried = carried_by(wanted, streams_of)
        self._instruments.carry(subscription.instrument for subscription in wanted)
        self._control.carry(carried, effects)
        self._settle_on(carried)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Say what is still to be said, and ask again for books that have no snapshot."""
        self._control.tick(now_ns, effects)
        late = self._control.late()
        if late and (self._losses or HEARTBEATS in late):
            effects.append(Reconnect(UNACKNOWLEDGED))  # The answer may have been among what was lost.
        elif late:
            self._give_up(late, "subscriptions", "not in the venue's list of what is subscribed to", effects)
        self._mend(now_ns, effects)

    def decode(
        self, frames: Sequence[bytes], received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take the text frames of one socket read, in order; one that Coinbase does not document becomes `Refused`."""
        for index, frame in enumerate(frames):
            try:
                self._take(decode_frame(frame), received_ns, events, effects)
            except FAULTS as e:
                self._other(index, frame, e, effects)

    def fetched(
        self, request: Request, body: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take an answer: tell what is in it, and ask for the page after it."""
        purpose = request.purpose
        try:
            if isinstance(purpose, CandlePage):
                answer = read_candles(purpose, body, self._venue_ns, received_ns)
                events.extend(answer.candles)
                for candle in answer.candles:
                    if candle.closed:
                        self._closing.settled(candle)
                if answer.following is not None:
                    effects.append(Fetch(candle_request(answer.following)))
            elif isinstance(purpose, TradePage):
                events.extend(read_trades(purpose, body, received_ns))
        except FAULTS as e:
            effects.append(Refused(-1, f"{request.path}: {reason_of(e)}"))

    def failed(self, request: Request, reason: str, now_ns: int, effects: list[Effect]) -> None:
        """Leave giving up to whoever asked; what this feed asks of its own accord, it asks again."""

    def book_counters(self) -> Mapping[str, Mapping[str, int]]:
        """Return the counters of each book's sequence, by the venue's symbol."""
        return {
            symbol: {"dropped": book.dropped, "applied": book.applied, "gaps": book.gaps, "resyncs": book.resyncs}
            for symbol, book in self._books.by_symbol.items()
        }

    def _settle_on(self, carried: Mapping[Stream, object]) -> None:
        """Keep books and candles of what is carried, and of nothing else."""
        if not self._open_to_all:
            booked = [symbol for channel, symbol in carried if channel == "level2"]
            self._books.carry(self._instruments[symbol] for symbol in booked)
            self._closing.keep(symbol for channel, symbol in carried if channel == "candles")

    def _give_up(self, streams: Sequence[Stream], code: str, reason: str, effects: list[Effect]) -> None:
        refused = self._control.carriers(streams)
        self._control.give_up(streams)
        self._settle_on(self._control.carried)
        if refused:
            effects.append(VenueError(code, reason, refused))

    def _mend(self, now_ns: int, effects: list[Effect]) -> None:
        if not self._control.busy:  # Else the first request for some of them may not have left yet.
            due = [("level2", instrument.venue_symbol) for instrument in self._books.due(now_ns)]
            self._control.renew(due, effects)

    def _take(self, raw: RawFrame, received_ns: int, events: list[VenueEvent], effects: list[Effect]) -> None:
        event_ns, number = instant_ns(raw.timestamp), raw.sequence_num
        late = self._sequenced and self._is_late(number, received_ns, events, effects)
        if isinstance(raw, RawTradesFrame):
            self._trades(raw, received_ns, events)
        elif isinstance(raw, RawCandlesFrame):
            self._candles(raw, event_ns, received_ns, events)
        elif isinstance(raw, RawTickersFrame):
            self._tickers(raw, event_ns, received_ns, events)
        elif isinstance(raw, RawBooksFrame):
            for book in raw.events:
                self._book(book, number, event_ns, received_ns, events, late=late)
        elif isinstance(raw, RawSubscriptionsFrame):
            self._answered(raw)
        if not late:
            self._expected = number + 1  # Not before: what could not be read counts as lost.
        if event_ns > self._venue_ns:
            self._venue_ns = event_ns
        if isinstance(raw, RawHeartbeatFrame) and not self._open_to_all:
            effects.extend(Fetch(candle_request(page)) for page in self._closing.due(self._venue_ns))

    def _is_late(self, number: int, received_ns: int, events: list[VenueEvent], effects: list[Effect]) -> bool:
        """Tell whether a frame comes after a later one, or twice; where some before it are missing, break the books."""
        expected = self._expected
        if expected is not None and number < expected:
            self._stale_run += 1
            if self._stale_run == STALE_MAX:
                effects.append(Reconnect("the venue's numbers began anew"))
            return True
        self._stale_run = 0
        if expected is not None and number > expected:
            self._expected = number
            self._losses += 1
            for book in self._books.by_symbol.values():
                if not book.waiting:
                    book.break_off("a frame of the connection is missing", None, received_ns, events)
            if not self._open_to_all:
                self._mend(received_ns, effects)
        return False

    def _instrument(self, symbol: str) -> Instrument | None:
        """Return an instrument; None of what is not carried, which costs the rest of its frame nothing."""
        try:
            return self._instruments[symbol]
        except KeyError:
            self.ignored += 1
            return None

    def _candles(self, raw: RawCandlesFrame, event_ns: int, received_ns: int, events: list[VenueEvent]) -> None:
        prices, made = self._prices, []
        for bar in (bar for event in raw.events for bar in event.candles):
            instrument = self._instrument(bar.product_id)
            if instrument is None:
                continue
            open_ns = int(bar.start) * NS_PER_S
            if STREAMED.open_of(open_ns) != open_ns:
                raise ValueError(f"a candle of {STREAMED.value} that opens at {bar.start}")
            made.append(Candle(
                instrument, STREAMED, open_ns, STREAMED.next_open(open_ns),
                prices[bar.open], prices[bar.high], prices[bar.low], prices[bar.close],
                amount(bar.volume), None, None, None, False, event_ns, received_ns,
            ))  # fmt: skip
        made.sort(key=lambda candle: candle.open_ns)  # In which order a snapshot has several is not documented.
        for candle in made:
            self._closing.take(candle)
        events.extend(made)

    def _trades(self, raw: RawTradesFrame, received_ns: int, events: list[VenueEvent]) -> None:
        prices, made = self._prices, []
        for event in raw.events:
            for fill in reversed(event.trades):
                size = fill.size
                if not ZERO <= fits(size) < BOUND:
                    raise ValueError(NOT_AN_AMOUNT)
                instrument = self._instrument(fill.product_id)
                if instrument is None:
                    continue
                made.append(Trade(
                    instrument, fill.trade_id, int(fill.trade_id), prices[fill.price], size,
                    _SELL if fill.side == "BUY" else _BUY,  # The venue tells the maker's.
                    _MARKET, instant_ns(fill.time), received_ns,
                ))  # fmt: skip
        events.extend(made)

    def _tickers(self, raw: RawTickersFrame, event_ns: int, received_ns: int, events: list[VenueEvent]) -> None:
        made: list[VenueEvent] = []
        for ticker in (ticker for event in raw.events for ticker in event.tickers):
            instrument = self._instrument(ticker.product_id)
            if instrument is not None:
                made += tell_ticker(ticker, instrument, self._prices, event_ns, received_ns)
        events.extend(made)

    def _book(
        self, raw: RawBook, number: int, event_ns: int, received_ns: int, events: list[VenueEvent], *, late: bool
    ) -> None:
        instrument = self._instrument(raw.product_id)
        if instrument is None:
            return
        whole = raw.type == "snapshot"
        bids, asks = _sides(raw.updates, self._prices, whole=whole)
        made: BookSnapshot | BookDelta = (
            BookSnapshot(instrument, bids, asks, number, event_ns, received_ns)
            if whole
            else BookDelta(instrument, bids, asks, number, number, event_ns, received_ns)
        )
        if not self._sequenced:
            events.append(made)
            return
        book = self._books.of(instrument)
        if late:
            book.dropped += 1
            return
        if isinstance(made, BookSnapshot):
            book.start(made, events)
        else:
            # What lies between the two was told to be of other streams: nothing is missing on this connection.
            book.take(made, self._told.get(raw.product_id), events)
        self._told[raw.product_id] = number

    def _answered(self, raw: RawSubscriptionsFrame) -> None:
        listed = {
            HEARTBEATS if channel == HEARTBEATS[0] else (channel, product)
            for event in raw.events
            for channel, products in event.subscriptions.items()
            for product in products
        }
        for stream in self._control.unanswered():
            if stream in listed:
                self._control.confirmed(stream)

    def _other(self, index: int, frame: bytes, error: Exception, effects: list[Effect]) -> None:
        """Take an error of the venue's, or a frame that was refused."""
        try:
            reason = decode_error(frame).message
        except FAULTS:
            effects.append(Refused(index, reason_of(error)))
            return
        waiting = self._control.unanswered()
        if any(word in reason.lower() for word in _TOO_OFTEN):
            effects.append(Reconnect(f"the venue said: {reason[:200]}"))
        elif waiting:  # It does not say what it refuses: the first thing that was asked and not answered, a channel.
            self._give_up([s for s in waiting if s[0] == waiting[0][0]], "error", reason, effects)
        elif self._open_to_all:
            effects.append(VenueError("error", reason))
        else:
            effects.append(Refused(index, f"an error about nothing that was asked: {reason[:150]}"))


def tell_ticker(
    raw: RawTicker, instrument: Instrument, prices: Amounts, event_ns: int | None, received_ns: int
) -> list[VenueEvent]:
    """Make a top of the book, if a ticker has one, and statistics of the day."""
    told: list[VenueEvent] = []
    if raw.best_bid or raw.best_ask:
        bid, ask = (
            _best(raw.best_bid, raw.best_bid_quantity, prices),
            _best(raw.best_ask, raw.best_ask_quantity, prices),
        )
        told.append(BookTop(instrument, *bid, *ask, None, event_ns, received_ns))
    last, high, low = prices[raw.price], _known(raw.high_24_h, prices), _known(raw.low_24_h, prices)
    volume = amount(Decimal(raw.volume_24_h)) if raw.volume_24_h else None
    told.append(DayStatistics(instrument, last, None, high, low, volume, None, None, None, event_ns, received_ns))
    return told


def _known(text: str, prices: Amounts) -> Decimal | None:
    return prices[text] if text else None


def _best(price_text: str, quantity_text: str, prices: Amounts) -> tuple[Decimal | None, Decimal | None]:
    """Read a side, whose price is empty or zero where there are no orders."""
    price = _known(price_text, prices)
    return (price, amount(Decimal(quantity_text)) if quantity_text else None) if price else (None, None)


def _sides(updates: Sequence[RawLevel], prices: Amounts, *, whole: bool) -> tuple[list[Level], list[Level]]:
    """Sort levels by side, and those of a whole book by price; raise one of `FAULTS` if one is none."""
    bids: list[Level] = []
    asks: list[Level] = []
    for level in updates:
        quantity = level.new_quantity
        if not ZERO <= fits(quantity) < BOUND:
            raise ValueError(NOT_AN_AMOUNT)
        if quantity or not whole:
            (bids if level.side == "bid" else asks).append((prices[level.price_level], quantity))
    if whole:
        bids.sort(reverse=True)
        asks.sort()
        check_order(bids, asks)
    return bids, asks
