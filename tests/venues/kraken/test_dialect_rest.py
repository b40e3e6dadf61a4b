"""The shapes follow the pages that `dialect_rest` names."""

import json
from decimal import Decimal
from typing import Any

import pytest

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim.world import World
from heliograph.venues.dialect import Ask
from heliograph.venues.kraken.dialect import INTERVALS, Dialect
from heliograph.venues.kraken.dialect_rest import Rest
from heliograph.venues.kraken.layout import LAYOUT

EPOCH_NS = 1_795_000_000 * NS_PER_S
WORLD = World(5, 12, EPOCH_NS, 1_000, LAYOUT.listers)
SCENE = WORLD.markets[MarketId("spot")]
REST = Rest(Dialect(WORLD.markets))


def asked(name: str, **query: str) -> dict[str, Any]:
    answer = REST.answer(Ask(f"/0/public/{name}", query), EPOCH_NS)
    assert answer.status == 200
    told = json.loads(answer.body, parse_float=Decimal)
    assert isinstance(told, dict)
    return told


def result(name: str, **query: str) -> dict[str, Any]:
    told = asked(name, **query)
    assert told["error"] == []
    assert isinstance(told["result"], dict)
    return told["result"]


def test_time_and_status() -> None:
    assert result("Time") == {"unixtime": 1_795_000_000, "rfc1123": "Wed, 18 Nov 26 11:06:40 +0000"}
    assert result("SystemStatus")["status"] == "online"


@pytest.mark.parametrize("name", ["BTC/USD", "XBTUSD", "XBT/USD", "XXBTZUSD"])
def test_a_pair_is_known_by_four_names_and_answered_by_one(name: str) -> None:
    assert list(result("OHLC", pair=name)) == ["XXBTZUSD", "last"]
    assert list(result("OHLC", pair=name, assetVersion="1")) == ["BTC/USD", "last"]


def test_pairs_are_listed_with_the_names_that_are_asked_for() -> None:
    internal, display = result("AssetPairs"), result("AssetPairs", assetVersion="1")
    assert {"XXBTZUSD", "XETHXXBT", "ADAUSD", "XBTUSDT", "XDGUSD"} - set(internal) == {"XDGUSD"}
    assert internal["XXDGZUSD"]["altname"] == "XDGUSD"
    assert set(display) == set(SCENE.listings)
    assert (internal["XXBTZUSD"]["base"], internal["XXBTZUSD"]["quote"]) == ("XXBT", "ZUSD")
    assert (display["BTC/USD"]["base"], display["BTC/USD"]["wsname"]) == ("BTC", "XBT/USD")
    assert (display["BTC/USD"]["pair_decimals"], display["BTC/USD"]["lot_decimals"]) == (1, 8)
    assert list(result("AssetPairs", pair="BTC/USD,ETH/BTC", assetVersion="1")) == ["BTC/USD", "ETH/BTC"]


def test_assets_are_listed_with_the_names_that_are_asked_for() -> None:
    internal, display = result("Assets"), result("Assets", assetVersion="1")
    listed = {name for listing in SCENE.listings.values() for name in (listing.base, listing.quote)}
    assert set(display) == listed
    assert {"XXBT", "ZUSD", "ADA", "USDT", "XXDG"} <= set(internal)
    assert (internal["XXBT"]["altname"], internal["XXBT"]["decimals"]) == ("XBT", 10)
    assert (display["USD"]["altname"], display["USD"]["decimals"]) == ("USD", 4)
    for name in ("XXBT", "XBT", "BTC"):
        assert list(result("Assets", asset=f"{name},EUR")) == ["XXBT", "ZEUR"]
    assert result("Assets", aclass="tokenized_asset") == {}
    assert asked("Assets", aclass="banana") == {"error": ["EGeneral:Invalid arguments:aclass"]}
    assert asked("Assets", asset="XBT,NOPE") == {"error": ["EQuery:Unknown asset"]}


@pytest.mark.parametrize("minutes", INTERVALS)
def test_candles_are_the_newest_and_the_live_one_is_last(minutes: int) -> None:
    told = result("OHLC", pair="XBTUSD", interval=str(minutes))
    rows, length_ns = told["XXBTZUSD"], minutes * 60 * NS_PER_S
    assert len(rows) <= 720
    assert rows[-1][0] * NS_PER_S == EPOCH_NS // length_ns * length_ns
    assert told["last"] == rows[-1][0] - minutes * 60
    for row in rows[-5:]:
        bar = SCENE.bar("BTC/USD", row[0] * NS_PER_S, row[0] * NS_PER_S + length_ns, EPOCH_NS)
        assert [Decimal(text) for text in row[1:5]] == [bar.open, bar.high, bar.low, bar.close]
        assert (Decimal(row[6]), row[7]) == (bar.volume, bar.fills)


