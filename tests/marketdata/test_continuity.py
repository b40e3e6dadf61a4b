"""A feed's pure half against a venue's whole repertoire of faults, thousands of simulated seconds, without a socket.

Codec, pipeline and lanes are the real ones. Around them is the least that can be called a venue, a network and a store,
driven by one seed: frames are dropped, doubled and swapped, connections end, REST is slow, fails, and does not know a
bar's last figures at once, the consumer refuses for a while, and the process is killed and resumes from its store.
"""

import json
import random
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.marketdata.lanes import Lanes
from heliograph.marketdata.pipeline import REST, Pipeline
from heliograph.marketdata.settings import FeedSettings
from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookDelta, OrderBook
from heliograph.model.event import Event, VenueEvent
from heliograph.model.instrument import SPOT
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap, Trade
from heliograph.venues import binance
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

MARKET = binance.VENUE.markets[SPOT]
BTC = MARKET.instrument("BTCUSDT")
WANTED = (
    Subscription(Channel.CANDLES, BTC, Interval.M1),
    Subscription(Channel.TRADES, BTC),
    Subscription(Channel.BOOK, BTC),
)
SETTINGS = FeedSettings(keep_max=60, backfill_trades_max=400, trade_page_max=100, held_max=300)
STEP_NS = NS_PER_S // 4
MINUTE_NS = 60 * NS_PER_S
START_NS = 1_700_000_040 * NS_PER_S
STORMY_NS = 12 * MINUTE_NS
CALM_NS = 4 * MINUTE_NS


