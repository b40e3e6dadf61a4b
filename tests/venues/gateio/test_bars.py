from decimal import Decimal

import pytest

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import SPOT, Instrument
from heliograph.model.interval import Interval
from heliograph.venues.gateio.bars import FUTURES_INTERVALS, SPOT_INTERVALS, Bars, Units, names_of, volumes_of
from heliograph.venues.gateio.instruments import COINM, GATEIO, USDM

DAY_NS = 86_400 * NS_PER_S
INSTRUMENTS = {name: Instrument(GATEIO, SPOT, name) for name in ("BTC_USDT", "BTC_USDT_20220930")}


def bars() -> Bars:
    return Bars(INSTRUMENTS.__getitem__, FUTURES_INTERVALS)


@pytest.mark.parametrize(
    ("name", "symbol"), [("1m_BTC_USDT", "BTC_USDT"), ("5m_BTC_USDT_20220930", "BTC_USDT_20220930")]
)
def test_a_candles_name_is_split_at_its_first_underscore_only(name: str, symbol: str) -> None:
    series = bars()[name]
    assert (series.instrument.venue_symbol, series.interval.value) == (symbol, name.partition("_")[0])


def test_what_is_not_carried_and_what_is_no_length_are_told_apart() -> None:
    with pytest.raises(KeyError):
        bars()["1m_ETH_USDT"]
    with pytest.raises(ValueError, match="length"):
        bars()["7d_BTC_USDT"]


def test_t31_thirty_days_are_a_calendar_month_and_a_week_begins_on_monday() -> None:
    month = bars()["30d_BTC_USDT"]
    february_ns = 1_769_904_000 * NS_PER_S  # 2026-02-01
    assert month.interval is Interval.MO1
    assert month.close_ns(february_ns) == february_ns + 28 * DAY_NS
    week = bars()["1w_BTC_USDT"]
    monday_ns = 1_770_595_200 * NS_PER_S  # 2026-02-09
    assert week.close_ns(monday_ns) == monday_ns + 7 * DAY_NS
    for series in (month, week):
        with pytest.raises(ValueError, match="opens at"):
            series.close_ns(monday_ns + 3 * DAY_NS)


def test_t31_seven_days_are_offered_nowhere_and_a_week_on_futures_only() -> None:
    assert "7d" not in FUTURES_INTERVALS
    assert Interval.W1 not in SPOT_INTERVALS.values()
    assert names_of(FUTURES_INTERVALS)[Interval.W1] == "1w"


def test_t12_contracts_become_base_or_quote_where_their_size_is_known() -> None:
    linear = Instrument(GATEIO, USDM, "BTC_USDT", contract_size=Decimal("0.0001"))
    assert volumes_of(Units.LINEAR, linear, Decimal(97151), Decimal(3580)) == (
        Decimal("9.7151"), Decimal(3580), Decimal(97151)
    )  # fmt: skip
    inverse = Instrument(GATEIO, COINM, "BTC_USD", contract_size=Decimal(1))
    assert volumes_of(Units.INVERSE, inverse, Decimal(8380), Decimal("0.1")) == (
        Decimal("0.1"), Decimal(8380), Decimal(8380)
    )  # fmt: skip
    unknown = Instrument(GATEIO, USDM, "BTC_USDT")
    assert volumes_of(Units.LINEAR, unknown, Decimal(5), None) == (None, None, Decimal(5))


def test_t16_a_product_is_exact_or_refused() -> None:
    linear = Instrument(GATEIO, USDM, "A_USDT", contract_size=Decimal("0.00000000000001234567"))
    base, _, _ = volumes_of(Units.LINEAR, linear, Decimal(123456789012345678), None)
    assert base == Decimal("1524.15677640604566651426")
    with pytest.raises(ArithmeticError):
        volumes_of(Units.LINEAR, linear, Decimal("1." + "3" * 37), None)
