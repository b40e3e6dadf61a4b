"""Bybit public market data: candles, tickers, trades and books of one socket.

Sources: https://bybit-exchange.github.io/docs/v5/ws/connect and the pages below
https://bybit-exchange.github.io/docs/v5/websocket/public .
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.market import Candle, Side, Trade, TradeCause
from heliograph.model.numbers import BOUND, NOT_AN_AMOUNT, PRICES, ZERO, fits
from heliograph.venues.bybit.control import Answer, to_answer
from heliograph.venues.bybit.frames import (
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
    Topic,
    Topics,
    chunk,
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
    Refused,
    Request,
    Send,
    Subscription,
    VenueError,
)
from heliograph.venues.faults import FAULTS, REASON_MAX, reason_of
from heliograph.venues.heartbeat import Heartbeat
from heliograph.venues.known import INSTRUMENTS_MAX, Known
from heliograph.venues.levels import to_levels
from heliograph.venues.linked_book import Books
from heliograph.venues.subscribing import Subscriber, carried_by, find_number

PING_NS: Final = 19 * NS_PER_S
"""The venue wants a ping every 20 s, and time passes for us in steps of one."""
RESTARTED: Final = 1
"""The number of the book that follows a restart of the venue's service; it replaces the one before."""
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
        self._rules = rules
        self._contracts = rules.rest.counts_contracts
        self._open_to_all = not connection.subscriptions
        self._sequenced = connection.sequenced
        self._topics = Topics(all_welcome=self._open_to_all)
        self._instruments = Known(rules.instrument if self._open_to_all else None)
        self._control = Subscriber(partial(chunk, args_max=rules.args_max), encode, per_tick_max=MESSAGES_PER_TICK)
        self._heartbeat = Heartbeat(PING_NS)
        self._books = Books()
        self._depths: dict[str, int] = {}  # of each book: one of another depth has numbers of its own
        self._restarts: Counter[str] = Counter()
        self._tickers: dict[str, TickerMerge] = {}
        self._tops: dict[str, TopMerge] = {}
        self._prices = PRICES
        self._venue_ns = 0  # the newest time that the venue told
        self.change(connection.subscriptions, [])

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        """Subscribe; over a few seconds where that takes many messages."""
        self._heartbeat.since_ns = now_ns
        self._control.opened(now_ns, effects)

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        """Carry exactly these subscriptions from now on."""
        carried = carried_by(wanted, partial(topics_of, top_in_book=self._rules.top_in_book))
        if not self._open_to_all:
            self._expect({text: parse_topic(text) for text in carried}, wanted)
        self._control.carry(carried, effects)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Say what is still to be said, ping, and ask again for books that have no snapshot."""
        self._control.ticked(now_ns, effects)
        if self._heartbeat.due(now_ns):
            effects.append(Send(PING, heartbeat=True))
        self._mend(now_ns, effects)

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
            effects.append(Refused(-1, f"{request.path}: {reason_of(e)}"))
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
                "restarts": self._restarts[symbol],
            }
            for symbol, book in self._books.by_symbol.items()
        }

    def _expect(self, topics: Mapping[str, Topic], wanted: Sequence[Subscription]) -> None:
        self._topics.clear()
        self._topics.update(topics)
        self._instruments.carry(subscription.instrument for subscription in wanted)
        carried = {(topic.kind, topic.depth == TOP_DEPTH, topic.symbol): topic for topic in topics.values()}
        booked = [topic for (kind, top, _), topic in carried.items() if kind is Kind.BOOKS and not top]
        self._depths = {topic.symbol: topic.depth for topic in booked}
        self._books.carry(self._instruments[topic.symbol] for topic in booked)
        self._tickers = {s: t for s, t in self._tickers.items() if (Kind.TICKERS, False, s) in carried}
        self._tops = {s: t for s, t in self._tops.items() if (Kind.BOOKS, True, s) in carried}

    def _mend(self, now_ns: int, effects: list[Effect]) -> None:
        if not self._control.busy:  # Else the first request for some of them may not have left yet.
            symbols = [instrument.venue_symbol for instrument in self._books.due(now_ns)]
            self._control.renew([f"orderbook.{self._depths[symbol]}.{symbol}" for symbol in symbols], effects)

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
        if self._depths.setdefault(data.s, depth) != depth:
            self.ignored += 1
            return
        book = self._books.of(instrument)
        if isinstance(made, BookSnapshot):
            self._restarts[data.s] += number == RESTARTED and not book.waiting
            book.start(made, events)
        else:
            book.take(made, number - 1, events)
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
            effects.append(Refused(index, reason_of(e)))

    def _answered(self, answer: Answer, effects: list[Effect]) -> None:
        asked = self._control.answered(find_number(answer.id))
        if answer.success:
            return
        if asked is None:
            if not self._open_to_all:
                raise ValueError(f"a refusal of nothing that was asked: {answer.reason[:150]}")
            effects.append(VenueError(answer.code, answer.reason[:REASON_MAX]))
        elif asked.subscribes:
            self._refused(asked.streams, answer, effects)
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
            self._control.ask(part, effects)

    def _give_up(self, topics: tuple[str, ...], answer: Answer, effects: list[Effect]) -> None:
        refused = self._control.carriers(topics)
        self._control.give_up(topics)
        if refused:
            effects.append(VenueError(answer.code, answer.reason[:REASON_MAX], refused))
