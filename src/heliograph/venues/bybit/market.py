"""Bybit public market data: candles, tickers, trades and books of one socket.

Sources: https://bybit-exchange.github.io/docs/v5/ws/connect and the pages below
https://bybit-exchange.github.io/docs/v5/websocket/public .
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.errors import ConfigError
from heliograph.model.book import BookDelta, BookSnapshot, Level
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.market import Candle, Side, Trade, TradeCause
from heliograph.model.numbers import BOUND, NOT_AN_AMOUNT, ZERO, Amounts, amount, fits
from heliograph.venues.bybit.book import RESTARTED
from heliograph.venues.bybit.book import Sequence as BookSequence
from heliograph.venues.bybit.control import Answer, to_answer
from heliograph.venues.bybit.frames import (
    FAULTS,
    RawBooks,
    RawEvent,
    RawKlines,
    RawTickers,
    RawTrades,
    decode_any,
    decode_books,
    decode_klines,
    decode_tickers,
    decode_trades,
)
from heliograph.venues.bybit.rest import Rest, candle_request, read_candles
from heliograph.venues.bybit.streams import (
    PING,
    SILENT,
    TOP_DEPTH,
    Kind,
    Topics,
    chunks,
    encode,
    parse_topic,
    topics_of,
)
from heliograph.venues.bybit.tickers import TickerMerge, TopMerge
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
    VenueError,
)

PRICES_REMEMBERED_MAX: Final = 16_384
INSTRUMENTS_MAX: Final = 20_000
"""Instruments made of frames' symbols alone, and what is kept of each, before they are made afresh."""
PING_NS: Final = 19 * NS_PER_S
"""The venue wants a ping every 20 s, and time passes for us in steps of one."""
ACKNOWLEDGED_NS_MAX: Final = 15 * NS_PER_S
MESSAGES_PER_TICK: Final = 8
"""Control messages that leave from one second to the next, since a message counts as unanswered once it has left."""
_BUY: Final = Side.BUY  # A member's look-up in its enumeration costs a tenth of a trade.
_SELL: Final = Side.SELL
_MARKET: Final = TradeCause.MARKET

_HEAD: Final = len(b'{"topic":"k')
_READERS: Final[Mapping[bytes, Callable[[bytes], RawEvent]]] = {
    b'{"topic":"k': decode_klines,
    b'{"topic":"p': decode_trades,
    b'{"topic":"t': decode_tickers,
    b'{"topic":"o': decode_books,
}
"""By how frames begin; one that begins otherwise is read by its topic, wherever that stands."""
_READERS_OF_KINDS: Final[Mapping[Kind, Callable[[bytes], RawEvent]]] = {
    Kind.KLINES: decode_klines,
    Kind.TRADES: decode_trades,
    Kind.TICKERS: decode_tickers,
    Kind.BOOKS: decode_books,
}


class Rules(msgspec.Struct, frozen=True):
    """How one market's feed differs from the others'."""

    market: MarketId
    instrument: Callable[[str], Instrument]
    rest: Rest
    top_in_book: bool
    """Whether tickers lack the best bid and ask."""
    args_max: int | None
    """Arguments of one request, where they are bounded by number."""


