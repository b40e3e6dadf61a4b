"""Private frames of Luno in the documented shapes: nobody has published a recorded one."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument
from heliograph.model.market import Side
from heliograph.model.orders import (
    Accepted,
    BalanceReport,
    ClientId,
    Executions,
    OrderId,
    OrderKind,
    OrderReport,
    OrderRequest,
    OrderState,
    Rejected,
    TimeInForce,
    Unit,
    Unknown,
)
from heliograph.venues.luno.instruments import LUNO
from heliograph.venues.luno.orders import decode_private, encode_order, outcomes, read_order

PAIR = Instrument(LUNO, SPOT, "XBTZAR", "BTC", "ZAR")
A, B = ClientId("a"), ClientId("b")


def frame(kind: str, name: str, update: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "timestamp": 1469031991, name: update}).encode()


def status(word: str) -> bytes:
    update = {"order_id": "BX1", "client_order_id": "a", "market_id": "XBTZAR", "status": word}
    return frame("order_status", "order_status_update", update)


def fill(**changes: Any) -> bytes:
    update = {"order_id": "BX1", "client_order_id": "a", "market_id": "XBTZAR", "base_fill": "1.00000000"}
    update |= {"base_delta": "0.40", "counter_delta": "40.00", "base_fee_delta": "0.0004", "counter_fee_delta": "0"}
    return frame("order_fill", "order_fill_update", update | changes)


def order(**changes: Any) -> bytes:
    told = {"order_id": "BX1", "pair": "XBTZAR", "type": "BID", "state": "COMPLETE", "base": "0.4"}
    told |= {"limit_volume": "1.0", "limit_price": "100", "creation_timestamp": 1700000000000}
    return json.dumps(told | {"completed_timestamp": 1700000000001} | changes).encode()


def report(told: bytes) -> OrderReport:
    (found,) = decode_private(told, 3, {PAIR.id: PAIR})
    assert isinstance(found, OrderReport)
    return found


def asked(side: Side, kind: OrderKind, unit: Unit, price: str | None = None, name: str = "a") -> OrderRequest:
    limit = None if price is None else Decimal(price)
    return OrderRequest(PAIR, side, kind, Decimal("1.20"), unit, limit, TimeInForce.IOC, ClientId(name))


@pytest.mark.parametrize(
    ("word", "state"),
    [("AWAITING", OrderState.OPEN), ("PENDING", OrderState.OPEN), ("COMPLETE", OrderState.UNKNOWN)],
)
def test_the_stream_says_that_an_order_is_complete_and_not_how(word: str, state: OrderState) -> None:
    found = report(status(word))
    assert (found.state, found.venue_state, found.side, found.client_id, found.event_ns) == (state, word, None, A, None)


def test_t20_a_request_for_several_orders_is_not_lunos() -> None:
    assert outcomes(200, b'{"order_id":"BX1"}', [A]) == [Accepted(OrderId("BX1"), A)]
    assert all(isinstance(each, Unknown) for each in outcomes(200, b'{"order_id":"BX1"}', [A, B]))


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (None, b""),
        (500, b'{"error":"no","error_code":"ErrInsufficientBalance"}'),
        (200, b"{}"),
        (408, b""),
        (400, b'{"error":"?","error_code":"ErrInternal"}'),
        (400, b'{"error":"?","error_code":"ErrDeadlineExceeded"}'),
        (400, b'{"error":"there is one","error_code":"ErrDuplicateClientOrderID"}'),
    ],
)
def test_t21_what_proves_nothing_leaves_the_outcome_unknown(code: int | None, body: bytes) -> None:
    (outcome,) = outcomes(code, body, [A])
    assert isinstance(outcome, Unknown)
    assert outcome.client_id == A


def test_t21_a_code_is_a_refusal_and_so_is_being_asked_too_often() -> None:
    body = b'{"error":"no","error_code":"ErrInsufficientBalance"}'
    assert outcomes(400, body, [A]) == [Rejected("ErrInsufficientBalance", "no", A)]
    (outcome,) = outcomes(429, b"slow down", [A])
    assert isinstance(outcome, Rejected)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, OrderState.CANCELED),
        ({"base": "1.00"}, OrderState.FILLED),
        ({"state": "PENDING"}, OrderState.PARTIALLY_FILLED),
        ({"state": "PENDING", "base": "0"}, OrderState.OPEN),
        ({"limit_volume": "0", "limit_price": "0", "type": "BUY"}, OrderState.FILLED),
    ],
)
def test_t23_a_complete_order_was_filled_or_cancelled_with_what_it_filled(
    changes: dict[str, Any], state: OrderState
) -> None:
    found = read_order(order(**changes), 3, {PAIR.id: PAIR})
    assert (found.state, found.filled, found.side) == (state, Decimal(changes.get("base", "0.4")), Side.BUY)
    assert found.event_ns == 1700000000001000000


def test_t23_a_fill_that_a_reconnect_repeats_counts_once() -> None:
    seen = Executions(10)
    assert seen.is_first(report(fill()))
    assert not seen.is_first(report(fill(base_fill="1.0")))
    assert seen.is_first(report(fill(base_fill="1.4")))
    assert seen.is_first(report(fill(order_id="BX2")))


def test_t23_a_fill_says_what_it_added_and_cost() -> None:
    found = report(fill())
    assert found.execution is not None
    assert (found.filled, found.execution.quantity, found.execution.price) == (1, Decimal("0.4"), 100)
    assert (found.execution.fee, found.execution.fee_asset) == (Decimal("0.0004"), "BTC")
    counter = report(fill(base_fee_delta="0", counter_fee_delta="0.04")).execution
    assert counter is not None
    assert (counter.fee, counter.fee_asset) == (Decimal("0.04"), "ZAR")


def test_fees_in_two_assets_are_not_told_as_one() -> None:
    found = report(fill(counter_fee_delta="0.04"))
    assert found.execution is not None
    assert (found.execution.fee, found.execution.fee_asset) == (None, None)
    assert found.reason == "paid 0.0004 of the base and 0.04 of the counter"


def test_t26_a_market_buy_is_sized_in_counter_and_no_other_order_is() -> None:
    buy = encode_order(asked(Side.BUY, OrderKind.MARKET, Unit.QUOTE))
    assert buy == {"pair": "XBTZAR", "client_order_id": "a", "type": "BUY", "counter_volume": "1.20"}
    sell = encode_order(asked(Side.SELL, OrderKind.MARKET, Unit.BASE))
    assert (sell["type"], sell["base_volume"]) == ("SELL", "1.20")
    limit = encode_order(asked(Side.SELL, OrderKind.LIMIT, Unit.BASE, "7"))
    assert (limit["type"], limit["volume"], limit["price"], limit["time_in_force"]) == ("ASK", "1.20", "7", "IOC")
    for side, kind, unit, taken in [
        (Side.BUY, OrderKind.MARKET, Unit.BASE, "quote"),
        (Side.SELL, OrderKind.MARKET, Unit.QUOTE, "base"),
        (Side.BUY, OrderKind.LIMIT, Unit.QUOTE, "base"),
        (Side.BUY, OrderKind.LIMIT, Unit.CONTRACTS, "base"),
    ]:
        with pytest.raises(ConfigError, match=f"accepted: {taken}"):
            encode_order(asked(side, kind, unit, "7" if kind is OrderKind.LIMIT else None))


def test_a_bound_or_a_name_that_luno_would_not_take_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no price"):
        encode_order(asked(Side.BUY, OrderKind.MARKET, Unit.QUOTE, "7"))
    with pytest.raises(ConfigError, match="1 to 255"):
        encode_order(asked(Side.BUY, OrderKind.MARKET, Unit.QUOTE, name="a b"))


def test_a_balance_is_of_its_accounts_asset() -> None:
    told = {"account_id": 8203463422864003664, "row_index": 1, "balance": "100.00", "available": "99.00"}
    update = frame("balance_update", "balance_update", told)
    assert decode_private(update, 3, {}, {8203463422864003664: "BTC"}) == [
        BalanceReport("BTC", Decimal("99.00"), Decimal("1.00"), Decimal("100.00"), None, 3)
    ]
    with pytest.raises(DecodeError, match="whose asset is not known"):
        decode_private(update, 3, {})


def test_a_sign_of_life_tells_nothing_and_what_is_no_frame_is_refused() -> None:
    assert decode_private(b'""', 0, {}) == decode_private(b"", 0, {}) == []
    for bad in (b"{}", b'{"type":"order_fill"}', fill(base_delta="0"), fill(base_fill="NaN"), status("GONE")):
        with pytest.raises(DecodeError, match="not a private frame of luno"):
            decode_private(bad, 0, {})
    with pytest.raises(DecodeError, match="not an order of luno"):
        read_order(b"[]", 0, {})


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["NaN", "1E+37", "-1"])
NAMES = ["base_fill", "base_delta", "counter_delta", "base_fee_delta", "order_id", "market_id"]


@given(st.binary(max_size=60), st.sampled_from(NAMES), VALUES)
def test_no_bytes_make_it_raise(junk: bytes, name: str, value: object) -> None:
    for body in (junk, fill(**{name: value})):
        try:
            decode_private(body, 0, {})
        except DecodeError:
            continue
    for code in (None, 200, 400, 503):
        assert len(outcomes(code, junk, [A, B])) == 2
