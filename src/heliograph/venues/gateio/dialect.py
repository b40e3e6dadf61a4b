"""The server's half of Gate.io's public WebSocket channels: what a simulated Gate.io hears and says on a socket.

Written from the documentation and from recorded frames, and from nothing else in this folder, so that our codec meets
a second reading of them. What markets look like is in `dialect_spot` and `dialect_futures`, REST in `dialect_rest`.

Source: https://www.gate.com/docs/developers/apiv4/ws/en/
Source: https://www.gate.com/docs/developers/futures/ws/en/
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import chain
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.errors import VenueRejected
from heliograph.model.instrument import SPOT, MarketId
from heliograph.venues.dialect import Ask, Manners, Reply
from heliograph.venues.gateio.dialect_futures import Board as FuturesBoard
from heliograph.venues.gateio.dialect_spot import Board as SpotBoard
from heliograph.venues.gateio.dialect_words import SOCKET_GRIDS, Board, Grid, encode, frame, ms, plain, shuffled
from heliograph.venues.scene import BookChange, Level, Scene

SETTLES: Final = {MarketId("usdm"): "usdt", MarketId("coinm"): "btc"}
"""In which currency the contracts of a market are settled, which is part of its paths."""

DEPTH: Final = 100
"""Levels on each side of a simulated book: a channel with more of them has them all."""

WHOLE_AGAIN_NS: Final = 60 * NS_PER_S
"""A stream of `obu` may be told the whole book again at any time; here, once a minute."""

WHOLE_AMID_NS: Final = 600 * NS_PER_S
"""So may one of `order_book_update`, "at irregular intervals"; here, every ten minutes. None was seen within one.

Source: https://www.gate.com/announcements/article/44678
"""

_MANNERS: Final = Manners(300, 60.0, ping_s=180, pong_s=60, silence_s=30)
"""Three hundred connections an address is a documented limit of those that are open. That the server pings is
documented, and that it cuts whom it hears nothing from; how often it pings is not, and none was seen in 150 s."""

_SECOND_NS: Final = NS_PER_S
_FREQUENCIES_NS: Final = {"20ms": 20 * NS_PER_MS, "100ms": 100 * NS_PER_MS, "1000ms": NS_PER_S}
_PRIVATE: Final = {
    "spot": (
        "orders", "orders_v2", "usertrades", "usertrades_v2", "balances", "margin_balances", "funding_balances",
        "cross_balances", "cross_loan", "priceorders"
    ),
    "futures": (
        "orders", "usertrades", "liquidates", "auto_deleverages", "position_closes", "balances", "reduce_risk_limits",
        "positions", "autoorders"
    ),
}  # fmt: skip
_MUTE: Final = {"spot": (), "futures": ("public_liquidates", "contract_stats", "contract_info", "adl_warning")}
"""Channels that exist and have nothing to say here."""

_LISTS: Final = {
    "spot": {"tickers": _SECOND_NS, "trades": 0, "trades_v2": 0, "book_ticker": 10 * NS_PER_MS},
    "futures": {"tickers": _SECOND_NS, "trades": 0, "book_ticker": 10 * NS_PER_MS},
}
"""Channels whose payload is a list of instruments, and the time between two frames."""

_LEVELS: Final[Mapping[str, tuple[int, ...]]] = {
    "spot": (5, 10, 20, 50, 100),
    "futures": (1, 5, 10, 20, 50, 100),
    "updates": (20, 50, 100),
}
"""How many levels there are to choose from: of whole books of spot and of futures, and of futures' changes."""
_GENERAL: Final = {
    "spot": {1: "Invalid request body format", 2: "Invalid argument provided", 4: "Authentication fail"},
    "futures": {1: "invalid argument struct", 2: "invalid argument", 4: "authentication fail"},
}


class Stream(msgspec.Struct, frozen=True):
    """One channel of one instrument, as one sort of connection hears it."""

    market: MarketId
    kind: str
    """The channel's name."""
    symbol: str
    key: str
    """What a connection has only one of."""
    cadence_ns: int = 0
    grid: Grid | None = None
    bar: str = ""
    levels: int = 0
    exact: bool = False
    """Whether sizes are decimal text, which a connection asks for when it is opened."""

    @property
    def name(self) -> str:
        """The channel and what distinguishes its streams; there is `book` in it where it is of a book."""
        return f"{self.kind}:{self.key}"


