"""Our codec and the simulator's dialect are two readings of one documentation. Here they meet; the ledger judges."""

import asyncio
import base64
import random
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest

from heliograph.clock import NS_PER_S, SystemClock
from heliograph.connect import rest
from heliograph.errors import ConfigError
from heliograph.marketdata.capture import Direction
from heliograph.marketdata.download import Downloader
from heliograph.marketdata.feed import MarketFeed
from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookDelta, BookSnapshot, OrderBook
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Source, Ticker, Trade
from heliograph.sim import Fault, FaultKind, SimulatedVenue
from heliograph.sim.world import World
from heliograph.venues.contract import (
    CandlePage,
    Connection,
    Credentials,
    Effect,
    Fetch,
    Market,
    Request,
    Send,
    Subscription,
    TradePage,
    VenueError,
)
from heliograph.venues.dialect import Ask
from heliograph.venues.luno import VENUE
from heliograph.venues.luno.dialect import LEVELS, REVOKED, Dialect
from heliograph.venues.luno.dialect_rest import Rest
from heliograph.venues.luno.layout import LAYOUT
from heliograph.venues.luno.streams import DURATIONS_S
from heliograph.venues.scene import Bar, Listing
from tests.marketdata.field import QUICK, Collector
from tests.venues.playing import all_suffer, playing

EPOCH_NS = 1_795_000_000 * NS_PER_S
WORLD = World(5, 12, EPOCH_NS, listers=LAYOUT.listers)
SCENE = WORLD.markets[SPOT]
DIALECT = Dialect(WORLD.markets)
REST = Rest(DIALECT)
SOME = ("XBTUSDT", "ETHUSDT", "XBTZAR", "ETHXBT")
MAKE = VENUE.markets[SPOT].with_credentials
assert MAKE is not None
MARKET: Market = MAKE(Credentials("abcdef", "api_key_secret_goes_here"))


def got(request: Request, now_ns: int) -> bytes:
    headers = {name.lower(): value for name, value in MARKET.headers.items()}
    answer = REST.answer(Ask(request.path, dict(request.query), "GET", headers), now_ns)
    assert answer.status == 200, answer.body
    assert answer.weight <= request.weight
    return answer.body


class Meeting:
    """A codec and a session of the dialect, on a wire that loses nothing."""

    def __init__(self, subscriptions: Sequence[Subscription], now_ns: int = EPOCH_NS) -> None:
        (connection,) = MARKET.plan(subscriptions, 50)
        self.feed = MARKET.feed(connection)
        self.events: list[VenueEvent] = []
        self.now_ns = now_ns
        self.refused: list[Effect] = []
        session = DIALECT.session(Ask(connection.path))
        assert session is not None
        self.session = session
        effects: list[Effect] = []
        self.feed.opened(now_ns, effects)
        self._act(effects)
        (stream,) = session.streams.values()
        self.stream = stream
        self._take(DIALECT.opening(stream, now_ns))

    def go_on(self, until_ns: int) -> None:
        while self.now_ns < until_ns:
            before_ns, self.now_ns = self.now_ns, min(self.now_ns + NS_PER_S, until_ns)
            self._take(DIALECT.frames(self.stream, before_ns, self.now_ns))
            effects: list[Effect] = []
            self.feed.ticked(self.now_ns, effects)
            self._act(effects)

    def _take(self, frames: list[bytes]) -> None:
        effects: list[Effect] = []
        self.feed.decode(frames, self.now_ns, self.events, effects)
        self._act(effects)

    def _act(self, effects: list[Effect]) -> None:
        while effects:
            effect = effects.pop(0)
            if isinstance(effect, Send):
                reply = self.session.received(effect.payload.decode())
                assert (reply.payloads, reply.close_code) == ((), None)
            elif isinstance(effect, Fetch):
                body = got(effect.request, self.now_ns)
                self.feed.fetched(effect.request, body, self.now_ns, self.events, effects)
            else:
                self.refused.append(effect)


def subscriptions_of(instrument: Instrument, *intervals: Interval) -> list[Subscription]:
    channels = [Subscription(c, instrument) for c in (Channel.TICKER, Channel.TRADES, Channel.BOOK)]
    return [*(Subscription(Channel.CANDLES, instrument, interval) for interval in intervals), *channels]


