"""Binance public market data: candles, tickers, trades and books of one socket.

Sources: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams ,
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams and
https://developers.binance.com/docs/derivatives/coin-margined-futures/websocket-market-streams .
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookDelta
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument, MarketId
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Side, Trade, TradeCause
from heliograph.model.numbers import BOUND, NOT_AN_AMOUNT, PRICES, ZERO, amount, fits
from heliograph.venues.binance.control import Answer, Payload, sort
from heliograph.venues.binance.frames import (
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
from heliograph.venues.binance.streams import Paths, chunk, encode, streams_of
from heliograph.venues.contract import (
    BookPage,
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
from heliograph.venues.joined_book import Books, Numbered, Rule
from heliograph.venues.known import Known
from heliograph.venues.levels import to_levels
from heliograph.venues.subscribing import Message, Subscriber, carried_by

LIFE_NS_MAX: Final = (24 * 3600 - 600) * NS_PER_S
"""When to move to another socket: the venue cuts at 24 h, and the ten minutes leave room for many to move in turn."""
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
        self._rules = rules
        self._path = connection.path
        self._open_to_all = not connection.subscriptions
        self._sequenced = connection.sequenced
        self._instruments = Known(rules.instrument if self._open_to_all else None)
        self._control = Subscriber(chunk, encode, per_tick_max=rules.messages_per_tick)
        self._books = Books(rules.book, partial(book_request, rules.rest), open_to_all=self._open_to_all)
        self._prices = PRICES
        self._decode_top = decode_combined_top if rules.market == SPOT else decode_combined
        self._contracts = rules.rest.counts_contracts
        self._venue_ns = 0  # the newest event time that the venue told
        self._opened_ns: int | None = None
        self._moving = False
        self._again_index: int | None = None  # while a payload is read again: the index of its frame
        self.change(connection.subscriptions, [])

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        """Subscribe; over a few seconds where that takes many messages."""
        self._opened_ns = now_ns
        self._control.opened(now_ns, effects)

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        """Carry exactly these subscriptions from now on; those of other paths than this socket's are passed over."""
        streams = partial(streams_of, self._rules.paths, self._path)
        mine = [subscription for subscription in wanted if streams(subscription)]
        self._instruments.carry(subscription.instrument for subscription in mine)
        self._books.carry(subscription.instrument for subscription in mine if subscription.channel is Channel.BOOK)
        self._control.carry(carried_by(mine, streams), effects)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Say what is still to be said, ask for snapshots that are due, and move on before the venue's cut."""
        self._control.ticked(now_ns, effects)
        self._books.ticked(now_ns, effects)
        if self._opened_ns is not None and now_ns - self._opened_ns >= LIFE_NS_MAX:
            self._move("the venue cuts connections after 24 h", effects)

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
                    if bar.t > bar.T:
                        raise ValueError(f"a candle that opens at {bar.t} and closes at {bar.T}")
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
            elif isinstance(purpose, BookPage) and self._books.awaited(purpose.instrument):
                self._books.start(read_book(purpose.instrument, body, received_ns), events)
        except FAULTS as e:
            effects.append(Refused(-1, f"{request.path}: {reason_of(e)}"))
            self.failed(request, str(e), received_ns, effects)

    def failed(self, request: Request, reason: str, now_ns: int, effects: list[Effect]) -> None:
        """Ask for a book's snapshot again, later; other pages are for whoever asked to give up."""
        self._books.failed(request)

    def book_counters(self) -> Mapping[str, Mapping[str, int]]:
        """Return the counters of each book's sequence, by the venue's symbol."""
        return self._books.counters()

    def _move(self, reason: str, effects: list[Effect]) -> None:
        if not self._moving:
            self._moving = True
            effects.append(Reconnect(reason, planned=True))

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
            to_levels(raw.b, self._prices),
            to_levels(raw.a, self._prices),
            raw.U,
            raw.u,
            raw.E * NS_PER_MS,
            received_ns,
        )
        if not self._sequenced:
            events.append(delta)
            return
        if not self._books.take(Numbered(raw.U, raw.u, raw.pu, delta), events, effects):
            self.ignored += 1

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
            effects.append(Refused(self._again_index, reason_of(error)))
            return
        try:
            found = sort(frame)
            if isinstance(found, Answer):
                asked = self._control.answered(found.id)
                if found.problem is not None:
                    effects.append(self._refusal(index, found.problem, asked))
                return
            self._again_index = index
            for payload in found:
                self._payload(payload, received_ns, events, effects)
        except FAULTS as e:
            effects.append(Refused(index, reason_of(e)))
        finally:
            self._again_index = None

    def _refusal(self, index: int, problem: VenueError, asked: Message[str] | None) -> VenueError | Refused:
        """Tell whose subscriptions a problem is about: those of the message that it answers, where that is known."""
        if asked is None:
            return problem
        carried = self._control.carriers(asked.streams) if asked.subscribes else ()
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
