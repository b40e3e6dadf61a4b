"""Pages of candles and trades, against a venue that answers as each market documents it."""

import json
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Side, Source, Trade
from heliograph.venues import find_market, find_venue
from heliograph.venues.binance.rest import (
    BOOK_DEPTH_MAX,
    Rest,
    book_request,
    candle_request,
    end_of,
    parse_error,
    read_book,
    read_candles,
    read_trades,
    trade_request,
)
from heliograph.venues.contract import CandlePage, Request, TradePage, VenueError
from heliograph.venues.faults import FAULTS

MARKETS = ("spot", "usdm", "coinm")
MINUTE_NS = 60 * NS_PER_S
START_NS = 1_767_225_600 * NS_PER_S  # 2026-01-01T00:00Z
RULES = {
    "spot": Rest("/api/v3", 1000, ((1000, 2),), trades_weight=4, depth_weight=50, counts_contracts=False),
    "usdm": Rest("/fapi/v1", 1500, ((99, 1), (499, 2), (1000, 5), (1500, 10)), 20, 20, counts_contracts=False),
    "coinm": Rest("/dapi/v1", 1500, ((99, 1), (499, 2), (1000, 5), (1500, 10)), 20, 20, counts_contracts=True),
}
INSTRUMENTS = {
    name: find_market(find_venue("binance"), name).instrument("BTCUSD_PERP" if name == "coinm" else "BTCUSDT")
    for name in MARKETS
}


