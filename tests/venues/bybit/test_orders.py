"""What Bybit says of orders, and how it is asked for one. Frames follow the documentation that `orders` names."""

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, InstrumentId, MarketId
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
from heliograph.venues.bybit.instruments import BYBIT, INVERSE, LINEAR
from heliograph.venues.bybit.orders import decode_private, encode_order, outcomes

A, B = ClientId("a"), ClientId("b")
BTC = Instrument(BYBIT, LINEAR, "BTCUSDT", "BTC", "USDT", "USDT")
KNOWN: dict[InstrumentId, Instrument] = {BTC.id: BTC}
ORDER = {
    "category": "linear", "symbol": "BTCUSDT", "orderId": "o-1", "orderLinkId": "mine", "side": "Buy",
    "orderType": "Limit", "orderStatus": "New", "qty": "3", "price": "999", "cumExecQty": "0", "updatedTime": "2",
    "marketUnit": "", "createType": "CreateByUser", "rejectReason": "EC_NoError", "cancelType": "UNKNOWN",
}  # fmt: skip
FILL = {
    "category": "linear", "symbol": "BTCUSDT", "orderId": "o-1", "orderLinkId": "mine", "side": "Buy",
    "orderType": "Limit", "orderPrice": "999", "orderQty": "3", "leavesQty": "1", "execId": "e-1",
    "execPrice": "998.5", "execQty": "0.5", "execFee": "-0.02", "feeCurrency": "USDT", "execTime": "2",
    "execType": "Trade", "isMaker": True, "createType": "CreateByUser", "marketUnit": "",
}  # fmt: skip


def frame(topic: str, *rows: dict[str, Any]) -> bytes:
    return json.dumps({"id": "1", "topic": topic, "creationTime": 3, "data": rows}).encode()


def told(topic: str, row: dict[str, Any]) -> OrderReport:
    (found,) = decode_private(frame(topic, row), 5, KNOWN)
    assert isinstance(found, OrderReport)
    return found


def order(**changes: Any) -> OrderReport:
    return told("order", ORDER | changes)


def fill(**changes: Any) -> OrderReport:
    return told("execution", FILL | changes)


def request(market: MarketId, unit: Unit, kind: OrderKind = OrderKind.MARKET, price: str | None = None) -> OrderRequest:
    instrument = Instrument(BYBIT, market, "BTCUSD" if market == INVERSE else "BTCUSDT")
    limit = None if price is None else Decimal(price)
    return OrderRequest(instrument, Side.BUY, kind, Decimal("1E+2"), unit, limit, TimeInForce.IOC, A)


def reply(code: int, message: str = "", result: object = None, verdicts: object = None, name: str = "result") -> bytes:
    extra = {} if verdicts is None else {"list": verdicts}
    return json.dumps({"retCode": code, "retMsg": message, name: result or {}, "retExtInfo": extra}).encode()


def test_an_order_is_read_field_by_field() -> None:
    assert order(orderStatus="PartiallyFilled", cumExecQty="1.5") == OrderReport(
        BTC, OrderId("o-1"), ClientId("mine"), OrderState.PARTIALLY_FILLED, "PartiallyFilled", Side.BUY, Decimal(3),
        Decimal(999), Decimal("1.5"), 2_000_000, 5,
    )  # fmt: skip


def test_a_fill_is_read_field_by_field_and_says_no_more_of_the_state_than_it_proves() -> None:
    assert fill() == OrderReport(
        BTC, OrderId("o-1"), ClientId("mine"), OrderState.PARTIALLY_FILLED, "", Side.BUY, Decimal(3), Decimal(999),
        None, 2_000_000, 5,
        execution=Execution(
            ExecutionId("e-1"), Decimal("998.5"), Decimal("0.5"), Decimal("-0.02"), "USDT", True, 2_000_000
        ),
    )  # fmt: skip
    assert fill(execQty="3", leavesQty="0").state is OrderState.FILLED
    cut = fill(leavesQty="0")  # Filled, or the rest was cancelled: it does not tell.
    assert (cut.state, cut.filled) == (OrderState.UNKNOWN, None)


def test_t17_a_symbol_of_two_markets_is_told_apart_by_its_category() -> None:
    assert order(category="spot").instrument.id == "bybit:spot:BTCUSDT"
    assert order().instrument is BTC


