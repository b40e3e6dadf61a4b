"""What the venues declare of their limits, held against the facts and against one another."""

import json
from itertools import combinations

import msgspec
import pytest

from heliograph.connect.verdict import judge
from heliograph.errors import VenueRejected, VenueUnreachable
from heliograph.model.instrument import MarketId
from heliograph.venues import binance, bybit, gateio, hyperliquid, okx
from heliograph.venues.contract import CandlePage, Market, Venue

ALL = tuple(module.VENUE for module in (binance, bybit, gateio, hyperliquid, okx))
MARKETS = [pytest.param(market, id=f"{v.name} {market.market}") for v in ALL for market in v.markets.values()]
WEIGHT = ("weight_max", "weight_window_s")
SOCKETS = ("connects_max", "connects_window_s", "connections_max", "address_messages")


@pytest.mark.parametrize("venue", ALL, ids=lambda venue: venue.name)
def test_markets_that_share_a_pool_declare_it_alike(venue: Venue) -> None:
    """A pool is made by whichever market comes first."""
    for one, two in combinations([m.limits for m in venue.markets.values()], 2):
        if one.weight_pool and one.weight_pool == two.weight_pool:
            assert [getattr(one, name) for name in WEIGHT] == [getattr(two, name) for name in WEIGHT]
        if one.connect_pool and one.connect_pool == two.connect_pool:
            assert [getattr(one, name) for name in SOCKETS] == [getattr(two, name) for name in SOCKETS]
        for path in one.endpoints.keys() & two.endpoints.keys():
            assert one.endpoints[path] == two.endpoints[path]


@pytest.mark.parametrize(
    ("venue", "connects", "window_s", "sockets", "pooled"),
    [
        ("okx", 3, 1, None, True),
        ("hyperliquid", 30, 60, 10, True),
        ("bybit", 500, 300, 1000, True),
        ("gateio", 100, 60, 100, True),
        ("binance", 300, 300, None, False),
    ],
)
def test_t28_the_budgets_of_connects_are_the_venues(
    venue: str, connects: int, window_s: float, sockets: int | None, *, pooled: bool
) -> None:
    declared = next(v for v in ALL if v.name == venue)
    pools = set()
    for limits in (market.limits for market in declared.markets.values()):
        assert limits.connects_max <= connects
        assert limits.connects_window_s == window_s
        assert limits.connections_max == sockets
        pools.add(limits.connect_pool)
    assert not pooled or (len(pools) == 1 and pools != {""})


def test_the_futures_of_binance_share_their_weight_and_spot_has_its_own() -> None:
    pools = {name: market.limits.weight_pool for name, market in binance.VENUE.markets.items()}
    assert pools == {"spot": "", "usdm": "futures", "coinm": "futures"}


def test_t30_messages_are_bounded_as_each_venue_counts_them() -> None:
    for market in hyperliquid.VENUE.markets.values():
        assert market.limits.address_messages is not None
        assert (market.limits.address_messages.count_max, market.limits.address_messages.window_s) == (2000, 60)
    for market in okx.VENUE.markets.values():
        assert market.limits.connection_messages is not None
        assert (market.limits.connection_messages.count_max, market.limits.connection_messages.window_s) == (480, 3600)
    rates = {name: market.limits.messages_per_s_max for name, market in binance.VENUE.markets.items()}
    assert rates == {"spot": 5, "usdm": 10, "coinm": 10}


@pytest.mark.parametrize("market", [p for p in MARKETS if p.id and p.id.split()[0] in ("okx", "gateio")])
def test_what_is_counted_by_endpoint_is_named_by_the_paths_that_are_asked(market: Market) -> None:
    """A path that was spelt differently would count in the pool, and nobody would notice."""
    instrument = market.instrument(
        {"spot": "BTC-USDT", "swap": "BTC-USDT-SWAP", "futures": "BTC-USD-261225", "option": "BTC-USD-261225-90000-C"}[
            market.market
        ]
        if market.venue == "okx"
        else {"spot": "BTC_USDT", "usdm": "BTC_USDT", "coinm": "BTC_USD"}[market.market]
    )
    page = CandlePage(instrument, market.intervals[-1], 0, None)
    for request in (market.instruments_request(), market.candle_request(page)):
        assert request.path in market.limits.endpoints


