"""The server's half of Hyperliquid's public REST interface: what a simulated Hyperliquid answers to a POST.

Written from the documentation, and from nothing else in this folder but the other half of the dialect.

Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint
Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/perpetuals
Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/spot
Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/rate-limits-and-user-limits
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeGuard

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.errors import VenueRejected
from heliograph.venues.dialect import Answer, Ask, Quota
from heliograph.venues.hyperliquid.dialect import INTERVALS, REPLAYED, Dialect, groups, pair_index
from heliograph.venues.scene import Listing

_encode: Final = msgspec.json.Encoder().encode
_QUOTA: Final = Quota("weight", 1_200, 60)
CANDLES_MAX: Final = 5_000
"""How many candles there are of an instrument and an interval."""

_LIGHT: Final = ("l2Book", "allMids", "exchangeStatus")
_PER_ITEMS: Final = {"candleSnapshot": 60, "recentTrades": 20}
"""How many items of an answer cost one more."""

_NULL: Final = b"null"
_SYNTAX: Final = b"Failed to parse the request body as JSON"
_SHAPE: Final = b"Failed to deserialize the JSON body into the target type"
_DEPLOYER: Final = "0x5e89b26d8d66da9888c835c9bfcc2aa51813e152"

_Body = dict[str, Any]


class Rest:
    """The REST interface of Hyperliquid.

    Args:
        dialect: what happens at its markets.

    """

    bans: Final = False

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._routes: Mapping[str, Callable[[_Body, int], object]] = {
            "meta": lambda body, _now_ns: self._meta(_dex(body)),
            "allPerpMetas": lambda _body, _now_ns: [self._meta(dex) for dex in self._dexes()],
            "perpDexs": lambda _body, _now_ns: self._described(),
            "spotMeta": lambda _body, _now_ns: self._spot_meta(),
            "metaAndAssetCtxs": self._meta_and_contexts,
            "spotMetaAndAssetCtxs": self._spot_meta_and_contexts,
            "allMids": self._mids,
            "candleSnapshot": self._candles,
            "l2Book": self._book,
            "recentTrades": self._trades,
            "exchangeStatus": lambda _body, now_ns: {"time": now_ns // NS_PER_MS, "specialStatuses": None},
        }

    def quota(self, _ask: Ask) -> Quota:
        """Return the one quota that all requests share."""
        return _QUOTA

    def headers(self, _quota: Quota, _used: int, _reset_ms: int) -> Mapping[str, str]:
        """Return none: Hyperliquid does not tell what was used."""
        return {}

    def answer(self, ask: Ask, now_ns: int) -> Answer:
        """Answer a request for information. What is refused is refused in plain text, and not in JSON."""
        if ask.path != "/info":
            return Answer(404, b"")
        if ask.method != "POST":
            return Answer(405, b"")
        if not ask.headers.get("content-type", "").startswith("application/json"):
            return Answer(415, b"Expected request with `Content-Type: application/json`")
        try:
            body = msgspec.json.decode(ask.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Answer(400, _SYNTAX)
        kind = body.get("type") if isinstance(body, dict) else None
        if not isinstance(kind, str) or kind not in self._routes:
            return Answer(422, _SHAPE)
        weight = 2 if kind in _LIGHT else 20
        try:
            content = self._routes[kind](body, now_ns)
        except VenueRejected:
            return Answer(422, _SHAPE, weight)
        except KeyError:
            # What is asked about does not exist. Which status that has is not documented.
            return Answer(200 if kind == "l2Book" else 500, _NULL, weight)
        if kind in _PER_ITEMS and isinstance(content, list):
            weight += len(content) // _PER_ITEMS[kind]
        return Answer(200, _encode(content), weight)

    def too_much(self, _ask: Ask, *, wait_s: int) -> Answer:
        """Refuse a request because too much was asked for; for how long is not told."""
        return Answer(429, _NULL, weight=0)

    def banned(self, *, until_ms: int, wait_s: int) -> Answer:
        """Refuse a request in the same way: Hyperliquid documents no ban."""
        return self.too_much(Ask("/info"), wait_s=wait_s)

    def broken(self, status: int) -> Answer:
        """Answer as a server in trouble does."""
        return Answer(status, _NULL)

    def _dexes(self) -> list[str]:
        return sorted({symbol.rpartition(":")[0] for symbol in self._dialect.listings})

    def _described(self) -> list[object]:
        return [
            {
                "name": dex,
                "fullName": dex.upper(),
                "deployer": _DEPLOYER,
                "oracleUpdater": None,
                "feeRecipient": None,
                "assetToStreamingOiCap": [[listing.symbol, "1000000.0"] for listing in self._dialect.perpetuals(dex)],
                "subDeployers": [],
                "deployerFeeScale": "1.0",
                "lastDeployerFeeScaleChangeTime": "1970-01-01T00:00:00",
                "assetToFundingMultiplier": [],
            }
            if dex
            else None
            for dex in self._dexes()
        ]

    def _meta(self, dex: str) -> dict[str, object]:
        listings = self._dialect.perpetuals(dex)
        if not listings:
            raise KeyError(dex)
        leverage = 20 if dex else 40
        tiers = [{"lowerBound": "0.0", "maxLeverage": leverage}]
        universe = [
            {
                "szDecimals": _decimals(listing),
                "name": listing.symbol,
                "maxLeverage": leverage,
                "marginTableId": leverage,
            }
            | ({"onlyIsolated": True, "marginMode": "strictIsolated"} if dex else {})
            for listing in listings
        ]
        tables = [[leverage, {"description": "", "marginTiers": tiers}]]
        return {"universe": universe, "marginTables": tables, "collateralToken": 0}

    def _meta_and_contexts(self, body: _Body, now_ns: int) -> list[object]:
        dex = _dex(body)
        contexts = [self._dialect.context(listing.symbol, now_ns) for listing in self._dialect.perpetuals(dex)]
        return [self._meta(dex), contexts]

    def _spot_meta(self) -> dict[str, object]:
        """Describe the pairs by the places of their tokens. The indices of pairs have holes; those of tokens none."""
        spots = self._dialect.spots()
        universe = [
            {"tokens": [place, 0], "name": listing.symbol, "index": pair_index(listing), "isCanonical": place == 1}
            for place, listing in enumerate(spots, 1)
        ]
        tokens = [_token("USDC", 8, 0)]
        tokens += [_token(listing.base, _decimals(listing), place) for place, listing in enumerate(spots, 1)]
        return {"universe": universe, "tokens": tokens}

    def _spot_meta_and_contexts(self, _body: _Body, now_ns: int) -> list[object]:
        """Put each context at its pair's index; at a hole is that of a pair that was never traded."""
        listed = {pair_index(listing): listing.symbol for listing in self._dialect.spots()}
        contexts = [
            self._dialect.context(listed[index], now_ns) if index in listed else _untraded(index)
            for index in range(max(listed, default=-1) + 1)
        ]
        return [self._spot_meta(), contexts]

    def _mids(self, body: _Body, now_ns: int) -> dict[str, str]:
        mids = self._dialect.mids(_dex(body), now_ns)
        if not mids:
            raise KeyError(_dex(body))
        return mids

    def _candles(self, body: _Body, now_ns: int) -> list[object]:
        """Return the candles that overlap a stretch of time, the oldest first, the live one included.

        A stretch without a trade has flat candles, but only once it has been traded after it (undocumented, seen by
        users in 2026-07): until then the venue does not know of them.
        """
        asked = body.get("req")
        if not isinstance(asked, dict):
            raise _misshapen()
        symbol, name = asked.get("coin"), asked.get("interval")
        start, end = asked.get("startTime"), asked.get("endTime")
        if not isinstance(symbol, str) or not isinstance(name, str) or name not in INTERVALS:
            raise _misshapen()
        if not _unsigned(start) or (end is not None and not _unsigned(end)):
            raise _misshapen()
        scene, interval = self._dialect.scene_of(symbol), INTERVALS[name]
        last = scene.fills_from(symbol, scene.last_ids(symbol, now_ns)[1], 1, now_ns)
        until_ns = last[0].time_ns if last else 0
        if end is not None:
            until_ns = min(until_ns, end * NS_PER_MS)
        oldest_ns = scene.listings[symbol].listed_ns
        if interval.length_ns is not None:
            oldest_ns = max(oldest_ns, now_ns - (CANDLES_MAX - 1) * interval.length_ns)
        open_ns = interval.open_of(max(start * NS_PER_MS, oldest_ns))
        found: list[object] = []
        while open_ns <= until_ns:
            end_ns = interval.next_open(open_ns)
            found.append(self._dialect.candle(symbol, interval, scene.bar(symbol, open_ns, end_ns, now_ns)))
            open_ns = end_ns
        return found

    def _book(self, body: _Body, now_ns: int) -> dict[str, object]:
        coin, figures, mantissa = (body.get(name) for name in ("coin", "nSigFigs", "mantissa"))
        if not isinstance(coin, str) or not all(
            number is None or type(number) is int for number in (figures, mantissa)
        ):
            raise _misshapen()
        if not groups(figures, mantissa):
            raise _misshapen()
        return self._dialect.book(coin, now_ns, figures, mantissa)

    def _trades(self, body: _Body, now_ns: int) -> list[object]:
        """Return the newest trades, the newest first. The request is named in the limits, and described nowhere."""
        coin = body.get("coin")
        if not isinstance(coin, str):
            raise _misshapen()
        scene = self._dialect.scene_of(coin)
        last = scene.last_ids(coin, now_ns)[1]
        fills = scene.fills_from(coin, max(1, last - REPLAYED + 1), REPLAYED, now_ns)
        return [self._dialect.trade(coin, fill) for fill in reversed(fills)]


