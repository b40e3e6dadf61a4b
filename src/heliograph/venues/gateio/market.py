"""Gate public market data: candles, tickers, trades and books of one socket.

Sources: https://www.gate.com/docs/developers/apiv4/ws/en/ and https://www.gate.com/docs/developers/futures/ws/en/ .
"""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
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
    VenueError,
)
from heliograph.venues.gateio.book import Sequence as BookSequence
from heliograph.venues.gateio.book import Update
from heliograph.venues.gateio.control import Answer, Other, sort
from heliograph.venues.gateio.frames import (
    FAULTS,
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
from heliograph.venues.gateio.rest import Rest, book_request, candle_request, read_book, read_candles
from heliograph.venues.gateio.streams import Stream, Wire, message, ping, streams_of

PING_NS: Final = 10 * NS_PER_S
"""How often to ping: a socket on which neither side says anything for a minute is cut.

Source: https://github.com/gateio/gatews/issues/34 (an answer of the venue's staff).
"""
ACKNOWLEDGED_NS_MAX: Final = 15 * NS_PER_S
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
        self.books: dict[str, BookSequence] = {}
        """By the venue's symbol. Their counters say how the books fare."""
        self._rules = rules
        self._open_to_all = not connection.subscriptions
        self._sequenced = connection.sequenced
        make = rules.instrument if self._open_to_all else None
        self._payloads = Payloads(make, rules.intervals, rules.rest.units)
        self._streams: dict[Stream, Subscription] = {}
        self._opened = False
        self._moving = False
        self._outbox: deque[tuple[Stream, Subscription, str]] = deque()  # and `subscribe` or `unsubscribe`
        self._may_leave = MESSAGES_PER_TICK
        self._next_id = 1
        self._unanswered: dict[int, tuple[Subscription, str, int]] = {}  # by id, with the time when it left
        self._now_ns = 0
        self._pinged_ns = 0
        self._carry(connection.subscriptions)

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        """Subscribe; over a few seconds where that takes many messages."""
        self._opened = True
        self._now_ns = self._pinged_ns = now_ns
        self._outbox.extend((stream, wanted, "subscribe") for stream, wanted in self._streams.items())
        self._drain(effects)

    @property
    def ignored(self) -> int:
        """How many payloads were of instruments that this connection does not carry."""
        return self._payloads.ignored

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        """Carry exactly these subscriptions from now on."""
        before = self._streams
        self._carry(wanted)
        if not self._opened:
            return
        left = [(stream, old, "unsubscribe") for stream, old in before.items() if stream not in self._streams]
        come = [(stream, new, "subscribe") for stream, new in self._streams.items() if stream not in before]
        self._outbox.extend((*left, *come))
        self._drain(effects)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Say what is still to be said, keep the socket alive, and ask for snapshots that are due."""
        self._now_ns = now_ns
        self._may_leave = MESSAGES_PER_TICK
        self._drain(effects)
        if self._opened and not 0 <= now_ns - self._pinged_ns < PING_NS:
            self._pinged_ns = now_ns
            effects.append(Send(ping(self._rules.wire, now_ns // NS_PER_S)))
        due = [book.instrument for book in self.books.values() if book.due(now_ns)]
        effects.extend([Fetch(book_request(self._rules.rest, instrument)) for instrument in due])
        if any(now_ns - sent_ns >= ACKNOWLEDGED_NS_MAX for _, _, sent_ns in self._unanswered.values()):
            self._unanswered.clear()
            effects.append(Reconnect("a subscription was not acknowledged"))

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
            elif isinstance(purpose, BookPage):
                self._start_book(purpose.instrument, body, received_ns, events)
        except FAULTS as e:
            effects.append(Refused(-1, f"{request.path}: {_reason(e)}"))
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
            symbol: {"dropped": book.dropped, "applied": book.applied, "gaps": book.gaps, "resyncs": book.resyncs}
            for symbol, book in self.books.items()
        }

    def _carry(self, subscriptions: Sequence[Subscription]) -> None:
        self._streams = {s: wanted for wanted in subscriptions for s in streams_of(wanted, self._rules.wire)}
        booked = [wanted.instrument for wanted in subscriptions if wanted.channel is Channel.BOOK]
        self.books = {i.venue_symbol: self.books.get(i.venue_symbol) or BookSequence(i) for i in booked}
        if not self._open_to_all:
            self._payloads.carry([wanted.instrument for wanted in subscriptions])

    def _drain(self, effects: list[Effect]) -> None:
        for _ in range(min(len(self._outbox), self._may_leave)):
            self._may_leave -= 1
            stream, subscription, event = self._outbox.popleft()
            self._unanswered[self._next_id] = (subscription, event, self._now_ns)
            effects.append(Send(message(stream, event, self._now_ns // NS_PER_S, self._next_id)))
            self._next_id += 1

    def _take(self, raw: RawEvent, received_ns: int, events: list[VenueEvent], effects: list[Effect]) -> None:
        if isinstance(raw, RawSpotBook | RawFuturesBook):
            told = self._payloads.book(raw.result, received_ns)
            if self._sequenced:
                self._book(told, raw.result.U, raw.result.u, received_ns, events, effects)
            else:
                events.append(told)
        elif isinstance(raw, RawSpotTicker):
            events.append(self._payloads.spot_day(raw, received_ns))
        elif isinstance(raw, RawFuturesTicker):
            events.extend(self._payloads.futures_days(raw, received_ns))

    def _book(
        self,
        told: BookSnapshot | BookDelta,
        first: int,
        last: int,
        received_ns: int,
        events: list[VenueEvent],
        effects: list[Effect],
    ) -> None:
        symbol = told.instrument.venue_symbol
        book = self.books.get(symbol)
        if book is None:
            if not self._open_to_all:
                raise KeyError(symbol)
            book = self.books[symbol] = BookSequence(told.instrument)
        if isinstance(told, BookSnapshot):
            book.replace(told, last, events)
        else:
            book.take(Update(first, last, told), events)
        if book.due(received_ns):
            effects.append(Fetch(book_request(self._rules.rest, told.instrument)))

    def _start_book(self, instrument: Instrument, body: bytes, received_ns: int, events: list[VenueEvent]) -> None:
        book = self.books.get(instrument.venue_symbol)
        if book is None or not book.waiting:  # Unsubscribed in the meantime, or an answer nobody waits for.
            return
        snapshot = read_book(self._rules.rest, instrument, body, received_ns)
        if snapshot.sequence is None:
            raise ValueError("a book without its id")
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
                    effects.append(Refused(index, _reason(error)))
        except FAULTS as e:
            effects.append(Refused(index, _reason(e)))

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
        subscription, event = None, answer.event
        if isinstance(answer.id, int) and answer.id in self._unanswered:
            subscription, event, _ = self._unanswered.pop(answer.id)
        error = answer.error
        if error is None or event == "unsubscribe":  # What could not be left is ignored as it comes.
            return
        if error.code == SERVER_FAULT:
            effects.append(Reconnect(f"the venue could not subscribe: {error.message[:200]}"))
            return
        if subscription is not None and subscription.channel is Channel.BOOK:
            self.books.pop(subscription.instrument.venue_symbol, None)  # Lest its snapshot be asked for, for ever.
        refused = () if subscription is None else (subscription,)
        effects.append(VenueError(str(error.code), error.message, refused))

    def _move(self, reason: str, effects: list[Effect]) -> None:
        if not self._moving:
            self._moving = True
            effects.append(Reconnect(reason, planned=True))


def _without_empty_sizes(frame: bytes) -> bytes:
    """Write the sizes of empty sides of a book top as zero, which is how futures do."""
    return _EMPTY_SIZE.sub(rb'"\1":"0"', frame)


def _reason(error: Exception) -> str:
    if isinstance(error, ArithmeticError):
        return "not a number of at most 38 digits"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)[:200]
