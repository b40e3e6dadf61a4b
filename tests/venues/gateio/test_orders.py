"""Private frames of Gate in the documented shapes; what was recorded is in `test_captures`."""

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
    Origin,
    Rejected,
    TimeInForce,
    Unit,
    Unknown,
)
from heliograph.venues.gateio.instruments import GATEIO, USDM
from heliograph.venues.gateio.orders import decode_private, encode_order, outcomes, read_private

PAIR, CONTRACT = Instrument(GATEIO, SPOT, "BTC_USDT"), Instrument(GATEIO, USDM, "BTC_USDT")
A, B = ClientId("a"), ClientId("b")


def frame(channel: str, *results: dict[str, Any]) -> bytes:
    return json.dumps({"time_ms": 1700000000000, "channel": channel, "event": "update", "result": results}).encode()


def spot(**changes: Any) -> dict[str, Any]:
    order = {"id": "7", "text": "t-a", "currency_pair": "BTC_USDT", "type": "limit", "side": "sell", "amount": "2"}
    return order | {"price": "10", "left": "2", "update_time_ms": "1694655225315.5", "finish_as": "open"} | changes


def futures(**changes: Any) -> dict[str, Any]:
    order = {"contract": "BTC_USDT", "id": 8, "size": -3, "left": -3, "price": 10, "status": "open", "text": "t-a"}
    return order | changes


def fill(**changes: Any) -> dict[str, Any]:
    told = {"id": 5, "order_id": "7", "currency_pair": "BTC_USDT", "side": "buy", "amount": "1", "price": "10"}
    return told | {"role": "maker", "fee": "0", "fee_currency": "BTC", "create_time_ms": "1694655225315.5"} | changes


def report(channel: str, result: dict[str, Any]) -> OrderReport:
    (found,) = decode_private(frame(channel, result), 3, {PAIR.id: PAIR})
    assert isinstance(found, OrderReport)
    return found


def asked(instrument: Instrument, side: Side, kind: OrderKind, unit: Unit, price: str | None = None) -> OrderRequest:
    limit = None if price is None else Decimal(price)
    return OrderRequest(instrument, side, kind, Decimal(20), unit, limit, TimeInForce.GTC, A)


@pytest.mark.parametrize(
    ("word", "left", "state"),
    [
        ("open", "2", OrderState.OPEN),
        ("open", "1", OrderState.PARTIALLY_FILLED),
        ("filled", "0", OrderState.FILLED),
        ("cancelled", "1", OrderState.CANCELED),
        ("poc", "2", OrderState.CANCELED),
        ("ioc", "2", OrderState.EXPIRED),
        ("a word of tomorrow", "2", OrderState.UNKNOWN),
    ],
)
def test_a_word_of_gates_is_a_state(word: str, left: str, state: OrderState) -> None:
    found = report("spot.orders", spot(finish_as=word, left=left))
    assert (found.state, found.venue_state, found.filled) == (state, word, 2 - Decimal(left))


@pytest.mark.parametrize(("left", "state"), [("0", OrderState.FILLED), ("1", OrderState.CANCELED)])
def test_a_frame_of_before_2023_says_only_that_an_order_ended(left: str, state: OrderState) -> None:
    order = spot(event="finish", left=left)
    del order["finish_as"]
    assert report("spot.orders", order).state is state


def test_t20_a_batch_has_an_outcome_for_each_of_its_orders() -> None:
    body = b"""[{"text":"t-a","succeeded":true,"label":"","message":"","id":"9"},
        {"text":"t-b","succeeded":false,"label":"BALANCE_NOT_ENOUGH","message":"not enough"}]"""
    taken, refused = Accepted(OrderId("9"), A), Rejected("BALANCE_NOT_ENOUGH", "not enough", B)
    assert outcomes(200, body, [A, B]) == [taken, refused]
    swapped = outcomes(200, body, [B, A])
    assert all(isinstance(outcome, Unknown) for outcome in swapped)
    assert all(isinstance(outcome, Unknown) for outcome in outcomes(200, body, [A]))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (None, b""),
        (500, b'{"label":"INVALID_PARAM_VALUE","message":"no"}'),
        (502, b"<html>"),
        (408, b""),
        (400, b'{"label":"SERVER_ERROR","message":"?"}'),
        (201, b"{"),
        (201, b"{}"),
    ],
)
def test_t21_what_proves_nothing_leaves_the_outcome_unknown(status: int | None, body: bytes) -> None:
    (outcome,) = outcomes(status, body, [A])
    assert isinstance(outcome, Unknown)
    assert outcome.client_id == A


