"""What Bybit says of orders and balances, and how it is asked for an order.

Sources: https://bybit-exchange.github.io/docs/v5/websocket/private/order ,
https://bybit-exchange.github.io/docs/v5/websocket/private/execution , https://bybit-exchange.github.io/docs/v5/enum ,
https://bybit-exchange.github.io/docs/v5/websocket/private/wallet , https://bybit-exchange.github.io/docs/v5/error ,
https://bybit-exchange.github.io/docs/v5/order/create-order and
https://bybit-exchange.github.io/docs/v5/order/batch-place .

Orders and their fills come on two topics: a frame of `order` has no fill, and one of `execution` has no state, so a
report of a fill says no more of the state than its quantities prove. Taxes beside the fee (`extraFees`) are not in it.
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
    Unit,
    Unknown,
    all_rejected,
    all_unknown,
    instrument_among,
    refuse_unit,
)
from heliograph.venues.answering import reading
from heliograph.venues.bybit.frames import MsText, RawAny, decode_any
from heliograph.venues.bybit.instruments import BYBIT, INVERSE, LINEAR
from heliograph.venues.faults import FAULTS, REASON_MAX
from heliograph.venues.fields import Ms
from heliograph.venues.ordering import (
    amount_of,
    check_no_bound,
    matched,
    number_of,
    of_status,
    positive_of,
    undecided,
)

_STATES: Final = {
    "Created": OrderState.OPEN,
    "New": OrderState.OPEN,
    "Untriggered": OrderState.OPEN,
    "Triggered": OrderState.OPEN,
    "PartiallyFilled": OrderState.PARTIALLY_FILLED,
    "Filled": OrderState.FILLED,
    "Cancelled": OrderState.CANCELED,
    "PartiallyFilledCanceled": OrderState.CANCELED,
    "Deactivated": OrderState.CANCELED,
    "Rejected": OrderState.REJECTED,
}
_CREATED: Final = {
    "CreateByLiq": Origin.LIQUIDATION,
    "CreateByTakeOver_PassThrough": Origin.LIQUIDATION,
    "CreateByAdl_PassThrough": Origin.DELEVERAGING,
    "CreateBySettle": Origin.SETTLEMENT,
    "CreateByAdminClosing": Origin.SETTLEMENT,
}
_FILLS: Final = {
    "": Origin.USER,
    "Trade": Origin.USER,
    "BlockTrade": Origin.USER,
    "MovePosition": Origin.USER,
    "FutureSpread": Origin.USER,
    "BustTrade": Origin.LIQUIDATION,
    "AdlTrade": Origin.DELEVERAGING,
    "Delivery": Origin.SETTLEMENT,
    "Settle": Origin.SETTLEMENT,
}
_FUNDING: Final = "Funding"
"""An execution that is none: its quantity is the whole position, for which funding was paid or received."""
_SILENT: Final = frozenset({"position", "greeks", "dcp", "spread"})
_SIDES: Final = {"Buy": Side.BUY, "Sell": Side.SELL}
_NO_REASON: Final = frozenset({"", "EC_NoError", "UNKNOWN"})
_UNDECIDED: Final = frozenset({10000, 10014, 10016, 20006, 110072, 170141})
"""Timeout, internal error or restart, and a request or a client id that the venue has already."""
_CLIENT_ID: Final = re.compile("[A-Za-z0-9_-]{1,36}")


class RawOrder(msgspec.Struct, rename="camel"):
    """An order. `qty` of a market order on spot is in quote where `marketUnit` says so, and of a buy by default."""

    category: str
    symbol: str
    order_id: str
    side: Literal["Buy", "Sell"]
    order_status: str
    qty: str
    updated_time: MsText
    order_link_id: str = ""
    price: str = ""
    cum_exec_qty: str = ""
    order_type: str = ""
    market_unit: str = ""
    create_type: str = ""
    reject_reason: str = ""
    cancel_type: str = ""


class RawFill(msgspec.Struct, rename="camel"):
    """A fill; `execution.fast` tells less of it. A fee is positive where it is paid.

    `leavesQty` is zero too where the rest was cancelled.
    """

    category: str
    symbol: str
    order_id: str
    side: Literal["Buy", "Sell"]
    exec_id: str
    exec_price: str
    exec_qty: str
    exec_time: MsText
    order_link_id: str = ""
    is_maker: bool | None = None
    exec_type: str = ""
    exec_fee: str = ""
    fee_currency: str = ""
    order_price: str = ""
    order_qty: str = ""
    order_type: str = ""
    market_unit: str = ""
    leaves_qty: str = ""
    create_type: str = ""


class RawCoin(msgspec.Struct, rename="camel"):
    """One asset of a wallet; `free` is told of classic accounts only."""

    coin: str
    wallet_balance: str
    locked: str = ""
    free: str = ""


class RawWallet(msgspec.Struct):
    """An account's assets."""

    coin: list[RawCoin]


