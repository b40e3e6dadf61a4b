"""Codec and dialect are two readings of one documentation. Here they meet without a socket; the scene judges."""

import json
from collections.abc import Callable

import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot, OrderBook
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument, Kind
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Gap, Side, Source, Trade
from heliograph.sim.world import World
from heliograph.venues.coinbase import VENUE
from heliograph.venues.coinbase.dialect import Dialect, Stream
from heliograph.venues.coinbase.dialect_rest import Rest
from heliograph.venues.coinbase.layout import LAYOUT
from heliograph.venues.contract import (
    CandlePage,
    Effect,
    Fetch,
    InstrumentPage,
    Reconnect,
    Request,
    Send,
    Subscription,
    TradePage,
    VenueError,
)
from heliograph.venues.dialect import Ask
from heliograph.venues.scene import Bar

EPOCH_NS = 1_795_000_000 * NS_PER_S
MINUTE_NS = 60 * NS_PER_S
STEP_NS = 250 * NS_PER_MS
WORLD = World(5, 12, EPOCH_NS, history_minutes=2500, listers=LAYOUT.listers)
SCENE = WORLD.markets[SPOT]
MARKET = VENUE.markets[SPOT]
BTC, ETH, QUIET = (MARKET.instrument(symbol) for symbol in ("BTC-USD", "ETH-USD", "TRX-USD"))
CHANNELS = (Channel.TICKER, Channel.TRADES, Channel.BOOK)

Spoil = Callable[[str, bytes], list[bytes]]


def answer_to(request: Request, now_ns: int) -> tuple[int, bytes]:
    answer = Rest(Dialect(WORLD.markets)).answer(Ask(request.path, dict(request.query)), now_ns)
    return answer.status, answer.body


