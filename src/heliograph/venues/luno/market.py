"""Luno public market data: one pair's book, trades and ticker over one socket, and its candles by REST.

The stream tells orders, which fold to levels, and the trades that fill them. There is no stream of tickers: the best
levels are told as they change, and the day's volume and the last price are asked for each minute. There is none of
candles either: REST is asked every twenty seconds, and when a candle has ended by the venue's time.

Source: https://www.luno.com/en/developers/api#tag/Streaming-API
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.errors import DecodeError
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, Trade
from heliograph.model.numbers import PRICES
from heliograph.venues.candle_pages import LATE_NS
from heliograph.venues.contract import (
    CandlePage,
    Connection,
    Credentials,
    Effect,
    Fetch,
    Reconnect,
    Refused,
    Request,
    Send,
    Subscription,
    TickerPage,
    TradePage,
    VenueError,
)
from heliograph.venues.faults import FAULTS, REASON_MAX, reason_of
from heliograph.venues.heartbeat import Heartbeat
from heliograph.venues.linked_book import Book
from heliograph.venues.luno.book import Orders
from heliograph.venues.luno.control import pair_of_path
from heliograph.venues.luno.frames import RawFrame, decode_frame
from heliograph.venues.luno.instruments import UNNAMED
from heliograph.venues.luno.rest import (
    candle_request,
    read_candles,
    read_ticker,
    read_trades,
    ticker_request,
)

TICKER_NS: Final = 60 * NS_PER_S
CANDLES_NS: Final = 20 * NS_PER_S
"""Between two looks at a candle that is not over: fifty pairs then ask 150 times a minute, of 300 that are allowed."""

_KEEP_ALIVE: Final = (b'""', b"")
_FOREVER: Final = frozenset({"invalid_market", "invalid_credentials"})
"""What the venue says to what will not be better next time."""


class Feed:
    """The codec of one socket, which is one pair's.

    Args:
        credentials: what the venue wants to see first; None: a feed that is never opened, such as one that reads a
            recording.
        connection: what the socket is to carry; without subscriptions, its path names the pair.

    """

    def __init__(self, credentials: Credentials | None, connection: Connection) -> None:
        self.ignored = 0
        self._credentials = credentials
        self._open_to_all = not connection.subscriptions
        self._sequenced = connection.sequenced
        self._wanted = connection.subscriptions
        self._instrument = _instrument_of(connection)
        self._orders = Orders(self._instrument, PRICES, strict=connection.sequenced)
        self._book = Book(self._instrument)
        self._told = 0  # the number of the last message whose changes of the book were told
        self._top: BookTop | None = None
        self._candles: dict[Interval, int] = {}  # from which open time on to ask
        self._looks: dict[Interval, Heartbeat] = {}
        self._asked: set[Interval] = set()
        self._ticker = Heartbeat(TICKER_NS)
        self._venue_ns = 0  # the newest time that the venue told
        self._refusal: VenueError | None = None
        self.change(connection.subscriptions, [])

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        """Show the key, without which nothing is told."""
        if self._credentials is not None:
            key = {"api_key_id": self._credentials.key, "api_key_secret": self._credentials.secret}
            effects.append(Send(msgspec.json.encode(key), secret=True))
        if self._wants(Channel.TICKER):
            self._ticker.since_ns = now_ns
            effects.append(Fetch(ticker_request(self._instrument)))

    def change(self, wanted: Sequence[Subscription], _effects: list[Effect]) -> None:
        """Carry exactly these subscriptions, all of the one pair, from now on; the socket tells all that there is."""
        self._wanted = tuple(wanted)
        intervals = [s.interval for s in wanted if s.channel is Channel.CANDLES and s.interval is not None]
        self._candles = {interval: self._candles.get(interval, 0) for interval in intervals}
        self._looks = {interval: self._looks.get(interval) or Heartbeat(CANDLES_NS) for interval in intervals}
        self._asked &= set(intervals)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Ask for what no stream tells."""
        if self._wants(Channel.TICKER) and self._ticker.due(now_ns):
            effects.append(Fetch(ticker_request(self._instrument)))
        if not self._venue_ns:
            return
        for interval, from_ns in self._candles.items():
            look = self._looks[interval]
            if look.since_ns is None:
                look.since_ns = now_ns - CANDLES_NS
            from_ns = from_ns or interval.open_of(self._venue_ns)
            over = self._venue_ns >= interval.next_open(from_ns) + LATE_NS
            if interval not in self._asked and (over or look.due(now_ns)):
                look.since_ns = now_ns
                self._asked.add(interval)
                effects.append(Fetch(candle_request(CandlePage(self._instrument, interval, from_ns, None))))

    def decode(
        self, frames: Sequence[bytes], received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take the text frames of one socket read, in order; one that Luno does not document becomes `Refused`."""
        for index, frame in enumerate(frames):
            if frame in _KEEP_ALIVE:
                continue
            try:
                self._take(decode_frame(frame), received_ns, events, effects)
            except DecodeError as e:
                self._break_off(str(e), received_ns, events, effects)
            except FAULTS as e:
                effects.append(Refused(index, reason_of(e)))

    def fetched(
        self, request: Request, body: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take an answer, and ask for the next page where there is more."""
        page = request.purpose
        following: Request | None = None
        try:
            if isinstance(page, CandlePage):
                self._asked.discard(page.interval)
                answer = read_candles(page, body, self._venue_ns, received_ns)
                events.extend(answer.candles)
                self._learn(page.interval, answer.candles)
                following = None if answer.following is None else candle_request(answer.following)
            elif isinstance(page, TradePage):
                trades, following = read_trades(request, page, body, received_ns)
                events.extend(trades)
            elif isinstance(page, TickerPage):
                events.append(read_ticker(page.instrument, body, received_ns))
        except FAULTS as e:
            effects.append(Refused(-1, f"{request.path}: {reason_of(e)}"))
            return
        if following is not None:
            effects.append(Fetch(following))

    def failed(self, request: Request, _reason: str, _now_ns: int, _effects: list[Effect]) -> None:
        """Take note that an answer will not come, so that it may be asked for again."""
        if isinstance(request.purpose, CandlePage):
            self._asked.discard(request.purpose.interval)

    def book_counters(self) -> Mapping[str, Mapping[str, int]]:
        """Return the counters of the book's sequence, by the venue's symbol."""
        book = self._book
        counters = {"dropped": book.dropped, "applied": book.applied, "gaps": book.gaps, "resyncs": book.resyncs}
        return {self._instrument.venue_symbol: counters}

    def _wants(self, channel: Channel) -> bool:
        return any(subscription.channel is channel for subscription in self._wanted)

    def _learn(self, interval: Interval, candles: Sequence[Candle]) -> None:
        """Ask from the first candle that is not closed, the next time."""
        if interval in self._candles:
            closed_ns = max((candle.close_ns for candle in candles if candle.closed), default=0)
            live_ns = min((candle.open_ns for candle in candles if not candle.closed), default=0)
            self._candles[interval] = max(self._candles[interval], closed_ns) or live_ns

    def _take(self, raw: RawFrame, received_ns: int, events: list[VenueEvent], effects: list[Effect]) -> None:
        if raw.error_code is not None:
            self._refused(raw.error_code, raw.error or "", effects)
            return
        if raw.api_key_id is not None:
            return
        if not raw.sequence.isdecimal() or len(raw.sequence) > 18:
            raise ValueError("neither a book nor an update: it has no number")
        self._venue_ns = max(self._venue_ns, raw.timestamp * NS_PER_MS)
        if raw.asks is not None or raw.bids is not None:
            snapshot = self._orders.replace(raw, received_ns)
            self._told = snapshot.sequence or 0
            if self._open_to_all or self._wants(Channel.BOOK):
                self._book.start(snapshot, events)
            else:
                self._book.start(snapshot, [])
            self._tell_top(snapshot.event_ns, received_ns, events)
            return
        self._update(raw, int(raw.sequence), received_ns, events, effects)

    def _update(
        self, raw: RawFrame, number: int, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        last = self._orders.number
        if self._sequenced and last is None:
            self._book.dropped += 1
            return
        if self._sequenced and last is not None and number != last + 1:
            if number <= last:
                self._book.dropped += 1  # What was said twice, or came late, is in the book already.
                return
            self._break_off("a message is missing", received_ns, events, effects, number - 1)
            return
        trades: list[Trade] = []
        try:
            delta = self._orders.apply(raw, self._told + 1, received_ns, trades)
        except FAULTS as e:
            if self._sequenced:  # Some of it may have been applied, and what follows leads on from all of it.
                raise DecodeError(f"an update that cannot be taken: {reason_of(e)}") from e
            raise
        events.extend(trades)
        if not delta.bids and not delta.asks:
            return
        if not self._sequenced:
            events.append(msgspec.structs.replace(delta, first_sequence=number))
        elif self._open_to_all or self._wants(Channel.BOOK):
            self._book.take(delta, self._told, events)
        else:
            self._book.take(delta, self._told, [])
        self._told = number
        self._tell_top(delta.event_ns, received_ns, events)

    def _tell_top(self, event_ns: int | None, received_ns: int, events: list[VenueEvent]) -> None:
        if not self._wants(Channel.TICKER):
            return
        top, known = self._orders.top(event_ns, received_ns), self._top
        if known is not None and (top.bid, top.bid_quantity, top.ask, top.ask_quantity) == (
            known.bid, known.bid_quantity, known.ask, known.ask_quantity
        ):  # fmt: skip
            return
        self._top = top
        events.append(top)

    def _break_off(
        self,
        reason: str,
        received_ns: int,
        events: list[VenueEvent],
        effects: list[Effect],
        to_sequence: int | None = None,
    ) -> None:
        """Drop the book: a new one comes with a new connection only."""
        self._orders.number = None
        self._book.break_off(reason, to_sequence, received_ns, events)
        effects.append(Reconnect(reason))

    def _refused(self, code: str, reason: str, effects: list[Effect]) -> None:
        if code in _FOREVER:
            effects.append(VenueError(code, reason[:REASON_MAX], self._wanted))
        else:
            effects.append(Reconnect(f"the venue said: {reason[:REASON_MAX]} (code {code[:50]})"))


def _instrument_of(connection: Connection) -> Instrument:
    if connection.subscriptions:
        return connection.subscriptions[0].instrument
    return pair_of_path(connection.path) or UNNAMED
