"""Binance public market data: candles, tickers, trades and books of one socket.

Sources: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams ,
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams and
https://developers.binance.com/docs/derivatives/coin-margined-futures/websocket-market-streams .
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.errors import ConfigError
from heliograph.model.book import BookDelta, Level
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument, MarketId
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Side, Trade, TradeCause
from heliograph.model.numbers import BOUND, NOT_AN_AMOUNT, ZERO, Amounts, amount, fits
from heliograph.venues.binance.book import Numbered, Rule
from heliograph.venues.binance.book import Sequence as BookSequence
from heliograph.venues.binance.control import Answer, Payload, sort
from heliograph.venues.binance.frames import (
    FAULTS,
    SILENT,
    TYPED,
    RawAggTrade,
    RawDay,
    RawDepth,
    RawEvent,
    RawKline,
    RawTop,
    RawTrade,
    decode_book,
    decode_combined,
    decode_combined_top,
)
from heliograph.venues.binance.rest import (
    Rest,
    book_request,
    candle_request,
    read_book,
    read_candles,
    read_trades,
    to_snapshot,
    trade_request,
)
from heliograph.venues.binance.streams import Paths, messages, names_of
from heliograph.venues.contract import (
    BookPage,
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

PRICES_REMEMBERED_MAX: Final = 16_384
INSTRUMENTS_MAX: Final = 20_000
"""Instruments made of frames' symbols alone, before they are made afresh."""
LIFE_NS_MAX: Final = (24 * 3600 - 600) * NS_PER_S
"""When to move to another socket: the venue cuts at 24 h, and the ten minutes leave room for many to move in turn."""
ACKNOWLEDGED_NS_MAX: Final = 15 * NS_PER_S
_NOTHING: Final = (0, b"")
_QUOTE: Final = ord('"')
_BUY: Final = Side.BUY  # A member's look-up in its enumeration costs a tenth of a trade.
_SELL: Final = Side.SELL
_MARKET: Final = TradeCause.MARKET

_CAUSES: Final = {
    "MARKET": TradeCause.MARKET,
    "INSURANCE_FUND": TradeCause.LIQUIDATION,
    "ADL": TradeCause.DELEVERAGING,
}


class Rules(msgspec.Struct, frozen=True):
    """How one market's feed differs from the others'."""

    market: MarketId
    instrument: Callable[[str], Instrument]
    paths: Paths
    rest: Rest
    book: Rule
    segment: int | None
    """The value of `st` in this market's frames: since 2026 a stream of all instruments can carry both futures."""
    messages_per_tick: int
    """Control messages that may leave at once; the rest follows a second later."""


class Known(dict[str, Instrument]):
    """Instruments by the venue's symbol; where every symbol is welcome, made as they turn up.

    Args:
        make: makes an instrument of its symbol, where every symbol is welcome; else None.

    """

    def __init__(self, make: Callable[[str], Instrument] | None) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, symbol: str) -> Instrument:
        """Make the instrument, or raise `KeyError` or `ValueError`."""
        if self._make is None:
            raise KeyError(symbol)
        try:
            instrument = self._make(symbol)
        except ConfigError as e:
            raise ValueError(str(e)) from None
        if len(self) >= INSTRUMENTS_MAX:
            self.clear()
        self[symbol] = instrument
        return instrument


