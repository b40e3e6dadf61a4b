"""The server's half of Kraken's public REST: what a simulated Kraken answers to requests for market data.

Written from the documentation, and from nothing else in this folder. Refusals have the status 200, and tell what is
wrong in `error`; which status goes with a server in trouble is that of what stands before it. `since` leaves out what
it names, as older versions of the documentation say. A candle in which nothing was traded has the price of the trade
before it, and no volume (seen 2021-08-10: https://github.com/dominiktraxl/pykrakenapi/issues/55 ). How many decimals an
asset has follows the example of its page; the words that refuse an unknown one are ours.

Calls "at a frequency of 1 per second (or less)" are safe, by address, and by pair besides for candles and trades; how
many more are not is not documented. Here it is half as many again, in ten seconds.

Source: https://docs.kraken.com/api-reference/market-data/get-ohlc-data
Source: https://docs.kraken.com/api-reference/market-data/get-recent-trades
Source: https://docs.kraken.com/api-reference/market-data/get-asset-info
Source: https://docs.kraken.com/api-reference/market-data/get-tradable-asset-pairs
Source: https://docs.kraken.com/api-reference/market-data/get-order-book
Source: https://docs.kraken.com/api/docs/rest-api/get-ticker-information
Source: https://docs.kraken.com/exchange/guides/general/historical-data
Source: https://support.kraken.com/articles/206548367-what-are-the-api-rate-limits-
Source: https://support.kraken.com/hc/en-us/articles/360001491786-API-error-messages
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.errors import VenueRejected
from heliograph.venues.dialect import Answer, Ask, Query, Quota
from heliograph.venues.kraken.dialect import INTERVALS, Dialect, micro, vwap
from heliograph.venues.kraken.dialect_books import places, written
from heliograph.venues.scene import Bar, Fill, Listing

_encode: Final = msgspec.json.Encoder().encode

ROWS_MAX: Final = 720
TRADES_MAX: Final = 1_000
DEPTH_MAX: Final = 500
ALTERNATIVE: Final = {"BTC": "XBT", "DOGE": "XDG"}
"""The assets whose alternative names are not those that people use."""
_ROOT: Final = "/0/public/"
_MINUTE_NS: Final = 60 * NS_PER_S
_DAY_NS: Final = 86_400 * NS_PER_S
_OLD_COINS: Final = ("XBT", "ETH", "LTC", "XRP", "XDG", "XLM", "XMR", "ZEC", "ETC", "REP", "MLN")
"""Those whose internal names begin with an X."""
_MONEY: Final = ("USD", "EUR", "GBP", "JPY", "CAD", "AUD")
"""Those whose internal names begin with a Z."""


class Rest:
    """The REST interface of Kraken.

    Args:
        dialect: what happens at its market.

    """

    bans: Final = False

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._scene = dialect.scene
        self._pairs: dict[str, Listing] = {}
        for listing in self._scene.listings.values():
            altname, wsname = _altname(listing), _wsname(listing)
            self._pairs |= dict.fromkeys((listing.symbol, altname, wsname, _internal(listing)), listing)
        self._routes: Mapping[str, Callable[[Query, int], object]] = {
            "Time": self._time,
            "SystemStatus": lambda _query, now_ns: {"status": "online", "timestamp": micro(now_ns)[:19] + "Z"},
            "Assets": self._assets,
            "AssetPairs": self._asset_pairs,
            "Ticker": self._ticker,
            "OHLC": self._ohlc,
            "Depth": self._depth,
            "Trades": self._trades,
        }

    def quota(self, ask: Ask) -> Quota:
        """Return what a request counts against: candles and trades of each pair, or all else."""
        name = ask.path.removeprefix(_ROOT)
        if name in ("OHLC", "Trades"):
            listing = self._pairs.get(ask.query.get("pair", ""))
            return Quota(f"{name} {listing.symbol if listing else ''}", 15, 10)
        return Quota("address", 15, 10)

    def headers(self, _quota: Quota, _used: int, _reset_ms: int) -> Mapping[str, str]:
        """Return none: nothing is told of what was used."""
        return {}

    def answer(self, ask: Ask, now_ns: int) -> Answer:
        """Answer a request."""
        route = self._routes.get(ask.path.removeprefix(_ROOT)) if ask.path.startswith(_ROOT) else None
        if route is None or ask.method not in ("GET", "POST"):
            return _error("EGeneral:Unknown method")
        try:
            return Answer(200, _encode({"error": [], "result": route(ask.query, now_ns)}))
        except VenueRejected as refused:
            return _error(refused.code)

    def too_much(self, _ask: Ask, *, wait_s: int) -> Answer:
        """Refuse a request because there were too many; for how long is not told."""
        return msgspec.structs.replace(_error("EGeneral:Too many requests"), weight=0)

    def banned(self, *, until_ms: int, wait_s: int) -> Answer:
        """Refuse a request in the same way: no ban is documented but that of what stands before the venue."""
        return self.too_much(Ask(""), wait_s=wait_s)

    def broken(self, status: int) -> Answer:
        """Answer as a server in trouble does."""
        code = "EService:Unavailable" if status == 503 else "EGeneral:Internal error"
        return msgspec.structs.replace(_error(code), status=status)

    def _listing(self, query: Query) -> Listing:
        asked = query.get("pair", "")
        if not asked:
            raise _no("EGeneral:Invalid arguments")
        listing = self._pairs.get(asked)
        if listing is None:
            raise _no("EQuery:Unknown asset pair")
        return listing

    def _asked(self, query: Query) -> list[Listing]:
        """Return the pairs of a list with commas, all where there is none."""
        if not query.get("pair"):
            return list(self._scene.listings.values())
        return [self._listing({"pair": name}) for name in query["pair"].split(",")]

    def _time(self, _query: Query, now_ns: int) -> object:
        now = datetime.fromtimestamp(now_ns // NS_PER_S, UTC)
        return {"unixtime": now_ns // NS_PER_S, "rfc1123": now.strftime("%a, %d %b %y %H:%M:%S +0000")}

    def _assets(self, query: Query, _now_ns: int) -> object:
        """Describe the assets of a list with commas, all where there is none, each by whichever of its names."""
        display = _version(query)
        sort = query.get("aclass", "currency")
        if sort not in ("currency", "tokenized_asset"):
            raise _no("EGeneral:Invalid arguments:aclass")
        if sort != "currency":
            return {}
        listings = self._scene.listings.values()
        names = sorted({name for listing in listings for name in (listing.base, listing.quote)})
        known = {other: name for name in names for other in (name, ALTERNATIVE.get(name, name), _asset(name))}
        asked = query["asset"].split(",") if query.get("asset") else names
        if not known.keys() >= set(asked):
            raise _no("EQuery:Unknown asset")
        return {name if display else _asset(name): _asset_described(name) for name in (known[one] for one in asked)}

    def _asset_pairs(self, query: Query, _now_ns: int) -> object:
        display = _version(query)
        return {_key(listing, display=display): _described(listing, display=display) for listing in self._asked(query)}

    def _ticker(self, query: Query, now_ns: int) -> object:
        display = _version(query)
        return {_key(listing, display=display): self._day(listing, now_ns) for listing in self._asked(query)}

    def _day(self, listing: Listing, now_ns: int) -> dict[str, object]:
        scene, symbol = self._scene, listing.symbol
        starts = (now_ns // _DAY_NS * _DAY_NS, now_ns - _DAY_NS)
        today, day = (scene.bar(symbol, from_ns, now_ns + 1, now_ns) for from_ns in starts)
        last = scene.last_ids(symbol, now_ns)[1]
        fills = scene.fills_from(symbol, last, 1, now_ns) if last else []
        book = scene.book(symbol, 1, now_ns)

        def best(price: Decimal, quantity: Decimal) -> list[str]:
            return [written(price, 5), str(max(1, int(quantity))), f"{quantity:.3f}"]

        return {
            "a": best(*book.asks[0]),
            "b": best(*book.bids[0]),
            "c": [written(day.close, 5), written(fills[0].quantity if fills else Decimal(0), 8)],
            "v": [written(bar.volume, 8) for bar in (today, day)],
            "p": [written(vwap(bar), 5) for bar in (today, day)],
            "t": [bar.fills for bar in (today, day)],
            "l": [written(bar.low, 5) for bar in (today, day)],
            "h": [written(bar.high, 5) for bar in (today, day)],
            "o": written(today.open, 5),
        }

    def _ohlc(self, query: Query, now_ns: int) -> object:
        """Return the newest candles, the earliest first and the live one last, whatever `since` says."""
        listing = self._listing(query)
        minutes = _number(query, "interval", 1)
        if minutes not in INTERVALS:
            raise _no("EGeneral:Invalid arguments")
        length_ns = minutes * _MINUTE_NS
        live_ns = now_ns // length_ns * length_ns
        since_ns = _number(query, "since", -1) * NS_PER_S
        first_ns = max(live_ns - (ROWS_MAX - 1) * length_ns, listing.listed_ns // length_ns * length_ns)
        opens = [o for o in range(first_ns, live_ns + 1, length_ns) if o > since_ns or o == live_ns]
        rows = [self._row(listing, self._scene.bar(listing.symbol, o, o + length_ns, now_ns)) for o in opens]
        last = (live_ns - length_ns) // NS_PER_S
        return {_key(listing, display=_version(query)): rows, "last": last}

    def _row(self, listing: Listing, bar: Bar) -> list[object]:
        price_places, quantity_places = places(listing)
        prices = [written(price, price_places) for price in (bar.open, bar.high, bar.low, bar.close)]
        average = vwap(bar) if bar.fills else Decimal(0)
        volumes = [written(average, price_places), written(bar.volume, quantity_places)]
        return [bar.open_ns // NS_PER_S, *prices, *volumes, bar.fills]

    def _depth(self, query: Query, now_ns: int) -> object:
        listing = self._listing(query)
        count = _number(query, "count", 100)
        if not 1 <= count <= DEPTH_MAX:
            raise _no("EGeneral:Invalid arguments")
        book = self._scene.book(listing.symbol, count, now_ns)
        second = book.time_ns // NS_PER_S
        sides = {
            name: [[written(price, 5), f"{quantity:.3f}", second] for price, quantity in side]
            for name, side in (("asks", book.asks), ("bids", book.bids))
        }
        return {_key(listing, display=_version(query)): sides}

    def _trades(self, query: Query, now_ns: int) -> object:
        """Return trades, the earliest first: the newest, or the first after an instant."""
        listing = self._listing(query)
        count = _number(query, "count", TRADES_MAX)
        if not 1 <= count <= TRADES_MAX:
            raise _no("EGeneral:Invalid arguments")
        symbol = listing.symbol
        last = self._scene.last_ids(symbol, now_ns)[1]
        since = _number(query, "since", -1)
        if since < 0:
            first = max(1, last - count + 1)
        else:
            # An instant of ten digits is in seconds, any longer one in nanoseconds, as was seen (2025-07-23:
            # https://github.com/ccxt/ccxt/pull/26473 ).
            after_ns = since * NS_PER_S if since < 10**11 else since
            first = self._scene.last_ids(symbol, after_ns)[1] + 1 if after_ns >= listing.listed_ns else 1
        fills = self._scene.fills_from(symbol, first, count, now_ns) if first <= last else []
        newest = fills[-1].time_ns if fills else since
        return {_key(listing, display=_version(query)): [_trade(fill) for fill in fills], "last": str(newest)}


def _trade(fill: Fill) -> list[object]:
    seconds = f"{fill.time_ns // NS_PER_S}.{fill.time_ns % NS_PER_S // 100:07d}".rstrip("0")
    side, sort = "b" if fill.taker_buys else "s", "l" if fill.id % 3 else "m"
    time = msgspec.Raw((seconds + "0" if seconds.endswith(".") else seconds).encode())
    return [written(fill.price, 5), written(fill.quantity, 8), time, side, sort, "", fill.id]


def _asset(name: str) -> str:
    """Return an asset's internal name."""
    other = ALTERNATIVE.get(name, name)
    return f"X{other}" if other in _OLD_COINS else f"Z{other}" if other in _MONEY else other


