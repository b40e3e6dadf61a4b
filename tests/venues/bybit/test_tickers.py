"""Merging what tickers tell in pieces."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.event import VenueEvent
from heliograph.model.market import BookTop, DayStatistics
from heliograph.model.numbers import Amounts
from heliograph.venues.bybit.frames import decode_books, decode_tickers
from heliograph.venues.bybit.instruments import INVERSE, LINEAR, instrument_of_symbol
from heliograph.venues.bybit.tickers import TickerMerge, TopMerge
from heliograph.venues.faults import FAULTS

BTC = instrument_of_symbol(LINEAR, "BTCUSDT")
WHOLE = {
    "lastPrice": "100.50", "prevPrice24h": "90", "highPrice24h": "110", "lowPrice24h": "80", "volume24h": "12.0",
    "turnover24h": "1200", "bid1Price": "100", "bid1Size": "1", "ask1Price": "101", "ask1Size": "2",
}  # fmt: skip


def merge() -> TickerMerge:
    return TickerMerge(BTC, counts_contracts=False)


def take(ticker: TickerMerge, kind: str, fields: dict[str, str], cs: int = 1) -> list[VenueEvent]:
    frame = {"topic": "tickers.BTCUSDT", "type": kind, "ts": 7, "cs": cs, "data": {"symbol": "BTCUSDT", **fields}}
    events: list[VenueEvent] = []
    ticker.take(decode_tickers(json.dumps(frame).encode()), Amounts(100), 9, events)
    return events


def numbers(*values: str | None) -> tuple[Decimal | None, ...]:
    return tuple(None if value is None else Decimal(value) for value in values)


def top(bid: str | None, bid_size: str | None, ask: str | None, ask_size: str | None, sequence: int) -> BookTop:
    prices, sizes = numbers(bid, ask), numbers(bid_size, ask_size)
    return BookTop(BTC, prices[0], sizes[0], prices[1], sizes[1], sequence, 7_000_000, 9)


def test_a_snapshot_tells_the_top_and_the_day() -> None:
    assert take(merge(), "snapshot", WHOLE, cs=5) == [
        top("100", "1", "101", "2", 5),
        DayStatistics(
            BTC, Decimal("100.50"), Decimal(90), Decimal(110), Decimal(80), Decimal("12.0"), Decimal(1200), None, None,
            7_000_000, 9,
        ),
    ]  # fmt: skip


def test_t19_what_a_delta_leaves_out_has_not_changed() -> None:
    ticker = merge()
    take(ticker, "snapshot", WHOLE)
    (changed,) = take(ticker, "delta", {"bid1Price": "99", "bid1Size": "3"}, cs=2)
    assert changed == top("99", "3", "101", "2", 2)
    (day,) = take(ticker, "delta", {"lastPrice": "102"}, cs=3)
    assert isinstance(day, DayStatistics)
    assert (day.last, day.high, day.base_volume) == numbers("102", "110", "12.0")
    (again,) = take(ticker, "delta", {"ask1Size": "4"}, cs=4)
    assert isinstance(again, BookTop)
    assert (again.bid, again.ask_quantity) == numbers("99", "4")


def test_t19_a_delta_of_what_is_not_used_tells_nothing() -> None:
    ticker = merge()
    take(ticker, "snapshot", WHOLE)
    assert take(ticker, "delta", {"markPrice": "1", "fundingRate": "0.1"}) == []


def test_t19_what_was_never_told_is_unknown_and_not_zero() -> None:
    ticker = merge()
    assert take(ticker, "delta", {"bid1Price": "100", "bid1Size": "1"}) == []
    (whole,) = take(ticker, "delta", {"ask1Price": "101", "ask1Size": "2"})
    assert isinstance(whole, BookTop)
    assert take(ticker, "delta", {"volume24h": "5"}) == [], "a day has a last price"
    (day,) = take(ticker, "delta", {"lastPrice": "100"})
    assert isinstance(day, DayStatistics)
    assert (day.base_volume, day.quote_volume, day.open) == (Decimal(5), None, None)


def test_t3_a_snapshot_replaces_what_was_known() -> None:
    ticker = merge()
    take(ticker, "snapshot", WHOLE)
    (day,) = take(ticker, "snapshot", {"lastPrice": "7"})
    assert isinstance(day, DayStatistics)
    assert (day.last, day.high) == (Decimal(7), None)


def test_t15_an_empty_text_is_nothing_and_a_price_of_zero_no_order() -> None:
    for price in ("", "0"):
        book_top, day = take(merge(), "snapshot", WHOLE | {"bid1Price": price, "bid1Size": "", "prevPrice24h": ""})
        assert isinstance(book_top, BookTop)
        assert isinstance(day, DayStatistics)
        assert (book_top.bid, book_top.bid_quantity, book_top.ask) == (None, None, Decimal(101))
        assert day.open is None


def test_m17_inverse_volumes_count_contracts_of_a_dollar_and_turnovers_the_base() -> None:
    ticker = TickerMerge(instrument_of_symbol(INVERSE, "BTCUSD"), counts_contracts=True)
    _, day = take(ticker, "snapshot", WHOLE)
    assert isinstance(day, DayStatistics)
    assert (day.base_volume, day.quote_volume, day.contracts) == numbers("1200", "12.0", "12.0")


@pytest.mark.parametrize("bad", [{"bid1Size": "-1"}, {"lastPrice": "NaN"}, {"ask1Price": "x"}, {"turnover24h": "1e99"}])
def test_a_frame_that_cannot_be_read_changes_nothing(bad: dict[str, str]) -> None:
    ticker = merge()
    take(ticker, "snapshot", WHOLE)
    with pytest.raises(FAULTS):
        take(ticker, "delta", bad)
    (book_top,) = take(ticker, "delta", {"bid1Size": "8"})
    assert isinstance(book_top, BookTop)
    assert (book_top.bid, book_top.bid_quantity, book_top.ask) == numbers("100", "8", "101")


@given(st.lists(st.dictionaries(st.sampled_from(list(WHOLE)), st.integers(1, 99).map(str)), max_size=8))
def test_deltas_lead_to_the_snapshot_that_the_venue_would_send(deltas: list[dict[str, str]]) -> None:
    ticker, truth = merge(), dict(WHOLE)
    take(ticker, "snapshot", WHOLE)
    for change in deltas:
        take(ticker, "delta", change)
        truth |= change
    final = {"lastPrice": truth["lastPrice"], "bid1Price": truth["bid1Price"]}
    assert take(ticker, "delta", final) == take(merge(), "snapshot", truth)


def book(kind: str, bids: list[list[str]], asks: list[list[str]]) -> bytes:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": 5, "seq": 8}
    return json.dumps({"topic": "orderbook.1.BTCUSDT", "type": kind, "ts": 7, "data": data}).encode()


def test_a_book_of_one_level_is_a_top_and_old_deltas_change_the_sides_that_they_name() -> None:
    merged = TopMerge(BTC)
    events: list[VenueEvent] = []
    for frame in (
        book("delta", [["9", "1"]], []),
        book("snapshot", [["100", "1"]], [["101", "2"]]),
        book("delta", [["100", "0"], ["99", "3"]], []),
        book("delta", [], [["101", "0"]]),
        book("snapshot", [], [["101", "2"]]),
    ):
        merged.take(decode_books(frame), Amounts(100), 9, events)
    assert events == [
        top("100", "1", "101", "2", 8),
        top("99", "3", "101", "2", 8),
        top("99", "3", None, None, 8),
        top(None, None, "101", "2", 8),
    ]
