"""The server's half of OKX's public WebSocket channels: what a simulated OKX hears and says on a socket.

Written from the documentation, and from nothing else in this folder, so that our codec meets a second reading of it.
The REST half is in `dialect_rest`.

Source: https://www.okx.com/docs-v5/en/#overview-websocket
Source: https://www.okx.com/docs-v5/en/#order-book-trading-market-data
Source: https://www.okx.com/docs-v5/en/#error-code-websocket-public
"""

import re
from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import Kind, MarketId
from heliograph.model.interval import Interval
from heliograph.venues.dialect import Ask, Manners, Reply
from heliograph.venues.scene import Bar, Fill, Level, Listing, Scene

_encode: Final = msgspec.json.Encoder().encode
_DAY_NS: Final = 86_400 * NS_PER_S
_HONG_KONG_NS: Final = 8 * 3600 * NS_PER_S

REQUESTS_MAX: Final = 480
"""Control requests that one connection may make in an hour."""

DEPTH_MAX: Final = 400

INST_TYPES: Final = {Kind.SPOT: "SPOT", Kind.PERPETUAL: "SWAP", Kind.FUTURE: "FUTURES", Kind.OPTION: "OPTION"}

_MANNERS: Final = Manners(3, 1.0, silence_s=30, silence_code=4004, silence_reason="No data received in 30s")
_IDENT: Final = re.compile(r"[A-Za-z0-9]{1,32}")
_BOOKS: Final = {"bbo-tbt": 1, "books5": 5}
_ELITE: Final = ("books-l2-tbt", "books50-l2-tbt")
"""Channels for accounts of a high fee tier, which an unknown visitor is not."""

_STILL_ALIVE_NS: Final = 60 * NS_PER_S


class Grid(msgspec.Struct, frozen=True):
    """Where the candles of one bar size open: on UTC's grid, or on Hong Kong's."""

    interval: Interval
    shift_ns: int

    def open_of(self, instant_ns: int) -> int:
        """Return the open time of the candle that an instant falls into."""
        return self.interval.open_of(instant_ns + self.shift_ns) - self.shift_ns

    def next_open(self, open_ns: int) -> int:
        """Return the open time of the candle after the one that opens then."""
        return self.interval.next_open(open_ns + self.shift_ns) - self.shift_ns


def _grids() -> dict[str, Grid]:
    short = (Interval.S1, Interval.M1, Interval.M3, Interval.M5, Interval.M15, Interval.M30)
    grids = {str(interval): Grid(interval, 0) for interval in short}
    grids |= {str(interval).upper(): Grid(interval, 0) for interval in (Interval.H1, Interval.H2, Interval.H4)}
    for interval in (Interval.H6, Interval.H12, Interval.D1, Interval.D2, Interval.D3, Interval.W1):
        name = str(interval).upper()
        grids |= {name: Grid(interval, _HONG_KONG_NS), f"{name}utc": Grid(interval, 0)}
    for interval in (Interval.MO1, Interval.MO3):
        grids |= {str(interval): Grid(interval, _HONG_KONG_NS), f"{interval}utc": Grid(interval, 0)}
    return grids


GRIDS: Final[Mapping[str, Grid]] = _grids()
"""Every bar size by its name. On which day bars of two and three days open is not documented; here, the epoch's."""


class Stream(msgspec.Struct, frozen=True):
    """One channel of one instrument."""

    channel: str
    kind: str
    symbol: str
    cadence_ns: int = 0
    """Time between two frames, in the market's time; 0 for as it happens."""
    grid: Grid | None = None

    @property
    def name(self) -> str:
        """The channel and the instrument."""
        return f"{self.channel}:{self.symbol}"


