"""Candles follow an answer recorded in 2022, trades one of 2024, both published by others."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.interval import Interval
from heliograph.model.market import Side, Source
from heliograph.venues.contract import CandlePage, TradePage
from heliograph.venues.faults import FAULTS
from heliograph.venues.luno.instruments import instrument_of_symbol
from heliograph.venues.luno.rest import (
    candle_request,
    parse_error,
    past_candles,
    past_trades,
    read_candles,
    read_ticker,
    read_trades,
    ticker_request,
    trade_request,
)

PAIR = instrument_of_symbol("XBTEUR")
OPEN_MS = 1_664_055_240_000
OPEN_NS = OPEN_MS * NS_PER_MS
MINUTE_NS = 60 * NS_PER_S


def bar(minute: int, **more: Any) -> dict[str, Any]:
    prices = {"open": "19612.65", "close": "19612.65", "high": "19612.65", "low": "19612.65"}
    return {"timestamp": OPEN_MS + minute * 60_000, **prices, "volume": "0.00"} | more


def bars(*rows: dict[str, Any], pair: str = "XBTEUR", duration: int = 60) -> bytes:
    return json.dumps({"candles": rows, "duration": duration, "pair": pair}).encode()


def test_a_candle_without_a_trade_is_flat_and_told() -> None:
    (candle,) = past_candles(PAIR, Interval.M1, bars(bar(0)), 7)
    assert (candle.open_ns, candle.close_ns, candle.source) == (OPEN_NS, OPEN_NS + MINUTE_NS, Source.REST)
    assert (str(candle.close), str(candle.base_volume), candle.quote_volume) == ("19612.65", "0.00", None)
    assert not candle.closed


def test_t7_the_live_bar_is_not_closed_and_what_is_followed_is_by_the_venues_time() -> None:
    page = CandlePage(PAIR, Interval.M1, OPEN_NS, None)
    body = bars(bar(0), bar(1), bar(2))
    answer = read_candles(page, body, OPEN_NS + 2 * MINUTE_NS + 3 * NS_PER_S, 7)
    assert [candle.closed for candle in answer.candles] == [True, True, False]
    assert answer.following is None
    early = read_candles(page, body, OPEN_NS, 7)
    assert [candle.open_ns for candle in early.candles if candle.closed] == [OPEN_NS]


def test_a_range_that_ends_is_told_to_its_end_though_the_venue_tells_more() -> None:
    page = CandlePage(PAIR, Interval.M1, OPEN_NS, OPEN_NS + MINUTE_NS)
    answer = read_candles(page, bars(*map(bar, range(9))), 0, 7)
    assert [(candle.open_ns, candle.closed) for candle in answer.candles] == [
        (OPEN_NS, True), (OPEN_NS + MINUTE_NS, True)
    ]  # fmt: skip
    assert answer.following is None
    assert candle_request(page).query == (("pair", "XBTEUR"), ("since", str(OPEN_MS)), ("duration", "60"))


def test_t13_candles_that_do_not_rise_are_refused() -> None:
    for wrong in (
        bars(bar(1), bar(0)),
        bars(bar(0), bar(0)),
        bars(bar(0), pair="XBTZAR"),
        bars(bar(0), duration=300),
        bars(bar(0, timestamp=OPEN_MS + 1)),
        bars(bar(0, high="1.00")),
        bars(bar(0, volume="")),
        bars(bar(0, volume=1.5)),
        b"{}",
    ):
        with pytest.raises(FAULTS):
            past_candles(PAIR, Interval.M1, wrong, 7)


def trade(sequence: int, timestamp: int, **more: Any) -> dict[str, Any]:
    return {
        "sequence": sequence, "timestamp": timestamp, "price": "73998.98000000", "volume": "0.00080000", "is_buy": True
    } | more  # fmt: skip


def trades(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"trades": rows}).encode()


def test_t13_trades_come_newest_first_and_are_told_oldest_first() -> None:
    found = past_trades(PAIR, trades(trade(8, 2_000, is_buy=False), trade(7, 1_000)), 5)
    assert [(t.sequence, t.trade_id, t.side) for t in found] == [(7, "7", Side.BUY), (8, "8", Side.SELL)]
    assert (str(found[0].price), str(found[0].quantity)) == ("73998.98000000", "0.00080000")
    assert (found[0].event_ns, found[0].source) == (NS_PER_S, Source.REST)
    with pytest.raises(ValueError, match="descending"):
        past_trades(PAIR, trades(trade(7, 1_000), trade(8, 2_000)), 5)


def test_a_hole_within_the_newest_trades_takes_one_request() -> None:
    page = TradePage(PAIR, 5, 6)
    request = trade_request(page)
    assert (request.path, request.query) == ("/api/1/trades", (("pair", "XBTEUR"),))
    answer = read_trades(request, page, trades(*(trade(number, number * 1_000) for number in (8, 7, 6, 5, 4))), 5)
    assert [t.sequence for t in answer.trades] == [5, 6]
    assert answer.following is None


def test_what_is_not_there_ends_the_search() -> None:
    page = TradePage(PAIR, 5, 6)
    assert read_trades(trade_request(page), page, trades(), 5) == ([], None)
    late = trades(trade(4, 1_000))
    assert read_trades(trade_request(page), page, late, 5) == ([], None)


def test_what_is_further_back_is_looked_for_ever_further_back() -> None:
    page = TradePage(PAIR, 5, 6)
    rows = [trade(number, 100_000_000 + number * 1_000) for number in range(200, 100, -1)]
    since: list[int] = []
    request = trade_request(page)
    for _ in range(5):
        following = read_trades(request, page, trades(*rows), 5).following
        assert following is not None
        request = following
        since.append(int(dict(request.query)["since"]))
    spans = [100_101_000 - one for one in since]
    assert all(later >= 2 * earlier for earlier, later in pairwise(spans))


def test_tickers_of_another_pair_are_refused() -> None:
    assert ticker_request(PAIR).query == (("pair", "XBTEUR"),)
    body = b'{"pair":"XBTZAR","timestamp":1,"last_trade":"1.00","rolling_24_hour_volume":"2.00"}'
    with pytest.raises(ValueError, match="XBTZAR"):
        read_ticker(PAIR, body, 1)


def test_refusals_have_a_code_or_at_least_a_status() -> None:
    error = parse_error(400, b'{"error":"Market not available","error_code":"ErrMarketUnavailable"}')
    assert (error.code, error.reason) == ("ErrMarketUnavailable", "Market not available")
    assert parse_error(503, b"<html>").code == "503"
    assert parse_error(401, b'{"error":"x","error_code":""}').code == "401"


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_no_body_raises_anything_but_what_is_caught(body: bytes) -> None:
    for read in (
        lambda: past_candles(PAIR, Interval.M1, body, 1),
        lambda: past_trades(PAIR, body, 1),
        lambda: read_ticker(PAIR, body, 1),
    ):
        with pytest.raises(FAULTS):
            read()
    parse_error(500, body)