def test_the_list_of_markets_says_what_is_listed() -> None:
    listed = MARKET.parse_instruments(got(MARKET.instruments_request(), EPOCH_NS))
    assert [instrument.venue_symbol for instrument in listed] == list(SCENE.listings)
    for instrument in listed:
        listing = SCENE.listings[instrument.venue_symbol]
        assert (instrument.base, instrument.quote, instrument.settle) == (listing.base, listing.quote, None)
        assert (instrument.tick_size, instrument.lot_size) == (listing.tick_size, listing.lot_size)
        assert (instrument.kind, instrument.trading) == (listing.kind, True)


@pytest.mark.parametrize("pair", SOME)
def test_five_minutes_of_every_channel_are_what_happened(pair: str) -> None:
    until_ns = EPOCH_NS + 300 * NS_PER_S
    meeting = Meeting(subscriptions_of(MARKET.instrument(pair), Interval.M1))
    meeting.go_on(until_ns)
    assert meeting.refused == []
    check_candles(pair, meeting.events)
    trades = [event for event in meeting.events if isinstance(event, Trade)]
    assert [(t.sequence, t.price, t.quantity, t.event_ns, t.side.value) for t in trades] == [
        (fill.id, fill.price, fill.quantity, fill.time_ns, "buy" if fill.taker_buys else "sell")
        for fill in SCENE.fills(pair, EPOCH_NS, until_ns)
    ]
    check_book(pair, [e for e in meeting.events if isinstance(e, BookSnapshot | BookDelta)])
    tops = [event for event in meeting.events if isinstance(event, BookTop)]
    assert all(top.bid is None or top.ask is None or top.bid < top.ask for top in tops)
    truth = SCENE.book(pair, 1, until_ns)
    last = tops[-1]
    assert ((last.bid, last.bid_quantity), (last.ask, last.ask_quantity)) == (truth.bids[0], truth.asks[0])
    days = [event for event in meeting.events if isinstance(event, DayStatistics)]
    assert len(days) >= 5
    for day in days:
        assert day.event_ns is not None
        bar = SCENE.bar(pair, day.event_ns - 86_400 * NS_PER_S, day.event_ns, day.event_ns)
        assert (day.base_volume, day.last) == (bar.volume, bar.close)


def check_candles(pair: str, events: Sequence[VenueEvent]) -> None:
    candles = [event for event in events if isinstance(event, Candle)]
    closed = [candle for candle in candles if candle.closed]
    assert len(closed) >= 4
    assert len(candles) > len(closed)
    assert all(b.open_ns == a.close_ns for a, b in pairwise(closed))
    for candle in closed:
        bar = SCENE.bar(pair, candle.open_ns, candle.close_ns, EPOCH_NS + 300 * NS_PER_S)
        assert (candle.open, candle.high, candle.low, candle.close) == (bar.open, bar.high, bar.low, bar.close)
        assert (candle.base_volume, candle.quote_volume, candle.source) == (bar.volume, None, Source.REST)


def check_book(pair: str, told: list[BookSnapshot | BookDelta]) -> None:
    first = told[0]
    assert isinstance(first, BookSnapshot)
    book = OrderBook(first.instrument)
    book.replace(first)
    checked = 0
    for before, after in pairwise(told):
        assert isinstance(after, BookDelta)
        assert before.sequence is not None
        assert after.first_sequence == before.sequence + 1
        if after.event_ns != before.event_ns and before.event_ns is not None and before.event_ns % NS_PER_S == 0:
            truth = SCENE.book(pair, LEVELS, before.event_ns)
            if before.event_ns in ends_of(told):
                assert (tuple(book.bids()), tuple(book.asks())) == (truth.bids, truth.asks)
                checked += 1
        book.apply(after)
    assert checked > 100


def ends_of(told: list[BookSnapshot | BookDelta]) -> set[int | None]:
    return {event.event_ns for event in told}


