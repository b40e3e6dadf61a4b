"""What OKX says of orders, and how it is asked for one. Frames follow the documentation that `orders` names."""

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
from heliograph.venues.okx.instruments import OKX, SWAP
from heliograph.venues.okx.orders import decode_answer_of, decode_private, encode_order, outcomes

A, B = ClientId("a"), ClientId("b")
BTC = Instrument(OKX, SWAP, "BTC-USDT-SWAP", "BTC", "USDT", "USDT")
KNOWN: dict[InstrumentId, Instrument] = {BTC.id: BTC}
ROW = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "ordId": "312269865356374016", "clOrdId": "mine", "tag": "",
    "px": "999", "sz": "3", "ordType": "limit", "side": "buy", "state": "live", "accFillSz": "0", "fillPx": "",
    "fillSz": "0", "fillFee": "0", "fillFeeCcy": "", "fillTime": "", "tradeId": "", "execType": "", "tgtCcy": "",
    "category": "normal", "uTime": "2", "cTime": "1", "cancelSourceReason": "",
}  # fmt: skip
FILL = {
    "fillPx": "998.5", "fillSz": "1", "fillFee": "-0.02", "fillFeeCcy": "USDT", "fillTime": "1", "tradeId": "7",
    "execType": "T", "accFillSz": "2",
}  # fmt: skip


def frame(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"arg": {"channel": "orders", "instType": "ANY", "uid": "7"}, "data": rows}).encode()


def pushed(**changes: Any) -> OrderReport:
    (found,) = decode_private(frame(ROW | changes), 5, KNOWN)
    assert isinstance(found, OrderReport)
    return found


def request(market: MarketId, unit: Unit, kind: OrderKind = OrderKind.MARKET, price: str | None = None) -> OrderRequest:
    instrument = Instrument(OKX, market, "BTC-USDT" if market == SPOT else "BTC-USDT-SWAP")
    limit = None if price is None else Decimal(price)
    return OrderRequest(instrument, Side.BUY, kind, Decimal("1E+2"), unit, limit, TimeInForce.IOC, A)


def reply(code: str, *rows: dict[str, str], msg: str = "") -> bytes:
    return json.dumps({"code": code, "msg": msg, "data": rows}).encode()


def row_of(client_id: str, code: str, order_id: str = "", why: str = "") -> dict[str, str]:
    return {"clOrdId": client_id, "ordId": order_id, "tag": "", "sCode": code, "sMsg": why}


def test_a_report_is_read_field_by_field_and_a_fee_that_is_paid_is_positive() -> None:
    assert pushed(**FILL, state="partially_filled") == OrderReport(
        BTC, OrderId("312269865356374016"), ClientId("mine"), OrderState.PARTIALLY_FILLED, "partially_filled",
        Side.BUY, Decimal(3), Decimal(999), Decimal(2), 2_000_000, 5,
        execution=Execution(
            ExecutionId("7"), Decimal("998.5"), Decimal(1), Decimal("0.02"), "USDT", False, 1_000_000
        ),
    )  # fmt: skip
    rebate = pushed(**FILL | {"fillFee": "0.01", "execType": "M"}).execution
    assert rebate is not None
    assert (rebate.fee, rebate.maker) == (Decimal("-0.01"), True)


@pytest.mark.parametrize("changes", [{"fillSz": ""}, {"fillSz": "0"}, {"tradeId": ""}, {"fillPx": ""}])
def test_a_push_without_a_fill_has_none(changes: dict[str, str]) -> None:
    assert pushed(**FILL | changes).execution is None


def test_t23_an_order_that_was_cancelled_keeps_its_fill_and_a_fill_told_twice_counts_once() -> None:
    report = pushed(**FILL, state="mmp_canceled")
    assert (report.state, report.filled) == (OrderState.CANCELED, Decimal(2))
    seen = Executions(10)
    assert [seen.is_first(report), seen.is_first(report)] == [True, False]


