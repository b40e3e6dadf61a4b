"""The audit finds what it is there to find."""

from decimal import Decimal

import msgspec
import pytest

from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Side, Trade, TradeCause
from heliograph.sim.audit import Verdict, audit_candles, audit_trades, audit_unnumbered, numbered_as
from heliograph.venues.scene import Aggregate, Bar, Fill

BITCOIN = Instrument(VenueId("binance"), SPOT, "BTCUSDT")
ONE = Decimal(1)
MINUTE_NS = 60 * 10**9


def bar(number: int) -> Bar:
    return Bar(number * MINUTE_NS, (number + 1) * MINUTE_NS, ONE, ONE, ONE, ONE, ONE, ONE, ONE, ONE, 1, 1, 1)


def candle(number: int, close: Decimal = ONE, *, closed: bool = True) -> Candle:
    open_ns = number * MINUTE_NS
    return Candle(
        BITCOIN, Interval.M1, open_ns, open_ns + MINUTE_NS, ONE, ONE, ONE, close, ONE, ONE, None, 1, closed, None, 0
    )


def aggregate(number: int) -> Aggregate:
    return Aggregate(number, number, number, ONE, ONE, number, taker_buys=True)


def trade(number: int, quantity: Decimal = ONE) -> Trade:
    return Trade(BITCOIN, str(number), number, ONE, quantity, Side.BUY, TradeCause.MARKET, None, 0)


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ([1, 2, 3], Verdict(expected=3)),
        ([1, 3], Verdict(expected=3, lost=1)),
        ([1, 2, 2, 3], Verdict(expected=3, doubled=1)),
        ([1, 3, 2], Verdict(expected=3, disordered=1)),
        ([0, 1, 2, 3, 4], Verdict(expected=3)),
        ([], Verdict(expected=3, lost=3)),
    ],
)
def test_what_differs_is_counted(told: list[int], verdict: Verdict) -> None:
    assert audit_candles([bar(1), bar(2), bar(3)], [candle(n) for n in told]) == verdict
    assert audit_trades([aggregate(1), aggregate(2), aggregate(3)], [trade(n) for n in told]) == verdict
    assert verdict.faithful == (verdict == Verdict(expected=3))


def test_other_figures_are_wrong_and_open_candles_are_no_record() -> None:
    assert audit_candles([bar(1)], [candle(1, Decimal(2))]) == Verdict(expected=1, wrong=1)
    assert audit_candles([bar(1)], [candle(1, closed=False)]) == Verdict(expected=1, lost=1)
    assert audit_trades([aggregate(1)], [trade(1, Decimal(2))]) == Verdict(expected=1, wrong=1)


def test_what_a_venue_does_not_count_is_not_held_against_the_record() -> None:
    untold = msgspec.structs.replace(candle(1), trade_count=None)
    assert audit_candles([bar(1)], [untold]) == Verdict(expected=1)
    assert audit_candles([bar(1)], [msgspec.structs.replace(untold, close=Decimal(2))]) == Verdict(expected=1, wrong=1)


def test_single_trades_are_held_against_single_trades() -> None:
    fills = [Fill(number, ONE, ONE, ONE, number, taker_buys=True) for number in (1, 2, 3)]
    assert audit_trades(fills, [trade(1), trade(3)]) == Verdict(expected=3, lost=1)


def test_what_never_happened_is_invented() -> None:
    assert audit_candles([bar(1), bar(3)], [candle(1), candle(2), candle(3)]) == Verdict(expected=2, invented=1)


def test_verdicts_add_up() -> None:
    assert Verdict(3, 1) + Verdict(4, 0, 2) == Verdict(7, 1, 2)


def fill(number: int, price: Decimal = ONE) -> Fill:
    return Fill(number, price, ONE, ONE, number * 10**6 + 7, taker_buys=True)


def unnumbered(number: int, price: Decimal = ONE) -> Trade:
    return Trade(BITCOIN, f"id{number}", None, price, ONE, Side.BUY, TradeCause.MARKET, number * 10**6, 0)


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ([1, 2, 3], Verdict(expected=3)),
        ([1, 3], Verdict(expected=3, lost=1)),
        ([1, 2, 2, 3], Verdict(expected=3, doubled=1)),
        ([1, 3, 2], Verdict(expected=3, disordered=1)),
        ([2, 3], Verdict(expected=2)),
        ([0, 1, 2, 3, 9], Verdict(expected=3)),
        ([], Verdict()),
    ],
)
def test_trades_without_numbers_are_counted_by_what_they_say(told: list[int], verdict: Verdict) -> None:
    assert audit_unnumbered([fill(1), fill(2), fill(3)], [unnumbered(n) for n in told]) == verdict


def test_a_trade_that_never_happened_is_invented() -> None:
    truth = [fill(1), fill(2), fill(3)]
    told = [unnumbered(1), unnumbered(2, Decimal(2)), unnumbered(3)]
    assert audit_unnumbered(truth, told) == Verdict(expected=3, lost=1, invented=1)


def test_a_record_is_held_against_the_numbers_that_it_tells() -> None:
    singles = [fill(1), fill(2, Decimal(2)), fill(3, Decimal(3))]
    whole = [Aggregate(1, 1, 2, ONE, Decimal(2), 1, taker_buys=True)]
    assert numbered_as([trade(1)], whole, singles) is singles
    assert numbered_as([trade(1, Decimal(2))], singles, whole) is whole