def row(open_ns: int, interval: Interval = Interval.M1, volume: str = "5", quote: str = "500.5") -> list[object]:
    close_ms = interval.next_open(open_ns) // NS_PER_MS - 1
    return [open_ns // NS_PER_MS, "100.0", "101.0", "99.0", "100.5", volume, close_ms, quote, 3, "1", "100", "0"]


def answer(market: str, request: Request, interval: Interval, now_ns: int) -> bytes:
    """Answer as the venue does: COIN-M gives the newest rows of the window, the others the oldest."""
    query = dict(request.query)
    start_ns, end_ns = int(query["startTime"]) * NS_PER_MS, int(query["endTime"]) * NS_PER_MS
    if market == "coinm":
        assert end_ns - start_ns <= 200 * 86_400 * NS_PER_S, "code -4088"
    opens: list[int] = []
    open_ns = start_ns
    while open_ns <= min(end_ns, now_ns):
        opens.append(open_ns)
        open_ns = interval.next_open(open_ns)
    limit = int(query["limit"])
    assert limit <= RULES[market].rows_max
    opens = opens[-limit:] if market == "coinm" else opens[:limit]
    return json.dumps([row(o, interval) for o in opens]).encode()


def fetch(market: str, page: CandlePage, now_ns: int, venue_ns: int = 0) -> tuple[list[Candle], list[Request]]:
    candles: list[Candle] = []
    requests: list[Request] = []
    following: CandlePage | None = page
    while following is not None:
        request = candle_request(RULES[market], following)
        requests.append(request)
        body = answer(market, request, page.interval, now_ns)
        got = read_candles(RULES[market], following, body, venue_ns, 1)
        candles += got.candles
        following = got.following
    return candles, requests


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("count", [1, 2, 998, 999, 1000, 1001, 1499, 1500, 1501, 4000])
def test_every_candle_of_a_range_comes_once_closed_and_in_order(market: str, count: int) -> None:
    last_ns = START_NS + (count - 1) * MINUTE_NS
    page = CandlePage(INSTRUMENTS[market], Interval.M1, START_NS, last_ns)
    candles, requests = fetch(market, page, now_ns=last_ns + 10 * MINUTE_NS)
    assert [c.open_ns for c in candles] == [START_NS + i * MINUTE_NS for i in range(count)]
    assert all(c.closed for c in candles), "the candle after the last wanted one proves that it closed"
    assert len(requests) <= count // (RULES[market].rows_max - 1) + 1


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("count", [1, 5, 1000, 1500, 3100])
def test_a_range_up_to_the_present_ends_with_the_live_candle_open(market: str, count: int) -> None:
    page = CandlePage(INSTRUMENTS[market], Interval.M1, START_NS, None)
    now_ns = START_NS + count * MINUTE_NS - 1
    candles, _ = fetch(market, page, now_ns, venue_ns=now_ns)
    assert [c.open_ns for c in candles] == [START_NS + i * MINUTE_NS for i in range(count)]
    assert [c.closed for c in candles] == [True] * (count - 1) + [False]
    untimed, _ = fetch(market, page, now_ns)
    sure = [START_NS + i * MINUTE_NS for i in range(count - 2)]
    assert [(c.open_ns, c.closed) for c in untimed] == [(o, True) for o in sure] + [(candles[-1].open_ns, False)]


@pytest.mark.parametrize("interval", [Interval.D1, Interval.W1, Interval.MO1])
def test_long_candles_come_in_windows_that_coinm_accepts(interval: Interval) -> None:
    opens = [interval.open_of(START_NS)]
    for _ in range(20):
        opens.append(interval.next_open(opens[-1]))
    page = CandlePage(INSTRUMENTS["coinm"], interval, opens[0], opens[-1])
    candles, _ = fetch("coinm", page, now_ns=interval.next_open(opens[-1]))
    assert [c.open_ns for c in candles] == opens


@pytest.mark.parametrize(
    ("venue_ns", "closed"),
    [(0, False), (MINUTE_NS - 1, False), (MINUTE_NS, False), (MINUTE_NS + 10 * NS_PER_S - 1, False),
     (MINUTE_NS + 10 * NS_PER_S, True)],
)  # fmt: skip
def test_a_last_row_is_closed_only_well_after_its_end_in_the_venues_own_time(venue_ns: int, closed: bool) -> None:
    page = CandlePage(INSTRUMENTS["spot"], Interval.M1, START_NS, START_NS)
    body = json.dumps([row(START_NS)]).encode()
    got = read_candles(RULES["spot"], page, body, START_NS + venue_ns, received_ns=2**62)
    (candle,) = got.candles
    assert candle.closed is closed
    assert (candle.event_ns, candle.source, candle.close_ns) == (None, Source.REST, START_NS + MINUTE_NS)


@pytest.mark.parametrize(("past_ns", "closed"), [(0, False), (3 * NS_PER_S - 1, False), (3 * NS_PER_S, True)])
def test_up_to_the_present_a_bar_that_has_just_ended_is_not_final_yet(past_ns: int, closed: bool) -> None:
    """Bars were seen to change up to two seconds after their end, when the next row is there already."""
    body = json.dumps([row(START_NS + i * MINUTE_NS) for i in range(3)]).encode()
    venue_ns = START_NS + 2 * MINUTE_NS + past_ns
    got = read_candles(RULES["usdm"], CandlePage(INSTRUMENTS["usdm"], Interval.M1, START_NS, None), body, venue_ns, 1)
    assert [c.closed for c in got.candles] == ([True, True, False] if closed else [True, False])
    assert got.candles[-1].open_ns == START_NS + 2 * MINUTE_NS


def test_volumes_are_base_and_quote_but_contracts_and_base_on_coinm() -> None:
    for market in MARKETS:
        page = CandlePage(INSTRUMENTS[market], Interval.M1, START_NS, START_NS)
        body = json.dumps([row(START_NS, volume="156", quote="1.61836886")]).encode()
        (candle,) = read_candles(RULES[market], page, body, 0, 1).candles
        volumes = (candle.base_volume, candle.quote_volume, candle.contracts)
        one, other = Decimal(156), Decimal("1.61836886")
        assert volumes == ((other, None, one) if market == "coinm" else (one, other, None))


def test_a_hole_of_the_venue_ends_no_range_early() -> None:
    page = CandlePage(INSTRUMENTS["spot"], Interval.M1, START_NS, START_NS + 2500 * MINUTE_NS)
    got = read_candles(RULES["spot"], page, b"[]", 0, 1)
    assert got.candles == []
    assert got.following is not None
    assert got.following.from_ns == START_NS + 999 * MINUTE_NS


@pytest.mark.parametrize(
    "rows",
    [
        [row(START_NS + MINUTE_NS), row(START_NS)],
        [row(START_NS), row(START_NS)],
        [[*row(START_NS)[:2], "99", *row(START_NS)[3:]]],  # the high is below the open
        [[*row(START_NS)[:5], "-1", *row(START_NS)[6:]]],
        [[*row(START_NS)[:5], "NaN", *row(START_NS)[6:]]],
        [[START_NS // NS_PER_MS + 1, *row(START_NS)[1:]]],  # off the grid
        [[START_NS // 1000, *row(START_NS)[1:]]],  # microseconds
        [row(START_NS)[:8]],
        [{"t": 1}],
    ],
)
def test_rows_that_cannot_be_candles_are_refused(rows: list[object]) -> None:
    page = CandlePage(INSTRUMENTS["spot"], Interval.M1, START_NS, START_NS)
    with pytest.raises(FAULTS):
        read_candles(RULES["spot"], page, json.dumps(rows).encode(), 0, 1)


def test_futures_requests_weigh_by_their_limit() -> None:
    weights = {}
    for count in (1, 98, 99, 498, 499, 999, 1000, 1499, 3000):
        page = CandlePage(INSTRUMENTS["usdm"], Interval.M1, START_NS, START_NS + (count - 1) * MINUTE_NS)
        request = candle_request(RULES["usdm"], page)
        weights[int(dict(request.query)["limit"])] = request.weight
    assert weights == {2: 1, 99: 1, 100: 2, 499: 2, 500: 5, 1000: 5, 1001: 10, 1500: 10}


def test_a_page_reaches_one_candle_beyond_what_is_wanted() -> None:
    page = CandlePage(INSTRUMENTS["spot"], Interval.M1, START_NS, START_NS + 3 * MINUTE_NS)
    assert end_of(RULES["spot"], page) == START_NS + 4 * MINUTE_NS
    assert dict(candle_request(RULES["spot"], page).query)["limit"] == "5"


def past_trades(first: int, count: int) -> bytes:
    rows = [
        {"a": first + i, "p": "1.5", "q": "2", "f": 1, "l": 1, "T": 1000 + i, "m": i % 2 == 0} for i in range(count)
    ]
    return json.dumps(rows).encode()


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 2500])
def test_every_trade_of_a_range_comes_once_and_in_order(count: int) -> None:
    following: TradePage | None = TradePage(INSTRUMENTS["usdm"], 50, 50 + count - 1)
    trades: list[Trade] = []
    while following is not None:
        query = dict(trade_request(RULES["usdm"], following).query)
        body = past_trades(int(query["fromId"]), int(query["limit"]))
        got, following = read_trades(following, body, 1)
        trades += got
    assert [t.sequence for t in trades] == list(range(50, 50 + count))
    assert (trades[0].side, trades[0].source, trades[0].event_ns) == (Side.SELL, Source.REST, 1_000_000_000)


def test_trades_that_the_venue_no_longer_has_end_the_range() -> None:
    page = TradePage(INSTRUMENTS["spot"], 50, 99)
    assert read_trades(page, b"[]", 1) == ([], None)
    got, following = read_trades(page, past_trades(70, 10), 1)
    assert [t.sequence for t in got] == list(range(70, 80))
    assert following == TradePage(INSTRUMENTS["spot"], 80, 99)


def test_a_book_is_asked_for_whole_and_read_in_order() -> None:
    request = book_request(RULES["coinm"], INSTRUMENTS["coinm"])
    assert request.path == "/dapi/v1/depth"
    assert dict(request.query) == {"symbol": "BTCUSD_PERP", "limit": str(BOOK_DEPTH_MAX)}
    body = b'{"lastUpdateId":7,"E":5,"T":4,"symbol":"BTCUSD_PERP","bids":[["3","1"],["2","1"]],"asks":[["4","1"]]}'
    snapshot = read_book(INSTRUMENTS["coinm"], body, 9)
    assert (snapshot.sequence, snapshot.event_ns, snapshot.received_ns) == (7, 5_000_000, 9)
    assert snapshot.bids == [(Decimal(3), Decimal(1)), (Decimal(2), Decimal(1))]


@pytest.mark.parametrize(
    "body",
    [
        b'{"lastUpdateId":7,"bids":[["2","1"],["3","1"]],"asks":[]}',
        b'{"lastUpdateId":7,"bids":[],"asks":[["3","1"],["3","2"]]}',
        b'{"lastUpdateId":7,"bids":[["3","-1"]],"asks":[]}',
        b'{"lastUpdateId":7,"bids":[["Infinity","1"]],"asks":[]}',
        b'{"lastUpdateId":7,"symbol":"ETHUSDT","bids":[],"asks":[]}',
        b'{"bids":[],"asks":[]}',
        b'{"code":-1121,"msg":"Invalid symbol."}',
    ],
)
def test_what_is_no_book_of_that_instrument_is_refused(body: bytes) -> None:
    with pytest.raises(FAULTS):
        read_book(INSTRUMENTS["spot"], body, 1)


def test_errors_are_the_venues_code_and_words_or_what_stands_in_front_of_it() -> None:
    assert parse_error(400, b'{"code":-1121,"msg":"Invalid symbol."}') == VenueError("-1121", "Invalid symbol.")
    assert parse_error(403, b"<html>\xff") == VenueError("403", "<html>\ufffd")


@given(st.sampled_from(MARKETS), st.binary(max_size=300), st.integers(100, 599))
def test_no_body_makes_an_answer_raise_anything_else(market: str, body: bytes, status: int) -> None:
    instrument = INSTRUMENTS[market]
    parse_error(status, body)
    for read in (
        lambda: read_candles(RULES[market], CandlePage(instrument, Interval.M1, START_NS, None), body, 0, 1),
        lambda: read_trades(TradePage(instrument, 1, 9), body, 1),
        lambda: read_book(instrument, body, 1),
    ):
        try:
            read()
        except FAULTS:
            continue


@given(
    st.sampled_from(MARKETS),
    st.sampled_from([i for i in Interval if i not in (Interval.S10, Interval.D2, Interval.MO3)]),
    st.integers(0, 400),
    st.integers(1, 300),
)
def test_pages_always_move_on(market: str, interval: Interval, skipped: int, count: int) -> None:
    opens = [interval.open_of(START_NS + skipped * MINUTE_NS)]
    for _ in range(count - 1):
        opens.append(interval.next_open(opens[-1]))
    page = CandlePage(INSTRUMENTS[market], interval, opens[0], opens[-1])
    candles, requests = fetch(market, page, now_ns=interval.next_open(interval.next_open(opens[-1])))
    assert [c.open_ns for c in candles] == opens
    starts = [int(dict(r.query)["startTime"]) for r in requests]
    assert all(a < b for a, b in pairwise(starts))


def test_the_rules_here_are_those_that_the_markets_use() -> None:
    page = CandlePage(INSTRUMENTS["spot"], Interval.M1, START_NS, START_NS)
    for name in MARKETS:
        market = find_market(find_venue("binance"), MarketId(name))
        assert market.candle_request(page) == candle_request(RULES[name], page)
        assert market.trade_request is not None
        trades = TradePage(INSTRUMENTS[name], 1, 5)
        assert market.trade_request(trades) == trade_request(RULES[name], trades)