class Meeting:
    """A feed and the session that it talks to, from the same instant on."""

    def __init__(self, *subscriptions: Subscription, now_ns: int = EPOCH_NS) -> None:
        (connection,) = MARKET.plan(subscriptions, 100)
        self.dialect = Dialect(WORLD.markets)
        session = self.dialect.session(Ask(connection.path))
        assert session is not None
        self.session = session
        self.feed = MARKET.feed(connection)
        self.events: list[VenueEvent] = []
        self.effects: list[Effect] = []
        self.asked: list[Request] = []
        self.now_ns = now_ns
        self._told: dict[Stream, int] = {}
        self.feed.opened(self.now_ns, self.effects)
        self._converse()

    def go(self, seconds: float, spoil: Spoil = lambda _name, frame: [frame]) -> None:
        """Let time pass in steps, and let what the dialect says be spoiled on its way, once it is numbered."""
        until_ns = self.now_ns + int(seconds * NS_PER_S)
        while self.now_ns < until_ns:
            self.now_ns += STEP_NS
            for stream in list(self.session.streams.values()):
                paced_ns = self.now_ns // stream.cadence_ns * stream.cadence_ns if stream.cadence_ns else self.now_ns
                from_ns, self._told[stream] = self._told[stream], max(paced_ns, self._told[stream])
                frames = self.dialect.frames(stream, from_ns, paced_ns) if paced_ns > from_ns else []
                for frame in [self.session.numbered(frame) for frame in frames]:
                    self.hear(*spoil(stream.name, frame))
            if self.now_ns % NS_PER_S == 0:
                self.feed.ticked(self.now_ns, self.effects)
            self._converse()

    def of(self, kind: type[VenueEvent]) -> list[VenueEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def hear(self, *frames: bytes) -> None:
        self.feed.decode(frames, self.now_ns, self.events, self.effects)

    def change(self, *wanted: Subscription) -> None:
        self.feed.change(wanted, self.effects)
        self._converse()

    def _converse(self) -> None:
        while (index := next((i for i, e in enumerate(self.effects) if isinstance(e, Send | Fetch)), None)) is not None:
            effect = self.effects.pop(index)
            if isinstance(effect, Fetch):
                self.asked.append(effect.request)
                status, body = answer_to(effect.request, self.now_ns)
                assert status == 200, body
                self.feed.fetched(effect.request, body, self.now_ns, self.events, self.effects)
                continue
            assert isinstance(effect, Send)
            reply = self.session.received(effect.payload.decode(), self.now_ns)
            self._told = {s: self._told[s] for s in self.session.streams.values() if s in self._told}
            opening: list[bytes] = []
            for stream in self.session.streams.values():
                if stream not in self._told:
                    cadence_ns = stream.cadence_ns or 1
                    self._told[stream] = self.now_ns // cadence_ns * cadence_ns
                    opening += self.dialect.opening(stream, self._told[stream])
            self.hear(*(self.session.numbered(frame) for frame in [*opening, *reply.payloads]))


def everything(*instruments: Instrument) -> list[Subscription]:
    candles = [Subscription(Channel.CANDLES, instrument, Interval.M5) for instrument in instruments]
    return [*candles, *(Subscription(channel, i) for i in instruments for channel in CHANNELS)]


def figures(candle: Candle) -> tuple[object, ...]:
    return candle.open_ns, candle.open, candle.high, candle.low, candle.close, candle.base_volume


def truth(bar: Bar) -> tuple[object, ...]:
    return bar.open_ns, bar.open, bar.high, bar.low, bar.close, bar.volume


def check_book(events: list[VenueEvent], instrument: Instrument) -> None:
    """Whatever is told as a book is the book as it stood."""
    book: OrderBook | None = None
    told = 0
    for event in events:
        if isinstance(event, BookSnapshot) and event.instrument == instrument:
            book = OrderBook(instrument)
            book.replace(event)
        elif isinstance(event, BookDelta) and event.instrument == instrument:
            assert book is not None
            book.apply(event)
        elif isinstance(event, Gap) and event.instrument == instrument:
            book = None
            continue
        else:
            continue
        assert event.event_ns is not None
        stood = SCENE.book(instrument.venue_symbol, 1000, event.event_ns)
        assert (tuple(book.bids()), tuple(book.asks())) == (stood.bids, stood.asks)
        told += 1
    assert told > 10


def check_trades(events: list[VenueEvent], instrument: Instrument, last: int) -> None:
    """Each once, in order, up to and including that of the last number."""
    told = [e for e in events if isinstance(e, Trade) and e.instrument == instrument]
    first = told[0].sequence
    assert first is not None
    fills = SCENE.fills_from(instrument.venue_symbol, first, last - first + 1, EPOCH_NS * 2)
    assert [(t.sequence, t.trade_id, t.price, t.quantity, t.side, t.event_ns) for t in told] == [
        (f.id, str(f.id), f.price, f.quantity, Side.BUY if f.taker_buys else Side.SELL, f.time_ns) for f in fills
    ]


def test_every_channel_of_several_products_is_told_as_it_happened() -> None:
    meeting = Meeting(*everything(BTC, ETH))
    meeting.go(40)
    assert meeting.effects == []
    for instrument in (BTC, ETH):
        check_book(meeting.events, instrument)
        check_trades(meeting.events, instrument, SCENE.last_ids(instrument.venue_symbol, meeting.now_ns)[1])
    assert all(c["gaps"] == c["resyncs"] == c["dropped"] == 0 for c in meeting.feed.book_counters().values())
    for event in meeting.events:
        assert event.received_ns >= EPOCH_NS
        if isinstance(event, BookTop):
            assert event.event_ns is not None
            stood = SCENE.book(event.instrument.venue_symbol, 1, event.event_ns)
            assert (event.bid, event.bid_quantity, event.ask, event.ask_quantity) == (*stood.bids[0], *stood.asks[0])
        elif isinstance(event, DayStatistics):
            assert event.event_ns is not None
            day = meeting.dialect.day(event.instrument.venue_symbol, event.event_ns)
            assert (event.last, event.high, event.low, event.base_volume) == (day.close, day.high, day.low, day.volume)
            assert event.open is None
        elif isinstance(event, Candle):
            assert event.event_ns is not None
            bar = SCENE.bar(event.instrument.venue_symbol, event.open_ns, event.close_ns, event.event_ns)
            assert figures(event) == truth(bar)
            assert not event.closed
    for kind in (BookTop, DayStatistics, Candle):
        assert {e.instrument for e in meeting.of(kind)} == {BTC, ETH}


def test_candles_are_closed_by_rest_once_the_venue_s_own_time_is_past_them() -> None:
    meeting = Meeting(Subscription(Channel.CANDLES, BTC, Interval.M5), Subscription(Channel.CANDLES, ETH, Interval.M5))
    meeting.go(1300)
    assert meeting.effects == []
    for instrument in (BTC, ETH):
        closed = [e for e in meeting.of(Candle) if isinstance(e, Candle) and e.closed and e.instrument == instrument]
        assert len(closed) == 4
        assert {candle.source for candle in closed} == {Source.REST}
        for candle in closed:
            bar = SCENE.bar(instrument.venue_symbol, candle.open_ns, candle.close_ns, candle.close_ns - 1)
            assert figures(candle) == truth(bar)
            # Soon, where something was traded right after it; else when no more can come.
            assert candle.received_ns - candle.close_ns <= (4 if instrument == BTC else 13) * NS_PER_S
    assert len(meeting.asked) <= 12  # One a candle, and seldom one more.


def test_a_candle_that_nothing_follows_is_closed_too_and_rest_is_not_asked_without_end() -> None:
    meeting = Meeting(Subscription(Channel.CANDLES, QUIET, Interval.M5))
    meeting.go(3600)
    closed = [event for event in meeting.of(Candle) if isinstance(event, Candle) and event.closed]
    opens = [candle.open_ns for candle in closed]
    assert len(set(opens)) == len(opens) > 5
    for candle in closed:
        bar = SCENE.bar("TRX-USD", candle.open_ns, candle.close_ns, candle.close_ns - 1)
        assert bar.fills
        assert figures(candle) == truth(bar)
        assert candle.received_ns - candle.close_ns <= 13 * NS_PER_S
    assert len(meeting.asked) <= 2 * len(closed) + 2
    streamed = {e.open_ns for e in meeting.of(Candle) if isinstance(e, Candle) and e.source is Source.STREAM}
    assert {open_ns for open_ns in streamed if open_ns + 5 * MINUTE_NS + 15 * NS_PER_S < meeting.now_ns} <= set(opens)


class Mishap:
    """Something that happens to one frame in so many of a stream."""

    def __init__(self, mark: str, every: int, done: str) -> None:
        self.happened = 0
        self._mark, self._every, self._done = mark, every, done
        self._count = 0
        self._late: list[bytes] = []

    def __call__(self, name: str, frame: bytes) -> list[bytes]:
        late, self._late = self._late, []
        if self._mark not in name:
            return [frame, *late]
        self._count += 1
        if self._count % self._every or self.happened == 2:
            return [frame, *late]
        self.happened += 1
        if self._done == "swapped":
            self._late = [frame]
        return {"dropped": late, "doubled": [frame, frame, *late], "swapped": late, "cut": [frame[:-9], *late]}[
            self._done
        ]


@pytest.mark.parametrize("mark", ["level2:BTC-USD", "ticker:ETH-USD", "heartbeats"])
@pytest.mark.parametrize("done", ["dropped", "doubled", "swapped", "cut"])
def test_a_book_is_never_wrong_whichever_frame_of_the_connection_is_lost(done: str, mark: str) -> None:
    """Who cannot know whether it was a frame of the book takes it that it was."""
    meeting = Meeting(*everything(BTC, ETH))
    mishap = Mishap(mark, 15, done)
    meeting.go(60, mishap)
    assert mishap.happened == 2
    last_ns = meeting.now_ns
    meeting.go(30)
    gaps = [event for event in meeting.of(Gap) if isinstance(event, Gap)]
    assert bool(gaps) == (done != "doubled")
    for instrument in (BTC, ETH):
        check_book(meeting.events, instrument)
        assert any(
            isinstance(event, BookDelta) and event.instrument == instrument and (event.event_ns or 0) > last_ns
            for event in meeting.events
        )
    assert not any(isinstance(effect, Reconnect | VenueError) for effect in meeting.effects)


def test_products_that_the_venue_does_not_list_are_refused_and_the_others_served() -> None:
    unknown = MARKET.instrument("NOPE-USD")
    meeting = Meeting(*everything(BTC, unknown))
    meeting.go(20)
    refused = [s for effect in meeting.effects if isinstance(effect, VenueError) for s in effect.subscriptions]
    assert all(isinstance(effect, VenueError) for effect in meeting.effects)
    assert sorted(refused, key=str) == sorted(everything(unknown), key=str)
    check_book(meeting.events, BTC)
    assert list(meeting.feed.book_counters()) == ["BTC-USD"]


def test_what_is_carried_changes_over_the_same_socket() -> None:
    meeting = Meeting(*everything(BTC))
    meeting.go(3)
    meeting.change(*everything(ETH))
    meeting.go(6)
    assert {stream.symbol for stream in meeting.session.streams.values()} == {"ETH-USD", ""}
    check_book(meeting.events, ETH)
    count = sum(event.instrument == BTC for event in meeting.events)
    meeting.change()
    meeting.go(3)
    assert meeting.session.streams == {}
    assert sum(event.instrument == BTC for event in meeting.events) == count
    assert meeting.effects == []


@pytest.mark.parametrize("interval", MARKET.intervals)
def test_past_candles_of_every_length_are_told_page_by_page(interval: Interval) -> None:
    assert interval.length_ns is not None
    listed_ns = SCENE.listings["BTC-USD"].listed_ns
    from_ns = interval.next_open(interval.open_of(listed_ns))
    feed = MARKET.feed(MARKET.plan([Subscription(Channel.TICKER, BTC)], 1)[0])
    events: list[VenueEvent] = []
    # What has closed is told by the venue's own time.
    feed.decode(Dialect(WORLD.markets).frames(Stream("heartbeats"), EPOCH_NS - 1, EPOCH_NS), EPOCH_NS, events, [])
    effects: list[Effect] = [Fetch(MARKET.candle_request(CandlePage(BTC, interval, from_ns, None)))]
    pages = 0
    while effects:
        (effect,) = effects
        effects = []
        assert isinstance(effect, Fetch)
        status, body = answer_to(effect.request, EPOCH_NS)
        assert status == 200, body
        pages += 1
        feed.fetched(effect.request, body, EPOCH_NS, events, effects)
    told = [event for event in events if isinstance(event, Candle)]
    bars = SCENE.bars("BTC-USD", interval, from_ns, 10_000, EPOCH_NS)
    assert [figures(candle) for candle in told] == [truth(bar) for bar in bars]
    assert all(candle.closed for candle in told[:-1])
    assert not told or not told[-1].closed
    assert pages == max(1, -(-len(bars) // 349))


def test_trades_that_were_just_missed_can_be_had_and_older_ones_not() -> None:
    feed = MARKET.feed(MARKET.plan([Subscription(Channel.TRADES, BTC)], 1)[0])
    last = SCENE.last_ids("BTC-USD", EPOCH_NS)[1]
    for first, until, expected in (
        (last - 30, last - 20, list(range(last - 30, last - 19))),
        (last - 150, last - 90, list(range(last - 99, last - 89))),
        (last - 400, last - 300, []),
    ):
        assert MARKET.trade_request is not None
        request = MARKET.trade_request(TradePage(BTC, first, until))
        events: list[VenueEvent] = []
        effects: list[Effect] = []
        feed.fetched(request, answer_to(request, EPOCH_NS)[1], EPOCH_NS, events, effects)
        assert effects == []
        assert [event.sequence for event in events if isinstance(event, Trade)] == expected
        assert all(isinstance(event, Trade) and event.source is Source.REST for event in events)
        if events:
            check_trades(events, BTC, until)


def test_products_are_listed_as_they_are_and_once_each() -> None:
    request = MARKET.instruments_request()
    assert request.purpose == InstrumentPage(SPOT)
    listed = MARKET.parse_instruments(answer_to(request, EPOCH_NS)[1])
    assert {instrument.venue_symbol for instrument in listed} == set(SCENE.listings)
    for instrument in listed:
        listing = SCENE.listings[instrument.venue_symbol]
        assert (instrument.base, instrument.quote, instrument.kind) == (listing.base, listing.quote, Kind.SPOT)
        assert (instrument.tick_size, instrument.lot_size) == (listing.tick_size, listing.lot_size)
        assert instrument.trading
        assert instrument.contract_size is instrument.expiry_ns is instrument.settle is None


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("/api/v3/brokerage/market/products/NOPE-USD/candles", {}, 404, "NOT_FOUND"),
        ("/api/v3/brokerage/market/products/BTC-USD/candles", {"start": "0"}, 400, "INVALID_ARGUMENT"),
    ],
)
def test_what_the_venue_refuses_is_read_as_its_no(path: str, query: dict[str, str], status: int, code: str) -> None:
    answer = Rest(Dialect(WORLD.markets)).answer(Ask(path, query), EPOCH_NS)
    assert answer.status == status
    error = MARKET.parse_error(answer.status, answer.body)
    assert error.code == code
    assert error.reason == json.loads(answer.body)["message"]


def test_recorded_answers_tell_what_the_dialect_says() -> None:
    rest, prefix = Rest(Dialect(WORLD.markets)), "/api/v3/brokerage/market"
    book = SCENE.book("BTC-USD", 5, EPOCH_NS)
    for path, kind, count in (
        (f"{prefix}/product_book?product_id=BTC-USD&limit=5", BookSnapshot, 1),
        (f"{prefix}/products/BTC-USD/ticker?limit=7", Trade, 7),
        (f"{prefix}/products?limit=4", Instrument, 2),
        (f"{prefix}/products/BTC-USD/candles?granularity=ONE_HOUR&start=1794993000&end=1795000000", Candle, 2),
        ("/api/v3/brokerage/time", Candle, 0),
        (f"{prefix}/products/NOPE-USD/candles?granularity=ONE_HOUR", Candle, 0),
    ):
        place, _, query = path.partition("?")
        asked = dict(pair.split("=") for pair in query.split("&")) if query else {}
        answer = rest.answer(Ask(place, asked), EPOCH_NS)
        told = MARKET.read_answer(f"https://api.coinbase.com{path}", answer.body, EPOCH_NS)
        assert [type(event) for event in told] == [kind] * count
        for event in told:
            if isinstance(event, BookSnapshot):
                assert (tuple(event.bids), tuple(event.asks)) == (book.bids, book.asks)
            if isinstance(event, Candle):
                assert event.closed == (event is not told[-1])
        assert VENUE.market_of(None, answer.body) == (SPOT if count else None)
        assert VENUE.market_of(f"https://api.coinbase.com{path}", b"") == SPOT
