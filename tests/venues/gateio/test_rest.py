"""Pages of candles, against a venue that answers as each market documents it, and snapshots of books."""

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.errors import ConfigError
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Side, Trade
from heliograph.venues import contract as venues
from heliograph.venues.candle_pages import LATE_NS, SETTLED_NS, page_end
from heliograph.venues.contract import BookPage, CandlePage, Connection, Effect, Fetch, Request, TradePage, VenueError
from heliograph.venues.faults import FAULTS
from heliograph.venues.gateio import VENUE
from heliograph.venues.gateio.market import Feed
from heliograph.venues.gateio.rest import (
    TRADES_PER_PAGE_MAX,
    Rest,
    book_request,
    candle_request,
    parse_error,
    read_book,
    read_candles,
    trade_request,
)

MINUTE_NS = 60 * NS_PER_S
START_NS = 1_767_225_600 * NS_PER_S  # 2026-01-01T00:00Z
NAMES = ("spot", "usdm", "coinm")


def rest(name: str) -> Rest:
    market = next(m for n, m in VENUE.markets.items() if n == name)
    feed = market.feed(Connection("", ()))
    assert isinstance(feed, Feed)
    return feed._rules.rest


def instrument(name: str) -> Instrument:
    market = next(m for n, m in VENUE.markets.items() if n == name)
    return market.instrument("BTC_USD" if name == "coinm" else "BTC_USDT")


def row(name: str, open_ns: int, closed: bool | None) -> object:
    open_s = open_ns // NS_PER_S
    if name != "spot":
        return {"o": "100.0", "v": 5, "t": open_s, "c": "100.5", "l": "99.0", "h": "101.0", "sum": "500.5"}
    flag = [] if closed is None else [str(closed).lower()]
    return [str(open_s), "500.5", "100.5", "101.0", "99.0", "100.0", "5", *flag]


def answer(name: str, request: Request, interval: Interval, now_ns: int, *, flags: bool) -> bytes:
    """Answer as the venue does: both ends count, and a window of too many candles is refused."""
    query = dict(request.query)
    assert "limit" not in query, "limit conflicts with a window"
    open_ns, end_ns = int(query["from"]) * NS_PER_S, int(query["to"]) * NS_PER_S
    opens: list[int] = []
    while open_ns <= end_ns:
        opens.append(open_ns)
        open_ns = interval.next_open(open_ns)
    assert len(opens) <= (1000 if name == "spot" else 2000), "Candlestick range too broad"
    closed = {o: interval.next_open(o) <= now_ns for o in opens}
    return json.dumps([row(name, o, closed[o] if flags else None) for o in opens if o <= now_ns]).encode()


def fetch(
    name: str, page: CandlePage, now_ns: int, venue_ns: int = 0, *, flags: bool = True
) -> tuple[list[Candle], list[Request]]:
    candles: list[Candle] = []
    requests: list[Request] = []
    following: CandlePage | None = page
    while following is not None:
        request = candle_request(rest(name), following)
        requests.append(request)
        body = answer(name, request, page.interval, now_ns, flags=flags)
        got = read_candles(rest(name), following, body, venue_ns, 1)
        candles += got.candles
        following = got.following
    return candles, requests


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 2, 998, 999, 1000, 1001, 1999, 2000, 2001, 4500])
def test_every_candle_of_a_range_comes_once_closed_and_in_order(name: str, count: int) -> None:
    last_ns = START_NS + (count - 1) * MINUTE_NS
    page = CandlePage(instrument(name), Interval.M1, START_NS, last_ns)
    candles, requests = fetch(name, page, now_ns=last_ns + 10 * MINUTE_NS)
    assert [c.open_ns for c in candles] == [START_NS + i * MINUTE_NS for i in range(count)]
    assert all(c.closed for c in candles), "the candle after the last wanted one proves that it closed"
    assert len(requests) <= count // (rest(name).rows_max - 1) + 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 5, 1000, 2000, 3100])
