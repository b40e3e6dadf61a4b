"""Pages of candles and trades, against a venue of its documented manners."""

import json
from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Source, Trade
from heliograph.venues.contract import CandlePage, Request, TradePage
from heliograph.venues.okx.frames import RawRow
from heliograph.venues.okx.instruments import any_instrument
from heliograph.venues.okx.rest import (
    HISTORY,
    HISTORY_WEIGHT,
    PAGES_MAX,
    RECENT,
    ROWS_MAX,
    Pages,
    candle_request,
    parse_error,
    read_trades,
    to_candle,
    trade_request,
)
from heliograph.venues.okx.routes import BARS_OF

SWAP = any_instrument("BTC-USDT-SWAP")
MINUTE_NS = 60 * NS_PER_S
START_NS = 1_770_000_000 * NS_PER_S // MINUTE_NS * MINUTE_NS
RECENT_ROWS = 1440


class Exchange:
    """One instrument's minutes: both endpoints, newest first, exclusive bounds, and the live minute last."""

    def __init__(self, opens_ns: Sequence[int], *, history_max: int = ROWS_MAX, lag: int = 2) -> None:
        self.opens_ns = sorted(opens_ns)
        self.requests: list[Request] = []
        self._history_max = history_max
        self._lag = lag

    def answer(self, request: Request) -> bytes:
        self.requests.append(request)
        query = dict(request.query)
        if request.path == RECENT:
            there, most = self.opens_ns[-RECENT_ROWS:], ROWS_MAX
        else:
            there, most = self.opens_ns[: len(self.opens_ns) - self._lag], self._history_max
        before_ns, after_ns = int(query["before"]) * NS_PER_MS, int(query["after"]) * NS_PER_MS
        found = [o for o in reversed(there) if before_ns < o < after_ns]
        rows = [
            [
                str(o // NS_PER_MS),
                "1.0",
                "3.0",
                "1.0",
                "2.0",
                "10",
                "0.10",
                "20.0",
                "0" if o == self.opens_ns[-1] else "1",
            ]
            for o in found[: min(most, int(query["limit"]))]
        ]
        return json.dumps(rows).encode()


def minutes(first: int, count: int) -> list[int]:
    return [START_NS + (first + i) * MINUTE_NS for i in range(count)]


def fetch(exchange: Exchange, page: CandlePage, venue_ns: int = 0) -> list[Candle]:
    pages, told = Pages(), []
    request: Request | None = candle_request(page)
    while request is not None:
        assert isinstance(request.purpose, CandlePage)
        answer = pages.take(request, request.purpose, exchange.answer(request), venue_ns, 1)
        told += answer.candles
        request = answer.following
        assert len(exchange.requests) < 500, "no end of pages"
    return told


def page(from_minute: int, to_minute: int | None, interval: Interval = Interval.M1) -> CandlePage:
    to_ns = None if to_minute is None else START_NS + to_minute * MINUTE_NS
    return CandlePage(SWAP, interval, START_NS + from_minute * MINUTE_NS, to_ns)


def test_a_request_names_both_ends_in_the_venues_inverted_words() -> None:
    request = candle_request(page(10, 12))
    first_ms = START_NS // NS_PER_MS
    assert (request.path, request.weight) == (RECENT, 1)
    assert dict(request.query) == {
        "instId": "BTC-USDT-SWAP",
        "bar": "1m",
        "before": str(first_ms + 600_000 - 1),
        "after": str(first_ms + 720_000 + 1),
        "limit": "300",
    }


def test_t13_rows_that_come_newest_first_are_told_in_ascending_order() -> None:
    exchange = Exchange(minutes(0, 1000))
    candles = fetch(exchange, page(950, 960))
    assert [c.open_ns for c in candles] == minutes(950, 11)
    assert len(exchange.requests) == 1


def test_t12_and_m17_the_columns_are_contracts_base_and_quote() -> None:
    (candle,) = fetch(Exchange(minutes(0, 1000)), page(950, 950))
    assert (candle.contracts, candle.base_volume, candle.quote_volume) == (
        Decimal(10),
        Decimal("0.10"),
        Decimal("20.0"),
    )
    assert (candle.trade_count, candle.event_ns, candle.source) == (None, None, Source.REST)
    row = RawRow(START_NS // NS_PER_MS, "1", "3", "1", "2", "10", "0.1", "0.1", "1")
    spot = to_candle(row, any_instrument("BTC-USDT"), BARS_OF["1m"], 1)
    assert (spot.contracts, spot.base_volume, spot.quote_volume) == (None, Decimal(10), Decimal("0.1"))


def test_t7_and_m6_the_live_bar_of_an_answer_is_open() -> None:
    candles = fetch(Exchange(minutes(0, 1000)), page(998, None))
    assert [c.closed for c in candles] == [True, False]


def test_t10_pages_up_to_the_present_follow_each_other_without_a_hole() -> None:
    exchange = Exchange(minutes(0, 1000))
    assert [c.open_ns for c in fetch(exchange, page(100, None))] == minutes(100, 900)
    assert {request.path for request in exchange.requests} == {RECENT}


@pytest.mark.parametrize("history_max", [100, 300])
def test_what_is_older_than_the_recent_comes_from_history(history_max: int) -> None:
    """Whatever history's own maximum is: it was 100, and its documentation has 300 of late."""
    exchange = Exchange(minutes(0, 3000), history_max=history_max)
    assert [c.open_ns for c in fetch(exchange, page(0, None))] == minutes(0, 3000)
    assert sum(request.path == HISTORY for request in exchange.requests) >= 1500 // history_max
    assert all(r.weight == HISTORY_WEIGHT for r in exchange.requests if r.path == HISTORY)


def test_a_range_on_the_border_of_the_recent_is_put_together() -> None:
    exchange = Exchange(minutes(0, 2000))
    assert [c.open_ns for c in fetch(exchange, page(500, 700))] == minutes(500, 201)
    assert [request.path for request in exchange.requests] == [RECENT, HISTORY]


def test_a_hole_of_the_venues_own_stays_one() -> None:
    exchange = Exchange([*minutes(0, 900), *minutes(950, 50)])
    assert [c.open_ns for c in fetch(exchange, page(890, 960))] == [*minutes(890, 10), *minutes(950, 11)]
    assert [c.open_ns for c in fetch(exchange, page(910, 960))] == minutes(950, 11)
    assert fetch(exchange, page(910, 920)) == []


def test_an_instrument_that_was_listed_later_begins_there() -> None:
    exchange = Exchange(minutes(700, 300))
    assert [c.open_ns for c in fetch(exchange, page(0, 999))] == minutes(700, 300)


def test_seconds_come_from_history_only() -> None:
    opens_ns = [START_NS + i * NS_PER_S for i in range(700)]
    exchange = Exchange(opens_ns, lag=0)
    candles = fetch(exchange, CandlePage(SWAP, Interval.S1, START_NS, START_NS + 650 * NS_PER_S))
    assert [c.open_ns for c in candles] == opens_ns[:651]
    assert {request.path for request in exchange.requests} == {HISTORY}


def test_t31_months_are_asked_for_by_their_utc_name_and_end_with_themselves() -> None:
    wanted = CandlePage(SWAP, Interval.MO1, Interval.MO1.open_of(START_NS), Interval.MO1.open_of(START_NS))
    request = candle_request(wanted)
    assert dict(request.query)["bar"] == "1Mutc"
    rows = [[str(wanted.from_ns // NS_PER_MS), "1", "1", "1", "1", "0", "0", "0", "1"]]
    (candle,) = Pages().take(request, wanted, json.dumps(rows).encode(), 0, 1).candles
    assert candle.close_ns == Interval.MO1.next_open(wanted.from_ns)


@given(
    first=st.integers(0, 2500),
    length=st.integers(0, 900),
    absent=st.sets(st.integers(0, 2600), max_size=20),
    most=st.sampled_from([7, 100, 300]),
    to_the_present=st.booleans(),
)
def test_whatever_the_venue_has_is_told_once_in_order(
    first: int, length: int, absent: set[int], most: int, to_the_present: bool
) -> None:
    opens_ns = [o for i, o in enumerate(minutes(0, 2600)) if i not in absent or i == 2599]
    wanted = page(first, None if to_the_present else first + length)
    end_ns = opens_ns[-1] if wanted.to_ns is None else wanted.to_ns
    told = [c.open_ns for c in fetch(Exchange(opens_ns, history_max=most), wanted, venue_ns=opens_ns[-1])]
    assert told == [o for o in opens_ns if wanted.from_ns <= o <= end_ns]


@pytest.mark.parametrize(
    "rows",
    [
        [["60000", "1", "1", "1", "1", "1", "1", "1", "1"], ["120000", "1", "1", "1", "1", "1", "1", "1", "1"]],
        [["60000", "1", "1", "1", "1", "1", "1", "1"]],
        [["60000", "1", "1", "1", "1", "1", "1", "1", "2"]],
        [["60000", "2", "1", "1", "1", "1", "1", "1", "1"]],
        [["60000", "1", "1", "1", "1", "-1", "1", "1", "1"]],
        [["60001", "1", "1", "1", "1", "1", "1", "1", "1"]],
        [["60000000000000000", "1", "1", "1", "1", "1", "1", "1", "1"]],
    ],
    ids=["ascending", "short", "confirm", "t14-prices", "negative", "t31-off-the-grid", "t32-microseconds"],
)
def test_rows_that_are_not_as_documented_are_refused(rows: list[list[str]]) -> None:
    wanted = CandlePage(SWAP, Interval.M1, 0, 600 * NS_PER_S)
    with pytest.raises((ValueError, ArithmeticError)):
        Pages().take(candle_request(wanted), wanted, json.dumps(rows).encode(), 0, 1)


def test_pages_under_way_are_bounded() -> None:
    pages = Pages()
    for number in range(PAGES_MAX + 5):
        wanted = page(number, number)
        assert pages.take(candle_request(wanted), wanted, b"[]", 0, 1).following is not None
    assert len(pages._rows) == PAGES_MAX


def trade_rows(numbers: Sequence[int]) -> bytes:
    rows = [
        {"instId": "BTC-USDT-SWAP", "side": "sell", "sz": "1", "px": "2.50", "tradeId": str(n), "ts": "1786540440000"}
        for n in numbers
    ]
    return json.dumps(rows).encode()


def trades_of(serve: Callable[[int, int], Sequence[int]], wanted: TradePage) -> list[Trade]:
    told: list[Trade] = []
    following: TradePage | None = wanted
    while following is not None:
        query = dict(trade_request(following).query)
        assert query["type"] == "1"
        rows = trade_rows(serve(int(query["after"]), int(query["limit"])))
        trades, following = read_trades(following, rows, 1)
        told += trades
    return told


@pytest.mark.parametrize("count", [1, 99, 100, 101, 250])
def test_t30_trades_are_paged_by_number_and_told_in_ascending_order(count: int) -> None:
    told = trades_of(lambda after, limit: range(after - 1, after - 1 - limit, -1), TradePage(SWAP, 1000, 999 + count))
    assert [trade.sequence for trade in told] == list(range(1000, 1000 + count))
    assert (told[0].trade_id, str(told[0].price), told[0].source) == ("1000", "2.50", Source.REST)


def test_trades_that_the_venue_does_not_have_end_the_pages() -> None:
    assert trades_of(lambda after, limit: [], TradePage(SWAP, 1000, 1400)) == []


def test_trades_in_another_order_are_refused() -> None:
    with pytest.raises(ValueError, match="descending"):
        read_trades(TradePage(SWAP, 1, 9), trade_rows([1, 2]), 1)


def test_t33_trade_numbers_above_2_53_stay_exact() -> None:
    number = 8_578_128_440_611_119_318
    (trade,), _ = read_trades(TradePage(SWAP, number, number), trade_rows([number]), 1)
    assert (trade.sequence, trade.trade_id) == (number, str(number))


def test_an_error_has_the_venues_code_and_words_or_whatever_came() -> None:
    error = parse_error(400, b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}')
    assert (error.code, error.reason) == ("51001", "Instrument ID does not exist")
    assert parse_error(503, b"<html>busy</html>").code == "503"