class Session:
    """One client's socket: what it has subscribed to.

    Args:
        dialect: what it is connected to.
        endpoint: the end of the path: `public` or `business`.
        conn_id: how messages name the connection.

    """

    combined = False

    def __init__(self, dialect: "Dialect", endpoint: str, conn_id: str) -> None:
        self._dialect = dialect
        self._endpoint = endpoint
        self._conn_id = conn_id
        self._requested_s: deque[float] = deque()
        self.streams: dict[str, Stream] = {}

    def hears(self, _stream: Stream) -> bool:
        """Say yes: whatever was acknowledged is sent."""
        return True

    def farewell(self, _now_ns: int) -> bytes | None:
        """Return the notice of an upgrade, which business connections are not given.

        Source: https://www.okx.com/docs-v5/en/#overview-websocket-notification
        """
        if self._endpoint == "business":
            return None
        reason = "The connection will soon be closed for a service upgrade. Please reconnect."
        return _encode({"event": "notice", "code": "64008", "msg": reason, "connId": self._conn_id})

    def greeting(self, _now_ns: int) -> tuple[bytes, ...]:
        """Return nothing: OKX waits to be spoken to."""
        return ()

    def received(self, text: str, _now_ns: int = 0, now_s: float = 0.0) -> Reply:
        """Answer one text frame of the client."""
        if text == "ping":
            return Reply((b"pong",))
        try:
            message = msgspec.json.decode(text)
        except msgspec.DecodeError:
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("op"), str):
            return self._error("60012", f"Invalid request: {text}", None)
        ident, op, args = message.get("id"), message["op"], message.get("args")
        if ident is not None and not (isinstance(ident, str) and _IDENT.fullmatch(ident)):
            return self._error("60033", "Parameter id error.", None)
        if op == "login":
            reason = (
                "The current operation is not supported by this URL. "
                "Please use the correct WebSocket URL for the operation."
            )
            return self._error("60028", reason, ident)
        if op not in ("subscribe", "unsubscribe"):
            return self._error("60019", f"Invalid op: {op}", ident)
        if not isinstance(args, list):
            return self._error("60012", f"Invalid request: {text}", ident)
        if not args:
            return self._error("60013", "Invalid args", ident)
        while self._requested_s and now_s - self._requested_s[0] >= 3600:
            self._requested_s.popleft()
        if len(self._requested_s) >= REQUESTS_MAX:
            return self._error("60014", "Requests too frequent", ident)
        self._requested_s.append(now_s)
        # Whether one bad argument spoils the others is not documented; here it does not.
        return Reply(tuple(self._ordered(op, arg, ident) for arg in args))

    def _ordered(self, op: str, arg: object, ident: object) -> bytes:
        if not isinstance(arg, dict):
            return self._event("error", ident, code="60013", msg="Invalid args")
        channel, symbol = arg.get("channel"), arg.get("instId")
        if not isinstance(channel, str) or not isinstance(symbol, str):
            return self._event("error", ident, code="60013", msg="Invalid args")
        if channel in _ELITE and self._endpoint == "public":
            return self._event("error", ident, code="60011", msg="Please log in")
        stream = self._dialect.stream(self._endpoint, channel, symbol)
        if stream is None:
            reason = (
                f"Wrong URL or channel:{channel},instId:{symbol} doesn't exist. "
                "Please use the correct URL, channel and parameters referring to API document."
            )
            return self._event("error", ident, code="60018", msg=reason)
        if op == "subscribe":
            self.streams[stream.name] = stream
        else:
            self.streams.pop(stream.name, None)
        return self._event(op, ident, arg={"channel": channel, "instId": symbol})

    def _error(self, code: str, reason: str, ident: object) -> Reply:
        return Reply((self._event("error", ident, code=code, msg=reason),))

    def _event(self, event: str, ident: object, **content: object) -> bytes:
        head = {} if ident is None else {"id": ident}
        return _encode(head | {"event": event} | content | {"connId": self._conn_id})