def test_t21_a_label_is_a_refusal_and_an_id_an_acceptance() -> None:
    assert outcomes(400, b'{"label":"INVALID_KEY","message":"no"}', [A]) == [Rejected("INVALID_KEY", "no", A)]
    assert outcomes(201, b'{"id":"9","text":"t-a"}', [A]) == [Accepted(OrderId("9"), A)]


def test_t22_an_amendment_has_a_text_of_its_own_and_the_order_keeps_its_client_id() -> None:
    assert report("spot.orders", spot(finish_as="cancelled", amend_text="t-other")).client_id == A
    assert report("spot.orders", spot(text="apiv4")).client_id is None


def test_t23_what_an_ioc_order_filled_before_it_ended_counts() -> None:
    found = report("spot.orders", spot(finish_as="ioc", left="0.5"))
    assert (found.state, found.state.terminal, found.filled, found.reason) == (
        OrderState.EXPIRED,
        True,
        Decimal("1.5"),
        "ioc",
    )


def test_t23_a_fill_that_is_told_twice_counts_once() -> None:
    seen = Executions(10)
    again = fill(id="5")  # As text, as REST has it.
    assert seen.is_first(report("spot.usertrades", fill()))
    assert not seen.is_first(report("spot.usertrades", again))
    assert seen.is_first(report("spot.usertrades", fill(id=6)))


@pytest.mark.parametrize(
    ("changes", "origin"),
    [
        ({}, Origin.USER),
        ({"text": "web"}, Origin.USER),
        ({"text": "t-liquidation"}, Origin.USER),
        ({"text": "liquidation"}, Origin.LIQUIDATION),
        ({"text": "insurance"}, Origin.LIQUIDATION),
        ({"text": "-", "is_liq": True}, Origin.LIQUIDATION),
        ({"text": "auto_deleveraging"}, Origin.DELEVERAGING),
    ],
)
def test_t25_an_order_that_gate_made_is_labelled_so(changes: dict[str, Any], origin: Origin) -> None:
    assert report("futures.orders", futures(**changes)).origin is origin


def test_t26_a_market_buy_of_spot_is_sized_in_quote_and_no_other_order_is() -> None:
    words = json.loads(encode_order(asked(PAIR, Side.BUY, OrderKind.MARKET, Unit.QUOTE)))
    assert (words["amount"], words["time_in_force"], words["text"]) == ("20", "ioc", "t-a")
    assert json.loads(encode_order(asked(PAIR, Side.SELL, OrderKind.MARKET, Unit.BASE)))["side"] == "sell"
    for side, kind, unit in [
        (Side.BUY, OrderKind.MARKET, Unit.BASE),
        (Side.SELL, OrderKind.MARKET, Unit.QUOTE),
        (Side.BUY, OrderKind.LIMIT, Unit.QUOTE),
        (Side.BUY, OrderKind.LIMIT, Unit.CONTRACTS),
    ]:
        taken = "quote" if (side, kind) == (Side.BUY, OrderKind.MARKET) else "base"
        with pytest.raises(ConfigError, match=f"accepted: {taken}"):
            encode_order(asked(PAIR, side, kind, unit, "10" if kind is OrderKind.LIMIT else None))


def test_t26_what_a_market_buy_was_told_in_quote_is_not_taken_for_base() -> None:
    found = report("spot.orders", spot(type="market", side="buy", amount="50", left="20", price="0"))
    assert (found.quantity, found.price, found.filled) == (None, None, None)
    told = report("spot.orders", spot(type="market", side="buy", amount="50", left="0", filled_amount="0.1"))
    assert (told.quantity, told.filled) == (None, Decimal("0.1"))