def test_m6_t7_a_range_up_to_the_present_ends_with_the_live_candle_open(name: str, count: int) -> None:
    page = CandlePage(instrument(name), Interval.M1, START_NS, None)
    now_ns = START_NS + count * MINUTE_NS - 1
    for flags in (True, False):
        candles, _ = fetch(name, page, now_ns, venue_ns=now_ns, flags=flags)
        assert [c.open_ns for c in candles] == [START_NS + i * MINUTE_NS for i in range(count)]
        assert [c.closed for c in candles] == [True] * (count - 1) + [False]


@pytest.mark.parametrize("interval", [Interval.S10, Interval.D1, Interval.MO1])
def test_t31_other_lengths_lie_on_their_grid(interval: Interval) -> None:
    opens = [interval.open_of(START_NS)]
    for _ in range(20):
        opens.append(interval.next_open(opens[-1]))
    page = CandlePage(instrument("spot"), interval, opens[0], opens[-1])
    candles, _ = fetch("spot", page, now_ns=interval.next_open(opens[-1]))
    assert [c.open_ns for c in candles] == opens
    assert [c.close_ns for c in candles[:-1]] == opens[1:]


def one(name: str, body: object, venue_ns: int = 0, to_ns: int | None = None) -> list[Candle]:
    page = CandlePage(instrument(name), Interval.M1, START_NS, to_ns)
    return read_candles(rest(name), page, json.dumps(body).encode(), venue_ns, 1).candles


@pytest.mark.parametrize(("past_ns", "closed"), [(-1, False), (0, False), (SETTLED_NS - 1, False), (SETTLED_NS, True)])
def test_t9_a_last_row_without_a_flag_is_closed_only_well_after_its_end_in_the_venues_own_time(
    past_ns: int, closed: bool
) -> None:
    (candle,) = one("usdm", [row("usdm", START_NS, None)], START_NS + MINUTE_NS + past_ns)
    assert candle.closed is closed


@pytest.mark.parametrize(("past_ns", "closed"), [(LATE_NS - 1, False), (LATE_NS, True)])
def test_t8_a_row_that_is_followed_is_closed_a_little_after_its_end(past_ns: int, closed: bool) -> None:
    body = [row("usdm", START_NS, None), row("usdm", START_NS + MINUTE_NS, None)]
    candles = one("usdm", body, START_NS + MINUTE_NS + past_ns)
    # One that is neither final for sure nor the live one is not told: it would be a step back.
    assert [c.closed for c in candles] == ([True, False] if closed else [False])


def test_a_row_of_spot_that_says_it_is_closed_is() -> None:
    assert [c.closed for c in one("spot", [row("spot", START_NS, True)])] == [True]
    assert [c.closed for c in one("spot", [row("spot", START_NS, False)])] == [False]