@pytest.mark.parametrize("interval", DURATIONS_S)
@pytest.mark.parametrize("pair", ["XBTUSDT", "TRXUSDT"])
def test_pages_of_candles_are_what_happened(pair: str, interval: Interval) -> None:
    now_ns = EPOCH_NS + 17 * NS_PER_S
    instrument = MARKET.instrument(pair)
    from_ns = interval.open_of(SCENE.listings[pair].listed_ns)
    feed = MARKET.feed(Connection("", (Subscription(Channel.CANDLES, instrument, interval),)))
    requests = [MARKET.candle_request(CandlePage(instrument, interval, from_ns, None))]
    events: list[VenueEvent] = []
    while requests:
        request = requests.pop()
        effects: list[Effect] = []
        feed.fetched(request, got(request, now_ns), now_ns, events, effects)
        assert all(isinstance(effect, Fetch) for effect in effects)
        requests += [effect.request for effect in effects if isinstance(effect, Fetch)]
    candles = [event for event in events if isinstance(event, Candle)]
    bars = {bar.open_ns: bar for bar in SCENE.bars(pair, interval, from_ns, 10**4, now_ns)}
    opens = [candle.open_ns for candle in candles]
    # The last but one may be neither final for sure nor the live one, and then it is not told.
    assert opens in (list(bars), [*list(bars)[:-2], list(bars)[-1]])
    for candle in candles:
        bar = bars[candle.open_ns]
        assert (candle.open, candle.high, candle.low, candle.close) == (bar.open, bar.high, bar.low, bar.close)
        assert (candle.base_volume, candle.close_ns) == (bar.volume, bar.end_ns)
        assert not candle.closed or bar.end_ns <= now_ns
    assert not candles[-1].closed


@pytest.mark.parametrize(("behind", "length"), [(40, 20), (150, 20), (900, 30), (400, 350), (5_000, 500)])
def test_a_hole_in_the_trades_is_found_by_time(behind: int, length: int) -> None:
    """The venue takes no numbers: what is further back than a hundred trades is looked for."""
    instrument = MARKET.instrument("XBTUSDT")
    last = SCENE.last_ids("XBTUSDT", EPOCH_NS)[1]
    page = TradePage(instrument, last - behind, last - behind + length - 1)
    assert MARKET.trade_request is not None
    feed = MARKET.feed(Connection("", (Subscription(Channel.TRADES, instrument),)))
    requests, events, asked = [MARKET.trade_request(page)], list[VenueEvent](), 0
    while requests:
        asked += 1
        request = requests.pop()
        effects: list[Effect] = []
        feed.fetched(request, got(request, EPOCH_NS), EPOCH_NS, events, effects)
        requests += [effect.request for effect in effects if isinstance(effect, Fetch)]
    found = {event.sequence for event in events if isinstance(event, Trade)}
    assert found == set(range(page.from_sequence, page.to_sequence + 1))
    assert asked <= 12 + length // 50


def test_recorded_answers_to_each_question_can_be_read() -> None:
    since = EPOCH_NS // 1_000_000 - 600_000
    for url in (
        "/api/1/ticker?pair=XBTZAR",
        "/api/1/tickers",
        "/api/1/orderbook_top?pair=XBTZAR",
        "/api/1/orderbook?pair=XBTZAR",
        "/api/1/trades?pair=XBTZAR",
        "/api/exchange/1/markets",
        f"/api/exchange/1/candles?pair=XBTZAR&since={since}&duration=60",
    ):
        path, _, text = url.partition("?")
        query = dict(pair.split("=") for pair in text.split("&")) if text else {}
        headers = {"authorization": "Basic " + base64.b64encode(b"a:b").decode()}
        answer = REST.answer(Ask(path, query, "GET", headers), EPOCH_NS)
        assert MARKET.read_answer(url, answer.body, EPOCH_NS)


TROUBLES: list[tuple[str, tuple[Fault, ...]]] = [
    ("XBTUSDT", ()),
    ("XBTZAR", ()),
    ("ETHXBT", ()),
    ("XBTUSDT", (Fault(FaultKind.DISCONNECT),)),
    ("ETHUSDT", (Fault(FaultKind.DISCONNECT),)),
    ("XBTUSDT", (Fault(FaultKind.DROP, count=3),)),
    ("XBTUSDT", (Fault(FaultKind.DUPLICATE, count=30),)),
    ("XBTUSDT", (Fault(FaultKind.REORDER, count=3),)),
    ("XBTUSDT", (Fault(FaultKind.WRONG_JSON, match="stream", count=2),)),
    ("ETHUSDT", (Fault(FaultKind.HTTP, status=429, count=2), Fault(FaultKind.DISCONNECT))),
    ("ETHUSDT", (Fault(FaultKind.HTTP, status=500, count=3), Fault(FaultKind.DISCONNECT))),
    ("ETHUSDT", (Fault(FaultKind.SLOW, delay_s=0.5, count=3), Fault(FaultKind.DISCONNECT))),
]


