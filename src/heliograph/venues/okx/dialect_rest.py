"""The server's half of OKX's public REST interface: what a simulated OKX answers to a GET.

Written from the documentation, and from nothing else in this folder but the other half of the dialect.

Source: https://www.okx.com/docs-v5/en/#order-book-trading-market-data
Source: https://www.okx.com/docs-v5/en/#public-data-rest-api
Source: https://www.okx.com/docs-v5/en/#error-code-rest-api-public
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.errors import VenueRejected
from heliograph.model.instrument import Kind
from heliograph.venues.dialect import Answer, Ask, Query, Quota
from heliograph.venues.okx.dialect import DEPTH_MAX, GRIDS, INST_TYPES, Dialect
from heliograph.venues.scene import Listing, Scene

_encode: Final = msgspec.json.Encoder().encode
_ROOT: Final = "/api/v5/"
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_WINDOW_S: Final = 2
_CANDLES_BACK: Final = 1_440
"""How many candles the endpoint for recent ones reaches back."""

_STATUSES: Final = {"50014": 400, "51000": 400, "50011": 429, "50001": 503, "50026": 500, "404": 404}
"""The HTTP status of an error; 200 for all that is not listed."""


class Rest:
    """The REST interface of OKX.

    Args:
        dialect: what happens at its markets.

    """

    bans: Final = False

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._routes: dict[str, tuple[int, Callable[[Query, int], list[object]]]] = {
            "market/candles": (40, self._candles),
            "market/history-candles": (20, self._history),
            "market/books": (40, self._book),
            "market/trades": (100, self._trades),
            "market/history-trades": (20, self._history_trades),
            "market/ticker": (20, self._ticker),
            "market/tickers": (20, self._tickers),
            "public/instruments": (20, self._instruments),
            "public/time": (10, lambda _query, now_ns: [{"ts": str(now_ns // NS_PER_MS)}]),
        }

    def quota(self, ask: Ask) -> Quota:
        """Return the quota of one endpoint, and of one sort of instruments where they are listed."""
        name = ask.path.removeprefix(_ROOT)
        if name not in self._routes:
            return Quota("other", 20, _WINDOW_S)
        most, _ = self._routes[name]
        sort = ask.query.get("instType", "") if name == "public/instruments" else ""
        return Quota(f"{name} {sort}" if sort in INST_TYPES.values() else name, most, _WINDOW_S)

    def headers(self, _quota: Quota, _used: int, _reset_ms: int) -> Mapping[str, str]:
        """Return none: OKX does not tell what was used."""
        return {}

    def answer(self, ask: Ask, now_ns: int) -> Answer:
        """Answer a GET. What is no route is a 404, whose body is not documented."""
        name = ask.path.removeprefix(_ROOT)
        if name == ask.path or name not in self._routes:
            return _error("404", "Not Found")
        if ask.method != "GET":
            return Answer(405, b"")
        _, route = self._routes[name]
        try:
            return Answer(200, _encode({"code": "0", "msg": "", "data": route(ask.query, now_ns)}))
        except VenueRejected as no:
            return _error(no.code, no.reason)

    def too_much(self, _ask: Ask, *, wait_s: int) -> Answer:
        """Refuse a request because there were too many of its kind."""
        return msgspec.structs.replace(_error("50011", "Too Many Requests"), weight=0)

    def banned(self, *, until_ms: int, wait_s: int) -> Answer:
        """Refuse a request in the same way: OKX documents no ban."""
        return self.too_much(Ask(""), wait_s=wait_s)

    def broken(self, status: int) -> Answer:
        """Answer as a server in trouble does."""
        code, reason = "50026", "System error. Try again later"
        if status == 503:
            code, reason = "50001", "Service temporarily unavailable. Please try again later."
        return msgspec.structs.replace(_error(code, reason), status=status)

    def _where(self, query: Query) -> tuple[str, Scene]:
        symbol = query.get("instId", "")
        if not symbol:
            raise _no("50014", "Parameter instId can not be empty.")
        scene = self._dialect.scene_of(symbol)
        if scene is None:
            raise _no("51001", "Instrument ID, Instrument ID code or Spread ID doesn't exist.")
        return symbol, scene

    def _number(self, query: Query, name: str) -> int | None:
        text = query.get(name, "")
        if text == "":
            return None
        if not _NUMBER.fullmatch(text):
            raise _no("51000", f"Parameter {name} error")
        return int(text)

    def _limit(self, query: Query, default: int, most: int, name: str = "limit") -> int:
        limit = self._number(query, name)
        if limit is None:
            return default
        if limit < 1:
            raise _no("51000", f"Parameter {name} error")
        return min(limit, most)

    def _candles(self, query: Query, now_ns: int) -> list[object]:
        return self._page(query, now_ns, history=False)

    def _history(self, query: Query, now_ns: int) -> list[object]:
        return self._page(query, now_ns, history=True)

    def _page(self, query: Query, now_ns: int, *, history: bool) -> list[object]:
        """Return the newest candles that open before `after` and after `before`, the newest first."""
        symbol, scene = self._where(query)
        name = query.get("bar") or "1m"
        if name not in GRIDS or (name == "1s" and not history):
            raise _no("51000", "Parameter bar error")
        grid = GRIDS[name]
        after_ms, before_ms = self._number(query, "after"), self._number(query, "before")
        limit = self._limit(query, 100, 300)
        newest_ns = now_ns if after_ms is None else min(now_ns, after_ms * NS_PER_MS - 1)
        oldest_ns = scene.listings[symbol].listed_ns
        if not history and grid.interval.length_ns is not None:
            oldest_ns = max(oldest_ns, now_ns - _CANDLES_BACK * grid.interval.length_ns)
        rows: list[object] = []
        open_ns = grid.open_of(newest_ns)
        while len(rows) < limit:
            end_ns = grid.next_open(open_ns)
            if end_ns <= oldest_ns or (before_ms is not None and open_ns <= before_ms * NS_PER_MS):
                break
            closed = end_ns <= now_ns
            if closed or not history:
                bar = scene.bar(symbol, open_ns, end_ns, now_ns)
                rows.append(self._dialect.row(symbol, bar, closed=closed))
            open_ns = grid.open_of(open_ns - 1)
        return rows

    def _book(self, query: Query, now_ns: int) -> list[object]:
        symbol, scene = self._where(query)
        book = scene.book(symbol, self._limit(query, 1, DEPTH_MAX, "sz"), now_ns)
        levels = self._dialect.levels
        content = {
            "asks": levels(symbol, book.asks),
            "bids": levels(symbol, book.bids),
            "ts": str(book.time_ns // NS_PER_MS),
            "seqId": book.update_id,
        }
        return [content]

    def _trades(self, query: Query, now_ns: int) -> list[object]:
        symbol, scene = self._where(query)
        last = scene.last_ids(symbol, now_ns)[1]
        return self._fills(symbol, scene, last, self._limit(query, 100, 500), now_ns)

    def _history_trades(self, query: Query, now_ns: int) -> list[object]:
        symbol, scene = self._where(query)
        sort = query.get("type") or "1"
        if sort not in ("1", "2"):
            raise _no("51000", "Parameter type error")
        after, before = self._number(query, "after"), self._number(query, "before")
        limit = self._limit(query, 100, 100)
        last = scene.last_ids(symbol, now_ns)[1]
        if sort == "2":
            if before is not None:
                raise _no("50039", 'Parameter "before" isn\'t supported for timestamp pagination')
            if after is not None:
                last = scene.last_ids(symbol, min(now_ns, after * NS_PER_MS - 1))[1]
        elif after is not None:
            last = min(last, after - 1)
        count = limit if before is None else min(limit, last - before)
        return self._fills(symbol, scene, last, count, now_ns)

    def _fills(self, symbol: str, scene: Scene, last: int, count: int, now_ns: int) -> list[object]:
        first = max(1, last - count + 1)
        fills = scene.fills_from(symbol, first, last - first + 1, now_ns) if first <= last else []
        return [self._dialect.trade(symbol, fill) for fill in reversed(fills)]

    def _ticker(self, query: Query, now_ns: int) -> list[object]:
        symbol, _ = self._where(query)
        return [self._dialect.ticker(symbol, now_ns)]

    def _tickers(self, query: Query, now_ns: int) -> list[object]:
        return [self._dialect.ticker(listing.symbol, now_ns) for listing in self._listed(query)]

    def _instruments(self, query: Query, _now_ns: int) -> list[object]:
        wanted = query.get("instId") or None
        if query.get("instType") == "OPTION" and not query.get("instFamily"):
            raise _no("50014", "Parameter instFamily can not be empty.")
        return [_described(listing) for listing in self._listed(query) if wanted in (None, listing.symbol)]

    def _listed(self, query: Query) -> list[Listing]:
        sort = query.get("instType", "")
        if not sort:
            raise _no("50014", "Parameter instType can not be empty.")
        if sort not in (*INST_TYPES.values(), "MARGIN", "EVENTS"):
            raise _no("51000", "Parameter instType error")
        family = query.get("instFamily") or None
        return [
            listing
            for scene in self._dialect.markets.values()
            for listing in scene.listings.values()
            if INST_TYPES[listing.kind] == sort and (family is None or sort == "SPOT" or family == listing.pair)
        ]


def _described(listing: Listing) -> dict[str, object]:
    spot = listing.kind is Kind.SPOT
    most = "9999999999" if spot else "100000000"
    face = listing.contract_size
    # A symbol of an option ends with its strike and its right.
    *_, strike, right = listing.symbol.split("-") if listing.kind is Kind.OPTION else ("", "")
    return {
        "alias": "quarter" if listing.kind is Kind.FUTURE else "",
        "auctionEndTime": "",
        "baseCcy": listing.base if spot else "",
        "category": "1",
        "contTdSwTime": "",
        "ctMult": "" if face is None else "1",
        "ctType": "" if face is None or right else "inverse" if listing.inverse else "linear",
        "ctVal": "" if face is None else f"{face:f}",
        "ctValCcy": "" if face is None else listing.quote if listing.inverse else listing.base,
        "expTime": "" if listing.expiry_ns is None else str(listing.expiry_ns // NS_PER_MS),
        "futureSettlement": False,
        "groupId": "1" if spot or right or listing.inverse else "2",
        "instCategory": "1",
        "instFamily": "" if spot else listing.pair,
        "instId": listing.symbol,
        "instIdCode": None,
        "instType": INST_TYPES[listing.kind],
        "lever": "" if spot else "100",
        "listTime": str(listing.listed_ns // NS_PER_MS),
        "lotSz": f"{listing.lot_size:f}",
        "maxIcebergSz": most,
        "maxLmtAmt": "20000000",
        "maxLmtSz": most,
        "maxMktAmt": "1000000" if spot else "",
        "maxMktSz": "1000000" if spot else "30000",
        "maxStopSz": "1000000" if spot else "30000",
        "maxTriggerSz": most,
        "maxTwapSz": most,
        "minSz": f"{listing.lot_size:f}",
        "openType": "",
        "optType": right,
        "preMktSwTime": "",
        "quoteCcy": listing.quote if spot else "",
        "ruleType": "normal",
        "settleCcy": listing.settle or "",
        "state": "live",
        "stk": strike,
        "tickSz": f"{listing.tick_size:f}",
        "tradeQuoteCcyList": [listing.quote] if spot else [],
        "uly": "" if spot else listing.pair,
        "upcChg": [],
    }


def _error(code: str, reason: str) -> Answer:
    return Answer(_STATUSES.get(code, 200), _encode({"code": code, "msg": reason, "data": []}))


def _no(code: str, reason: str) -> VenueRejected:
    return VenueRejected("okx", code, reason)
