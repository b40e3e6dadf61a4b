"""What single payloads say, field by field."""

import json
from collections.abc import Callable
from decimal import Decimal

import pytest

from heliograph.model.book import BookSnapshot
from heliograph.model.instrument import SPOT, Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, DayStatistics, Side, Trade, TradeCause
from heliograph.venues.gateio.bars import FUTURES_INTERVALS, SPOT_INTERVALS, Units
from heliograph.venues.gateio.frames import (
    RawFuturesBook,
    RawFuturesCandle,
    RawFuturesTicker,
    RawFuturesTop,
    RawFuturesTrade,
    RawSpotBook,
    RawSpotCandle,
    RawSpotTicker,
    RawSpotTrade,
    decode_event,
)
from heliograph.venues.gateio.instruments import COINM, GATEIO, USDM
from heliograph.venues.gateio.payloads import Payloads

SENT_NS = 1_790_349_961_123_000_000
OPEN_NS = 1_790_349_960_000_000_000
MINUTE_NS = 60_000_000_000
SPOT_BTC = Instrument(GATEIO, SPOT, "BTC_USDT")
USDM_BTC = Instrument(GATEIO, USDM, "BTC_USDT", contract_size=Decimal("0.0001"))
COINM_BTC = Instrument(GATEIO, COINM, "BTC_USD", contract_size=Decimal(1))
D = Decimal


def of(*instruments: Instrument, units: Units = Units.LINEAR) -> Payloads:
    payloads = Payloads(None, SPOT_INTERVALS if units is Units.SPOT else FUTURES_INTERVALS, units)
    payloads.carry(instruments)
    return payloads


def test_a_spot_candle_counts_base_in_a_and_quote_in_v(fixture: Callable[[str], bytes]) -> None:
    raw = decode_event(fixture("candle_spot.json"))
    assert isinstance(raw, RawSpotCandle)
    payloads = of(SPOT_BTC, units=Units.SPOT)
    assert payloads.spot_candle(raw, 5) == Candle(
        SPOT_BTC, Interval.M1, OPEN_NS, OPEN_NS + MINUTE_NS, D("83853.4"), D("83864.5"), D("83829.6"), D("83850.1"),
        D("0.0100"), D("838.5340"), None, None, True, SENT_NS, 5,
    )  # fmt: skip
    assert payloads.venue_ns == SENT_NS


def test_t12_candles_of_linear_contracts(fixture: Callable[[str], bytes]) -> None:
    raw = decode_event(fixture("candles_usdm.json"))
    assert isinstance(raw, RawFuturesCandle)
    ended, live = of(USDM_BTC).futures_candles(raw, 5)
    assert ended == Candle(
        USDM_BTC, Interval.M1, OPEN_NS - MINUTE_NS, OPEN_NS, D("83807.3"), D("83823"), D("83788.1"), D("83817.9"),
        D("29.1170"), D("2440050.23996"), D(291170), None, True, SENT_NS, 5,
    )  # fmt: skip
    assert (live.contracts, live.base_volume, live.closed) == (D("12.5"), D("0.00125"), False)


def test_t12_candles_of_inverse_contracts(fixture: Callable[[str], bytes]) -> None:
    raw = decode_event(fixture("candles_coinm.json"))
    assert isinstance(raw, RawFuturesCandle)
    (candle,) = of(COINM_BTC, units=Units.INVERSE).futures_candles(raw, 5)
    assert (candle.base_volume, candle.quote_volume, candle.contracts) == (D("0.1000"), D(8380), D(8380))


def test_m16_a_frame_that_gives_no_time_has_none() -> None:
    raw = decode_event(
        b'{"channel":"futures.candlesticks","event":"update","result":'
        b'[{"t":1662690600,"v":80,"c":"1","h":"1","l":"1","o":"1","n":"5m_BTC_USDT"}]}'
    )
    assert isinstance(raw, RawFuturesCandle)
    (candle,) = of(USDM_BTC).futures_candles(raw, 5)
    assert (candle.event_ns, candle.closed, candle.quote_volume) == (None, False, None)


def test_t15_a_spot_trade_has_a_time_with_a_fraction(fixture: Callable[[str], bytes]) -> None:
    raw = decode_event(fixture("trade_spot.json"))
    assert isinstance(raw, RawSpotTrade)
    assert of(SPOT_BTC, units=Units.SPOT).spot_trade(raw.result, 5) == Trade(
        SPOT_BTC, "220643714", 220643714, D("83790.9"), D("0.002984"), Side.SELL, TradeCause.MARKET,
        1_790_349_961_119_653_000, 5,
    )  # fmt: skip


def test_trades_are_numbered_until_one_stands_for_several() -> None:
    def told(number: str, spans: str) -> int | None:
        text = (
            '{"channel":"spot.trades","event":"update","result":{"id":1,"create_time_ms":"1790349961119.653000",'
            f'"side":"sell","currency_pair":"BTC_USDT","amount":"1","price":"2"{number}{spans}}}}}'
        )
        raw = decode_event(text.encode())
        assert isinstance(raw, RawSpotTrade)
        return payloads.spot_trade(raw.result, 5).sequence

    payloads = of(SPOT_BTC, units=Units.SPOT)
    assert told(',"id_market":7', ',"range":"7-7"') == 7
    assert told(',"id_market":8', "") == 8
    assert told("", "") is None
    assert told(',"id_market":11', ',"range":"9-11"') is None
    # What is missing before it was part of that one trade, and would be told twice.
    assert told(',"id_market":12', ',"range":"12-12"') is None