def _misshapen() -> VenueRejected:
    return VenueRejected("hyperliquid", "422", _SHAPE.decode())


def _dex(body: _Body) -> str:
    dex = body.get("dex") or ""
    if not isinstance(dex, str):
        raise _misshapen()
    return dex


def _unsigned(number: object) -> TypeGuard[int]:
    return type(number) is int and 0 <= number < 1 << 63


def _decimals(listing: Listing) -> int:
    return max(0, -listing.lot_size.adjusted())


def _token(name: str, decimals: int, place: int) -> dict[str, object]:
    return {
        "name": name,
        "szDecimals": decimals,
        "weiDecimals": min(8, decimals + 5) if place else 8,
        "index": place,
        "tokenId": f"0x{hashlib.sha256(name.encode()).hexdigest()[:32]}",
        "isCanonical": place <= 1,
        "evmContract": None,
        "fullName": None,
        "deployerTradingFeeShare": "0.0",
    }


def _untraded(index: int) -> dict[str, object]:
    return {
        "prevDayPx": "0.0",
        "dayNtlVlm": "0.0",
        "markPx": "1.0",
        "midPx": None,
        "circulatingSupply": "0.0",
        "coin": f"@{index}",
        "totalSupply": "0.0",
        "dayBaseVlm": "0.0",
    }
