"""Our codec and the simulator's dialect are two readings of one documentation. Here they meet; the ledger judges.

Two things need a word. Volumes carry the noise of binary floats, so that it is the volume rounded to the lot that is
held against the truth. And the venue's ids of trades are in no order, so that a trade is found by the id that its true
number has.
"""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Source, Trade
from heliograph.sim.world import World
from heliograph.venues.contract import CandlePage, Connection, Effect, Fetch, Request, Send, Subscription
from heliograph.venues.dialect import Ask
from heliograph.venues.hyperliquid import VENUE
from heliograph.venues.hyperliquid.dialect import INTERVALS, Dialect, Session, tid
from heliograph.venues.hyperliquid.dialect_rest import Rest
from heliograph.venues.hyperliquid.layout import LAYOUT
from heliograph.venues.hyperliquid.market import Feed
from heliograph.venues.scene import Bar, Listing, Scene

EPOCH_NS = 1_795_000_000 * NS_PER_S
MINUTE_NS = 60 * NS_PER_S
USDM, SPOT = MarketId("usdm"), MarketId("spot")
WORLD = World(5, 12, EPOCH_NS, listers=LAYOUT.listers)
DIALECT = Dialect(WORLD.markets)
REST = Rest(DIALECT)
EVERYTHING = [(market, symbol) for market, scene in WORLD.markets.items() for symbol in scene.listings]
SOME = [(USDM, "BTC"), (USDM, "kPEPE"), (USDM, "xyz:XYZ100"), (SPOT, "@142"), (SPOT, "@26"), (SPOT, "PURR/USDC")]


def posted(request: Request, now_ns: int) -> bytes:
    assert request.body is not None
    answer = REST.answer(Ask(request.path, {}, "POST", {"content-type": "application/json"}, request.body), now_ns)
    assert answer.status == 200
    assert answer.weight <= request.weight
    return answer.body


def check_volume(candle: Candle, bar: Bar, listing: Listing) -> None:
    assert candle.base_volume is not None
    assert candle.base_volume.quantize(listing.lot_size) == bar.volume


class Meeting:
    """A codec and a session of the dialect, on a wire that loses nothing."""

    def __init__(self, market: MarketId, subscriptions: Sequence[Subscription], now_ns: int = EPOCH_NS) -> None:
        self.feed = Feed(market, Connection("/ws", tuple(subscriptions)))
        self.events: list[VenueEvent] = []
        self.now_ns = now_ns
        self.refused: list[Effect] = []
        self.mute = ""
        """The kind of streams that say nothing at present."""
        session = DIALECT.session(Ask("/ws"))
        assert session is not None
        self.session: Session = session
        effects: list[Effect] = []
        self.feed.opened(now_ns, effects)
        self._take(list(session.greeting(now_ns)))
        self._act(effects)
        self.feed.ticked(now_ns, effects)
        self._act(effects)
        opening = [DIALECT.opening(stream, now_ns) for stream in session.streams.values()]
        self._take([frame for frames in opening for frame in frames])

    def go_on(self, until_ns: int, step_ns: int = NS_PER_S) -> None:
        while self.now_ns < until_ns:
            before_ns, self.now_ns = self.now_ns, min(self.now_ns + step_ns, until_ns)
            heard = [stream for stream in self.session.streams.values() if stream.kind != self.mute]
            said = [DIALECT.frames(stream, before_ns, self.now_ns) for stream in heard]
            if frames := [frame for frames in said for frame in frames]:
                self._take(frames)
            effects: list[Effect] = []
            self.feed.ticked(self.now_ns, effects)
            self._act(effects)

    def lose(self, until_ns: int) -> None:
        """Let the venue say nothing for a while, on a connection that stays."""
        self.now_ns = until_ns

    def _take(self, frames: list[bytes]) -> None:
        effects: list[Effect] = []
        self.feed.decode(frames, self.now_ns, self.events, effects)
        self._act(effects)

    def _act(self, effects: list[Effect]) -> None:
        while effects:
            effect = effects.pop(0)
            if isinstance(effect, Send):
                reply = self.session.received(effect.payload.decode())
                assert reply.close_code is None
                self._take(list(reply.payloads))
            elif isinstance(effect, Fetch):
                body = posted(effect.request, self.now_ns)
                self.feed.fetched(effect.request, body, self.now_ns, self.events, effects)
            else:
                self.refused.append(effect)


def subscriptions_of(instrument: Instrument, *intervals: Interval) -> list[Subscription]:
    channels = [Subscription(c, instrument) for c in (Channel.TICKER, Channel.TRADES, Channel.BOOK)]
    return [*(Subscription(Channel.CANDLES, instrument, interval) for interval in intervals), *channels]