def test_contracts_are_whole_and_signed() -> None:
    limit = json.loads(encode_order(asked(CONTRACT, Side.SELL, OrderKind.LIMIT, Unit.CONTRACTS, "10.5")))
    assert (limit["size"], limit["price"], limit["tif"]) == (-20, "10.5", "gtc")
    market = json.loads(encode_order(asked(CONTRACT, Side.BUY, OrderKind.MARKET, Unit.CONTRACTS)))
    assert (market["size"], market["price"], market["tif"]) == (20, "0", "ioc")
    half = OrderRequest(CONTRACT, Side.BUY, OrderKind.MARKET, Decimal("0.5"), Unit.CONTRACTS, None, TimeInForce.GTC, A)
    with pytest.raises(ConfigError, match="a whole number"):
        encode_order(half)
    found = report("futures.orders", futures(left=-1, finish_as="cancelled"))
    assert (found.side, found.quantity, found.filled) == (Side.SELL, 3, 2)


def test_a_client_id_that_gate_would_refuse_is_refused_here() -> None:
    order = asked(PAIR, Side.BUY, OrderKind.MARKET, Unit.QUOTE)
    long = OrderRequest(*(getattr(order, name) for name in order.__struct_fields__[:-1]), ClientId("a" * 29))
    with pytest.raises(ConfigError, match="1 to 28"):
        encode_order(long)


@pytest.mark.parametrize(
    ("changes", "fee"),
    [
        ({"fee": "0.1"}, (Decimal("0.1"), "BTC")),
        ({"fee": "-0.1"}, (Decimal("-0.1"), "BTC")),
        ({"gt_fee": "0.2"}, (Decimal("0.2"), "GT")),
        ({"point_fee": "0.3"}, (Decimal("0.3"), "POINT")),
        ({}, (Decimal(0), "BTC")),
    ],
)
def test_a_fee_is_told_in_what_it_was_paid_in(changes: dict[str, Any], fee: tuple[Decimal, str]) -> None:
    execution = report("spot.usertrades", fill(**changes)).execution
    assert execution is not None
    assert (execution.fee, execution.fee_asset) == fee
    assert (execution.maker, execution.event_ns) == (True, 1694655225315500000)


def test_a_fill_of_contracts_has_a_side_by_its_sign() -> None:
    told = {"id": "5", "order_id": "8", "contract": "BTC_USDT", "size": -2, "price": "10", "role": "taker"}
    found = report("futures.usertrades", told | {"create_time_ms": 1694655225315, "fee": 0.01, "text": "t-a"})
    assert found.execution is not None
    assert (found.side, found.execution.quantity, found.execution.fee_asset) == (Side.SELL, 2, "USDT")
    assert (found.client_id, found.instrument) == (A, CONTRACT)


def test_what_is_no_private_frame_tells_nothing_or_is_refused() -> None:
    ack = b'{"channel":"spot.orders","event":"subscribe","result":{"status":"success"}}'
    refused = b'{"header":{"status":"400","channel":"spot.order_place"},"data":{"errs":{"label":"X","message":"y"}}}'
    assert decode_private(ack, 0, {}) == decode_private(refused, 0, {}) == []
    for bad in (b"{}", frame("spot.orders", spot(amount="NaN")), frame("spot.orders", {}), b"[" * 5000):
        with pytest.raises(DecodeError, match="not a private frame of gateio"):
            decode_private(bad, 0, {})
    with pytest.raises(DecodeError, match="not known"):
        read_private("/api/v4/spot/nothing", b"[]", 0, {})


def test_an_answer_of_balances_keeps_every_digit() -> None:
    body = b'[{"currency":"usdt","available":"4.1000000000000000000001","locked":"1.1"}]'
    (found,) = read_private("/api/v4/spot/accounts", body, 3, {})
    assert found == BalanceReport("USDT", Decimal("4.1000000000000000000001"), Decimal("1.1"), None, None, 3)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["NaN", "1E+99", "-1", "0"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(st.binary(max_size=60), st.sampled_from(["spot", "futures"]), st.data())
def test_no_bytes_make_it_raise(junk: bytes, prefix: str, data: st.DataObject) -> None:
    whole = spot() if prefix == "spot" else futures()
    name = data.draw(st.sampled_from(sorted(whole)))
    changed = frame(f"{prefix}.orders", whole | {name: data.draw(VALUES)})
    for body in (junk, changed):
        try:
            decode_private(body, 0, {})
        except DecodeError:
            continue
    for status in (None, 201, 400, 503):
        assert len(outcomes(status, junk, [A, B])) == 2
