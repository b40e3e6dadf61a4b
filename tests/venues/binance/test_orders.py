"""What Binance says of orders, and how it is asked for one. Frames follow the documentation that `orders` names."""

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, InstrumentId, MarketId, VenueId
from heliograph.model.market import Side
from heliograph.model.orders import (
    Accepted,
    BalanceReport,
    ClientId,
    Execution,
    ExecutionId,
    Executions,
    OrderId,
    OrderKind,
    OrderReport,
    OrderRequest,
    OrderState,
    Origin,
    Rejected,
    TimeInForce,
    Unit,
    Unknown,
)
from heliograph.venues.binance.instruments import BINANCE, COINM, USDM
from heliograph.venues.binance.orders import decode_private, encode_order, outcomes

A, B = ClientId("a"), ClientId("b")
ETH = Instrument(BINANCE, SPOT, "ETHUSDT", "ETH", "USDT")
KNOWN: dict[InstrumentId, Instrument] = {ETH.id: ETH}
REPORT = {
    "e": "executionReport", "E": 2, "s": "ETHUSDT", "c": "mine", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "2.0",
    "p": "10", "x": "NEW", "X": "NEW", "r": "NONE", "i": 9007199254740993, "l": "0", "z": "0", "L": "0", "n": "0",
    "N": None, "T": 1, "t": -1, "m": False, "C": "",
}  # fmt: skip
FILL = {"x": "TRADE", "l": "0.5", "z": "0.5", "L": "9.5", "t": 7, "n": "-0.01", "N": "BNB", "m": True}
FUTURE = {
    "s": "BTCUSDT", "c": "mine", "S": "SELL", "q": "1", "p": "0", "x": "NEW", "X": "NEW", "i": 8, "l": "0", "z": "0",
    "L": "0", "T": 1, "t": 0, "m": False,
}  # fmt: skip


def one(frame: dict[str, Any]) -> OrderReport:
    found = decode_private(json.dumps(frame).encode(), 5, KNOWN)
    assert len(found) == 1
    assert isinstance(found[0], OrderReport)
    return found[0]


def spot(**changes: Any) -> OrderReport:
    return one(REPORT | changes)


def future(**changes: Any) -> OrderReport:
    return one({"e": "ORDER_TRADE_UPDATE", "E": 2, "T": 1, "o": FUTURE | changes})


def request(market: MarketId, unit: Unit, kind: OrderKind = OrderKind.MARKET, price: str | None = None) -> OrderRequest:
    instrument = Instrument(BINANCE, market, "BTCUSD_PERP" if market == COINM else "BTCUSDT")
    limit = None if price is None else Decimal(price)
    return OrderRequest(instrument, Side.BUY, kind, Decimal("1E+2"), unit, limit, TimeInForce.IOC, A)


def test_a_report_is_read_field_by_field() -> None:
    assert spot(**FILL, X="PARTIALLY_FILLED") == OrderReport(
        ETH, OrderId("9007199254740993"), ClientId("mine"), OrderState.PARTIALLY_FILLED, "PARTIALLY_FILLED", Side.BUY,
        Decimal("2.0"), Decimal(10), Decimal("0.5"), 1_000_000, 5,
        execution=Execution(ExecutionId("7"), Decimal("9.5"), Decimal("0.5"), Decimal("-0.01"), "BNB", True, 1_000_000),
    )  # fmt: skip


def test_every_envelope_holds_the_same_report() -> None:
    bare = spot()
    assert one({"subscriptionId": 0, "event": REPORT}) == one({"stream": "key", "data": REPORT}) == bare


def test_t22_the_report_of_a_cancellation_joins_its_order_by_the_id_it_was_placed_under() -> None:
    report = spot(x="CANCELED", X="CANCELED", c="of-the-cancellation", C="mine")
    assert (report.client_id, report.state) == ("mine", OrderState.CANCELED)


