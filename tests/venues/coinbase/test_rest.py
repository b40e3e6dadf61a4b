"""The shapes follow the pages below https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public ."""

import json

import pytest

from heliograph.clock import NS_PER_S
from heliograph.model.interval import Interval
from heliograph.model.market import Side
from heliograph.venues.coinbase.instruments import instrument_of_symbol
from heliograph.venues.coinbase.rest import (
    candle_request,
    parse_error,
    past_candles,
    past_trades,
    read_trades,
    trade_request,
)
from heliograph.venues.contract import CandlePage, TradePage
from heliograph.venues.faults import FAULTS

BTC = instrument_of_symbol("BTC-USD")
ROW = {"start": "1712192400", "low": "1", "high": "4", "open": "2", "close": "3", "volume": "5.5"}
TRADE = {
    "trade_id": "995098663",
    "product_id": "BTC-USD",
    "price": "68923.67",
    "size": "0.00064",
    "time": "2026-04-07T00:28:58.544778Z",
    "side": "SELL",
    "bid": "",
    "ask": "",
    "exchange": "coinbase",
}


def rows(*some: dict[str, str]) -> bytes:
    return json.dumps({"candles": some}).encode()


def trades(*some: dict[str, str]) -> bytes:
    return json.dumps({"trades": some, "best_bid": "1", "best_ask": "2"}).encode()


def test_candles_are_asked_for_by_seconds_and_never_more_than_an_answer_has() -> None:
    page = CandlePage(BTC, Interval.M1, 60 * NS_PER_S, None)
    request = candle_request(page)
    assert request.path == "/api/v3/brokerage/market/products/BTC-USD/candles"
    assert dict(request.query) == {
        "start": "60",
        "end": str(60 + 349 * 60),
        "granularity": "ONE_MINUTE",
        "limit": "350",
    }
    assert request.purpose is page


def test_a_range_that_ends_is_asked_for_with_one_candle_more() -> None:
    request = candle_request(CandlePage(BTC, Interval.H1, 0, 3600 * NS_PER_S))
    assert dict(request.query)["end"] == "7200"


def test_rows_come_newest_first() -> None:
    older = ROW | {"start": "1712188800"}
    told = past_candles(BTC, Interval.H1, rows(ROW, older), 7)
    assert [candle.open_ns // NS_PER_S for candle in told] == [1712188800, 1712192400]
    assert (str(told[0].base_volume), told[0].quote_volume, told[0].trade_count) == ("5.5", None, None)
    with pytest.raises(ValueError, match="order"):
        past_candles(BTC, Interval.H1, rows(older, ROW), 7)


@pytest.mark.parametrize(
    "row", [{"start": "1712192401"}, {"high": "2.5"}, {"volume": "-1"}, {"volume": "NaN"}, {"open": ""}, {"start": "x"}]
)
def test_a_row_that_cannot_be_is_refused(row: dict[str, str]) -> None:
    with pytest.raises(FAULTS):
        past_candles(BTC, Interval.H1, rows(ROW | row), 7)


def test_the_newest_trades_are_asked_for_and_those_told_that_were_wanted() -> None:
    page = TradePage(BTC, 995098662, 995098662)
    request = trade_request(page)
    assert request.path == "/api/v3/brokerage/market/products/BTC-USD/ticker"
    assert request.query == (("limit", "100"),)
    body = trades(TRADE, TRADE | {"trade_id": "995098662", "side": "BUY"}, TRADE | {"trade_id": "995098661"})
    (trade,) = read_trades(page, body, 7)
    assert (trade.sequence, trade.side) == (995098662, Side.SELL)
    told = past_trades(BTC, body, 7)
    assert [one.sequence for one in told] == [995098661, 995098662, 995098663]
    assert [one.side for one in told] == [Side.BUY, Side.SELL, Side.BUY]
    assert told[2].event_ns == 1_775_521_738_544_778_000


@pytest.mark.parametrize(
    "trade",
    [{"product_id": "ETH-USD"}, {"trade_id": "a"}, {"size": "-1"}, {"price": "-1"}, {"time": "now"}, {"side": ""}],
)
def test_a_trade_that_cannot_be_is_refused(trade: dict[str, str]) -> None:
    with pytest.raises(FAULTS):
        past_trades(BTC, trades(TRADE | trade), 7)


def test_a_no_is_read_and_so_is_one_of_what_stands_before_the_venue() -> None:
    error = parse_error(404, b'{"error":"NOT_FOUND","message":"Product NOPE-USD not supported"}')
    assert (error.code, error.reason) == ("NOT_FOUND", "Product NOPE-USD not supported")
    assert parse_error(502, b"<html>").code == "502"
