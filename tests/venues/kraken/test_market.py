import json
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Gap, Side, Trade
from heliograph.model.symbol import Symbol
from heliograph.venues.contract import Connection, Effect, Fetch, Reconnect, Refused, Send, Subscription, VenueError
from heliograph.venues.kraken import VENUE
from heliograph.venues.kraken.instruments import instrument_of_symbol
from heliograph.venues.kraken.market import PING_NS, Feed
from heliograph.venues.kraken.rest import candle_request
from heliograph.venues.subscribing import ACKNOWLEDGED_NS_MAX

LATER_NS = 1_795_000_000 * NS_PER_S
BTC = instrument_of_symbol("BTC/USD")
FRAMES = ("ohlc.json", "ticker.json", "trade.json", "book_snapshot.json", "status.json")


def decoded(feed: Feed, *frames: bytes) -> tuple[list[VenueEvent], list[Effect]]:
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    feed.decode(frames, LATER_NS, events, effects)
    return events, effects


def test_who_asks_for_nothing_is_told_whatever_comes(fixture: Callable[[str], bytes]) -> None:
    events, effects = decoded(Feed(Connection("/v2", ())), *map(fixture, FRAMES), b'{"channel":"heartbeat"}')
    assert effects == []
    assert [type(event) for event in events] == [
        Candle, Candle, DayStatistics, BookTop, Trade, Trade, BookSnapshot
    ]  # fmt: skip


def test_candles_begin_where_the_interval_does(fixture: Callable[[str], bytes]) -> None:
    """`timestamp`, which is deprecated, is where it ends."""
    (first, second), _ = decoded(Feed(Connection("/v2", ())), fixture("ohlc.json"))
    assert isinstance(first, Candle)
    assert isinstance(second, Candle)
    assert (first.open_ns, first.close_ns) == (1_696_433_100 * NS_PER_S, 1_696_433_400 * NS_PER_S)
    assert (first.interval, first.closed, second.closed) == (Interval.M5, True, False)
    assert (second.high, second.base_volume, second.quote_volume) == (Decimal("0.0988"), Decimal("16255.46368"), None)
    assert (second.trade_count, second.event_ns) == (13, None)


def test_tickers_and_trades_are_as_documented(fixture: Callable[[str], bytes]) -> None:
    (day, top, sold, bought), _ = decoded(Feed(Connection("/v2", ())), fixture("ticker.json"), fixture("trade.json"))
    assert isinstance(day, DayStatistics)
    assert isinstance(top, BookTop)
    assert isinstance(sold, Trade)
    assert isinstance(bought, Trade)
    assert (day.last, day.low, day.high, day.open) == (Decimal("0.10035"), Decimal("0.09979"), Decimal("0.10285"), None)
    assert (top.bid, top.ask_quantity, top.event_ns) == (Decimal("0.10025"), Decimal("740.0"), None)
    assert (sold.sequence, sold.side, sold.event_ns) == (4_665_906, Side.SELL, 1_695_628_177_708_706_000)
    assert (bought.trade_id, bought.side) == ("4665907", Side.BUY)


