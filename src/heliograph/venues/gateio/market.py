"""Gate public market data: candles, tickers, trades and books of one socket.

Sources: https://www.gate.com/docs/developers/apiv4/ws/en/ and https://www.gate.com/docs/developers/futures/ws/en/ .
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
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
from heliograph.venues.faults import FAULTS, REASON_MAX, reason_of
from heliograph.venues.gateio.control import Answer, Other, sort
from heliograph.venues.gateio.frames import (
    RawEvent,
    RawFuturesBook,
    RawFuturesCandle,
    RawFuturesTicker,
    RawFuturesTop,
    RawFuturesTrade,
    RawSpotBook,
    RawSpotCandle,
    RawSpotTicker,
    RawSpotTop,
    RawSpotTrade,
    decode_event,
)
from heliograph.venues.gateio.payloads import TRUNCATED, Payloads
from heliograph.venues.gateio.rest import (
    Rest,
    book_request,
    candle_request,
    read_book,
    read_candles,
    read_trades,
    trade_request,
)
from heliograph.venues.gateio.streams import Wire, encode, ping, streams_of
from heliograph.venues.heartbeat import Heartbeat
from heliograph.venues.joined_book import Books, Numbered, Rule
from heliograph.venues.spreading import chunks
from heliograph.venues.subscribing import Subscriber, carried_by

PING_NS: Final = 10 * NS_PER_S
"""How often to ping: a socket on which neither side says anything for a minute is cut.

Source: https://github.com/gateio/gatews/issues/34 (an answer of the venue's staff).
"""
MESSAGES_PER_TICK: Final = 50
"""Control messages that may leave at once; the rest follows a second later. Ours: the venue names no limit.

Of the hundred a second that `Limits` allows, so that the session never holds one back while its answer is awaited.
"""
SERVER_FAULT: Final = 3
_EMPTY_SIZE: Final = re.compile(rb'"([AB])"\s*:\s*""')


class Rules(msgspec.Struct, frozen=True):
    """How one market's feed differs from the others'."""

    market: MarketId
    instrument: Callable[[str], Instrument]
    intervals: Mapping[str, Interval]
    """By Gate's names."""
    wire: Wire
    rest: Rest