def keyed(market: Market) -> Market:
    """Whoever asked too often waits for a window to pass, since the venue does not say how long: here half a second."""
    limits = msgspec.structs.replace(market.limits, weight_window_s=0.5)
    return msgspec.structs.replace(MARKET, socket_url=market.socket_url, rest_url=market.rest_url, limits=limits)


def _volume(candle: Candle, bar: Bar, _listing: Listing) -> None:
    assert candle.base_volume == bar.volume


@pytest.mark.parametrize(("pair", "troubles"), TROUBLES)
async def test_a_feed_at_the_simulator_tells_what_happened(pair: str, troubles: tuple[Fault, ...]) -> None:
    async with playing("luno", ("spot", pair), speed=120, symbols=2, changed=keyed) as (here,):
        here.feed.add(subscriptions_of(here.instrument, Interval.M1))
        await here.more(2)
        await all_suffer([here], *troubles)
        await here.more(4)
        assert any(isinstance(e, Ticker) for e in here.sink.events)
    here.check_candles(_volume)
    here.check_trades(lambda trade: trade.sequence, lambda fill: fill.id, whole=True, least=6)
    wrong = check_told_book(here.sim, pair, [e for e in here.sink.events if isinstance(e, BookDelta)])
    assert wrong <= 2 * sum(fault.count for fault in troubles)
    assert all(fault.kind is FaultKind.DISCONNECT or here.listener.faults.happened for fault in troubles)
    assert {gap.channel for gap in here.sink.gaps()} <= {Channel.BOOK}


def check_told_book(sim: SimulatedVenue, pair: str, deltas: list[BookDelta]) -> int:
    """Deltas alone fold to the book as it stands, whatever was lost; return in how many seconds that were cut short."""
    scene = sim.world.markets[SPOT]
    book = OrderBook(deltas[0].instrument)
    right = wrong = 0
    for delta, following in pairwise(deltas):
        book.apply(delta)
        assert delta.event_ns is not None
        whole = delta.event_ns % NS_PER_S == 0 and following.event_ns != delta.event_ns
        if whole and delta.sequence is not None:
            truth = scene.book(pair, LEVELS, delta.event_ns)
            same = (tuple(book.bids()), tuple(book.asks())) == (truth.bids, truth.asks)
            right, wrong = right + same, wrong + (not same)
    assert right > 50
    return wrong


async def test_without_a_key_whoever_wants_data_is_told_what_to_set() -> None:
    market, clock = VENUE.markets[SPOT], SystemClock()
    refused = pytest.raises(ConfigError, match="HELIOGRAPH_LUNO_KEY and HELIOGRAPH_LUNO_SECRET")
    async with rest.Client(rest.Settings(), random.Random(7)) as client:
        with refused:
            MarketFeed(market, QUICK, Collector(), FeedMetrics("luno", "spot"), clock, client)
        with refused:
            Downloader(market, client, clock, random.Random(7))


@pytest.mark.parametrize("key", ["abcdef", REVOKED])
async def test_no_recording_has_the_key_and_a_revoked_one_is_said_to_be(key: str) -> None:
    sink, lines, no = Collector(), list[bytes](), list[VenueError]()
    told = asyncio.Event()

    def refused(_subscriptions: Sequence[Subscription], error: VenueError) -> None:
        no.append(error)
        told.set()

    def capture(_direction: Direction, url: str, frames: Sequence[bytes], _now_ns: int) -> None:
        lines.extend([url.encode(), *frames])
        if len(lines) > 50:
            told.set()

    assert MARKET.with_credentials is not None
    keyed = MARKET.with_credentials(Credentials(key, "hunter2"))
    async with (
        SimulatedVenue("luno", seed=7, speed=60, symbols=1) as sim,
        rest.Client(rest.Settings(timeout_s=2.0), random.Random(7)) as client,
    ):
        where = sim.endpoints["spot"]
        declared = msgspec.structs.replace(keyed, socket_url=where["socket_url"], rest_url=where["rest_url"])
        feed = MarketFeed(
            declared, QUICK, sink, FeedMetrics("luno", "spot"), SystemClock(), client,
            refused=refused, capture=capture, seed=7,
        )  # fmt: skip
        feed.add([Subscription(Channel.BOOK, declared.instrument("XBTUSDT"))])
        running = asyncio.create_task(feed.run())
        try:
            async with asyncio.timeout(20):
                await told.wait()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert lines
    assert b"hunter2" not in b"".join(lines)
    assert {error.code for error in no} == ({"invalid_credentials"} if key == REVOKED else set())
