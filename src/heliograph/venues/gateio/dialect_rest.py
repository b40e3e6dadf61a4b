"""The server's half of Gate.io's public REST interface: what a simulated Gate.io answers to a GET.

Written from the documentation and from recorded answers, and from nothing else in this folder but the dialect.

Source: https://www.gate.com/docs/developers/apiv4/en/
Source: https://github.com/gate/gateapi-python/blob/master/docs/SpotApi.md
Source: https://github.com/gate/gateapi-python/blob/master/docs/FuturesApi.md
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.errors import VenueRejected
from heliograph.model.instrument import SPOT, MarketId
from heliograph.venues.dialect import Answer, Ask, Query, Quota
from heliograph.venues.gateio.dialect import DEPTH, SETTLES, boards_of
from heliograph.venues.gateio.dialect_spot import currency
from heliograph.venues.gateio.dialect_words import FUTURES_GRIDS, SPOT_GRIDS, Board, Grid, encode, ms
from heliograph.venues.scene import Fill, Scene

_ROOT: Final = "/api/v4/"
_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_POINTS_BACK: Final = 10_000
"""How many bars back the first one asked for may be."""

_CALLS_MAX: Final = 200
_WINDOW_S: Final = 10

_EMPTY: Final = (
    "margin/currency_pairs", "delivery/usdt/contracts", "delivery/btc/contracts", "options/underlyings"
)  # fmt: skip
"""Lists of markets that are not played."""

_STATUSES: Final = {"TOO_MANY_REQUESTS": 429, "NOT_FOUND": 404, "METHOD_NOT_ALLOWED": 405}
"""The HTTP status of an error; 400 for all that is not listed."""

_Route = Callable[[Board, Ask, int], object]


class Rest:
    """The REST interface of one host.

    Args:
        markets: what happens at the markets that it knows.

    """

    bans: Final = False

    def __init__(self, markets: Mapping[MarketId, Scene]) -> None:
        self._places = {
            "spot" if market == SPOT else f"futures/{SETTLES[market]}": board
            for market, board in boards_of(markets).items()
        }
        both: dict[str, _Route] = {
            "candlesticks": _candlesticks,
            "order_book": _order_book,
            "trades": _trades,
            "tickers": _tickers,
        }
        spot: dict[str, _Route] = {"currency_pairs": _pairs, "currencies": _currencies, "time": _time}
        self._routes = {"spot": both | spot, "futures": both | {"contracts": _contracts}}

    def _split(self, ask: Ask) -> tuple[str, str, str]:
        """Return the market's place, what is asked for, and the one thing of it, or empty text for each."""
        parts = ask.path.removeprefix(_ROOT).split("/") if ask.path.startswith(_ROOT) else []
        if parts[:1] == ["spot"]:
            parts[:1] = ["spot"]
        elif parts[:1] == ["futures"]:
            parts[:2] = ["/".join(parts[:2])]
        if len(parts) < 2 or parts[0] not in self._places:
            return "", "", ""
        return parts[0], parts[1], "/".join(parts[2:])

    def quota(self, ask: Ask) -> Quota:
        """Return the quota of one endpoint.

        Source: https://www.gate.com/docs/developers/apiv4/en/#rate-limit
        """
        place, what, item = self._split(ask)
        if what not in self._routes.get(place.partition("/")[0], {}):
            return Quota("other", _CALLS_MAX, _WINDOW_S)
        return Quota(f"{place}/{what}{'/*' if item else ''}", _CALLS_MAX, _WINDOW_S)

    def headers(self, quota: Quota, used: int, reset_ms: int) -> Mapping[str, str]:
        """Return what remains, of how much, and when there is more; until it is used up, that is a time gone by."""
        remain = max(0, quota.weight_max - used)
        reset_s = reset_ms // 1000 - (quota.window_s if remain else 0)
        return {
            "X-Gate-RateLimit-Requests-Remain": str(remain),
            "X-Gate-RateLimit-Limit": str(quota.weight_max),
            "X-Gate-RateLimit-Reset-Timestamp": str(reset_s),
        }

    def answer(self, ask: Ask, now_ns: int) -> Answer:
        """Answer a GET."""
        if ask.method == "GET" and ask.path.removeprefix(_ROOT) in _EMPTY:
            return Answer(200, b"[]")
        place, what, item = self._split(ask)
        if not place:
            return _error("NOT_FOUND", "Resource not found")
        route = self._routes[place.partition("/")[0]].get(what)
        if route is None or (item and route not in (_pairs, _contracts, _currencies)):
            # What is not public is asked for its signature first, whether there is such a thing or not.
            return _error("MISSING_REQUIRED_HEADER", "Missing required header: Timestamp")
        if ask.method != "GET":
            return _error("METHOD_NOT_ALLOWED", f"Method {ask.method} not allowed")
        try:
            return Answer(200, encode(route(self._places[place], ask, now_ns)))
        except VenueRejected as no:
            return _error(no.code, no.reason)

    def too_much(self, _ask: Ask, *, wait_s: int) -> Answer:
        """Refuse a request because there were too many of its kind. The wording is not documented."""
        refused = _error("TOO_MANY_REQUESTS", "Request rate limit exceeded")
        return Answer(refused.status, refused.body, weight=0)

    def banned(self, *, until_ms: int, wait_s: int) -> Answer:
        """Refuse a request in the same way: Gate documents no ban."""
        return self.too_much(Ask(""), wait_s=wait_s)

    def broken(self, status: int) -> Answer:
        """Answer as a server in trouble does."""
        label, reason = (
            ("TOO_BUSY", "Service is too busy") if status == 503 else ("SERVER_ERROR", "Internal server error")
        )
        return Answer(status, _error(label, reason).body)


