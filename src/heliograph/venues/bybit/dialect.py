"""The server's half of Bybit's public WebSocket topics: what a simulated Bybit hears and says on a socket.

Written from the documentation and from recordings, and from nothing else in this folder but the dialect's other parts,
so that our codec meets a second reading. The REST half is in `dialect_rest`.

Source: https://bybit-exchange.github.io/docs/v5/ws/connect
Source: https://bybit-exchange.github.io/docs/v5/websocket/public/kline
Source: https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook
Source: https://bybit-exchange.github.io/docs/v5/websocket/public/ticker
Source: https://bybit-exchange.github.io/docs/v5/websocket/public/trade
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.model.interval import Interval
from heliograph.venues.bybit.dialect_books import Books, cadence_ns
from heliograph.venues.bybit.dialect_wording import INTERVALS, SPOT, Wording
from heliograph.venues.dialect import Ask, Manners, Reply
from heliograph.venues.scene import Bar, Scene

_encode: Final = msgspec.json.Encoder().encode

SPOT_ARGS_MAX: Final = 10
"""Topics in one request at spot; contracts have no such limit."""

ARGS_CHARACTERS_MAX: Final = 21_000
"""How long the array of all topics of one connection may be, as text. The refusal's words are not documented."""

TRADES_MAX: Final = 1024
"""Trades in one message."""

CLOSE_LATE_NS: Final = 150 * NS_PER_MS
"""How far candles lag behind; with a push a second, a close is told a second after it (both seen 2026-09)."""

_MANNERS: Final = Manners(500, 300.0, silence_s=600)
_ROOT: Final = "/v5/public/"
_KLINE: Final = re.compile(r"kline\.([^.]*)\.(.*)")
_BOOK: Final = re.compile(r"orderbook\.([0-9]{1,4})\.(.*)")


class Stream(msgspec.Struct, frozen=True):
    """One topic of one category, which its name does not tell: `BTCUSDT` is listed at spot and at linear."""

    category: str
    topic: str
    kind: str
    instrument: str
    cadence_ns: int = 0
    """Time between two frames, in the market's time; 0 for as it happens."""
    interval: Interval | None = None
    depth: int = 0

    @property
    def name(self) -> str:
        """The category and the topic."""
        return f"{self.category}/{self.topic}"

    @property
    def symbol(self) -> str:
        """The category and the instrument, which `Dialect.market_of` understands."""
        return f"{self.category}/{self.instrument}"


class _Request(msgspec.Struct):
    """What a client asks for. Its id may be a number, which the venue reads as a text, and clients send.

    Source: https://github.com/bybit-exchange/api-usage-examples/issues/34 ("fuzzyStringDecoder: not number or string")
    """

    op: str = ""
    args: list[str] = []
    req_id: str | int | None = None


class Session:
    """One client's socket: what it has subscribed to.

    Args:
        dialect: what it is connected to.
        category: the end of the path: `spot`, `linear`, `inverse`.
        conn_id: how answers name the connection.

    """

    combined = False

    def __init__(self, dialect: "Dialect", category: str, conn_id: str) -> None:
        self._dialect = dialect
        self._category = category
        self._spot = category == SPOT
        self._conn_id = conn_id
        self.streams: dict[str, Stream] = {}

    def hears(self, _stream: Stream) -> bool:
        """Say yes: whatever was acknowledged is sent."""
        return True

    def farewell(self, _now_ns: int) -> bytes | None:
        """Return nothing: Bybit announces maintenance on its system status topic alone."""
        return None

    def greeting(self, _now_ns: int) -> tuple[bytes, ...]:
        """Return nothing: Bybit waits to be spoken to."""
        return ()

    def received(self, text: str, _now_ns: int = 0, _now_s: float = 0.0) -> Reply:
        """Answer one text frame of the client. All or nothing of a request is done."""
        try:
            request = msgspec.json.decode(text, type=_Request)
        except msgspec.DecodeError:
            return self._refusal(_Request(), _undecodable(text))
        if request.op == "ping":
            return self._answer(request, "pong")
        if request.op not in ("subscribe", "unsubscribe"):
            return self._refusal(request, "error:invalid op")
        if not request.args:
            return self._refusal(request, "error:args is empty")  # (undocumented)
        # Documented, and seen, of subscribing only; a server that asks no less of the opposite is the harder one.
        if self._spot and len(request.args) > SPOT_ARGS_MAX:
            return self._refusal(request, f"args size >{SPOT_ARGS_MAX}")
        streams = {topic: self._dialect.stream(self._category, topic) for topic in request.args}
        unknown = [topic for topic, stream in streams.items() if stream is None]
        if unknown:
            return self._refusal(request, self._unknown(unknown))
        wanted = {stream.name: stream for stream in streams.values() if stream is not None}
        if request.op == "unsubscribe":
            self.streams = {name: stream for name, stream in self.streams.items() if name not in wanted}
            return self._answer(request, "unsubscribe" if self._spot else "")
        return self._subscribed(request, wanted)

    def _subscribed(self, request: _Request, wanted: dict[str, Stream]) -> Reply:
        again = [stream for stream in wanted.values() if stream.name in self.streams]
        twice = [topic for index, topic in enumerate(request.args) if topic in request.args[:index]]
        if not self._spot and (again or twice):
            topic = again[0].topic if again else twice[0]
            return self._refusal(request, f"error:already subscribed,topic:{topic}")
        if len(again) == len(wanted):
            return Reply(())  # Spot does nothing and says nothing (seen 2026-09).
        together = self.streams | wanted
        if len(_encode([stream.topic for stream in together.values()])) > ARGS_CHARACTERS_MAX:
            return self._refusal(request, f"error:args over {ARGS_CHARACTERS_MAX} characters")
        self.streams = together
        # Data of contracts was recorded ahead of the acknowledgement.
        return msgspec.structs.replace(
            self._answer(request, "subscribe" if self._spot else ""), after_data=not self._spot
        )

    def _unknown(self, topics: Sequence[str]) -> str:
        if not self._spot:
            return f"error:handler not found,topic:{topics[0]}"
        for words, meant in (("Invalid symbol", self._dialect.names_channel), ("Invalid kline type", _names_kline)):
            found = [topic for topic in topics if meant(topic)]
            if found:
                return f"{words} :[{' '.join(found)}]"
        return f"Invalid topic :[{' '.join(topics)}]"  # (undocumented)

    def _refusal(self, request: _Request, reason: str) -> Reply:
        return self._answer(request, reason, success=False)

    def _answer(self, request: _Request, message: str, *, success: bool = True) -> Reply:
        content: dict[str, object] = {"success": success, "ret_msg": message, "conn_id": self._conn_id}
        if request.req_id is not None or not self._spot:
            content["req_id"] = "" if request.req_id is None else str(request.req_id)
        return Reply((_encode(content | {"op": request.op}),))