def _altname(listing: Listing) -> str:
    return "".join(ALTERNATIVE.get(name, name) for name in (listing.base, listing.quote))


def _wsname(listing: Listing) -> str:
    return "/".join(ALTERNATIVE.get(name, name) for name in (listing.base, listing.quote))


def _internal(listing: Listing) -> str:
    base, quote = _asset(listing.base), _asset(listing.quote)
    # Only pairs of two assets with such names have a name with both letters: XXBTZUSD, but XBTUSDT and ADAUSD.
    both = base[0] == "X" and len(base) == 4 and quote[0] in "XZ" and len(quote) == 4
    return base + quote if both else _altname(listing)


def _key(listing: Listing, *, display: bool) -> str:
    return listing.symbol if display else _internal(listing)


def _version(query: Query) -> bool:
    """Tell whether names are to be those that people use."""
    version = query.get("assetVersion")
    if version not in (None, "1"):
        raise _no("EGeneral:Invalid arguments:assetVersion")
    return version == "1"


def _asset_described(name: str) -> dict[str, object]:
    decimals, shown = (4, 2) if name in _MONEY else (10, 5)
    return {
        "aclass": "currency",
        "altname": ALTERNATIVE.get(name, name),
        "decimals": decimals,
        "display_decimals": shown,
        "collateral_value": 1,
        "status": "enabled",
    }


def _described(listing: Listing, *, display: bool) -> dict[str, object]:
    price_places, quantity_places = places(listing)
    base, quote = (name if display else _asset(name) for name in (listing.base, listing.quote))
    return {
        "altname": _altname(listing),
        "wsname": _wsname(listing),
        "aclass_base": "currency",
        "base": base,
        "aclass_quote": "currency",
        "quote": quote,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": price_places,
        "lot_decimals": quantity_places,
        "lot_multiplier": 1,
        "leverage_buy": [2, 3],
        "leverage_sell": [2, 3],
        "fees": [[0, 0.4], [10_000, 0.35]],
        "fees_maker": [[0, 0.25], [10_000, 0.2]],
        "fee_volume_currency": "USD" if display else "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": "0.00005",
        "costmin": "0.5",
        "tick_size": f"{listing.tick_size:f}",
        "status": "online",
        "long_position_limit": 80,
        "short_position_limit": 80,
    }


def _number(query: Query, name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise _no(f"EGeneral:Invalid arguments:{name}")
    return int(text)


def _no(code: str) -> VenueRejected:
    return VenueRejected("kraken", code, code)


def _error(code: str) -> Answer:
    return Answer(200, _encode({"error": [code]}))