@pytest.mark.parametrize("state", ["Cancelled", "PartiallyFilledCanceled", "Rejected", "Deactivated"])
def test_t23_an_order_that_ended_keeps_what_was_filled(state: str) -> None:
    report = order(orderStatus=state, cumExecQty="1")
    assert report.state.terminal
    assert report.filled == 1


def test_t23_filled_may_be_told_twice_and_its_fill_counts_once() -> None:
    assert order(orderStatus="Filled", cumExecQty="3") == order(orderStatus="Filled", cumExecQty="3")
    seen = Executions(10)
    assert [seen.is_first(fill()), seen.is_first(fill()), seen.is_first(fill(execId="e-2"))] == [True, False, True]


def test_t22_a_cancellation_has_the_orders_own_client_id_and_its_reason() -> None:
    report = order(orderStatus="Cancelled", cancelType="CancelByUser")
    assert (report.client_id, report.reason) == ("mine", "CancelByUser")
    assert order(orderStatus="Rejected", rejectReason="EC_PostOnlyWillTakeLiquidity").reason == (
        "EC_PostOnlyWillTakeLiquidity"
    )


@pytest.mark.parametrize(
    ("kind", "origin"),
    [
        ("Trade", Origin.USER),
        ("BustTrade", Origin.LIQUIDATION),
        ("AdlTrade", Origin.DELEVERAGING),
        ("Settle", Origin.SETTLEMENT),
        ("Delivery", Origin.SETTLEMENT),
    ],
)
def test_t25_what_the_venue_ordered_itself_is_nobodys(kind: str, origin: Origin) -> None:
    assert fill(execType=kind).origin is origin


def test_t25_an_order_says_who_made_it() -> None:
    assert order(createType="CreateByLiq").origin is Origin.LIQUIDATION
    assert order(createType="CreateByAdl_PassThrough").origin is Origin.DELEVERAGING
    assert order(createType="CreateByStopLoss").origin is Origin.USER


def test_t25_funding_is_no_fill_and_an_execution_of_an_unknown_kind_is_refused() -> None:
    assert decode_private(frame("execution", FILL | {"execType": "Funding"}), 5, KNOWN) == []
    with pytest.raises(DecodeError, match="not documented: 'Gift'"):
        fill(execType="Gift")


@pytest.mark.parametrize(
    ("changes", "in_quote"),
    [
        ({"side": "Buy", "marketUnit": ""}, True),
        ({"side": "Sell", "marketUnit": ""}, False),
        ({"side": "Sell", "marketUnit": "quoteCoin"}, True),
        ({"side": "Buy", "marketUnit": "baseCoin"}, False),
    ],
)
def test_t26_a_quantity_in_quote_is_not_told_as_one_in_base(changes: dict[str, str], in_quote: bool) -> None:
    changes = {"category": "spot", "orderType": "Market", **changes}
    assert (order(**changes).quantity is None) is in_quote
    assert (fill(**changes).quantity is None) is in_quote


def test_the_fast_topic_tells_less() -> None:
    row = {name: FILL[name] for name in ("category", "symbol", "orderId", "side", "execId", "execPrice", "execQty")}
    report = told("execution.fast", row | {"execTime": "2", "isMaker": False, "orderLinkId": ""})
    assert (report.state, report.client_id, report.quantity) == (OrderState.UNKNOWN, None, None)
    assert report.execution is not None
    assert report.execution.fee is None


def test_balances_of_a_wallet() -> None:
    coin = {"coin": "USDT", "walletBalance": "-2.5", "locked": "0.5", "free": ""}
    assert decode_private(frame("wallet", {"accountType": "UNIFIED", "coin": [coin]}), 5, {}) == [
        BalanceReport("USDT", None, Decimal("0.5"), Decimal("-2.5"), 3_000_000, 5)
    ]