class Dialect:
    """What Bybit says, given what happens at its markets.

    Args:
        markets: what happens there, by category.

    """

    def __init__(self, markets: Mapping[MarketId, Scene]) -> None:
        self.markets = markets
        self.manners = _MANNERS
        self.restarts_ns: list[int] = []
        """When the service of the books starts anew, in the market's time: who wants that, adds an instant to come."""
        self._wordings: dict[str, dict[str, Wording]] = {
            str(market): {symbol: Wording(market, scene, listing) for symbol, listing in scene.listings.items()}
            for market, scene in markets.items()
        }
        self.repeats_ns: list[int] = []
        """When every book is said whole in the middle of its changes, which Bybit may do for a reason of its own."""
        self._books: dict[tuple[str, str, int], Books] = {}
        self._sessions = 0

    def market_of(self, symbol: str) -> MarketId:
        """Return the market of an instrument, or of a stream's symbol; the first one where there is no such.

        A name that is listed at more than one is that of the first of them.
        """
        category, _, instrument = symbol.rpartition("/")
        for market in self.markets:
            if category in ("", market) and instrument in self._wordings[market]:
                return market
        return next(iter(self.markets))

    def wordings(self, category: str) -> Mapping[str, Wording] | None:
        """Return what is listed in a category; None where there is no such category."""
        return self._wordings.get(category)

    def books(self, wording: Wording, depth: int) -> Books:
        """Return what a book's topic of that depth says."""
        key = wording.category, wording.symbol, depth
        if key not in self._books:
            self._books[key] = Books(wording, depth, self.restarts_ns, self.repeats_ns)
        return self._books[key]

    def session(self, ask: Ask) -> Session | None:
        """Open a session at a URL's path; None where there is no such place, the private one included."""
        category = ask.path.removeprefix(_ROOT)
        if ask.path == category or category not in self._wordings:
            return None
        self._sessions += 1
        return Session(self, category, f"d9tc9msptl6q{self._sessions:08x}-{self._sessions % 65_536:x}")

    def stream(self, category: str, topic: str) -> Stream | None:
        """Understand a topic; None where the category has no such."""
        stream = _topic(category, topic)
        return stream if stream is not None and stream.instrument in self._wordings[category] else None

    def names_channel(self, topic: str) -> bool:
        """Say whether only the instrument of a topic is unknown at spot."""
        return _topic(SPOT, topic) is not None

    def wrapped(self, _name: str, payload: bytes) -> bytes:
        """Return the frame as it is: it names its topic itself."""
        return payload

    def opening(self, stream: Stream, now_ns: int) -> list[bytes]:
        """Return what a client that has just subscribed is told at once: how things stand, except of trades."""
        wording = self._wordings[stream.category][stream.instrument]
        if stream.interval is not None:
            seen_ns = now_ns - CLOSE_LATE_NS
            open_ns = stream.interval.open_of(seen_ns)
            bar = wording.scene.bar(wording.symbol, open_ns, stream.interval.next_open(open_ns), seen_ns)
            return [_kline(stream, wording, bar, now_ns, closed=False)]
        if stream.kind == "tickers":
            return [_ticker(stream, wording, wording.ticker(now_ns), "snapshot", now_ns)]
        if stream.kind == "orderbook":
            return [_encode(self.books(wording, stream.depth).now(now_ns))]
        return []

    def frames(self, stream: Stream, from_ns: int, to_ns: int) -> list[bytes]:
        """Return what a stream has to say about the time after `from_ns`, up to and including `to_ns`."""
        wording = self._wordings[stream.category][stream.instrument]
        if stream.interval is not None:
            return list(_klines(stream, stream.interval, wording, from_ns, to_ns))
        if stream.kind == "tickers":
            return list(_tickers(stream, wording, from_ns, to_ns))
        if stream.kind == "orderbook":
            return [_encode(content) for content in self.books(wording, stream.depth).since(from_ns, to_ns)]
        return list(_trades(stream, wording, from_ns, to_ns))


