from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.venues.bybit.control import Answer, market_of, to_answer
from heliograph.venues.bybit.frames import decode_any
from heliograph.venues.faults import FAULTS


def answer(frame: bytes) -> Answer:
    return to_answer(decode_any(frame))


def test_m12_a_pong_is_a_pong_although_it_says_ping(fixture: Callable[[str], bytes]) -> None:
    assert answer(fixture("pong.json")) == Answer("ping", "", True, "ping", "pong")
    for name in ("pong_option.json", "pong_private.json"):
        found = answer(fixture(name))
        assert (found.operation, found.success) == ("pong", True)


def test_a_refusal_names_what_is_refused_whole(fixture: Callable[[str], bytes]) -> None:
    found = answer(fixture("refusal.json"))
    assert (found.success, found.id, found.repeated) == (False, "1", False)
    assert found.names(("publicTrade.NOPE", "publicTrade.NOPEUSDT", "publicTrade.NOPEUSDT-26DEC25")) == (
        "publicTrade.NOPEUSDT",
    )


def test_the_venues_own_code_is_told_where_there_is_one() -> None:
    assert answer(b'{"success":false,"ret_msg":"no","ret_code":10001,"op":"subscribe"}').code == "10001"
    assert answer(b'{"success":false,"ret_msg":"no","op":"subscribe"}').code == "subscribe"


def test_what_is_served_already_is_not_refused() -> None:
    assert answer(b'{"success":false,"ret_msg":"error:already subscribed,topic:tickers.X","op":"subscribe"}').repeated


def test_an_object_that_says_nothing_is_no_answer() -> None:
    with pytest.raises(ValueError, match="neither"):
        answer(b"{}")


@pytest.mark.parametrize(
    ("url", "frame", "market"),
    [
        ("wss://stream.bybit.com/v5/public/spot", b"{}", "spot"),
        ("wss://stream.bybit.com/v5/public/linear", b'{"topic":"kline.1.BTCUSD"}', "linear"),
        ("ws://127.0.0.1:9000/v5/public/inverse", b"{}", "inverse"),
        ("wss://stream.bybit.com/v5/private", b"{}", None),
        ("https://api.bybit.com/v5/market/kline?category=inverse&symbol=BTCUSD", b"{}", "inverse"),
        ("/v5/market/tickers", b'{"retCode":0,"result":{"category":"linear","list":[]}}', "linear"),
        ("/v5/market/tickers", b'{"retCode":0,"result":{"category":"option","list":[]}}', None),
        ("/linear", b"{}", None),
        (None, b'{"topic":"kline.1.BTCUSDT","data":[{}]}', None),
        (None, b'{"topic":"kline.1.BTCUSD"}', "inverse"),
        (None, b'{"topic":"tickers.BTCUSDU23"}', "inverse"),
        (None, b'{"topic":"orderbook.50.BTCPERP"}', "linear"),
        (None, b'{"topic":"publicTrade.BTC-26DEC25"}', "linear"),
        (None, b'{"topic":"publicTrade.BTCUSDT","data":[{"s":"BTCUSDT","L":"PlusTick"}]}', "linear"),
        (None, b'{"topic":"publicTrade.BTCUSDT","data":[{"s":"BTCUSDT"}]}', "spot"),
        (None, b'{"topic":"publicTrade.BTCUSDT","data":[]}', None),
        (None, b'{"topic":"tickers.BTCUSDT","data":{"symbol":"BTCUSDT","usdIndexPrice":"1"}}', "spot"),
        (None, b'{"topic":"tickers.BTCUSDT","data":{"symbol":"BTCUSDT","indexPrice":"1"}}', "linear"),
        (None, b'{"topic":"tickers.BTCUSDT","data":{"symbol":"BTCUSDT","bid1Price":"1"}}', "linear"),
        (None, b'{"topic":"tickers.BTCUSDT","data":{"symbol":"BTCUSDT"}}', None),
        (None, b'{"topic":"orderbook.50.BTCUSDT","data":{"s":"BTCUSDT"}}', None),
        (None, b'{"success":true,"op":"subscribe"}', None),
        (None, b"pong", None),
        ("http://[", b"{}", None),
    ],
)
def test_a_url_or_a_frame_tells_its_market(url: str | None, frame: bytes, market: str | None) -> None:
    assert market_of(url, frame) == market


@given(st.binary(max_size=300), st.none() | st.text(max_size=50))
def test_no_bytes_make_it_raise_anything_but_faults(frame: bytes, url: str | None) -> None:
    market_of(url, frame)
    try:
        answer(frame)
    except FAULTS:
        return
