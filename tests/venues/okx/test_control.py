import pytest

from heliograph.model.instrument import SPOT, MarketId
from heliograph.venues.okx.control import is_silent, market_of, named_by
from heliograph.venues.okx.instruments import FUTURES, OPTION, SWAP


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Wrong URL or channel:books,instId:NOPE-USDT doesn't exist. Please use", ("books", "NOPE-USDT")),
        ("Subscribe failed, wrong URL or channel:trades,instId:A-B-SWAP doesn't exist.", ("trades", "A-B-SWAP")),
        ("Wrong URL or channel:tickers,instType:SWAP doesn't exist", None),
        ("Illegal request", None),
    ],
)
def test_an_error_names_what_it_refuses_in_its_text(message: str, expected: tuple[str, str] | None) -> None:
    assert named_by(message) == expected


@pytest.mark.parametrize("channel", ["orders", "account", "books-elp", "mark-price-candle1m", "grid-positions"])
def test_documented_channels_that_are_not_ours_are_known(channel: str) -> None:
    assert is_silent(channel)


@pytest.mark.parametrize("channel", ["books", "candle1m", "orderz", ""])
def test_other_channels_are_not(channel: str) -> None:
    assert not is_silent(channel)


@pytest.mark.parametrize(
    ("url", "frame", "market"),
    [
        (None, b'{"arg":{"channel":"tickers","instId":"BTC-USDT-SWAP"},"data":[]}', SWAP),
        ("wss://ws.okx.com:8443/ws/v5/public", b'{"arg":{"channel":"books","instId":"BTC-USDT"}}', SPOT),
        ("https://www.okx.com/api/v5/market/candles?instId=BTC-USD-261225&bar=1m", b"{}", FUTURES),
        ("/api/v5/market/tickers?instType=OPTION", b"{}", OPTION),
        (None, b'{"arg":{"channel":"account"}}', None),
        (None, b"pong", None),
        (None, b"", None),
        (None, b"[" * 5000, None),
    ],
)
def test_the_market_is_told_by_whatever_names_an_instrument(
    url: str | None, frame: bytes, market: MarketId | None
) -> None:
    assert market_of(url, frame) == market
