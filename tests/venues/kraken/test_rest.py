from collections.abc import Callable
from decimal import Decimal

import pytest

from heliograph.clock import NS_PER_S
from heliograph.model.interval import Interval
from heliograph.model.market import Side, Source
from heliograph.venues.contract import CandlePage, TradePage
from heliograph.venues.kraken.instruments import instrument_of_symbol
from heliograph.venues.kraken.rest import (
    accepted,
    candle_request,
    content_of,
    pair_name,
    parse_error,
    read_candles,
    read_rows,
    read_trades,
    trade_request,
)

BTC = instrument_of_symbol("BTC/USD")
OPEN_NS = 1_688_671_200 * NS_PER_S
MINUTE_NS = 60 * NS_PER_S


def test_a_pair_is_asked_for_by_its_alternative_name() -> None:
    names = {
        symbol: pair_name(instrument_of_symbol(symbol)) for symbol in ("BTC/USD", "DOGE/EUR", "ETH/BTC", "ADA/USD")
    }
    assert names == {"BTC/USD": "XBTUSD", "DOGE/EUR": "XDGEUR", "ETH/BTC": "ETHXBT", "ADA/USD": "ADAUSD"}


def test_candles_are_asked_for_from_the_second_before_the_first() -> None:
    request = candle_request(CandlePage(BTC, Interval.H1, OPEN_NS, None))
    assert request.path == "/0/public/OHLC"
    assert dict(request.query) == {
        "pair": "XBTUSD", "interval": "60", "since": "1688671199", "assetVersion": "1"
    }  # fmt: skip
    assert dict(candle_request(CandlePage(BTC, Interval.M1, 0, None)).query)["since"] == "0"


def test_the_newest_trades_are_asked_for() -> None:
    assert dict(trade_request(TradePage(BTC, 5, 9)).query) == {"pair": "XBTUSD", "count": "1000", "assetVersion": "1"}


def test_rows_up_to_the_last_committed_one_are_closed(fixture: Callable[[str], bytes]) -> None:
    candles, last_s = read_rows(BTC, Interval.M1, fixture("rest_ohlc.json"), 9)
    assert last_s == 1_688_671_260
    assert [(c.open_ns, c.closed, c.trade_count) for c in candles] == [
        (OPEN_NS, True, 23), (OPEN_NS + MINUTE_NS, True, 18), (OPEN_NS + 2 * MINUTE_NS, False, 25)
    ]  # fmt: skip
    assert (candles[0].base_volume, candles[0].quote_volume) == (Decimal("3.39243896"), None)
    assert candles[0].source is Source.REST


def test_the_last_row_is_never_committed(fixture: Callable[[str], bytes]) -> None:
    body = fixture("rest_ohlc.json").replace(b'"last":1688671260', b'"last":1688671320')
    assert [c.closed for c in read_rows(BTC, Interval.M1, body, 9).candles] == [True, True, False]


def test_an_answer_is_the_whole_of_what_there_is(fixture: Callable[[str], bytes]) -> None:
    """Or a range that reaches back further than the venue would be asked for, page by page, in vain."""
    body = fixture("rest_ohlc.json")
    old = read_candles(CandlePage(BTC, Interval.M1, OPEN_NS - 10**6 * MINUTE_NS, None), body, 0, 9)
    assert (len(old.candles), old.following) == (3, None)
    ends = read_candles(CandlePage(BTC, Interval.M1, OPEN_NS, OPEN_NS), body, 0, 9)
    assert ([c.open_ns for c in ends.candles], ends.following) == ([OPEN_NS], None)


def test_trades_have_their_number_and_time(fixture: Callable[[str], bytes]) -> None:
    first, second = read_trades(BTC, fixture("rest_trades.json"), 9)
    assert (first.sequence, first.trade_id, first.side) == (61_044_952, "61044952", Side.BUY)
    assert first.event_ns == 1_688_669_597_827_736_900
    assert (second.side, second.price, second.quantity) == (Side.SELL, Decimal("30243.3"), Decimal("0.0037696"))


def test_refusals_are_read_from_answers_of_success() -> None:
    refusal = parse_error(200, b'{"error":["EQuery:Unknown asset pair"]}')
    assert (refusal.code, refusal.reason) == ("EQuery:Unknown asset pair",) * 2
    assert parse_error(200, b'{"error":[],"result":{}}').code == ""
    assert parse_error(520, b"<html>").code == "520"
    with pytest.raises(ValueError, match="a refusal: EGeneral:Too many requests"):
        accepted(b'{"error":["EGeneral:Too many requests"]}')


@pytest.mark.parametrize("name", [b"ETH/USD", b"XXBTZUSD", b"last"])
def test_an_answer_about_something_else_is_refused(fixture: Callable[[str], bytes], name: bytes) -> None:
    with pytest.raises(ValueError):
        content_of(fixture("rest_ohlc.json").replace(b"BTC/USD", name), BTC)
