"""The server's half of Binance's WebSocket streams: what a simulated Binance hears and says on a socket.

Written from the documentation, and from nothing else in this folder, so that our codec meets a second reading of it.
The REST half is in `dialect_rest`.

Source: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams
Source: https://developers.binance.com/docs/derivatives/coin-margined-futures/websocket-market-streams
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S, NS_PER_US
from heliograph.model.instrument import MarketId
from heliograph.model.interval import Interval
from heliograph.venues.dialect import Ask, Manners, Reply
from heliograph.venues.scene import Bar, Level, Listing, Scene

_encode: Final = msgspec.json.Encoder().encode
_DAY_NS: Final = 86_400 * NS_PER_S
_HOLD_NS: Final = 8 * 3600 * NS_PER_S  # Funding is paid every eight hours.

CLOSE_LATE_NS: Final = NS_PER_S
"""How long after its end a futures bar is said to be closed; recordings show 0.8 s and 2.0 s."""

INTERVALS: Final = tuple(i for i in Interval if i not in (Interval.S10, Interval.D2, Interval.MO3))

_NAME: Final = re.compile(r"[!\w]+(@[\w+:]+)*", re.ASCII)
_KLINE: Final = re.compile(r"kline_(\d+[smhdwM])")
_DEPTH: Final = re.compile(r"depth(5|10|20)?(?:@(\d+)ms)?")
_MARK: Final = re.compile(r"markPrice(@1s)?")
_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


STREAMS_MAX: Final = 1024
"""Streams that one connection may carry."""

_SPOT_MANNERS: Final = Manners(300, 300, ping_s=20, pong_s=60, messages_per_s=5, life_s=86_400)
_FUTURES_MANNERS: Final = Manners(300, 300, ping_s=180, pong_s=600, messages_per_s=10, life_s=86_400)


class Stream(msgspec.Struct, frozen=True):
    """One stream's name, understood; a name that is well formed but of nothing we have is `silent`.

    (Undocumented, but seen by several third parties: such a name is acknowledged like any other.)
    """

    name: str
    kind: str
    symbol: str = ""
    interval: Interval | None = None
    levels: int = 0
    cadence_ns: int = 0
    """Time between two frames, in the market's time; 0 for as it happens."""
    micros: bool = False


