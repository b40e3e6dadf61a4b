"""Candles by REST, against a venue that answers as documented: newest first, at most a thousand, the live bar too."""

import json
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import SPOT, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Source
from heliograph.venues.bybit import VENUE
from heliograph.venues.bybit.instruments import INVERSE, LINEAR, instrument_of_symbol
from heliograph.venues.bybit.rest import (
    ROWS_MAX,
    Rest,
    candle_request,
    parse_error,
    read_candles,
)
from heliograph.venues.bybit.streams import INTERVALS
from heliograph.venues.candle_pages import LATE_NS, SETTLED_NS, page_end
from heliograph.venues.contract import CandlePage, Request, VenueError
from heliograph.venues.faults import FAULTS

BTC = instrument_of_symbol(SPOT, "BTCUSDT")
RULES = Rest(SPOT, counts_contracts=False)
MINUTE_NS = 60 * NS_PER_S
START_NS = 1_770_000_000 * NS_PER_S // MINUTE_NS * MINUTE_NS


def row(open_ns: int) -> list[str]:
    return [str(open_ns // NS_PER_MS), "2", "3", "1", "2.50", "10", "25.0"]


def body(rows: Any, now_ns: int | None = None, changed: Any = None) -> bytes:
    answer = {
        "retCode": 0, "retMsg": "OK", "retExtInfo": {},
        "result": {"category": "spot", "symbol": "BTCUSDT", "list": rows} | (changed or {}),
    }  # fmt: skip
    return json.dumps(answer if now_ns is None else answer | {"time": now_ns // NS_PER_MS}).encode()


def answered(request: Request, interval: Interval, now_ns: int, *, tells_time: bool = True) -> bytes:
    """Answer as the venue does: the newest of what opens within the window, and nothing that has not begun."""
    query = dict(request.query)
    assert query["category"] == "spot"
    assert INTERVALS[query["interval"]] is interval
    end_ns = min(int(query["end"]) * NS_PER_MS, now_ns)
    opens, open_ns = [], interval.open_of(int(query["start"]) * NS_PER_MS + interval_length(interval) - 1)
    while open_ns <= end_ns:
        opens.append(open_ns)
        open_ns = interval.next_open(open_ns)
    newest = [row(o) for o in reversed(opens[-int(query["limit"]) :])]
    return body(newest, now_ns if tells_time else None)


def interval_length(interval: Interval) -> int:
    return interval.length_ns or 1


def fetch(page: CandlePage, now_ns: int, *, tells_time: bool = True) -> tuple[list[Candle], list[Request]]:
    candles: list[Candle] = []
    requests: list[Request] = []
    following: CandlePage | None = page
    while following is not None:
        request = candle_request(RULES, following)
        requests.append(request)
        got = read_candles(RULES, following, answered(request, page.interval, now_ns, tells_time=tells_time), 0, 1)
        candles += got.candles
        following = got.following
        assert len(requests) < 100
    return candles, requests


@pytest.mark.parametrize("count", [1, 2, 998, 999, 1000, 1001, 1998, 3100])
def test_t13_every_candle_of_a_range_comes_once_ascending_and_closed(count: int) -> None:
    opens = [START_NS + i * MINUTE_NS for i in range(count)]
    page = CandlePage(BTC, Interval.M1, opens[0], opens[-1])
    candles, requests = fetch(page, now_ns=opens[-1] + 2 * MINUTE_NS)
    assert [c.open_ns for c in candles] == opens
    assert all(c.closed and c.source is Source.REST for c in candles)
    assert len(requests) <= count // (ROWS_MAX - 1) + 1


@pytest.mark.parametrize("count", [1, 5, 999, 1000, 1001, 3100])
@pytest.mark.parametrize("tells_time", [True, False])
def test_m6_up_to_the_present_the_live_bar_is_never_closed(count: int, tells_time: bool) -> None:
    page = CandlePage(BTC, Interval.M1, START_NS, None)
    candles, _ = fetch(page, START_NS + count * MINUTE_NS - 1, tells_time=tells_time)
    opens = [START_NS + i * MINUTE_NS for i in range(count)]
    proven = count - 1 if tells_time else max(0, count - 2)  # Without a time the last but one may have just ended.
    assert [c.open_ns for c in candles if c.closed] == opens[:proven]
    assert [c.open_ns for c in candles if not c.closed] == opens[-1:]


@pytest.mark.parametrize("interval", INTERVALS.values())
def test_t31_each_interval_is_paged_on_its_own_grid(interval: Interval) -> None:
    opens = [interval.open_of(START_NS)]
    for _ in range(20):
        opens.append(interval.next_open(opens[-1]))
    candles, _ = fetch(CandlePage(BTC, interval, opens[0], opens[-1]), interval.next_open(opens[-1]) + MINUTE_NS)
    assert [c.open_ns for c in candles] == opens
    assert [c.close_ns for c in candles[:-1]] == opens[1:]


@pytest.mark.parametrize(
    ("past_ns", "closed"), [(-1, False), (0, False), (SETTLED_NS - NS_PER_MS, False), (SETTLED_NS, True)]
)
def test_t7_a_last_row_is_closed_only_well_after_its_end_in_the_venues_own_time(past_ns: int, closed: bool) -> None:
    page = CandlePage(BTC, Interval.M1, START_NS, START_NS)
    end_ns = START_NS + MINUTE_NS
    for venue_ns, time_ns in ((end_ns + past_ns, None), (0, end_ns + past_ns)):
        got = read_candles(RULES, page, body([row(START_NS)], time_ns), venue_ns, received_ns=2**62)
        (candle,) = got.candles
        assert candle.closed is closed
        assert (candle.event_ns, candle.trade_count, candle.close_ns) == (None, None, end_ns)


@pytest.mark.parametrize(("past_ns", "count"), [(0, 2), (LATE_NS - NS_PER_MS, 2), (LATE_NS, 3)])
def test_t8_what_has_just_ended_and_may_still_change_is_not_told_as_final(past_ns: int, count: int) -> None:
    rows = [row(START_NS + i * MINUTE_NS) for i in (2, 1, 0)]
    page = CandlePage(BTC, Interval.M1, START_NS, None)
    got = read_candles(RULES, page, body(rows, START_NS + 2 * MINUTE_NS + past_ns), 0, 1)
    assert [c.closed for c in got.candles] == [True] * (count - 1) + [False]
    assert got.candles[-1].open_ns == START_NS + 2 * MINUTE_NS


def test_t9_in_a_range_that_ends_a_successor_proves_a_row_closed() -> None:
    page = CandlePage(BTC, Interval.M1, START_NS, START_NS)
    got = read_candles(RULES, page, body([row(START_NS + MINUTE_NS), row(START_NS)]), 0, 1)
    assert [(c.open_ns, c.closed) for c in got.candles] == [(START_NS, True)]


def test_a_hole_of_the_venue_ends_no_range_early() -> None:
    page = CandlePage(BTC, Interval.M1, START_NS, START_NS + 2500 * MINUTE_NS)
    got = read_candles(RULES, page, body([]), 0, 1)
    assert got.candles == []
    assert got.following is not None
    assert got.following.from_ns == START_NS + 999 * MINUTE_NS


def test_m17_inverse_rows_count_contracts_and_base(fixture: Callable[[str], bytes]) -> None:
    coin = instrument_of_symbol(INVERSE, "BTCUSD")
    opened_ns = 1_670_601_600 * NS_PER_S
    page = CandlePage(coin, Interval.H1, opened_ns, opened_ns + 7200 * NS_PER_S)
    candles = read_candles(Rest(INVERSE, counts_contracts=True), page, fixture("klines_inverse.json"), 0, 1).candles
    assert [c.open_ns for c in candles] == [opened_ns + i * 3600 * NS_PER_S for i in range(3)]
    last = candles[-1]
    volumes = (last.base_volume, last.quote_volume, last.contracts)
    assert volumes == (Decimal("15.74462667"), Decimal(268611), Decimal(268611))
    assert last.closed, "the answer's own time is weeks later"


def test_t16_digits_stay_as_the_venue_sent_them() -> None:
    (candle,) = read_candles(
        RULES, CandlePage(BTC, Interval.M1, START_NS, START_NS), body([row(START_NS)]), 0, 1
    ).candles
    assert (str(candle.close), str(candle.quote_volume)) == ("2.50", "25.0")


@pytest.mark.parametrize(
    "rows",
    [
        [row(START_NS), row(START_NS + MINUTE_NS)],  # ascending
        [row(START_NS), row(START_NS)],
        [[*row(START_NS)[:2], "1", *row(START_NS)[3:]]],  # the high is below the open
        [[*row(START_NS)[:5], "-1", "1"]],
        [[*row(START_NS)[:6], "NaN"]],
        [[str(START_NS // NS_PER_MS + 1), *row(START_NS)[1:]]],  # off the grid
        [[str(START_NS // 1000), *row(START_NS)[1:]]],  # microseconds
        [row(START_NS)[:6]],
        [{"start": 1}],
    ],
)
def test_t14_rows_that_cannot_be_candles_are_refused(rows: list[Any]) -> None:
    with pytest.raises(FAULTS):
        read_candles(RULES, CandlePage(BTC, Interval.M1, START_NS, START_NS), body(rows), 0, 1)


@pytest.mark.parametrize("changed", [{"symbol": "ETHUSDT"}, {"category": "linear"}])
def test_candles_of_something_else_are_refused(changed: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="candles of"):
        read_candles(RULES, CandlePage(BTC, Interval.M1, START_NS, START_NS), body([], None, changed), 0, 1)


def test_t20_a_refusal_with_status_200_is_a_refusal() -> None:
    refusal = b'{"retCode":10006,"retMsg":"Too many visits!","result":{},"retExtInfo":{},"time":1}'
    with pytest.raises(ValueError, match=r"Too many visits! \(code 10006\)"):
        read_candles(RULES, CandlePage(BTC, Interval.M1, START_NS, START_NS), refusal, 0, 1)


def test_a_request_asks_for_its_market_and_one_candle_beyond() -> None:
    page = CandlePage(instrument_of_symbol(LINEAR, "BTCUSDT"), Interval.MO1, 0, 0)
    request = VENUE.markets[MarketId("linear")].candle_request(page)
    assert (request.path, request.weight, request.body) == ("/v5/market/kline", 1, None)
    assert dict(request.query) == {
        "category": "linear", "symbol": "BTCUSDT", "interval": "M", "start": "0",
        "end": str(31 * 86_400_000), "limit": "1000",
    }  # fmt: skip
    assert page_end(CandlePage(BTC, Interval.M1, 0, None), ROWS_MAX) == 999 * MINUTE_NS


def test_errors_are_the_venues_code_and_words_or_what_stands_in_front_of_it() -> None:
    assert parse_error(404, b'{"retCode":10001,"retMsg":"no"}') == VenueError("10001", "no")
    assert parse_error(403, b"access too frequent\xff") == VenueError("403", "access too frequent\ufffd")


@given(st.binary(max_size=300), st.integers(100, 599))
def test_no_body_makes_an_answer_raise_anything_else(data: bytes, status: int) -> None:
    parse_error(status, data)
    try:
        read_candles(RULES, CandlePage(BTC, Interval.M1, START_NS, None), data, 0, 1)
    except FAULTS:
        return


@given(st.sampled_from(list(INTERVALS.values())), st.integers(0, 400), st.integers(1, 300), st.integers(0, 1200))
def test_pages_always_move_on(interval: Interval, skipped: int, count: int, past_s: int) -> None:
    opens = [interval.open_of(START_NS + skipped * MINUTE_NS)]
    for _ in range(count - 1):
        opens.append(interval.next_open(opens[-1]))
    now_ns = interval.next_open(opens[-1]) + past_s * NS_PER_S
    candles, requests = fetch(CandlePage(BTC, interval, opens[0], opens[-1]), now_ns)
    assert [c.open_ns for c in candles] == opens
    starts = [int(dict(r.query)["start"]) for r in requests]
    assert all(a < b for a, b in pairwise(starts))
