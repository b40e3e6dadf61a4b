import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.instrument import SPOT
from heliograph.model.market import Channel
from heliograph.venues.contract import Effect, Reconnect, Subscription, VenueError
from heliograph.venues.hyperliquid import VENUE
from heliograph.venues.hyperliquid.control import Wishes, market_of
from heliograph.venues.hyperliquid.frames import RawConfirmed, RawSubscription
from heliograph.venues.hyperliquid.instruments import USDM
from heliograph.venues.hyperliquid.streams import Stream, encode
from heliograph.venues.spreading import chunks
from heliograph.venues.subscribing import ACKNOWLEDGED_NS_MAX, Subscriber

BTC, NOPE = (Subscription(Channel.TRADES, VENUE.markets[USDM].instrument(name)) for name in ("BTC", "NOPE"))
BTC_TRADES, NOPE_TRADES = Stream("trades", "BTC"), Stream("trades", "NOPE")
LATE_NS = ACKNOWLEDGED_NS_MAX


class Asked:
    """Wishes, and the control messages that they are about."""

    def __init__(self, *streams: Stream) -> None:
        each = {BTC_TRADES: (BTC,), NOPE_TRADES: (NOPE,)}
        self.control = Subscriber[Stream](partial(chunks, count_max=1), encode, per_tick_max=20)
        self.control.carry({stream: each[stream] for stream in streams}, [])
        self.control.opened(0, [])
        self.wishes = Wishes(self.control)


def wishes(*unanswered: Stream) -> Asked:
    return Asked(*unanswered)


def confirm(made: Asked, stream: Stream, method: str = "subscribe") -> None:
    made.wishes.confirmed(RawConfirmed(method, RawSubscription(stream.type, stream.coin, stream.interval or None)))


def refuse(made: Asked, text: str) -> list[Effect]:
    effects: list[Effect] = []
    made.wishes.refused(text, effects)
    return effects


def tick(made: Asked, now_ns: int) -> list[Effect]:
    effects: list[Effect] = []
    made.control.tick(now_ns, effects)
    made.wishes.ticked(effects)
    return effects


def test_what_was_confirmed_is_waited_for_no_longer() -> None:
    made = wishes(BTC_TRADES)
    confirm(made, BTC_TRADES)
    assert tick(made, 10 * LATE_NS) == []


def test_the_end_of_a_stream_is_not_its_beginning() -> None:
    made = wishes(BTC_TRADES)
    confirm(made, BTC_TRADES, "unsubscribe")
    assert tick(made, LATE_NS) == [Reconnect("a subscription was not acknowledged")]


def test_a_stream_that_was_left_is_not_waited_for() -> None:
    made = wishes(BTC_TRADES)
    made.control.carry({}, [])
    assert not [effect for effect in tick(made, LATE_NS) if isinstance(effect, Reconnect)]


def test_another_spelling_of_a_name_confirms_the_oldest_of_its_type() -> None:
    made = wishes(BTC_TRADES)
    confirm(made, Stream("trades", "@0"))
    assert tick(made, LATE_NS) == []


def test_m11_an_error_that_names_its_subscription_tells_which() -> None:
    made = wishes(BTC_TRADES, NOPE_TRADES)
    text = 'Invalid subscription {"type":"trades","coin":"NOPE"}'
    assert refuse(made, text) == [VenueError("error", text, (NOPE,))]
    confirm(made, BTC_TRADES)
    assert tick(made, LATE_NS) == []


def test_m11_an_error_may_name_the_whole_request() -> None:
    text = 'Error parsing: {"method":"subscribe","subscription":{"type":"trades","coin":"NOPE"}}'
    assert refuse(wishes(NOPE_TRADES), text) == [VenueError("error", text, (NOPE,))]


def test_m11_an_error_that_names_nothing_is_about_what_stays_unacknowledged() -> None:
    made = wishes(BTC_TRADES, NOPE_TRADES)
    text = "Cannot subscribe to more than 1000 channels."
    assert refuse(made, text) == []
    confirm(made, BTC_TRADES)
    assert tick(made, LATE_NS - 1) == []
    assert tick(made, LATE_NS) == [VenueError("error", text, (NOPE,))]
    assert tick(made, 2 * LATE_NS) == []


def test_m11_an_error_that_concerns_nothing_we_asked_for_is_not_swallowed() -> None:
    made = wishes(BTC_TRADES)
    refuse(made, "Something broke.")
    confirm(made, BTC_TRADES)
    assert tick(made, 1) == [Reconnect("the venue said: Something broke.")]
    assert tick(made, 2) == []


def test_too_many_messages_are_no_refusal_of_what_they_asked_for() -> None:
    made = wishes(BTC_TRADES)
    refuse(made, "Cannot send more than 2000 messages per minute.")
    assert tick(made, LATE_NS) == [Reconnect("Cannot send more than 2000 messages per minute.")]


def test_being_subscribed_already_is_what_we_want() -> None:
    made = wishes(BTC_TRADES)
    assert refuse(made, 'Already subscribed: {"type":"trades","coin":"BTC"}') == []
    assert refuse(made, 'Already unsubscribed: {"type":"bbo","coin":"BTC"}') == []
    assert tick(made, LATE_NS) == []


@given(st.text(max_size=300))
def test_no_sentence_makes_it_raise(text: str) -> None:
    made = wishes(BTC_TRADES)
    for effect in refuse(made, text) + tick(made, LATE_NS):
        assert isinstance(effect, Reconnect | VenueError)


@pytest.mark.parametrize(
    ("url", "frame", "market"),
    [
        ("wss://api.hyperliquid.xyz/ws", {"channel": "trades", "data": [{"coin": "@107"}]}, SPOT),
        (None, {"channel": "candle", "data": {"s": "kPEPE", "i": "1m"}}, USDM),
        (None, {"channel": "l2Book", "data": {"coin": "PURR/USDC"}}, SPOT),
        (None, {"channel": "bbo", "data": {"coin": "xyz:XYZ100"}}, USDM),
        (None, {"channel": "bbo", "data": {"coin": "#330"}}, None),
        (None, {"channel": "trades", "data": []}, None),
        (None, {"channel": "pong"}, None),
        (None, {"channel": "error", "data": "no"}, None),
        ('https://api.hyperliquid.xyz/info {"type":"spotMeta"}', {}, SPOT),
        ('{"type":"meta"}', {}, USDM),
        ('{"type":"l2Book","coin":"@1"}', {}, SPOT),
        ('{"type":"candleSnapshot","req":{"coin":"BTC","interval":"1m"}}', {}, USDM),
        ('{"type":"openOrders"}', {}, None),
        ('{"action":{"type":"order",...}}', {}, None),
        ("{", {}, None),
    ],
)
def test_t17_a_name_or_a_question_tells_its_market(url: str | None, frame: object, market: str | None) -> None:
    assert market_of(url, json.dumps(frame).encode()) == market


@given(st.none() | st.text(max_size=60), st.binary(max_size=100))
def test_no_bytes_make_the_look_for_a_market_raise(url: str | None, frame: bytes) -> None:
    assert market_of(url, frame) in (None, SPOT, USDM)
