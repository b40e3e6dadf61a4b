"""OKX public market data: candles, tickers, trades and books of one socket.

Source: https://www.okx.com/docs-v5/en/#order-book-trading-market-data , "WS" of each channel.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot, Level
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.market import Candle, Side, Trade, TradeCause
from heliograph.model.numbers import BOUND, NOT_AN_AMOUNT, PRICES, ZERO, amount, fits
from heliograph.venues.contract import (
    CandlePage,
    Connection,
    Effect,
    Fetch,
    Reconnect,
    Refused,
    Request,
    Send,
    Subscription,
    TradePage,
    VenueError,
)
from heliograph.venues.faults import FAULTS, reason_of
from heliograph.venues.heartbeat import Heartbeat
from heliograph.venues.linked_book import Books
from heliograph.venues.okx.book import checksum_of, counters_of, is_real
from heliograph.venues.okx.control import EVENTS, OPERATIONS, PASSING, UPGRADE, named_by
from heliograph.venues.okx.frames import (
    RawAny,
    RawBook,
    decode_answer,
    decode_any,
    decode_books,
    decode_candles,
    decode_tickers,
    decode_trades,
)
from heliograph.venues.okx.rest import PASSING as PASSING_ANSWERS
from heliograph.venues.okx.rest import Pages, read_trades, trade_request
from heliograph.venues.okx.routes import Kind, Route, Routes, make_route
from heliograph.venues.okx.rows import quantity_of, to_levels, to_ticker, to_top
from heliograph.venues.okx.streams import BOOKS, REQUESTS_PER_HOUR_MAX, Key, chunk, encode, streams_of
from heliograph.venues.subscribing import Subscriber, carried_by, find_number

PING_NS: Final = 20 * NS_PER_S
"""Silence after which to ask for a sign of life: the venue cuts a socket on which it sent nothing for 30 s."""
MESSAGES_PER_TICK: Final = 2
"""Control messages that may leave at once; the rest follows a second later."""
_BUY: Final = Side.BUY  # A member's look-up in its enumeration costs a tenth of a trade.
_SELL: Final = Side.SELL
_MARKET: Final = TradeCause.MARKET
_CANDLES: Final = Kind.CANDLES
_TRADES: Final = Kind.TRADES


class Feed:
    """The codec of one socket, of whatever market: OKX's symbols tell it.

    A connection with subscriptions tells their instruments only: what else arrives is counted in `ignored`. One without
    tells whatever arrives. Candles have no event time, since the venue gives none; all else has the venue's `ts`.

    Args:
        connection: what the socket is to carry.

    """

    def __init__(self, connection: Connection) -> None:
        self.ignored = 0
        self._path = connection.path
        self._open_to_all = not connection.subscriptions
        self._sequenced = connection.sequenced
        self._control = Subscriber(chunk, encode, per_tick_max=MESSAGES_PER_TICK, per_hour_max=REQUESTS_PER_HOUR_MAX)
        self._heartbeat = Heartbeat(PING_NS)
        self._books = Books(checksum_of)
        self._instruments: dict[Key, Instrument] | None = None  # by what is subscribed to; None: all are welcome
        self._routes = Routes()
        self._prices = PRICES
        self._pages = Pages()
        self._venue_ns = 0  # the newest opening of a candle that the venue told
        self._moving = False
        self.change(connection.subscriptions, [])

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        """Subscribe; over a few seconds where that takes many messages."""
        self._heartbeat.since_ns = now_ns
        self._control.opened(now_ns, effects)

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        """Carry exactly these subscriptions from now on; those of another path than this socket's are passed over."""
        carried = carried_by(wanted, partial(streams_of, self._path))
        if not self._open_to_all:
            self._instruments = {key: carriers[0].instrument for key, carriers in carried.items()}
        self._books.carry(carriers[0].instrument for (channel, _), carriers in carried.items() if channel == BOOKS)
        self._routes.clear()
        self._control.carry(carried, effects)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Say what is still to be said, subscribe to broken books again, and keep the socket from falling silent."""
        self._control.ticked(now_ns, effects)
        self._mend(now_ns, effects)
        if self._heartbeat.due(now_ns):  # The shell gives up a socket that is silent for good.
            effects.append(Send(b"ping", heartbeat=True))

    def decode(
        self, frames: Sequence[bytes], received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take the text frames of one socket read, in order; one that OKX does not document becomes `Refused`."""
        self._heartbeat.since_ns = received_ns
        routes = self._routes
        for index, frame in enumerate(frames):
            mark = len(events)
            try:
                route = routes.get(frame[: frame.find(b"}")])
                if route is None:
                    self._other(frame, received_ns, events, effects)
                elif route.kind is _TRADES:
                    self._trades(route, frame, received_ns, events)
                elif route.kind is _CANDLES:
                    self._candles(route, frame, received_ns, events)
                else:
                    self._take(route, frame, received_ns, events, effects)
            except FAULTS as e:
                del events[mark:]
                effects.append(Refused(index, reason_of(e)))

    def fetched(
        self, request: Request, body: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take an answer, and ask for the next page where there is more."""
        purpose = request.purpose
        try:
            answer = decode_answer(body)
            if answer.code != "0":
                self._rejected(request, answer.code, answer.msg, received_ns, effects)
                return
            if isinstance(purpose, CandlePage):
                told = self._pages.take(request, purpose, bytes(answer.data), self._venue_ns, received_ns)
                events.extend(told.candles)
                if told.following is not None:
                    effects.append(Fetch(told.following))
            elif isinstance(purpose, TradePage):
                trades, following = read_trades(purpose, bytes(answer.data), received_ns)
                events.extend(trades)
                if following is not None:
                    effects.append(Fetch(trade_request(following)))
        except FAULTS as e:
            effects.append(Refused(-1, f"{request.path}: {reason_of(e)}"))
            self.failed(request, str(e), received_ns, effects)

    def failed(self, request: Request, reason: str, now_ns: int, effects: list[Effect]) -> None:
        """Forget the rows of a page that will not be complete."""
        if isinstance(request.purpose, CandlePage):
            self._pages.forget(request.purpose)

    def book_counters(self) -> Mapping[str, Mapping[str, int]]:
        """Return the counters of each book's sequence, by the venue's symbol."""
        return {symbol: counters_of(book) for symbol, book in self._books.by_symbol.items()}

    def _mend(self, now_ns: int, effects: list[Effect]) -> None:
        if not self._control.busy:  # Else the first request for some of them may not have left yet.
            due = self._books.due(now_ns)
            self._control.renew([(BOOKS, instrument.venue_symbol) for instrument in due], effects)

    def _trades(self, route: Route, frame: bytes, received_ns: int, events: list[VenueEvent]) -> None:
        instrument, prices = route.instrument, self._prices
        assert instrument is not None
        for trade in decode_trades(frame).data:
            quantity = trade.sz
            if not ZERO <= fits(quantity) < BOUND:
                raise ValueError(NOT_AN_AMOUNT)
            number = trade.tradeId
            events.append(Trade(
                instrument, str(number), number, prices[trade.px], quantity,
                _BUY if trade.side == "buy" else _SELL, _MARKET, trade.ts * NS_PER_MS, received_ns,
            ))  # fmt: skip

    def _candles(self, route: Route, frame: bytes, received_ns: int, events: list[VenueEvent]) -> None:
        instrument, bars, spot, prices = route.instrument, route.bars, route.spot, self._prices
        assert instrument is not None
        assert bars is not None
        interval, length_ns, step_ns, phase_ns, _ = bars
        for row in decode_candles(frame).data:
            open_ns = row.ts * NS_PER_MS
            if (open_ns - phase_ns) % step_ns:
                raise ValueError(f"a candle of {interval.value} that opens at {row.ts}")
            volume, in_coin, in_quote = quantity_of(row.vol), quantity_of(row.volCcy), quantity_of(row.volCcyQuote)
            events.append(Candle(
                instrument, interval, open_ns, bars.close_of(open_ns) if length_ns is None else open_ns + length_ns,
                prices[row.o], prices[row.h], prices[row.l], prices[row.c],
                volume if spot else in_coin, in_quote, None if spot else volume, None,
                row.confirm == "1", None, received_ns,
            ))  # fmt: skip
            if open_ns > self._venue_ns:
                self._venue_ns = open_ns

    def _take(
        self, route: Route, frame: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        kind, instrument = route.kind, route.instrument
        if instrument is None:
            self.ignored += kind is Kind.IGNORED
            return
        if kind is Kind.TICKERS:
            for ticker in decode_tickers(frame).data:
                day, top = to_ticker(instrument, ticker, self._prices, received_ns)
                events.extend([top] if day is None else [day, top])
        elif kind is Kind.AGGREGATES:
            for trade in decode_trades(frame).data:
                quantity = amount(trade.sz)
                side = Side.BUY if trade.side == "buy" else Side.SELL
                price, event_ns = self._prices[trade.px], trade.ts * NS_PER_MS
                # No sequence: it is the last of the trades that were put together.
                told = Trade(
                    instrument, str(trade.tradeId), None, price, quantity, side, _MARKET, event_ns, received_ns
                )
                events.append(told)
        elif kind is Kind.DELTAS:
            raw = decode_books(frame)
            if raw.action is None:
                raise ValueError("a book that says neither snapshot nor update")
            made = [(book, *self._sides(book)) for book in raw.data]
            for book, bids, asks in made:
                self._book(instrument, book, bids, asks, received_ns, events, snapshot=raw.action == "snapshot")
            if self._sequenced and self._books.of(instrument).waiting:
                self._mend(received_ns, effects)
        else:
            for book in decode_books(frame).data:
                bids, asks = self._sides(book)
                event_ns = book.ts * NS_PER_MS
                events.append(
                    to_top(instrument, bids, asks, book.seq_id, event_ns, received_ns)
                    if kind is Kind.TOP
                    else BookSnapshot(instrument, bids, asks, book.seq_id, event_ns, received_ns)
                )

    def _sides(self, raw: RawBook) -> tuple[list[Level], list[Level]]:
        return to_levels(raw.bids, self._prices), to_levels(raw.asks, self._prices)

    def _book(
        self,
        instrument: Instrument,
        raw: RawBook,
        bids: list[Level],
        asks: list[Level],
        received_ns: int,
        events: list[VenueEvent],
        *,
        snapshot: bool,
    ) -> None:
        event_ns, number, previous = raw.ts * NS_PER_MS, raw.seq_id, raw.prev_seq_id
        first = None if previous is None else previous + 1
        checksum = raw.checksum if is_real(raw.checksum, event_ns) else None
        told: BookSnapshot | BookDelta
        if snapshot:
            told = BookSnapshot(instrument, bids, asks, number, event_ns, received_ns)
            if self._sequenced:
                self._books.of(instrument).start(told, events, checksum)
                return
        else:
            told = BookDelta(instrument, bids, asks, first, number, event_ns, received_ns)
            if self._sequenced:
                self._books.of(instrument).take(told, previous, events, checksum)
                return
        events.append(told)

    def _other(self, frame: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]) -> None:
        """Take a frame whose head is not known yet, or that is no data."""
        if frame == b"pong":
            return
        if frame == b"ping":
            effects.append(Send(b"pong"))
            return
        raw = decode_any(frame)
        if raw.event is not None:
            self._event(raw, effects)
        elif raw.arg is not None and raw.data:
            route = make_route(raw.arg, self._instruments)
            self._routes.learn(frame, raw.arg, route)
            if route.kind is Kind.CANDLES:
                self._candles(route, frame, received_ns, events)
            elif route.kind is Kind.TRADES:
                self._trades(route, frame, received_ns, events)
            else:
                self._take(route, frame, received_ns, events, effects)
        elif raw.op not in OPERATIONS:
            raise ValueError("neither data nor an answer that is documented")

    def _event(self, raw: RawAny, effects: list[Effect]) -> None:
        if raw.event == "error":
            self._error(raw, effects)
        elif raw.event == "notice":
            if str(raw.code) == UPGRADE and not self._moving:
                self._moving = True
                effects.append(Reconnect(f"the venue announced an upgrade: {raw.msg[:200]}", planned=True))
        elif raw.event == "channel-conn-count-error":
            mine = self._control.carriers(key for key in self._control.carried if key[0] == raw.channel)
            effects.append(VenueError(raw.event, f"too many connections carry {raw.channel[:50]}", mine))
        elif raw.event not in EVENTS:
            raise ValueError(f"an event that is not documented: {str(raw.event)[:50]!r}")
        elif raw.arg is not None and raw.event in ("subscribe", "unsubscribe"):
            self._control.confirmed((raw.arg.channel, raw.arg.instId), subscribes=raw.event == "subscribe")

    def _error(self, raw: RawAny, effects: list[Effect]) -> None:
        code = str(raw.code)
        if code in PASSING:
            effects.append(Reconnect(f"{raw.msg[:200]} (code {code})"))
            return
        named = named_by(raw.msg)
        number = find_number(str(raw.id))
        message = self._control.asked(number)
        if message is not None and not message.subscribes:  # What is not there any more need not be left.
            self._control.answered(number)
            return
        keys: tuple[Key, ...] = () if message is None else message.streams
        if named is not None:
            keys = (named,)
        for key in keys or self._control.unanswered():
            self._control.confirmed(key)
        refused = self._control.carriers(keys)
        if keys and not refused:  # Given up in the meantime.
            return
        effects.append(VenueError(code, raw.msg[:500], refused))

    def _rejected(self, request: Request, code: str, reason: str, received_ns: int, effects: list[Effect]) -> None:
        """Take an answer whose HTTP status was a success, and which says no all the same."""
        if code not in PASSING_ANSWERS and isinstance(request.purpose, CandlePage | TradePage):
            carried = self._control.carriers(self._control.carried)
            mine = tuple(s for s in carried if s.instrument.id == request.purpose.instrument.id)
            if mine:
                effects.append(VenueError(code, reason[:500], mine))
        effects.append(Refused(-1, f"{request.path}: {reason[:200]} (code {code})"))
        self.failed(request, reason, received_ns, effects)
