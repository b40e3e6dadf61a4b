"""The server's half of Coinbase's public Advanced Trade REST interface: what a simulated Coinbase answers.

Written from the documentation, and from nothing else in this folder but the other half of the dialect. Where the
documentation is silent, such as on the bounds of trades, answers that others recorded in September 2026 decide.

Source: https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/list-public-products
Source: https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-product-candles
Source: https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-market-trades
Source: https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-product-book
Source: https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-server-time
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.errors import VenueRejected
from heliograph.model.interval import Interval
from heliograph.venues.coinbase.dialect import Dialect, percent, rfc3339, text
from heliograph.venues.dialect import Answer, Ask, Query, Quota
from heliograph.venues.scene import Level

_encode: Final = msgspec.json.Encoder().encode
_PREFIX: Final = "/api/v3/brokerage"
_PRODUCTS: Final = "/market/products"
_QUOTA: Final = Quota("ip", 10, 1)
"""Ten public requests a second and address; see https://docs.cdp.coinbase.com/exchange/rest-api/rate-limits ."""

CANDLES_MAX: Final = 350
TRADES_MAX: Final = 100
"""What is returned of however many were asked for (undocumented, recorded 2026-09-27)."""
TRADES_ASKED_MAX: Final = 1000
LEVELS_MAX: Final = 1000

GRANULARITIES: Final[Mapping[str, Interval]] = {
    "ONE_MINUTE": Interval.M1,
    "FIVE_MINUTE": Interval.M5,
    "FIFTEEN_MINUTE": Interval.M15,
    "THIRTY_MINUTE": Interval.M30,
    "ONE_HOUR": Interval.H1,
    "TWO_HOUR": Interval.H2,
    "FOUR_HOUR": Interval.H4,
    "SIX_HOUR": Interval.H6,
    "ONE_DAY": Interval.D1,
}


