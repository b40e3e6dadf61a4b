import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Source
from heliograph.venues.candle_pages import LATE_NS, SETTLED_NS, CandleAnswer
from heliograph.venues.contract import CandlePage, InstrumentPage
from heliograph.venues.faults import FAULTS
from heliograph.venues.hyperliquid import VENUE
from heliograph.venues.hyperliquid.frames import RawBar
from heliograph.venues.hyperliquid.instruments import USDM
from heliograph.venues.hyperliquid.rest import (
    ROWS_MAX,
    candle_request,
    check_grid,
    parse_error,
    read_candles,
)

MARKET = VENUE.markets[USDM]
BTC = MARKET.instrument("BTC")
START_MS = 1_770_000_000_000
START_NS = START_MS * NS_PER_MS
MINUTE_NS = 60 * NS_PER_S


def minute(index: int) -> int:
    return START_NS + index * MINUTE_NS


def row(index: int, **fields: object) -> dict[str, Any]:
    t = START_MS + index * 60_000
    bar = {"t": t, "T": t + 59_999, "s": "BTC", "i": "1m", "o": "2", "c": "3", "h": "4", "l": "1", "v": "9.50", "n": 7}
    return bar | fields


def page(from_index: int, to_index: int | None = None, interval: Interval = Interval.M1) -> CandlePage:
    return CandlePage(BTC, interval, minute(from_index), None if to_index is None else minute(to_index))


def read(wanted: CandlePage, *indices: int, venue_ns: int = 0) -> CandleAnswer:
    return read_candles(wanted, json.dumps([row(i) for i in indices]).encode(), venue_ns, 5)