class Bar:
    """A minute at the venue."""

    def __init__(self, open_ns: int, price: int) -> None:
        self.open_ns = open_ns
        self.o = self.h = self.l = self.c = price
        self.v = self.n = 0

    def trade(self, price: int) -> None:
        self.c, self.h, self.l = price, max(self.h, price), min(self.l, price)
        self.v += 1
        self.n += 1

    def figures(self) -> tuple[object, ...]:
        return (self.o, self.h, self.l, self.c, self.v, self.n)

    def row(self) -> list[object]:
        last_ms = (self.open_ns + MINUTE_NS) // NS_PER_MS - 1
        price = [str(p) for p in (self.o, self.h, self.l, self.c)]
        return [self.open_ns // NS_PER_MS, *price, str(self.v), last_ms, str(self.v), self.n, "0", "0", "0"]


class Venue:
    """The truth: minutes, trades and a book, and the frames and answers that tell of them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now_ns = START_NS
        self.bars = [Bar(START_NS, 1000)]
        self.finals: dict[int, tuple[object, ...]] = {}
        self.trades: list[dict[str, object]] = []
        self.update = 100
        self.books: dict[int, tuple[dict[int, int], dict[int, int]]] = {100: ({}, {})}
        self._closing: list[tuple[int, Bar]] = []

    def step(self) -> list[bytes]:
        """Let a quarter of a second pass, and return the frames that it makes."""
        rng, frames = self.rng, list[bytes]()
        self.now_ns += STEP_NS
        bar = self.bars[-1]
        if self.now_ns >= bar.open_ns + MINUTE_NS:
            self._closing.append((self.now_ns + rng.choice([0, 0, NS_PER_S, 2 * NS_PER_S]), bar))
            bar = Bar(bar.open_ns + MINUTE_NS, bar.c)
            self.bars.append(bar)
            frames.append(self._kline(bar, closed=False))
        for due_ns, old in list(self._closing):
            if due_ns <= self.now_ns:
                self._closing.remove((due_ns, old))
                if due_ns > old.open_ns + MINUTE_NS:
                    old.trade(old.c)  # a fill that the venue books late: until now REST did not have it
                self.finals[old.open_ns] = old.figures()
                frames.append(self._kline(old, closed=True))
        for _ in range(rng.choice([0, 0, 0, 1, 2])):
            price = bar.c + rng.randint(-2, 2)
            bar.trade(price)
            number = len(self.trades) + 1
            trade = {"a": number, "p": str(price), "q": str(number), "T": self.now_ns // NS_PER_MS, "m": False}
            self.trades.append(trade)
            frames.append(self._frame("aggTrade", {"e": "aggTrade", "s": "BTCUSDT", **trade}))
        if self.now_ns % (2 * NS_PER_S) == 0:
            frames.append(self._kline(bar, closed=False))
        if rng.random() < 0.5:
            frames.append(self._depth())
        return frames

    def answer(self, request: Request) -> bytes:
        """Answer a request as of now."""
        query = dict(request.query)
        limit = int(query["limit"])
        if isinstance(request.purpose, CandlePage):
            start, end = int(query["startTime"]), int(query["endTime"])
            rows = [b.row() for b in self.bars if start <= b.open_ns // NS_PER_MS <= end]
            return json.dumps(rows[:limit]).encode()
        if isinstance(request.purpose, TradePage):
            first = int(query["fromId"]) - 1
            return json.dumps(self.trades[first : first + limit]).encode()
        bids, asks = self.books[self.update]
        return json.dumps(
            {
                "lastUpdateId": self.update,
                "bids": [[str(p), str(bids[p])] for p in sorted(bids, reverse=True)],
                "asks": [[str(p), str(asks[p])] for p in sorted(asks)],
            }
        ).encode()

    def _frame(self, stream: str, data: dict[str, object]) -> bytes:
        return json.dumps({"stream": f"btcusdt@{stream}", "data": data}).encode()

    def _kline(self, bar: Bar, *, closed: bool) -> bytes:
        k = dict(zip(("t", "o", "h", "l", "c", "v", "T", "q", "n"), bar.row(), strict=False))
        event = {"e": "kline", "E": self.now_ns // NS_PER_MS, "s": "BTCUSDT", "k": {**k, "i": "1m", "x": closed}}
        return self._frame("kline_1m", event)

    def _depth(self) -> bytes:
        first = self.update + 1
        self.update += self.rng.randint(1, 3)
        sides = []
        book = tuple(dict(side) for side in self.books[first - 1])
        for side, base in zip(book, (900, 1100), strict=True):
            changes = {base + self.rng.randint(0, 20): self.rng.choice([0, 0, 1, 2, 3]) for _ in range(2)}
            for price, quantity in changes.items():
                side.pop(price, None)
                if quantity:
                    side[price] = quantity
            sides.append([[str(p), str(q)] for p, q in changes.items()])
        self.books[self.update] = (book[0], book[1])
        event = {"e": "depthUpdate", "E": self.now_ns // NS_PER_MS, "s": "BTCUSDT", "U": first, "u": self.update}
        return self._frame("depth@100ms", {**event, "b": sides[0], "a": sides[1]})


class Store:
    """A consumer that checks all that it is told against the truth, and refuses for a while now and then."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.open = True
        self.closed: dict[int, Candle] = {}
        self.next_ns: int | None = None
        self.next_trade: int | None = None
        self.last_trade: int | None = None
        self.trades = self.gaps = self.deltas = 0
        self._live_ns = -1
        self._book = OrderBook(BTC)

    def ready(self) -> bool:
        return self.open

    def when_ready(self, wake: object) -> None:
        """Whoever opens it drains the lanes."""

    def push(self, events: Sequence[Event]) -> None:
        assert self.open
        for event in events:
            if isinstance(event, Candle):
                self._candle(event)
            elif isinstance(event, Trade):
                assert event.sequence is not None
                assert self.next_trade in (None, event.sequence), "trades: once, in order, or a gap"
                assert event.quantity == event.sequence
                self.last_trade = event.sequence
                self.next_trade = event.sequence + 1
                self.trades += 1
            elif isinstance(event, Gap):
                self._gap(event)
            elif isinstance(event, BookDelta):
                self._delta(event)

    def restarted(self) -> None:
        """A new process tells its book from the first level on, and may fill what its forerunner has told as a gap."""
        self._book = OrderBook(BTC)
        self.next_ns = max(self.closed) + MINUTE_NS if self.closed else None
        self.next_trade = None if self.last_trade is None else self.last_trade + 1

    def _candle(self, candle: Candle) -> None:
        if candle.closed:
            assert self.next_ns in (None, candle.open_ns), "closed candles: once, in order, or a gap"
            figures = (candle.open, candle.high, candle.low, candle.close, candle.base_volume, candle.trade_count)
            assert figures == self.venue.finals.get(candle.open_ns), "a closed candle has the final figures"
            self.closed[candle.open_ns] = candle
            self.next_ns = candle.close_ns
        else:
            assert candle.open_ns >= self._live_ns, "a live bar never goes backwards"
            assert candle.open_ns not in self.closed, "a closed bar is not opened again"
            self._live_ns = candle.open_ns

    def _gap(self, gap: Gap) -> None:
        self.gaps += 1
        if gap.channel is Channel.CANDLES:
            assert self.next_ns in (None, gap.from_ns)
            self.next_ns = gap.to_ns
        elif gap.channel is Channel.TRADES:
            assert self.next_trade in (None, gap.from_sequence)
            self.next_trade = gap.to_sequence

    def _delta(self, delta: BookDelta) -> None:
        self._book.apply(delta)
        self.deltas += 1
        assert delta.sequence is not None
        bids, asks = self.venue.books[delta.sequence]
        assert dict(self._book.bids()) == {Decimal(p): Decimal(q) for p, q in bids.items()}, "the book is the venue's"
        assert dict(self._book.asks()) == {Decimal(p): Decimal(q) for p, q in asks.items()}


class Socket:
    """A connection: its codec, and what the network has of it and nobody has read."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.codec = MARKET.feed(Connection("/stream", WANTED))
        self.wire: list[bytes] = []


class Process:
    """The shell: what sessions, requests and the supervisor do with sockets, done with lists."""

    def __init__(self, venue: Venue, store: Store, rng: random.Random, settings: FeedSettings, number: int) -> None:
        self.venue, self.store, self.rng = venue, store, rng
        self.metrics = FeedMetrics("binance", "spot")
        self.pipeline = Pipeline(settings, self.metrics, trades_by_request=True)
        self.lanes = Lanes(store, self.metrics, self, lambda: venue.now_ns, keep_max=settings.keep_max, slots_max=0)
        self.sockets: list[Socket] = []
        self.number = number * 1000
        self.held = False
        self._pages = Socket(REST)
        self._under_way: list[tuple[int, Request, Request, Socket]] = []
        self._retry_ns = 0
        self._moved_ns = 0
        marks = (max(store.closed, default=None), store.last_trade, None)
        for subscription, mark in zip(WANTED, marks, strict=True):
            self.pipeline.want(subscription, mark)

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False

    def step(self, frames: list[bytes], *, stormy: bool) -> None:
        rng, now_ns = self.rng, self.venue.now_ns
        if not self.sockets and now_ns >= self._retry_ns:
            self._connect()
            self.pipeline.interrupted(WANTED, now_ns + 3 * NS_PER_S)
        elif len(self.sockets) == 1 and stormy and rng.random() < 0.01:
            self._connect()  # a planned move: both live for a while
            self._moved_ns = now_ns + rng.randint(1, 12) * STEP_NS
        elif len(self.sockets) == 2 and now_ns >= self._moved_ns and not self.held:
            self._disconnect(self.sockets[0], 0)
        for socket in tuple(self.sockets):
            socket.wire += _mangled(frames, rng) if stormy else frames
            if not self.held:
                self._read(socket)
            if stormy and rng.random() < 0.004:
                self._disconnect(socket, rng.choice([1, 5, 70]) * NS_PER_S)
        self._answer(failing=0.3 if stormy else 0.0)
        out: list[Event] = []
        for page in self.pipeline.due(now_ns, now_ns, out):
            request = MARKET.candle_request(page) if isinstance(page, CandlePage) else _trade_request(page)
            self._ask(request, request, self.sockets[-1] if self.sockets else self._pages)
        self.pipeline.tell_books(now_ns, out)
        self.lanes.put(out)
        for socket in tuple(self.sockets) if now_ns % NS_PER_S == 0 else ():
            effects: list[Effect] = []
            socket.codec.ticked(now_ns, effects)
            self._act(effects, socket)

    def _connect(self) -> None:
        self.number += 1
        socket = Socket(self.number)
        self.sockets.append(socket)
        effects: list[Effect] = []
        socket.codec.opened(self.venue.now_ns, effects)
        self._act(effects, socket)

    def _disconnect(self, socket: Socket, pause_ns: int) -> None:
        if socket in self.sockets:
            self.sockets.remove(socket)
            out: list[Event] = []
            self.pipeline.lost(socket.number, self.venue.now_ns, out)
            self.lanes.put(out)
            self._retry_ns = self.venue.now_ns + pause_ns

    def _read(self, socket: Socket) -> None:
        frames, socket.wire = socket.wire, []
        events: list[VenueEvent] = []
        effects: list[Effect] = []
        socket.codec.decode(frames, self.venue.now_ns, events, effects)
        self._take(events, socket.number)
        self._act(effects, socket)

    def _take(self, events: Sequence[VenueEvent], source: int) -> None:
        out: list[Event] = []
        self.pipeline.take(events, source, self.venue.now_ns, out)
        self.lanes.put(out)

    def _act(self, effects: Sequence[Effect], socket: Socket) -> None:
        for effect in effects:
            assert not isinstance(effect, Refused | VenueError), effect
            if isinstance(effect, Send):
                socket.wire.append(b'{"result":null,"id":%d}' % json.loads(effect.payload)["id"])
            elif isinstance(effect, Fetch):
                self._ask(effect.request, effect.request, socket)
            elif isinstance(effect, Reconnect):
                self._disconnect(socket, NS_PER_S)

    def _ask(self, first: Request, request: Request, socket: Socket) -> None:
        due_ns = self.venue.now_ns + self.rng.choice([0, 0, 1, 4]) * STEP_NS
        self._under_way.append((due_ns, first, request, socket))

    def _answer(self, *, failing: float) -> None:
        now_ns = self.venue.now_ns
        ready = [item for item in self._under_way if item[0] <= now_ns and not self.held]
        self._under_way = [item for item in self._under_way if item not in ready]
        for _, first, request, socket in ready:
            out: list[Event] = []
            events: list[VenueEvent] = []
            effects: list[Effect] = []
            if isinstance(request.purpose, BookPage) and socket not in self.sockets:
                continue
            if self.rng.random() < failing:
                socket.codec.failed(request, "503", now_ns, effects)
                self.pipeline.failed(first.purpose, "503", now_ns, now_ns, out)
                self.lanes.put(out)
                continue
            socket.codec.fetched(request, self.venue.answer(request), now_ns, events, effects)
            self._take(events, socket.number)
            following = [e.request for e in effects if isinstance(e, Fetch)]
            assert len(following) == len(effects), effects
            for later in following:
                self._ask(first, later, socket)
            if not following:
                self.pipeline.answered(first.purpose, now_ns, now_ns, out)
                self.lanes.put(out)


def _trade_request(page: TradePage) -> Request:
    assert MARKET.trade_request is not None
    return MARKET.trade_request(page)


def _mangled(frames: list[bytes], rng: random.Random) -> list[bytes]:
    """Drop, double and swap some."""
    mangled: list[bytes] = []
    for frame in frames:
        mangled += [frame] * rng.choices([1, 0, 2], [95, 3, 2])[0]
    if len(mangled) > 1 and rng.random() < 0.05:
        mangled[-2:] = mangled[:-3:-1]
    return mangled


def _storm(seed: int, settings: FeedSettings) -> Store:
    """Minutes of trouble, kills among it, and then a calm in which everything must catch up."""
    rng = random.Random(seed)
    venue = Venue(rng)
    store = Store(venue)
    process = Process(venue, store, rng, settings, 1)
    kills = 0
    while venue.now_ns < START_NS + STORMY_NS + CALM_NS:
        stormy = venue.now_ns < START_NS + STORMY_NS
        process.step(venue.step(), stormy=stormy)
        if stormy and rng.random() < 0.001:
            kills += 1
            store.restarted()
            process = Process(venue, store, rng, settings, 1 + kills)
        if store.open and stormy:
            store.open = rng.random() > 0.01
        elif not store.open and (not stormy or rng.random() < 0.05):
            store.open = True
            process.lanes.drain()
    assert process.lanes.waiting == 0
    return store


@pytest.mark.parametrize("seed", range(20))
def test_under_every_fault_each_event_is_told_once_in_order_and_true_or_a_gap_says_so(seed: int) -> None:
    """The seed is the test's own number: `pytest -k "[3]"` runs the same storm again."""
    store = _storm(seed, SETTINGS)
    venue = store.venue
    assert store.next_ns is not None
    assert store.next_ns >= venue.bars[-2].open_ns, "the calm has let it catch up"
    assert store.next_trade == len(venue.trades) + 1
    assert store.deltas > 100
    assert len(store.closed) > 8


@pytest.mark.parametrize("missing", ["dedupe", "backfill"])
def test_the_storm_shows_what_is_switched_off(missing: str) -> None:
    settings = msgspec.structs.replace(SETTINGS, **{missing: False})
    with pytest.raises(AssertionError, match="once, in order, or a gap"):
        _storm(0, settings)
