"""What OKX says of orders and balances, and how it is asked for an order.

Sources: "Order channel", "Place order" and "Place multiple orders" of
https://www.okx.com/docs-v5/en/#order-book-trading-trade , "Account channel" and "Balance and position channel" of
https://www.okx.com/docs-v5/en/#trading-account-websocket and https://www.okx.com/docs-v5/en/#error-code .

Algo orders are told by the orders that they lead to. The channel `fills`, which repeats `orders`, is passed over.
An asset's total is its cash: what isolated positions hold is not in it.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.errors import ConfigError
from heliograph.model.instrument import SPOT, Instrument, InstrumentId, MarketId
from heliograph.model.market import Side
from heliograph.model.numbers import fixed
from heliograph.model.orders import (
    Accepted,
    BalanceReport,
    ClientId,
    Execution,
    ExecutionId,
    OrderId,
    OrderKind,
    OrderReport,
    OrderRequest,
    OrderState,
    Origin,
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
from heliograph.venues.answering import reading
from heliograph.venues.faults import FAULTS, REASON_MAX
from heliograph.venues.fields import NOTHING, Ms
from heliograph.venues.okx.control import EVENTS, OPERATIONS, is_silent
from heliograph.venues.okx.frames import RawArg, decode_answer, decode_any
from heliograph.venues.okx.instruments import OKX, market_of_symbol
from heliograph.venues.ordering import amount_of, check_no_bound, matched, number_of, of_status, positive_of, undecided

_STATES: Final = {
    "live": OrderState.OPEN,
    "partially_filled": OrderState.PARTIALLY_FILLED,
    "filled": OrderState.FILLED,
    "canceled": OrderState.CANCELED,
    "mmp_canceled": OrderState.CANCELED,
}
_ORIGINS: Final = {
    "full_liquidation": Origin.LIQUIDATION,
    "partial_liquidation": Origin.LIQUIDATION,
    "adl": Origin.DELEVERAGING,
    "delivery": Origin.SETTLEMENT,
}
_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}
_MAKER: Final = {"M": True, "T": False}
_UNDECIDED: Final = frozenset({"50001", "50004", "50005", "50013", "50026", "51016", "51149", "63999"})
"""Away, timed out, offline, busy, the system's own faults, and a client id that an order has already (51016)."""
_CLIENT_ID: Final = re.compile("[A-Za-z0-9]{1,32}")


class RawOrder(msgspec.Struct, rename="camel"):
    """An order, pushed or of an answer; `""` where nothing is said. What was filled last has `fillSz` above zero.

    Fees are negative where they are paid. `sz` of a market order on spot is in quote where `tgtCcy` says so.
    """

    inst_id: str
    ord_id: str
    state: str
    side: Literal["buy", "sell"]
    sz: str
    px: str
    acc_fill_sz: str
    u_time: Ms
    cl_ord_id: str = ""
    tgt_ccy: str = ""
    category: str = "normal"
    trade_id: str = ""
    fill_px: str = ""
    fill_sz: str = ""
    fill_fee: str = ""
    fill_fee_ccy: str = ""
    fill_time: str = ""
    exec_type: str = ""
    cancel_source_reason: str = ""


class RawOrders(msgspec.Struct):
    """A frame of `orders`."""

    data: list[RawOrder]


class RawDetail(msgspec.Struct, rename="camel"):
    """One asset of an account; only `cashBal` is told by every channel."""

    ccy: str
    cash_bal: str
    u_time: Ms
    avail_bal: str = ""
    frozen_bal: str = ""


class RawAccount(msgspec.Struct, rename="camel"):
    """An account, by either of the two channels that tell one."""

    details: list[RawDetail] = []
    bal_data: list[RawDetail] = []


class RawAccounts(msgspec.Struct):
    """A frame of `account` or `balance_and_position`."""

    data: list[RawAccount]


class RawTraits(msgspec.Struct, rename="camel"):
    """The fields by which a row of an answer tells what it is; an algo order has no `accFillSz`."""

    acc_fill_sz: str | None = None
    details: msgspec.Raw = NOTHING


class RawPlaced(msgspec.Struct, rename="camel"):
    """What became of one order."""

    s_code: str
    ord_id: str = ""
    cl_ord_id: str = ""
    s_msg: str = ""


