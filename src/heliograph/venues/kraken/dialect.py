"""The server's half of Kraken's public WebSocket v2: what a simulated Kraken hears and says on a socket.

Written from the documentation, and from nothing else in this folder, so that our codec meets a second reading of it.
The REST half is in `dialect_rest`, what a book's frames and its checksum are in `dialect_books`.

What the documentation leaves open: only one interval of candles an instrument and connection, and the words that refuse
a second, were seen by many (undocumented, seen 2026-07-04); so were the words that refuse a symbol (2026-01-29:
https://github.com/nautechsystems/nautilus_trader/issues/3509 ). The words that refuse all else are ours. How many
messages a second are too many "varies with the load"; here it is `MESSAGES_MAX`. Heartbeats are sent each second to a
connection with a subscription; the venue leaves them out while there is other traffic. A candle in which nothing was
traded is not told by the stream.

Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ohlc
Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ticker
Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/trade
Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/book
Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/status
Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/heartbeat
Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ping
"""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.venues.dialect import Ask, Manners, Reply
from heliograph.venues.kraken.dialect_books import changed, checksum, levels, number, places
from heliograph.venues.scene import Bar, Fill, Scene

_encode: Final = msgspec.json.Encoder().encode

PATH: Final = "/v2"
INTERVALS: Final = (1, 5, 15, 30, 60, 240, 1_440, 10_080, 21_600)
"""Minutes of a candle. All are counted from 1970 here; from when the longest are is not documented."""
DEPTHS: Final = (10, 25, 100, 500, 1_000)
TRADES_TOLD: Final = 50
"""Trades of a snapshot."""
CANDLES_TOLD: Final = 2
"""Candles of a snapshot: the documentation shows two, and says no number."""
MESSAGES_MAX: Final = 50
"""Requests of one connection in a second."""

_MINUTE_NS: Final = 60 * NS_PER_S
_DAY_NS: Final = 86_400 * NS_PER_S
_CHANNELS: Final = ("ticker", "book", "ohlc", "trade")
_TRIGGERS: Final = ("trades", "bbo")

# About 150 attempts in any 10 minutes, and about a minute without any activity:
# https://docs.kraken.com/exchange/api-reference/spot-websocket (connection details).
_MANNERS: Final = Manners(150, 600.0, silence_s=60)


class Stream(msgspec.Struct, frozen=True):
    """One channel of one instrument, with its parameters."""

    kind: str
    symbol: str
    parameter: int = 0
    """The interval of candles, or the depth of a book."""
    trigger: str = ""
    snapshot: bool = True

    @property
    def name(self) -> str:
        """The channel and the instrument."""
        return f"{self.kind}:{self.symbol}"

    @property
    def cadence_ns(self) -> int:
        """Time between two frames, in the market's time; 0 for as it happens."""
        return NS_PER_S if self.kind == "heartbeat" else NS_PER_S // 10 if self.kind == "book" else 0


HEARTBEAT: Final = Stream("heartbeat", "")