class Rest:
    """The REST interface of Coinbase's Advanced Trade.

    Args:
        dialect: what happens at its market.

    """

    bans: Final = False

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._scene = dialect.scene

    def quota(self, _ask: Ask) -> Quota:
        """Return the one quota that all requests share."""
        return _QUOTA

    def headers(self, _quota: Quota, _used: int, _reset_ms: int) -> Mapping[str, str]:
        """Return none: Coinbase does not tell what was used (recorded 2026-09-27)."""
        return {}

    def answer(self, ask: Ask, now_ns: int) -> Answer:
        """Answer a request."""
        if ask.method != "GET":
            return _refused(405, "UNIMPLEMENTED", "Method Not Allowed")
        if not ask.path.startswith(_PREFIX):
            return Answer(404, b"")
        try:
            content = self._content(ask.path.removeprefix(_PREFIX), ask.query, now_ns)
        except VenueRejected as e:
            return _refused(500 if e.code == "INTERNAL" else 400, e.code, e.reason)
        except KeyError as e:
            return _refused(404, "NOT_FOUND", f"Product {e.args[0]} not supported")
        return Answer(404, b"") if content is None else Answer(200, _encode(content))

    def too_much(self, _ask: Ask, *, wait_s: int) -> Answer:
        """Refuse a request because too much was asked for. In which words is not documented."""
        answer = _refused(429, "RESOURCE_EXHAUSTED", "Too many requests")
        return msgspec.structs.replace(answer, weight=0)

    def banned(self, *, until_ms: int, wait_s: int) -> Answer:
        """Refuse a request in the same way: Coinbase documents no ban."""
        return self.too_much(Ask(_PREFIX), wait_s=wait_s)

    def broken(self, status: int) -> Answer:
        """Answer as a server in trouble does."""
        return _refused(status, "INTERNAL", "An internal error occurred")

    def _content(self, path: str, query: Query, now_ns: int) -> object:
        if path == "/time":
            seconds = now_ns // NS_PER_S
            millis = str(now_ns // NS_PER_MS)
            return {"iso": rfc3339(seconds * NS_PER_S), "epochSeconds": str(seconds), "epochMillis": millis}
        if path == _PRODUCTS:
            return self._products(query, now_ns)
        if path == "/market/product_book":
            return self._book(query, now_ns)
        if not path.startswith(f"{_PRODUCTS}/"):
            return None
        product, _, what = path.removeprefix(f"{_PRODUCTS}/").partition("/")
        symbol = self._book_of(product)
        if not what:
            return self._product(product, now_ns)
        if what == "candles":
            return {"candles": self._candles(symbol, query, now_ns)}
        return self._trades(product, symbol, query, now_ns) if what == "ticker" else None

    def _book_of(self, product: str) -> str:
        """Return the listing behind a product; raise `KeyError` if there is none."""
        for symbol in (product, product.removesuffix("C")):
            if symbol in self._scene.listings and (symbol == product or product.endswith("-USDC")):
                return symbol
        raise KeyError(product)

    def _products(self, query: Query, now_ns: int) -> dict[str, object]:
        """Describe all products, of which those in USDC are other names of those in USD."""
        if query.get("product_type", "SPOT") != "SPOT":
            return {"products": [], "num_products": 0, "pagination": None}
        names = [name for symbol in self._scene.listings for name in (symbol, *_others(symbol))]
        offset, limit = _number(query, "offset", 0), _number(query, "limit", len(names))
        products = [self._product(name, now_ns) for name in names[offset : offset + limit]]
        return {"products": products, "num_products": len(products), "pagination": None}

    def _product(self, product: str, now_ns: int) -> dict[str, object]:
        symbol = self._book_of(product)
        listing, day = self._scene.listings[symbol], self._dialect.day(symbol, now_ns)
        quote = product.rpartition("-")[2]
        return {
            "product_id": product,
            "price": text(day.close),
            "price_percentage_change_24h": percent(day),
            "volume_24h": text(day.volume),
            "base_increment": text(listing.lot_size),
            "quote_increment": text(listing.tick_size),
            "quote_min_size": "1",
            "quote_max_size": "150000000",
            "base_min_size": text(listing.lot_size),
            "base_max_size": "3400",
            "base_name": listing.base,
            "quote_name": quote,
            "watched": False,
            "is_disabled": False,
            "new": False,
            "status": "online",
            "cancel_only": False,
            "limit_only": False,
            "post_only": False,
            "trading_disabled": False,
            "auction_mode": False,
            "product_type": "SPOT",
            "quote_currency_id": quote,
            "base_currency_id": listing.base,
            "fcm_trading_session_details": None,
            "mid_market_price": "",
            "alias": "" if product == symbol else symbol,
            "alias_to": _others(product),
            "view_only": False,
            "price_increment": text(listing.tick_size),
            "display_name": product,
            "product_venue": "CBE",
            "approximate_quote_24h_volume": text(day.counter),
            "best_bid_price": "",
            "best_ask_price": "",
        }

    def _candles(self, symbol: str, query: Query, now_ns: int) -> list[dict[str, str]]:
        """Return candles, the newest first, the live one included; none of a bucket in which nothing was traded."""
        name = query.get("granularity", "")
        if name not in GRANULARITIES:
            raise _invalid("granularity argument is invalid")
        interval = GRANULARITIES[name]
        start, end = _number(query, "start"), _number(query, "end")
        assert interval.length_ns is not None
        count = (end - start) * NS_PER_S // interval.length_ns + 1
        if count > CANDLES_MAX or end < start:
            # That 350 are given and 351 refused was recorded on 2026-09-27; the words say less.
            reason = f"number of candles requested should be less than {CANDLES_MAX}"
            raise _invalid(f"start and end argument is invalid - {reason}")
        limit = _number(query, "limit", CANDLES_MAX)
        from_ns = max(start * NS_PER_S, self._scene.listings[symbol].listed_ns)
        bars = self._scene.bars(symbol, interval, from_ns, count, now_ns)
        wanted = [bar for bar in bars if bar.fills and start * NS_PER_S <= bar.open_ns <= end * NS_PER_S]
        return [self._dialect.candle(bar) for bar in reversed(wanted)][: min(limit, CANDLES_MAX)]

    def _trades(self, product: str, symbol: str, query: Query, now_ns: int) -> dict[str, object]:
        """Return the newest trades of a stretch of time, the newest first."""
        limit = _number(query, "limit")
        if limit > TRADES_ASKED_MAX:
            raise VenueRejected("coinbase", "INTERNAL", "An internal error occurred")
        until_ns = min(now_ns, _number(query, "end", now_ns // NS_PER_S + 1) * NS_PER_S)
        since_ns = _number(query, "start", 0) * NS_PER_S
        count = min(limit, TRADES_MAX)
        last = self._scene.last_ids(symbol, until_ns)[1]
        fills = self._scene.fills_from(symbol, max(1, last - count + 1), count, until_ns)
        more = {"bid": "", "ask": "", "exchange": "coinbase"}
        told = [self._dialect.trade(product, fill) | more for fill in reversed(fills) if fill.time_ns >= since_ns]
        book = self._scene.book(symbol, 1, now_ns)
        return {"trades": told, "best_bid": text(book.bids[0][0]), "best_ask": text(book.asks[0][0])}

    def _book(self, query: Query, now_ns: int) -> dict[str, object]:
        product = query.get("product_id", "")
        depth = min(_number(query, "limit", LEVELS_MAX), LEVELS_MAX)
        book = self._scene.book(self._book_of(product), depth, now_ns)
        bid, ask = book.bids[0][0], book.asks[0][0]
        middle = (bid + ask) / 2
        return {
            "pricebook": {
                "product_id": product,
                "bids": [_level(level) for level in book.bids],
                "asks": [_level(level) for level in book.asks],
                "time": rfc3339(book.time_ns),
            },
            "last": text(self._dialect.day(self._book_of(product), now_ns).close),
            "mid_market": text(middle),
            "spread_bps": text(round((ask - bid) * 10_000 / middle, 12)),
            "spread_absolute": text(ask - bid),
        }


def _others(symbol: str) -> list[str]:
    return [f"{symbol}C"] if symbol.endswith("-USD") else []


def _level(level: Level) -> dict[str, str]:
    return {"price": text(level[0]), "size": text(level[1])}


def _number(query: Query, name: str, default: int | None = None) -> int:
    written = query.get(name)
    if written is None and default is not None:
        return default
    if written is None or not (written.isascii() and written.isdigit() and len(written) < 16):
        raise _invalid(f"{name} argument is invalid")
    return int(written)


def _invalid(reason: str) -> VenueRejected:
    return VenueRejected("coinbase", "INVALID_ARGUMENT", reason)


def _refused(status: int, code: str, reason: str) -> Answer:
    return Answer(status, _encode({"error": code, "error_details": reason, "message": reason}))