@pytest.mark.parametrize(
    "bad",
    [
        b"{}", b"[]", b"x", frame("kline.1.BTCUSDT"), frame("order", {}), frame("order", ORDER | {"qty": "NaN"}),
        frame("execution", FILL | {"execQty": "0"}), frame("order", ORDER | {"updatedTime": "1" * 14}),
    ],
)  # fmt: skip
def test_what_is_not_documented_is_refused(bad: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_private(bad, 5, {})


@pytest.mark.parametrize("quiet", [b'{"op":"pong","args":["1"]}', b'{"success":true,"op":"auth"}', frame("position")])
def test_what_tells_no_order_is_nothing(quiet: bytes) -> None:
    assert decode_private(quiet, 5, {}) == []


def test_t20_each_order_of_a_batch_has_its_own_outcome_though_the_batch_was_taken() -> None:
    placed = {"list": [{"orderId": "", "orderLinkId": ""}, {"orderId": "o-2", "orderLinkId": "b"}]}
    verdicts = [{"code": 10001, "msg": "The number of contracts exceeds"}, {"code": 0, "msg": "OK"}]
    assert outcomes(200, reply(0, "OK", placed, verdicts), [A, B]) == [
        Rejected("10001", "The number of contracts exceeds", A),
        Accepted(OrderId("o-2"), B),
    ]


@pytest.mark.parametrize("name", ["result", "data"])
def test_t20_one_order_is_taken_or_refused_with_status_200(name: str) -> None:
    taken = reply(0, "OK", {"orderId": "o-1", "orderLinkId": "a"}, name=name)
    assert outcomes(200, taken, [A]) == [Accepted(OrderId("o-1"), A)]
    assert outcomes(200, reply(110007, "ab not enough", name=name), [A]) == [Rejected("110007", "ab not enough", A)]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (None, b""),
        (502, reply(110007)),
        (200, reply(10000, "Server Timeout")),
        (200, reply(10016, "Internal System Error.")),
        (200, reply(110072, "OrderLinkedID is duplicate")),
        (200, reply(0)),
        (200, reply(0, "OK", {"list": [{"orderId": "o-1", "orderLinkId": "a"}]})),
        (200, reply(0, "OK", {"orderId": "o-1", "orderLinkId": "b"})),
        (200, b"<html>"),
    ],
)
def test_t21_without_proof_the_outcome_is_unknown(status: int | None, body: bytes) -> None:
    (found,) = outcomes(status, body, [A])
    assert isinstance(found, Unknown)
    assert found.client_id == A
    assert found.reason


@pytest.mark.parametrize(("unit", "named"), [(Unit.QUOTE, "quoteCoin"), (Unit.BASE, "baseCoin")])
def test_t26_a_market_buy_always_says_its_unit(unit: Unit, named: str) -> None:
    assert encode_order(request(SPOT, unit)) == {
        "category": "spot", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "100",
        "orderLinkId": "a", "marketUnit": named,
    }  # fmt: skip


def test_a_limit_order_has_its_price_and_its_time() -> None:
    assert encode_order(request(LINEAR, Unit.BASE, OrderKind.LIMIT, "1.50")) == {
        "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "100",
        "orderLinkId": "a", "price": "1.50", "timeInForce": "IOC",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("market", "unit", "price", "taken"),
    [
        (SPOT, Unit.CONTRACTS, None, "base, quote"),
        (SPOT, Unit.QUOTE, "1", "base"),
        (LINEAR, Unit.QUOTE, None, "base"),
        (INVERSE, Unit.BASE, None, "contracts"),
    ],
)
def test_t26_a_unit_that_is_not_taken_is_refused(market: MarketId, unit: Unit, price: str | None, taken: str) -> None:
    kind = OrderKind.MARKET if price is None else OrderKind.LIMIT
    with pytest.raises(ConfigError) as raised:
        encode_order(request(market, unit, kind, price))
    assert raised.value.accepted == tuple(taken.split(", "))


def test_a_client_id_that_the_venue_would_refuse_is_not_sent() -> None:
    wrong = OrderRequest(
        BTC, Side.SELL, OrderKind.MARKET, Decimal(1), Unit.BASE, None, TimeInForce.GTC, ClientId("a b")
    )
    with pytest.raises(ConfigError, match="not a client id of bybit"):
        encode_order(wrong)


WORDS = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["1", "-1", "NaN", "Buy"])
NAMES = sorted({*ORDER, *FILL, "list", "coin"})
ROWS = st.dictionaries(st.sampled_from(NAMES), WORDS | st.lists(WORDS, max_size=2), max_size=5)


FRAMES = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda row: frame("order", ORDER | row), ROWS),
    st.builds(lambda row: frame("execution", FILL | row), ROWS),
    st.builds(lambda row: reply(0, "", row), ROWS),
)


@given(FRAMES)
def test_no_bytes_make_it_raise(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode_private(data, 1, KNOWN)
    for status in (None, 200, 400, 500):
        assert len(outcomes(status, data, [A, B])) == 2