def _exact(ask: Ask) -> bool:
    return ask.headers.get("x-gate-size-decimal") == "1"


def _which(board: Board) -> str:
    return "currency_pair" if board.app == "spot" else "contract"


def _symbol(board: Board, symbol: str) -> str:
    """Return the name of an instrument that there is. Which of the two labels spot answers with was seen 2026-09-25."""
    listings = board.scene.listings
    if symbol in listings:
        return symbol
    if board.app == "futures":
        raise _no("CONTRACT_NOT_FOUND", "")
    base, _, quote = symbol.partition("_")
    currencies = {name for listing in listings.values() for name in (listing.base, listing.quote)}
    unknown = [name for name in (base, quote) if name not in currencies]
    if not quote or not unknown:
        raise _no("INVALID_CURRENCY_PAIR", f"Invalid currency pair {symbol}")
    raise _no("INVALID_CURRENCY", f"Invalid currency {unknown[0]}")


def _asked(board: Board, query: Query) -> str:
    symbol = query.get(_which(board), "")
    if not symbol:
        raise _no("MISSING_REQUIRED_PARAM", f"Missing required parameter: {_which(board)}")
    return _symbol(board, symbol)


def _invalid(query: Query, name: str) -> VenueRejected:
    return _no("INVALID_PARAM_VALUE", f"Invalid request parameter `{name}` value: {query.get(name, '')}")


def _number(query: Query, name: str) -> int | None:
    text = query.get(name, "")
    if text == "":
        return None
    if not _NUMBER.fullmatch(text):
        raise _invalid(query, name)
    return int(text)


def _limit(query: Query, default: int, most: int) -> int:
    limit = _number(query, "limit")
    if limit is None:
        return default
    if not 1 <= limit <= most:
        raise _invalid(query, "limit")
    return limit


def _candlesticks(board: Board, ask: Ask, now_ns: int) -> object:
    """Return bars, the oldest first and the live one among them."""
    query, spot = ask.query, board.app == "spot"
    symbol = _asked(board, query)
    grids, most = (SPOT_GRIDS, 1000) if spot else (FUTURES_GRIDS, 2000)
    name = query.get("interval", "") or ("30m" if spot else "5m")
    if name not in grids:
        raise _invalid(query, "interval")
    grid = grids[name]
    oldest_ns, newest_ns = _window(grid, query, most, now_ns)
    # Spot speaks of points "ago", futures of points "recently".
    if oldest_ns < _back(grid, grid.open_of(now_ns), _POINTS_BACK):
        ago = "ago" if spot else "recently"
        raise _no("INVALID_PARAM_VALUE", f"Candlestick too long ago. Maximum {_POINTS_BACK} points {ago} are allowed")
    opens: list[int] = []
    open_ns = grid.open_of(newest_ns)
    # Of a window that is too wide, futures tell the newest bars and one more than the most, without a word.
    while open_ns >= oldest_ns and len(opens) <= most:
        opens.append(open_ns)
        open_ns = grid.open_of(open_ns - 1)
    if spot and len(opens) > most:
        reason = f"Candlestick range too broad. Maximum {most} data points are allowed per request"
        raise _no("INVALID_PARAM_VALUE", reason)
    rows = []
    listed_ns = grid.open_of(board.scene.listings[symbol].listed_ns)
    for open_ns in reversed([open_ns for open_ns in opens if open_ns >= listed_ns]):
        end_ns = grid.next_open(open_ns)
        bar = board.scene.bar(symbol, open_ns, end_ns, now_ns)
        rows.append(board.candle_row(symbol, bar, closed=end_ns <= now_ns, exact=_exact(ask)))
    return rows


def _window(grid: Grid, query: Query, most: int, now_ns: int) -> tuple[int, int]:
    """Return between which open times bars are asked for; both are inclusive (seen 2026-09-25)."""
    limit, from_s, to_s = _limit(query, 100, most), _number(query, "from"), _number(query, "to")
    if query.get("limit", "") and (from_s is not None or to_s is not None):
        # That such a request is rejected is documented, with which words is not.
        raise _invalid(query, "to" if from_s is None else "from")
    newest_ns = now_ns if to_s is None else min(now_ns, to_s * NS_PER_S)
    if from_s is not None:
        return from_s * NS_PER_S, newest_ns
    return _back(grid, grid.open_of(newest_ns), limit - 1 if to_s is None else 100), newest_ns