def listed(market: MarketId) -> dict[str, Instrument]:
    declared = VENUE.markets[market]
    return {i.venue_symbol: i for i in declared.parse_instruments(posted(declared.instruments_request(), EPOCH_NS))}


@pytest.mark.parametrize("market", [USDM, SPOT])
def test_the_list_of_instruments_says_what_the_market_lists(market: MarketId) -> None:
    scene = WORLD.markets[market]
    instruments = listed(market)
    assert set(instruments) == set(scene.listings)
    for symbol, instrument in instruments.items():
        check_instrument(scene.listings[symbol], instrument)


def check_instrument(listing: Listing, instrument: Instrument) -> None:
    assert (instrument.base, instrument.quote, instrument.settle) == (listing.base, listing.quote, listing.settle)
    assert (instrument.kind, instrument.expiry_ns, instrument.contract_size) == (listing.kind, None, None)
    assert instrument.lot_size == listing.lot_size
    # The venue tells no step of prices, but how fine it can be.
    assert instrument.tick_size is not None
    assert listing.tick_size % instrument.tick_size == 0
    assert instrument.trading


@pytest.mark.parametrize(("market", "symbol"), SOME)
def test_ten_minutes_of_every_channel_are_what_happened(market: MarketId, symbol: str) -> None:
    scene = WORLD.markets[market]
    instrument = VENUE.markets[market].instrument(symbol)
    meeting = Meeting(market, subscriptions_of(instrument, Interval.M1))
    meeting.go_on(EPOCH_NS + 600 * NS_PER_S)
    assert meeting.refused == []
    assert meeting.feed.ignored == 0
    check_candles(scene, symbol, meeting.events)
    check_trades(scene, symbol, meeting.events)
    check_books(scene, symbol, meeting.events)


@pytest.mark.parametrize("silence_s", [6, 20, 59, 61, 300])
@pytest.mark.parametrize("offset_s", [1, 30, 57])
def test_a_silence_closes_no_candle_with_what_was_known_before_it(silence_s: int, offset_s: int) -> None:
    instrument = VENUE.markets[USDM].instrument("BTC")
    meeting = Meeting(USDM, [Subscription(Channel.CANDLES, instrument, Interval.M1)])
    open_ns = EPOCH_NS // MINUTE_NS * MINUTE_NS + MINUTE_NS
    meeting.go_on(open_ns + offset_s * NS_PER_S)
    meeting.lose(meeting.now_ns + silence_s * NS_PER_S)
    meeting.go_on(EPOCH_NS + 600 * NS_PER_S)
    check_candles(WORLD.markets[USDM], "BTC", meeting.events)


def test_candles_that_fall_silent_alone_are_not_closed_by_one_that_comes_later() -> None:
    instrument = VENUE.markets[USDM].instrument("BTC")
    meeting = Meeting(USDM, subscriptions_of(instrument, Interval.M1))
    meeting.go_on(EPOCH_NS + 100 * NS_PER_S)
    meeting.mute = "candle"
    meeting.go_on(EPOCH_NS + 200 * NS_PER_S)
    meeting.mute = ""
    meeting.go_on(EPOCH_NS + 600 * NS_PER_S)
    check_candles(WORLD.markets[USDM], "BTC", meeting.events)


def check_candles(scene: Scene, symbol: str, events: Sequence[VenueEvent]) -> None:
    closed = [e for e in events if isinstance(e, Candle) and e.closed and e.interval is Interval.M1]
    assert closed
    for earlier, later in pairwise(closed):
        # The stream closes once more what REST has closed already, when a successor comes at last.
        assert earlier.open_ns < later.open_ns or (earlier.source, later.source) == (Source.REST, Source.STREAM)
    for candle in closed:
        bar = scene.bar(symbol, candle.open_ns, candle.close_ns, EPOCH_NS + 600 * NS_PER_S)
        assert bar.end_ns - bar.open_ns == MINUTE_NS
        assert (candle.open, candle.high, candle.low, candle.close) == (bar.open, bar.high, bar.low, bar.close)
        assert candle.trade_count == bar.fills
        check_volume(candle, bar, scene.listings[symbol])


def check_trades(scene: Scene, symbol: str, events: Sequence[VenueEvent]) -> None:
    first = scene.last_ids(symbol, EPOCH_NS)[1] - 29
    fills = scene.fills_from(symbol, first, 10**6, EPOCH_NS + 600 * NS_PER_S)
    trades = [e for e in events if isinstance(e, Trade)]
    assert [(t.trade_id, t.price, t.quantity, t.event_ns, t.side.value) for t in trades] == [
        (
            str(tid(symbol, fill.id)),
            fill.price,
            fill.quantity,
            fill.time_ns // NS_PER_MS * NS_PER_MS,
            "buy" if fill.taker_buys else "sell",
        )
        for fill in fills
    ]


