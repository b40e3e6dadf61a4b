from collections.abc import Callable
from decimal import Decimal

import pytest

from heliograph.errors import DecodeError
from heliograph.model.book import BookSnapshot
from heliograph.model.instrument import Instrument
from heliograph.model.market import BookTop, Candle, DayStatistics, Trade
from heliograph.venues.kraken.answers import read_answer

ROOT = "https://api.kraken.com/0/public/"


@pytest.mark.parametrize(
    ("name", "file", "kinds"),
    [
        ("OHLC?pair=XBTUSD&assetVersion=1", "rest_ohlc.json", [Candle] * 3),
        ("OHLC?pair=XBTUSD&interval=10080", "rest_ohlc.json", []),
        ("Trades?pair=XBTUSD", "rest_trades.json", [Trade] * 2),
        ("Depth?pair=XBTUSD", "rest_depth.json", [BookSnapshot]),
        ("Ticker?pair=XBTUSD", "rest_ticker.json", [DayStatistics, BookTop]),
        ("AssetPairs", "rest_pairs.json", [Instrument] * 2),
    ],
)
def test_documented_answers_are_read(fixture: Callable[[str], bytes], name: str, file: str, kinds: list[type]) -> None:
    assert [type(event) for event in read_answer(ROOT + name, fixture(file), 9)] == kinds


def test_a_day_is_the_last_24_hours_and_a_book_has_its_levels(fixture: Callable[[str], bytes]) -> None:
    day, top = read_answer(f"{ROOT}Ticker", fixture("rest_ticker.json"), 9)
    assert isinstance(day, DayStatistics)
    assert isinstance(top, BookTop)
    assert (day.last, day.base_volume) == (Decimal("30303.2"), Decimal("4412.73601799"))
    assert (top.bid, top.ask) == (Decimal("30300.0"), Decimal("30300.1"))
    (book,) = read_answer(f"{ROOT}Depth?pair=XBTUSD", fixture("rest_depth.json"), 9)
    assert isinstance(book, BookSnapshot)
    assert book.asks[0] == (Decimal("30384.1"), Decimal("2.059"))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Time", b'{"error":[],"result":{"unixtime":1688669448,"rfc1123":"x"}}'),
        ("OHLC?pair=XBTUSD", b'{"error":["EQuery:Unknown asset pair"]}'),
        ("OHLC?pair=XBTUSD", b'{"error":[],"result":{"XXBTZUSD":[],"last":1}}'),
        ("Ticker", b'{"error":[],"result":{}}'),
    ],
)
def test_what_has_nothing_for_us_tells_nothing(name: str, body: bytes) -> None:
    assert read_answer(ROOT + name, body, 9) == []


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("OHLC?pair=XBTUSD", b"{"),
        ("OHLC?pair=XBTUSD", b'{"error":[],"result":{"BTC/USD":[[1]],"last":1}}'),
        ("OHLC?pair=XBTUSD", b'{"error":[],"result":{"last":1}}'),
        ("Trades?pair=XBTUSD", b'{"error":[],"result":{"BTC/USD":[["1","1",1.5,"x","l","",1]],"last":"1"}}'),
        ("Depth?pair=XBTUSD", b'{"error":[],"result":{"BTC/USD":{"asks":[["2","1",1],["1","1",1]],"bids":[]}}}'),
        ("Unknown", b'{"error":[],"result":{}}'),
    ],
)
def test_what_is_not_documented_is_refused(name: str, body: bytes) -> None:
    with pytest.raises(DecodeError):
        read_answer(ROOT + name, body, 9)