class RawWallets(msgspec.Struct, rename="camel"):
    """A frame of `wallet`."""

    creation_time: Ms
    data: list[RawWallet]


class RawPlaced(msgspec.Struct, rename="camel"):
    """The order that was taken; both are empty where it was not."""

    order_id: str = ""
    order_link_id: str = ""


class RawResult(msgspec.Struct, frozen=True):
    """What was taken: one order's ids, or those of each order of a batch."""

    orderId: str = ""  # noqa: N815 (the venue's names)
    orderLinkId: str = ""  # noqa: N815
    items: list[RawPlaced] | None = msgspec.field(name="list", default=None)


class RawVerdict(msgspec.Struct):
    """What became of one order of a batch."""

    code: int
    msg: str = ""


class RawExtra(msgspec.Struct, frozen=True):
    """What became of each order of a batch, in its order."""

    items: list[RawVerdict] = msgspec.field(name="list", default_factory=list)


class RawReply(msgspec.Struct):
    """An answer of REST, which has `result`, or a reply on the socket for orders, which has `data`."""

    retCode: int  # noqa: N815 (the venue's names)
    retMsg: str = ""  # noqa: N815
    result: RawResult = RawResult()
    data: RawResult = RawResult()
    retExtInfo: RawExtra = RawExtra()  # noqa: N815


_decode_orders: Final = msgspec.json.Decoder(list[RawOrder]).decode
_decode_fills: Final = msgspec.json.Decoder(list[RawFill]).decode
_decode_wallets: Final = msgspec.json.Decoder(RawWallets).decode
_decode_reply: Final = msgspec.json.Decoder(RawReply).decode


def decode_private(
    frame: bytes, received_ns: int, instruments: Mapping[InstrumentId, Instrument]
) -> list[OrderReport | BalanceReport]:
    """Read a frame of a private topic; what is documented and tells neither orders nor balances is none.

    Raises:
        DecodeError: the frame is not what is documented.

    """
    with reading("a private frame of bybit"):
        raw: RawAny = decode_any(frame)
        if raw.topic is None and raw.op is not None:  # The answer to a message of ours.
            return []
        topic = (raw.topic or "").partition(".")[0]
        if topic == "order":
            return [_to_report(order, received_ns, instruments) for order in _decode_orders(raw.data)]
        if topic == "execution":
            fills = _decode_fills(raw.data)
            return [_to_fill(fill, received_ns, instruments) for fill in fills if fill.exec_type != _FUNDING]
        if topic == "wallet":
            wallets = _decode_wallets(frame)
            event_ns = wallets.creation_time * NS_PER_MS
            return [_to_balance(raw, event_ns, received_ns) for wallet in wallets.data for raw in wallet.coin]
        if topic in _SILENT:
            return []
        raise ValueError(f"not a private topic: {topic[:50]!r}")


def _to_report(raw: RawOrder, received_ns: int, instruments: Mapping[InstrumentId, Instrument]) -> OrderReport:
    return OrderReport(
        instrument_among(instruments, BYBIT, MarketId(raw.category), raw.symbol),
        OrderId(raw.order_id),
        ClientId(raw.order_link_id) if raw.order_link_id else None,
        _STATES.get(raw.order_status, OrderState.UNKNOWN),
        raw.order_status,
        _SIDES[raw.side],
        None if _in_quote(raw) else amount_of(raw.qty),
        positive_of(raw.price),
        amount_of(raw.cum_exec_qty),
        int(raw.updated_time) * NS_PER_MS,
        received_ns,
        _CREATED.get(raw.create_type, Origin.USER),
        reason=next((why[:REASON_MAX] for why in (raw.reject_reason, raw.cancel_type) if why not in _NO_REASON), None),
    )


def _in_quote(raw: RawOrder | RawFill) -> bool:
    if raw.category != SPOT or raw.order_type != "Market":
        return False
    return raw.market_unit == "quoteCoin" or (raw.market_unit != "baseCoin" and raw.side == "Buy")


def _to_fill(raw: RawFill, received_ns: int, instruments: Mapping[InstrumentId, Instrument]) -> OrderReport:
    origin = _FILLS.get(raw.exec_type)
    if origin is None:  # It may be none, as funding is: whoever booked it would have a position that is not there.
        raise ValueError(f"an execution of a kind that is not documented: {raw.exec_type[:50]!r}")
    event_ns = int(raw.exec_time) * NS_PER_MS
    price, filled_now = amount_of(raw.exec_price), positive_of(raw.exec_qty)
    if price is None or filled_now is None:
        raise ValueError("an execution without price or quantity")
    quantity = None if _in_quote(raw) else positive_of(raw.order_qty)
    state, filled = _progress(quantity, amount_of(raw.leaves_qty), filled_now)
    fee = number_of(raw.exec_fee)
    return OrderReport(
        instrument_among(instruments, BYBIT, MarketId(raw.category), raw.symbol),
        OrderId(raw.order_id),
        ClientId(raw.order_link_id) if raw.order_link_id else None,
        state,
        "",
        _SIDES[raw.side],
        quantity,
        None if raw.order_type == "Market" else positive_of(raw.order_price),
        filled,
        event_ns,
        received_ns,
        _CREATED.get(raw.create_type, origin),
        execution=Execution(
            ExecutionId(raw.exec_id), price, filled_now, fee, raw.fee_currency or None, raw.is_maker, event_ns
        ),
    )