def test_since_leaves_out_what_it_names_and_brings_nothing_older() -> None:
    rows = result("OHLC", pair="XBTUSD")["XXBTZUSD"]
    assert len(rows) == 720
    later = result("OHLC", pair="XBTUSD", since=str(rows[-3][0]))["XXBTZUSD"]
    assert later == rows[-2:]
    assert result("OHLC", pair="XBTUSD", since="9999999999")["XXBTZUSD"] == rows[-1:]
    assert result("OHLC", pair="XBTUSD", since="0")["XXBTZUSD"] == rows


def test_a_minute_without_a_trade_is_flat() -> None:
    flat = [row for row in result("OHLC", pair="TRXUSD")["TRXUSD"] if row[7] == 0]
    assert flat
    assert all(row[1] == row[2] == row[3] == row[4] and Decimal(row[5]) == Decimal(row[6]) == 0 for row in flat)


def test_trades_are_the_newest_or_those_after_an_instant() -> None:
    told = result("Trades", pair="XBTUSD", assetVersion="1")
    rows, last = told["BTC/USD"], SCENE.last_ids("BTC/USD", EPOCH_NS)[1]
    assert [row[6] for row in rows] == list(range(last - 999, last + 1))
    assert told["last"] == str(SCENE.fills_from("BTC/USD", last, 1, EPOCH_NS)[0].time_ns)
    fill = SCENE.fills_from("BTC/USD", last - 500, 1, EPOCH_NS)[0]
    assert rows[-501][:2] == [f"{fill.price:.5f}", f"{fill.quantity:.8f}"]
    assert rows[-501][3] == ("b" if fill.taker_buys else "s")
    after = result("Trades", pair="XBTUSD", since=str(fill.time_ns), count="3")["XXBTZUSD"]
    assert after[0][6] > fill.id
    assert len(after) == 3
    assert result("Trades", pair="XBTUSD", since="0", count="1")["XXBTZUSD"][0][6] == 1


def test_a_ticker_and_a_book() -> None:
    ticker = result("Ticker", pair="XBTUSD")["XXBTZUSD"]
    assert {name: len(value) for name, value in ticker.items() if name != "o"} == {
        "a": 3, "b": 3, "c": 2, "v": 2, "p": 2, "t": 2, "l": 2, "h": 2
    }  # fmt: skip
    assert len(result("Ticker")) == len(SCENE.listings)
    book = result("Depth", pair="XBTUSD", count="3")["XXBTZUSD"]
    assert [Decimal(level[0]) for level in book["asks"]] == [p for p, _ in SCENE.book("BTC/USD", 3, EPOCH_NS).asks]


@pytest.mark.parametrize(
    ("name", "query", "code"),
    [
        ("OHLC", {}, "EGeneral:Invalid arguments"),
        ("OHLC", {"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ("OHLC", {"pair": "XBTUSD", "interval": "7"}, "EGeneral:Invalid arguments"),
        ("OHLC", {"pair": "XBTUSD", "since": "yesterday"}, "EGeneral:Invalid arguments:since"),
        ("OHLC", {"pair": "XBTUSD", "assetVersion": "2"}, "EGeneral:Invalid arguments:assetVersion"),
        ("Trades", {"pair": "XBTUSD", "count": "1001"}, "EGeneral:Invalid arguments"),
        ("Depth", {"pair": "XBTUSD", "count": "0"}, "EGeneral:Invalid arguments"),
        ("Nonsense", {}, "EGeneral:Unknown method"),
    ],
)
def test_refusals_are_a_success_of_http(name: str, query: dict[str, str], code: str) -> None:
    assert asked(name, **query) == {"error": [code]}


def test_too_many_requests_are_refused_by_pair_and_a_server_in_trouble_says_so() -> None:
    first, second = (REST.quota(Ask("/0/public/OHLC", {"pair": pair})) for pair in ("XBTUSD", "ETHUSD"))
    assert first.name != second.name
    assert REST.quota(Ask("/0/public/OHLC", {"pair": "BTC/USD"})) == first
    assert REST.quota(Ask("/0/public/Time")) == REST.quota(Ask("/0/public/Depth", {"pair": "XBTUSD"}))
    assert REST.too_much(Ask(""), wait_s=3).body == b'{"error":["EGeneral:Too many requests"]}'
    assert (REST.broken(503).status, REST.broken(502).status) == (503, 502)
    assert REST.headers(first, 1, 0) == {}
