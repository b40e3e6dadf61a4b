"""The server's half of Luno's REST: what a simulated Luno answers to requests for market data.

Written from the documentation, and from nothing else in this folder. What it leaves open (how many decimals there
are, the headers, what a pair that does not exist is answered) follows answers that others recorded on 2026-09-22 and
published. Which words go with a missing key, and with a `since` that is refused, was not recorded: they are ours.
Market data may be cached for a second: here it is as of the last full one.

Source: https://www.luno.com/en/developers/api#tag/Market
Source: https://www.luno.com/en/developers/api#tag/Error-Codes
Source: https://www.luno.com/en/developers/api#tag/Rate-Limiting
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.errors import VenueRejected
from heliograph.venues.dialect import Answer, Ask, Query, Quota
from heliograph.venues.luno.dialect import REVOKED, Dialect, code, instant, text
from heliograph.venues.scene import Fill, Level, Listing

_encode: Final = msgspec.json.Encoder().encode

DURATIONS_S: Final = (60, 300, 900, 1_800, 3_600, 10_800, 14_400, 28_800, 86_400, 259_200, 604_800)
"""What candles there are. From when the longest are counted is not documented; here all are from 1970."""

CANDLES_MAX: Final = 1_000
TRADES_MAX: Final = 100
_DAY_NS: Final = 86_400 * NS_PER_S

_QUOTA: Final = Quota("address", 300, 60)
_ELSEWHERE: Final = Quota("elsewhere", 1_000_000, 60)
_BOOK_PLACES: Final = 18
_TRADE_PLACES: Final = 8

_CODES: Final = {
    "ErrMarketUnavailable": (400, "Market not available"),
    "ErrInvalidArguments": (400, "Invalid arguments"),
    "ErrUnauthorised": (401, "You are not authorised to access this route"),
    "ErrApiKeyRevoked": (401, "Your API key has been revoked."),
    "ErrTooManyRequests": (429, "You are exceeding the allowed request rate limit"),
    "ErrInternal": (500, "Something went wrong. We're looking into it."),
}


class Rest:
    """The REST interface of Luno.

    Args:
        dialect: what happens at its market.

    """

    bans: Final = False

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._scene = dialect.scene
        self._routes: Mapping[str, Callable[[Ask, int], object]] = {
            "/api/1/ticker": lambda ask, now_ns: self._ticker(self._pair(ask), now_ns),
            "/api/1/tickers": self._tickers,
            "/api/1/orderbook_top": self._top,
            "/api/1/orderbook": self._book,
            "/api/1/trades": self._trades,
            "/api/exchange/1/markets": self._markets,
            "/api/exchange/1/candles": self._candles,
        }

    def quota(self, ask: Ask) -> Quota:
        """Return the one quota that all requests share; a path that does not exist costs nothing."""
        return _QUOTA if ask.path in self._routes else _ELSEWHERE

    def headers(self, quota: Quota, used: int, _reset_ms: int) -> Mapping[str, str]:
        """Tell limit, what is left, and for how many seconds at most that holds (recorded, for a window of 1 s)."""
        if quota is not _QUOTA:
            return {}
        return {
            "x-ratelimit-limit": f"{quota.weight_max}, {quota.weight_max};w={quota.window_s}",
            "x-ratelimit-remaining": str(max(0, quota.weight_max - used)),
            "x-ratelimit-reset": str(quota.window_s),
        }

    def answer(self, ask: Ask, now_ns: int) -> Answer:
        """Answer a request."""
        route = self._routes.get(ask.path)
        if route is None or ask.method != "GET":
            return Answer(404, b"")
        try:
            return Answer(200, _encode(route(ask, instant(now_ns))))
        except VenueRejected as refused:
            return _refusal(refused.code)

    def too_much(self, _ask: Ask, *, wait_s: int) -> Answer:
        """Refuse a request because too much was asked for; for how long is not told."""
        return _refusal("ErrTooManyRequests", weight=0)

    def banned(self, *, until_ms: int, wait_s: int) -> Answer:
        """Refuse a request in the same way: Luno documents no ban."""
        return _refusal("ErrTooManyRequests", weight=0)

    def broken(self, status: int) -> Answer:
        """Answer as a server in trouble does."""
        return Answer(status, _refusal("ErrInternal").body)

    def _pair(self, ask: Ask) -> str:
        pair = ask.query.get("pair", "")
        if not self._dialect.lists(pair):
            raise _no("ErrMarketUnavailable")
        return pair

    def _ticker(self, pair: str, now_ns: int) -> dict[str, object]:
        bids, asks = self._dialect.levels(pair, now_ns)
        bar = self._scene.bar(pair, now_ns - _DAY_NS, now_ns, now_ns)
        return {
            "pair": pair,
            "timestamp": now_ns // NS_PER_MS,
            "bid": text(bids[0][0]),
            "ask": text(asks[0][0]),
            "last_trade": text(bar.close),
            "rolling_24_hour_volume": text(bar.volume),
            "status": "ACTIVE",
        }

    def _tickers(self, ask: Ask, now_ns: int) -> object:
        return {"tickers": [self._ticker(pair, now_ns) for pair in self._asked(ask.query)]}

    def _asked(self, query: Query) -> list[str]:
        """Return the pairs that are asked for, all where none is; what does not exist is left out (recorded)."""
        asked = [pair for name, pair in query.items() if name == "pair"]
        return [pair for pair in self._scene.listings if not asked or pair in asked]

    def _top(self, ask: Ask, now_ns: int) -> object:
        bids, asks = self._dialect.levels(self._pair(ask), now_ns)
        return _sides(bids, asks, now_ns)

    def _book(self, ask: Ask, now_ns: int) -> object:
        orders = self._dialect.orders(self._pair(ask), now_ns)
        bids, asks = ([(order.price, order.volume) for order in orders[side]] for side in ("BID", "ASK"))
        return _sides(bids, asks, now_ns)

    def _trades(self, ask: Ask, now_ns: int) -> object:
        """Return trades, the newest first: the last hundred, or the first hundred after an instant.

        Which hundred follow `since` where there are more is not documented, but that one may iterate with it.
        """
        pair, since = self._pair(ask), ask.query.get("since")
        if since is None:
            last = self._scene.last_ids(pair, now_ns)[1]
            fills = self._scene.fills_from(pair, max(1, last - TRADES_MAX + 1), TRADES_MAX, now_ns)
        else:
            after_ns = _number(since) * NS_PER_MS
            if after_ns < now_ns - _DAY_NS:
                raise _no("ErrInvalidArguments")
            fills = self._scene.fills(pair, after_ns, now_ns)[:TRADES_MAX]
        return {"trades": [_trade(fill) for fill in reversed(fills) if fill.time_ns >= now_ns - _DAY_NS]}

    def _markets(self, ask: Ask, _now_ns: int) -> object:
        return {"markets": [_market(self._scene.listings[pair]) for pair in self._asked(ask.query)]}

    def _candles(self, ask: Ask, now_ns: int) -> object:
        """Return the earliest candles from an instant on, the live one included; those without a trade are flat."""
        _authenticate(ask.headers.get("authorization", ""))
        pair = self._pair(ask)
        since_ns = _number(ask.query.get("since")) * NS_PER_MS
        duration = _number(ask.query.get("duration"))
        if duration not in DURATIONS_S:
            raise _no("ErrInvalidArguments")
        length_ns = duration * NS_PER_S
        earliest_ns = max(since_ns, self._scene.listings[pair].listed_ns // length_ns * length_ns)
        open_ns = -(-earliest_ns // length_ns) * length_ns
        found: list[dict[str, object]] = []
        while open_ns <= now_ns and len(found) < CANDLES_MAX:
            bar = self._scene.bar(pair, open_ns, open_ns + length_ns, now_ns)
            prices = {"open": bar.open, "close": bar.close, "high": bar.high, "low": bar.low, "volume": bar.volume}
            told = {name: text(number) for name, number in prices.items()}
            found.append({"timestamp": open_ns // NS_PER_MS, **told})
            open_ns += length_ns
        return {"candles": found, "duration": duration, "pair": pair}


def _authenticate(header: str) -> None:
    kind, _, secret = header.partition(" ")
    try:
        key, colon, password = base64.b64decode(secret, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise _no("ErrUnauthorised") from None
    if kind != "Basic" or not (key and colon and password):
        raise _no("ErrUnauthorised")
    if key == REVOKED:
        raise _no("ErrApiKeyRevoked")


def _number(written: str | None) -> int:
    if written is None or not written.isascii() or not written.isdigit() or len(written) > 18:
        raise _no("ErrInvalidArguments")
    return int(written)


def _sides(bids: Iterable[Level], asks: Iterable[Level], now_ns: int) -> dict[str, object]:
    def told(levels: Iterable[Level]) -> list[dict[str, str]]:
        return [{"price": f"{p:.{_BOOK_PLACES}f}", "volume": f"{v:.{_BOOK_PLACES}f}"} for p, v in levels]

    return {"timestamp": now_ns // NS_PER_MS, "bids": told(bids), "asks": told(asks)}


def _trade(fill: Fill) -> dict[str, object]:
    return {
        "sequence": fill.id,
        "timestamp": fill.time_ns // NS_PER_MS,
        "price": f"{fill.price:.{_TRADE_PLACES}f}",
        "volume": f"{fill.quantity:.{_TRADE_PLACES}f}",
        "is_buy": fill.taker_buys,
    }


def _market(listing: Listing) -> dict[str, object]:
    return {
        "market_id": listing.symbol,
        "trading_status": "ACTIVE",
        "base_currency": code(listing.base),
        "counter_currency": code(listing.quote),
        "min_volume": text(listing.lot_size),
        "max_volume": text(listing.lot_size * 1_000_000),
        "volume_scale": _scale(listing.lot_size),
        "min_price": text(listing.tick_size),
        "max_price": text(listing.tick_size * 100_000_000),
        "price_scale": _scale(listing.tick_size),
        "fee_scale": 8,
    }


def _scale(step: Decimal) -> int:
    return max(0, -step.normalize().adjusted())


def _no(error: str) -> VenueRejected:
    return VenueRejected("luno", error, _CODES[error][1])


def _refusal(error: str, weight: int = 1) -> Answer:
    status, message = _CODES[error]
    return Answer(status, _encode({"error": message, "error_code": error}), weight)
