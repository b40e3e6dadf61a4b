"""Codec and dialect are two readings of one documentation. Here they meet without a socket; the scene judges."""

import json
from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot, OrderBook
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Gap, Side, Source, Trade
from heliograph.sim.world import World
from heliograph.venues.bybit import VENUE
from heliograph.venues.bybit.dialect import Dialect, Stream
from heliograph.venues.bybit.dialect_rest import Rest
from heliograph.venues.bybit.layout import LAYOUT
from heliograph.venues.contract import (
    CandlePage,
    Effect,
    Fetch,
    InstrumentPage,
    Market,
    Reconnect,
    Request,
    Send,
    Subscription,
    VenueError,
)
from heliograph.venues.dialect import Ask
from heliograph.venues.scene import Listing, Scene

EPOCH_NS = 1_795_000_000 * NS_PER_S
MINUTE_NS = 60 * NS_PER_S
STEP_NS = 100 * NS_PER_MS
WORLD = World(5, 3, EPOCH_NS, history_minutes=2500, listers=LAYOUT.listers)
CATEGORIES = ("spot", "linear", "inverse")
SYMBOLS = {"spot": "BTCUSDT", "linear": "BTCUSDT", "inverse": "BTCUSD"}
CHANNELS = (Channel.TICKER, Channel.TRADES, Channel.BOOK)


def market_of(category: str) -> Market:
    return VENUE.markets[MarketId(category)]


def scene_of(category: str) -> Scene:
    return WORLD.markets[MarketId(category)]


