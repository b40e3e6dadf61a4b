"""The server's half of Hyperliquid's public WebSocket: what a simulated Hyperliquid hears and says on a socket.

Written from the documentation, and from nothing else in this folder, so that our codec meets a second reading of it.
What the documentation leaves open follows frames that others recorded and published in 2026; it is said where. The
streams of an account, and requests that are posted over the socket, are not played. The REST half is `dialect_rest`.

Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket
Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions
Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/timeouts-and-heartbeats
Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/rate-limits-and-user-limits
"""

import hashlib
import zlib
from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import groupby
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import Kind, MarketId
from heliograph.model.interval import Interval
from heliograph.venues.dialect import Ask, Manners, Reply
from heliograph.venues.scene import Bar, Fill, Listing, Scene

_encode: Final = msgspec.json.Encoder().encode
_DAY_NS: Final = 86_400 * NS_PER_S

SUBSCRIPTIONS_MAX: Final = 1_000
"""The documented limit is an address's; here it is a connection's."""

MESSAGES_MAX: Final = 2_000
"""Messages that may be sent in a minute; likewise."""

INTERVALS: Final[Mapping[str, Interval]] = {
    str(interval): interval
    for interval in Interval
    if interval not in (Interval.S1, Interval.S10, Interval.H6, Interval.D2, Interval.MO3)
}

DEPTH: Final = 20
_FAST_DEPTH: Final = 5
REPLAYED: Final = 30
"""How many trades a new subscriber is told again (undocumented, recorded 2026-07-28)."""

BLOCK_NS: Final = 100 * NS_PER_MS
_CADENCES_NS: Final = {
    # The documentation says half a second for books; whole ones come ten times as seldom (recorded 2026-10-07).
    "l2Book": 5_400 * NS_PER_MS,
    "bbo": BLOCK_NS,
    "trades": BLOCK_NS,
    "candle": BLOCK_NS,
    "activeAssetCtx": NS_PER_S,
    "allMids": NS_PER_S,
}
_FAST_CADENCE_NS: Final = 540 * NS_PER_MS

_TIDS: Final = 1 << 50
_TID_STEP: Final = 0x2F6E2B1C9A4D7
"""Odd, so that ids of trades, which say nothing of their order, never repeat."""

CUT: Final = 1006
"""The close code that cannot be sent: the connection ends without a word."""

_MANNERS: Final = Manners(30, 60.0, silence_s=60, silence_reason="Inactive", connections_max=10)
_BANNER: Final = b"Websocket connection established."


class Stream(msgspec.Struct, frozen=True):
    """One subscription, as the venue understands it."""

    kind: str
    symbol: str = ""
    """The coin; empty for the mid prices of all."""
    interval: Interval | None = None
    n_sig_figs: int | None = None
    mantissa: int | None = None
    fast: bool = False
    dex: str | None = None

    @property
    def name(self) -> str:
        """The kind, the coin, and whatever else there is to it."""
        details = (self.symbol, self.interval, self.n_sig_figs, self.mantissa, "fast" if self.fast else None, self.dex)
        return ":".join([self.kind, ",".join(str(detail) for detail in details if detail)])

    @property
    def cadence_ns(self) -> int:
        """Time between two frames, in the market's time."""
        return _FAST_CADENCE_NS if self.fast else _CADENCES_NS[self.kind]

    @property
    def echo(self) -> dict[str, object]:
        """The subscription as the venue repeats it: complete, and in an order of its own."""
        if self.kind == "allMids":
            return {"type": self.kind, **({} if self.dex is None else {"dex": self.dex})}
        if self.kind == "candle":
            return {"type": self.kind, "interval": str(self.interval), "coin": self.symbol}
        details: dict[str, object] = {}
        if self.kind == "l2Book":
            details = {"nSigFigs": self.n_sig_figs, "mantissa": self.mantissa, "fast": self.fast}
        return {"type": self.kind, "coin": self.symbol, **details}