def _klines(stream: Stream, interval: Interval, wording: Wording, from_ns: int, to_ns: int) -> Iterable[bytes]:
    scene, symbol = wording.scene, wording.symbol
    since_ns, until_ns = from_ns - CLOSE_LATE_NS, to_ns - CLOSE_LATE_NS
    first_ns = open_ns = interval.open_of(since_ns)
    while (end_ns := interval.next_open(open_ns)) <= until_ns:
        bar = scene.bar(symbol, open_ns, end_ns, end_ns - 1)
        yield _kline(stream, wording, bar, to_ns, closed=True)
        open_ns = end_ns
    if open_ns != first_ns or scene.last_ids(symbol, since_ns) != scene.last_ids(symbol, until_ns):
        yield _kline(stream, wording, scene.bar(symbol, open_ns, end_ns, until_ns), to_ns, closed=False)


def _kline(stream: Stream, wording: Wording, bar: Bar, now_ns: int, *, closed: bool) -> bytes:
    candle = wording.candle(stream.topic.split(".")[1], bar, now_ns, closed=closed)
    time_ms = now_ns // NS_PER_MS
    if stream.category == SPOT:
        return _encode({"type": "snapshot", "topic": stream.topic, "data": [candle], "ts": time_ms})
    return _encode({"topic": stream.topic, "data": [candle], "ts": time_ms, "type": "snapshot"})


def _tickers(stream: Stream, wording: Wording, from_ns: int, to_ns: int) -> Iterable[bytes]:
    before, after = wording.ticker(from_ns), wording.ticker(to_ns)
    if before == after:
        return
    if stream.category == SPOT:
        yield _ticker(stream, wording, after, "snapshot", to_ns)
        return
    changed = {name for name, value in after.items() if before.get(name) != value}
    for pair in (("bid1Price", "bid1Size"), ("ask1Price", "ask1Size")):
        # A best price and its size were only ever seen together.
        changed |= set(pair) if changed & set(pair) else set()
    delta = {name: value for name, value in after.items() if name == "symbol" or name in changed}
    yield _ticker(stream, wording, delta, "delta", to_ns)


def _ticker(stream: Stream, wording: Wording, data: Mapping[str, str], sort: str, now_ns: int) -> bytes:
    sequence, time_ms = wording.sequence(now_ns), now_ns // NS_PER_MS
    if stream.category == SPOT:
        return _encode({"topic": stream.topic, "ts": time_ms, "type": sort, "cs": sequence, "data": data})
    return _encode({"topic": stream.topic, "type": sort, "data": data, "cs": sequence, "ts": time_ms})


def _trades(stream: Stream, wording: Wording, from_ns: int, to_ns: int) -> Iterable[bytes]:
    fills = wording.scene.fills(wording.symbol, from_ns, to_ns)
    for time_ns, group in itertools.groupby(fills, key=lambda fill: fill.time_ns):
        together = list(group)
        for start in range(0, len(together), TRADES_MAX):
            data = wording.trades(together[start : start + TRADES_MAX])
            time_ms = time_ns // NS_PER_MS
            if stream.category == SPOT:
                yield _encode({"topic": stream.topic, "ts": time_ms, "type": "snapshot", "data": data})
            else:
                yield _encode({"topic": stream.topic, "type": "snapshot", "ts": time_ms, "data": data})


def _topic(category: str, topic: str) -> Stream | None:
    """Understand a topic's channel, whatever its instrument is."""
    if found := _KLINE.fullmatch(topic):
        interval = INTERVALS.get(found[1])
        return None if interval is None else Stream(category, topic, "kline", found[2], NS_PER_S, interval)
    if found := _BOOK.fullmatch(topic):
        depth = int(found[1])
        cadence = cadence_ns(category, depth)
        right = cadence is not None and topic.startswith(f"orderbook.{depth}.")
        return Stream(category, topic, "orderbook", found[2], cadence or 0, None, depth) if right else None
    channel, _, symbol = topic.partition(".")
    if channel == "tickers":
        return Stream(category, topic, channel, symbol, (50 if category == SPOT else 100) * NS_PER_MS)
    return Stream(category, topic, channel, symbol) if channel == "publicTrade" else None


def _names_kline(topic: str) -> bool:
    return _KLINE.fullmatch(topic) is not None


def _undecodable(text: str) -> str:
    first = text[:1]
    found = f"readObjectStart: expect {{ or n, but found {first or chr(0)}" if first != "{" else "malformed request"
    return f"Failed to decode incoming data:{found}, error found in #1 byte of ...|{text[:20]}|..."