def test_what_is_not_carried_is_ignored(fixture: Callable[[str], bytes]) -> None:
    feed = Feed(Connection("/v2", (Subscription(Channel.BOOK, BTC),)))
    events, effects = decoded(feed, *map(fixture, FRAMES))
    assert [type(event) for event in events] == [BookSnapshot]
    assert (effects, feed.ignored) == ([], 3)
    week = fixture("ohlc.json").replace(b'"interval":5', b'"interval":10080')
    open_to_all = Feed(Connection("/v2", ()))
    assert decoded(open_to_all, week) == ([], [])
    assert open_to_all.ignored == 1


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"{", b"[]", b"null", b'"x"', b'{"channel":"nonsense"}', b'{"channel":5}', b'{"channel":"ohlc"}',
        b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD"}]}',
        b'{"error":"Malformed request","success":false}',
    ],
)  # fmt: skip
def test_what_is_not_documented_is_refused_and_costs_no_other(frame: bytes, fixture: Callable[[str], bytes]) -> None:
    events, effects = decoded(Feed(Connection("/v2", ())), frame, fixture("trade.json"))
    assert len(events) == 2
    assert [(type(effect), effect.index) for effect in effects if isinstance(effect, Refused)] == [(Refused, 0)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"price":0.5117', b'"price":-1'),
        (b'"qty":40.0', b'"qty":1e90'),
        (b'"side":"sell"', b'"side":"short"'),
        (b'"trade_id":4665906', b'"trade_id":-1'),
        (b"07:49:37.708706Z", b"07:49:37.708706"),
        (b"MATIC/USD", b"no symbol"),
    ],
)
def test_a_trade_that_cannot_be_is_refused_with_its_frame(
    before: bytes, after: bytes, fixture: Callable[[str], bytes]
) -> None:
    events, effects = decoded(Feed(Connection("/v2", ())), fixture("trade.json").replace(before, after))
    assert events == []
    assert [type(effect) for effect in effects] == [Refused]


@pytest.mark.parametrize(
    ("before", "after"),
    [(b'"low":0.09875', b'"low":0.09876'), (b"15:25:00", b"15:25:01"), (b'"high":0.09875', b'"high":0')],
)
def test_a_candle_that_cannot_be_is_refused(before: bytes, after: bytes, fixture: Callable[[str], bytes]) -> None:
    events, effects = decoded(Feed(Connection("/v2", ())), fixture("ohlc.json").replace(before, after))
    assert (events, [type(effect) for effect in effects]) == ([], [Refused])


def test_channels_that_are_not_for_us_are_passed_over() -> None:
    assert decoded(Feed(Connection("/v2", ())), b'{"channel":"instrument","type":"snapshot","data":{}}') == ([], [])


def test_t6_a_book_whose_checksum_does_not_match_is_a_gap_and_asked_for_again(fixture: Callable[[str], bytes]) -> None:
    feed = Feed(Connection("/v2", (Subscription(Channel.BOOK, BTC),)))
    feed.opened(LATER_NS, [])
    decoded(feed, fixture("book_snapshot.json"))
    wrong = b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[],"checksum":5}]}'
    events, effects = decoded(feed, wrong)
    assert [type(event) for event in events] == [Gap]
    methods = [json.loads(effect.payload)["method"] for effect in effects if isinstance(effect, Send)]
    assert methods == ["unsubscribe", "subscribe"]
    assert decoded(feed, wrong)[0] == []
    assert [type(event) for event in decoded(feed, fixture("book_snapshot.json"))[0]] == [BookSnapshot]
    assert feed.book_counters()["BTC/USD"] == {
        "dropped": 2, "applied": 0, "gaps": 1, "checksum_ok": 2, "checksum_bad": 1
    }  # fmt: skip


def test_a_book_that_is_not_to_be_checked_is_told_as_it_comes() -> None:
    feed = Feed(Connection("/v2", (), sequenced=False))
    change = b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[],"checksum":5}]}'
    events, effects = decoded(feed, change, change.replace(b"update", b"snapshot"))
    assert ([type(event) for event in events], effects) == ([BookDelta, BookSnapshot], [])


def test_a_silent_subscription_and_too_many_messages_end_in_a_new_connection() -> None:
    feed = Feed(Connection("/v2", (Subscription(Channel.BOOK, BTC),)))
    feed.opened(LATER_NS, [])
    assert decoded(feed, b'{"Error":"Exceeded msg rate"}') == ([], [])
    effects: list[Effect] = []
    feed.ticked(LATER_NS + ACKNOWLEDGED_NS_MAX, effects)
    assert any(isinstance(effect, Reconnect) for effect in effects)