class Meeting:
    """A feed and the session that it talks to, from the same instant on."""

    def __init__(self, category: str, subscriptions: list[Subscription]) -> None:
        market = market_of(category)
        (connection,) = market.plan(subscriptions, 100)
        self.dialect = Dialect(WORLD.markets)
        session = self.dialect.session(Ask(connection.path))
        assert session is not None
        self.session = session
        self.feed = market.feed(connection)
        self.events: list[VenueEvent] = []
        self.effects: list[Effect] = []
        self.now_ns = EPOCH_NS
        self._told: dict[Stream, int] = {}
        self.feed.opened(self.now_ns, self.effects)
        self._converse()

    def go(self, seconds: float, spoil: Callable[[bytes], list[bytes]] = lambda frame: [frame]) -> None:
        """Let time pass in steps, and let what the dialect says be spoiled on its way."""
        until_ns = self.now_ns + int(seconds * NS_PER_S)
        while self.now_ns < until_ns:
            self.now_ns += STEP_NS
            for stream in list(self.session.streams.values()):
                paced_ns = self.now_ns // stream.cadence_ns * stream.cadence_ns if stream.cadence_ns else self.now_ns
                frames = (
                    self.dialect.frames(stream, self._told[stream], paced_ns) if paced_ns > self._told[stream] else []
                )
                self._told[stream] = max(paced_ns, self._told[stream])
                self._hear([kept for frame in frames for kept in spoil(frame)])
            if self.now_ns % NS_PER_S == 0:
                self.feed.ticked(self.now_ns, self.effects)
            self._converse()

    def of(self, kind: type[VenueEvent]) -> list[VenueEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def _hear(self, frames: list[bytes]) -> None:
        self.feed.decode(frames, self.now_ns, self.events, self.effects)

    def _converse(self) -> None:
        while (index := next((i for i, e in enumerate(self.effects) if isinstance(e, Send)), None)) is not None:
            send = self.effects.pop(index)
            assert isinstance(send, Send)
            reply = self.session.received(send.payload.decode(), self.now_ns)
            self._told = {s: self._told[s] for s in self.session.streams.values() if s in self._told}
            opening: list[bytes] = []
            for stream in self.session.streams.values():
                if stream not in self._told:
                    cadence_ns = stream.cadence_ns or 1
                    self._told[stream] = self.now_ns // cadence_ns * cadence_ns
                    opening += self.dialect.opening(stream, self._told[stream])
            self._hear([*opening, *reply.payloads] if reply.after_data else [*reply.payloads, *opening])


def everything(category: str, *symbols: str) -> list[Subscription]:
    instruments = [market_of(category).instrument(symbol) for symbol in symbols]
    return [
        *(Subscription(Channel.CANDLES, i, interval) for i in instruments for interval in (Interval.M1, Interval.M3)),
        *(Subscription(channel, i) for i in instruments for channel in CHANNELS),
    ]


def check_candle(candle: Candle, scene: Scene, listing: Listing) -> None:
    bar = scene.bar(listing.symbol, candle.open_ns, candle.close_ns, candle.close_ns - 1)
    assert (candle.open, candle.high, candle.low, candle.close) == (bar.open, bar.high, bar.low, bar.close)
    assert (candle.base_volume, candle.quote_volume, candle.contracts) == listing.volumes(bar)


def fill_of(trade: Trade) -> int:
    assert trade.trade_id is not None
    return UUID(trade.trade_id).node if "-" in trade.trade_id else int(trade.trade_id) % 10**18


def check_trades(category: str, symbol: str, told: list[Trade], from_ns: int, to_ns: int) -> None:
    """Every one, once, in order."""
    fills = scene_of(category).fills(symbol, from_ns, to_ns)
    base = fill_of(told[0]) - fills[0].id
    assert [(fill_of(t) - base, t.price, t.quantity, t.side, t.event_ns) for t in told] == [
        (f.id, f.price, f.quantity, Side.BUY if f.taker_buys else Side.SELL, f.time_ns // NS_PER_MS * NS_PER_MS)
        for f in fills
    ]
    if category != "spot":
        assert base == 0


def check_book(category: str, symbol: str, events: list[VenueEvent]) -> None:
    book: OrderBook | None = None
    last: BookSnapshot | BookDelta | None = None
    for event in events:
        if isinstance(event, BookSnapshot | BookDelta) and event.instrument.venue_symbol == symbol:
            if isinstance(event, BookSnapshot):
                book = book or OrderBook(event.instrument)
                book.replace(event)
            else:
                assert book is not None
                book.apply(event)
            last = event
    assert book is not None
    assert last is not None
    assert last.event_ns is not None
    truth = scene_of(category).book(symbol, 200, last.event_ns)
    assert (tuple(book.bids()), tuple(book.asks())) == (truth.bids, truth.asks)


def check_tops(category: str, symbol: str, tops: list[BookTop]) -> None:
    for top in tops:
        assert top.event_ns is not None
        truth = scene_of(category).book(symbol, 1, top.event_ns)
        assert ((top.bid, top.bid_quantity), (top.ask, top.ask_quantity)) == (truth.bids[0], truth.asks[0])


@pytest.mark.parametrize("category", CATEGORIES)
def test_candles_and_trades_are_those_that_happened(category: str) -> None:
    names = list(scene_of(category).listings)
    wanted = [s for s in everything(category, *names) if s.channel in (Channel.CANDLES, Channel.TRADES)]
    meeting = Meeting(category, wanted)
    meeting.go(200)
    assert meeting.effects == []
    for symbol in names:
        mine = [e for e in meeting.events if e.instrument.venue_symbol == symbol]
        closed = [e for e in mine if isinstance(e, Candle) and e.closed]
        assert sum(c.interval is Interval.M1 for c in closed) == 3
        assert sum(c.interval is Interval.M3 for c in closed) == 1
        for candle in closed:
            check_candle(candle, scene_of(category), scene_of(category).listings[symbol])
            assert candle.event_ns is not None
            assert candle.event_ns >= candle.close_ns
        live = [e for e in mine if isinstance(e, Candle) and not e.closed and e.interval is Interval.M1]
        assert len(live) > 3
        check_trades(category, symbol, [e for e in mine if isinstance(e, Trade)], EPOCH_NS, meeting.now_ns)


@pytest.mark.parametrize("category", CATEGORIES)
def test_books_and_tickers_are_as_they_stood(category: str) -> None:
    names = list(scene_of(category).listings)
    wanted = [s for s in everything(category, *names) if s.channel in (Channel.BOOK, Channel.TICKER)]
    meeting = Meeting(category, wanted)
    meeting.go(15)
    assert meeting.effects == []
    for symbol in names:
        mine = [e for e in meeting.events if e.instrument.venue_symbol == symbol]
        check_book(category, symbol, meeting.events)
        tops = [e for e in mine if isinstance(e, BookTop)]
        assert len(tops) > 5
        check_tops(category, symbol, tops)
        days = [e for e in mine if isinstance(e, DayStatistics)]
        assert len(days) > 1
        for day in days:
            check_day(category, symbol, day)
    assert meeting.of(Gap) == []


def check_day(category: str, symbol: str, told: DayStatistics) -> None:
    scene, now_ns = scene_of(category), told.event_ns
    assert now_ns is not None
    bar = scene.bar(symbol, now_ns - 86_400 * NS_PER_S, now_ns + 1, now_ns)
    assert (told.last, told.open, told.high, told.low) == (bar.close, bar.open, bar.high, bar.low)
    for mine, truth in zip(
        (told.base_volume, told.quote_volume, told.contracts), scene.listings[symbol].volumes(bar), strict=True
    ):
        assert (mine is None) == (truth is None)
        # Tickers of contracts have four digits.
        assert mine is None or truth is None or abs(mine - truth) <= Decimal("0.00005")


def test_a_symbol_of_two_categories_stays_apart() -> None:
    spot, linear = (Meeting(c, everything(c, "BTCUSDT")) for c in ("spot", "linear"))
    spot.go(2)
    linear.go(2)
    ids = {e.instrument.id for e in spot.events} | {e.instrument.id for e in linear.events}
    assert ids == {"bybit:spot:BTCUSDT", "bybit:linear:BTCUSDT"}


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_lost_delta_is_a_gap_and_the_book_is_whole_again_soon(category: str) -> None:
    symbol = SYMBOLS[category]
    meeting = Meeting(category, everything(category, symbol))
    meeting.go(2)
    left = [1]

    def lose(frame: bytes) -> list[bytes]:
        if b'"delta"' in frame and b"orderbook" in frame and left:
            left.pop()
            return []
        return [frame]

    meeting.go(5, lose)
    (gap,) = meeting.of(Gap)
    assert isinstance(gap, Gap)
    assert gap.channel is Channel.BOOK
    assert meeting.effects == []
    meeting.go(5)
    check_book(category, symbol, meeting.events)
    assert len(meeting.of(Gap)) == 1
    assert meeting.feed.book_counters()[symbol]["gaps"] == 1


@pytest.mark.parametrize("category", CATEGORIES)
def test_doubled_frames_change_nothing(category: str) -> None:
    symbol = SYMBOLS[category]
    meeting = Meeting(category, everything(category, symbol))
    meeting.go(5, lambda frame: [frame, frame])
    check_book(category, symbol, meeting.events)
    assert meeting.of(Gap) == []
    assert meeting.feed.book_counters()[symbol]["gaps"] == 0
    assert meeting.effects == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_t3_t5_a_book_said_whole_again_and_a_restart_replace_the_book(category: str) -> None:
    symbol = SYMBOLS[category]
    meeting = Meeting(category, everything(category, symbol))
    meeting.dialect.repeats_ns.append(EPOCH_NS + 2 * NS_PER_S)
    meeting.dialect.restarts_ns.append(EPOCH_NS + 4 * NS_PER_S)
    meeting.go(7)
    counters = meeting.feed.book_counters()[symbol]
    assert (counters["resyncs"], counters["restarts"], counters["gaps"]) == (2, 1, 0)
    assert meeting.of(Gap) == []
    check_book(category, symbol, meeting.events)
    check_tops(category, symbol, [e for e in meeting.events if isinstance(e, BookTop)])


def test_t1_what_comes_before_the_acknowledgement_is_told_once_and_not_reset() -> None:
    meeting = Meeting("linear", everything("linear", "BTCUSDT"))
    assert len(meeting.of(BookSnapshot)) == 1
    assert sum(isinstance(e, Candle) for e in meeting.events) == 2
    meeting.go(3)
    assert len(meeting.of(BookSnapshot)) == 1
    assert meeting.feed.book_counters()["BTCUSDT"]["resyncs"] == 0


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_topic_that_is_refused_costs_itself_only(category: str) -> None:
    market = market_of(category)
    bad = market.instrument({"spot": "NOPEUSDT", "linear": "NOPEUSDT", "inverse": "NOPEUSD"}[category])
    subscriptions = [*everything(category, SYMBOLS[category]), Subscription(Channel.TRADES, bad)]
    meeting = Meeting(category, subscriptions)
    meeting.go(5)
    refused = [effect for effect in meeting.effects if isinstance(effect, VenueError)]
    assert [effect.subscriptions for effect in refused] == [(Subscription(Channel.TRADES, bad),)]
    assert len(meeting.effects) == 1
    check_book(category, SYMBOLS[category], meeting.events)
    check_trades(
        category, SYMBOLS[category], [e for e in meeting.events if isinstance(e, Trade)], EPOCH_NS, meeting.now_ns
    )


@pytest.mark.parametrize("category", CATEGORIES)
def test_subscriptions_change_on_the_same_socket(category: str) -> None:
    names = list(scene_of(category).listings)[:3]
    before, after = everything(category, names[0]), everything(category, *names[1:])
    meeting = Meeting(category, before)
    meeting.go(1)
    meeting.feed.change([*before, *after], meeting.effects)
    meeting.go(3)
    meeting.feed.change(after, meeting.effects)
    meeting.go(2)
    count = len(meeting.events)
    meeting.go(3)
    assert {e.instrument.venue_symbol for e in meeting.events[count:]} == set(names[1:])
    assert meeting.effects == []
    for name in names[1:]:
        check_book(category, name, meeting.events)


def test_t27_a_quiet_market_for_ten_minutes_is_no_reason_to_reconnect() -> None:
    instrument = market_of("spot").instrument("BTCUSDT")
    meeting = Meeting("spot", [Subscription(Channel.CANDLES, instrument, Interval.MO1)])
    meeting.go(600)
    assert not [e for e in meeting.effects if isinstance(e, Reconnect)]
    assert meeting.effects == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_t30_many_topics_are_asked_for_within_the_limits(category: str) -> None:
    intervals = market_of(category).intervals
    instruments = [market_of(category).instrument(name) for name in scene_of(category).listings]
    wanted = [Subscription(Channel.CANDLES, i, interval) for i in instruments for interval in intervals]
    meeting = Meeting(category, wanted)
    meeting.go(12)
    assert meeting.effects == []
    assert len(meeting.session.streams) == len(wanted)
    seen = {(e.instrument.id, e.interval) for e in meeting.events if isinstance(e, Candle)}
    assert seen == {(s.instrument.id, s.interval) for s in wanted}
    meeting.feed.change(wanted[:1], meeting.effects)
    meeting.go(12)
    assert (meeting.effects, len(meeting.session.streams)) == ([], 1)


def test_t30_however_many_instruments_are_wanted_no_request_is_refused() -> None:
    world = World(5, 450, EPOCH_NS, history_minutes=2, listers=LAYOUT.listers)
    dialect = Dialect(world.markets)
    for category in CATEGORIES:
        market = market_of(category)
        instruments = [market.instrument(name) for name in world.markets[market.market].listings]
        wanted = [Subscription(Channel.TRADES, i) for i in instruments]
        wanted += [Subscription(Channel.CANDLES, i, Interval.M15) for i in instruments]
        connections = market.plan(wanted, 10_000)
        assert len(connections) > 1
        for connection in connections:
            session, feed, effects = dialect.session(Ask(connection.path)), market.feed(connection), list[Effect]()
            assert session is not None
            feed.opened(EPOCH_NS, effects)
            for second in range(1, 30):
                sends = [effect for effect in effects if isinstance(effect, Send)]
                assert len(sends) == len(effects)
                effects.clear()
                for send in sends:
                    feed.decode(session.received(send.payload.decode()).payloads, EPOCH_NS, [], effects)
                feed.ticked(EPOCH_NS + second * NS_PER_S, effects)
            assert {s.instrument for s in session.streams.values()} == {
                s.instrument.venue_symbol for s in connection.subscriptions
            }
            assert len(session.streams) == len(connection.subscriptions)


def rest() -> Rest:
    return Rest(Dialect(WORLD.markets))


def answered(request: Request, now_ns: int) -> bytes:
    answer = rest().answer(Ask(request.path, dict(request.query)), now_ns)
    assert answer.status == 200
    return answer.body


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("limit", ["1000", "2", "1"])
def test_instruments_are_those_that_are_listed_on_however_many_pages(category: str, limit: str) -> None:
    market = market_of(category)
    request: Request | None = market.instruments_request()
    assert request is not None
    assert isinstance(request.purpose, InstrumentPage)
    found: list[Instrument] = []
    while request is not None:
        query = tuple((name, limit if name == "limit" else value) for name, value in request.query)
        body = answered(Request(request.path, query, 1, request.purpose), EPOCH_NS)
        found += market.parse_instruments(body)
        assert market.next_instruments is not None
        request = market.next_instruments(request, body)
    listings = scene_of(category).listings
    assert [i.venue_symbol for i in found] == list(listings)
    for instrument in found:
        listing = listings[instrument.venue_symbol]
        assert (instrument.base, instrument.quote, instrument.settle) == (listing.base, listing.quote, listing.settle)
        assert (instrument.kind, instrument.expiry_ns) == (listing.kind, listing.expiry_ns)
        assert (instrument.tick_size, instrument.lot_size) == (listing.tick_size, listing.lot_size)
        assert (instrument.contract_size, instrument.trading) == (listing.contract_size, True)


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize(("back", "to"), [(3, None), (2400, None), (2400, 100), (999, 0), (1000, 1), (1, 0), (5, 5)])
def test_candles_of_a_range_come_once_each_in_order_over_all_pages(category: str, back: int, to: int | None) -> None:
    market, symbol = market_of(category), SYMBOLS[category]
    now_ns = EPOCH_NS + 30 * NS_PER_S
    live_ns = Interval.M1.open_of(now_ns)
    from_ns = live_ns - back * MINUTE_NS
    to_ns = None if to is None else live_ns - to * MINUTE_NS
    instrument = market.instrument(symbol)
    (connection,) = market.plan([Subscription(Channel.CANDLES, instrument, Interval.M1)], 1)
    feed, events, effects = market.feed(connection), list[VenueEvent](), list[Effect]()
    effects.append(Fetch(market.candle_request(CandlePage(instrument, Interval.M1, from_ns, to_ns))))
    pages = 0
    while effects:
        effect = effects.pop()
        assert isinstance(effect, Fetch)
        pages += 1
        feed.fetched(effect.request, answered(effect.request, now_ns), now_ns, events, effects)
    candles = [e for e in events if isinstance(e, Candle)]
    assert len(candles) == len(events)
    last_ns = live_ns if to_ns is None else to_ns
    assert [c.open_ns for c in candles] == list(range(from_ns, last_ns + 1, MINUTE_NS))
    for candle in candles:
        assert candle.source is Source.REST
        if candle.open_ns < live_ns:
            assert candle.closed
            check_candle(candle, scene_of(category), scene_of(category).listings[symbol])
        else:
            assert not candle.closed
    assert pages <= back // 999 + 2


@pytest.mark.parametrize("interval", market_of("linear").intervals)
def test_every_interval_has_its_name_and_its_grid(interval: Interval) -> None:
    market = market_of("linear")
    instrument = market.instrument("ETHUSDT")
    from_ns = interval.open_of(EPOCH_NS)
    (connection,) = market.plan([Subscription(Channel.CANDLES, instrument, interval)], 1)
    feed, events, effects = market.feed(connection), list[VenueEvent](), list[Effect]()
    request = market.candle_request(CandlePage(instrument, interval, from_ns, None))
    feed.fetched(request, answered(request, EPOCH_NS), EPOCH_NS, events, effects)
    (candle,) = events
    assert isinstance(candle, Candle)
    assert (candle.interval, candle.open_ns, candle.closed, effects) == (interval, from_ns, False, [])


@pytest.mark.parametrize("category", CATEGORIES)
def test_recorded_answers_are_read(category: str) -> None:
    market, symbol = market_of(category), SYMBOLS[category]
    queries = {
        "tickers": {},
        "orderbook": {"limit": "20"},
        "recent-trade": {"limit": "30"},
        "kline": {"interval": "5", "limit": "3"},
    }
    told: dict[str, list[VenueEvent | Instrument]] = {}
    for path, more in queries.items():
        query = {"category": category, "symbol": symbol} | more
        body = rest().answer(Ask(f"/v5/market/{path}", query), EPOCH_NS).body
        url = f"/v5/market/{path}?" + "&".join(f"{name}={value}" for name, value in query.items())
        told[path] = market.read_answer(url, body, EPOCH_NS)
        assert told[path], path
    trades = [e for e in told["recent-trade"] if isinstance(e, Trade)]
    fills = scene_of(category).fills(symbol, EPOCH_NS - MINUTE_NS, EPOCH_NS)
    assert [(t.price, t.quantity) for t in trades] == [(f.price, f.quantity) for f in fills[-30:]]
    (book,) = told["orderbook"]
    assert isinstance(book, BookSnapshot)
    truth = scene_of(category).book(symbol, 20, EPOCH_NS)
    assert (tuple(book.bids), tuple(book.asks)) == (truth.bids, truth.asks)
    assert [type(e) for e in told["tickers"]] == [BookTop, DayStatistics]
    check_tops(category, symbol, [e for e in told["tickers"] if isinstance(e, BookTop)])


@pytest.mark.parametrize("status", [200, 500])
def test_trouble_is_read_as_trouble(status: int) -> None:
    market = market_of("linear")
    error = market.parse_error(status, rest().broken(status).body)
    assert error.code == {200: "10006", 500: "10016"}[status]
    banned = rest().too_much(Ask("/v5/market/kline"), wait_s=1)
    assert market.parse_error(banned.status, banned.body) == VenueError("403", "access too frequent")
    assert json.loads(rest().broken(200).body)["retMsg"] == "Too many visits!"