ANSWERS = [
    ("binance", 429, b'{"code":-1003,"msg":"Too many requests"}', "limited", 60),
    ("binance", 418, b'{"code":-1003,"msg":"IP banned"}', "limited", 60),
    ("binance", 403, b"<html>WAF</html>", "rejected", None),
    ("bybit", 403, b"access too frequent", "limited", 600),
    ("bybit", 403, b"The Amazon CloudFront distribution is configured to block access", "rejected", None),
    ("bybit", 200, b'{"retCode":10006,"retMsg":"Too many visits!","result":{}}', "limited", 5),
    ("bybit", 200, b'{"retCode":10018,"retMsg":"Exceeded the IP Rate Limit.","result":{}}', "limited", 5),
    ("bybit", 200, b'{"retCode":10016,"retMsg":"Server error","result":{}}', "http_status", None),
    ("bybit", 200, b'{"retCode":10001,"retMsg":"params error","result":{}}', "rejected", None),
    ("bybit", 200, b'{"result":{"list":[]},"retCode":0,"retMsg":"OK"}', None, None),
    ("okx", 429, b'{"code":"50011","msg":"Too Many Requests","data":[]}', "limited", 2),
    ("okx", 200, b'{"code":"50011","msg":"Too Many Requests","data":[]}', "limited", 2),
    ("okx", 200, b'{"code":"50013","msg":"Systems are busy","data":[]}', "http_status", None),
    ("okx", 200, b'{"code":"51001","msg":"no such instrument","data":[]}', "rejected", None),
    ("okx", 200, b'{"data":[],"code":"0","msg":""}', None, None),
    ("gateio", 429, b'{"label":"TOO_MANY_REQUESTS","message":"x"}', "limited", 10),
    ("gateio", 400, b'{"label":"TOO_FAST","message":"x"}', "limited", 10),
    ("gateio", 400, b'{"label":"INVALID_PARAM_VALUE","message":"x"}', "rejected", None),
    ("hyperliquid", 429, b"null", "limited", 60),
    ("hyperliquid", 422, b"Failed to deserialize", "rejected", None),
]


@pytest.mark.parametrize(("venue", "status", "body", "kind", "wait_s"), ANSWERS)
def test_m13_t20_what_a_venue_says_of_asking_too_often_is_told_from_a_no(
    venue: str, status: int, body: bytes, kind: str | None, wait_s: float | None
) -> None:
    for market in next(v for v in ALL if v.name == venue).markets.values():
        failure = judge(market, status, {}, body, market.limits.weight_window_s, None)
        if kind is None:
            assert failure is None
        elif kind == "rejected":
            assert isinstance(failure, VenueRejected)
        else:
            assert isinstance(failure, VenueUnreachable)
            assert (failure.kind, failure.retry_after_s) == (kind, wait_s)


def test_sizes_of_gates_contracts_are_asked_for_with_their_decimals() -> None:
    headers = {name: dict(market.headers) for name, market in gateio.VENUE.markets.items()}
    decimal = {"X-Gate-Size-Decimal": "1"}
    assert headers == {"spot": {}, "usdm": decimal, "coinm": decimal}


def test_bybits_next_page_of_instruments_is_asked_for_by_its_cursor() -> None:
    market = bybit.VENUE.markets[MarketId("linear")]
    assert market.next_instruments is not None
    first = market.instruments_request()
    second = market.next_instruments(first, json.dumps({"result": {"nextPageCursor": "first%3DA"}}).encode())
    assert second == msgspec.structs.replace(first, query=(*first.query, ("cursor", "first%3DA")))
    third = market.next_instruments(second, b'{"result":{"nextPageCursor":"B"}}')
    assert third is not None
    assert third.query == (*first.query, ("cursor", "B"))
    for last in (b'{"result":{"nextPageCursor":""}}', b'{"result":{}}', b"{}", b"\xff", b"[" * 5000):
        assert market.next_instruments(third, last) is None