class Session:
    """One client's socket: what it has subscribed to.

    Args:
        dialect: what it is connected to.

    """

    combined = False

    def __init__(self, dialect: "Dialect") -> None:
        self._dialect = dialect
        self._heard_s: deque[float] = deque()
        self.streams: dict[str, Stream] = {}

    def hears(self, _stream: Stream) -> bool:
        """Say yes: whatever was acknowledged is sent."""
        return True

    def farewell(self, _now_ns: int) -> bytes | None:
        """Return nothing: no notice of a close is documented."""
        return None

    def greeting(self, _now_ns: int) -> tuple[bytes, ...]:
        """Return the banner, which is no JSON; the vendor's own client expects it."""
        return (_BANNER,)

    def received(self, text: str, _now_ns: int = 0, now_s: float = 0.0) -> Reply:
        """Answer one text frame of the client."""
        while self._heard_s and now_s - self._heard_s[0] >= 60:
            self._heard_s.popleft()
        if len(self._heard_s) >= MESSAGES_MAX:
            return Reply((), CUT)  # What happens is not documented.
        self._heard_s.append(now_s)
        try:
            message = msgspec.json.decode(text)
        except msgspec.DecodeError:
            message = None
        method = message.get("method") if isinstance(message, dict) else None
        if method == "ping":
            return Reply((b'{"channel":"pong"}',))
        stream = None
        if method in ("subscribe", "unsubscribe"):
            stream = _understood(message.get("subscription"))
        if stream is None:
            return _error(f"Error parsing JSON into valid websocket request: {text}")
        return self._ordered(str(method), stream)

    def _ordered(self, method: str, stream: Stream) -> Reply:
        told = _encode(stream.echo).decode()
        if not self._dialect.lists(stream):
            # Not documented; so recorded on 2026-07-28. Every other subscription of the connection goes with it.
            return Reply((), CUT)
        if not groups(stream.n_sig_figs, stream.mantissa):
            return _error(f"Invalid subscription: {told}")
        subscribed = stream.name in self.streams
        if method == "subscribe":
            if subscribed:
                return _error(f"Already subscribed: {told}")
            if len(self.streams) >= SUBSCRIPTIONS_MAX:  # In which words is not documented.
                return _error(f"Cannot track more than {SUBSCRIPTIONS_MAX} total subscriptions.")
            self.streams[stream.name] = stream
        elif self.streams.pop(stream.name, None) is None:
            return _error(f"Already unsubscribed: {told}")
        data = {"method": method, "subscription": stream.echo}
        return Reply((_encode({"channel": "subscriptionResponse", "data": data}),))