_decode_orders: Final = msgspec.json.Decoder(RawOrders, strict=False).decode
_decode_accounts: Final = msgspec.json.Decoder(RawAccounts, strict=False).decode
_decode_traits: Final = msgspec.json.Decoder(list[RawTraits]).decode
_decode_placed: Final = msgspec.json.Decoder(list[RawPlaced]).decode


def decode_private(
    frame: bytes, received_ns: int, instruments: Mapping[InstrumentId, Instrument]
) -> list[OrderReport | BalanceReport]:
    """Read a frame of a private channel; what is documented and tells neither orders nor balances is none.

    Raises:
        DecodeError: the frame is not what is documented.

    """
    with reading("a private frame of okx"):
        if frame == b"pong":
            return []
        raw = decode_any(frame)
        if raw.event in EVENTS or raw.event in ("error", "notice") or raw.op in OPERATIONS:
            return []
        channel = (raw.arg or RawArg("")).channel
        if channel == "orders" and raw.data:
            return _orders(frame, received_ns, instruments)
        if channel in ("account", "balance_and_position") and raw.data:
            return _balances(frame, received_ns)
        if is_silent(channel):
            return []
        raise ValueError(f"not a frame of a private channel: {channel[:50]!r}")


def decode_answer_of(
    body: bytes, received_ns: int, instruments: Mapping[InstrumentId, Instrument]
) -> list[OrderReport | BalanceReport]:
    """Read an answer of REST that lists orders or the account's balances; algo orders tell nothing.

    A listed order tells what was filled in all, and not its fills: those have an endpoint of their own.

    Raises:
        DecodeError: the answer is not what is documented, or a refusal.

    """
    with reading("an answer of okx"):
        answer = decode_answer(body)
        if answer.code != "0":
            raise ValueError(f"{answer.msg[:REASON_MAX] or 'refused'} (code {answer.code})")
        rows = _decode_traits(answer.data)
        if any(row.details for row in rows):
            return _balances(body, received_ns)
        if all(row.acc_fill_sz is not None for row in rows):
            found = _orders(body, received_ns, instruments)
            return [msgspec.structs.replace(report, execution=None) for report in found]
        return []


def _orders(
    data: bytes, received_ns: int, instruments: Mapping[InstrumentId, Instrument]
) -> list[OrderReport | BalanceReport]:
    return [_to_report(raw, received_ns, instruments) for raw in _decode_orders(data).data]


def _to_report(raw: RawOrder, received_ns: int, instruments: Mapping[InstrumentId, Instrument]) -> OrderReport:
    market = market_of_symbol(raw.inst_id)
    if market is None:
        raise ValueError(f"not a symbol of okx: {raw.inst_id[:50]!r}")
    return OrderReport(
        instrument_among(instruments, OKX, market, raw.inst_id),
        OrderId(raw.ord_id),
        ClientId(raw.cl_ord_id) if raw.cl_ord_id else None,
        _STATES.get(raw.state, OrderState.UNKNOWN),
        raw.state,
        _SIDES[raw.side],
        None if raw.tgt_ccy == "quote_ccy" else amount_of(raw.sz),
        number_of(raw.px),
        amount_of(raw.acc_fill_sz),
        raw.u_time * NS_PER_MS,
        received_ns,
        _ORIGINS.get(raw.category, Origin.USER),
        execution=_execution(raw),
        reason=raw.cancel_source_reason[:REASON_MAX] or None,
    )


def _execution(raw: RawOrder) -> Execution | None:
    quantity, price, fee = positive_of(raw.fill_sz), number_of(raw.fill_px), number_of(raw.fill_fee)
    if quantity is None or price is None or not raw.trade_id:
        return None
    # Deliveries all have trade 0: only with their order's id are they apart.
    number = f"{raw.ord_id}:0" if raw.trade_id == "0" else raw.trade_id
    return Execution(
        ExecutionId(number),
        price,
        quantity,
        None if fee is None else _paid(fee),
        raw.fill_fee_ccy or None,
        _MAKER.get(raw.exec_type),
        _ms(raw.fill_time),
    )


