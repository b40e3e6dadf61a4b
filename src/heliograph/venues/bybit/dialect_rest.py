"""The server's half of Bybit's REST interface for market data: what a simulated Bybit answers to a GET.

Written from the documentation and from recordings, and from nothing else in this folder but the dialect's other parts.

Source: https://bybit-exchange.github.io/docs/v5/market/kline
Source: https://bybit-exchange.github.io/docs/v5/market/instrument
Source: https://bybit-exchange.github.io/docs/v5/market/orderbook
Source: https://bybit-exchange.github.io/docs/v5/error
Source: https://bybit-exchange.github.io/docs/v5/rate-limit
"""

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qs, quote, unquote

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.errors import VenueRejected
from heliograph.model.instrument import Kind
from heliograph.venues.bybit.dialect import Dialect
from heliograph.venues.bybit.dialect_wording import INTERVALS, SPOT, Wording
from heliograph.venues.dialect import Answer, Ask, Query, Quota
from heliograph.venues.scene import Listing

_encode: Final = msgspec.json.Encoder().encode
_ROOT: Final = "/v5/market/"
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_IP_QUOTA: Final = Quota("ip", 600, 5)
_BOOK_LIMITS: Final = {True: (1, 200), False: (25, 500)}
"""Levels by default and at most, of spot and of contracts."""

_BOOK_DEPTHS: Final = {True: 200, False: 1000}
"""The topic that REST shares its update ids with. That of contracts is documented as 500, a depth that is no more."""

_TRADE_LIMITS: Final = {True: (60, 60), False: (500, 1000)}
_OPTIONS: Final = "option"
"""A category that there is, and of which nothing is listed here."""

_CONTRACT_TYPES: Final = {Kind.PERPETUAL: "Perpetual", Kind.FUTURE: "Futures"}