def test_t23_an_order_that_ended_keeps_its_fill_and_a_fill_told_twice_counts_once() -> None:
    report = spot(**FILL, X="EXPIRED")
    assert report.state.terminal
    assert report.filled == Decimal("0.5")
    seen = Executions(10)
    assert [seen.is_first(report), seen.is_first(spot(**FILL, X="EXPIRED"))] == [True, False]


@pytest.mark.parametrize("changes", [{"t": -1}, {"t": 0}, {"L": "0"}, {"l": "0"}, {"x": "TRADE_PREVENTION"}])
def test_t23_what_cannot_be_booked_is_no_fill(changes: dict[str, Any]) -> None:
    assert spot(**FILL | changes).execution is None


@pytest.mark.parametrize(
    ("client_id", "origin"),
    [
        ("autoclose-1", Origin.LIQUIDATION),
        ("adl_autoclose", Origin.DELEVERAGING),
        ("settlement_autoclose-1", Origin.SETTLEMENT),
        ("delivery_autoclose-1", Origin.SETTLEMENT),
        ("my-autoclose-1", Origin.USER),
    ],
)
def test_t25_what_the_venue_ordered_itself_is_nobodys(client_id: str, origin: Origin) -> None:
    assert future(c=client_id).origin is origin


def test_t25_a_liquidation_is_booked_and_a_state_of_the_engine_is_labelled() -> None:
    report = future(c="autoclose-1", **FILL | {"x": "CALCULATED"}, X="FILLED")
    assert report.execution is not None
    assert future(X="NEW_ADL").origin is Origin.DELEVERAGING
    assert future(X="NEW_INSURANCE").origin is Origin.LIQUIDATION


def test_futures_are_told_apart_by_their_symbols_and_nothing_is_paid_where_nothing_is_said() -> None:
    assert future().instrument.market == USDM
    assert future(s="BTCUSDT_261225").instrument.market == USDM
    assert future(s="BTCUSD_PERP").instrument.id == "binance:coinm:BTCUSD_PERP"
    fill = future(x="TRADE", X="FILLED", l="1", L="9", t=3).execution
    assert fill is not None
    assert (fill.fee, fill.fee_asset) == (None, None)
    assert future().price is None


def test_a_state_that_nobody_documented_is_unknown_and_kept() -> None:
    report = spot(X="FROZEN")
    assert (report.state, report.venue_state) == (OrderState.UNKNOWN, "FROZEN")


def test_why_an_order_ended_is_told() -> None:
    assert spot(r="STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY").reason == "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY"
    assert spot(eR="INSUFFICIENT_LIQUIDITY").reason == "INSUFFICIENT_LIQUIDITY"


def test_balances_of_both_kinds_of_account() -> None:
    frame = {"e": "outboundAccountPosition", "E": 2, "u": 1, "B": [{"a": "ETH", "f": "1.5", "l": "0.5"}]}
    assert decode_private(json.dumps(frame).encode(), 5, {}) == [
        BalanceReport("ETH", Decimal("1.5"), Decimal("0.5"), None, 1_000_000, 5)
    ]
    frame = {"e": "ACCOUNT_UPDATE", "E": 2, "T": 1, "a": {"m": "ORDER", "B": [{"a": "USDT", "wb": "-3", "cw": "1"}]}}
    assert decode_private(json.dumps(frame).encode(), 5, {}) == [
        BalanceReport("USDT", None, None, Decimal(-3), 1_000_000, 5)
    ]


@pytest.mark.parametrize(
    "frame",
    ['{"e":"kline"}', "{}", "[]", "x", json.dumps(REPORT | {"q": "NaN"}), json.dumps(REPORT | {"T": 10**15})],
)
def test_what_is_not_documented_is_refused(frame: str) -> None:
    with pytest.raises(DecodeError):
        decode_private(frame.encode(), 5, {})


@pytest.mark.parametrize("frame", ['{"id":1,"result":null}', '{"e":"listenKeyExpired"}', '{"e":"balanceUpdate"}'])
def test_what_tells_no_order_is_nothing(frame: str) -> None:
    assert decode_private(frame.encode(), 5, {}) == []