def _paid(fee: Decimal) -> Decimal:
    """Turn the venue's sign, as what is paid is positive in ours."""
    return fee.copy_negate() if fee else fee


def _ms(text: str) -> int | None:
    return msgspec.convert(text, Ms, strict=False) * NS_PER_MS if text else None


def _balances(data: bytes, received_ns: int) -> list[OrderReport | BalanceReport]:
    return [
        BalanceReport(
            raw.ccy,
            number_of(raw.avail_bal),
            amount_of(raw.frozen_bal),
            number_of(raw.cash_bal),
            raw.u_time * NS_PER_MS,
            received_ns,
        )
        for account in _decode_accounts(data).data
        for raw in (*account.details, *account.bal_data)
    ]


def outcomes(status: int | None, body: bytes, client_ids: Sequence[ClientId | None]) -> list[Outcome]:
    """Read the answer to one order, or to a batch: one outcome for each, in the order in which they were asked for.

    The envelope's code says only whether all, some or none went well; each order's own is in its row.

    Args:
        status: HTTP's, 200 for the reply on a socket; None where no answer came.
        body: the answer.
        client_ids: of the orders.

    """
    reason = undecided(status)
    if status is None or reason is not None:
        return all_unknown(reason or "", client_ids)
    try:
        answer = decode_answer(body)
        rows = _decode_placed(answer.data) if answer.data else []
    except FAULTS:
        return of_status(status, client_ids)
    if rows:
        return matched(client_ids, [_outcome(raw) for raw in rows])
    why = f"{answer.msg[:REASON_MAX] or 'neither yes nor no'} (code {answer.code})"
    if answer.code in _UNDECIDED or answer.code in ("", "0", "2"):
        return all_unknown(why, client_ids)
    return all_rejected(answer.code, answer.msg[:REASON_MAX], client_ids)


def _outcome(raw: RawPlaced) -> Outcome:
    client_id = ClientId(raw.cl_ord_id) if raw.cl_ord_id else None
    if raw.s_code == "0" and raw.ord_id:
        return Accepted(OrderId(raw.ord_id), client_id)
    if raw.s_code in _UNDECIDED or raw.s_code in ("", "0"):
        return Unknown(f"{raw.s_msg[:REASON_MAX] or 'neither yes nor no'} (code {raw.s_code})", client_id)
    return Rejected(raw.s_code, raw.s_msg[:REASON_MAX], client_id)


def encode_order(request: OrderRequest) -> Mapping[str, str]:
    """Say an order as the fields of a new one; spot is traded with cash, contracts on the account's whole margin.

    Raises:
        ConfigError: a unit that the market does not take, a market order with a price, or a client id of another form.

    """
    market = request.instrument.market
    check_no_bound(request)
    if not _CLIENT_ID.fullmatch(request.client_id):
        raise ConfigError(f"{request.client_id[:50]!r} is not a client id of okx", ("up to 32 letters and digits",))
    fields = {
        "instId": request.instrument.venue_symbol,
        "tdMode": "cash" if market == SPOT else "cross",
        "clOrdId": str(request.client_id),
        "side": str(request.side),
        "ordType": _kind(request),
        "sz": fixed(request.quantity),
        **_unit(market, request),
    }
    if request.price is not None:
        fields["px"] = fixed(request.price)
    return fields


def _kind(request: OrderRequest) -> str:
    if request.kind is OrderKind.MARKET or request.time_in_force is TimeInForce.GTC:
        return str(request.kind)
    return str(request.time_in_force)


def _unit(market: MarketId, request: OrderRequest) -> Mapping[str, str]:
    """Return what says the unit: nothing where there is one; on spot a market buy would else be in quote."""
    if market != SPOT:
        return {} if request.unit is Unit.CONTRACTS else refuse_unit(request, Unit.CONTRACTS)
    if request.kind is OrderKind.LIMIT:
        return {} if request.unit is Unit.BASE else refuse_unit(request, Unit.BASE)
    if request.unit is Unit.CONTRACTS:
        refuse_unit(request, Unit.BASE, Unit.QUOTE)
    return {"tgtCcy": "quote_ccy" if request.unit is Unit.QUOTE else "base_ccy"}
