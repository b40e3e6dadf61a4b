"""Orders, and what is said of them."""

from decimal import Decimal

import msgspec
import pytest

from heliograph.errors import ConfigError
from heliograph.model.instrument import SPOT, Instrument, MarketId, VenueId
from heliograph.model.market import Side
from heliograph.model.orders import (
    Accepted,
    ClientId,
    Execution,
    ExecutionId,
    Executions,
    OrderId,
    OrderKind,
    OrderReport,
    OrderRequest,
    OrderState,
    Outcome,
    Rejected,
    TimeInForce,
    Unit,
    Unknown,
    all_rejected,
    all_unknown,
    instrument_among,
    refuse_unit,
)

VENUE = VenueId("okx")
BTC = Instrument(VENUE, SPOT, "BTC-USDT", "BTC", "USDT")
ETH = Instrument(VENUE, SPOT, "ETH-USDT")
ONE = Decimal(1)
MINE = ClientId("mine")


def request(quantity: str = "1", price: str | None = "2", kind: OrderKind = OrderKind.LIMIT) -> OrderRequest:
    limit = None if price is None else Decimal(price)
    return OrderRequest(BTC, Side.BUY, kind, Decimal(quantity), Unit.BASE, limit, TimeInForce.GTC, MINE)


def report(execution_id: str | None, instrument: Instrument = BTC) -> OrderReport:
    fill = None if execution_id is None else Execution(ExecutionId(execution_id), ONE, ONE, None, None, None, 1)
    return OrderReport(
        instrument, OrderId("1"), None, OrderState.FILLED, "filled", Side.BUY, ONE, ONE, ONE, 1, 2, execution=fill
    )


@pytest.mark.parametrize("state", OrderState)
def test_what_may_still_trade_is_not_terminal(state: OrderState) -> None:
    assert state.terminal is (state not in (OrderState.OPEN, OrderState.PARTIALLY_FILLED, OrderState.UNKNOWN))


@pytest.mark.parametrize("bad", ["0", "-5", "NaN", "sNaN", "Infinity", "1E+60"])
def test_an_order_of_nonsense_cannot_be_made(bad: str) -> None:
    with pytest.raises(ConfigError, match=r"the quantity of an order is .*positive number"):
        request(bad)
    with pytest.raises(ConfigError, match=r"the price of an order is .*positive number"):
        request("1", bad)


def test_a_limit_order_needs_a_price_and_a_market_order_does_not() -> None:
    with pytest.raises(ConfigError, match="needs a price"):
        request(price=None)
    assert request(price=None, kind=OrderKind.MARKET).price is None


def test_t26_a_unit_that_a_venue_cannot_take_is_refused_with_those_that_it_takes() -> None:
    with pytest.raises(ConfigError) as raised:
        refuse_unit(request(), Unit.QUOTE, Unit.CONTRACTS)
    assert str(raised.value) == "a limit buy of okx:spot:BTC-USDT is not sized in base; accepted: quote, contracts"


def test_t23_a_fill_that_is_told_twice_counts_once() -> None:
    seen = Executions(2)
    assert seen.is_first(report("1"))
    assert not seen.is_first(report("1"))
    assert seen.is_first(report("1", ETH))
    assert not seen.is_first(report(None))


def test_fills_are_remembered_within_a_bound_the_oldest_forgotten_first() -> None:
    seen = Executions(2)
    assert [seen.is_first(report(number)) for number in ("1", "2", "3", "2", "1")] == [True, True, True, False, True]


def test_an_instrument_that_nobody_listed_is_known_by_its_symbol() -> None:
    known = {BTC.id: BTC}
    assert instrument_among(known, VENUE, SPOT, "BTC-USDT") is BTC
    assert instrument_among(known, VENUE, MarketId("swap"), "BTC-USDT") == Instrument(
        VENUE, MarketId("swap"), "BTC-USDT"
    )


def test_t20_t21_outcomes_are_told_apart_on_the_wire_and_each_order_has_its_own() -> None:
    outcomes = [Accepted(OrderId("1"), MINE), *all_rejected("7", "no", [MINE]), *all_unknown("cut", [MINE, None])]
    assert outcomes[1:] == [Rejected("7", "no", MINE), Unknown("cut", MINE), Unknown("cut", None)]
    for outcome in outcomes:
        assert msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome) == outcome