class Session:
    """One client's socket.

    Args:
        dialect: what it is connected to.
        number: the connection's number.

    """

    combined = False

    def __init__(self, dialect: "Dialect", number: int) -> None:
        self._dialect = dialect
        self._number = number
        self._heard_s: deque[float] = deque()
        self.streams: dict[str, Stream] = {}

    def hears(self, _stream: Stream) -> bool:
        """Say yes: whatever was acknowledged is sent."""
        return True

    def farewell(self, _now_ns: int) -> bytes | None:
        """Return nothing: no notice of a close is documented."""
        return None

    def greeting(self, _now_ns: int) -> tuple[bytes, ...]:
        """Return the status, which every connection is told first."""
        status = {"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": self._number}
        return (_encode({"channel": "status", "type": "update", "data": [status]}),)

    def received(self, text: str, now_ns: int = 0, now_s: float = 0.0) -> Reply:
        """Answer one text frame of the client."""
        while self._heard_s and now_s - self._heard_s[0] >= 1:
            self._heard_s.popleft()
        if len(self._heard_s) >= MESSAGES_MAX:
            return Reply((_encode({"Error": "Exceeded msg rate"}),))
        self._heard_s.append(now_s)
        try:
            message = msgspec.json.decode(text)
        except msgspec.DecodeError:
            message = None
        if not isinstance(message, dict):
            return Reply((_encode({"error": "Malformed request", "success": False} | _times(now_ns)),))
        method, ident = message.get("method"), message.get("req_id")
        if ident is not None and (not isinstance(ident, int) or isinstance(ident, bool)):
            return _refused(method, None, now_ns, "Field 'req_id' must be an integer")
        if method == "ping":
            return Reply((_encode({"method": "pong"} | _ident(ident) | _times(now_ns)),))
        if method not in ("subscribe", "unsubscribe"):
            return _refused(method, ident, now_ns, "Unsupported method")
        params = message.get("params")
        if not isinstance(params, dict) or params.get("channel") not in _CHANNELS:
            return _refused(method, ident, now_ns, "Unsupported channel")
        symbols = params.get("symbol")
        if not isinstance(symbols, list) or not symbols:
            return _refused(method, ident, now_ns, "Field 'symbol' must be a list of symbols")
        answers = tuple(self._ordered(method, params, symbol, ident, now_ns) for symbol in symbols)
        return Reply(answers)

    def _ordered(self, method: str, params: dict[str, Any], symbol: object, ident: object, now_ns: int) -> bytes:
        if not isinstance(symbol, str) or not self._dialect.lists(symbol):
            return _no(method, ident, now_ns, f"Currency pair not supported {symbol}", symbol=symbol)
        stream = _stream(params, symbol)
        if isinstance(stream, str):
            return _no(method, ident, now_ns, stream, symbol=symbol)
        carried = self.streams.get(stream.name)
        if method == "unsubscribe":
            if carried is None or carried.parameter != stream.parameter:
                return _no(method, ident, now_ns, "Subscription Not Found", symbol=symbol)
            del self.streams[stream.name]
            if not any(other is not HEARTBEAT for other in self.streams.values()):
                self.streams.pop(HEARTBEAT.name, None)
        elif carried is not None:
            words = (
                "Already subscribed to one ohlc interval on this symbol"
                if stream.kind == "ohlc"
                else f"Already subscribed to {stream.kind} on this symbol"
            )
            return _no(method, ident, now_ns, words, symbol=symbol)
        else:
            self.streams.setdefault(HEARTBEAT.name, HEARTBEAT)
            self.streams[stream.name] = stream
        result = {"channel": stream.kind, "symbol": symbol} | _told(stream)
        if method == "subscribe":
            result["snapshot"] = stream.snapshot
        answer = {"method": method, "result": result, "success": True}
        return _encode(answer | _times(now_ns) | _ident(ident))


