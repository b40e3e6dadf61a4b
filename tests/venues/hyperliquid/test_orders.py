"""Private frames of Hyperliquid in the documented shapes; what was recorded is in `test_captures`."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import Instrument
from heliograph.model.market import Side
from heliograph.model.orders import (
    Accepted,
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
from heliograph.venues.hyperliquid.instruments import HYPERLIQUID, USDM
from heliograph.venues.hyperliquid.orders import Replacing, decode_private, encode_order, outcomes, read_private

BTC = Instrument(HYPERLIQUID, USDM, "BTC")
A, B = ClientId("0x" + "a" * 32), ClientId("0x" + "b" * 32)


def order(status: str = "open", **changes: Any) -> dict[str, Any]:
    told = {"coin": "BTC", "side": "A", "limitPx": "100.0", "sz": "2", "origSz": "2", "oid": 1, "cloid": A}
    return {
        "order": told | {"timestamp": 1700000000000} | changes,
        "status": status,
        "statusTimestamp": 1700000000001,
    }


def fill(**changes: Any) -> dict[str, Any]:
    told = {"coin": "BTC", "px": "100.0", "sz": "1", "side": "B", "time": 1700000000000, "startPosition": "0.0"}
    told |= {"dir": "Open Long", "hash": "0xab", "oid": 1, "crossed": True, "fee": "0.01", "tid": 5}
    return told | {"feeToken": "USDC"} | changes


def updates(*orders: dict[str, Any]) -> bytes:
    return json.dumps({"channel": "orderUpdates", "data": orders}).encode()


def fills(*told: dict[str, Any], snapshot: bool = False) -> bytes:
    data = {"isSnapshot": snapshot, "user": "0x0", "fills": told}
    return json.dumps({"channel": "userFills", "data": data}).encode()


def read(frame: bytes, replacing: Replacing | None = None) -> list[OrderReport]:
    reports = decode_private(frame, 3, {BTC.id: BTC}, replacing)
    return [report for report in reports if isinstance(report, OrderReport)]


def statuses(*told: object) -> bytes:
    return json.dumps({"status": "ok", "response": {"type": "order", "data": {"statuses": told}}}).encode()


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("open", OrderState.OPEN),
        ("triggered", OrderState.OPEN),
        ("filled", OrderState.FILLED),
        ("canceled", OrderState.CANCELED),
        ("scheduledCancel", OrderState.CANCELED),
        ("marginCanceled", OrderState.CANCELED),
        ("rejected", OrderState.REJECTED),
        ("badAloPxRejected", OrderState.REJECTED),
        ("a word of tomorrow", OrderState.UNKNOWN),
    ],
)
def test_a_word_of_the_venues_is_a_state_by_how_it_ends(word: str, state: OrderState) -> None:
    (found,) = read(updates(order(word)))
    assert (found.state, found.venue_state, found.side, found.event_ns) == (state, word, Side.SELL, 1700000000001000000)
    assert found.reason == (word if word in ("marginCanceled", "badAloPxRejected") else None)


def test_t20_each_order_of_a_batch_has_its_own_outcome() -> None:
    body = statuses({"resting": {"oid": 7}}, {"error": "too small"}, {"filled": {"oid": 8}}, "waitingForTrigger")
    assert outcomes(200, body, [A, B, None, A]) == [
        Accepted(OrderId("7"), A),
        Rejected("error", "too small", B),
        Accepted(OrderId("8"), None),
        Accepted(None, A),
    ]
    assert outcomes(200, b'{"status":"err","response":"no such wallet"}', [A, B]) == [
        Rejected("err", "no such wallet", A),
        Rejected("err", "no such wallet", B),
    ]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (None, b""),
        (503, b'{"status":"err","response":"no"}'),
        (200, b"<html>"),
        (200, b'{"status":"err","response":"Invalid nonce: duplicate nonce"}'),
        (200, b'{"status":"ok","response":"?"}'),
        (200, statuses()),
        (200, statuses({})),
        (200, statuses("a word of tomorrow")),
        (200, statuses({"error": "one"}, {"error": "two"})),
    ],
)
def test_t21_what_proves_nothing_leaves_the_outcome_unknown(status: int | None, body: bytes) -> None:
    (outcome,) = outcomes(status, body, [A])
    assert isinstance(outcome, Unknown)
    assert outcome.client_id == A


def test_t21_what_could_not_be_read_is_not_at_work() -> None:
    said = "Failed to deserialize the JSON body into the target type"
    assert outcomes(422, said.encode(), [A]) == [Rejected("422", said, A)]


def test_t23_a_cancelled_order_keeps_what_it_filled() -> None:
    (found,) = read(updates(order("canceled", sz="0.5")))
    assert (found.state, found.filled, found.quantity) == (OrderState.CANCELED, Decimal("1.5"), 2)


def test_t23_fills_that_a_first_frame_repeats_count_once() -> None:
    seen = Executions(10)
    first, again = read(fills(fill())), read(fills(fill(), fill(tid=6), snapshot=True))
    assert [seen.is_first(report) for report in first + again] == [True, False, True]


def test_t23_fills_without_a_number_are_told_apart_by_the_position_that_they_began_with() -> None:
    seen = Executions(10)
    told = read(fills(fill(tid=0), fill(tid=0, startPosition="1.0"), fill(tid=0)))
    assert [seen.is_first(report) for report in told] == [True, True, False]


def test_t24_a_modification_is_a_new_order_that_knows_which_it_replaced() -> None:
    old, new = order("canceled", oid=1), order("open", oid=2)
    without = read(updates(old, new))
    assert [report.replaces for report in without] == [None, None]
    known = read(updates(old, new), {A: OrderId("1")})
    assert [(report.order_id, report.replaces, report.client_id) for report in known] == [
        ("1", None, A),
        ("2", "1", A),
    ]


@pytest.mark.parametrize(
    ("direction", "origin"),
    [
        ("Open Long", Origin.USER),
        ("Liquidated Cross Long", Origin.LIQUIDATION),
        ("Auto-Deleveraging", Origin.DELEVERAGING),
        ("Settlement", Origin.SETTLEMENT),
        ("Spot Dust Conversion", Origin.SETTLEMENT),
    ],
)
def test_t25_a_fill_that_the_venue_made_is_labelled_so(direction: str, origin: Origin) -> None:
    (found,) = read(fills(fill(dir=direction)))
    assert found.origin is origin


def asked(
    unit: Unit = Unit.BASE, kind: OrderKind = OrderKind.LIMIT, price: str | None = "100.50", tif: str = "gtc"
) -> OrderRequest:
    limit = None if price is None else Decimal(price)
    return OrderRequest(BTC, Side.BUY, kind, Decimal("1.20"), unit, limit, TimeInForce(tif), A)


def test_t26_sizes_are_base_and_a_market_order_has_a_bound() -> None:
    limit = b'{"a":3,"b":true,"p":"100.5","s":"1.2","r":false,"t":{"limit":{"tif":"Gtc"}},"c":"' + A.encode() + b'"}'
    assert encode_order(asked(), 3) == limit
    assert encode_order(asked(kind=OrderKind.MARKET), 3) == limit.replace(b"Gtc", b"Ioc")
    for unit in (Unit.QUOTE, Unit.CONTRACTS):
        with pytest.raises(ConfigError, match="accepted: base"):
            encode_order(asked(unit), 3)
    with pytest.raises(ConfigError, match="the worst price"):
        encode_order(asked(kind=OrderKind.MARKET, price=None), 3)


@pytest.mark.parametrize("price", ["123456", "12345.0", "0.00012345", "100.50"])
def test_a_price_has_five_figures_or_is_whole(price: str) -> None:
    assert Decimal(json.loads(encode_order(asked(price=price), 3))["p"]) == Decimal(price)


@pytest.mark.parametrize("price", ["12345.6", "1.00001", "0.000123456", "1.0000000000000000000000000000000001"])
def test_a_price_of_more_figures_is_refused(price: str) -> None:
    with pytest.raises(ConfigError, match="5 significant figures"):
        encode_order(asked(price=price), 3)


def test_what_the_venue_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="accepted: gtc, ioc"):
        encode_order(asked(tif="fok"), 3)
    with pytest.raises(ConfigError, match="32 hex digits"):
        encode_order(OrderRequest(BTC, Side.BUY, OrderKind.LIMIT, Decimal(1), Unit.BASE, Decimal(1),
                                  TimeInForce.GTC, ClientId("mine")), 3)  # fmt: skip


def test_other_frames_tell_nothing_and_what_is_no_frame_is_refused() -> None:
    for frame in (b"Websocket connection established.", b'{"channel":"pong"}', b'{"channel":"webData2","data":{}}',
                  b'{"channel":"user","data":{"funding":{}}}'):  # fmt: skip
        assert decode_private(frame, 0, {}) == []
    for bad in (b"{}", updates({}), updates(order(coin="a b")), fills(fill(px="NaN")), updates(order(sz="3"))):
        with pytest.raises(DecodeError, match="not a private frame of hyperliquid"):
            decode_private(bad, 0, {})
    with pytest.raises(DecodeError, match="not known"):
        read_private("meta", b"{}", 0, {})


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["NaN", "1E+99", "-1"])


@given(st.binary(max_size=60), st.data())
def test_no_bytes_make_it_raise(junk: bytes, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(fill())))
    for body in (junk, fills(fill(**{name: data.draw(VALUES)}))):
        try:
            decode_private(body, 0, {})
        except DecodeError:
            continue
    for status in (None, 200, 422, 503):
        assert len(outcomes(status, junk, [A, B])) == 2
