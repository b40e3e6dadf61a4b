"""What is alike wherever orders are told."""

from decimal import Decimal

import pytest

from heliograph.errors import ConfigError
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.market import Side
from heliograph.model.orders import (
    Accepted,
    ClientId,
    OrderId,
    OrderKind,
    OrderRequest,
    Outcome,
    Rejected,
    TimeInForce,
    Unit,
    Unknown,
)
from heliograph.venues.faults import FAULTS
from heliograph.venues.ordering import (
    amount_of,
    check_no_bound,
    matched,
    number_of,
    of_status,
    positive_of,
    undecided,
)

A, B = ClientId("a"), ClientId("b")


@pytest.mark.parametrize("status", [None, 500, 502, 503, 504, 522])
def test_t21_no_answer_and_a_server_that_failed_prove_nothing(status: int | None) -> None:
    assert undecided(status)


@pytest.mark.parametrize("status", [200, 201, 400, 403, 429])
def test_an_answer_with_another_status_speaks_for_itself(status: int) -> None:
    assert undecided(status) is None


def test_t21_a_body_that_is_not_the_venues_is_a_no_only_where_the_status_is_one() -> None:
    assert of_status(429, [A]) == [Rejected("429", "turned away before the venue answered", A)]
    for status in (200, 302, 408, 409, 425):
        assert isinstance(of_status(status, [A])[0], Unknown)


def test_t20_outcomes_are_joined_to_orders_by_their_place_and_checked_by_their_ids() -> None:
    found: list[Outcome] = [Accepted(OrderId("1"), None), Rejected("7", "no", B)]
    assert matched([A, B], found) == [Accepted(OrderId("1"), A), Rejected("7", "no", B)]
    assert matched([A, None], found)[1] == Rejected("7", "no", B)


def test_t21_an_answer_about_other_orders_proves_nothing() -> None:
    other: list[Outcome] = [Accepted(OrderId("1"), B)]
    assert matched([A], other) == [Unknown("the answer is about another order: 'b'", A)]
    assert matched([A, B], other) == [Unknown("1 answers to 2 orders", A), Unknown("1 answers to 2 orders", B)]


def test_numbers_that_are_not_told_are_none() -> None:
    assert [number_of(""), amount_of(None), positive_of("0.00")] == [None, None, None]
    assert [number_of("-1.50"), amount_of("0.0"), positive_of("2")] == [Decimal("-1.50"), Decimal("0.0"), Decimal(2)]


@pytest.mark.parametrize("bad", ["-1", "NaN", "Infinity", "1" * 50, "x", "1E+99"])
def test_what_is_no_amount_is_refused(bad: str) -> None:
    with pytest.raises(FAULTS):
        amount_of(bad)


def test_a_bound_that_a_venue_would_pass_over_is_refused() -> None:
    btc = Instrument(VenueId("binance"), SPOT, "BTCUSDT")
    one = Decimal(1)
    check_no_bound(OrderRequest(btc, Side.BUY, OrderKind.LIMIT, one, Unit.BASE, one, TimeInForce.GTC, A))
    check_no_bound(OrderRequest(btc, Side.BUY, OrderKind.MARKET, one, Unit.BASE, None, TimeInForce.GTC, A))
    with pytest.raises(ConfigError, match="a market order at binance has no price"):
        check_no_bound(OrderRequest(btc, Side.BUY, OrderKind.MARKET, one, Unit.BASE, one, TimeInForce.GTC, A))