class Dialect:
    """What Kraken says, given what happens at its market.

    Args:
        markets: what happens there; one market.

    """

    def __init__(self, markets: Mapping[MarketId, Scene]) -> None:
        self.markets = markets
        self.manners = _MANNERS
        ((self._market, self.scene),) = markets.items()
        self._sessions = 0

    def market_of(self, _symbol: str) -> MarketId:
        """Return the one market that there is."""
        return self._market

    def lists(self, symbol: str) -> bool:
        """Say whether there is such a pair."""
        return symbol in self.scene.listings

    def session(self, ask: Ask) -> Session | None:
        """Open a session at a URL's path; None where there is no such place."""
        if ask.path != PATH:
            return None
        self._sessions += 1
        return Session(self, 13_834_774_380_200_000_000 + self._sessions)

    def wrapped(self, _name: str, payload: bytes) -> bytes:
        """Return the frame as it is: it names its channel itself."""
        return payload

    def opening(self, stream: Stream, now_ns: int) -> list[bytes]:
        """Return what a client that has just subscribed is told at once: how things stand, if it wants a snapshot."""
        if not stream.snapshot or stream.kind == "heartbeat":
            return []
        symbol = stream.symbol
        if stream.kind == "ohlc":
            return self._candles(stream, self._opening_candles(stream, now_ns), "snapshot", now_ns)
        if stream.kind == "ticker":
            return [_push("ticker", "snapshot", [self.ticker(symbol, now_ns)])]
        if stream.kind == "trade":
            last = self.scene.last_ids(symbol, now_ns)[1]
            first = max(1, last - TRADES_TOLD + 1)
            fills = self.scene.fills_from(symbol, first, last - first + 1, now_ns) if last else []
            return [_push("trade", "snapshot", [self.trade(symbol, fill) for fill in fills])]
        book = self.scene.book(symbol, stream.parameter, now_ns)
        return [self._book(stream, book.bids, book.asks, now_ns, "snapshot")]

    def frames(self, stream: Stream, from_ns: int, to_ns: int) -> list[bytes]:
        """Return what a stream has to say about the time after `from_ns`, up to and including `to_ns`."""
        if stream.kind == "heartbeat":
            return [_encode({"channel": "heartbeat"})] if from_ns // NS_PER_S != to_ns // NS_PER_S else []
        symbol = stream.symbol
        if stream.kind == "book":
            before, after = (self.scene.book(symbol, stream.parameter, instant_ns) for instant_ns in (from_ns, to_ns))
            bids, asks = changed(before.bids, after.bids, falling=True), changed(before.asks, after.asks, falling=False)
            return [self._book(stream, bids, asks, to_ns, "update")] if bids or asks else []
        if stream.kind == "ticker":
            return self._tickers(stream, from_ns, to_ns)
        fills = self.scene.fills(symbol, from_ns, to_ns)
        if stream.kind == "trade":
            groups: dict[int, list[Fill]] = {}
            for fill in fills:
                groups.setdefault(fill.time_ns, []).append(fill)
            return [_push("trade", "update", [self.trade(symbol, fill) for fill in group]) for group in groups.values()]
        length_ns = stream.parameter * _MINUTE_NS
        opens = dict.fromkeys(fill.time_ns // length_ns * length_ns for fill in fills)
        bars = [self.scene.bar(symbol, open_ns, open_ns + length_ns, to_ns) for open_ns in opens]
        return [frame for bar in bars for frame in self._candles(stream, [bar], "update", min(to_ns, bar.end_ns - 1))]

    def trade(self, symbol: str, fill: Fill) -> dict[str, object]:
        """Render a trade."""
        price_places, quantity_places = self._places(symbol)
        return {
            "symbol": symbol,
            "side": "buy" if fill.taker_buys else "sell",
            "price": number(fill.price, price_places),
            "qty": number(fill.quantity, quantity_places),
            "ord_type": "limit" if fill.id % 3 else "market",
            "trade_id": fill.id,
            "timestamp": micro(fill.time_ns),
        }

    def ticker(self, symbol: str, now_ns: int) -> dict[str, object]:
        """Render the last day of an instrument, and the best bid and ask."""
        price_places, quantity_places = self._places(symbol)
        bar = self.scene.bar(symbol, now_ns - _DAY_NS, now_ns + 1, now_ns)
        book = self.scene.book(symbol, 1, now_ns)
        (bid, bid_size), (ask, ask_size) = book.bids[0], book.asks[0]
        change = bar.close - bar.open
        return {
            "symbol": symbol,
            "bid": number(bid, price_places),
            "bid_qty": number(bid_size, quantity_places),
            "ask": number(ask, price_places),
            "ask_qty": number(ask_size, quantity_places),
            "last": number(bar.close, price_places),
            "volume": number(bar.volume, quantity_places),
            "vwap": number(vwap(bar), price_places),
            "low": number(bar.low, price_places),
            "high": number(bar.high, price_places),
            "change": number(change, price_places),
            "change_pct": number(change / bar.open * 100, 2),
            "timestamp": micro(now_ns),
        }

    def _places(self, symbol: str) -> tuple[int, int]:
        return places(self.scene.listings[symbol])

    def _book(
        self,
        stream: Stream,
        bids: Sequence[tuple[Decimal, Decimal]],
        asks: Sequence[tuple[Decimal, Decimal]],
        now_ns: int,
        kind: str,
    ) -> bytes:
        listing = self.scene.listings[stream.symbol]
        content = {
            "symbol": stream.symbol,
            "bids": levels(listing, bids),
            "asks": levels(listing, asks),
            "checksum": checksum(listing, self.scene.book(stream.symbol, 10, now_ns)),
            "timestamp": micro(now_ns),
        }
        return _push("book", kind, [content])

    def _tickers(self, stream: Stream, from_ns: int, to_ns: int) -> list[bytes]:
        traded = self.scene.last_ids(stream.symbol, from_ns) != self.scene.last_ids(stream.symbol, to_ns)
        if stream.trigger == "bbo":
            before, after = (self.scene.book(stream.symbol, 1, instant_ns) for instant_ns in (from_ns, to_ns))
            traded = (before.bids, before.asks) != (after.bids, after.asks)
        return [_push("ticker", "update", [self.ticker(stream.symbol, to_ns)])] if traded else []

    def _opening_candles(self, stream: Stream, now_ns: int) -> list[Bar]:
        """Return the newest candles in which something was traded, the live one among them if it was in that."""
        length_ns = stream.parameter * _MINUTE_NS
        listed_ns = self.scene.listings[stream.symbol].listed_ns
        open_ns = now_ns // length_ns * length_ns
        found: list[Bar] = []
        while len(found) < CANDLES_TOLD and open_ns + length_ns > listed_ns:
            bar = self.scene.bar(stream.symbol, open_ns, open_ns + length_ns, now_ns)
            if bar.fills:
                found.append(bar)
            open_ns -= length_ns
        return found[::-1]

    def _candles(self, stream: Stream, bars: Sequence[Bar], kind: str, now_ns: int) -> list[bytes]:
        price_places, quantity_places = self._places(stream.symbol)
        rows = [
            {
                "symbol": stream.symbol,
                "open": number(bar.open, price_places),
                "high": number(bar.high, price_places),
                "low": number(bar.low, price_places),
                "close": number(bar.close, price_places),
                "trades": bar.fills,
                "volume": number(bar.volume, quantity_places),
                "vwap": number(vwap(bar), price_places),
                "interval_begin": f"{_second(bar.open_ns)}.000000000Z",
                "interval": stream.parameter,
                "timestamp": micro(bar.end_ns),
            }
            for bar in bars
        ]
        stamp = f"{_second(now_ns)}.{now_ns % NS_PER_S:09d}Z"
        return [_encode({"channel": "ohlc", "type": kind, "timestamp": stamp, "data": rows})]


def vwap(bar: Bar) -> Decimal:
    """Return the average price of a bar, its close where nothing was traded."""
    return bar.counter / bar.volume if bar.volume else bar.close


def micro(instant_ns: int) -> str:
    """Write an instant as RFC 3339 has it, in microseconds."""
    return f"{_second(instant_ns)}.{instant_ns % NS_PER_S // 1000:06d}Z"


def _second(instant_ns: int) -> str:
    return datetime.fromtimestamp(instant_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _stream(params: dict[str, Any], symbol: str) -> Stream | str:
    """Understand a subscription's parameters, or say what is wrong with them."""
    channel = params["channel"]
    # The snapshot of trades is the only one that must be asked for: the page of the channel says so since 2026.
    snapshot = params.get("snapshot", channel != "trade")
    if not isinstance(snapshot, bool):
        return "Field 'snapshot' must be a boolean"
    parameter, trigger = 0, ""
    if channel == "ohlc":
        parameter = params.get("interval", 1)
        if isinstance(parameter, bool) or parameter not in INTERVALS:
            return "Subscription ohlc interval not supported"
    elif channel == "book":
        parameter = params.get("depth", 10)
        if isinstance(parameter, bool) or parameter not in DEPTHS:
            return "Subscription depth not supported"
    elif channel == "ticker":
        trigger = params.get("event_trigger", "trades")
        if trigger not in _TRIGGERS:
            return "Subscription event_trigger not supported"
    return Stream(channel, symbol, parameter, trigger, snapshot)


def _told(stream: Stream) -> dict[str, object]:
    """Return the parameters that an acknowledgement repeats."""
    match stream.kind:
        case "ohlc":
            return {"interval": stream.parameter}
        case "book":
            return {"depth": stream.parameter}
        case "ticker":
            return {"event_trigger": stream.trigger}
    return {}


def _times(now_ns: int) -> dict[str, object]:
    return {"time_in": micro(now_ns), "time_out": micro(now_ns)}


def _ident(ident: object) -> dict[str, object]:
    return {} if ident is None else {"req_id": ident}


def _no(method: object, ident: object, now_ns: int, words: str, **more: object) -> bytes:
    return _encode({"error": words, "method": method, "success": False} | more | _times(now_ns) | _ident(ident))


def _refused(method: object, ident: object, now_ns: int, words: str) -> Reply:
    return Reply((_no(method, ident, now_ns, words),))


def _push(channel: str, kind: str, data: list[Any]) -> bytes:
    return _encode({"channel": channel, "type": kind, "data": data})