class Feed:
    """The codec of one socket of one market.

    A connection with subscriptions tells their instruments only: what else arrives, such as the last frames of a
    stream that was just left, is counted in `ignored`. One without tells whatever arrives.

    Candles and tickers carry the time at which the venue sent them (Gate gives no other), book tops and books that of
    the book, trades that of the trade.

    Args:
        rules: the market's.
        connection: what the socket is to carry.

    """

    def __init__(self, rules: Rules, connection: Connection) -> None:
        self._rules = rules
        self._open_to_all = not connection.subscriptions
        self._sequenced = connection.sequenced
        make = rules.instrument if self._open_to_all else None
        self._payloads = Payloads(make, rules.intervals, rules.rest.units)
        one_each = partial(chunks, count_max=1)
        self._control = Subscriber(one_each, encode, per_tick_max=MESSAGES_PER_TICK)
        request = partial(book_request, rules.rest)
        self._books = Books(Rule.FIRST_FOLLOWS, request, open_to_all=self._open_to_all)
        self._heartbeat = Heartbeat(PING_NS)
        self._moving = False
        self.change(connection.subscriptions, [])

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        """Subscribe; over a few seconds where that takes many messages."""
        self._heartbeat.since_ns = now_ns
        self._control.opened(now_ns, effects)

    @property
    def ignored(self) -> int:
        """How many payloads were of instruments that this connection does not carry."""
        return self._payloads.ignored

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        """Carry exactly these subscriptions from now on."""
        self._payloads.carry([subscription.instrument for subscription in wanted])
        self._books.carry(subscription.instrument for subscription in wanted if subscription.channel is Channel.BOOK)
        self._control.carry(carried_by(wanted, partial(streams_of, wire=self._rules.wire)), effects)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Say what is still to be said, keep the socket alive, and ask for snapshots that are due."""
        self._control.ticked(now_ns, effects)
        if self._heartbeat.due(now_ns):
            effects.append(Send(ping(self._rules.wire, now_ns // NS_PER_S), heartbeat=True))
        self._books.ticked(now_ns, effects)

    def decode(
        self, frames: Sequence[bytes], received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take the text frames of one socket read, in order; one that Gate does not document becomes `Refused`."""
        append = events.append
        payloads = self._payloads
        for index, frame in enumerate(frames):
            try:
                raw = decode_event(frame)
                if type(raw) is RawSpotCandle:
                    append(payloads.spot_candle(raw, received_ns))
                elif type(raw) is RawFuturesCandle:
                    events.extend(payloads.futures_candles(raw, received_ns))
                elif type(raw) is RawSpotTop or type(raw) is RawFuturesTop:
                    append(payloads.top(raw.result, received_ns))
                elif type(raw) is RawSpotTrade:
                    append(payloads.spot_trade(raw.result, received_ns))
                elif type(raw) is RawFuturesTrade:
                    events.extend(payloads.futures_trades(raw.result, received_ns))
                    if any(not fill.size for fill in raw.result):
                        effects.append(Refused(index, TRUNCATED))
                else:
                    self._take(raw, received_ns, events, effects)
            except KeyError:
                payloads.ignored += 1  # Of a stream that was left, or that nobody asked for.
            except FAULTS as e:
                self._other(index, frame, e, received_ns, events, effects)

    def fetched(
        self, request: Request, body: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take an answer: tell what is in it, and ask for the page after it."""
        purpose = request.purpose
        try:
            if isinstance(purpose, CandlePage):
                answer = read_candles(self._rules.rest, purpose, body, self._payloads.venue_ns, received_ns)
                events.extend(answer.candles)
                if answer.following is not None:
                    effects.append(Fetch(candle_request(self._rules.rest, answer.following)))
            elif isinstance(purpose, TradePage):
                trades, rest_of_it = read_trades(purpose, body, received_ns)
                events.extend(trades)
                if rest_of_it is not None:
                    effects.append(Fetch(trade_request(self._rules.rest, rest_of_it)))
            elif isinstance(purpose, BookPage) and self._books.awaited(purpose.instrument):
                self._books.start(read_book(self._rules.rest, purpose.instrument, body, received_ns), events)
        except FAULTS as e:
            effects.append(Refused(-1, f"{request.path}: {reason_of(e)}"))
            self.failed(request, str(e), received_ns, effects)

    def failed(self, request: Request, reason: str, now_ns: int, effects: list[Effect]) -> None:
        """Ask for a book's snapshot again, later; other pages are for whoever asked to give up."""
        self._books.failed(request)

    def book_counters(self) -> Mapping[str, Mapping[str, int]]:
        """Return the counters of each book's sequence, by the venue's symbol."""
        return self._books.counters("resyncs")

    def _take(self, raw: RawEvent, received_ns: int, events: list[VenueEvent], effects: list[Effect]) -> None:
        if isinstance(raw, RawSpotBook | RawFuturesBook):
            told, first, last = self._payloads.book(raw.result, received_ns), raw.result.U, raw.result.u
            if not self._sequenced:
                events.append(told)
            elif not (
                self._books.replace(told, last, events)
                if isinstance(told, BookSnapshot)
                else self._books.take(Numbered(first, last, None, told), events, effects)
            ):
                raise KeyError(told.instrument.venue_symbol)
        elif isinstance(raw, RawSpotTicker):
            events.append(self._payloads.spot_day(raw, received_ns))
        elif isinstance(raw, RawFuturesTicker):
            events.extend(self._payloads.futures_days(raw, received_ns))

    def _other(
        self,
        index: int,
        frame: bytes,
        error: Exception,
        received_ns: int,
        events: list[VenueEvent],
        effects: list[Effect],
    ) -> None:
        """Take a frame that is not market data, or that was refused as such."""
        try:
            found = sort(frame)
            if isinstance(found, Answer):
                self._answered(found, effects)
            elif found is Other.UPGRADE:
                self._move("the venue announced an upgrade", effects)
            elif found is Other.DATA:
                written = _without_empty_sizes(frame)
                if written == frame or not self._take_top(written, received_ns, events):
                    effects.append(Refused(index, reason_of(error)))
        except FAULTS as e:
            effects.append(Refused(index, reason_of(e)))

    def _take_top(self, frame: bytes, received_ns: int, events: list[VenueEvent]) -> bool:
        raw = decode_event(frame)
        if not isinstance(raw, RawSpotTop | RawFuturesTop):
            return False
        try:
            events.append(self._payloads.top(raw.result, received_ns))
        except KeyError:
            self._payloads.ignored += 1
        return True

    def _answered(self, answer: Answer, effects: list[Effect]) -> None:
        asked = self._control.answered(answer.id)
        error = answer.error
        leaves = answer.event == "unsubscribe" if asked is None else not asked.subscribes
        if error is None or leaves:  # What could not be left is ignored as it comes.
            return
        if error.code == SERVER_FAULT:
            effects.append(Reconnect(f"the venue could not subscribe: {error.message[:200]}"))
            return
        refused = () if asked is None else self._control.carriers(asked.streams)
        for subscription in refused:
            if subscription.channel is Channel.BOOK:
                self._books.drop(subscription.instrument)
        if refused or asked is None:  # Else it was given up in the meantime.
            effects.append(VenueError(str(error.code), error.message[:REASON_MAX], refused))

    def _move(self, reason: str, effects: list[Effect]) -> None:
        if not self._moving:
            self._moving = True
            effects.append(Reconnect(reason, planned=True))


def _without_empty_sizes(frame: bytes) -> bytes:
    """Write the sizes of empty sides of a book top as zero, which is how futures do."""
    return _EMPTY_SIZE.sub(rb'"\1":"0"', frame)