def test_a_refused_symbol_is_told_and_given_up() -> None:
    feed = Feed(Connection("/v2", (Subscription(Channel.BOOK, BTC),)))
    feed.opened(LATER_NS, [])
    words = "Currency pair not supported BTC/USD"
    no = json.dumps(
        {"error": words, "method": "subscribe", "success": False, "symbol": "BTC/USD", "req_id": 1}
    ).encode()
    _, effects = decoded(feed, no)
    assert effects == [VenueError("refused", words, (Subscription(Channel.BOOK, BTC),))]


def test_a_ping_leaves_every_ten_seconds() -> None:
    feed = Feed(Connection("/v2", ()))
    feed.opened(LATER_NS, [])
    effects: list[Effect] = []
    feed.ticked(LATER_NS + PING_NS - NS_PER_S, effects)
    assert effects == []
    feed.ticked(LATER_NS + PING_NS, effects)
    assert effects == [Send(b'{"method":"ping"}', heartbeat=True)]


def test_a_candle_that_nothing_follows_is_asked_for(fixture: Callable[[str], bytes]) -> None:
    feed = Feed(Connection("/v2", ()))
    decoded(feed, fixture("ohlc.json"))
    effects: list[Effect] = []
    feed.ticked(1_696_433_700 * NS_PER_S + 20 * NS_PER_S, effects)
    (fetch,) = (effect for effect in effects if isinstance(effect, Fetch))
    assert dict(fetch.request.query)["pair"] == "ALGOUSD"
    feed.failed(fetch.request, "no", LATER_NS, effects)


@pytest.mark.parametrize(("signs", "closes"), [(60, True), (0, False)])
def test_signs_of_life_tell_a_quiet_market_from_a_venue_that_stood_still(
    signs: int, closes: bool, fixture: Callable[[str], bytes]
) -> None:
    feed = Feed(Connection("/v2", ()))
    decoded(feed, fixture("ohlc.json"))
    decoded(feed, *[b'{"channel":"heartbeat"}'] * 4 * signs)
    following = fixture("ohlc.json").replace(b"15:31:01", b"15:35:01").replace(b"15:30:00.0000000", b"15:35:00.0000000")
    events, effects = decoded(feed, following.replace(b"snapshot", b"update"))
    assert effects == []
    assert [event.open_ns // NS_PER_S for event in events if isinstance(event, Candle) and event.closed] == (
        [1_696_433_400] if closes else []
    )


def test_an_answer_that_cannot_be_read_is_refused(fixture: Callable[[str], bytes]) -> None:
    feed = Feed(Connection("/v2", ()))
    decoded(feed, fixture("ohlc.json"))
    effects: list[Effect] = []
    feed.ticked(LATER_NS, effects)
    request = next(effect.request for effect in effects if isinstance(effect, Fetch))
    assert request.path == candle_request(request.purpose).path  # type: ignore[arg-type]  # It is of a page.
    effects.clear()
    feed.fetched(request, b'{"error":["EService:Busy"]}', LATER_NS, [], effects)
    (refusal,) = effects
    assert isinstance(refusal, Refused)
    assert "EService:Busy" in refusal.reason


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_bytes_make_it_raise(frame: bytes) -> None:
    feed = Feed(Connection("/v2", ()))
    for prefix in (b"", b'{"channel":"book","type":"update","data":[', b'{"channel":"ohlc",', b'{"method":'):
        decoded(feed, prefix + frame)


def test_the_venue_spells_a_unified_symbol_as_it_is() -> None:
    market = VENUE.markets[VENUE.default_market or BTC.market]
    assert market.intervals == tuple(i for i in Interval if i.value in ("1m", "5m", "15m", "30m", "1h", "4h", "1d"))
    assert market.spell is not None
    spelled = [market.spell(symbol) for text in ("btc/usd", "BTC/USD:USD") if (symbol := Symbol.parse(text))]
    assert spelled == ["BTC/USD", None]
