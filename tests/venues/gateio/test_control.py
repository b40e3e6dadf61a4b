import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.market import Channel
from heliograph.venues.contract import Subscription
from heliograph.venues.gateio import VENUE
from heliograph.venues.gateio.control import Answer, Other, RawError, market_of, sort

SYMBOLS = {"spot": "BTC_USDT", "usdm": "BTC_USDT", "coinm": "BTC_USD"}


def test_t33_an_id_beyond_2_53_is_kept_as_it_is() -> None:
    frame = b'{"id":8578128440611119318,"channel":"spot.order_book","event":"subscribe","result":{"status":"success"}}'
    assert sort(frame) == Answer(8578128440611119318, "subscribe", None)
    assert sort(frame.replace(b"8578128440611119318", b"85781284406111193180000")) == Answer(
        85781284406111193180000, "subscribe", None
    )


def test_answers_are_told_from_data(fixture: Callable[[str], bytes]) -> None:
    assert sort(fixture("ack.json")) == Answer(1, "subscribe", None)
    assert sort(fixture("refused.json")) == Answer(1, "subscribe", RawError(2, "unknown currency pair GIBBERISH_USDT"))
    assert sort(fixture("upgrade_futures.json")) is Other.UPGRADE
    assert sort(fixture("pong.json")) is Other.SILENT
    assert sort(fixture("candle_spot.json")) is Other.DATA


def test_a_failure_without_an_error_is_a_refusal_too() -> None:
    frame = b'{"channel":"spot.trades","event":"subscribe","error":null,"result":{"status":"fail"}}'
    assert sort(frame) == Answer(None, "subscribe", RawError(0, "fail"))


@pytest.mark.parametrize(
    "frame",
    [
        b"pong",
        b'""',
        b"",
        b"{}",
        b"[]",
        b'{"channel":"options.trades","event":"update","result":{}}',
        b'{"channel":"spot.unheard_of","event":"update","result":{}}',
        b'{"channel":"spot.system","event":"update","result":{"type":"party"}}',
        b'{"channel":"spot.trades","event":"subscribe"}',
        b'{"channel":"spot.trades","event":"subscribe","error":{"code":"x"}}',
    ],
)
def test_what_is_not_documented_is_refused(frame: bytes) -> None:
    with pytest.raises((ValueError, LookupError)):
        sort(frame)


@pytest.mark.parametrize(
    ("url", "market"),
    [
        ("wss://api.gateio.ws/ws/v4/", "spot"),
        ("wss://fx-ws.gateio.ws/v4/ws/usdt", "usdm"),
        ("wss://fx-ws.gateio.ws/v4/ws/btc", "coinm"),
        ("wss://fx-ws.gateio.ws/v4/ws/delivery/usdt", "usdm"),
        ("https://api.gateio.ws/api/v4/spot/candlesticks?currency_pair=BTC_USDT", "spot"),
        ("/api/v4/futures/usdt/order_book", "usdm"),
        ("/api/v4/futures/btc/order_book", "coinm"),
        ("/api/v4/futures/eth/order_book", None),
        ("http://[", None),
        ("order_book", None),
    ],
)
def test_a_url_tells_its_market(url: str, market: str | None) -> None:
    assert market_of(url, b"{}") == market


def test_every_market_is_told_by_its_own_urls() -> None:
    for name, market in VENUE.markets.items():
        (connection,) = market.plan([Subscription(Channel.TRADES, market.instrument(SYMBOLS[name]))], 1)
        assert market_of(market.socket_url + connection.path, b"") == name
        assert market_of(market.rest_url + market.instruments_request().path, b"") == name


@pytest.mark.parametrize(
    ("channel", "result", "market"),
    [
        ("spot.book_ticker", {"s": "BTC_USDT"}, "spot"),
        ("futures.book_ticker", {"s": "BTC_USDT"}, "usdm"),
        ("futures.order_book_update", {"s": "BTC_USD"}, "coinm"),
        ("futures.candlesticks", [{"n": "5m_BTC_USD_20221230"}], "coinm"),
        ("futures.tickers", [{"contract": "BTC_USDT"}], "usdm"),
        ("futures.trades", {"status": "success"}, None),
        ("futures.tickers", [], None),
        ("futures.tickers", [[{"contract": "BTC_USDT"}]], None),
        ("futures.tickers", None, None),
    ],
)
def test_t17_a_frame_tells_its_market_by_channel_and_symbol(channel: str, result: object, market: str | None) -> None:
    frame = json.dumps({"channel": channel, "event": "update", "result": result}).encode()
    assert market_of(None, frame) == market


@given(st.none() | st.text(max_size=50), st.binary(max_size=100))
def test_no_bytes_make_it_raise(url: str | None, frame: bytes) -> None:
    market_of(url, frame)
