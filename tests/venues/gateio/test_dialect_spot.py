"""The shapes follow https://www.gate.com/docs/developers/apiv4/ws/en/ and frames that others recorded in 2026."""

import json
from decimal import Decimal
from typing import Any

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import SPOT
from heliograph.model.interval import Interval
from heliograph.sim.world import World
from heliograph.venues.gateio.dialect_spot import Board, currency
from heliograph.venues.gateio.dialect_words import encode
from heliograph.venues.gateio.layout import LAYOUT

NOW_NS = 1_795_000_000 * NS_PER_S + 7 * NS_PER_S
MINUTE_NS = 60 * NS_PER_S
SCENE = World(5, 2, NOW_NS, listers=LAYOUT.listers).markets[SPOT]
BOARD = Board(SCENE)
BAR = SCENE.bars("BTC_USDT", Interval.M1, NOW_NS // MINUTE_NS * MINUTE_NS - MINUTE_NS, 1, NOW_NS)[0]


def told(content: object) -> Any:
    return json.loads(encode(content))


def test_a_candle_has_quote_volume_as_v_base_volume_as_a_and_text_for_its_time() -> None:
    candle = BOARD.candle("BTC_USDT", "1m_BTC_USDT", BAR, closed=True, exact=False)
    assert list(candle) == ["t", "v", "c", "h", "l", "o", "n", "a", "w"]
    assert (candle["t"], candle["n"], candle["w"]) == (str(BAR.open_ns // NS_PER_S), "1m_BTC_USDT", True)
    assert (Decimal(str(candle["v"])), Decimal(str(candle["a"]))) == (BAR.counter, BAR.volume)
    assert BOARD.candles([candle, candle]) == [candle, candle]


def test_a_row_of_rest_has_the_close_before_high_low_and_open_and_padded_volumes() -> None:
    row = told(BOARD.candle_row("BTC_USDT", BAR, closed=False, exact=False))
    assert [Decimal(field) for field in row[2:6]] == [BAR.close, BAR.high, BAR.low, BAR.open]
    assert (Decimal(row[1]), Decimal(row[6]), row[7]) == (BAR.counter, BAR.volume, "false")
    assert {len(field.partition(".")[2]) for field in (row[1], row[6])} == {8}
    assert all(isinstance(field, str) for field in row)


def test_each_trade_has_a_frame_and_one_number_for_both_of_its_ids() -> None:
    fills = SCENE.fills("BTC_USDT", NOW_NS - 5 * NS_PER_S, NOW_NS)
    results = told(BOARD.trades("BTC_USDT", fills, exact=False))
    assert len(results) == len(fills) > 2
    for trade, fill in zip(results, fills, strict=True):
        assert trade["id"] == trade["id_market"] == fill.id
        assert trade["range"] == f"{fill.id}-{fill.id}"
        assert Decimal(trade["create_time_ms"]) == Decimal(fill.time_ns) / NS_PER_MS
        assert trade["create_time_ms"].partition(".")[2] == "000000"
        assert (trade["side"] == "buy") is fill.taker_buys
    row = told(BOARD.trade_row("BTC_USDT", fills[0], exact=False))
    assert (row["id"], row["sequence_id"]) == (str(fills[0].id),) * 2
    assert {type(field) for field in row.values()} == {str}


def test_a_ticker_has_more_on_rest_than_on_a_socket() -> None:
    socket, rest = (told(render("ETH_USDT", NOW_NS, exact=False)) for render in (BOARD.ticker, BOARD.ticker_row))
    assert socket == {name: rest[name] for name in socket}
    assert set(rest) - set(socket) == {"lowest_size", "highest_size", "change_utc0"}
    assert Decimal(socket["low_24h"]) <= Decimal(socket["last"]) <= Decimal(socket["high_24h"])
    mean = Decimal(socket["quote_volume"]) / Decimal(socket["base_volume"])
    assert Decimal(socket["low_24h"]) < mean < Decimal(socket["high_24h"])


def test_one_counter_numbers_books_tops_and_changes() -> None:
    book = SCENE.book("BTC_USDT", 20, NOW_NS)
    change = SCENE.book_change("BTC_USDT", NOW_NS - NS_PER_S, NOW_NS)
    assert change is not None
    whole = told(BOARD.whole("BTC_USDT", book, 20, exact=False))
    assert whole["lastUpdateId"] == book.update_id
    assert (len(whole["bids"]), len(whole["asks"]), whole["l"]) == (20, 20, "20")
    top = told(BOARD.top("BTC_USDT", book, exact=False))
    assert (top["u"], [top["b"], top["B"]], [top["a"], top["A"]]) == (
        book.update_id,
        whole["bids"][0],
        whole["asks"][0],
    )
    update = told(BOARD.changed("BTC_USDT", change, 0, exact=False))
    assert (update["U"], update["u"], update["e"]) == (change.previous_id + 1, book.update_id, "depthUpdate")
    assert (update["E"], update["t"]) == (change.time_ns // NS_PER_S, change.time_ns // NS_PER_MS)
    answer = told(BOARD.book_answer(book, NOW_NS, with_id=True, exact=False))
    assert (answer["id"], answer["current"]) == (book.update_id, NOW_NS // NS_PER_MS)
    assert "id" not in told(BOARD.book_answer(book, NOW_NS, with_id=False, exact=False))


def test_a_pair_has_counts_of_decimals_and_a_least_amount_above_its_step() -> None:
    rules = told(BOARD.rules("ETH_USDT", NOW_NS, exact=False))
    assert (rules["precision"], rules["amount_precision"], rules["min_base_amount"]) == (2, 4, "0.001")
    assert (rules["id"], rules["base"], rules["quote"], rules["trade_status"]) == (
        "ETH_USDT", "ETH", "USDT", "tradable"
    )  # fmt: skip
    assert currency(SCENE.listings["ETH_USDT"])["currency"] == "ETH"