def test_the_sign_of_a_futures_trade_is_its_side(fixture: Callable[[str], bytes]) -> None:
    raw = decode_event(fixture("trades_usdm.json"))
    assert isinstance(raw, RawFuturesTrade)
    sold, bought = of(USDM_BTC).futures_trades(raw.result, 5)
    assert (sold.side, sold.quantity, sold.cause) == (Side.SELL, D(3), TradeCause.MARKET)
    assert (bought.side, bought.quantity, bought.cause) == (Side.BUY, D("2.5"), TradeCause.LIQUIDATION)
    assert bought.event_ns == 1_790_349_961_121_000_000


def test_t15_a_day_of_spot_with_text_that_is_empty(fixture: Callable[[str], bytes]) -> None:
    raw = decode_event(fixture("ticker_spot.json"))
    assert isinstance(raw, RawSpotTicker)
    assert of(SPOT_BTC, units=Units.SPOT).spot_day(raw, 5) == DayStatistics(
        SPOT_BTC, D("83790.9"), None, D("85212.0"), None, D("9110.473081735"), D("763350000.2535"), None, None,
        SENT_NS, 5,
    )  # fmt: skip


def test_t12_a_day_of_contracts_keeps_the_three_volumes_apart(fixture: Callable[[str], bytes]) -> None:
    raw = decode_event(fixture("tickers_usdm.json"))
    assert isinstance(raw, RawFuturesTicker)
    assert of(USDM_BTC).futures_days(raw, 5) == [
        DayStatistics(
            USDM_BTC, D("83746.8"), None, D("85212.0"), D("83120.0"), D("67052.1289"), D(5615401236), D(670521289),
            None, 1_790_349_960_966_000_000, 5,
        )
    ]  # fmt: skip


def test_t15_a_side_that_is_empty_is_none() -> None:
    raw = decode_event(
        b'{"channel":"futures.book_ticker","event":"update","result":'
        b'{"t":5,"u":7,"s":"BTC_USDT","b":"2172.82","B":"0","a":"","A":0}}'
    )
    assert isinstance(raw, RawFuturesTop)
    top = of(USDM_BTC).top(raw.result, 5)
    assert top == BookTop(USDM_BTC, D("2172.82"), D(0), None, None, 7, 5_000_000, 5)


def test_t3_a_whole_book_is_a_snapshot_in_order_without_what_is_gone(fixture: Callable[[str], bytes]) -> None:
    raw = decode_event(fixture("book_full_spot.json"))
    assert isinstance(raw, RawSpotBook)
    told = of(SPOT_BTC, units=Units.SPOT).book(raw.result, 5)
    assert isinstance(told, BookSnapshot)
    assert list(told.bids) == [(D("19137.74"), D("0.0001")), (D("19137.70"), D("0.5"))]
    assert list(told.asks) == [(D("19137.75"), D("0.6135")), (D(19138), D(1))]
    assert (told.sequence, told.event_ns) == (48776306, 1_790_349_961_110_000_000)


def test_lists_leave_out_what_is_not_carried_one_by_one(fixture: Callable[[str], bytes]) -> None:
    other = Instrument(GATEIO, USDM, "ETH_USDT")
    for name in ("candles_usdm.json", "trades_usdm.json", "tickers_usdm.json"):
        body = json.loads(fixture(name))
        strange = json.dumps(body["result"][0]).replace("BTC_USDT", "ETH_USDT")
        body["result"].append(json.loads(strange))
        raw = decode_event(json.dumps(body).encode())
        payloads = of(other)
        if isinstance(raw, RawFuturesCandle):
            told = [c.instrument for c in payloads.futures_candles(raw, 5)]
        elif isinstance(raw, RawFuturesTrade):
            told = [t.instrument for t in payloads.futures_trades(raw.result, 5)]
        else:
            assert isinstance(raw, RawFuturesTicker)
            told = [d.instrument for d in payloads.futures_days(raw, 5)]
        assert told == [other]
        assert payloads.ignored == len(body["result"]) - 1


@pytest.mark.parametrize("size", ["-1", '"NaN"', "1e99", '"Infinity"'])
def test_what_is_no_amount_is_refused(size: str) -> None:
    frame = (
        '{"channel":"futures.order_book_update","event":"update","result":'
        '{"t":1,"s":"BTC_USDT","U":1,"u":1,"b":[{"p":"1","s":%s}],"a":[]}}'
    )
    raw = decode_event((frame % size).encode())
    assert isinstance(raw, RawFuturesBook)
    with pytest.raises((ValueError, ArithmeticError)):
        of(USDM_BTC).book(raw.result, 5)