def closed(answer: CandleAnswer) -> list[tuple[int, bool]]:
    return [((c.open_ns - START_NS) // MINUTE_NS, c.closed) for c in answer.candles]


def asked(wanted: CandlePage) -> dict[str, Any]:
    request = candle_request(wanted)
    assert (request.path, request.query) == ("/info", ())
    assert request.body is not None
    question: dict[str, Any] = json.loads(request.body)
    assert question["type"] == "candleSnapshot"
    return dict(question["req"])


def test_a_question_is_a_post_to_info() -> None:
    assert asked(page(0, 9)) == {
        "coin": "BTC",
        "interval": "1m",
        "startTime": START_MS,
        "endTime": START_MS + 10 * 60_000 + 1,  # one candle more than is wanted
    }
    request = MARKET.instruments_request()
    assert (request.path, request.body, request.purpose) == ("/info", b'{"type":"allPerpMetas"}', InstrumentPage(USDM))
    assert VENUE.markets[VENUE.markets["spot"].market].instruments_request().body == b'{"type":"spotMeta"}'  # type: ignore[index]


def test_t30_a_page_spans_at_most_500_candles_and_costs_what_they_weigh() -> None:
    assert asked(page(0))["endTime"] == START_MS + 499 * 60_000 + 1
    assert asked(page(0, 498))["endTime"] == START_MS + 499 * 60_000 + 1
    assert asked(page(0, 10_000))["endTime"] == START_MS + 499 * 60_000 + 1
    assert [candle_request(page(0, to)).weight for to in (0, 58, 59, 10_000)] == [21, 21, 22, 29]
    months = CandlePage(BTC, Interval.MO1, Interval.MO1.open_of(START_NS), None)
    assert candle_request(months).weight == 29


def test_a_candle_of_an_answer(fixture: Callable[[str], bytes]) -> None:
    candles = read_candles(page(0), fixture("candles.json"), minute(1) + LATE_NS, 5).candles
    assert candles[0] == Candle(
        BTC, Interval.M1, START_NS, minute(1),
        Decimal("64082.0"), Decimal("64100.0"), Decimal("64081.0"), Decimal("64099.0"),
        Decimal("6.39125"), None, None, 124, True, None, 5, Source.REST,
    )  # fmt: skip


def test_t7_the_last_row_is_the_live_bar_until_the_venues_time_proves_otherwise() -> None:
    assert closed(read(page(0), 0, 1)) == [(1, False)]
    assert closed(read(page(0), 0, 1, venue_ns=minute(1) + LATE_NS)) == [(0, True), (1, False)]
    assert closed(read(page(0), 0, 1, venue_ns=minute(2) + SETTLED_NS - 1)) == [(0, True), (1, False)]
    assert closed(read(page(0), 0, 1, venue_ns=minute(2) + SETTLED_NS)) == [(0, True), (1, True)]
    assert closed(read(page(0), 0, 1, 2)) == [(0, True), (2, False)]


def test_t9_an_answer_closes_by_a_later_row_in_a_range_that_ends() -> None:
    assert closed(read(page(0, 0), 0, 1)) == [(0, True)]
    assert closed(read(page(0, 0), 0)) == [(0, False)]


def test_the_bar_that_the_start_falls_into_is_left_out_if_it_was_not_asked_for() -> None:
    inside = CandlePage(BTC, Interval.M1, minute(0) + NS_PER_S, minute(1))
    assert closed(read(inside, 0, 1, 2)) == [(1, True)]


def test_t10_a_long_range_is_read_page_by_page_without_a_hole_or_a_repetition() -> None:
    found: list[int] = []
    wanted: CandlePage | None = page(0, 1200)
    pages = 0
    while wanted is not None:
        question = asked(wanted)
        first = (question["startTime"] - START_MS) // 60_000
        last = (question["endTime"] - START_MS) // 60_000
        answer = read(wanted, *range(first, last + 1))
        assert all(c.closed for c in answer.candles)
        found += [i for i, _ in closed(answer)]
        wanted = answer.following
        pages += 1
    assert found == list(range(1201))
    assert pages == 3


def test_t34_a_page_without_candles_is_followed_by_the_next_of_a_range_that_ends() -> None:
    answer = read(page(0, 1200))
    assert answer == CandleAnswer([], page(ROWS_MAX - 1, 1200))
    assert read(page(1100, 1200)) == CandleAnswer([], None)


def test_t10_a_range_to_the_present_ends_where_the_venues_time_does() -> None:
    answer = read(page(0), *range(ROWS_MAX))
    assert closed(answer)[-1] == (ROWS_MAX - 3, True)
    assert answer.following == page(ROWS_MAX - 2)  # That one is known to be over, and not yet to be final.
    assert read(page(0), *range(ROWS_MAX - 1)).following is None
    assert read(page(0), 0, venue_ns=minute(5000)).following == page(ROWS_MAX - 1)


@pytest.mark.parametrize(
    "rows",
    [
        [row(1), row(0)],
        [row(0), row(0)],
        [row(0, s="ETH")],
        [row(0, i="3m")],
        [row(0, T=START_MS + 60_000)],
        [row(0, t=START_MS + 1, T=START_MS + 60_000)],
        [row(0, v="-1")],
        [row(0, v="NaN")],
        [row(0, v="1" * 50)],
        [row(0, n=-1)],
        [row(0, o="Infinity")],
        [row(0, o="text")],
        [row(0, t=START_MS * 1000)],
    ],
)
def test_rows_that_cannot_be_are_refused(rows: object) -> None:
    with pytest.raises(FAULTS):
        read_candles(page(0), json.dumps(rows).encode(), 0, 5)


@pytest.mark.parametrize("fields", [{"o": "5"}, {"o": "0.5"}, {"c": "5"}, {"c": "0.5"}, {"l": "-1"}, {"h": "0"}])
def test_t14_prices_out_of_order_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="prices out of order"):
        read_candles(page(0), json.dumps([row(0, **fields)]).encode(), 0, 5)


def test_t16_digits_are_kept_as_they_were_sent() -> None:
    body = json.dumps([row(0, v="3495670.8399999999", o="2.00")]).encode()
    (candle,) = read_candles(page(0), body, 0, 5).candles
    assert (str(candle.base_volume), str(candle.open)) == ("3495670.8399999999", "2.00")


def test_numbers_that_are_not_text_are_read_exactly() -> None:
    body = json.dumps([row(0)]).replace('"9.50"', "0.1000000000000000055").encode()
    (candle,) = read_candles(page(0), body, 0, 5).candles
    assert str(candle.base_volume) == "0.1000000000000000055"


@pytest.mark.parametrize("interval", MARKET.intervals)
def test_t31_every_interval_has_its_grid(interval: Interval) -> None:
    open_ns = interval.open_of(START_NS)
    t, close = open_ns // NS_PER_MS, interval.next_open(open_ns) // NS_PER_MS - 1
    amounts = ("1", "1", "1", "1", Decimal(1), 1)
    check_grid(RawBar(t, close, "BTC", interval, *amounts))
    for wrong in (RawBar(t, close + 1, "BTC", interval, *amounts), RawBar(t + 1, close + 1, "BTC", interval, *amounts)):
        with pytest.raises(ValueError, match=f"a candle of {interval.value} that opens at"):
            check_grid(wrong)


def test_an_error_is_a_sentence_or_nothing() -> None:
    problem = parse_error(422, b"Failed to deserialize the JSON body into the target type")
    assert (problem.code, problem.reason) == ("422", "Failed to deserialize the JSON body into the target type")
    assert parse_error(400, b"\xff" * 1000).reason == "\ufffd" * 200


@given(st.binary(max_size=200) | st.lists(st.integers(-2, 5).map(row)).map(lambda rows: json.dumps(rows).encode()))
def test_no_bytes_make_an_answer_raise_anything_else(body: bytes) -> None:
    try:
        answer = read_candles(page(0), body, START_NS, 5)
    except FAULTS:
        return
    opens = [c.open_ns for c in answer.candles]
    assert opens == sorted(set(opens))