def test_t22_a_cancellation_has_the_orders_own_client_id() -> None:
    report = pushed(state="canceled", cancelSource="1", cancelSourceReason="Order canceled by user")
    assert (report.client_id, report.reason) == ("mine", "Order canceled by user")


@pytest.mark.parametrize(
    ("category", "origin"),
    [
        ("normal", Origin.USER),
        ("twap", Origin.USER),
        ("full_liquidation", Origin.LIQUIDATION),
        ("partial_liquidation", Origin.LIQUIDATION),
        ("adl", Origin.DELEVERAGING),
        ("delivery", Origin.SETTLEMENT),
    ],
)
def test_t25_what_the_venue_ordered_itself_is_nobodys(category: str, origin: Origin) -> None:
    assert pushed(category=category).origin is origin


def test_t25_deliveries_all_have_trade_0_and_are_apart_by_their_orders() -> None:
    seen = Executions(10)
    first, second = pushed(**FILL | {"tradeId": "0"}, ordId="1"), pushed(**FILL | {"tradeId": "0"}, ordId="2")
    assert [seen.is_first(first), seen.is_first(second), seen.is_first(first)] == [True, True, False]


def test_t26_a_quantity_in_quote_is_not_told_as_one_in_base() -> None:
    assert pushed(instId="BTC-USDT", tgtCcy="quote_ccy", sz="100").quantity is None
    assert pushed(instId="BTC-USDT", tgtCcy="base_ccy", sz="100").quantity == 100


def test_a_state_that_nobody_documented_is_unknown_and_kept() -> None:
    assert (pushed(state="frozen").state, pushed(state="frozen").venue_state) == (OrderState.UNKNOWN, "frozen")


def test_balances_of_both_channels() -> None:
    detail = {"ccy": "BTC", "availBal": "1.5", "frozenBal": "0.5", "cashBal": "2", "uTime": "1"}
    body = json.dumps({"arg": {"channel": "account"}, "data": [{"details": [detail], "uTime": "3"}]}).encode()
    assert decode_private(body, 5, {}) == [
        BalanceReport("BTC", Decimal("1.5"), Decimal("0.5"), Decimal(2), 1_000_000, 5)
    ]
    changed = {"ccy": "BTC", "cashBal": "-2", "uTime": "1"}
    body = json.dumps({"arg": {"channel": "balance_and_position"}, "data": [{"balData": [changed]}]}).encode()
    assert decode_private(body, 5, {}) == [BalanceReport("BTC", None, None, Decimal(-2), 1_000_000, 5)]


def test_a_listed_order_tells_no_fill_of_its_own() -> None:
    (report,) = decode_answer_of(reply("0", ROW | FILL), 5, KNOWN)
    assert isinstance(report, OrderReport)
    assert (report.filled, report.execution) == (Decimal(2), None)
    assert decode_answer_of(reply("0"), 5, KNOWN) == []
    with pytest.raises(DecodeError, match="Invalid signature"):
        decode_answer_of(reply("50113", msg="Invalid signature"), 5, KNOWN)


