"""The shapes follow https://www.luno.com/en/developers/api#tag/Streaming-API and frames recorded on 2026-09-22."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Gap, Trade
from heliograph.venues.contract import (
    CandlePage,
    Connection,
    Credentials,
    Effect,
    Fetch,
    Reconnect,
    Refused,
    Request,
    Send,
    Subscription,
    TickerPage,
    VenueError,
)
from heliograph.venues.luno.instruments import UNNAMED, instrument_of_symbol
from heliograph.venues.luno.market import Feed

KEY = Credentials("abcdef", "api_key_secret_goes_here")
PAIR = instrument_of_symbol("ETHUSDT")
ALL = tuple(Subscription(channel, PAIR) for channel in (Channel.TICKER, Channel.TRADES, Channel.BOOK))
CANDLES = Subscription(Channel.CANDLES, PAIR, Interval.M1)
MINUTE_NS = 60 * NS_PER_S
T_MS = 1_790_127_180_000
SNAPSHOT = {
    "sequence": "74538167",
    "asks": [
        {"id": "BXFE5AZB7UUXWPT", "price": "2765.00", "volume": "3.925038"},
        {"id": "BXHXHWTVVN6GYRE", "price": "2766.00", "volume": "0.30"},
    ],
    "bids": [{"id": "BXCPTNDKTTBQ3K4", "price": "2762.00", "volume": "0.026792"}],
    "status": "ACTIVE",
    "timestamp": T_MS,
}


def update(number: int, timestamp: int = T_MS + 1_000, **fields: Any) -> dict[str, Any]:
    nothing = {"trade_updates": [], "create_update": None, "delete_update": None, "status_update": None}
    return {"sequence": str(number), **nothing, "timestamp": timestamp} | fields


DELETED = update(74538168, delete_update={"order_id": "BXFE5AZB7UUXWPT"})


def feed_of(*subscriptions: Subscription) -> Feed:
    return Feed(KEY, Connection("/api/1/stream/ETHUSDT", subscriptions))


def take(feed: Feed, *frames: dict[str, Any] | bytes) -> tuple[list[VenueEvent], list[Effect]]:
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    raw = [frame if isinstance(frame, bytes) else json.dumps(frame).encode() for frame in frames]
    feed.decode(raw, 9, events, effects)
    return events, effects


def opened(feed: Feed, now_ns: int = 0) -> list[Effect]:
    effects: list[Effect] = []
    feed.opened(now_ns, effects)
    return effects


def ticked(feed: Feed, now_ns: int) -> list[Effect]:
    effects: list[Effect] = []
    feed.ticked(now_ns, effects)
    return effects


def test_the_key_is_shown_first_and_not_to_be_recorded() -> None:
    (first,) = opened(feed_of(CANDLES))
    assert isinstance(first, Send)
    assert first.payload == b'{"api_key_id":"abcdef","api_key_secret":"api_key_secret_goes_here"}'
    assert first.secret
    assert "goes_here" not in repr(KEY)


def test_the_day_is_asked_for_at_once_and_each_minute() -> None:
    feed = feed_of(*ALL)
    _, asked = opened(feed, 5 * NS_PER_S)
    assert isinstance(asked, Fetch)
    assert (asked.request.path, asked.request.query) == ("/api/1/ticker", (("pair", "ETHUSDT"),))
    assert [len(ticked(feed, second * NS_PER_S)) for second in (6, 64, 65, 66, 125)] == [0, 0, 1, 0, 1]
    events: list[VenueEvent] = []
    ticker = (
        b'{"pair":"ETHUSDT","timestamp":1790516492037,"bid":"2762.00","ask":"2765.00","last_trade":"2763.50",'
        b'"rolling_24_hour_volume":"205.366147","status":"ACTIVE"}'
    )
    feed.fetched(asked.request, ticker, 7, events, [])
    (day,) = events
    assert isinstance(day, DayStatistics)
    assert (str(day.last), str(day.base_volume), day.quote_volume) == ("2763.50", "205.366147", None)
    assert day.event_ns == 1790516492037 * NS_PER_MS


def test_a_book_is_told_whole_and_then_by_its_levels() -> None:
    events, effects = take(feed_of(*ALL), SNAPSHOT, b'""', DELETED)
    assert effects == []
    assert [type(event) for event in events] == [BookSnapshot, BookTop, BookDelta, BookTop]
    delta = events[2]
    assert isinstance(delta, BookDelta)
    assert [(str(price), quantity) for price, quantity in delta.asks] == [("2765.00", 0)]
    assert (delta.first_sequence, delta.sequence) == (74538168, 74538168)
    top = events[3]
    assert isinstance(top, BookTop)
    assert (str(top.bid), str(top.ask)) == ("2762.00", "2766.00")


def test_what_is_empty_is_not_told_and_what_follows_stands_for_it() -> None:
    created = update(74538170, create_update={"order_id": "N", "type": "BID", "price": "2700.00", "volume": "1.00"})
    events, effects = take(feed_of(*ALL), SNAPSHOT, update(74538168), update(74538169), created)
    assert effects == []
    # The top did not change, so that it is not told again.
    assert [type(event) for event in events] == [BookSnapshot, BookTop, BookDelta]
    delta = events[2]
    assert isinstance(delta, BookDelta)
    assert (delta.first_sequence, delta.sequence) == (74538168, 74538170)


def test_a_channel_that_is_not_wanted_is_not_told() -> None:
    traded = update(
        74538168,
        trade_updates=[{"sequence": 1, "base": "1.00", "counter": "2765.00", "maker_order_id": "BXFE5AZB7UUXWPT"}],
    )
    events, _ = take(feed_of(Subscription(Channel.TRADES, PAIR)), SNAPSHOT, traded)
    assert [type(event) for event in events] == [Trade]


@pytest.mark.parametrize("number", [74538169, 74538200])
def test_a_message_that_is_missing_ends_the_connection(number: int) -> None:
    feed = feed_of(*ALL)
    events, effects = take(feed, SNAPSHOT, update(number), DELETED)
    assert isinstance(events[-1], Gap)
    assert (events[-1].from_sequence, events[-1].to_sequence) == (74538168, number - 1)
    assert effects == [Reconnect("a message is missing")]
    assert feed.book_counters()["ETHUSDT"]["gaps"] == 1


def test_what_comes_twice_or_before_the_book_is_dropped() -> None:
    feed = feed_of(*ALL)
    events, effects = take(feed, DELETED, SNAPSHOT, DELETED, DELETED, update(74538167))
    assert [type(event) for event in events] == [BookSnapshot, BookTop, BookDelta, BookTop]
    assert effects == []
    assert feed.book_counters()["ETHUSDT"]["dropped"] == 3


def test_what_does_not_fit_the_book_ends_the_connection() -> None:
    traded = update(
        74538168, trade_updates=[{"sequence": 1, "base": "1.00", "counter": "1.00", "maker_order_id": "BXNOBODY"}]
    )
    events, effects = take(feed_of(*ALL), SNAPSHOT, traded)
    assert isinstance(events[-1], Gap)
    assert effects == [Reconnect("a trade of an order that is not in the book")]


def test_an_update_that_cannot_be_taken_ends_the_connection_at_once() -> None:
    order = {"order_id": "N", "type": "ASK", "price": "2764.00", "volume": "NaN"}
    events, effects = take(feed_of(*ALL), SNAPSHOT, update(74538168, create_update=order), update(74538169))
    assert isinstance(events[-1], Gap)
    assert [type(effect) for effect in effects] == [Reconnect]


@pytest.mark.parametrize(
    ("code", "reason"), [("invalid_market", "NOPEUSDT"), ("invalid_credentials", "you provided an invalid …")]
)
def test_what_the_venue_will_not_serve_is_told_of_all_that_the_socket_carries(code: str, reason: str) -> None:
    _, effects = take(feed_of(*ALL), {"error_code": code, "error": reason})
    assert effects == [VenueError(code, reason, ALL)]


def test_any_other_refusal_is_for_now() -> None:
    said = {"error_code": "auth_timeout", "error": "you took too long to provide credentials"}
    _, effects = take(feed_of(*ALL), said)
    assert effects == [
        Reconnect("the venue said: you took too long to provide credentials (code auth_timeout)")
    ]  # fmt: skip


def test_t15_a_number_is_text_and_anything_else_is_refused_alone() -> None:
    feed = feed_of(*ALL)
    wrong = update(74538168) | {"sequence": 74538168}
    events, effects = take(feed, SNAPSHOT, wrong, b"{", b"hello", {"sequence": ""}, DELETED)
    assert [type(effect) for effect in effects] == [Refused] * 4
    assert [effect.index for effect in effects if isinstance(effect, Refused)] == [1, 2, 3, 4]
    assert isinstance(events[-2], BookDelta)


def candle(open_ms: int) -> dict[str, object]:
    prices = dict.fromkeys(("open", "close", "high", "low"), "1.00")
    return {"timestamp": open_ms, **prices, "volume": "0.00"}


def answer(*opens_ms: int) -> bytes:
    return json.dumps({"candles": [candle(ms) for ms in opens_ms], "duration": 60, "pair": "ETHUSDT"}).encode()


def page_of(effect: Effect) -> tuple[Request, CandlePage]:
    assert isinstance(effect, Fetch)
    assert isinstance(effect.request.purpose, CandlePage)
    return effect.request, effect.request.purpose


def test_candles_are_asked_for_in_time_and_once_at_a_time() -> None:
    feed = feed_of(CANDLES)
    opened(feed)
    assert ticked(feed, NS_PER_S) == []  # The venue has not told its time.
    take(feed, SNAPSHOT)
    (asked,) = ticked(feed, 2 * NS_PER_S)
    request, page = page_of(asked)
    assert (page.from_ns, page.to_ns) == (T_MS * NS_PER_MS, None)
    assert request.query == (("pair", "ETHUSDT"), ("since", str(T_MS)), ("duration", "60"))
    assert ticked(feed, 60 * NS_PER_S) == []  # There is no answer yet.
    feed.failed(request, "timeout", 0, [])
    (asked,) = ticked(feed, 61 * NS_PER_S)
    events: list[VenueEvent] = []
    feed.fetched(page_of(asked)[0], answer(T_MS), 3, events, [])
    assert [event.closed for event in events if isinstance(event, Candle)] == [False]
    assert ticked(feed, 62 * NS_PER_S) == []
    assert len(ticked(feed, 81 * NS_PER_S)) == 1


def test_a_candle_that_is_over_by_the_venues_time_is_asked_for_at_once_and_closed() -> None:
    feed = feed_of(CANDLES)
    opened(feed)
    take(feed, SNAPSHOT)
    feed.fetched(page_of(ticked(feed, NS_PER_S)[0])[0], answer(T_MS), 3, [], [])
    take(feed, update(74538168, T_MS + 62_999))
    assert ticked(feed, 2 * NS_PER_S) == []
    take(feed, update(74538169, T_MS + 63_000))
    (asked,) = ticked(feed, 3 * NS_PER_S)
    events: list[VenueEvent] = []
    feed.fetched(page_of(asked)[0], answer(T_MS, T_MS + 60_000), 3, events, [])
    assert [(event.open_ns, event.closed) for event in events if isinstance(event, Candle)] == [
        (T_MS * NS_PER_MS, True), (T_MS * NS_PER_MS + MINUTE_NS, False)
    ]  # fmt: skip
    assert ticked(feed, 4 * NS_PER_S) == []
    (asked,) = ticked(feed, 24 * NS_PER_S)
    assert page_of(asked)[1].from_ns == T_MS * NS_PER_MS + MINUTE_NS


def test_an_answer_that_is_none_is_refused() -> None:
    feed = feed_of(CANDLES, *ALL)
    request = Request("/api/1/ticker", (), 1, TickerPage(PAIR))
    effects: list[Effect] = []
    feed.fetched(request, b"{}", 3, [], effects)
    assert isinstance(effects[0], Refused)
    assert effects[0].index == -1


def test_what_is_read_without_a_pair_is_unnamed_unless_the_path_names_it() -> None:
    for path, instrument in (("", UNNAMED), ("/api/1/stream/ETHUSDT", PAIR), ("/api/1/stream/!", UNNAMED)):
        events, _ = take(Feed(None, Connection(path, ())), SNAPSHOT)
        assert [event.instrument for event in events if isinstance(event, BookSnapshot)] == [instrument]
    assert opened(Feed(None, Connection("", ()))) == []


def test_unchecked_each_change_is_told_as_it_comes() -> None:
    feed = Feed(None, Connection("", (), sequenced=False))
    events, effects = take(feed, SNAPSHOT, update(90, create_update={
        "order_id": "N", "type": "BID", "price": "2700.00", "volume": "1.00"
    }), DELETED)  # fmt: skip
    assert effects == []
    assert [event.sequence for event in events if isinstance(event, BookDelta)] == [90, 74538168]


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(max_size=60), st.from_regex(r'\{"sequence":"[0-9]{0,20}","asks":.{0,20}\}').map(str.encode))
    )
)
def test_no_bytes_make_it_raise(frames: list[bytes]) -> None:
    take(feed_of(CANDLES, *ALL), SNAPSHOT, *frames)