class Feed:
    """The codec of one socket of one market.

    A connection with subscriptions tells their instruments only: what else arrives, such as the last frames of a
    stream that was just left, is counted in `ignored`. One without tells whatever arrives.

    Candles, tickers and books carry the venue's event time (`E`, None where spot gives none), trades the time of the
    trade (`T`), which REST gives as well.

    Args:
        rules: the market's.
        connection: what the socket is to carry.

    """

    def __init__(self, rules: Rules, connection: Connection) -> None:
        self.ignored = 0
        self.books: dict[str, BookSequence] = {}
        """By the venue's symbol. Their counters say how the books fare."""
        self._rules = rules
        self._path = connection.path
        self._open_to_all = not connection.subscriptions
        self._sequenced = connection.sequenced
        self._instruments = Known(rules.instrument if self._open_to_all else None)
        self._streams: dict[str, Subscription] = {}  # by name, what each is carried for
        self._prices = Amounts(PRICES_REMEMBERED_MAX)
        self._decode_top = decode_combined_top if rules.market == SPOT else decode_combined
        self._contracts = rules.rest.counts_contracts
        self._venue_ns = 0  # the newest event time that the venue told
        self._opened_ns: int | None = None
        self._moving = False
        self._outbox: deque[bytes] = deque()
        self._may_leave = rules.messages_per_tick
        self._next_id = 1
        self._unanswered: dict[int, tuple[int, bytes]] = {}  # id of a control message: when it left, and itself
        self._now_ns = 0
        self._again_index: int | None = None  # while a payload is read again: the index of its frame
        self._carry(connection.subscriptions)

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        """Subscribe; over a few seconds where that takes many messages."""
        self._opened_ns = self._now_ns = now_ns
        self._say("SUBSCRIBE", list(self._streams))
        self._drain(effects)

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        """Carry exactly these subscriptions from now on; those of other paths than this socket's are passed over."""
        before = self._streams
        self._carry(wanted)
        if self._opened_ns is None:
            return
        self._say("UNSUBSCRIBE", [name for name in before if name not in self._streams])
        self._say("SUBSCRIBE", [name for name in self._streams if name not in before])
        self._drain(effects)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Say what is still to be said, ask for snapshots that are due, and move on before the venue's cut."""
        self._now_ns = now_ns
        self._may_leave = self._rules.messages_per_tick
        self._drain(effects)
        due = [book.instrument for book in self.books.values() if book.due(now_ns)]
        effects.extend([Fetch(book_request(self._rules.rest, instrument)) for instrument in due])
        if self._opened_ns is not None and now_ns - self._opened_ns >= LIFE_NS_MAX:
            self._move("the venue cuts connections after 24 h", effects)
        if any(now_ns - sent_ns >= ACKNOWLEDGED_NS_MAX for sent_ns, _ in self._unanswered.values()):
            self._unanswered.clear()
            effects.append(Reconnect("a subscription was not acknowledged"))

    def decode(
        self, frames: Sequence[bytes], received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take the text frames of one socket read, in order; one that Binance does not document becomes `Refused`."""
        append = events.append
        instruments, prices, contracts = self._instruments, self._prices, self._contracts
        decode_top = self._decode_top
        event_ns = 0
        for index, frame in enumerate(frames):
            try:
                # A frame that ends like `"1.5"}}` is a book top, if on spot, where those do not name themselves.
                raw = (decode_top if frame[-3] == _QUOTE else decode_combined)(frame).data
                if type(raw) is RawKline:
                    bar = raw.k
                    v = bar.v
                    q = bar.q
                    if not (ZERO <= fits(v) < BOUND and ZERO <= fits(q) < BOUND):
                        raise ValueError(NOT_AN_AMOUNT)
                    event_ns = raw.E * NS_PER_MS
                    append(Candle(
                        instruments[raw.s], bar.i, bar.t * NS_PER_MS, bar.T * NS_PER_MS + NS_PER_MS,
                        prices[bar.o], prices[bar.h], prices[bar.l], prices[bar.c],
                        q if contracts else v, None if contracts else q, v if contracts else None,
                        bar.n, bar.x, event_ns, received_ns,
                    ))  # fmt: skip
                elif type(raw) is RawTop:
                    bid = prices[raw.b]
                    ask = prices[raw.a]
                    if not (ZERO <= fits(raw.B) < BOUND and ZERO <= fits(raw.A) < BOUND):
                        raise ValueError(NOT_AN_AMOUNT)
                    append(BookTop(
                        instruments[raw.s], bid or None, raw.B if bid else None, ask or None, raw.A if ask else None,
                        raw.u, None if raw.E is None else raw.E * NS_PER_MS, received_ns,
                    ))  # fmt: skip
                elif type(raw) is RawAggTrade:
                    q = raw.q
                    if not ZERO <= fits(q) < BOUND:
                        raise ValueError(NOT_AN_AMOUNT)
                    number = raw.a
                    append(Trade(
                        instruments[raw.s], None if number is None else str(number), number, prices[raw.p], q,
                        _SELL if raw.m else _BUY, _MARKET, raw.T * NS_PER_MS, received_ns,
                    ))  # fmt: skip
                else:
                    self._take(raw, received_ns, events, effects)
            except FAULTS as e:
                self._other(index, frame, e, received_ns, events, effects)
        if event_ns > self._venue_ns:
            self._venue_ns = event_ns

    def fetched(
        self, request: Request, body: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take an answer, and ask for the next page where there is more."""
        purpose = request.purpose
        try:
            if isinstance(purpose, CandlePage):
                answer = read_candles(self._rules.rest, purpose, body, self._venue_ns, received_ns)
                events.extend(answer.candles)
                if answer.following is not None:
                    effects.append(Fetch(candle_request(self._rules.rest, answer.following)))
            elif isinstance(purpose, TradePage):
                trades, following = read_trades(purpose, body, received_ns)
                events.extend(trades)
                if following is not None:
                    effects.append(Fetch(trade_request(self._rules.rest, following)))
            elif isinstance(purpose, BookPage):
                self._start_book(purpose.instrument, body, received_ns, events, effects)
        except FAULTS as e:
            effects.append(Refused(-1, f"{request.path}: {e}"))
            self.failed(request, str(e), received_ns, effects)

    def failed(self, request: Request, reason: str, now_ns: int, effects: list[Effect]) -> None:
        """Ask for a book's snapshot again, later; other pages are for whoever asked to give up."""
        if isinstance(request.purpose, BookPage):
            book = self.books.get(request.purpose.instrument.venue_symbol)
            if book is not None:
                book.asked_in_vain()

    def book_counters(self) -> Mapping[str, Mapping[str, int]]:
        """Return the counters of each book's sequence, by the venue's symbol."""
        return {
            symbol: {"dropped": book.dropped, "applied": book.applied, "gaps": book.gaps}
            for symbol, book in self.books.items()
        }

    def _move(self, reason: str, effects: list[Effect]) -> None:
        if not self._moving:
            self._moving = True
            effects.append(Reconnect(reason, planned=True))

    def _carry(self, subscriptions: Sequence[Subscription]) -> None:
        mine: dict[str, Subscription] = {}
        instruments: dict[str, Instrument] = {}
        books: dict[str, BookSequence] = {}
        for subscription in subscriptions:
            names = [name for path, name in names_of(subscription, self._rules.paths) if path == self._path]
            if not names:
                continue
            mine.update(dict.fromkeys(names, subscription))
            instrument = subscription.instrument
            symbol = instrument.venue_symbol
            instruments[symbol] = instrument
            if subscription.channel is Channel.BOOK:
                books[symbol] = self.books.get(symbol) or BookSequence(instrument, self._rules.book)
        self._streams = mine
        self.books = books
        if not self._open_to_all:
            self._instruments.clear()
            self._instruments.update(instruments)

    def _say(self, method: str, names: list[str]) -> None:
        said = messages(method, names, self._next_id)
        self._next_id += len(said)
        self._outbox.extend(said)

    def _drain(self, effects: list[Effect]) -> None:
        for _ in range(min(len(self._outbox), self._may_leave)):
            self._may_leave -= 1
            payload = self._outbox.popleft()
            self._unanswered[self._next_id - 1 - len(self._outbox)] = (self._now_ns, payload)
            effects.append(Send(payload))

    def _take(self, raw: RawEvent, received_ns: int, events: list[VenueEvent], effects: list[Effect]) -> None:
        if isinstance(raw, RawDepth):
            self._depth(raw, received_ns, events, effects)
        elif isinstance(raw, RawDay):
            events.append(self._day(raw, received_ns))
        elif isinstance(raw, RawTrade):
            self._single_trade(raw, received_ns, events)
        self._venue_ns = max(self._venue_ns, getattr(raw, "E", 0) * NS_PER_MS)

    def _depth(self, raw: RawDepth, received_ns: int, events: list[VenueEvent], effects: list[Effect]) -> None:
        instrument = self._instruments[raw.s]
        delta = BookDelta(
            instrument,
            _levels(raw.b, self._prices),
            _levels(raw.a, self._prices),
            raw.U,
            raw.u,
            raw.E * NS_PER_MS,
            received_ns,
        )
        if not self._sequenced:
            events.append(delta)
            return
        book = self.books.get(raw.s)
        if book is None:
            if not self._open_to_all:
                self.ignored += 1
                return
            book = self.books[raw.s] = BookSequence(instrument, self._rules.book)
        book.take(Numbered(raw.U, raw.u, raw.pu, delta), events)
        if book.waiting and book.due(received_ns):
            effects.append(Fetch(book_request(self._rules.rest, instrument)))

    def _day(self, raw: RawDay, received_ns: int) -> DayStatistics:
        v, q = amount(raw.v), amount(raw.q)
        base, quote, count = (q, None, v) if self._contracts else (v, q, None)
        return DayStatistics(
            self._instruments[raw.s],
            self._prices[raw.c],
            self._prices[raw.o],
            self._prices[raw.h],
            self._prices[raw.l],
            base,
            quote,
            count,
            raw.n,
            raw.E * NS_PER_MS,
            received_ns,
        )

    def _single_trade(self, raw: RawTrade, received_ns: int, events: list[VenueEvent]) -> None:
        instrument = self._instruments[raw.s]
        if raw.X == "NA":  # Futures send it with price and quantity zero where nothing was traded (undocumented).
            return
        cause = _CAUSES.get(raw.X)
        if cause is None:
            raise ValueError(f"an unknown cause of a trade: {raw.X[:50]!r}")
        side = Side.SELL if raw.m else Side.BUY
        price, quantity = self._prices[raw.p], amount(raw.q)
        # No sequence: that is the aggregates' number, and the single trades of futures have holes.
        events.append(Trade(instrument, str(raw.t), None, price, quantity, side, cause, raw.T * NS_PER_MS, received_ns))

    def _start_book(
        self,
        instrument: Instrument,
        body: bytes,
        received_ns: int,
        events: list[VenueEvent],
        effects: list[Effect],
    ) -> None:
        book = self.books.get(instrument.venue_symbol)
        if book is None and self._open_to_all:
            book = self.books[instrument.venue_symbol] = BookSequence(instrument, self._rules.book)
        if book is None or not book.waiting:  # Unsubscribed in the meantime, or an answer nobody waits for.
            return
        snapshot = read_book(instrument, body, received_ns)
        assert snapshot.sequence is not None
        book.start(snapshot, snapshot.sequence, events)

    def _other(
        self,
        index: int,
        frame: bytes,
        error: Exception,
        received_ns: int,
        events: list[VenueEvent],
        effects: list[Effect],
    ) -> None:
        """Take a frame that is not an event of a single combined stream, or that was refused as one."""
        if self._again_index is not None:
            effects.append(Refused(self._again_index, _reason(error)))
            return
        try:
            found = sort(frame)
            if isinstance(found, Answer):
                _, asked = self._unanswered.pop(found.id, _NOTHING) if isinstance(found.id, int) else _NOTHING
                if found.problem is not None:
                    effects.append(self._refusal(index, found.problem, asked))
                return
            self._again_index = index
            for payload in found:
                self._payload(payload, received_ns, events, effects)
        except FAULTS as e:
            effects.append(Refused(index, _reason(e)))
        finally:
            self._again_index = None

    def _refusal(self, index: int, problem: VenueError, asked: bytes) -> VenueError | Refused:
        """Tell whose subscriptions a problem is about: those of the message that it answers, where that is known."""
        if not asked:
            return problem
        names: list[str] = msgspec.json.decode(asked)["params"]
        carried = tuple(dict.fromkeys(self._streams[name] for name in names if name in self._streams))
        if not carried:  # To leave a stream did not succeed, or nobody wants it any more.
            return Refused(index, f"the venue refused: {problem.reason} (code {problem.code})")
        return msgspec.structs.replace(problem, subscriptions=carried)

    def _payload(self, payload: Payload, received_ns: int, events: list[VenueEvent], effects: list[Effect]) -> None:
        kind = payload.kind
        if kind in SILENT:
            return
        if kind == "serverShutdown":
            self._move("the venue announced a shutdown", effects)
        elif kind == "depthSnapshot":
            if self._open_to_all and payload.symbol is not None:
                snapshot = to_snapshot(decode_book(payload.data), self._instruments[payload.symbol], received_ns)
                events.append(snapshot)
        elif kind not in TYPED:
            raise ValueError(f"an event that is not documented: {str(kind)[:50]!r}")
        elif self._is_foreign(payload):
            self.ignored += 1
        else:
            self.decode((payload.combined(),), received_ns, events, effects)

    def _is_foreign(self, payload: Payload) -> bool:
        if self._rules.segment is not None and payload.segment not in (None, self._rules.segment):
            return True
        return not self._open_to_all and payload.symbol not in self._instruments


def _levels(raw: list[tuple[str, Decimal]], prices: Amounts) -> list[Level]:
    made: list[Level] = []
    for text, quantity in raw:
        if not ZERO <= fits(quantity) < BOUND:
            raise ValueError(NOT_AN_AMOUNT)
        made.append((prices[text], quantity))
    return made


def _reason(error: Exception) -> str:
    if isinstance(error, ArithmeticError):
        return "not a number of at most 38 digits"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)[:200]