class Dialect:
    """What OKX says, given what happens at its markets.

    Args:
        markets: what happens there.

    """

    def __init__(self, markets: Mapping[MarketId, Scene]) -> None:
        self.markets = markets
        self.manners = _MANNERS
        self._places = {symbol: market for market, scene in markets.items() for symbol in scene.listings}
        self._sessions = 0

    def market_of(self, symbol: str) -> MarketId:
        """Return the market of an instrument, or the first one where there is no such instrument."""
        return self._places.get(symbol) or next(iter(self.markets))

    def scene_of(self, symbol: str) -> Scene | None:
        """Return what happens at the market of an instrument; None where there is no such instrument."""
        market = self._places.get(symbol)
        return None if market is None else self.markets[market]

    def session(self, ask: Ask) -> Session | None:
        """Open a session at a URL's path; None where there is no such place, the private one included."""
        endpoint = ask.path.removeprefix("/ws/v5/")
        if ask.path == endpoint or endpoint not in ("public", "business"):
            return None
        self._sessions += 1
        return Session(self, endpoint, f"{self._sessions:08x}")

    def stream(self, endpoint: str, channel: str, symbol: str) -> Stream | None:
        """Understand a channel of an instrument; None where that endpoint has no such."""
        if symbol not in self._places:
            return None
        if endpoint == "business":
            if channel == "trades-all":
                return Stream(channel, channel, symbol)
            grid = GRIDS.get(channel.removeprefix("candle")) if channel.startswith("candle") else None
            return None if grid is None else Stream(channel, "candle", symbol, NS_PER_S, grid)
        cadences_ns = {
            "tickers": 100 * NS_PER_MS,
            "trades": 0,
            "books": 100 * NS_PER_MS,
            "books5": 100 * NS_PER_MS,
            "bbo-tbt": 10 * NS_PER_MS,
        }
        return Stream(channel, channel, symbol, cadences_ns[channel]) if channel in cadences_ns else None

    def wrapped(self, _name: str, payload: bytes) -> bytes:
        """Return the frame as it is: it names its channel itself."""
        return payload

    def opening(self, stream: Stream, now_ns: int) -> list[bytes]:
        """Return what a client that has just subscribed is told at once: how things stand, except of trades."""
        scene = self.markets[self._places[stream.symbol]]
        if stream.grid is not None:
            open_ns = stream.grid.open_of(now_ns)
            bar = scene.bar(stream.symbol, open_ns, stream.grid.next_open(open_ns), now_ns)
            return [_push(stream, self.row(stream.symbol, bar, closed=False))]
        if stream.channel == "tickers":
            return [_push(stream, self.ticker(stream.symbol, now_ns))]
        if stream.channel == "books":
            book = scene.book(stream.symbol, DEPTH_MAX, now_ns)
            content = self._delta(stream, book.bids, book.asks, book.time_ns, -1, book.update_id)
            return [_push(stream, content, "snapshot")]
        if stream.channel in _BOOKS:
            return [self._top(stream, scene, now_ns)]
        return []

    def frames(self, stream: Stream, from_ns: int, to_ns: int) -> list[bytes]:
        """Return what a stream has to say about the time after `from_ns`, up to and including `to_ns`."""
        scene = self.markets[self._places[stream.symbol]]
        if stream.grid is not None:
            return list(self._candles(stream, stream.grid, scene, from_ns, to_ns))
        if stream.channel == "tickers":
            return list(self._tickers(stream, scene, from_ns, to_ns))
        if stream.channel == "trades":
            return list(self._trades(stream, scene, from_ns, to_ns))
        if stream.channel == "trades-all":
            fills = scene.fills(stream.symbol, from_ns, to_ns)
            return [_push(stream, self.trade(stream.symbol, fill)) for fill in fills]
        if stream.channel == "books":
            return list(self._books(stream, scene, from_ns, to_ns))
        levels = _BOOKS[stream.channel]
        before, book = (scene.book(stream.symbol, levels, instant_ns) for instant_ns in (from_ns, to_ns))
        return [] if (before.bids, before.asks) == (book.bids, book.asks) else [self._top(stream, scene, to_ns)]

    def _candles(self, stream: Stream, grid: Grid, scene: Scene, from_ns: int, to_ns: int) -> Iterable[bytes]:
        symbol = stream.symbol
        first_ns = open_ns = grid.open_of(from_ns)
        while (end_ns := grid.next_open(open_ns)) <= to_ns:
            bar = scene.bar(symbol, open_ns, end_ns, end_ns - 1)
            yield _push(stream, self.row(symbol, bar, closed=True))
            open_ns = end_ns
        if open_ns != first_ns or scene.last_ids(symbol, from_ns) != scene.last_ids(symbol, to_ns):
            yield _push(stream, self.row(symbol, scene.bar(symbol, open_ns, end_ns, to_ns), closed=False))

    def _tickers(self, stream: Stream, scene: Scene, from_ns: int, to_ns: int) -> Iterable[bytes]:
        symbol = stream.symbol
        before, book = (scene.book(symbol, 1, instant_ns) for instant_ns in (from_ns, to_ns))
        moved = (before.bids, before.asks) != (book.bids, book.asks)
        if moved or scene.last_ids(symbol, from_ns) != scene.last_ids(symbol, to_ns):
            yield _push(stream, self.ticker(symbol, to_ns))

    def _trades(self, stream: Stream, scene: Scene, from_ns: int, to_ns: int) -> Iterable[bytes]:
        for item in scene.aggregates(stream.symbol, from_ns, to_ns):
            content = {
                "instId": stream.symbol,
                "tradeId": str(item.last_fill),
                "px": f"{item.price:f}",
                "sz": f"{item.quantity:f}",
                "side": "buy" if item.taker_buys else "sell",
                "ts": _ms(item.time_ns),
                "count": str(item.last_fill - item.first_fill + 1),
                "source": "0",
                "seqId": scene.book(stream.symbol, 1, item.time_ns).update_id,
            }
            yield _push(stream, content)

    def _books(self, stream: Stream, scene: Scene, from_ns: int, to_ns: int) -> Iterable[bytes]:
        change = scene.book_change(stream.symbol, from_ns, to_ns)
        if change is not None:
            ids = change.previous_id, change.last_id
            yield _push(stream, self._delta(stream, change.bids, change.asks, change.time_ns, *ids), "update")
        if from_ns // _STILL_ALIVE_NS != to_ns // _STILL_ALIVE_NS:
            # OKX says so after a minute of rest. This world never rests, so it says so each minute nevertheless.
            seq_id = scene.book(stream.symbol, 1, to_ns).update_id
            yield _push(stream, self._delta(stream, (), (), to_ns, seq_id, seq_id), "update")

    def _delta(
        self,
        stream: Stream,
        bids: tuple[Level, ...],
        asks: tuple[Level, ...],
        time_ns: int,
        previous_id: int,
        seq_id: int,
    ) -> dict[str, object]:
        return {
            "asks": self.levels(stream.symbol, asks),
            "bids": self.levels(stream.symbol, bids),
            "ts": _ms(time_ns),
            "checksum": 0,  # Constant since 2026-06-23.
            "prevSeqId": previous_id,
            "seqId": seq_id,
        }

    def _top(self, stream: Stream, scene: Scene, now_ns: int) -> bytes:
        book = scene.book(stream.symbol, _BOOKS[stream.channel], now_ns)
        content: dict[str, object] = {
            "asks": self.levels(stream.symbol, book.asks),
            "bids": self.levels(stream.symbol, book.bids),
        }
        if stream.channel == "books5":
            content["instId"] = stream.symbol
        return _push(stream, content | {"ts": _ms(book.time_ns), "seqId": book.update_id})

    def listing(self, symbol: str) -> Listing:
        """Return the instrument of that symbol.

        Raises:
            KeyError: there is none.

        """
        return self.markets[self._places[symbol]].listings[symbol]

    def volumes(self, symbol: str, bar: Bar) -> tuple[str, str, str]:
        """Render `vol`, `volCcy` and `volCcyQuote`: of spot in base, quote, quote; else in contracts, base, quote."""
        base, quote, contracts = self.listing(symbol).volumes(bar)
        shown = (base, quote, quote) if contracts is None else (contracts, base, quote)
        return f"{shown[0]:f}", f"{shown[1]:f}", f"{shown[2]:f}"

    def row(self, symbol: str, bar: Bar, *, closed: bool) -> tuple[str, ...]:
        """Render a candle."""
        prices = (f"{price:f}" for price in (bar.open, bar.high, bar.low, bar.close))
        return (_ms(bar.open_ns), *prices, *self.volumes(symbol, bar), "1" if closed else "0")

    def trade(self, symbol: str, fill: Fill) -> dict[str, object]:
        """Render a single trade."""
        return {
            "instId": symbol,
            "tradeId": str(fill.id),
            "px": f"{fill.price:f}",
            "sz": f"{fill.quantity:f}",
            "side": "buy" if fill.taker_buys else "sell",
            "source": "0",
            "ts": _ms(fill.time_ns),
        }

    def levels(self, symbol: str, levels: tuple[Level, ...]) -> list[tuple[str, str, str, str]]:
        """Render one side of a book: price, size, a zero of the past, and how many orders there are."""
        lot = self.listing(symbol).lot_size
        return [(f"{price:f}", _trimmed(size), "0", str(min(9, int(size / lot)))) for price, size in levels]

    def ticker(self, symbol: str, now_ns: int) -> dict[str, object]:
        """Render the last day of an instrument."""
        listing, scene = self.listing(symbol), self.markets[self._places[symbol]]
        bar = scene.bar(symbol, now_ns - _DAY_NS, now_ns + 1, now_ns)
        last = scene.fills_from(symbol, bar.last_fill, 1, now_ns) if bar.fills else []
        book = scene.book(symbol, 1, now_ns)
        (bid, bid_size, *_), (ask, ask_size, *_) = (self.levels(symbol, side)[0] for side in (book.bids, book.asks))
        vol, vol_ccy, _ = self.volumes(symbol, bar)
        opens = []
        for shift_ns in (0, _HONG_KONG_NS):
            open_ns = Grid(Interval.D1, shift_ns).open_of(now_ns)
            opens.append(scene.bar(symbol, open_ns, min(open_ns + 60 * NS_PER_S, now_ns + 1), now_ns).open)
        return {
            "instType": INST_TYPES[listing.kind],
            "instId": symbol,
            "last": f"{bar.close:f}",
            "lastSz": f"{last[0].quantity:f}" if last else "0",
            "askPx": ask,
            "askSz": ask_size,
            "bidPx": bid,
            "bidSz": bid_size,
            "open24h": f"{bar.open:f}",
            "high24h": f"{bar.high:f}",
            "low24h": f"{bar.low:f}",
            "sodUtc0": f"{opens[0]:f}",
            "sodUtc8": f"{opens[1]:f}",
            "volCcy24h": vol_ccy,
            "vol24h": vol,
            "ts": _ms(now_ns),
        }


def _ms(instant_ns: int) -> str:
    return str(instant_ns // NS_PER_MS)


def _trimmed(amount: Decimal) -> str:
    # A level that is gone is "0" and not "0.00", and recorded sizes have no zeros at their end.
    return f"{amount.normalize():f}"


def _push(stream: Stream, item: object, action: str | None = None) -> bytes:
    head: dict[str, object] = {"arg": {"channel": stream.channel, "instId": stream.symbol}}
    if action is not None:
        head["action"] = action
    return _encode(head | {"data": [item]})