class Asked(msgspec.Struct, frozen=True):
    """A message of ours."""

    operation: str
    topics: tuple[str, ...]


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

    A connection with subscriptions tells their topics only: what else arrives, such as the last frames of a topic that
    was just left, is counted in `ignored`. One without tells whatever arrives.

    Candles, tickers and books carry the time at which the venue made the frame (`ts`), trades that of the fill (`T`).

    Args:
        rules: the market's.
        connection: what the socket is to carry.

    """

    def __init__(self, rules: Rules, connection: Connection) -> None:
        self.ignored = 0
        self.books: dict[str, BookSequence] = {}
        """By the venue's symbol. Their counters say how the books fare."""
        self._rules = rules
        self._contracts = rules.rest.counts_contracts
        self._open_to_all = not connection.subscriptions
        self._sequenced = connection.sequenced
        self._topics = Topics(all_welcome=self._open_to_all)
        self._instruments = Known(rules.instrument if self._open_to_all else None)
        self._wanted: dict[str, Subscription] = {}  # by topic
        self._tickers: dict[str, TickerMerge] = {}
        self._tops: dict[str, TopMerge] = {}
        self._prices = Amounts(PRICES_REMEMBERED_MAX)
        self._venue_ns = 0  # the newest time that the venue told
        self._opened = False
        self._now_ns = 0
        self._pinged_ns = 0
        self._outbox: deque[Asked] = deque()
        self._may_leave = MESSAGES_PER_TICK
        self._next_id = 1
        self._unanswered: dict[str, tuple[Asked, int]] = {}  # by id, with the time when it left
        self._carry(connection.subscriptions)

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        """Subscribe; over a few seconds where that takes many messages."""
        self._opened = True
        self._now_ns = self._pinged_ns = now_ns
        self._say("subscribe", list(self._wanted))
        self._drain(effects)

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        """Carry exactly these subscriptions from now on."""
        before = self._wanted
        self._carry(wanted)
        if not self._opened:
            return
        self._say("unsubscribe", [topic for topic in before if topic not in self._wanted])
        self._say("subscribe", [topic for topic in self._wanted if topic not in before])
        self._drain(effects)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Say what is still to be said, ping, and ask again for books that have no snapshot."""
        self._now_ns = now_ns
        if not self._opened:
            return
        self._may_leave = MESSAGES_PER_TICK
        if not 0 <= now_ns - self._pinged_ns < PING_NS:  # A clock set back does not silence us.
            self._pinged_ns = now_ns
            effects.append(Send(PING))
        if not self._outbox:  # Else the first request for some of them may not have left yet.
            for symbol, book in self.books.items():
                if book.due(now_ns):
                    self._ask_again(symbol, book.depth)
        self._drain(effects)
        if any(now_ns - sent_ns >= ACKNOWLEDGED_NS_MAX for _, sent_ns in self._unanswered.values()):
            self._unanswered.clear()
            effects.append(Reconnect("a subscription was not acknowledged"))

    def decode(
        self, frames: Sequence[bytes], received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take the text frames of one socket read, in order; one that Bybit does not document becomes `Refused`."""
        for index, frame in enumerate(frames):
            try:
                self._take(_READERS[frame[:_HEAD]](frame), received_ns, events, effects)
            except FAULTS as e:
                self._other(index, frame, e, received_ns, events, effects)

    def fetched(
        self, request: Request, body: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take an answer, and ask for the next page where there is more."""
        if not isinstance(request.purpose, CandlePage):
            return
        try:
            answer = read_candles(self._rules.rest, request.purpose, body, self._venue_ns, received_ns)
        except FAULTS as e:
            effects.append(Refused(-1, f"{request.path}: {e}"))
            return
        events.extend(answer.candles)
        if answer.following is not None:
            effects.append(Fetch(candle_request(self._rules.rest, answer.following)))

    def failed(self, request: Request, reason: str, now_ns: int, effects: list[Effect]) -> None:
        """Leave giving up to whoever asked: nothing here waits for an answer."""

    def book_counters(self) -> Mapping[str, Mapping[str, int]]:
        """Return the counters of each book's sequence, by the venue's symbol."""
        return {
            symbol: {
                "dropped": book.dropped,
                "applied": book.applied,
                "gaps": book.gaps,
                "resyncs": book.resyncs,
                "restarts": book.restarts,
            }
            for symbol, book in self.books.items()
        }

    def _carry(self, subscriptions: Sequence[Subscription]) -> None:
        self._wanted = {
            topic: subscription
            for subscription in subscriptions
            for topic in topics_of(subscription, top_in_book=self._rules.top_in_book)
        }
        if self._open_to_all:
            return
        topics = {text: parse_topic(text) for text in self._wanted}
        self._topics.clear()
        self._topics.update(topics)
        self._instruments.clear()
        self._instruments.update({s.instrument.venue_symbol: s.instrument for s in self._wanted.values()})
        carried = {(t.kind, t.depth == TOP_DEPTH, t.symbol): t for t in topics.values()}
        self.books = {
            symbol: self.books.get(symbol) or BookSequence(self._instruments[symbol], topic.depth)
            for (kind, top, symbol), topic in carried.items()
            if kind is Kind.BOOKS and not top
        }
        self._tickers = {s: t for s, t in self._tickers.items() if (Kind.TICKERS, False, s) in carried}
        self._tops = {s: t for s, t in self._tops.items() if (Kind.BOOKS, True, s) in carried}

    def _ask_again(self, symbol: str, depth: int) -> None:
        topic = f"orderbook.{depth}.{symbol}"
        if topic in self._wanted:
            self._say("unsubscribe", [topic])
            self._say("subscribe", [topic])

    def _say(self, operation: str, topics: Sequence[str]) -> None:
        self._outbox.extend(Asked(operation, chunk) for chunk in chunks(topics, self._rules.args_max))

    def _drain(self, effects: list[Effect]) -> None:
        for _ in range(min(len(self._outbox), self._may_leave)):
            self._may_leave -= 1
            asked = self._outbox.popleft()
            name = str(self._next_id)
            self._next_id += 1
            self._unanswered[name] = (asked, self._now_ns)
            effects.append(Send(encode(asked.operation, asked.topics, name)))

    def _take(self, raw: RawEvent, received_ns: int, events: list[VenueEvent], effects: list[Effect]) -> None:
        kind, symbol, interval, depth = self._topics[raw.topic]
        if type(raw) is RawTrades and kind is Kind.TRADES:
            self._trades(raw, received_ns, events)
            return
        if type(raw) is RawKlines and interval is not None:
            instrument, prices = self._instruments[symbol], self._prices
            contracts, event_ns = self._contracts, raw.ts * NS_PER_MS
            made = []
            for bar in raw.data:
                v, t = bar.volume, bar.turnover
                if not (ZERO <= fits(v) < BOUND and ZERO <= fits(t) < BOUND):
                    raise ValueError(NOT_AN_AMOUNT)
                open_ns = bar.start * NS_PER_MS
                if interval.open_of(open_ns) != open_ns:
                    raise ValueError(f"a candle of {interval.value} that opens at {bar.start}")
                made.append(Candle(
                    instrument, interval, open_ns, interval.next_open(open_ns),
                    prices[bar.open], prices[bar.high], prices[bar.low], prices[bar.close],
                    t if contracts else v, v if contracts else t, v if contracts else None,
                    None, bar.confirm, event_ns, received_ns,
                ))  # fmt: skip
            events.extend(made)
        elif type(raw) is RawTickers and kind is Kind.TICKERS:
            event_ns = raw.ts * NS_PER_MS
            self._ticker(raw.data.symbol).take(raw, self._prices, received_ns, events)
        elif type(raw) is RawBooks and depth == TOP_DEPTH:
            event_ns = raw.ts * NS_PER_MS
            self._top(raw.data.s).take(raw, self._prices, received_ns, events)
        elif type(raw) is RawBooks and kind is Kind.BOOKS:
            event_ns = raw.ts * NS_PER_MS
            self._book(raw, depth, received_ns, events, effects)
        else:
            raise ValueError("a topic whose data is another's")
        if event_ns > self._venue_ns:
            self._venue_ns = event_ns

    def _trades(self, raw: RawTrades, received_ns: int, events: list[VenueEvent]) -> None:
        instruments, prices = self._instruments, self._prices
        made = []
        for fill in raw.data:
            v = fill.v
            if not ZERO <= fits(v) < BOUND:
                raise ValueError(NOT_AN_AMOUNT)
            # No sequence: `seq` is the same for all fills of one order, and the ids of contracts are no numbers.
            made.append(Trade(
                instruments[fill.s], fill.i, None, prices[fill.p], v, _BUY if fill.S == "Buy" else _SELL, _MARKET,
                fill.T * NS_PER_MS, received_ns,
            ))  # fmt: skip
        events.extend(made)

    def _ticker(self, symbol: str) -> TickerMerge:
        merge = self._tickers.get(symbol)
        if merge is None:
            if len(self._tickers) >= INSTRUMENTS_MAX:
                self._tickers.clear()
            merge = TickerMerge(self._instruments[symbol], counts_contracts=self._contracts)
            self._tickers[symbol] = merge
        return merge

    def _top(self, symbol: str) -> TopMerge:
        merge = self._tops.get(symbol)
        if merge is None:
            if len(self._tops) >= INSTRUMENTS_MAX:
                self._tops.clear()
            merge = self._tops[symbol] = TopMerge(self._instruments[symbol])
        return merge

    def _book(
        self, raw: RawBooks, depth: int, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        data = raw.data
        instrument, number, event_ns = self._instruments[data.s], data.u, raw.ts * NS_PER_MS
        bids, asks = to_levels(data.b, self._prices), to_levels(data.a, self._prices)
        whole = raw.type == "snapshot" or number == RESTARTED
        made: BookSnapshot | BookDelta = (
            BookSnapshot(instrument, bids, asks, number, event_ns, received_ns)
            if whole
            else BookDelta(instrument, bids, asks, number, number, event_ns, received_ns)
        )
        if not self._sequenced:
            events.append(made)
            return
        book = self.books.get(data.s)
        if book is None:
            book = self.books[data.s] = BookSequence(instrument, depth)
        if book.depth != depth:
            self.ignored += 1
        elif isinstance(made, BookSnapshot):
            book.start(made, number, events)
        else:
            book.take(made, number, events)
            if book.waiting and book.due(received_ns):
                self._ask_again(data.s, depth)
                self._drain(effects)

    def _other(
        self,
        index: int,
        frame: bytes,
        error: Exception,
        received_ns: int,
        events: list[VenueEvent],
        effects: list[Effect],
    ) -> None:
        """Take a frame that does not begin like one of ours, or that was refused as one."""
        try:
            raw = decode_any(frame)
            if raw.topic is None:
                self._answered(to_answer(raw), effects)
            elif not self._open_to_all and raw.topic not in self._topics:
                self.ignored += 1
            elif raw.topic.partition(".")[0] not in SILENT and not raw.topic.startswith("orderbook.rpi."):
                read = _READERS_OF_KINDS[self._topics[raw.topic].kind]
                if _READERS.get(frame[:_HEAD]) is read:
                    raise error
                self._take(read(frame), received_ns, events, effects)
        except FAULTS as e:
            effects.append(Refused(index, _reason(e)))

    def _answered(self, answer: Answer, effects: list[Effect]) -> None:
        asked, _ = self._unanswered.pop(answer.id, (None, 0))
        if answer.success:
            return
        if asked is None:
            if not self._open_to_all:
                raise ValueError(f"a refusal of nothing that was asked: {answer.reason[:150]}")
            effects.append(VenueError(answer.code, answer.reason))
        elif asked.operation == "subscribe":
            self._refused(asked.topics, answer, effects)
        # What cannot be given up was not served: there is nothing to tell.

    def _refused(self, topics: tuple[str, ...], answer: Answer, effects: list[Effect]) -> None:
        """Find out which topics the venue will not serve: one of them fails the request for all."""
        named = answer.names(topics)
        if not named and len(topics) > 1:
            half = len(topics) // 2
            again: tuple[tuple[str, ...], ...] = (topics[:half], topics[half:])
        else:
            named = named or topics
            again = (tuple(topic for topic in topics if topic not in named),)
            if not answer.repeated:
                self._give_up(named, answer, effects)
        for part in again:
            self._say("subscribe", [topic for topic in part if topic in self._wanted])
        self._drain(effects)

    def _give_up(self, topics: tuple[str, ...], answer: Answer, effects: list[Effect]) -> None:
        refused = tuple(dict.fromkeys(self._wanted[topic] for topic in topics if topic in self._wanted))
        for topic in topics:
            self._wanted.pop(topic, None)
        if refused:
            effects.append(VenueError(answer.code, answer.reason, refused))


def to_levels(raw: Sequence[tuple[str, Decimal]], prices: Amounts) -> list[Level]:
    """Make levels of the venue's; raise one of `FAULTS` if one cannot be."""
    return [(prices[text], amount(quantity)) for text, quantity in raw]


def _reason(error: Exception) -> str:
    if isinstance(error, ArithmeticError):
        return "not a number of at most 38 digits"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)[:200]