def _back(grid: Grid, open_ns: int, count: int) -> int:
    """Return the open time of the bar that many bars earlier."""
    length_ns = grid.interval.length_ns
    if length_ns is not None:
        return open_ns - count * length_ns
    for _ in range(min(count, 1200)):
        open_ns = grid.open_of(open_ns - 1)
    return open_ns


def _order_book(board: Board, ask: Ask, now_ns: int) -> object:
    symbol = _asked(board, ask.query)
    if ask.query.get("interval", "") not in ("", "0"):
        raise _invalid(ask.query, "interval")  # Merged prices are not played.
    limit = _limit(ask.query, 10, 1000 if board.app == "spot" else 300)
    book = board.scene.book(symbol, min(limit, DEPTH), now_ns)
    with_id = ask.query.get("with_id", "").lower() in ("true", "1")
    return board.book_answer(book, now_ns, with_id=with_id, exact=_exact(ask))


def _trades(board: Board, ask: Ask, now_ns: int) -> object:
    """Return trades, the newest first: those before `last_id` if spot is asked in reverse, else the latest after it.

    Futures' `last_id` is deprecated, and said to be where the list starts: here, it leads to what is older.
    """
    symbol, query, scene = _asked(board, ask.query), ask.query, board.scene
    limit, last_id = _limit(query, 100, 1000), _number(query, "last_id")
    from_s, to_s = _number(query, "from"), _number(query, "to")
    last = scene.last_ids(symbol, now_ns)[1]
    first = 1
    if last_id is not None and board.app == "spot" and query.get("reverse", "").lower() != "true":
        first = last_id + 1
    elif last_id is not None:
        last = min(last, last_id - 1)
    else:
        if from_s is not None:
            first = scene.last_ids(symbol, from_s * NS_PER_S - 1)[1] + 1
        if to_s is not None:
            # A time in seconds stands for all of its second.
            last = min(last, scene.last_ids(symbol, min(now_ns, (to_s + 1) * NS_PER_S - 1))[1])
        skipped = _number(query, "offset") or 0
        if board.app == "spot":
            skipped = (max(1, _number(query, "page") or 1) - 1) * limit
        last -= skipped
    first = max(first, last - limit + 1, 1)
    fills: list[Fill] = scene.fills_from(symbol, first, last - first + 1, now_ns) if first <= last else []
    return [board.trade_row(symbol, fill, exact=_exact(ask)) for fill in reversed(fills)]


def _tickers(board: Board, ask: Ask, now_ns: int) -> object:
    named = ask.query.get(_which(board), "")
    symbols = [_symbol(board, named)] if named else list(board.scene.listings)
    return [board.ticker_row(symbol, now_ns, exact=_exact(ask)) for symbol in symbols]


def _pairs(board: Board, ask: Ask, now_ns: int) -> object:
    item = _item(ask, "currency_pairs")
    if item:
        return board.rules(_symbol(board, item), now_ns, exact=False)
    return [board.rules(symbol, now_ns, exact=False) for symbol in board.scene.listings]


def _currencies(board: Board, ask: Ask, _now_ns: int) -> object:
    item = _item(ask, "currencies")
    rows = [currency(listing) for listing in board.scene.listings.values() if item in ("", listing.base)]
    if item and not rows:
        raise _no("INVALID_CURRENCY", f"Invalid currency {item}")
    return rows[0] if item else rows


def _contracts(board: Board, ask: Ask, now_ns: int) -> object:
    """Return contracts: all of them where no limit is given, which is what was seen (2026-08-01)."""
    item = _item(ask, "contracts")
    if item:
        return board.rules(_symbol(board, item), now_ns, exact=_exact(ask))
    symbols = list(board.scene.listings)
    offset = _number(ask.query, "offset") or 0
    limit = _limit(ask.query, len(symbols), 1000)
    return [board.rules(symbol, now_ns, exact=_exact(ask)) for symbol in symbols[offset : offset + limit]]


def _time(_board: Board, _ask: Ask, now_ns: int) -> object:
    return {"server_time": ms(now_ns)}


def _item(ask: Ask, what: str) -> str:
    return ask.path.partition(f"/{what}/")[2]


def _error(label: str, reason: str) -> Answer:
    # A contract that is not found has no message at all (seen 2026-09-25).
    content = {"label": label} | ({"message": reason} if reason else {})
    return Answer(_STATUSES.get(label, 400), encode(content))


def _no(label: str, reason: str) -> VenueRejected:
    return VenueRejected("gateio", label, reason)
