import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.venues.binance.control import Answer, market_of, sort
from heliograph.venues.contract import VenueError
from heliograph.venues.faults import FAULTS


@pytest.mark.parametrize(
    ("url", "frame", "market"),
    [
        ("wss://stream.binance.com:9443/stream?streams=x@kline_1m", b"{}", "spot"),
        ("wss://data-stream.binance.vision/ws", b"{}", "spot"),
        ("wss://fstream.binance.com/market/stream", b"{}", "usdm"),
        ("wss://dstream.binance.com/stream", b"{}", "coinm"),
        ("https://api.binance.com/api/v3/depth?symbol=BTCUSDT", b"{}", "spot"),
        ("/fapi/v1/klines?symbol=BTCUSDT", b"[]", "usdm"),
        ("http://127.0.0.1:8080/dapi/v1/klines", b"[]", "coinm"),
        (None, b'{"e":"kline","s":"BTCUSDT"}', None),
        (None, b'{"e":"kline","s":"BTCUSD_PERP"}', "coinm"),
        (None, b'{"e":"kline","s":"BTCUSDT_261225"}', "usdm"),
        (None, b'{"stream":"x","data":{"e":"kline","s":"BTCUSDT","st":1}}', "usdm"),
        (None, b'{"e":"24hrTicker","s":"BTCUSDT","st":2}', "coinm"),
        (None, b'{"e":"depthUpdate","s":"BTCUSDT","pu":1}', "usdm"),
        (None, b'{"e":"depthUpdate","s":"BTCUSDT"}', "spot"),
        (None, b'{"e":"aggTrade","s":"BTCUSDT","M":true}', "spot"),
        (None, b'{"e":"trade","s":"BTCUSDT"}', "usdm"),
        (None, b'{"u":1,"s":"BTCUSDT","b":"1"}', "spot"),
        (None, b'{"e":"bookTicker","u":1,"s":"BTCUSDT"}', "usdm"),
        (None, b'[{"e":"24hrTicker","s":"BTCUSDT","x":"1"}]', "spot"),
        (None, b'{"lastUpdateId":1,"T":5}', "usdm"),
        (None, b'{"lastUpdateId":1,"symbol":"BTCUSD_PERP"}', "coinm"),
        (None, b'{"result":null,"id":1}', None),
        (None, b"pong", None),
        ("http://[", b"{}", None),
        ("relative", b"", None),
    ],
)
def test_a_url_or_a_frame_tells_its_market(url: str | None, frame: bytes, market: str | None) -> None:
    assert market_of(url, frame) == market


def test_answers_are_told_from_events() -> None:
    assert sort(b'{"result":null,"id":5}') == Answer(5, None)
    assert sort(b'{"error":{"code":3,"msg":"no"},"id":null}') == Answer(None, VenueError("3", "no"))
    assert sort(b'{"code":2,"msg":"bad","id":8578128440611119318}') == Answer(
        8578128440611119318, VenueError("2", "bad")
    )


def test_each_event_of_an_array_is_one_payload() -> None:
    found = sort(b'{"stream":"!x@arr","data":[{"e":"a","s":"S1"}, {"e":"b","st":2}]}')
    assert isinstance(found, list)
    assert [(p.kind, p.symbol, p.segment) for p in found] == [("a", "S1", None), ("b", None, 2)]


@given(st.binary(max_size=300), st.none() | st.text(max_size=50))
def test_no_bytes_make_it_raise_anything_but_faults(frame: bytes, url: str | None) -> None:
    try:
        sort(frame)
    except FAULTS:
        assert market_of(None, frame) is None
    market_of(url, frame)
