import json
from decimal import Decimal

import pytest

from heliograph.clock import NS_PER_MS
from heliograph.model.market import BookTop, DayStatistics
from heliograph.model.numbers import Amounts
from heliograph.venues.okx.frames import RawLevel, RawTicker, decode_past_tickers
from heliograph.venues.okx.instruments import any_instrument
from heliograph.venues.okx.rows import quantity_of, to_levels, to_ticker, to_top

SPOT = any_instrument("BTC-USDT")
SWAP = any_instrument("BTC-USDT-SWAP")


def ticker(**fields: str) -> RawTicker:
    row = {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "last": "9.90", "lastSz": "1", "askPx": "10", "askSz": "11",
        "bidPx": "9", "bidSz": "5", "open24h": "8", "high24h": "12", "low24h": "7", "volCcy24h": "22.20",
        "vol24h": "2222", "sodUtc0": "0.1", "sodUtc8": "0.1", "ts": "1597026383085",
    }  # fmt: skip
    return decode_past_tickers(json.dumps([row | fields]).encode())[0]


def day_of(raw: RawTicker, *, spot: bool = False) -> DayStatistics:
    day, _ = to_ticker(SPOT if spot else SWAP, raw, Amounts(10), 1)
    assert day is not None
    return day


def test_t12_volumes_of_contracts_and_of_spot_are_kept_apart() -> None:
    swap, spot = day_of(ticker()), day_of(ticker(), spot=True)
    assert (swap.base_volume, swap.quote_volume, swap.contracts) == (Decimal("22.20"), None, Decimal(2222))
    assert (spot.base_volume, spot.quote_volume, spot.contracts) == (Decimal(2222), Decimal("22.20"), None)
    assert (str(swap.last), swap.open, swap.high, swap.low) == ("9.90", Decimal(8), Decimal(12), Decimal(7))
    assert swap.event_ns == 1_597_026_383_085 * NS_PER_MS


def test_t15_what_is_empty_is_none() -> None:
    empty = ticker(last="", askPx="", askSz="", bidPx="", bidSz="", open24h="", high24h="", low24h="")
    day, top = to_ticker(SWAP, empty, Amounts(10), 1)
    assert day is None
    assert (top.bid, top.bid_quantity, top.ask, top.ask_quantity) == (None, None, None, None)
    some = day_of(ticker(open24h="", high24h="", low24h="", vol24h="", volCcy24h=""))
    assert (some.open, some.base_volume, some.contracts) == (None, None, None)


def test_an_empty_side_has_no_price() -> None:
    bids = to_levels([RawLevel("1.0", Decimal("2.0"))], Amounts(10))
    assert to_top(SPOT, bids, [], 7, 1, 2) == BookTop(SPOT, Decimal("1.0"), Decimal("2.0"), None, None, 7, 1, 2)


@pytest.mark.parametrize("text", ["-1", "NaN", "Infinity", "1e99", "x", "9" * 39])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises((ArithmeticError, ValueError)):
        quantity_of(text)
    with pytest.raises((ArithmeticError, ValueError)):
        to_levels([RawLevel(text, Decimal(1))], Amounts(10))


def test_a_negative_quantity_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        to_levels([RawLevel("1", Decimal(-1))], Amounts(10))
