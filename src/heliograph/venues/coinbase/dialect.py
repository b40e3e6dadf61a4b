"""The server's half of Coinbase's public Advanced Trade WebSocket: what a simulated Coinbase hears and says on one.

Written from the documentation, and from nothing else in this folder, so that our codec meets a second reading of it.
What the documentation leaves open follows frames that others recorded and published in September 2026; it is said
where. The `status` channel and those of an account are not played. The REST half is `dialect_rest`.

Source: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview
Source: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels
Source: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-rate-limits
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.model.interval import Interval
from heliograph.venues.dialect import Ask, Manners, Reply
from heliograph.venues.scene import Bar, BookChange, Fill, Level, Scene

_encode: Final = msgspec.json.Encoder().encode
_DAY_NS: Final = 86_400 * NS_PER_S

BUCKET: Final = Interval.M5
"""The only length of candles that the socket has."""
REPLAYED: Final = 100
"""How many trades a new subscriber is told again (undocumented, recorded 2023-07-10 and since)."""
DEPTH: Final = 1 << 20
"""Levels of a snapshot: all."""

_BATCH_NS: Final = 250 * NS_PER_MS
_CADENCES_NS: Final = {
    "heartbeats": NS_PER_S,
    "candles": NS_PER_S,
    "ticker": 0,
    "ticker_batch": 5 * NS_PER_S,
    "level2": 100 * NS_PER_MS,  # Not documented; books here change ten times a second.
    "market_trades": _BATCH_NS,
}
_ANSWERS_TO: Final = {"level2": "l2_data"}
"""What frames call their channel, where it is not what subscribers call it."""

_UNNUMBERED: Final = b'"sequence_num":0,'
_NO_SUCH_CHANNEL: Final = "authentication failure"
"""What is said of a channel that does not exist (undocumented, recorded 2026-09-07), as of one that needs a key."""
_NO_MESSAGE: Final = "failed to parse message"
"""In which words this is refused is not documented."""

# Eight connects and eight messages a second are documented. A socket without a subscription is closed after 5 s, which
# is not played; "most channels close within 60-90 seconds if no updates are sent".
_MANNERS: Final = Manners(8, 1.0, messages_per_s=8, silence_s=60)

# Products in USDC are traded in the book of the same coin in USD, and told under that name; these two are not.
_OWN_BOOKS_IN_USDC: Final = ("USDT-USDC", "EURC-USDC")


class Stream(msgspec.Struct, frozen=True):
    """One channel of one product; heartbeats are of none."""

    kind: str
    symbol: str = ""

    @property
    def name(self) -> str:
        """The channel and the product."""
        return f"{self.kind}:{self.symbol}" if self.symbol else self.kind

    @property
    def cadence_ns(self) -> int:
        """Time between two frames, in the market's time."""
        return _CADENCES_NS[self.kind]


class Session:
    """One client's socket: what it has subscribed to, and how many frames it was sent.

    Args:
        dialect: what it is connected to.

    """

    combined = False

    def __init__(self, dialect: "Dialect") -> None:
        self._dialect = dialect
        self._next = 0
        self.streams: dict[str, Stream] = {}

    def hears(self, _stream: Stream) -> bool:
        """Say yes: whatever was acknowledged is sent."""
        return True

    def farewell(self, _now_ns: int) -> bytes | None:
        """Return nothing: no notice of a close is documented."""
        return None

    def greeting(self, _now_ns: int) -> tuple[bytes, ...]:
        """Return nothing: the client speaks first."""
        return ()

    def numbered(self, payload: bytes) -> bytes:
        """Number a frame. All channels of a connection count together, and errors do not (recorded 2026-09-07)."""
        if _UNNUMBERED not in payload:
            return payload
        number, self._next = self._next, self._next + 1
        return payload.replace(_UNNUMBERED, b'"sequence_num":%d,' % number, 1)

    def received(self, text: str, now_ns: int = 0, _now_s: float = 0.0) -> Reply:
        """Answer one text frame of the client."""
        try:
            message = msgspec.json.decode(text)
        except msgspec.DecodeError:
            message = None
        if not isinstance(message, dict) or message.get("type") not in ("subscribe", "unsubscribe"):
            return _error(_NO_MESSAGE)
        channel, products = message.get("channel"), message.get("product_ids") or []
        if not isinstance(channel, str) or channel not in _CADENCES_NS:
            return _error(_NO_SUCH_CHANNEL)
        if not isinstance(products, list) or not all(isinstance(product, str) for product in products):
            return _error(_NO_MESSAGE)
        if message["type"] == "subscribe":
            self._subscribe(channel, products)
        else:
            self._unsubscribe(channel, products)
        # The answer lists all that is subscribed to, and comes after what new subscriptions open with.
        return Reply((framed("subscriptions", now_ns, [{"subscriptions": self._subscribed()}]),), after_data=True)

    def _subscribe(self, channel: str, products: Sequence[str]) -> None:
        """Subscribe. What does not exist is left out of the answer, and not refused (recorded 2026-09-05)."""
        if channel == "heartbeats":
            self.streams[channel] = Stream(channel)
            return
        for product in map(book_of, products):
            if self._dialect.lists(product):
                stream = Stream(channel, product)
                self.streams[stream.name] = stream

    def _unsubscribe(self, channel: str, products: Sequence[str]) -> None:
        left = {Stream(channel, book_of(product)).name for product in products}
        for name, stream in list(self.streams.items()):
            if stream.kind == channel and (name in left or not products or not stream.symbol):
                del self.streams[name]

    def _subscribed(self) -> dict[str, list[str]]:
        told: dict[str, list[str]] = {}
        for stream in sorted(self.streams.values(), key=lambda stream: (stream.kind, stream.symbol)):
            told.setdefault(stream.kind, []).append(stream.symbol or stream.kind)
        return told


