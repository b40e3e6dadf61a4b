import pytest

from heliograph.errors import DecodeError
from heliograph.model.instrument import SPOT
from heliograph.venues.coinbase.answers import market_of, read_answer

PREFIX = "https://api.coinbase.com/api/v3/brokerage"
HEART = b'{"channel":"heartbeats","timestamp":"2026-09-05T22:10:30.260465255Z","sequence_num":4,"events":[]}'


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (f"{PREFIX}/market/products", b"{}"),
        (f"{PREFIX}/market/products/BTC-USD/candles?granularity=ONE_WEEK", b'{"candles":[]}'),
        (f"{PREFIX}/market/products/BTC-USD/candles", b'{"candles":[]}'),
        (f"{PREFIX}/market/products/BTC-USDC/ticker", b'{"trades":[]}'),
        (f"{PREFIX}/market/product_book?product_id=BTC-USD", b'{"pricebook":{"product_id":"ETH-USD"}}'),
        (f"{PREFIX}/market/products/BTC-USD/ticker", b"[]"),
    ],
)
def test_what_is_not_documented_is_refused(url: str, body: bytes) -> None:
    with pytest.raises(DecodeError, match=r"brokerage/market/product|coinbase products"):
        read_answer(url, body, 0)


def test_a_book_in_disorder_is_refused() -> None:
    book = b'{"pricebook":{"product_id":"BTC-USD","bids":[{"price":"1","size":"1"},{"price":"2","size":"1"}],"asks":[],'
    with pytest.raises(DecodeError, match="order"):
        read_answer(f"{PREFIX}/market/product_book?product_id=BTC-USD", book + b'"time":"2026-04-07T00:28:59Z"}}', 0)


def test_refusals_and_other_answers_tell_nothing() -> None:
    assert read_answer(f"{PREFIX}/market/products/X-USD/candles", b'{"error":"NOT_FOUND","message":"no"}', 0) == []
    assert read_answer(f"{PREFIX}/time", b'{"iso":"2026-04-07T00:28:59Z"}', 0) == []
    assert read_answer(f"{PREFIX}/market/products/BTC-USD", b'{"product_id":"BTC-USD"}', 0) == []


def test_the_market_is_told_by_the_url_or_by_what_was_said() -> None:
    assert market_of("wss://advanced-trade-ws.coinbase.com", b"") == SPOT
    assert market_of("/api/v3/brokerage/time", b"") == SPOT
    assert market_of(None, HEART) == SPOT
    for frame in (b"", b"[]", b"{}", b'{"channel":"spot.trades"}', b'{"type":"error","message":"x"}'):
        assert market_of(None, frame) is None
        assert market_of("wss://stream.example.com/ws", frame) is None
