import json
from decimal import Decimal

import pytest

from heliograph.errors import DecodeError
from heliograph.model.book import BookSnapshot
from heliograph.model.instrument import Instrument
from heliograph.model.market import BookTop, Candle, DayStatistics, Source, Trade
from heliograph.venues.okx.answers import read_answer

ROW = ["1786540440000", "1", "4", "1", "2", "5", "6", "7", "1"]


def answer(*rows: object, code: str = "0") -> bytes:
    return json.dumps({"code": code, "msg": "", "data": rows}).encode()


def test_candles_are_told_in_ascending_order_and_closed_as_they_say() -> None:
    older = ["1786540380000", "1", "4", "1", "2", "5", "6", "7", "1"]
    body = answer([*ROW[:8], "0"], older)
    found = read_answer("https://www.okx.com/api/v5/market/candles?instId=BTC-USDT-SWAP&bar=1m", body, 9)
    candles = [item for item in found if isinstance(item, Candle)]
    assert [(c.open_ns // 10**9, c.closed, c.source) for c in candles] == [
        (1786540380, True, Source.REST),
        (1786540440, False, Source.REST),
    ]
    assert (candles[0].contracts, candles[0].base_volume, candles[0].quote_volume) == (
        Decimal(5),
        Decimal(6),
        Decimal(7),
    )


def test_t31_a_month_of_hong_kong_ends_on_hong_kongs_first() -> None:
    row = ["1767196800000", *ROW[1:]]  # 2026-01-01 there, eight hours earlier here
    (candle,) = read_answer("/api/v5/market/history-candles?instId=BTC-USDT&bar=1M", answer(row), 9)
    assert isinstance(candle, Candle)
    assert candle.close_ns == 1_769_875_200 * 10**9


def test_candles_without_an_instrument_are_refused() -> None:
    with pytest.raises(DecodeError, match="instId"):
        read_answer("/api/v5/market/history-candles?bar=1m", answer(ROW), 9)


def test_a_book_needs_its_url() -> None:
    body = answer({"asks": [["2", "1", "0", "1"]], "bids": [["1", "3", "0", "1"]], "ts": "1786540440000", "seqId": 5})
    (book,) = read_answer("/api/v5/market/books?instId=BTC-USDT&sz=400", body, 9)
    assert isinstance(book, BookSnapshot)
    assert (book.sequence, book.bids, book.asks) == (5, [(Decimal(1), Decimal(3))], [(Decimal(2), Decimal(1))])
    assert read_answer("/api/v5/market/books", body, 9) == []


def test_tickers_trades_and_instruments_are_known_by_what_they_have() -> None:
    ticker = {
        "instType": "SPOT", "instId": "BTC-USDT", "last": "9", "askPx": "10", "askSz": "1", "bidPx": "8", "bidSz": "1",
        "open24h": "8", "high24h": "9", "low24h": "8", "volCcy24h": "1", "vol24h": "1", "ts": "1597026383085",
    }  # fmt: skip
    assert [type(item) for item in read_answer("x", answer(ticker), 9)] == [DayStatistics, BookTop]
    trade = {"instId": "BTC-USDT", "side": "sell", "sz": "1", "px": "2", "tradeId": "3", "ts": "4"}
    assert [type(item) for item in read_answer("x", answer(trade), 9)] == [Trade]
    listed = {"instType": "SPOT", "instId": "BTC-USDT", "baseCcy": "BTC", "quoteCcy": "USDT", "tickSz": "0.1"}
    assert [type(item) for item in read_answer("x", answer(listed), 9)] == [Instrument]


@pytest.mark.parametrize(
    "body",
    [
        answer(code="51001"),
        answer(),
        answer({"ordId": "1", "tradeId": "2", "px": "3"}),
        answer({"ccy": "USDT"}),
        answer(["1786540440000", "1", "4", "1", "2", "1"]),
        b'{"ordId":"1","clOrdId":"","tag":"","sCode":"0","sMsg":""}',
    ],
)
def test_a_no_private_answers_and_other_candles_tell_nothing(body: bytes) -> None:
    assert read_answer("/api/v5/market/mark-price-candles?instId=BTC-USDT-SWAP", body, 9) == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b'{"code":0}', b"[" * 5000])
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        read_answer("/api/v5/market/trades?instId=BTC-USDT", body, 9)