class Rest:
    """The REST interface of Bybit.

    Args:
        dialect: what happens at its markets.

    """

    bans: Final = True

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._routes: dict[str, Callable[[Query, int], dict[str, object]]] = {
            "kline": self._klines,
            "tickers": self._tickers,
            "orderbook": self._book,
            "recent-trade": self._trades,
            "instruments-info": self._instruments,
            "time": self._time,
        }

    def quota(self, _ask: Ask) -> Quota:
        """Return the quota of the address, which everything shares."""
        return _IP_QUOTA

    def headers(self, quota: Quota, used: int, reset_ms: int) -> Mapping[str, str]:
        """Return what is left of the quota.

        The documentation gives these headers to every request; some have seen them on private ones only.
        """
        return {
            "X-Bapi-Limit": str(quota.weight_max),
            "X-Bapi-Limit-Status": str(max(0, quota.weight_max - used)),
            "X-Bapi-Limit-Reset-Timestamp": str(reset_ms),
        }

    def answer(self, ask: Ask, now_ns: int) -> Answer:
        """Answer a GET: with a status of 200, whatever is wrong with it. What is no route is a 404."""
        name = ask.path.removeprefix(_ROOT)
        now_ms = now_ns // NS_PER_MS
        if name == ask.path or name not in self._routes or ask.method != "GET":
            return Answer(404, _body(10017, "Route not found.", {}, now_ms))
        try:
            return Answer(200, _body(0, "OK", self._routes[name](ask.query, now_ns), now_ms))
        except VenueRejected as no:
            nothing = {"category": "", "list": [], "nextPageCursor": ""} if name == "instruments-info" else {}
            return Answer(200, _body(int(no.code), no.reason, nothing, now_ms))

    def too_much(self, _ask: Ask, *, wait_s: int) -> Answer:
        """Refuse a request because the address has made too many."""
        return Answer(403, b"access too frequent", weight=0)

    def banned(self, *, until_ms: int, wait_s: int) -> Answer:
        """Refuse a request in the same way; Bybit does not say until when."""
        return self.too_much(Ask(""), wait_s=wait_s)

    def broken(self, status: int) -> Answer:
        """Answer as a server in trouble does; with a status of 200 it has too many visits, which its body says."""
        code, reason = (10006, "Too many visits!") if status == 200 else (10016, "Internal System Error.")
        return Answer(status, _body(code, reason, {}, 0))

    def _category(self, query: Query, default: str = "") -> Mapping[str, Wording]:
        category = query.get("category") or default
        listed = {} if category == _OPTIONS else self._dialect.wordings(category)
        if listed is None:
            raise _no("Illegal category")
        return listed

    def _wording(self, query: Query, default: str = "") -> Wording:
        listed = self._category(query, default)
        wording = listed.get(query.get("symbol", ""))
        if wording is None:
            raise _no("Not supported symbols" if query.get("category") == SPOT else "params error: symbol invalid")
        return wording

    def _number(self, query: Query, name: str) -> int | None:
        text = query.get(name, "")
        if text == "":
            return None
        if not _NUMBER.fullmatch(text):
            raise _no(f"params error: {name} invalid")
        return int(text)

    def _limit(self, query: Query, default: int, most: int) -> int:
        """Return how much is asked for. More than there may be is cut to that, which is not documented."""
        limit = self._number(query, "limit")
        if limit is None:
            return default
        if limit < 1:
            raise _no("params error: limit invalid")
        return min(limit, most)

    def _klines(self, query: Query, now_ns: int) -> dict[str, object]:
        """Return candles, the newest first: the last ones up to `end`, or the first ones from `start` alone.

        A start within a candle means that candle (seen: mirumirumi/ro-soku#3), and a start alone the oldest from there
        on (seen 2026-09); which ones are left out between a start and an end is not documented.
        """
        wording = self._wording(query, "linear")
        interval = INTERVALS.get(query.get("interval", ""))
        if interval is None:
            raise _no("Invalid period!")
        start_ms, end_ms = self._number(query, "start"), self._number(query, "end")
        limit = self._limit(query, 200, 1000)
        listing = wording.listing
        first_ns = interval.open_of(max(listing.listed_ns, (start_ms or 0) * NS_PER_MS))
        last_ns = interval.open_of(now_ns if end_ms is None else min(now_ns, end_ms * NS_PER_MS))
        opens: list[int] = []
        if end_ms is None and start_ms is not None:
            while first_ns <= last_ns and len(opens) < limit:
                opens.append(first_ns)
                first_ns = interval.next_open(first_ns)
            opens.reverse()
        else:
            while last_ns >= first_ns and len(opens) < limit:
                opens.append(last_ns)
                last_ns = interval.open_of(last_ns - 1)
        bars = [wording.scene.bar(wording.symbol, open_ns, interval.next_open(open_ns), now_ns) for open_ns in opens]
        return {"category": wording.category, "symbol": wording.symbol, "list": [wording.row(bar) for bar in bars]}

    def _tickers(self, query: Query, now_ns: int) -> dict[str, object]:
        listed = self._category(query)
        wanted = [self._wording(query)] if query.get("symbol") else listed.values()
        return {"category": query["category"], "list": [wording.quote(now_ns) for wording in wanted]}

    def _book(self, query: Query, now_ns: int) -> dict[str, object]:
        wording = self._wording(query)
        spot = wording.category == SPOT
        limit = self._limit(query, *_BOOK_LIMITS[spot])
        told = self._dialect.books(wording, _BOOK_DEPTHS[spot]).now(now_ns)
        content = told["data"]
        assert isinstance(content, dict)  # It is what the topic's `data` is.
        return {
            "s": wording.symbol,
            "a": content["a"][:limit],
            "b": content["b"][:limit],
            "ts": now_ns // NS_PER_MS,
            "u": content["u"],
            "seq": content["seq"],
            "cts": told["cts"],
        }

    def _trades(self, query: Query, now_ns: int) -> dict[str, object]:
        wording = self._wording(query)
        last = wording.scene.last_ids(wording.symbol, now_ns)[1]
        first = max(1, last - self._limit(query, *_TRADE_LIMITS[wording.category == SPOT]) + 1)
        fills = wording.scene.fills_from(wording.symbol, first, last - first + 1, now_ns) if last else []
        return {"category": wording.category, "list": [wording.recent(fill) for fill in reversed(fills)]}

    def _instruments(self, query: Query, _now_ns: int) -> dict[str, object]:
        """Return what is listed: of spot everything at once, of contracts page by page.

        A page that is full has a cursor, even where nothing follows.
        """
        listed, category = self._category(query), query["category"]
        spot = category == SPOT
        symbol, coin, status = query.get("symbol"), query.get("baseCoin"), query.get("status") or "Trading"
        if symbol and symbol not in listed and not spot:
            raise _no("params error: symbol invalid")
        found = [(category, wording) for name, wording in listed.items() if symbol in (None, "", name)]
        if coin and not symbol and category not in (SPOT, _OPTIONS):
            # Asked for by their coin, linear and inverse contracts come together, whichever was meant.
            found = [
                (str(market), wording)
                for market in self._dialect.markets
                if market != SPOT
                for wording in (self._dialect.wordings(market) or {}).values()
                if wording.listing.base == coin
            ]
        if status != "Trading":
            found = []
        numbers = {wording.symbol: number for number, wording in enumerate(listed.values(), 1)}
        if spot:
            described = [_pair(wording.listing, numbers[wording.symbol]) for _, wording in found]
            return {"category": category, "list": described}
        limit = self._limit(query, 500, 1000)
        after = parse_qs(unquote(query.get("cursor", ""))).get("last", [""])[0]
        names = [wording.symbol for _, wording in found]
        start = names.index(after) + 1 if after in names else 0
        page = [
            _contract(where, wording.listing, numbers.get(wording.symbol, 0))
            for where, wording in found[start : start + limit]
        ]
        cursor = f"first={page[0]['symbol']}&last={page[-1]['symbol']}" if len(page) == limit and not symbol else ""
        return {"category": category, "list": page, "nextPageCursor": quote(cursor, safe="")}

    def _time(self, _query: Query, now_ns: int) -> dict[str, object]:
        return {"timeSecond": str(now_ns // NS_PER_S), "timeNano": str(now_ns)}


def _pair(listing: Listing, number: int) -> dict[str, object]:
    return {
        "symbolId": number,
        "symbol": listing.symbol,
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": f"{listing.lot_size:f}",
            "quotePrecision": "0.0000001",
            "minOrderQty": f"{listing.lot_size:f}",
            "maxOrderQty": "83",
            "minOrderAmt": "5",
            "maxOrderAmt": "8000000",
            "maxLimitOrderQty": "83",
            "maxMarketOrderQty": "41.5",
            "postOnlyMaxLimitOrderSize": "60000",
        },
        "priceFilter": {"tickSize": f"{listing.tick_size:f}"},
        "riskParameters": {"priceLimitRatioX": "0.005", "priceLimitRatioY": "0.01"},
        "symbolType": "",
    }


def _contract(category: str, listing: Listing, number: int) -> dict[str, object]:
    exponent = listing.tick_size.as_tuple().exponent
    assert isinstance(exponent, int)  # A step is a finite number of ours.
    future = listing.kind is Kind.FUTURE
    return {
        "symbol": listing.symbol,
        "symbolId": number,
        "contractType": f"{category.capitalize()}{_CONTRACT_TYPES[listing.kind]}",
        "status": "Trading",
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "launchTime": str(listing.listed_ns // NS_PER_MS),
        "deliveryTime": str((listing.expiry_ns or 0) // NS_PER_MS),
        "deliveryFeeRate": "0.0005" if future else "",
        "priceScale": str(-exponent),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {
            "minPrice": f"{listing.tick_size:f}",
            "maxPrice": f"{listing.tick_size * 19_999_998:f}",
            "tickSize": f"{listing.tick_size:f}",
        },
        "lotSizeFilter": {
            "maxOrderQty": f"{listing.lot_size * 1_190_000:f}",
            "minOrderQty": f"{listing.lot_size:f}",
            "qtyStep": f"{listing.lot_size:f}",
            "postOnlyMaxOrderQty": f"{listing.lot_size * 1_190_000:f}",
            "maxMktOrderQty": f"{listing.lot_size * 500_000:f}",
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 0 if future else 480,
        "settleCoin": listing.settle,
        "copyTrading": "none" if future else "both",
        "upperFundingRate": "" if future else "0.00375",
        "lowerFundingRate": "" if future else "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        "displayName": "",
        "symbolType": "",
    }


def _body(code: int, reason: str, result: Mapping[str, object], now_ms: int) -> bytes:
    content = {"retCode": code, "retMsg": reason, "result": result, "retExtInfo": {}, "time": now_ms}
    return _encode(content)


def _no(reason: str) -> VenueRejected:
    return VenueRejected("bybit", "10001", reason)