def test_t14_the_columns_of_spot_are_in_gates_order() -> None:
    (candle,) = one(
        "spot", [[str(START_NS // NS_PER_S), "1157.7", "67772.5", "67839.9", "67715", "67715.1", "17.0", "true"]]
    )
    assert (candle.open, candle.high, candle.low, candle.close) == tuple(
        map(Decimal, ("67715.1", "67839.9", "67715", "67772.5"))
    )
    assert (candle.base_volume, candle.quote_volume, candle.contracts) == (Decimal("17.0"), Decimal("1157.7"), None)
    assert (candle.event_ns, candle.trade_count) == (None, None), "M16, M17: what is not said is not known"


@pytest.mark.parametrize("name", NAMES)
def test_t14_prices_out_of_order_are_refused(name: str) -> None:
    bad = row(name, START_NS, True)
    if isinstance(bad, list):
        bad[2], bad[3] = "102", "101"
    else:
        assert isinstance(bad, dict)
        bad["c"] = "102"
    with pytest.raises(ValueError, match="prices out of order"):
        one(name, [bad])


@pytest.mark.parametrize("name", NAMES)
def test_t13_rows_that_do_not_ascend_are_refused(name: str) -> None:
    for second_ns in (START_NS, START_NS - MINUTE_NS):
        with pytest.raises(ValueError, match="ascending"):
            one(name, [row(name, START_NS, True), row(name, second_ns, True)])
    with pytest.raises(ValueError, match="opens at"):
        one(name, [row(name, START_NS + NS_PER_S, True)])


def test_t12_contracts_are_never_taken_for_base() -> None:
    (linear,) = one("usdm", [row("usdm", START_NS, None)])
    assert (linear.base_volume, linear.quote_volume, linear.contracts) == (None, Decimal("500.5"), Decimal(5))
    (inverse,) = one("coinm", [row("coinm", START_NS, None)])
    assert (inverse.base_volume, inverse.quote_volume, inverse.contracts) == (None, None, Decimal(5))
    body = [row("usdm", START_NS, None)]
    assert isinstance(body[0], dict)
    del body[0]["sum"]
    assert one("usdm", body)[0].quote_volume is None


@pytest.mark.parametrize(
    ("name", "path", "query"),
    [
        ("spot", "/api/v4/spot/order_book", (("currency_pair", "BTC_USDT"), ("limit", "1000"), ("with_id", "true"))),
        ("usdm", "/api/v4/futures/usdt/order_book", (("contract", "BTC_USDT"), ("limit", "100"), ("with_id", "true"))),
        ("coinm", "/api/v4/futures/btc/order_book", (("contract", "BTC_USD"), ("limit", "100"), ("with_id", "true"))),
    ],
)
def test_a_snapshot_is_asked_for_with_its_id(name: str, path: str, query: tuple[tuple[str, str], ...]) -> None:
    coin = instrument(name)
    assert book_request(rest(name), coin) == Request(path, query, 1, BookPage(coin))


def test_m18_coin_settled_contracts_are_asked_for_under_btc_whatever_their_base() -> None:
    market = next(m for n, m in VENUE.markets.items() if n == "coinm")
    page = CandlePage(market.instrument("ETH_USD"), Interval.M1, START_NS, START_NS)
    assert market.candle_request(page).path == "/api/v4/futures/btc/candlesticks"
    with pytest.raises(ConfigError):
        market.instrument("ETH_USDT")


def test_a_snapshot_of_either_shape() -> None:
    spot = read_book(
        rest("spot"), instrument("spot"), b'{"id":7,"update":1654249526591,"asks":[["2","1"]],"bids":[["1.0","3"]]}', 1
    )
    assert (spot.sequence, spot.event_ns) == (7, 1_654_249_526_591_000_000)
    body = b'{"id":7,"update":1654249503.437,"asks":[{"s":564,"p":"2"}],"bids":[{"s":"1.5","p":"1.0"}]}'
    futures = read_book(rest("usdm"), instrument("usdm"), body, 1)
    assert futures.event_ns == 1_654_249_503_437_000_000
    assert list(futures.bids) == [(Decimal("1.0"), Decimal("1.5"))]
    with pytest.raises(ValueError, match="out of range"):
        read_book(rest("usdm"), instrument("usdm"), body.replace(b"1654249503.437", b"1654249503437"), 1)


def test_a_snapshot_out_of_order_is_refused() -> None:
    for body in (b'{"asks":[["2","1"],["1","1"]],"bids":[]}', b'{"asks":[],"bids":[["1","1"],["1","1"]]}'):
        with pytest.raises(ValueError, match="not in order"):
            read_book(rest("spot"), instrument("spot"), body, 1)


def test_errors_are_read_in_all_their_forms() -> None:
    assert parse_error(400, b'{"label":"INVALID_PARAM_VALUE","message":"Candlestick range too broad"}') == VenueError(
        "INVALID_PARAM_VALUE", "Candlestick range too broad"
    )
    assert parse_error(400, b'{"label":"CONTRACT_NOT_FOUND"}') == VenueError("CONTRACT_NOT_FOUND", "")
    assert parse_error(400, b'{"label":"X","detail":"dated"}') == VenueError("X", "dated")
    assert parse_error(502, b"<html>") == VenueError("502", "<html>")


@given(st.sampled_from(NAMES), st.binary(max_size=200))
def test_no_body_raises_anything_but_a_fault(name: str, body: bytes) -> None:
    page = CandlePage(instrument(name), Interval.M1, START_NS, None)
    for read in (
        lambda: read_candles(rest(name), page, body, 0, 1),
        lambda: read_book(rest(name), instrument(name), body, 1),
        lambda: parse_error(500, body),
    ):
        with contextlib.suppress(*FAULTS):
            read()


@given(
    st.sampled_from([Interval.M1, Interval.H4, Interval.D1, Interval.MO1]), st.integers(0, 50_000), st.integers(2, 2000)
)
def test_a_page_always_reaches_beyond_its_beginning(interval: Interval, days: int, rows_max: int) -> None:
    from_ns = interval.open_of(days * 86_400 * NS_PER_S)
    end_ns = page_end(CandlePage(instrument("spot"), interval, from_ns, None), max(rows_max, 3))
    assert end_ns > from_ns


def fetched(feed: venues.Feed, request: Request, body: str) -> tuple[list[VenueEvent], list[Effect]]:
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    feed.fetched(request, body.encode(), 9, events, effects)
    return events, effects


def past(number: int, **more: object) -> dict[str, object]:
    return {
        "id": str(number), "create_time": "1790349961", "create_time_ms": "1790349961119.653000", "side": "buy",
        "currency_pair": "BTC_USDT", "amount": "0.5", "price": "83790.9", "sequence_id": str(number),
    } | more  # fmt: skip


@pytest.mark.parametrize(("count", "limits"), [(1, [1]), (1000, [1000]), (1001, [1000, 1]), (2500, [1000, 1000, 500])])
def test_trades_of_spot_are_asked_for_by_number_page_by_page_and_told_in_order(count: int, limits: list[int]) -> None:
    market = VENUE.markets[MarketId("spot")]
    assert market.trade_request is not None
    feed = market.feed(Connection("", ()))
    request = market.trade_request(TradePage(instrument("spot"), 5, 4 + count))
    asked: list[int] = []
    events: list[object] = []
    while True:
        query = dict(request.query)
        assert (request.path, query["currency_pair"], query["reverse"]) == ("/api/v4/spot/trades", "BTC_USDT", "true")
        limit, before = int(query["limit"]), int(query["last_id"])
        asked.append(limit)
        body = json.dumps([past(number) for number in range(before - 1, before - 1 - limit, -1)])
        told, effects = fetched(feed, request, body)
        events += told
        if not effects:
            break
        (fetch,) = effects
        assert isinstance(fetch, Fetch)
        request = fetch.request
    assert asked == limits
    assert max(asked) <= TRADES_PER_PAGE_MAX
    trades = [event for event in events if isinstance(event, Trade)]
    assert [trade.sequence for trade in trades] == list(range(5, 5 + count))
    assert (trades[0].trade_id, trades[0].quantity, trades[0].side) == ("5", Decimal("0.5"), Side.BUY)


def test_an_answer_without_the_trades_that_were_asked_for_ends_the_asking() -> None:
    feed = VENUE.markets[MarketId("spot")].feed(Connection("", ()))
    request = trade_request(rest("spot"), TradePage(instrument("spot"), 5, 5000))
    for rows in ([], [past(2)], [past(7, sequence_id="")]):
        assert fetched(feed, request, json.dumps(rows)) == ([], [])


def test_trades_of_contracts_are_not_asked_for() -> None:
    assert [VENUE.markets[MarketId(name)].trade_request for name in ("usdm", "coinm")] == [None, None]