@pytest.mark.parametrize(
    "bad", [b"{}", b"[]", b"x", frame(ROW | {"sz": "NaN"}), frame(ROW | {"uTime": "1" * 15}), frame(ROW | {"px": 1})]
)
def test_what_is_not_documented_is_refused(bad: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_private(bad, 5, {})


@pytest.mark.parametrize(
    "quiet", [b"pong", b'{"event":"login","code":"0"}', b'{"arg":{"channel":"positions"},"data":[]}']
)
def test_what_tells_no_order_is_nothing(quiet: bytes) -> None:
    assert decode_private(quiet, 5, {}) == []


def test_t20_a_no_within_a_yes_is_a_no_and_each_order_has_its_own() -> None:
    refused = row_of("a", "51008", why="Insufficient balance")
    assert outcomes(200, reply("0", refused), [A]) == [Rejected("51008", "Insufficient balance", A)]
    assert outcomes(200, reply("2", refused, row_of("b", "0", "12")), [A, B]) == [
        Rejected("51008", "Insufficient balance", A),
        Accepted(OrderId("12"), B),
    ]
    assert outcomes(200, reply("1", refused, row_of("b", "51000", why="x")), [A, B])[1] == Rejected("51000", "x", B)
    assert outcomes(429, reply("50011", msg="Too Many Requests"), [A]) == [Rejected("50011", "Too Many Requests", A)]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (None, b""),
        (500, reply("51000")),
        (200, reply("50004", msg="API endpoint request timeout")),
        (200, reply("1", row_of("a", "50026", why="System error"))),
        (200, reply("1", row_of("a", "51016", why="Duplicated client order ID"))),
        (200, reply("0", row_of("a", "0"))),
        (200, reply("0", row_of("b", "0", "12"))),
        (200, reply("0")),
        (200, reply("2")),
        (200, b"<html>"),
    ],
)
def test_t21_without_proof_the_outcome_is_unknown(status: int | None, body: bytes) -> None:
    (found,) = outcomes(status, body, [A])
    assert isinstance(found, Unknown)
    assert found.client_id == A
    assert found.reason


@pytest.mark.parametrize(("unit", "named"), [(Unit.QUOTE, "quote_ccy"), (Unit.BASE, "base_ccy")])
def test_t26_a_market_buy_always_says_its_unit(unit: Unit, named: str) -> None:
    assert encode_order(request(SPOT, unit)) == {
        "instId": "BTC-USDT", "tdMode": "cash", "clOrdId": "a", "side": "buy", "ordType": "market", "sz": "100",
        "tgtCcy": named,
    }  # fmt: skip


def test_a_limit_order_of_contracts_has_its_price_and_its_time() -> None:
    assert encode_order(request(SWAP, Unit.CONTRACTS, OrderKind.LIMIT, "1.50")) == {
        "instId": "BTC-USDT-SWAP", "tdMode": "cross", "clOrdId": "a", "side": "buy", "ordType": "ioc", "sz": "100",
        "px": "1.50",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("market", "unit", "price", "taken"),
    [
        (SPOT, Unit.CONTRACTS, None, "base, quote"),
        (SPOT, Unit.QUOTE, "1", "base"),
        (SWAP, Unit.BASE, None, "contracts"),
        (SWAP, Unit.QUOTE, "1", "contracts"),
    ],
)
def test_t26_a_unit_that_is_not_taken_is_refused(market: MarketId, unit: Unit, price: str | None, taken: str) -> None:
    kind = OrderKind.MARKET if price is None else OrderKind.LIMIT
    with pytest.raises(ConfigError) as raised:
        encode_order(request(market, unit, kind, price))
    assert raised.value.accepted == tuple(taken.split(", "))


def test_a_client_id_that_the_venue_would_refuse_is_not_sent() -> None:
    order = OrderRequest(
        BTC, Side.SELL, OrderKind.MARKET, Decimal(1), Unit.CONTRACTS, None, TimeInForce.GTC, ClientId("a-b")
    )
    with pytest.raises(ConfigError, match="not a client id of okx"):
        encode_order(order)


WORDS = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["1", "-1", "NaN", "orders"])
ROWS = st.dictionaries(st.sampled_from([*ROW, "sCode", "details"]), WORDS | st.lists(WORDS, max_size=2), max_size=5)


@given(st.binary(max_size=60) | st.builds(lambda extra: frame(ROW | extra), ROWS)
    | st.builds(lambda row: reply("0", row), ROWS))  # fmt: skip
def test_no_bytes_make_it_raise(data: bytes) -> None:
    for decode in (decode_private, decode_answer_of):
        with contextlib.suppress(DecodeError):
            decode(data, 1, KNOWN)
    for status in (None, 200, 400, 500):
        assert len(outcomes(status, data, [A, B])) == 2