class Dialect:
    """What Coinbase says, given what happens at its market.

    Args:
        markets: what happens there.

    """

    def __init__(self, markets: Mapping[MarketId, Scene]) -> None:
        self.markets = markets
        self.manners = _MANNERS
        self._market, self.scene = next(iter(markets.items()))

    def market_of(self, _symbol: str) -> MarketId:
        """Return the one market."""
        return self._market

    def lists(self, symbol: str) -> bool:
        """Say whether there is such a product."""
        return symbol in self.scene.listings

    def session(self, ask: Ask) -> Session | None:
        """Open a session; None where there is no such place."""
        return Session(self) if ask.path in ("", "/") else None

    def wrapped(self, _name: str, payload: bytes) -> bytes:
        """Return the frame as it is: it names its channel itself."""
        return payload

    def opening(self, stream: Stream, now_ns: int) -> list[bytes]:
        """Return the snapshot that a client that has just subscribed is told."""
        symbol, scene = stream.symbol, self.scene
        match stream.kind:
            case "candles":
                candle = self._candle(symbol, now_ns)
                return [self._told(stream, now_ns, "snapshot", candles=[candle])] if candle else []
            case "market_trades":
                last = scene.last_ids(symbol, now_ns)[1]
                fills = scene.fills_from(symbol, max(1, last - REPLAYED + 1), REPLAYED, now_ns)
                return [self._trades(stream, now_ns, "snapshot", fills)] if fills else []
            case "ticker" | "ticker_batch":
                return [self._ticker(stream, now_ns, "snapshot")]
            case "level2":
                book = scene.book(symbol, DEPTH, now_ns)
                # In no order (recorded 2026-09-07): here, by the price's text read backwards.
                levels = _levels(book.bids, book.asks, book.time_ns)
                updates = sorted(levels, key=lambda level: level["price_level"][::-1])
                return [self._book(stream, now_ns, "snapshot", updates)]
        return []

    def frames(self, stream: Stream, from_ns: int, to_ns: int) -> list[bytes]:
        """Return what a stream has to say about the time after `from_ns`, up to and including `to_ns`."""
        symbol, scene = stream.symbol, self.scene
        match stream.kind:
            case "heartbeats":
                first = from_ns // NS_PER_S + 1
                return [self._heartbeat(second * NS_PER_S) for second in range(first, to_ns // NS_PER_S + 1)]
            case "market_trades":
                # A batch is what happened in a quarter of a second, its end included.
                groups = groupby(scene.fills(symbol, from_ns, to_ns), lambda fill: -(-fill.time_ns // _BATCH_NS))
                return [self._trades(stream, end * _BATCH_NS, "update", list(fills)) for end, fills in groups]
            case "level2":
                change = scene.book_change(symbol, from_ns, to_ns)
                return [] if change is None else [self._book(stream, change.time_ns, "update", _changed(change))]
        if scene.last_ids(symbol, from_ns) == scene.last_ids(symbol, to_ns):
            return []
        if stream.kind == "candles":
            # Each second tells how the present bucket stands, and nothing of the one before: what was traded in its
            # last second is not heard here. (Whether it is so at the venue is not documented.)
            candle = self._candle(symbol, to_ns)
            return [self._told(stream, to_ns, "update", candles=[candle])] if candle else []
        return [self._ticker(stream, to_ns, "update")]

    def candle(self, bar: Bar) -> dict[str, str]:
        """Render a candle as both interfaces do; its volume is of the base asset."""
        return {
            "start": str(bar.open_ns // NS_PER_S),
            "high": text(bar.high),
            "low": text(bar.low),
            "open": text(bar.open),
            "close": text(bar.close),
            "volume": text(bar.volume),
        }

    def trade(self, symbol: str, fill: Fill) -> dict[str, str]:
        """Render a trade. Its side is the maker's, and its number counts the trades of its product."""
        return {
            "trade_id": str(fill.id),
            "product_id": symbol,
            "price": text(fill.price),
            "size": text(fill.quantity),
            "time": rfc3339(fill.time_ns),
            "side": "SELL" if fill.taker_buys else "BUY",
        }

    def day(self, symbol: str, now_ns: int) -> Bar:
        """Return the last 24 hours of a product."""
        return self.scene.bar(symbol, now_ns - _DAY_NS, now_ns + 1, now_ns)

    def _candle(self, symbol: str, now_ns: int) -> dict[str, str] | None:
        """Render the present bucket; None where nothing was traded in it."""
        open_ns = BUCKET.open_of(now_ns)
        bar = self.scene.bar(symbol, open_ns, BUCKET.next_open(open_ns), now_ns)
        return self.candle(bar) | {"product_id": symbol} if bar.fills else None

    def _told(self, stream: Stream, now_ns: int, kind: str, **content: object) -> bytes:
        return framed(_ANSWERS_TO.get(stream.kind, stream.kind), now_ns, [{"type": kind, **content}])

    def _trades(self, stream: Stream, now_ns: int, kind: str, fills: Sequence[Fill]) -> bytes:
        """Render trades, the newest first (undocumented, recorded 2025-12-31)."""
        trades = [self.trade(stream.symbol, fill) for fill in reversed(fills)]
        return self._told(stream, now_ns, kind, trades=trades)

    def _book(self, stream: Stream, now_ns: int, kind: str, updates: list[dict[str, str]]) -> bytes:
        return self._told(stream, now_ns, kind, product_id=stream.symbol, updates=updates)

    def _ticker(self, stream: Stream, now_ns: int, kind: str) -> bytes:
        symbol = stream.symbol
        day = self.day(symbol, now_ns)
        ticker = {
            "type": "ticker",
            "product_id": symbol,
            "price": text(day.close),
            "volume_24_h": text(day.volume),
            "low_24_h": text(day.low),
            "high_24_h": text(day.high),
            "low_52_w": text(day.low),
            "high_52_w": text(day.high),
            "price_percent_chg_24_h": percent(day),
        }
        if stream.kind == "ticker":
            book = self.scene.book(symbol, 1, now_ns)
            (bid, bids), (ask, asks) = book.bids[0], book.asks[0]
            ticker |= {"best_bid": text(bid), "best_ask": text(ask)}
            ticker |= {"best_bid_quantity": text(bids), "best_ask_quantity": text(asks)}
        return self._told(stream, now_ns, kind, tickers=[ticker])

    def _heartbeat(self, now_ns: int) -> bytes:
        second = now_ns // NS_PER_S
        current = f"{rfc3339(now_ns)[:-1].replace('T', ' ')} +0000 UTC m=+{second % 10**6}.5"
        return framed("heartbeats", now_ns, [{"current_time": current, "heartbeat_counter": second % 10**6}])


def framed(channel: str, now_ns: int, events: list[dict[str, object]]) -> bytes:
    """Render a frame, of whose number `Session.numbered` knows."""
    return _encode(
        {"channel": channel, "client_id": "", "timestamp": rfc3339(now_ns), "sequence_num": 0, "events": events}
    )


def text(number: Decimal) -> str:
    """Render a number as the venue does: without zeros at its end."""
    whole, _, decimals = f"{number:f}".partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole


def percent(day: Bar) -> str:
    """Render by how much of a hundred the last price is above that of a day ago."""
    return text(((day.close - day.open) * 100 / day.open).quantize(Decimal("1e-14")))


def rfc3339(instant_ns: int) -> str:
    """Render a time in UTC, with as many decimals of a second as it takes."""
    seconds, rest = divmod(instant_ns, NS_PER_S)
    decimals = f"{rest:09}".rstrip("0")
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{decimals}Z" if decimals else f"{moment}Z"


def book_of(product: str) -> str:
    """Return the product under whose name another one's data is told: that in USD, for most that are in USDC."""
    if product.endswith("-USDC") and product not in _OWN_BOOKS_IN_USDC:
        return product.removesuffix("C")
    return product


def _changed(change: BookChange) -> list[dict[str, str]]:
    return _levels(change.bids, change.asks, change.time_ns)


def _levels(bids: Sequence[Level], asks: Sequence[Level], time_ns: int) -> list[dict[str, str]]:
    at = rfc3339(time_ns)
    return [
        {"side": side, "event_time": at, "price_level": text(price), "new_quantity": text(quantity)}
        for side, levels in (("bid", bids), ("offer", asks))
        for price, quantity in levels
    ]


def _error(reason: str) -> Reply:
    return Reply((_encode({"type": "error", "message": reason}),))
