import pytest

from heliograph.clock import NS_PER_S
from heliograph.model.interval import Interval
from heliograph.venues.okx.frames import RawArg
from heliograph.venues.okx.routes import ROUTES_MAX, Kind, Routes, make_route

FRAME = b'{"arg":{"channel":"candle1m","instId":"BTC-USDT"},"data":[]}'
ARG = RawArg("candle1m", "BTC-USDT")


def test_a_head_is_remembered_and_found_again() -> None:
    routes = Routes()
    route = make_route(ARG, None)
    routes.learn(FRAME, ARG, route)
    assert routes[FRAME[: FRAME.find(b"}")]] is route
    assert route.kind is Kind.CANDLES
    assert route.bars is not None
    assert route.bars.interval is Interval.M1


@pytest.mark.parametrize(
    "frame",
    [
        b'{"data":[],"arg":{"channel":"candle1m","instId":"BTC-USDT"}}',
        b'{"arg":{"channel":"candle1m","x":{"y":1},"instId":"BTC-USDT"},"data":[]}',
        b'{ "arg":{"channel":"candle1m","instId":"BTC-USDT"},"data":[]}',
    ],
)
def test_a_head_that_does_not_say_all_is_not_remembered(frame: bytes) -> None:
    routes = Routes()
    routes.learn(frame, ARG, make_route(ARG, None))
    assert not routes


def test_heads_are_remembered_within_a_bound() -> None:
    routes = Routes({str(n).encode(): make_route(ARG, None) for n in range(ROUTES_MAX)})
    routes.learn(FRAME, ARG, make_route(ARG, None))
    assert len(routes) <= 1


def test_a_channel_that_nobody_subscribed_to_is_ignored() -> None:
    assert make_route(ARG, {}).kind is Kind.IGNORED
    assert make_route(RawArg("account"), {}).kind is Kind.SILENT


def test_a_channel_that_is_not_documented_is_refused() -> None:
    with pytest.raises(ValueError, match="not documented: 'cradle1m'"):
        make_route(RawArg("cradle1m", "BTC-USDT"), None)


def test_t31_a_month_ends_where_the_next_begins() -> None:
    bars = make_route(RawArg("candle1Mutc", "BTC-USDT"), None).bars
    assert bars is not None
    january_ns, february_ns = 1_767_225_600 * NS_PER_S, 1_769_904_000 * NS_PER_S
    assert bars.close_of(january_ns) == february_ns
    with pytest.raises(ValueError, match="within a month"):
        bars.close_of(january_ns + 86_400 * NS_PER_S)


def test_t31_a_month_of_hong_kong_ends_eight_hours_earlier() -> None:
    bars = make_route(RawArg("candle1M", "BTC-USDT"), None).bars
    assert bars is not None
    eight_hours_ns = 8 * 3600 * NS_PER_S
    assert bars.close_of(1_767_225_600 * NS_PER_S - eight_hours_ns) == 1_769_904_000 * NS_PER_S - eight_hours_ns
