"""How books and tickers look was recorded on 2026-09-22 by others."""

from decimal import Decimal

import pytest

from heliograph.errors import DecodeError
from heliograph.model.book import BookSnapshot
from heliograph.model.market import Candle, DayStatistics
from heliograph.venues.luno.answers import read_answer

URL = "https://api.luno.com"


def level(price: str, volume: str) -> bytes:
    return b'{"price":"%b000000000000000000","volume":"%b"}' % (price.encode(), volume.encode())


@pytest.mark.parametrize("path", ["orderbook_top", "orderbook"])
def test_orders_of_one_price_are_one_level(path: str) -> None:
    bids = b",".join([level("2762.", "1.5"), level("2762.", "0.5"), level("2761.", "1")])
    body = b'{"timestamp":1790127197639,"bids":[' + bids + b'],"asks":[' + level("2765.", "3") + b"]}"
    (book,) = read_answer(f"{URL}/api/1/{path}?pair=ETHUSDT", body, 5)
    assert isinstance(book, BookSnapshot)
    assert (book.instrument.venue_symbol, book.sequence) == ("ETHUSDT", None)
    assert (book.bids, book.asks) == (
        [(Decimal(2762), Decimal(2)), (Decimal(2761), Decimal(1))], [(Decimal(2765), Decimal(3))]
    )  # fmt: skip


def test_a_book_that_is_not_in_order_is_refused() -> None:
    bids = b",".join([level("2761.", "1"), level("2762.", "1")])
    with pytest.raises(DecodeError, match="order"):
        read_answer("/api/1/orderbook?pair=ETHUSDT", b'{"timestamp":1,"bids":[' + bids + b'],"asks":[]}', 5)


def test_tickers_tell_their_pairs() -> None:
    one = b'{"pair":"XBTZAR","timestamp":1790516492037,"bid":"1385193.00","ask":"1385194.00","last_trade":"1385260.00",'
    one += b'"rolling_24_hour_volume":"10.817066","status":"ACTIVE"}'
    for url, body in (("/api/1/ticker?pair=XBTZAR", one), ("/api/1/tickers", b'{"tickers":[' + one + b"]}")):
        (day,) = read_answer(url, body, 5)
        assert isinstance(day, DayStatistics)
        assert (day.instrument.venue_symbol, str(day.last)) == ("XBTZAR", "1385260.00")


def test_candles_that_are_followed_are_closed() -> None:
    rows = b",".join(
        b'{"timestamp":%d,"open":"1.00","close":"1.00","high":"1.00","low":"1.00","volume":"0.00"}' % opened
        for opened in (1_664_055_240_000, 1_664_055_300_000)
    )
    body = b'{"candles":[' + rows + b'],"duration":60,"pair":"XBTEUR"}'
    url = "/api/exchange/1/candles?pair=XBTEUR&since=0&duration=60"
    assert [one.closed for one in read_answer(url, body, 5) if isinstance(one, Candle)] == [True, False]
    with pytest.raises(DecodeError, match="length"):
        read_answer(url.replace("=60", "=61"), body, 5)


def test_a_refusal_tells_nothing_and_what_is_not_known_is_refused() -> None:
    assert read_answer("any", b'{"error":"Insufficient balance.","error_code":"ErrInsufficientBalance"}', 5) == []
    for url in ("/api/1/nope", "/api/1/trades?pair=!"):
        with pytest.raises(DecodeError):
            read_answer(url, b'{"trades":[]}', 5)
