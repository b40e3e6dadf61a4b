"""Our codec and the simulator's dialect are two readings of one documentation. Here they meet; the ledger judges."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec
import pytest

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot, OrderBook
from heliograph.model.event import Event, VenueEvent
from heliograph.model.instrument import SPOT, Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Gap, Source, Ticker, Trade
from heliograph.sim import Fault, FaultKind
from heliograph.sim.world import World
from heliograph.venues.contract import (
    CandlePage,
    Connection,
    Effect,
    Fetch,
    Market,
    Rate,
    Request,
    Send,
    Subscription,
    TradePage,
)
from heliograph.venues.dialect import Ask
from heliograph.venues.kraken import VENUE
from heliograph.venues.kraken.book import LEVELS
from heliograph.venues.kraken.dialect import Dialect
from heliograph.venues.kraken.dialect_rest import Rest
from heliograph.venues.kraken.layout import LAYOUT
from heliograph.venues.kraken.market import Feed
from heliograph.venues.kraken.streams import BOOK_DEPTH
from heliograph.venues.scene import Bar, Listing, Scene
from tests.venues.playing import all_suffer, playing

EPOCH_NS = 1_795_000_000 * NS_PER_S
WORLD = World(5, 12, EPOCH_NS, listers=LAYOUT.listers)
SCENE = WORLD.markets[SPOT]
DIALECT = Dialect(WORLD.markets)
REST = Rest(DIALECT)
DECLARED = VENUE.markets[SPOT]
SOME = ["BTC/USD", "DOGE/USD", "TRX/USD", "ETH/BTC", "BTC/USDT"]


def answered(request: Request, now_ns: int) -> bytes:
    answer = REST.answer(Ask(request.path, dict(request.query)), now_ns)
    assert answer.status == 200
    assert DECLARED.parse_error(200, answer.body).code == DECLARED.success_code
    return answer.body


class Meeting:
    """A codec and a session of the dialect, on a wire that loses only what it is told to lose."""

    def __init__(self, subscriptions: Sequence[Subscription], now_ns: int = EPOCH_NS) -> None:
        self.feed = Feed(Connection("/v2", tuple(subscriptions)))
        self.events: list[VenueEvent] = []
        self.now_ns = now_ns
        self.others: list[Effect] = []
        self.lost: Callable[[bytes], bool] = lambda _frame: False
        session = DIALECT.session(Ask("/v2"))
        assert session is not None
        self.session = session
        effects: list[Effect] = []
        self.feed.opened(now_ns, effects)
        self._take(list(session.greeting(now_ns)))
        self._act(effects)

    def go_on(self, until_ns: int, step_ns: int = NS_PER_S) -> None:
        while self.now_ns < until_ns:
            before_ns, self.now_ns = self.now_ns, min(self.now_ns + step_ns, until_ns)
            for stream in list(self.session.streams.values()):
                self._take([f for f in DIALECT.frames(stream, before_ns, self.now_ns) if not self.lost(f)])
            effects: list[Effect] = []
            self.feed.ticked(self.now_ns, effects)
            self._act(effects)

    def _take(self, frames: list[bytes]) -> None:
        effects: list[Effect] = []
        if frames:
            self.feed.decode(frames, self.now_ns, self.events, effects)
        self._act(effects)

    def _act(self, effects: list[Effect]) -> None:
        while effects:
            effect = effects.pop(0)
            if isinstance(effect, Send):
                before = dict(self.session.streams)
                reply = self.session.received(effect.payload.decode(), self.now_ns, self.now_ns / NS_PER_S)
                opened = [s for s in self.session.streams.values() if before.get(s.name) is not s]
                self._take([*reply.payloads, *(f for s in opened for f in DIALECT.opening(s, self.now_ns))])
            elif isinstance(effect, Fetch):
                body = answered(effect.request, self.now_ns)
                self.feed.fetched(effect.request, body, self.now_ns, self.events, effects)
            else:
                self.others.append(effect)


def subscriptions_of(instrument: Instrument, interval: Interval = Interval.M1) -> list[Subscription]:
    channels = [Subscription(c, instrument) for c in (Channel.TICKER, Channel.TRADES, Channel.BOOK)]
    return [Subscription(Channel.CANDLES, instrument, interval), *channels]


def test_the_list_of_instruments_says_what_the_market_lists() -> None:
    found = DECLARED.parse_instruments(answered(DECLARED.instruments_request(), EPOCH_NS))
    assert {instrument.venue_symbol for instrument in found} == set(SCENE.listings)
    for instrument in found:
        listing = SCENE.listings[instrument.venue_symbol]
        assert (instrument.base, instrument.quote, instrument.settle) == (listing.base, listing.quote, None)
        assert (instrument.kind, instrument.expiry_ns, instrument.contract_size) == (listing.kind, None, None)
        assert (instrument.tick_size, instrument.lot_size) == (listing.tick_size, listing.lot_size)
        assert instrument.trading


@pytest.mark.parametrize("symbol", SOME)
def test_ten_minutes_of_every_channel_are_what_happened(symbol: str) -> None:
    meeting = Meeting(subscriptions_of(DECLARED.instrument(symbol)))
    meeting.go_on(EPOCH_NS + 600 * NS_PER_S)
    assert meeting.others == []
    assert meeting.feed.ignored == 0
    check_candles(symbol, meeting.events)
    check_trades(symbol, meeting.events)
    check_books(symbol, meeting.events, BOOK_DEPTH)
    check_tickers(symbol, meeting.events)
    counters = meeting.feed.book_counters()[symbol]
    assert (counters["gaps"], counters["checksum_bad"]) == (0, 0)
    assert counters["checksum_ok"] > 100


def check_candles(symbol: str, events: Sequence[VenueEvent]) -> None:
    candles = [e for e in events if isinstance(e, Candle) and e.closed]
    assert candles
    for earlier, later in pairwise(candles):
        # The stream closes once more what REST has closed already, when a successor comes at last.
        assert earlier.open_ns < later.open_ns or (earlier.source, later.source) == (Source.REST, Source.STREAM)
    for candle in candles:
        bar = SCENE.bar(symbol, candle.open_ns, candle.close_ns, EPOCH_NS + 600 * NS_PER_S)
        assert (candle.open, candle.high, candle.low, candle.close) == (bar.open, bar.high, bar.low, bar.close)
        assert (candle.base_volume, candle.trade_count) == (bar.volume, bar.fills)
        assert (candle.quote_volume, candle.contracts, candle.event_ns) == (None, None, None)


def check_trades(symbol: str, events: Sequence[VenueEvent]) -> None:
    first = SCENE.last_ids(symbol, EPOCH_NS)[1] - 49
    fills = SCENE.fills_from(symbol, first, 10**6, EPOCH_NS + 600 * NS_PER_S)
    assert [
        (t.sequence, t.trade_id, t.price, t.quantity, t.event_ns, t.side) for t in events if isinstance(t, Trade)
    ] == [
        (f.id, str(f.id), f.price, f.quantity, f.time_ns // 1000 * 1000, "buy" if f.taker_buys else "sell")
        for f in fills
    ]


def check_books(symbol: str, events: Sequence[VenueEvent], depth: int) -> None:
    """What is told folds to the book as it stands, level by level."""
    book = OrderBook(DECLARED.instrument(symbol))
    checked = 0
    for event in events:
        if isinstance(event, BookSnapshot):
            book.replace(event)
        elif isinstance(event, BookDelta):
            book.apply(event)
        else:
            continue
        assert event.event_ns is not None
        truth = SCENE.book(symbol, depth, event.event_ns)
        assert (tuple(book.bids(depth)), tuple(book.asks(depth))) == (truth.bids, truth.asks)
        assert len(book.bids()) <= BOOK_DEPTH
        checked += 1
    assert checked > 100


def check_tickers(symbol: str, events: Sequence[VenueEvent]) -> None:
    tops, days = ([e for e in events if isinstance(e, kind)] for kind in (BookTop, DayStatistics))
    assert len(tops) == len(days) > 10
    for top in tops:
        assert isinstance(top, BookTop)
        assert top.event_ns is not None
        truth = SCENE.book(symbol, 1, top.event_ns)
        assert ((top.bid, top.bid_quantity), (top.ask, top.ask_quantity)) == (truth.bids[0], truth.asks[0])
    for day in days:
        assert isinstance(day, DayStatistics)
        assert day.event_ns is not None
        bar = SCENE.bar(symbol, day.event_ns - 86_400 * NS_PER_S, day.event_ns + 1, day.event_ns)
        assert (day.last, day.high, day.low, day.base_volume) == (bar.close, bar.high, bar.low, bar.volume)


@pytest.mark.parametrize("lost", [1, 7, 40])
def test_a_change_of_the_best_levels_that_is_lost_is_told_and_mended(lost: int) -> None:
    instrument = DECLARED.instrument("BTC/USD")
    meeting = Meeting([Subscription(Channel.BOOK, instrument)])
    meeting.go_on(EPOCH_NS + 60 * NS_PER_S)
    left = [lost]

    def loses(frame: bytes) -> bool:
        left[0] -= b'"book"' in frame
        return b'"book"' in frame and left[0] >= 0

    meeting.lost = loses
    meeting.go_on(EPOCH_NS + 600 * NS_PER_S)
    gaps = [event for event in meeting.events if isinstance(event, Gap)]
    assert [gap.reason for gap in gaps] == ["a checksum does not match"]
    assert meeting.others == []
    check_books("BTC/USD", meeting.events, LEVELS)


def test_a_change_that_cannot_be_read_breaks_its_book_only() -> None:
    symbols = ["BTC/USD", "ETH/USD"]
    meeting = Meeting([Subscription(Channel.BOOK, DECLARED.instrument(symbol)) for symbol in symbols])
    meeting.go_on(EPOCH_NS + 20 * NS_PER_S)
    broken = b'{"channel":"book","type":"update","data":[{"symbol":"ETH/USD","bids":[{"price":1.0,'
    effects: list[Effect] = []
    meeting.feed.decode([broken], meeting.now_ns, meeting.events, effects)
    (gap,) = (event for event in meeting.events if isinstance(event, Gap))
    assert (gap.instrument.venue_symbol, gap.reason) == ("ETH/USD", "a change that cannot be read")
    assert len(effects) == 3  # It is refused, and its book left and asked for again.
    counters = meeting.feed.book_counters()
    assert (counters["BTC/USD"]["gaps"], counters["ETH/USD"]["gaps"]) == (0, 1)


@pytest.mark.parametrize("interval", DECLARED.intervals)
@pytest.mark.parametrize("symbol", ["BTC/USD", "TRX/USD"])
def test_a_page_of_candles_is_what_happened(symbol: str, interval: Interval) -> None:
    """Every interval, from the listing to the present; what is told to be closed has truly closed."""
    instrument = DECLARED.instrument(symbol)
    now_ns = EPOCH_NS + 17 * NS_PER_S
    from_ns = interval.open_of(SCENE.listings[symbol].listed_ns)
    feed = Feed(Connection("/v2", (Subscription(Channel.CANDLES, instrument, interval),)))
    request = DECLARED.candle_request(CandlePage(instrument, interval, from_ns, None))
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    feed.fetched(request, answered(request, now_ns), now_ns, events, effects)
    assert effects == []
    truth = SCENE.bars(symbol, interval, from_ns, 10**4, now_ns)
    candles = [event for event in events if isinstance(event, Candle)]
    assert [candle.open_ns for candle in candles] == [bar.open_ns for bar in truth]
    for candle, bar in zip(candles, truth, strict=True):
        assert (candle.open, candle.high, candle.low, candle.close) == (bar.open, bar.high, bar.low, bar.close)
        assert (candle.base_volume, candle.trade_count) == (bar.volume, bar.fills)
        assert candle.closed == (bar.end_ns <= now_ns)


def test_a_page_that_ends_tells_nothing_outside_it() -> None:
    instrument, minute_ns = DECLARED.instrument("BTC/USD"), 60 * NS_PER_S
    open_ns = EPOCH_NS // minute_ns * minute_ns - 10 * minute_ns
    feed = Feed(Connection("/v2", (Subscription(Channel.CANDLES, instrument, Interval.M1),)))
    request = DECLARED.candle_request(CandlePage(instrument, Interval.M1, open_ns, open_ns + 2 * minute_ns))
    events: list[VenueEvent] = []
    feed.fetched(request, answered(request, EPOCH_NS), EPOCH_NS, events, [])
    assert [(c.open_ns, c.closed) for c in events if isinstance(c, Candle)] == [
        (open_ns + number * minute_ns, True) for number in range(3)
    ]


def test_trades_that_are_missing_are_among_the_newest_thousand() -> None:
    instrument = DECLARED.instrument("DOGE/USD")
    last = SCENE.last_ids("DOGE/USD", EPOCH_NS)[1]
    page = TradePage(instrument, last - 900, last - 890)
    assert DECLARED.trade_request is not None
    request = DECLARED.trade_request(page)
    events: list[VenueEvent] = []
    Feed(Connection("/v2", ())).fetched(request, answered(request, EPOCH_NS), EPOCH_NS, events, [])
    fills = SCENE.fills_from("DOGE/USD", last - 900, 11, EPOCH_NS)
    assert [(t.sequence, t.price, t.quantity) for t in events if isinstance(t, Trade)] == [
        (fill.id, fill.price, fill.quantity) for fill in fills
    ]


CUT = Fault(FaultKind.DISCONNECT)
TROUBLES: dict[str, tuple[str, tuple[Fault, ...]]] = {
    "nothing": ("BTC/USD", ()),
    "nothing, another": ("ETH/BTC", ()),
    "cuts": ("BTC/USD", (CUT,)),
    "cuts, another": ("ETH/USD", (CUT,)),
    "too many": ("BTC/USD", (Fault(FaultKind.HTTP, match="public", count=2, status=429), CUT)),
    "errors": ("BTC/USD", (Fault(FaultKind.HTTP, match="public", count=2, status=500), CUT)),
    "delays": ("ETH/BTC", (Fault(FaultKind.SLOW, match="public", count=2, delay_s=0.4), CUT)),
    "broken answers": ("BTC/USD", (Fault(FaultKind.WRONG_JSON, match="public"), CUT)),
    "broken books": ("BTC/USD", (Fault(FaultKind.WRONG_JSON, match="book", count=3),)),
    "doubled frames": ("BTC/USD", (Fault(FaultKind.DUPLICATE, count=40),)),
    "lost books": ("BTC/USD", (Fault(FaultKind.DROP, match="book", count=5),)),
    "swapped books": ("BTC/USD", (Fault(FaultKind.REORDER, match="book", count=5),)),
    "lost trades": ("BTC/USD", (Fault(FaultKind.DROP, match="trade", count=30),)),
    "swapped trades": ("ETH/USD", (Fault(FaultKind.REORDER, match="trade", count=10),)),
    "no way in": ("BTC/USD", (Fault(FaultKind.REFUSE, duration_s=0.5), CUT)),
    "shutdown": ("ETH/USD", (Fault(FaultKind.SHUTDOWN, delay_s=0.2),)),
    **{
        f"half open for {duration_s} s": ("BTC/USD", (Fault(FaultKind.HALF_OPEN, duration_s=duration_s),))
        for duration_s in (0.3, 0.7, 1.0)
    },
}


def patient(market: Market) -> Market:
    """A request a second is one each two minutes of the market that is played; it suffers 15 in 10 s."""
    limits = msgspec.structs.replace(market.limits, endpoints=dict.fromkeys(market.limits.endpoints, Rate(15, 10)))
    return msgspec.structs.replace(market, limits=limits)


def _volume(candle: Candle, bar: Bar, _listing: Listing) -> None:
    assert candle.base_volume == bar.volume


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_feed_at_the_simulator_tells_what_happened(trouble: str) -> None:
    symbol, faults = TROUBLES[trouble]
    async with playing("kraken", ("spot", symbol), speed=120, symbols=2, changed=patient) as (here,):
        here.feed.add(subscriptions_of(here.instrument))
        await here.more(2)
        await all_suffer([here], *faults)
        await here.more(6)
        await here.sink.until(lambda: any(isinstance(e, Ticker) for e in here.sink.events))
    here.check_candles(_volume)
    here.check_trades(lambda trade: trade.sequence, lambda fill: fill.id, whole=True)
    # While the venue is half open it says nothing, and then goes on without what it has not said.
    lossy = any(fault.match == "book" or fault.kind is FaultKind.HALF_OPEN for fault in faults)
    depth = LEVELS if lossy else BOOK_DEPTH
    check_told_book(here.sim.world.markets[SPOT], symbol, here.sink.events, depth)
    assert {gap.channel for gap in here.sink.gaps()} <= ({Channel.BOOK} if lossy else set())


def check_told_book(scene: Scene, symbol: str, events: Sequence[Event], depth: int) -> None:
    """Deltas alone fold to the book as it stands, whenever one has been told."""
    deltas = [event for event in events if isinstance(event, BookDelta)]
    book = OrderBook(deltas[0].instrument)
    for delta in deltas:
        book.apply(delta)
        assert delta.event_ns is not None
        truth = scene.book(symbol, depth, delta.event_ns)
        assert (tuple(book.bids(depth)), tuple(book.asks(depth))) == (truth.bids, truth.asks)


async def test_two_intervals_of_an_instrument_take_two_sockets() -> None:
    """The venue refuses a second interval on one, and asked for later it must not end up there either."""
    async with playing("kraken", ("spot", "BTC/USD"), speed=120, symbols=2) as (here,):
        here.add()
        await here.more(1)
        here.feed.add([Subscription(Channel.CANDLES, here.instrument, Interval.M5)])
        await here.sink.until(lambda: bool(here.sink.closed(here.instrument, Interval.M5)))
        assert here.feed.metrics.venue_errors == 0