def check_books(scene: Scene, symbol: str, events: Sequence[VenueEvent]) -> None:
    books = [e for e in events if isinstance(e, BookSnapshot)]
    tops = [e for e in events if isinstance(e, BookTop)]
    days = [e for e in events if isinstance(e, DayStatistics)]
    assert min(len(books), len(tops), len(days)) > 10
    for book in books:
        assert book.event_ns is not None
        truth = scene.book(symbol, 20, book.event_ns)
        assert (tuple(book.bids), tuple(book.asks)) == (truth.bids, truth.asks)
    for top in tops:
        assert top.event_ns is not None
        truth = scene.book(symbol, 1, top.event_ns)
        assert ((top.bid, top.bid_quantity), (top.ask, top.ask_quantity)) == (truth.bids[0], truth.asks[0])
    for day in days:
        bar = scene.bar(symbol, day.received_ns - 86_400 * NS_PER_S, day.received_ns + 1, day.received_ns)
        assert day.base_volume is not None
        assert day.base_volume.quantize(scene.listings[symbol].lot_size) == bar.volume
        assert day.open == bar.open
    last = None
    for event in events:
        if isinstance(event, Trade):
            last = event.price
        elif isinstance(event, DayStatistics):
            assert event.last == last


@pytest.mark.parametrize("interval", INTERVALS.values())
@pytest.mark.parametrize(("market", "symbol"), [(USDM, "BTC"), (SPOT, "PURR/USDC"), (SPOT, "@26")])
def test_a_page_of_candles_is_what_happened(market: MarketId, symbol: str, interval: Interval) -> None:
    """Every interval, from the listing to the present; what is told to be closed has truly closed."""
    declared, scene = VENUE.markets[market], WORLD.markets[market]
    instrument = declared.instrument(symbol)
    now_ns = EPOCH_NS + 17 * NS_PER_S
    from_ns = interval.open_of(scene.listings[symbol].listed_ns)
    feed = declared.feed(Connection("/ws", (Subscription(Channel.CANDLES, instrument, interval),)))
    requests = [declared.candle_request(CandlePage(instrument, interval, from_ns, None))]
    events: list[VenueEvent] = []
    while requests:
        request = requests.pop()
        effects: list[Effect] = []
        feed.fetched(request, posted(request, now_ns), now_ns, events, effects)
        assert all(isinstance(effect, Fetch) for effect in effects)
        requests += [effect.request for effect in effects if isinstance(effect, Fetch)]
    candles = [event for event in events if isinstance(event, Candle)]
    last = scene.fills_from(symbol, scene.last_ids(symbol, now_ns)[1], 1, now_ns)[0]
    truth = [bar for bar in scene.bars(symbol, interval, from_ns, 10**4, now_ns) if bar.open_ns <= last.time_ns]
    bars = {bar.open_ns: bar for bar in truth}
    opens = [candle.open_ns for candle in candles]
    # The last but one may be neither final for sure nor the live one, and then it is not told.
    assert opens in (list(bars), [*list(bars)[:-2], truth[-1].open_ns])
    for candle in candles:
        bar = bars[candle.open_ns]
        assert (candle.open, candle.high, candle.low, candle.close) == (bar.open, bar.high, bar.low, bar.close)
        assert (candle.close_ns, candle.trade_count, candle.source) == (bar.end_ns, bar.fills, Source.REST)
        check_volume(candle, bar, scene.listings[symbol])
        assert not candle.closed or bar.end_ns <= now_ns
    assert all(candle.closed for candle in candles[:-2])
    assert not candles[-1].closed


def test_a_recorded_answer_to_each_question_can_be_read() -> None:
    for market, coin in ((USDM, "kPEPE"), (SPOT, "@107")):
        for question in (
            {"type": "l2Book", "coin": coin},
            {"type": "recentTrades", "coin": coin},
            {
                "type": "candleSnapshot",
                "req": {"coin": coin, "interval": "1m", "startTime": EPOCH_NS // NS_PER_MS - 10**6},
            },
        ):
            body = msgspec.json.encode(question)
            answer = REST.answer(Ask("/info", {}, "POST", {"content-type": "application/json"}, body), EPOCH_NS)
            assert VENUE.markets[market].read_answer(f"/info {body.decode()}", answer.body, EPOCH_NS)
