"""The server's half of Binance's REST market data: what a simulated Binance answers to a GET.

Written from the documentation, and from nothing else in this folder but the other half of the dialect.

Source: https://developers.binance.com/docs/binance-spot-api-docs/rest-api
Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
Source: https://developers.binance.com/docs/derivatives/coin-margined-futures/market-data/rest-api
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.errors import VenueRejected
from heliograph.model.instrument import Kind
from heliograph.model.interval import Interval
from heliograph.venues.binance.dialect import INTERVALS, Dialect
from heliograph.venues.dialect import Answer, Ask, Query, Quota
from heliograph.venues.scene import Aggregate, Bar, Fill, Listing

_encode: Final = msgspec.json.Encoder().encode
_DAY_NS: Final = 86_400 * NS_PER_S
_ROOTS: Final = {"spot": "/api/v3/", "usdm": "/fapi/v1/", "coinm": "/dapi/v1/"}
_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_FUTURES_DEPTHS: Final = (5, 10, 20, 50, 100, 500, 1000)
_PERPETUAL_ENDS_MS: Final = 4_133_404_800_000


class Rest:
    """The REST interface of one of Binance's markets.

    Args:
        dialect: the market, and what happens there.

    """

    bans: Final = True

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._scene = dialect.scene
        self._spot = dialect.market == "spot"
        self._inverse = dialect.market == "coinm"
        self._root = _ROOTS[dialect.market]
        self.weight_max = 6000 if self._spot else 2400
        """The weight that one address may use in a minute."""
        self._routes: dict[str, Callable[[Query, int], tuple[object, int]]] = {
            "ping": lambda _query, _now_ns: ({}, 1),
            "time": lambda _query, now_ns: ({"serverTime": now_ns // NS_PER_MS}, 1),
            "exchangeInfo": self._rules,
            "klines": self._klines,
            "depth": self._depth,
            "trades": self._trades,
            "historicalTrades": self._trades,
            "aggTrades": self._aggregates,
            "ticker/24hr": self._day,
            "ticker/price": self._price,
            "ticker/bookTicker": self._top,
        }

    def answer(self, ask: Ask, now_ns: int) -> Answer:
        """Answer a GET. What is no route of this market is a 404."""
        path = ask.path
        route = self._routes.get(path.removeprefix(self._root)) if path.startswith(self._root) else None
        if route is None:
            return Answer(404, b"")
        if ask.method != "GET":
            return Answer(405, b"")
        try:
            content, weight = route(ask.query, now_ns)
        except VenueRejected as no:
            return Answer(400, _encode({"code": int(no.code), "msg": no.reason}))
        return Answer(200, _encode(content), weight)

    def quota(self, _ask: Ask) -> Quota:
        """Return the one quota that all requests share."""
        return Quota("weight", self.weight_max, 60)

    def headers(self, _quota: Quota, used: int, _reset_ms: int) -> Mapping[str, str]:
        """Return the header that tells the weight used in this minute."""
        return {"X-MBX-USED-WEIGHT-1M": str(used)}

    def too_much(self, _ask: Ask, *, wait_s: int) -> Answer:
        """Refuse a request because of the weight used."""
        reason = (
            f"Too much request weight used; current limit is {self.weight_max} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )
        return Answer(429, _encode({"code": -1003, "msg": reason}), 0, wait_s)

    def banned(self, *, until_ms: int, wait_s: int) -> Answer:
        """Refuse a request because the address has gone on after refusals."""
        reason = (
            f"Way too much request weight used; IP banned until {until_ms}. "
            "Please use WebSocket Streams for live updates to avoid bans."
        )
        return Answer(418, _encode({"code": -1003, "msg": reason}), 0, wait_s)

    def broken(self, status: int) -> Answer:
        """Answer as a server in trouble does: whether it did anything is not known."""
        return Answer(
            status, _encode({"code": -1000, "msg": "An unknown error occurred while processing the request."})
        )

    def _symbol(self, query: Query) -> str:
        symbol = query.get("symbol", "")
        if not symbol:
            raise _no(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if not re.fullmatch(r"[A-Z0-9_.\-]{1,20}", symbol):
            raise _no(-1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.")
        if symbol not in self._scene.listings:
            raise _no(-1121, "Invalid symbol.")
        return symbol

    def _symbols(self, query: Query) -> list[str] | None:
        """Return the symbols asked for, or None for all of them."""
        if "symbol" in query:
            return [self._symbol(query)]
        if "symbols" not in query or not self._spot:
            return None
        try:
            symbols = msgspec.json.decode(query["symbols"], type=list[str])
        except msgspec.DecodeError:
            raise _no(-1100, "Illegal characters found in parameter 'symbols'.") from None
        if not symbols or any(symbol not in self._scene.listings for symbol in symbols):
            raise _no(-1121, "Invalid symbol.")
        return symbols

    def _number(self, query: Query, name: str) -> int | None:
        text = query.get(name)
        if text is None:
            return None
        if text == "":
            raise _no(-1105, f"Parameter '{name}' was empty.")
        if not _NUMBER.fullmatch(text):
            raise _no(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
        return int(text)

    def _limit(self, query: Query, default: int, most: int) -> int:
        limit = self._number(query, "limit")
        if limit is None:
            return default
        if limit < 1 or (limit > most and not self._spot):
            raise _no(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(limit, most)

    def _klines(self, query: Query, now_ns: int) -> tuple[object, int]:
        symbol = self._symbol(query)
        text = query.get("interval", "")
        if not text:
            raise _no(-1102, "Mandatory parameter 'interval' was not sent, was empty/null, or malformed.")
        if text not in INTERVALS or (text == "1s" and not self._spot):
            raise _no(-1120, "Invalid interval.")
        interval = Interval(text)
        limit = self._limit(query, 500, 1000 if self._spot else 1500)
        start_ms, end_ms = self._number(query, "startTime"), self._number(query, "endTime")
        if self._inverse and start_ms is not None and end_ms is not None and end_ms - start_ms > 200 * 86_400_000:
            raise _no(-4088, "Maximum time interval is 200 days.")
        # `endTime` bounds the open time, inclusive.
        until_ns = now_ns if end_ms is None else min(now_ns, end_ms * NS_PER_MS)
        if start_ms is None:
            from_ns = interval.open_of(until_ns)
            for _ in range(limit - 1):
                from_ns = interval.open_of(from_ns - 1)
        else:
            from_ns = start_ms * NS_PER_MS
        bars = self._scene.bars(symbol, interval, from_ns, limit, now_ns)
        weight = 2 if self._spot else 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10
        return [self._row(bar) for bar in bars if bar.open_ns <= until_ns], weight

    def _row(self, bar: Bar) -> tuple[object, ...]:
        text = self._dialect.text
        return (
            bar.open_ns // NS_PER_MS,
            text(bar.open),
            text(bar.high),
            text(bar.low),
            text(bar.close),
            text(bar.volume),
            bar.end_ns // NS_PER_MS - 1,
            text(bar.counter),
            bar.fills,
            text(bar.taker_volume),
            text(bar.taker_counter),
            "0",
        )

    def _depth(self, query: Query, now_ns: int) -> tuple[object, int]:
        symbol = self._symbol(query)
        if self._spot:
            limit = self._limit(query, 100, 5000)
            weight = 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250
        else:
            limit = self._number(query, "limit") or 500
            if limit not in _FUTURES_DEPTHS:
                raise _no(-4021, "Invalid depth limit.")
            weight = 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20
        book = self._scene.book(symbol, limit, now_ns)
        content: dict[str, object] = {"lastUpdateId": book.update_id}
        if not self._spot:
            content |= {"E": now_ns // NS_PER_MS, "T": book.time_ns // NS_PER_MS}
        if self._inverse:
            content |= {"symbol": symbol, "pair": self._dialect.listing(symbol).pair}
        return content | {"bids": self._dialect.levels(book.bids), "asks": self._dialect.levels(book.asks)}, weight

    def _trades(self, query: Query, now_ns: int) -> tuple[object, int]:
        symbol = self._symbol(query)
        limit = self._limit(query, 500, 1000)
        first = self._number(query, "fromId")
        if first is None:
            first = max(1, self._scene.last_ids(symbol, now_ns)[1] - limit + 1)
        fills = self._scene.fills_from(symbol, max(1, first), limit, now_ns)
        weight = 25 if self._spot else 20 if "fromId" in query else 5
        return [self._fill(fill) for fill in fills], weight

    def _fill(self, fill: Fill) -> dict[str, object]:
        text = self._dialect.text
        row: dict[str, object] = {
            "id": fill.id,
            "price": text(fill.price),
            "qty": text(fill.quantity),
            "baseQty" if self._inverse else "quoteQty": text(fill.counter),
            "time": fill.time_ns // NS_PER_MS,
            "isBuyerMaker": not fill.taker_buys,
        }
        if self._spot:
            return row | {"isBestMatch": True}
        return row if self._inverse else row | {"isRPITrade": False}

    def _aggregates(self, query: Query, now_ns: int) -> tuple[object, int]:
        symbol = self._symbol(query)
        limit = self._limit(query, 500, 1000)
        first = self._number(query, "fromId")
        start_ms, end_ms = self._number(query, "startTime"), self._number(query, "endTime")
        if first is not None and (start_ms is not None or end_ms is not None):
            raise _no(-1128, "Combination of optional parameters invalid.")
        # A bound in milliseconds includes all of its millisecond.
        until_ns = now_ns if end_ms is None else min(now_ns, (end_ms + 1) * NS_PER_MS - 1)
        last = self._scene.last_ids(symbol, until_ns)[0]
        if start_ms is not None:
            first = self._scene.last_ids(symbol, start_ms * NS_PER_MS - 1)[0] + 1
        elif first is None:
            first = last - limit + 1
        items = self._scene.aggregates_from(symbol, max(1, first), limit, until_ns)
        return [self._aggregate(item) for item in items], 4 if self._spot else 20

    def _aggregate(self, item: Aggregate) -> dict[str, object]:
        row: dict[str, object] = {
            "a": item.id,
            "p": self._dialect.text(item.price),
            "q": self._dialect.text(item.quantity),
            "f": item.first_fill,
            "l": item.last_fill,
            "T": item.time_ns // NS_PER_MS,
            "m": not item.taker_buys,
        }
        if self._spot:
            return row | {"M": True}
        return row if self._inverse else row | {"nq": row["q"]}

    def _each(
        self, query: Query, one: Callable[[str], dict[str, object]], single: int, every: int
    ) -> tuple[object, int]:
        symbols = self._symbols(query)
        if symbols is not None and "symbol" in query and not self._inverse:
            return one(symbols[0]), single
        # COIN-M answers a list even where one symbol was named.
        return [one(symbol) for symbol in (symbols or self._scene.listings)], single if symbols else every

    def _day(self, query: Query, now_ns: int) -> tuple[object, int]:
        def one(symbol: str) -> dict[str, object]:
            text = self._dialect.text
            bar = self._scene.bar(symbol, now_ns - _DAY_NS, now_ns + 1, now_ns)
            change, percent, mean = self._dialect.day(symbol, bar)
            last = self._scene.fills_from(symbol, bar.last_fill, 1, now_ns) if bar.fills else []
            row: dict[str, object] = {"symbol": symbol}
            if self._inverse:
                row["pair"] = self._dialect.listing(symbol).pair
            row |= {"priceChange": change, "priceChangePercent": percent, "weightedAvgPrice": mean}
            row |= {"lastPrice": text(bar.close), "lastQty": text(last[0].quantity) if last else "0"}
            row |= {"openPrice": text(bar.open), "highPrice": text(bar.high), "lowPrice": text(bar.low)}
            row |= {"volume": text(bar.volume), "baseVolume" if self._inverse else "quoteVolume": text(bar.counter)}
            row |= {"openTime": bar.open_ns // NS_PER_MS, "closeTime": now_ns // NS_PER_MS}
            row |= {"firstId": bar.first_fill, "lastId": bar.last_fill, "count": bar.fills}
            if self._spot:
                (bid, bid_size), (ask, ask_size) = self._best(symbol, now_ns)
                row |= {"prevClosePrice": text(bar.open), "bidPrice": bid, "bidQty": bid_size}
                row |= {"askPrice": ask, "askQty": ask_size}
            return row

        return self._each(query, one, 2 if self._spot else 1, 80 if self._spot else 40)

    def _price(self, query: Query, now_ns: int) -> tuple[object, int]:
        def one(symbol: str) -> dict[str, object]:
            close = self._scene.bar(symbol, now_ns, now_ns + 1, now_ns).close
            row: dict[str, object] = {"symbol": symbol, "price": self._dialect.text(close)}
            if self._inverse:
                row["ps"] = self._dialect.listing(symbol).pair
            return row if self._spot else row | {"time": now_ns // NS_PER_MS}

        return self._each(query, one, 2 if self._spot else 1, 4 if self._spot else 2)

    def _top(self, query: Query, now_ns: int) -> tuple[object, int]:
        def one(symbol: str) -> dict[str, object]:
            (bid, bid_size), (ask, ask_size) = self._best(symbol, now_ns)
            row: dict[str, object] = {"symbol": symbol}
            if self._inverse:
                row["pair"] = self._dialect.listing(symbol).pair
            row |= {"bidPrice": bid, "bidQty": bid_size, "askPrice": ask, "askQty": ask_size}
            return row if self._spot else row | {"time": now_ns // NS_PER_MS}

        return self._each(query, one, 2, 4 if self._spot else 5)

    def _best(self, symbol: str, now_ns: int) -> tuple[tuple[str, str], tuple[str, str]]:
        book = self._scene.book(symbol, 1, now_ns)
        return self._dialect.levels(book.bids)[0], self._dialect.levels(book.asks)[0]

    def _rules(self, query: Query, now_ns: int) -> tuple[object, int]:
        limits = [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": self.weight_max},
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
        ]
        symbols = (self._symbols(query) if self._spot else None) or list(self._scene.listings)
        describe = self._spot_rules if self._spot else self._contract_rules
        content = {
            "timezone": "UTC",
            "serverTime": now_ns // NS_PER_MS,
            "rateLimits": limits,
            "exchangeFilters": [],
            "symbols": [describe(self._dialect.listing(symbol)) for symbol in symbols],
        }
        return content, 20 if self._spot else 1

    def _filters(self, listing: Listing) -> list[dict[str, object]]:
        tick, lot = f"{listing.tick_size:f}", f"{listing.lot_size:f}"
        if self._spot:
            tick, lot = self._dialect.text(listing.tick_size), self._dialect.text(listing.lot_size)
        least: dict[str, object] = {"notional": "5"}
        if self._spot:
            least = {"minNotional": "5.00000000", "applyMinToMarket": True}
        filters: list[dict[str, object]] = [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000.00000000", "stepSize": lot},
            {"filterType": "MARKET_LOT_SIZE", "minQty": lot, "maxQty": "1000.00000000", "stepSize": lot},
        ]
        if not self._inverse:
            filters.append({"filterType": "NOTIONAL" if self._spot else "MIN_NOTIONAL", **least})
        return filters

    def _spot_rules(self, listing: Listing) -> dict[str, object]:
        return {
            "symbol": listing.symbol,
            "status": "TRADING",
            "baseAsset": listing.base,
            "baseAssetPrecision": 8,
            "quoteAsset": listing.quote,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
            "icebergAllowed": True,
            "ocoAllowed": True,
            "otoAllowed": True,
            "quoteOrderQtyMarketAllowed": True,
            "allowTrailingStop": True,
            "cancelReplaceAllowed": True,
            "amendAllowed": True,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": self._filters(listing),
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
            "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
        }

    def _contract_rules(self, listing: Listing) -> dict[str, object]:
        tick, lot = f"{listing.tick_size:f}", f"{listing.lot_size:f}"
        row: dict[str, object] = {
            "symbol": listing.symbol,
            "pair": listing.pair,
            "contractType": "PERPETUAL" if listing.kind is Kind.PERPETUAL else "CURRENT_QUARTER",
            "deliveryDate": listing.expiry_ns // NS_PER_MS if listing.expiry_ns else _PERPETUAL_ENDS_MS,
            "onboardDate": listing.listed_ns // NS_PER_MS,
            "contractStatus" if self._inverse else "status": "TRADING",
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": listing.base,
            "quoteAsset": listing.quote,
            "marginAsset": listing.settle,
            "pricePrecision": len(tick.partition(".")[2]),
            "quantityPrecision": len(lot.partition(".")[2]),
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": ["PoW"],
            "triggerProtect": "0.0500",
            "liquidationFee": "0.015000",
            "marketTakeBound": "0.05",
            "filters": self._filters(listing),
            "orderTypes": ["LIMIT", "MARKET", "STOP", "TAKE_PROFIT"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        }
        return row | {"contractSize": int(listing.contract_size or 1)} if self._inverse else row


def _no(code: int, reason: str) -> VenueRejected:
    return VenueRejected("binance", str(code), reason)