def _progress(
    quantity: Decimal | None, leaves: Decimal | None, filled_now: Decimal
) -> tuple[OrderState, Decimal | None]:
    """Return the state and what was filled so far, as far as a fill proves them."""
    if quantity is not None and filled_now == quantity:
        return OrderState.FILLED, quantity
    return OrderState.PARTIALLY_FILLED if leaves else OrderState.UNKNOWN, None


def _to_balance(raw: RawCoin, event_ns: int, received_ns: int) -> BalanceReport:
    return BalanceReport(
        raw.coin, number_of(raw.free), amount_of(raw.locked), number_of(raw.wallet_balance), event_ns, received_ns
    )


def outcomes(status: int | None, body: bytes, client_ids: Sequence[ClientId | None]) -> list[Outcome]:
    """Read the answer to one order, or to a batch: one outcome for each, in the order in which they were asked for.

    A batch is taken as a whole, with code 0, whatever became of its orders: that is told beside it.

    Args:
        status: HTTP's, 200 for the reply on a socket; None where no answer came.
        body: the answer.
        client_ids: of the orders.

    """
    reason = undecided(status)
    if status is None or reason is not None:
        return all_unknown(reason or "", client_ids)
    try:
        raw = _decode_reply(body)
    except FAULTS:
        return of_status(status, client_ids)
    if raw.retCode in _UNDECIDED:
        return all_unknown(f"{raw.retMsg[:REASON_MAX]} (code {raw.retCode})", client_ids)
    if raw.retCode:
        return all_rejected(str(raw.retCode), raw.retMsg[:REASON_MAX], client_ids)
    result = raw.data if raw.data.orderId or raw.data.items is not None else raw.result
    if result.items is None:
        one = RawPlaced(result.orderId, result.orderLinkId)
        return matched(client_ids, [_outcome(one, RawVerdict(0))])
    verdicts = raw.retExtInfo.items
    if len(verdicts) != len(result.items):
        return all_unknown(f"{len(verdicts)} verdicts on {len(result.items)} orders", client_ids)
    return matched(client_ids, [_outcome(*pair) for pair in zip(result.items, verdicts, strict=True)])


def _outcome(raw: RawPlaced, verdict: RawVerdict) -> Outcome:
    client_id = ClientId(raw.order_link_id) if raw.order_link_id else None
    if verdict.code == 0 and raw.order_id:
        return Accepted(OrderId(raw.order_id), client_id)
    if verdict.code == 0 or verdict.code in _UNDECIDED:
        return Unknown(f"{verdict.msg[:REASON_MAX] or 'neither yes nor no'} (code {verdict.code})", client_id)
    return Rejected(str(verdict.code), verdict.msg[:REASON_MAX], client_id)


def encode_order(request: OrderRequest) -> Mapping[str, str]:
    """Say an order as the fields of a new one.

    Raises:
        ConfigError: a unit that the market does not take, a market order with a price, or a client id of another form.

    """
    market = request.instrument.market
    check_no_bound(request)
    if not _CLIENT_ID.fullmatch(request.client_id):
        raise ConfigError(
            f"{request.client_id[:50]!r} is not a client id of bybit", ("up to 36 letters, digits and _-",)
        )
    fields = {
        "category": str(market),
        "symbol": request.instrument.venue_symbol,
        "side": request.side.capitalize(),
        "orderType": request.kind.capitalize(),
        "qty": fixed(request.quantity),
        "orderLinkId": str(request.client_id),
        **_unit(market, request),
    }
    if request.price is not None:
        fields["price"] = fixed(request.price)
        fields["timeInForce"] = request.time_in_force.upper()
    return fields


def _unit(market: MarketId, request: OrderRequest) -> Mapping[str, str]:
    """Return what says the unit: nothing where there is one; on spot a market buy would else be in quote."""
    if market == INVERSE:
        return {} if request.unit is Unit.CONTRACTS else refuse_unit(request, Unit.CONTRACTS)
    if market == LINEAR or request.kind is OrderKind.LIMIT:
        return {} if request.unit is Unit.BASE else refuse_unit(request, Unit.BASE)
    if request.unit is Unit.CONTRACTS:
        refuse_unit(request, Unit.BASE, Unit.QUOTE)
    return {"marketUnit": "quoteCoin" if request.unit is Unit.QUOTE else "baseCoin"}
