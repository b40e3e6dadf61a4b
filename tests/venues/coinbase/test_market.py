"""The shapes follow https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels and
frames that others recorded and published in September 2026."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Channel, DayStatistics, Gap, Side, Trade
from heliograph.venues.coinbase import VENUE
from heliograph.venues.coinbase.frames import instant_ns
from heliograph.venues.coinbase.market import Feed
from heliograph.venues.contract import Connection, Effect, Reconnect, Refused, Send, Subscription, VenueError

(MARKET,) = VENUE.markets.values()
BTC = MARKET.instrument("BTC-USD")
AT = "2026-09-05T22:10:30.260465255Z"
LEVELS = [("bid", "98", "3"), ("offer", "101", "2"), ("bid", "99", "1")]


def frame(channel: str, number: int, **event: object) -> bytes:
    head = {"channel": channel, "client_id": "", "timestamp": AT, "sequence_num": number}
    return json.dumps({**head, "events": [event]}).encode()


def book(number: int, kind: str, *levels: tuple[str, str, str], product: str = "BTC-USD") -> bytes:
    updates = [{"side": s, "event_time": AT, "price_level": p, "new_quantity": q} for s, p, q in levels]
    return frame("l2_data", number, type=kind, product_id=product, updates=updates)


def trade(number: int, **changes: str) -> bytes:
    told = {"product_id": "BTC-USD", "trade_id": "7", "price": "100", "size": "1", "time": AT, "side": "BUY"}
    return frame("market_trades", number, type="update", trades=[told | changes])


def ticker(number: int, **changes: str) -> bytes:
    told = {"type": "ticker", "product_id": "BTC-USD", "price": "100", "volume_24_h": "5", "low_24_h": "90"}
    best = {"best_bid": "99", "best_bid_quantity": "1", "best_ask": "101", "best_ask_quantity": "2"}
    return frame("ticker", number, type="update", tickers=[told | {"high_24_h": "110"} | best | changes])


class Talk:
    """A feed, and all that it said."""

    def __init__(self, *channels: Channel, open_to_all: bool = False) -> None:
        wanted = tuple(Subscription(c, BTC, Interval.M5 if c is Channel.CANDLES else None) for c in channels)
        self.feed: Any = MARKET.feed(Connection("", () if open_to_all else wanted))
        assert isinstance(self.feed, Feed)
        self.events: list[VenueEvent] = []
        self.effects: list[Effect] = []

    def hear(self, *frames: bytes) -> None:
        self.feed.decode(frames, 1, self.events, self.effects)

    @property
    def kinds(self) -> list[type[VenueEvent]]:
        return [type(event) for event in self.events]


def test_a_snapshot_in_disorder_is_told_in_order_and_an_update_as_it_came() -> None:
    talk = Talk(Channel.BOOK)
    talk.hear(book(0, "snapshot", *LEVELS), book(1, "update", ("offer", "101", "0"), ("bid", "99", "4")))
    snapshot, delta = talk.events
    assert isinstance(snapshot, BookSnapshot)
    assert isinstance(delta, BookDelta)
    assert snapshot.bids == [(Decimal(99), Decimal(1)), (Decimal(98), Decimal(3))]
    assert delta.asks == [(Decimal(101), Decimal(0))]
    assert snapshot.event_ns == 1_788_646_230_260_465_255


def test_frames_of_other_channels_and_products_between_two_of_a_book_are_no_gap() -> None:
    talk = Talk(Channel.BOOK, Channel.TRADES)
    talk.hear(book(0, "snapshot", *LEVELS), trade(1), book(2, "update", ("bid", "99", "1"), product="ETH-USD"))
    talk.hear(frame("heartbeats", 3, heartbeat_counter=1), book(4, "update", ("bid", "99", "4")))
    assert talk.kinds == [BookSnapshot, Trade, BookDelta]
    assert talk.feed.ignored == 1


def test_a_number_that_is_missing_breaks_the_book_whatever_it_was_of() -> None:
    talk = Talk(Channel.BOOK, Channel.TRADES)
    talk.feed.opened(0, talk.effects)
    talk.feed.ticked(NS_PER_S, talk.effects)
    talk.effects.clear()
    talk.hear(book(0, "snapshot", *LEVELS), trade(2), book(3, "update", ("bid", "99", "4")))
    assert talk.kinds == [BookSnapshot, Gap, Trade]
    sent = [json.loads(effect.payload) for effect in talk.effects if isinstance(effect, Send)]
    assert [(m["type"], m["channel"]) for m in sent] == [("unsubscribe", "level2"), ("subscribe", "level2")]
    talk.hear(book(4, "snapshot", *LEVELS), book(5, "update", ("bid", "99", "4")))
    assert talk.kinds[3:] == [BookSnapshot, BookDelta]


def test_a_frame_of_a_book_that_cannot_be_read_counts_as_lost() -> None:
    talk = Talk(Channel.BOOK)
    talk.hear(
        book(0, "snapshot", *LEVELS), book(1, "update", ("bid", "99", "NaN")), book(2, "update", ("bid", "9", "1"))
    )
    assert talk.kinds == [BookSnapshot, Gap]
    assert [type(effect) for effect in talk.effects if not isinstance(effect, Send)] == [Refused]


def test_a_frame_that_comes_twice_or_late_changes_no_book() -> None:
    talk = Talk(Channel.BOOK)
    update = book(1, "update", ("bid", "99", "4"))
    talk.hear(book(0, "snapshot", *LEVELS), update, update, book(0, "snapshot", *LEVELS))
    assert talk.kinds == [BookSnapshot, BookDelta]
    assert talk.feed.book_counters()["BTC-USD"] == {"dropped": 2, "applied": 1, "gaps": 0, "resyncs": 0}


def test_numbers_that_begin_anew_are_a_reason_to_reconnect_once() -> None:
    talk = Talk(Channel.TRADES)
    talk.hear(trade(500), *(trade(number) for number in range(30)))
    assert [type(effect) for effect in talk.effects] == [Reconnect]


def test_the_taker_s_side_is_the_other_one_than_the_maker_s() -> None:
    talk = Talk(Channel.TRADES)
    talk.hear(trade(0), trade(1, side="SELL", trade_id="8"))
    assert [event.side for event in talk.events if isinstance(event, Trade)] == [Side.SELL, Side.BUY]
    assert [event.sequence for event in talk.events if isinstance(event, Trade)] == [7, 8]


def test_a_ticker_is_a_top_and_the_day_and_one_without_orders_has_no_top() -> None:
    talk = Talk(Channel.TICKER)
    talk.hear(ticker(0), ticker(1, best_ask="", best_ask_quantity=""))
    top, day, one_sided, _ = talk.events
    assert isinstance(top, BookTop)
    assert isinstance(day, DayStatistics)
    assert isinstance(one_sided, BookTop)
    assert (top.bid, top.ask_quantity, one_sided.bid, one_sided.ask) == (Decimal(99), Decimal(2), Decimal(99), None)
    assert (day.last, day.open, day.base_volume) == (Decimal(100), None, Decimal(5))
    talk.hear(ticker(2, best_bid="", best_ask=""))
    assert talk.kinds[4:] == [DayStatistics]


@pytest.mark.parametrize(
    "spoiled",
    [
        trade(0, size="-1"),
        trade(0, price="Infinity"),
        trade(0, time="2026-09-05 22:10:30"),
        trade(0, trade_id="x"),
        ticker(0, price="1e99"),
        book(0, "snapshot", ("bid", "1", "1"), ("bid", "1", "2")),
        frame("candles", 0, type="update", candles=[{"product_id": "BTC-USD", "start": "1"}]),
        frame("nonsense", 0),
        b"",
        b"[" * 100_000,
    ],
)
def test_a_frame_that_is_not_documented_is_refused_and_costs_no_other(spoiled: bytes) -> None:
    talk = Talk(*Channel)
    talk.hear(spoiled, trade(1))
    assert [type(effect) for effect in talk.effects] == [Refused]
    assert [type(event) for event in talk.events] == [Trade]


def test_an_error_is_a_no_to_the_first_channel_that_was_not_acknowledged() -> None:
    talk = Talk(Channel.TICKER, Channel.TRADES)
    talk.feed.opened(0, talk.effects)
    acknowledged = {"heartbeats": ["heartbeats"], "ticker": ["BTC-USD"]}
    talk.hear(
        frame("subscriptions", 0, subscriptions=acknowledged), b'{"type":"error","message":"authentication failure"}'
    )
    (error,) = [effect for effect in talk.effects if isinstance(effect, VenueError)]
    assert error == VenueError("error", "authentication failure", (Subscription(Channel.TRADES, BTC),))


def test_an_error_about_how_often_we_speak_is_a_reason_to_reconnect() -> None:
    talk = Talk(Channel.TICKER)
    talk.feed.opened(0, talk.effects)
    talk.hear(b'{"type":"error","message":"Rate limit exceeded"}')
    assert isinstance(talk.effects[-1], Reconnect)


def test_an_answer_that_does_not_come_after_a_loss_is_a_reason_to_reconnect() -> None:
    talk = Talk(Channel.TICKER)
    talk.feed.opened(0, talk.effects)
    talk.hear(frame("heartbeats", 0), frame("heartbeats", 2))
    for second in range(1, 20):
        talk.feed.ticked(second * NS_PER_S, talk.effects)
    assert [type(effect) for effect in talk.effects if not isinstance(effect, Send)] == [Reconnect]


def test_a_connection_without_subscriptions_tells_whatever_arrives() -> None:
    talk = Talk(open_to_all=True)
    talk.hear(book(0, "snapshot", *LEVELS, product="ETH-USD"), trade(1), b'{"type":"error","message":"no"}')
    assert talk.kinds == [BookSnapshot, Trade]
    assert talk.effects == [VenueError("error", "no")]


@given(
    st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_no_bytes_make_it_raise(data: bytes) -> None:
    talk = Talk(*Channel)
    talk.hear(data, data)
    assert talk.events == []


@pytest.mark.parametrize(
    ("written", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("2026-09-05T22:10:30.260465255Z", 1_788_646_230_260_465_255),
    ],
)
def test_times_are_read_to_the_nanosecond(written: str, ns: int) -> None:
    assert instant_ns(written) == ns


@pytest.mark.parametrize("written", ["", "2026-09-05", "2026-13-05T22:10:30Z", "2026-09-05T22:10:30", "1788646230"])
def test_what_is_no_time_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"time|range|month"):
        instant_ns(written)