class Session:
    """One client's socket: what it has subscribed to, and in which wrapping it wants it.

    Args:
        dialect: the market that it is connected to.
        route: the path before `/ws` or `/stream`: empty, or one of USD-M's `public`, `market` and `private`.
        combined: whether frames are wrapped in the stream's name.
        micros: whether times are in microseconds.

    """

    def __init__(self, dialect: "Dialect", route: str, *, combined: bool, micros: bool) -> None:
        self._dialect = dialect
        self.route = route
        self.combined = combined
        self.micros = micros
        self.streams: dict[str, Stream] = {}

    def subscribe(self, names: Iterable[str]) -> bool:
        """Add streams by their names; False where a name is malformed or there are too many."""
        found = {name: self._dialect.stream(name, micros=self.micros) for name in names}
        if any(stream is None for stream in found.values()):
            return False
        if len(self.streams | found) > STREAMS_MAX:
            return False
        self.streams |= {name: stream for name, stream in found.items() if stream is not None}
        return True

    def hears(self, stream: Stream) -> bool:
        """Say whether this connection is sent the stream's frames once it has subscribed.

        USD-M's paths carry different streams, and one without a path carries what is public; a stream at the wrong
        place is acknowledged and silent.

        Source: https://developers.binance.com/docs/products/caas/market-data-streams
        """
        if self._dialect.market != "usdm":
            return True
        # That single trades are public is not documented, as the stream is not; it is where a client library asks.
        public = stream.kind in ("depth", "partial", "bookTicker", "trade")
        return public if self.route in ("", "public") else self.route == "market" and not public

    def farewell(self, now_ns: int) -> bytes | None:
        """Return the frame that announces that this server is about to close."""
        payload = _encode({"e": "serverShutdown", "E": now_ns // NS_PER_MS})
        return self._dialect.wrapped("!serverShutdown", payload) if self.combined else payload

    def greeting(self, _now_ns: int) -> tuple[bytes, ...]:
        """Return nothing: Binance waits to be spoken to."""
        return ()

    def received(self, text: str, _now_ns: int = 0, _now_s: float = 0.0) -> Reply:
        """Answer one text frame of the client."""
        try:
            message = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return _refusal(3, "Invalid JSON: expected value at line 1 column 1", None, close=True)
        if not isinstance(message, dict):
            return _refusal(2, "Invalid request: expected a map", None, close=True)
        ident, method, params = message.get("id"), message.get("method"), message.get("params", [])
        if method is None:
            return _refusal(2, f"Invalid request: missing field `method` at line 1 column {len(text)}", ident)
        if method not in _METHODS:
            accepted = ", ".join(f"`{name}`" for name in _METHODS)
            return _refusal(2, f"Invalid request: unknown variant `{method}`, expected one of {accepted}", ident)
        if "id" not in message or not _is_id(ident):
            return _refusal(2, "Invalid request: request ID must be an unsigned integer", None)
        if not isinstance(params, list):
            return _refusal(2, "Invalid request: invalid type for `params`, expected a sequence", ident)
        if method == "LIST_SUBSCRIPTIONS":
            if params:
                return _refusal(2, "Invalid request: too many parameters", ident)
            return _result(list(self.streams), ident)
        if method in ("SET_PROPERTY", "GET_PROPERTY"):
            return self._property(params, ident, write=method == "SET_PROPERTY")
        if not all(isinstance(name, str) for name in params):
            return _refusal(2, "Invalid request: invalid stream", ident, close=True)
        if method == "UNSUBSCRIBE":
            for name in params:
                self.streams.pop(name, None)
        elif not self.subscribe(params):
            return _refusal(2, "Invalid request: invalid stream", ident, close=True)
        return _result(None, ident)

    def _property(self, params: list[object], ident: object, *, write: bool) -> Reply:
        if not params or not isinstance(params[0], str):
            return _refusal(2, "Invalid request: property name must be a string", ident)
        if params[0] != "combined":
            return _refusal(0, "Unknown property", ident)
        if len(params) > 1 + write:
            return _refusal(2, "Invalid request: too many parameters", ident)
        if not write:
            return _result(self.combined, ident)
        if len(params) < 2 or not isinstance(params[1], bool):
            return _refusal(1, "Invalid value type: expected Boolean", ident)
        self.combined = params[1]
        return _result(None, ident)


class Dialect:
    """What one of Binance's markets says, given what happens there.

    Args:
        market: spot, usdm or coinm.
        scene: what happens there.

    """

    def __init__(self, market: MarketId, scene: Scene) -> None:
        self.market = market
        self.scene = scene
        self.manners = _SPOT_MANNERS if market == "spot" else _FUTURES_MANNERS
        self.markets: Mapping[MarketId, Scene] = {market: scene}

    def market_of(self, _symbol: str) -> MarketId:
        """Return the one market that this origin carries."""
        return self.market

    def session(self, ask: Ask) -> Session | None:
        """Open a session at a URL's path and query; None where there is no such place or a name is malformed."""
        query = ask.query
        parts = [part for part in ask.path.split("/") if part]
        route = ""
        if self.market == "usdm" and parts and parts[0] in ("public", "market", "private"):
            route = parts.pop(0)
        if not parts or parts[0] not in ("ws", "stream"):
            return None
        micros = self.market == "spot" and query.get("timeUnit", "").upper() == "MICROSECOND"
        session = Session(self, route, combined=parts[0] == "stream", micros=micros)
        # A private path names a listen key, of which this dialect knows none.
        named = query.get("streams", "").split("/") if session.combined else parts[1:]
        if route != "private" and not session.subscribe(name for name in named if name):
            return None
        return session

    def stream(self, name: str, *, micros: bool) -> Stream | None:
        """Understand a stream's name; None where it is malformed."""
        if not _NAME.fullmatch(name):
            return None
        lower, _, topic = name.partition("@")
        futures = self.market != "spot"
        if name in ("!miniTicker@arr", "!bookTicker") or (futures and name == "!ticker@arr"):
            return Stream(name, name.strip("!").partition("@")[0], "*", cadence_ns=NS_PER_S, micros=micros)
        symbol = lower.upper()
        if lower != lower.lower() or symbol not in self.scene.listings:
            return Stream(name, "silent")
        if topic in ("aggTrade", "trade", "bookTicker"):
            pace_ns = 100 * NS_PER_MS if futures and topic == "aggTrade" else 0
            return Stream(name, topic, symbol, cadence_ns=pace_ns, micros=micros)
        if topic in ("ticker", "miniTicker"):
            pace_ns = {"spot": NS_PER_S, "usdm": 2 * NS_PER_S}.get(self.market, NS_PER_S // 2)
            return Stream(name, topic, symbol, cadence_ns=pace_ns, micros=micros)
        if (kline := _KLINE.fullmatch(topic)) and kline[1] in INTERVALS and not (futures and kline[1] == "1s"):
            pace_ns = NS_PER_S // 4 if futures else NS_PER_S if kline[1] == "1s" else 2 * NS_PER_S
            return Stream(name, "kline", symbol, Interval(kline[1]), cadence_ns=pace_ns, micros=micros)
        if depth := _DEPTH.fullmatch(topic):
            pace_ms = int(depth[2] or (250 if futures else 1000))
            if pace_ms in ((100, 250, 500) if futures else (100, 1000)):
                levels = int(depth[1] or 0)
                kind = "partial" if levels else "depth"
                return Stream(name, kind, symbol, levels=levels, cadence_ns=pace_ms * NS_PER_MS, micros=micros)
        if futures and (mark := _MARK.fullmatch(topic)):
            return Stream(name, "markPrice", symbol, cadence_ns=(1 if mark[1] else 3) * NS_PER_S, micros=micros)
        return Stream(name, "silent")

    def wrapped(self, name: str, payload: bytes) -> bytes:
        """Wrap a raw frame the way a combined connection wants it."""
        return b'{"stream":"%b","data":%b}' % (name.encode(), payload)

    def opening(self, _stream: Stream, _now_ns: int) -> list[bytes]:
        """Return nothing: a new subscription starts with what happens next."""
        return []

    def frames(self, stream: Stream, from_ns: int, to_ns: int) -> list[bytes]:
        """Return what a stream has to say about the time after `from_ns`, up to and including `to_ns`."""
        if stream.kind == "silent":
            return []
        if stream.symbol == "*":
            return self._all(stream, from_ns, to_ns)
        says = {
            "aggTrade": self._aggregates,
            "trade": self._trades,
            "kline": self._klines,
            "bookTicker": self._top,
            "ticker": self._ticker,
            "miniTicker": self._ticker,
            "depth": self._depth,
            "partial": self._depth,
            "markPrice": self._mark,
        }[stream.kind]
        return [_encode(event) for event in says(stream, from_ns, to_ns)]

    def _all(self, stream: Stream, from_ns: int, to_ns: int) -> list[bytes]:
        single = {
            symbol: msgspec.structs.replace(stream, symbol=symbol)
            for symbol in self.scene.listings
            if stream.kind == "bookTicker" or self.scene.last_ids(symbol, from_ns) != self.scene.last_ids(symbol, to_ns)
        }
        if stream.kind == "bookTicker":
            return [_encode(event) for one in single.values() for event in self._top(one, from_ns, to_ns)]
        events = [event for one in single.values() for event in self._ticker(one, from_ns, to_ns)]
        return [_encode(events)] if events else []

    def _head(self, stream: Stream, event: str, now_ns: int) -> dict[str, object]:
        return {"e": event, "E": _time(stream, now_ns), "s": stream.symbol}

    def _aggregates(self, stream: Stream, from_ns: int, to_ns: int) -> Iterable[dict[str, object]]:
        for item in self.scene.aggregates(stream.symbol, from_ns, to_ns):
            event = self._head(stream, "aggTrade", to_ns) | {
                "a": item.id,
                "p": self.text(item.price),
                "q": self.text(item.quantity),
                "f": item.first_fill,
                "l": item.last_fill,
                "T": _time(stream, item.time_ns),
                "m": not item.taker_buys,
            }
            if self.market == "usdm":  # `nq` leaves out retail price improvement orders, of which there are none here.
                event |= {"nq": event["q"], "st": 1}
            yield event | {"M": True} if self.market == "spot" else event

    def _trades(self, stream: Stream, from_ns: int, to_ns: int) -> Iterable[dict[str, object]]:
        for item in self.scene.fills(stream.symbol, from_ns, to_ns):
            event = self._head(stream, "trade", to_ns) | {
                "t": item.id,
                "p": self.text(item.price),
                "q": self.text(item.quantity),
                "T": _time(stream, item.time_ns),
                "m": not item.taker_buys,
            }
            # Futures: undocumented, seen in recordings of third parties.
            yield event | ({"M": True} if self.market == "spot" else {"X": "MARKET"})

    def _klines(self, stream: Stream, from_ns: int, to_ns: int) -> Iterable[dict[str, object]]:
        interval = stream.interval
        assert interval is not None  # A stream of klines is made with its interval.
        late_ns = 0 if self.market == "spot" else CLOSE_LATE_NS
        open_ns = interval.open_of(from_ns - late_ns)
        while (end_ns := interval.next_open(open_ns)) + late_ns <= to_ns:
            yield self._kline(stream, self.scene.bar(stream.symbol, open_ns, end_ns, end_ns - 1), to_ns, closed=True)
            open_ns = end_ns
        if end_ns <= to_ns:  # The next bar is not spoken of before this one's end has been said.
            return
        moved = self.market == "spot" or (
            self.scene.last_ids(stream.symbol, from_ns) != self.scene.last_ids(stream.symbol, to_ns)
        )
        if moved:
            yield self._kline(stream, self.scene.bar(stream.symbol, open_ns, end_ns, to_ns), to_ns, closed=False)

    def _kline(self, stream: Stream, bar: Bar, now_ns: int, *, closed: bool) -> dict[str, object]:
        text = self.text
        return self._head(stream, "kline", now_ns) | {
            "k": {
                "t": _time(stream, bar.open_ns),
                "T": _time(stream, bar.end_ns) - 1,
                "s": stream.symbol,
                "i": stream.interval,
                "f": bar.first_fill,
                "L": bar.last_fill,
                "o": text(bar.open),
                "c": text(bar.close),
                "h": text(bar.high),
                "l": text(bar.low),
                "v": text(bar.volume),
                "n": bar.fills,
                "x": closed,
                "q": text(bar.counter),
                "V": text(bar.taker_volume),
                "Q": text(bar.taker_counter),
                "B": "0",
            }
        }

    def _top(self, stream: Stream, from_ns: int, to_ns: int) -> Iterable[dict[str, object]]:
        before, book = (self.scene.book(stream.symbol, 1, instant_ns) for instant_ns in (from_ns, to_ns))
        if (before.bids, before.asks) == (book.bids, book.asks):
            return
        (bid, bid_size), (ask, ask_size) = book.bids[0], book.asks[0]
        top: dict[str, object] = {
            "u": book.update_id,
            "s": stream.symbol,
            "b": self.text(bid),
            "B": self.text(bid_size),
            "a": self.text(ask),
            "A": self.text(ask_size),
        }
        if self.market != "spot":
            kind = {"st": 1 if self.market == "usdm" else 2, "ps": self.listing(stream.symbol).pair}
            times = {"T": _time(stream, book.time_ns), "E": _time(stream, to_ns)}
            top = {"e": "bookTicker"} | top | kind | times
        yield top

    def _ticker(self, stream: Stream, _from_ns: int, to_ns: int) -> Iterable[dict[str, object]]:
        text = self.text
        bar = self.scene.bar(stream.symbol, to_ns - _DAY_NS, to_ns + 1, to_ns)
        mini = stream.kind == "miniTicker"
        event = self._head(stream, "24hrMiniTicker" if mini else "24hrTicker", to_ns)
        if self.market == "coinm":
            event["ps"] = self.listing(stream.symbol).pair
        event |= {
            "c": text(bar.close),
            "o": text(bar.open),
            "h": text(bar.high),
            "l": text(bar.low),
            "v": text(bar.volume),
            "q": text(bar.counter),
        }
        if not mini:
            change, percent, mean = self.day(stream.symbol, bar)
            last = self.scene.fills_from(stream.symbol, bar.last_fill, 1, to_ns) if bar.fills else []
            event |= {"p": change, "P": percent, "w": mean, "Q": text(last[0].quantity if last else Decimal(0))}
            event |= {"O": _time(stream, bar.open_ns), "C": _time(stream, to_ns)}
            event |= {"F": bar.first_fill, "L": bar.last_fill, "n": bar.fills}
            if self.market == "spot":
                book = self.scene.book(stream.symbol, 1, to_ns)
                event |= {"x": text(bar.open), "b": text(book.bids[0][0]), "B": text(book.bids[0][1])}
                event |= {"a": text(book.asks[0][0]), "A": text(book.asks[0][1])}
        yield event

    def _depth(self, stream: Stream, from_ns: int, to_ns: int) -> Iterable[dict[str, object]]:
        change = self.scene.book_change(stream.symbol, from_ns, to_ns)
        if change is None:
            return
        bids, asks = change.bids, change.asks
        if stream.levels:
            book = self.scene.book(stream.symbol, stream.levels, to_ns)
            bids, asks = book.bids, book.asks
            if self.market == "spot":
                yield {"lastUpdateId": book.update_id, "bids": self.levels(bids), "asks": self.levels(asks)}
                return
        event = self._head(stream, "depthUpdate", to_ns)
        if self.market != "spot":
            event |= {"ps": self.listing(stream.symbol).pair, "T": _time(stream, change.time_ns)}
        event |= {"U": change.first_id, "u": change.last_id}
        if self.market != "spot":
            event["pu"] = change.previous_id
        yield event | {"b": self.levels(bids), "a": self.levels(asks)}

    def _mark(self, stream: Stream, _from_ns: int, to_ns: int) -> Iterable[dict[str, object]]:
        price = self.text(self.scene.bar(stream.symbol, to_ns, to_ns + 1, to_ns).close)
        event = self._head(stream, "markPriceUpdate", to_ns) | {"p": price, "P": price}
        if self.listing(stream.symbol).expiry_ns is None:
            event |= {"i": price, "r": "0.00010000", "T": (to_ns // _HOLD_NS + 1) * _HOLD_NS // NS_PER_MS}
        yield event

    def listing(self, symbol: str) -> Listing:
        """Return the instrument of that symbol."""
        return self.scene.listings[symbol]

    def text(self, amount: Decimal) -> str:
        """Render an amount as this market does: spot with eight decimals, futures with the instrument's own."""
        return f"{amount:.8f}" if self.market == "spot" else f"{amount:f}"

    def levels(self, levels: tuple[Level, ...]) -> list[tuple[str, str]]:
        """Render one side of a book."""
        text = self.text
        return [(text(price), text(quantity)) for price, quantity in levels]

    def day(self, symbol: str, bar: Bar) -> tuple[str, str, str]:
        """Return a day's price change, the same in per cent, and its mean price weighted by volume."""
        change = bar.close - bar.open
        mean = bar.close
        if bar.volume and bar.counter:
            mean = bar.counter / bar.volume
            if self.market == "coinm":  # What is summed is contracts, and their worth in base.
                mean = bar.volume * (self.listing(symbol).contract_size or 1) / bar.counter
        return self.text(change), f"{change / bar.open * 100:.3f}", f"{mean:.8f}"


def _time(stream: Stream, instant_ns: int) -> int:
    return instant_ns // (NS_PER_US if stream.micros else NS_PER_MS)


def _is_id(ident: object) -> bool:
    if isinstance(ident, str):
        return len(ident) <= 36 and ident.isascii()
    return ident is None or (isinstance(ident, int) and not isinstance(ident, bool) and -(2**63) <= ident < 2**63)


def _result(result: object, ident: object) -> Reply:
    return Reply((_encode({"result": result, "id": ident}),))


def _refusal(code: int, reason: str, ident: object, *, close: bool = False) -> Reply:
    # The documentation shows code and msg at the top; what servers send, as clients' sources agree, is nested.
    return Reply((_encode({"error": {"code": code, "msg": reason}, "id": ident}),), 1008 if close else None)
