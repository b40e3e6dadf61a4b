"""The shapes follow https://www.gate.com/docs/developers/futures/ws/en/ and frames that others recorded in 2026."""

import json
from decimal import Decimal
from typing import Any

import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.model.interval import Interval
from heliograph.sim.world import World
from heliograph.venues.gateio.dialect_futures import Board
from heliograph.venues.gateio.dialect_words import encode
from heliograph.venues.gateio.layout import LAYOUT

NOW_NS = 1_795_000_000 * NS_PER_S + 7 * NS_PER_S
MINUTE_NS = 60 * NS_PER_S
WORLD = World(5, 2, NOW_NS, listers=LAYOUT.listers)
LINEAR, INVERSE = (WORLD.markets[MarketId(market)] for market in ("usdm", "coinm"))


def told(content: object) -> Any:
    return json.loads(encode(content), parse_float=Decimal)


@pytest.mark.parametrize(("scene", "symbol"), [(LINEAR, "ETH_USDT"), (INVERSE, "BTC_USD")])
def test_a_candle_has_contracts_as_v_and_the_currency_of_settlement_as_a(scene: Any, symbol: str) -> None:
    board = Board(scene)
    bar = scene.bars(symbol, Interval.M1, NOW_NS // MINUTE_NS * MINUTE_NS - MINUTE_NS, 1, NOW_NS)[0]
    candle = told(board.candle(symbol, f"1m_{symbol}", bar, closed=True, exact=True))
    assert (candle["t"], candle["n"], candle["w"]) == (bar.open_ns // NS_PER_S, f"1m_{symbol}", True)
    base, quote, contracts = scene.listings[symbol].volumes(bar)
    assert (Decimal(candle["v"]), Decimal(candle["a"])) == (contracts, base if symbol == "BTC_USD" else quote)
    cut = told(board.candle(symbol, "", bar, closed=True, exact=False))["v"]
    assert (type(cut), cut) == (int, int(bar.volume))
    row = told(board.candle_row(symbol, bar, closed=True, exact=True))
    assert "w" not in row
    assert (row["t"], row["v"], row["c"]) == (candle["t"], candle["v"], candle["c"])
    assert Decimal(row["sum"]) == quote
    assert board.candles([candle, candle]) == [[candle, candle]]
    assert board.candles([]) == []


def test_trades_of_one_instant_share_a_frame_and_what_is_sold_is_negative() -> None:
    fills = LINEAR.fills("ETH_USDT", NOW_NS - 20 * NS_PER_S, NOW_NS)
    results = told(Board(LINEAR).trades("ETH_USDT", fills, exact=True))
    assert 1 < len(results) < len(fills)
    rows = [row for result in results for row in result]
    assert [row["id"] for row in rows] == [fill.id for fill in fills]
    for row, fill in zip(rows, fills, strict=True):
        assert Decimal(row["size"]) == (fill.quantity if fill.taker_buys else -fill.quantity)
        assert row["create_time_ms"] == fill.time_ns // NS_PER_MS
    for result in results:
        assert len({row["create_time_ms"] for row in result}) == 1


def test_a_rest_trade_has_seconds_under_the_name_of_milliseconds() -> None:
    (fill,) = LINEAR.fills_from("ETH_USDT", 7, 1, NOW_NS)
    row = told(Board(LINEAR).trade_row("ETH_USDT", fill, exact=False))
    assert row["create_time"] == row["create_time_ms"] == Decimal(fill.time_ns // NS_PER_MS) / 1000
    assert row["size"] == int(fill.quantity) * (1 if fill.taker_buys else -1)
    assert isinstance(row["id"], int)


def test_sizes_of_books_are_numbers_or_decimal_text() -> None:
    book, board = LINEAR.book("ETH_USDT", 20, NOW_NS), Board(LINEAR)
    exact, cut = (told(board.book_answer(book, NOW_NS, with_id=True, exact=exact)) for exact in (True, False))
    assert [Decimal(level["s"]) for level in exact["bids"]] == [size for _, size in book.bids]
    assert [level["s"] for level in cut["bids"]] == [int(size) for _, size in book.bids]
    assert any("." in level["s"] for level in exact["bids"])
    assert (exact["id"], exact["update"]) == (book.update_id, book.time_ns // NS_PER_S)
    assert "id" not in board.book_answer(book, NOW_NS, with_id=False, exact=True)
    whole = told(board.whole("ETH_USDT", book, 20, exact=True))
    assert (whole["id"], whole["contract"], whole["l"]) == (book.update_id, "ETH_USDT", "20")
    top = told(board.top("ETH_USDT", book, exact=False))
    assert (top["B"], top["b"]) == (cut["bids"][0]["s"], cut["bids"][0]["p"])


def test_a_change_says_of_how_many_levels_it_is() -> None:
    change = LINEAR.book_change("ETH_USDT", NOW_NS - NS_PER_S, NOW_NS)
    assert change is not None
    update = told(Board(LINEAR).changed("ETH_USDT", change, 50, exact=True))
    # Ids of futures' books have holes in other venues' worlds; at Gate, they have none.
    assert (update["U"], update["u"], update["l"]) == (change.previous_id + 1, change.last_id, "50")
    assert {level["p"] for level in update["a"]} == {f"{price.normalize():f}" for price, _ in change.asks}


def test_a_ticker_has_best_prices_on_rest_and_times_of_funding_on_a_socket() -> None:
    board = Board(INVERSE)
    (socket,), rest = (
        told(board.ticker("BTC_USD", NOW_NS, exact=False)),
        told(board.ticker_row("BTC_USD", NOW_NS, exact=False)),
    )
    best = {"highest_bid", "highest_size", "lowest_ask", "lowest_size", "quanto_multiplier"}
    assert set(rest) - set(socket) == best
    assert set(socket) - set(rest) == {"funding_interval", "funding_offset", "funding_next_apply", "t"}
    assert 0 < socket["funding_next_apply"] - NOW_NS // NS_PER_S <= 28_800
    assert all(isinstance(rest[name], str) for name in rest)
    assert (rest["volume_24h"], rest["quanto_multiplier"]) == (rest["volume_24h_quote"], "0")


def test_a_contract_says_what_it_is_worth_and_whether_there_are_tenths_of_it() -> None:
    board = Board(LINEAR)
    bitcoin, ether = (told(board.rules(symbol, NOW_NS, exact=True)) for symbol in ("BTC_USDT", "ETH_USDT"))
    assert (bitcoin["quanto_multiplier"], bitcoin["order_price_round"], bitcoin["type"]) == ("0.0001", "0.1", "direct")
    assert (bitcoin["order_size_min"], bitcoin["enable_decimal"]) == ("1", False)
    assert (ether["order_size_min"], ether["enable_decimal"]) == ("0.1", True)
    assert told(board.rules("ETH_USDT", NOW_NS, exact=False))["order_size_min"] == 0
    inverse = told(Board(INVERSE).rules("BTC_USD", NOW_NS, exact=True))
    assert (inverse["type"], inverse["quanto_multiplier"]) == ("inverse", "0")