class Dialect:
    """What Hyperliquid says, given what happens at its markets.

    Args:
        markets: what happens there.

    """

    def __init__(self, markets: Mapping[MarketId, Scene]) -> None:
        self.markets = markets
        self.manners = _MANNERS
        self._places = {symbol: market for market, scene in markets.items() for symbol in scene.listings}
        self.listings: Mapping[str, Listing] = {
            symbol: listing for scene in markets.values() for symbol, listing in scene.listings.items()
        }
        """Every instrument of both markets; no two have the same name."""

    def market_of(self, symbol: str) -> MarketId:
        """Return the market of an instrument, or the first one where there is no such instrument."""
        return self._places.get(symbol) or next(iter(self.markets))

    def scene_of(self, symbol: str) -> Scene:
        """Return what happens at the market of an instrument.

        Raises:
            KeyError: there is no such instrument.

        """
        return self.markets[self._places[symbol]]

    def perpetuals(self, dex: str) -> list[Listing]:
        """Return what one perpetual exchange lists; the first of them has the empty name."""
        return [
            listing
            for listing in self.listings.values()
            if listing.kind is not Kind.SPOT and listing.symbol.rpartition(":")[0] == dex
        ]

    def spots(self) -> list[Listing]:
        """Return all pairs, by their index."""
        return sorted((listing for listing in self.listings.values() if listing.kind is Kind.SPOT), key=pair_index)

    def lists(self, stream: Stream) -> bool:
        """Say whether there is such a coin, or such an exchange where mid prices are asked for."""
        if stream.kind == "allMids":
            return bool(self.perpetuals(stream.dex or ""))
        return stream.symbol in self._places

    def session(self, ask: Ask) -> Session | None:
        """Open a session; None where there is no such place."""
        return Session(self) if ask.path == "/ws" else None

    def wrapped(self, _name: str, payload: bytes) -> bytes:
        """Return the frame as it is: it names its channel itself."""
        return payload

    def opening(self, stream: Stream, now_ns: int) -> list[bytes]:
        """Return what a client that has just subscribed is told at once: the book, mids, and trades of the past.

        A candle is told when it changes, and not before.
        """
        if stream.kind == "candle":
            return []
        if stream.kind == "trades":
            scene = self.scene_of(stream.symbol)
            last = scene.last_ids(stream.symbol, now_ns)[1]
            fills = scene.fills_from(stream.symbol, max(1, last - REPLAYED + 1), REPLAYED, now_ns)
            return [_push("trades", [self.trade(stream.symbol, fill) for fill in fills])] if fills else []
        return [self._state(stream, now_ns)]

    def frames(self, stream: Stream, from_ns: int, to_ns: int) -> list[bytes]:
        """Return what a stream has to say about the time after `from_ns`, up to and including `to_ns`."""
        if stream.interval is not None:
            return list(self._candles(stream, stream.interval, from_ns, to_ns))
        if stream.kind == "trades":
            fills = self.scene_of(stream.symbol).fills(stream.symbol, from_ns, to_ns)
            blocks = groupby(fills, lambda fill: fill.time_ns // BLOCK_NS)
            return [_push("trades", [self.trade(stream.symbol, fill) for fill in block]) for _, block in blocks]
        if stream.kind == "bbo":
            scene = self.scene_of(stream.symbol)
            before, after = (scene.book(stream.symbol, 1, instant_ns) for instant_ns in (from_ns, to_ns))
            if (before.bids, before.asks) == (after.bids, after.asks):
                return []
        return [self._state(stream, to_ns)]

    def _state(self, stream: Stream, now_ns: int) -> bytes:
        """Render how things stand, for the streams that tell that and nothing of what lies between."""
        if stream.kind == "allMids":
            where = {} if stream.dex is None else {"dex": stream.dex}
            return _push("allMids", {"mids": self.mids(stream.dex or "", now_ns)} | where)
        if stream.kind == "activeAssetCtx":
            spot = self.listings[stream.symbol].kind is Kind.SPOT
            data = {"coin": stream.symbol, "ctx": self.context(stream.symbol, now_ns)}
            return _push("activeSpotAssetCtx" if spot else "activeAssetCtx", data)
        if stream.kind == "bbo":
            book = self.scene_of(stream.symbol).book(stream.symbol, 1, now_ns)
            sides = [self._level(stream.symbol, *side[0]) if side else None for side in (book.bids, book.asks)]
            return _push("bbo", {"coin": stream.symbol, "time": book.time_ns // NS_PER_MS, "bbo": sides})
        depth = _FAST_DEPTH if stream.fast else DEPTH
        levels = self.book(stream.symbol, now_ns, stream.n_sig_figs, stream.mantissa, depth)
        return _push("l2Book", levels | ({"fast": True} if stream.fast else {}))

    def _candles(self, stream: Stream, interval: Interval, from_ns: int, to_ns: int) -> Iterable[bytes]:
        """Render each bar that has traded, as it then stood. That a bar is complete is nowhere said."""
        symbol, scene = stream.symbol, self.scene_of(stream.symbol)
        open_ns = interval.open_of(from_ns)
        told = scene.last_ids(symbol, from_ns)
        while open_ns <= to_ns:
            end_ns = interval.next_open(open_ns)
            until_ns = min(to_ns, end_ns - 1)
            last = scene.last_ids(symbol, until_ns)
            if last != told:
                yield _push("candle", self.candle(symbol, interval, scene.bar(symbol, open_ns, end_ns, until_ns)))
            open_ns, told = end_ns, last

    def candle(self, symbol: str, interval: Interval, bar: Bar) -> dict[str, object]:
        """Render a candle; `T` is its last millisecond."""
        return {
            "t": bar.open_ns // NS_PER_MS,
            "T": bar.end_ns // NS_PER_MS - 1,
            "s": symbol,
            "i": str(interval),
            "o": text(bar.open),
            "c": text(bar.close),
            "h": text(bar.high),
            "l": text(bar.low),
            "v": summed(bar.volume),
            "n": bar.fills,
        }

    def trade(self, symbol: str, fill: Fill) -> dict[str, object]:
        """Render a trade; those of one taker order share time and hash."""
        maker, taker = (f"0x{_hashed(f'{symbol}:{fill.id}:{who}', 40)}" for who in ("maker", "taker"))
        return {
            "coin": symbol,
            "side": "B" if fill.taker_buys else "A",
            "px": text(fill.price),
            "sz": text(fill.quantity),
            "time": fill.time_ns // NS_PER_MS,
            "hash": f"0x{_hashed(f'{symbol}:{fill.time_ns}', 64)}",
            "tid": tid(symbol, fill.id),
            "users": [taker, maker] if fill.taker_buys else [maker, taker],
        }

    def book(
        self, symbol: str, now_ns: int, n_sig_figs: int | None, mantissa: int | None, depth: int = DEPTH
    ) -> dict[str, object]:
        """Render the book, its levels put together where that was asked for."""
        scene = self.scene_of(symbol)
        grouped = n_sig_figs is not None
        book = scene.book(symbol, 100 if grouped else depth, now_ns)
        sides = [[(price, size, self._orders(symbol, size)) for price, size in side] for side in (book.bids, book.asks)]
        if n_sig_figs is not None:
            sides = [_together(side, n_sig_figs, mantissa or 1, up=up) for side, up in zip(sides, (0, 1), strict=True)]
        levels = [[{"px": text(px), "sz": text(sz), "n": n} for px, sz, n in side[:depth]] for side in sides]
        content = {"coin": symbol, "time": book.time_ns // NS_PER_MS, "levels": levels}
        return content | ({"spread": text(book.asks[0][0] - book.bids[0][0])} if grouped else {})

    def mid(self, symbol: str, now_ns: int) -> Decimal:
        """Return the middle between the best prices."""
        book = self.scene_of(symbol).book(symbol, 1, now_ns)
        return (book.bids[0][0] + book.asks[0][0]) / 2

    def mids(self, dex: str, now_ns: int) -> dict[str, str]:
        """Render all mid prices of one perpetual exchange; those of spot come with the first."""
        listings = self.perpetuals(dex) + ([] if dex else self.spots())
        return {listing.symbol: text(self.mid(listing.symbol, now_ns)) for listing in listings}

    def context(self, symbol: str, now_ns: int) -> dict[str, object]:
        """Render the last day of an instrument."""
        listing, scene = self.listings[symbol], self.scene_of(symbol)
        bar = scene.bar(symbol, now_ns - _DAY_NS, now_ns + 1, now_ns)
        book = scene.book(symbol, 1, now_ns)
        mid = text((book.bids[0][0] + book.asks[0][0]) / 2)
        day: dict[str, object] = {
            "prevDayPx": text(bar.open),
            "dayNtlVlm": summed(bar.counter),
            "markPx": text(bar.close),
            "midPx": mid,
            "dayBaseVlm": summed(bar.volume),
        }
        if listing.kind is Kind.SPOT:
            return day | {"circulatingSupply": "1000000.0", "coin": symbol, "totalSupply": "1000000.0"}
        return day | {
            "funding": "0.0000125",
            "openInterest": text(listing.lot_size * 1_234_567),
            "premium": "0.0",
            "oraclePx": mid,
            "impactPxs": [text(book.bids[0][0]), text(book.asks[0][0])],
        }

    def _level(self, symbol: str, price: Decimal, size: Decimal) -> dict[str, object]:
        return {"px": text(price), "sz": text(size), "n": self._orders(symbol, size)}

    def _orders(self, symbol: str, size: Decimal) -> int:
        return 1 + int(size / self.listings[symbol].lot_size) % 7


def text(number: Decimal) -> str:
    """Render a number as the venue does: no zeros at its end, but never without a decimal."""
    whole, _, decimals = f"{number:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0') or '0'}"


def summed(number: Decimal) -> str:
    """Render a sum, which the venue keeps as a binary float and shows to ten decimals: noise included.

    3495670.84 becomes 3495670.8399999999, as recorded. Rounded to the instrument's lot, it is the true sum again.
    """
    return text(Decimal(f"{float(number):.10f}"))


def tid(symbol: str, fill_id: int) -> int:
    """Return the 50 bits by which the venue names a trade, and in which no order can be seen."""
    return (fill_id * _TID_STEP + zlib.crc32(symbol.encode())) % _TIDS


def pair_index(listing: Listing) -> int:
    """Return the index of a spot pair: what follows the `@` of its name, or 0 for the only one that has another."""
    return int(listing.symbol[1:]) if listing.symbol.startswith("@") else 0


def _understood(subscription: object) -> Stream | None:
    """Return what was asked for, in so far as it can be asked for; a field that nobody knows is passed over."""
    if not isinstance(subscription, dict):
        return None
    kind, coin, dex = (subscription.get(name) for name in ("type", "coin", "dex"))
    if kind == "allMids":
        return Stream(kind, dex=dex) if dex is None or isinstance(dex, str) else None
    if not isinstance(kind, str) or kind not in _CADENCES_NS or not isinstance(coin, str):
        return None
    if kind == "candle":
        interval = subscription.get("interval")
        return Stream(kind, coin, INTERVALS[interval]) if isinstance(interval, str) and interval in INTERVALS else None
    if kind != "l2Book":
        return Stream(kind, coin)
    figures, mantissa, fast = (subscription.get(name) for name in ("nSigFigs", "mantissa", "fast"))
    if not all(number is None or type(number) is int for number in (figures, mantissa)):
        return None
    return Stream(kind, coin, None, figures, mantissa, fast) if isinstance(fast := fast or False, bool) else None


def groups(n_sig_figs: int | None, mantissa: int | None) -> bool:
    """Say whether levels can be put together so: two to five figures, and a mantissa with five of them alone."""
    if mantissa is not None and (n_sig_figs != 5 or mantissa not in (1, 2, 5)):
        return False
    return n_sig_figs is None or 2 <= n_sig_figs <= 5


def _together(
    levels: list[tuple[Decimal, Decimal, int]], n_sig_figs: int, mantissa: int, *, up: int
) -> list[tuple[Decimal, Decimal, int]]:
    """Put levels together: bids go down to the next step, and asks up."""
    if not levels:
        return []
    step = Decimal(mantissa).scaleb(levels[0][0].adjusted() - n_sig_figs + 1)
    found: dict[Decimal, tuple[Decimal, int]] = {}
    for price, size, orders in levels:
        steps, rest = divmod(price, step)
        bucket = (steps + (1 if up and rest else 0)) * step
        whole, count = found.get(bucket, (Decimal(0), 0))
        found[bucket] = whole + size, count + orders
    return [(bucket, size, count) for bucket, (size, count) in found.items()]


def _hashed(name: str, digits: int) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:digits]


def _push(channel: str, data: object) -> bytes:
    return _encode({"channel": channel, "data": data})


def _error(reason: str) -> Reply:
    return Reply((_push("error", reason),))