class Session:
    """One client's socket: what it has subscribed to.

    Args:
        dialect: what it is connected to.
        market: which market the path is of.
        exact: whether it wants sizes as decimal text.
        number: which connection it is.

    """

    combined = False

    def __init__(self, dialect: "Dialect", market: MarketId, number: int, *, exact: bool) -> None:
        self._dialect = dialect
        self._market = market
        self._exact = exact
        self._number = number
        self._heard = 0
        self._app = dialect.boards[market].app
        self.streams: dict[str, Stream] = {}

    def hears(self, _stream: Stream) -> bool:
        """Say yes: whatever was acknowledged is sent."""
        return True

    def greeting(self, _now_ns: int) -> tuple[bytes, ...]:
        """Return nothing: Gate waits to be spoken to."""
        return ()

    def farewell(self, now_ns: int) -> bytes | None:
        """Return the notice of an upgrade; spot's documentation has none.

        Source: https://www.gate.com/docs/developers/futures/ws/en/ (service upgrade notice)
        """
        if self._app == "spot":
            return None
        reason = "The connection will soon be closed for a service upgrade. Please reconnect."
        return frame("futures.system", "update", {"type": "upgrade", "msg": reason}, now_ns)

    def received(self, text: str, now_ns: int = 0, _now_s: float = 0.0) -> Reply:
        """Answer one text frame of the client. Spot does not answer what is no JSON, and neither cuts for it."""
        self._heard += 1
        try:
            message = msgspec.json.decode(text)
        except msgspec.DecodeError:
            if self._app == "spot":
                return Reply(())
            return Reply((self._said({}, "", "", now_ns, refusal=(1, "request message need json scheme")),))
        if not isinstance(message, dict):
            return Reply((self._said({}, "", "", now_ns, refusal=(1, _GENERAL[self._app][1])),))
        channel, event, ident = message.get("channel"), message.get("event"), message.get("id")
        if not isinstance(channel, str) or not isinstance(event, str | None) or not _is_ident(ident):
            return Reply((self._said({}, "", "", now_ns, refusal=(1, _GENERAL[self._app][1])),))
        if channel == f"{self._app}.ping":
            return Reply((self._said(message, f"{self._app}.pong", "", now_ns),))
        try:
            self._order(channel, event, message.get("payload"))
        except VenueRejected as no:
            return Reply((self._said(message, channel, event or "", now_ns, refusal=(int(no.code), no.reason)),))
        return Reply((self._said(message, channel, event or "", now_ns),))

    def _order(self, channel: str, event: str | None, payload: object) -> None:
        streams = self._dialect.streams(self._market, channel, payload, exact=self._exact)
        if event == "subscribe":
            for stream in streams:
                if stream.kind.endswith(".obu") and stream.name in self.streams:
                    raise _no(2, f"Alert sub {_obu_name(stream)}")
            self.streams |= {stream.name: stream for stream in streams}
        elif event == "unsubscribe":
            for stream in streams:
                self.streams.pop(stream.name, None)
        else:
            raise _no(2, _GENERAL[self._app][2])

    def _said(
        self,
        message: Mapping[str, object],
        channel: str,
        event: str,
        now_ns: int,
        refusal: tuple[int, str] | None = None,
    ) -> bytes:
        conn_id = f"{self._number:016x}"
        trace_id = f"{conn_id}{self._heard:016x}"
        content: dict[str, object] = {"time": now_ns // NS_PER_S, "time_ms": ms(now_ns)}
        if message.get("id") is not None:
            content["id"] = message["id"]
        content["conn_id"] = conn_id
        pong = channel.endswith(".pong")
        if not pong:
            content["trace_id"] = trace_id
        content |= {"channel": channel, "event": event}
        if "payload" in message and not pong:
            content["payload"] = message["payload"]
        if refusal is not None:
            content["error"] = {"code": refusal[0], "message": refusal[1]}
        content["result"] = None if pong else {"status": "success" if refusal is None else "fail"}
        if self._app == "spot":
            content["requestId"] = trace_id
        return encode(content)


class Dialect:
    """What one of Gate's hosts says, given what happens at its markets.

    Args:
        markets: what happens there.

    """

    def __init__(self, markets: Mapping[MarketId, Scene]) -> None:
        self.markets = markets
        self.manners = _MANNERS
        self.boards = boards_of(markets)
        self._places = {symbol: market for market, scene in markets.items() for symbol in scene.listings}
        self._sessions = 0

    def market_of(self, symbol: str) -> MarketId:
        """Return the market of an instrument, or the first one where there is no such instrument."""
        return self._places.get(symbol) or next(iter(self.markets))

    def session(self, ask: Ask) -> Session | None:
        """Open a session at a URL's path; None where there is no such place. What was futures' only path is bitcoin's.

        Source: https://www.gate.com/docs/developers/futures/ws/en/ (server URL)
        """
        paths = {f"/v4/ws/{settle}": market for market, settle in SETTLES.items()}
        market = (paths | {"/ws/v4/": SPOT, "/v4/ws": MarketId("coinm")}).get(ask.path)
        if market is None or market not in self.markets:
            return None
        self._sessions += 1
        exact = ask.headers.get("x-gate-size-decimal") == "1" and market != SPOT
        return Session(self, market, self._sessions, exact=exact)

    def streams(self, market: MarketId, channel: str, payload: object, *, exact: bool) -> list[Stream]:
        """Understand a channel and its payload: all of it, or nothing.

        Raises:
            VenueRejected: there is no such channel, instrument, interval or level, or the payload is malformed.

        """
        board = self.boards[market]
        app, _, topic = channel.partition(".")
        known = (*_LISTS[board.app], *_PRIVATE[board.app], *_MUTE[board.app])
        if app != board.app or topic not in (*known, "candlesticks", "order_book", "order_book_update", "obu"):
            raise _no(2, f"Unknown channel {channel}")
        if topic in _PRIVATE[app]:
            raise _no(4, _GENERAL[app][4])
        if topic in _MUTE[app]:
            return []
        if not isinstance(payload, list) or not payload or not all(isinstance(item, str) for item in payload):
            raise _no(1, "request payload does not follow json schema")
        if topic in _LISTS[app]:
            for symbol in payload:
                self._known(board, symbol, topic)
            pace_ns = _LISTS[app][topic]
            return [Stream(market, channel, symbol, symbol, pace_ns, exact=exact) for symbol in payload]
        if topic == "obu":
            return [stream for name in payload for stream in self._obu(market, channel, name)]
        if topic == "candlesticks":
            return [self._bars(market, channel, payload, exact=exact)]
        return [self._book(market, channel, topic, payload, exact=exact)]

    def _known(self, board: Board, symbol: str, topic: str) -> None:
        if symbol not in board.scene.listings:
            # Futures' book says it without the colon (undocumented, seen 2026-09-15).
            colon = "" if board.app == "futures" and topic == "order_book_update" else ":"
            raise _no(2, f"unknown currency pair{colon} {symbol}")

    def _obu(self, market: MarketId, channel: str, name: str) -> Iterable[Stream]:
        """Understand the name of a stream; one of nothing there is, is acknowledged and silent (seen 2026-09-15)."""
        head, _, rest = name.partition(".")
        symbol, _, level = rest.rpartition(".")
        if head == "ob" and level in ("50", "400") and symbol in self.markets[market].listings:
            pace_ns = (20 if level == "50" else 100) * NS_PER_MS
            yield Stream(market, channel, symbol, f"book.{symbol}.{level}", pace_ns, levels=int(level))

    def _bars(self, market: MarketId, channel: str, payload: list[str], *, exact: bool) -> Stream:
        board = self.boards[market]
        if len(payload) != 2:
            raise _no(1, "request payload does not follow json schema")
        name, symbol = payload
        if name not in SOCKET_GRIDS:
            raise _no(2, f"incorrect update interval specified: {name}")
        self._known(board, symbol, "candlesticks")
        pace_ns = (2 if board.app == "spot" else 1) * NS_PER_S
        bar = f"{name}_{symbol}"
        return Stream(market, channel, symbol, bar, pace_ns, SOCKET_GRIDS[name], bar, exact=exact)

    def _book(self, market: MarketId, channel: str, topic: str, payload: list[str], *, exact: bool) -> Stream:
        board = self.boards[market]
        spot, updates = board.app == "spot", topic == "order_book_update"
        lengths = (2,) if spot and updates else (2, 3) if updates else (3,)
        if len(payload) not in lengths:
            raise _no(1, "request payload does not follow json schema")
        symbol = payload[0]
        self._known(board, symbol, topic)
        levels = _LEVELS["updates" if updates else board.app]
        if updates:
            frequency, level = payload[1], "20" if payload[1] == "20ms" else "100"
            level = payload[2] if len(payload) == 3 else level
            accepted = ("100ms",) if spot else ("20ms", "100ms")
        else:
            # Futures push their whole top about ten times a second; what they call its interval merges prices.
            level, frequency = payload[1:]
            accepted = ("100ms", "1000ms") if spot else ("0",)
        if frequency not in accepted:
            raise _no(2, f"incorrect update interval specified: {frequency}")
        if level not in map(str, levels) or (frequency == "20ms" and level != "20"):
            raise _no(2, f"provided level not supported: {level}")
        pace_ns = _FREQUENCIES_NS[frequency if frequency in _FREQUENCIES_NS else "100ms"]
        # An unsubscription need not name the level, so that there can be only one for each instrument.
        key = symbol if updates else f"{symbol}.{level}.{frequency}"
        return Stream(market, channel, symbol, key, pace_ns, levels=int(level), exact=exact)

    def wrapped(self, _name: str, payload: bytes) -> bytes:
        """Return the frame as it is: it names its channel itself."""
        return payload

    def opening(self, stream: Stream, now_ns: int) -> list[bytes]:
        """Return what a client that has just subscribed is told at once: whole books, where a channel has them."""
        if stream.kind.endswith(".obu"):
            return [self._full(stream, now_ns)]
        return [self._top(stream, now_ns)] if stream.kind.endswith(".order_book") else []

    def frames(self, stream: Stream, from_ns: int, to_ns: int) -> list[bytes]:
        """Return what a stream has to say about the time after `from_ns`, up to and including `to_ns`."""
        board, topic = self.boards[stream.market], stream.kind.partition(".")[2]
        if stream.grid is not None:
            found = board.candles(list(self._candles(stream, stream.grid, from_ns, to_ns)))
        elif topic in ("trades", "trades_v2"):
            found = board.trades(stream.symbol, board.scene.fills(stream.symbol, from_ns, to_ns), exact=stream.exact)
        elif topic == "tickers":
            found = list(self._tickers(stream, from_ns, to_ns))
        elif topic == "order_book_update":
            found = list(self._updates(stream, from_ns, to_ns))
        elif topic == "obu":
            return list(self._increments(stream, from_ns, to_ns))
        else:
            before, book = (board.scene.book(stream.symbol, stream.levels or 1, at_ns) for at_ns in (from_ns, to_ns))
            if (before.bids, before.asks) == (book.bids, book.asks):
                return []
            if topic == "order_book":
                return [self._top(stream, to_ns)]
            found = [board.top(stream.symbol, book, exact=stream.exact)]
        return [frame(stream.kind, "update", result, to_ns) for result in found]

    def _candles(self, stream: Stream, grid: Grid, from_ns: int, to_ns: int) -> Iterable[dict[str, object]]:
        board, symbol = self.boards[stream.market], stream.symbol
        scene = board.scene
        first_ns = open_ns = grid.open_of(from_ns)
        while (end_ns := grid.next_open(open_ns)) <= to_ns:
            bar = scene.bar(symbol, open_ns, end_ns, end_ns - 1)
            # That the mark of a closed bar "may be missing" is documented. Here it is missing of every eighth bar.
            closed = open_ns // (end_ns - open_ns) % 8 != 5
            yield board.candle(symbol, stream.bar, bar, closed=closed, exact=stream.exact)
            open_ns = end_ns
        if open_ns != first_ns or scene.last_ids(symbol, from_ns) != scene.last_ids(symbol, to_ns):
            bar = scene.bar(symbol, open_ns, end_ns, to_ns)
            yield board.candle(symbol, stream.bar, bar, closed=False, exact=stream.exact)

    def _tickers(self, stream: Stream, from_ns: int, to_ns: int) -> Iterable[object]:
        board, symbol = self.boards[stream.market], stream.symbol
        before, book = (board.scene.book(symbol, 1, at_ns) for at_ns in (from_ns, to_ns))
        moved = (before.bids, before.asks) != (book.bids, book.asks)
        if moved or board.scene.last_ids(symbol, from_ns) != board.scene.last_ids(symbol, to_ns):
            yield board.ticker(symbol, to_ns, exact=stream.exact)

    def _updates(self, stream: Stream, from_ns: int, to_ns: int) -> Iterable[object]:
        board = self.boards[stream.market]
        change = board.scene.book_change(stream.symbol, from_ns, to_ns)
        if change is None:
            return
        whole = from_ns // WHOLE_AMID_NS != to_ns // WHOLE_AMID_NS
        if whole:
            book = board.scene.book(stream.symbol, stream.levels, to_ns)
            change = msgspec.structs.replace(change, bids=book.bids, asks=book.asks)
        elif stream.levels < DEPTH:
            # A client may join with a book of any instant in between, so all that was seen then is named.
            change = _among(board.scene, stream, change, range(from_ns, to_ns, stream.cadence_ns), to_ns)
        else:
            change = msgspec.structs.replace(change, bids=shuffled(change.bids), asks=shuffled(change.asks))
        content = board.changed(stream.symbol, change, stream.levels, exact=stream.exact)
        yield {"full": True} | content if whole else content

    def _increments(self, stream: Stream, from_ns: int, to_ns: int) -> Iterable[bytes]:
        scene = self.boards[stream.market].scene
        if from_ns // WHOLE_AGAIN_NS != to_ns // WHOLE_AGAIN_NS:
            yield self._full(stream, to_ns)
            return
        change = scene.book_change(stream.symbol, from_ns, to_ns)
        if change is None:
            return
        if stream.levels < DEPTH:
            change = _among(scene, stream, change, (from_ns,), to_ns)
        else:
            change = msgspec.structs.replace(change, bids=shuffled(change.bids), asks=shuffled(change.asks))
        content: dict[str, object] = {"t": ms(change.time_ns), "s": _obu_name(stream)}
        content |= {"U": change.previous_id + 1, "u": change.last_id}
        # Where nothing changed among these levels, only the ids go on.
        content |= {side: _pairs(levels) for side, levels in (("b", change.bids), ("a", change.asks)) if levels}
        yield frame(stream.kind, "update", content, to_ns)

    def _full(self, stream: Stream, now_ns: int) -> bytes:
        book = self.boards[stream.market].scene.book(stream.symbol, stream.levels, now_ns)
        content: dict[str, object] = {"t": ms(book.time_ns), "full": True, "s": _obu_name(stream), "u": book.update_id}
        return frame(stream.kind, "update", content | {"b": _pairs(book.bids), "a": _pairs(book.asks)}, now_ns)

    def _top(self, stream: Stream, now_ns: int) -> bytes:
        board = self.boards[stream.market]
        book = board.scene.book(stream.symbol, stream.levels, now_ns)
        event = "update" if board.app == "spot" else "all"
        return frame(stream.kind, event, board.whole(stream.symbol, book, stream.levels, exact=stream.exact), now_ns)


def boards_of(markets: Mapping[MarketId, Scene]) -> dict[MarketId, Board]:
    """Return what there is to tell of each market."""
    return {market: SpotBoard(scene) if market == SPOT else FuturesBoard(scene) for market, scene in markets.items()}


def _among(scene: Scene, stream: Stream, change: BookChange, instants: Iterable[int], to_ns: int) -> BookChange:
    """Narrow a change to what it means for the best levels, for whoever has the book of one of the instants."""
    now = scene.book(stream.symbol, stream.levels, to_ns)
    seen = [scene.book(stream.symbol, stream.levels, at_ns) for at_ns in instants]
    bids = _narrowed([book.bids for book in seen], now.bids)
    asks = _narrowed([book.asks for book in seen], now.asks)
    return msgspec.structs.replace(change, bids=bids, asks=asks)


def _narrowed(seen: list[tuple[Level, ...]], now: tuple[Level, ...]) -> tuple[Level, ...]:
    sizes = dict(now)
    named = {price: Decimal(0) for price, _ in chain.from_iterable(seen) if price not in sizes}
    for side in seen:
        held = dict(side)
        named |= {price: size for price, size in now if held.get(price) != size}
    return shuffled(named.items())


def _obu_name(stream: Stream) -> str:
    return f"ob.{stream.symbol}.{stream.levels}"


def _pairs(levels: Iterable[Level]) -> list[tuple[str, str]]:
    return [(plain(price), plain(size)) for price, size in levels]


def _is_ident(ident: object) -> bool:
    return ident is None or (type(ident) is int and -(1 << 63) <= ident < 1 << 64)


def _no(code: int, reason: str) -> VenueRejected:
    return VenueRejected("gateio", str(code), reason)