def test_t20_each_order_of_a_batch_has_its_own_outcome() -> None:
    body = b'[{"orderId":1,"clientOrderId":"a"},{"code":-2019,"msg":"Margin is insufficient."}]'
    assert outcomes(200, body, [A, B]) == [
        Accepted(OrderId("1"), A),
        Rejected("-2019", "Margin is insufficient.", B),
    ]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (None, b""),
        (503, b'{"code":-2010,"msg":"no"}'),
        (400, b'{"code":-1007,"msg":"Timeout waiting for response from backend server."}'),
        (400, b'{"code":-1006,"msg":"An unexpected response was received from the message bus."}'),
        (400, b'{"code":-2010,"msg":"Duplicate order sent."}'),
        (200, b"{}"),
        (200, b"<html>"),
        (408, b""),
    ],
)
def test_t21_without_proof_the_outcome_is_unknown(status: int | None, body: bytes) -> None:
    (found,) = outcomes(status, body, [A])
    assert isinstance(found, Unknown)
    assert found.client_id == A
    assert found.reason


def test_a_clear_no_rejects_all_that_were_asked_for_together() -> None:
    assert outcomes(400, b'{"code":-1121,"msg":"Invalid symbol."}', [A, B]) == [
        Rejected("-1121", "Invalid symbol.", A),
        Rejected("-1121", "Invalid symbol.", B),
    ]
    assert isinstance(outcomes(418, b"<html>", [A])[0], Rejected)


def test_t26_a_market_buy_says_whether_it_is_sized_in_base_or_in_quote() -> None:
    assert encode_order(request(SPOT, Unit.QUOTE)) == {
        "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "newClientOrderId": "a", "quoteOrderQty": "100",
    }  # fmt: skip
    assert encode_order(request(SPOT, Unit.BASE))["quantity"] == "100"
    assert encode_order(request(COINM, Unit.CONTRACTS))["quantity"] == "100"


def test_a_limit_order_has_its_price_and_its_time() -> None:
    assert encode_order(request(USDM, Unit.BASE, OrderKind.LIMIT, "1.50")) == {
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "newClientOrderId": "a", "quantity": "100",
        "price": "1.50", "timeInForce": "IOC",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("market", "unit", "price", "taken"),
    [
        (SPOT, Unit.CONTRACTS, None, "base, quote"),
        (SPOT, Unit.QUOTE, "1", "base"),
        (USDM, Unit.QUOTE, None, "base"),
        (COINM, Unit.BASE, None, "contracts"),
    ],
)
def test_t26_a_unit_that_is_not_taken_is_refused(market: MarketId, unit: Unit, price: str | None, taken: str) -> None:
    kind = OrderKind.MARKET if price is None else OrderKind.LIMIT
    with pytest.raises(ConfigError) as raised:
        encode_order(request(market, unit, kind, price))
    assert raised.value.accepted == tuple(taken.split(", "))


def test_a_client_id_that_the_venue_would_refuse_is_not_sent() -> None:
    order = OrderRequest(
        Instrument(VenueId("binance"), SPOT, "BTCUSDT"), Side.SELL, OrderKind.MARKET, Decimal(1), Unit.BASE, None,
        TimeInForce.GTC, ClientId("a b"),
    )  # fmt: skip
    with pytest.raises(ConfigError, match="not a client id of binance"):
        encode_order(order)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["1", "-1", "NaN", "BUY"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*REPORT, "o", "B"]), inner),
    max_leaves=8,
)


@given(st.binary(max_size=60) | st.builds(lambda extra: json.dumps(REPORT | extra).encode(),
    st.dictionaries(st.sampled_from(list(REPORT)), JSON, max_size=4)))  # fmt: skip
def test_no_bytes_make_it_raise(frame: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode_private(frame, 1, KNOWN)
    for status in (None, 200, 400, 500):
        assert len(outcomes(status, frame, [A, B])) == 2
