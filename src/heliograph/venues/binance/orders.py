"""What Binance says of orders and balances, and how it is asked for an order.

Sources: https://developers.binance.com/docs/binance-spot-api-docs/user-data-stream ,
https://developers.binance.com/docs/derivatives/usds-margined-futures/user-data-streams/Event-Order-Update ,
"Balance and Position Update" beside it,
https://developers.binance.com/docs/derivatives/coin-margined-futures/user-data-streams/Event-Order-Update ,
"New order" of https://developers.binance.com/docs/binance-spot-api-docs/rest-api/trading-endpoints and
https://developers.binance.com/docs/binance-spot-api-docs/errors .

Conditional orders of futures (`ALGO_UPDATE`) and lists of orders are told by the orders that they lead to.
"""

import re
from collections.abc import Mapping, Sequence
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
    all_unknown,
    instrument_among,
    refuse_unit,
)
from heliograph.venues.answering import reading
from heliograph.venues.binance.frames import SILENT
from heliograph.venues.binance.instruments import BINANCE, COINM, USDM
from heliograph.venues.faults import FAULTS, REASON_MAX
from heliograph.venues.fields import NOTHING, Id, Ms
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
    "PENDING_NEW": OrderState.OPEN,
    "NEW": OrderState.OPEN,
    "PENDING_CANCEL": OrderState.OPEN,
    "PARTIALLY_FILLED": OrderState.PARTIALLY_FILLED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}
_SYSTEM_STATES: Final = {"NEW_INSURANCE": Origin.LIQUIDATION, "NEW_ADL": Origin.DELEVERAGING}
_SYSTEM_IDS: Final = (
    ("adl_autoclose", Origin.DELEVERAGING),
    ("autoclose-", Origin.LIQUIDATION),
    ("settlement_autoclose-", Origin.SETTLEMENT),
    ("delivery_autoclose-", Origin.SETTLEMENT),
)
_FILLS: Final = frozenset({"TRADE", "CALCULATED"})
_SIDES: Final = {"BUY": Side.BUY, "SELL": Side.SELL}
_COIN_MARGINED: Final = re.compile(r".+USD_(PERP|[0-9]{6})")
_UNDECIDED: Final = frozenset({-1000, -1001, -1006, -1007, -4116})
"""Unknown error, internal error, unexpected response, timeout, and a client id that an order has already."""
_DUPLICATE: Final = "Duplicate order sent"
"""Spot's word for the last of these, under the code of every refusal (-2010): that order is at work."""
_UNITS: Final = {SPOT: Unit.BASE, USDM: Unit.BASE, COINM: Unit.CONTRACTS}
_CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")


class RawReport(msgspec.Struct):
    """An `executionReport`, or the `o` of an `ORDER_TRADE_UPDATE`; `n` and `N` are absent where nothing was paid."""

    s: str
    c: str
    S: Literal["BUY", "SELL"]
    q: str
    p: str
    x: str
    X: str
    i: Id
    l: str  # noqa: E741 (the venue's name)
    z: str
    L: str
    T: Ms
    t: int
    m: bool
    C: str = ""
    n: str | None = None
    N: str | None = None
    r: str = "NONE"
    eR: str | None = None  # noqa: N815 (the venue's name)


class RawFuture(msgspec.Struct):
    """An `ORDER_TRADE_UPDATE`."""

    o: RawReport


class RawAsset(msgspec.Struct):
    """One asset of an account of spot (`f` free, `l` locked) or of futures (`wb` the whole of the wallet)."""

    a: str
    f: str | None = None
    l: str | None = None  # noqa: E741 (the venue's name)
    wb: str | None = None


class RawPosition(msgspec.Struct):
    """An `outboundAccountPosition`; `u` is when the account changed last."""

    u: Ms
    B: list[RawAsset]


class RawAssets(msgspec.Struct):
    """The `a` of an `ACCOUNT_UPDATE`."""

    B: list[RawAsset] = []


class RawAccount(msgspec.Struct):
    """An `ACCOUNT_UPDATE`."""

    T: Ms
    a: RawAssets


class RawEnvelope(msgspec.Struct):
    """A private frame: bare, of a subscription, or of a combined stream; or the answer to a message of ours."""

    e: str | None = None
    event: msgspec.Raw = NOTHING
    data: msgspec.Raw = NOTHING
    id: int | str | None = None


class RawPlaced(msgspec.Struct, rename="camel"):
    """The answer to one order: it was taken, or a code says why not."""

    order_id: Id | None = None
    client_order_id: str = ""
    code: int | None = None
    msg: str = ""


_decode_envelope: Final = msgspec.json.Decoder(RawEnvelope).decode
_decode_report: Final = msgspec.json.Decoder(RawReport).decode
_decode_future: Final = msgspec.json.Decoder(RawFuture).decode
_decode_position: Final = msgspec.json.Decoder(RawPosition).decode
_decode_account: Final = msgspec.json.Decoder(RawAccount).decode
_decode_placed: Final = msgspec.json.Decoder(RawPlaced | list[RawPlaced]).decode


def decode_private(
    frame: bytes, received_ns: int, instruments: Mapping[InstrumentId, Instrument]
) -> list[OrderReport | BalanceReport]:
    """Read a frame of a private stream; what is documented and tells neither orders nor balances is none.

    Raises:
        DecodeError: the frame is not what is documented.

    """
    with reading("a private frame of binance"):
        raw = _decode_envelope(frame)
        inner = raw.event or raw.data
        data = bytes(inner) if inner and raw.e is None else frame
        kind = _decode_envelope(data).e
        if kind == "executionReport":
            return [_to_report(_decode_report(data), SPOT, received_ns, instruments)]
        if kind == "ORDER_TRADE_UPDATE":
            order = _decode_future(data).o
            market = COINM if _COIN_MARGINED.fullmatch(order.s) else USDM
            return [_to_report(order, market, received_ns, instruments)]
        if kind == "outboundAccountPosition":
            position = _decode_position(data)
            return [_to_balance(asset, position.u, received_ns) for asset in position.B]
        if kind == "ACCOUNT_UPDATE":
            account = _decode_account(data)
            return [_to_balance(asset, account.T, received_ns) for asset in account.a.B]
        if kind in SILENT or (kind is None and raw.id is not None):
            return []
        raise ValueError(f"not an event of private streams: {str(kind)[:50]!r}")


def _to_report(
    raw: RawReport, market: MarketId, received_ns: int, instruments: Mapping[InstrumentId, Instrument]
) -> OrderReport:
    # A cancellation has a client id of its own, `c`; the order's is then `C`, which is empty otherwise.
    client_id = raw.C or raw.c
    event_ns = raw.T * NS_PER_MS
    return OrderReport(
        instrument_among(instruments, BINANCE, market, raw.s),
        OrderId(str(raw.i)),
        ClientId(client_id) if client_id else None,
        _STATES.get(raw.X, OrderState.UNKNOWN),
        raw.X,
        _SIDES[raw.S],
        positive_of(raw.q),
        positive_of(raw.p),
        amount_of(raw.z),
        event_ns,
        received_ns,
        _origin(client_id, raw.X),
        execution=_execution(raw, event_ns),
        reason=_reason(raw),
    )


def _origin(client_id: str, state: str) -> Origin:
    by_id = next((origin for start, origin in _SYSTEM_IDS if client_id.startswith(start)), Origin.USER)
    return _SYSTEM_STATES.get(state, by_id)


def _execution(raw: RawReport, event_ns: int) -> Execution | None:
    price, quantity = positive_of(raw.L), positive_of(raw.l)
    # No trade is -1 on spot and 0 on futures. A trade without price or quantity has been seen in tests of others: it
    # cannot be booked, and `filled` shows that it is lacking.
    if raw.x not in _FILLS or raw.t <= 0 or price is None or quantity is None:
        return None
    return Execution(ExecutionId(str(raw.t)), price, quantity, number_of(raw.n), raw.N, raw.m, event_ns)


def _reason(raw: RawReport) -> str | None:
    reason = raw.eR if raw.r == "NONE" else raw.r
    return reason[:REASON_MAX] if reason else None


def _to_balance(raw: RawAsset, changed_ms: int, received_ns: int) -> BalanceReport:
    return BalanceReport(
        raw.a, amount_of(raw.f), amount_of(raw.l), number_of(raw.wb), changed_ms * NS_PER_MS, received_ns
    )


def outcomes(status: int | None, body: bytes, client_ids: Sequence[ClientId | None]) -> list[Outcome]:
    """Read the answer to one order, or to a batch: one outcome for each, in the order in which they were asked for.

    Args:
        status: HTTP's; None where no answer came.
        body: the answer.
        client_ids: of the orders.

    """
    reason = undecided(status)
    if status is None or reason is not None:
        return all_unknown(reason or "", client_ids)
    try:
        raw = _decode_placed(body)
    except FAULTS:
        return of_status(status, client_ids)
    if isinstance(raw, list):
        return matched(client_ids, [_outcome(item) for item in raw])
    if raw.code is not None:  # It speaks of all that were asked for together.
        return matched(client_ids, [_outcome(raw) for _ in client_ids])
    return matched(client_ids, [_outcome(raw)])


def _outcome(raw: RawPlaced) -> Outcome:
    client_id = ClientId(raw.client_order_id) if raw.client_order_id else None
    if raw.order_id is not None:
        return Accepted(OrderId(str(raw.order_id)), client_id)
    if raw.code is None or raw.code in _UNDECIDED or raw.msg.startswith(_DUPLICATE):
        return Unknown(f"{raw.msg[:REASON_MAX] or 'neither yes nor no'} (code {raw.code})", client_id)
    return Rejected(str(raw.code), raw.msg[:REASON_MAX], client_id)


def encode_order(request: OrderRequest) -> Mapping[str, str]:
    """Say an order as the parameters of a new one, without time and signature.

    Raises:
        ConfigError: a unit that the market does not take, a market order with a price, or a client id of another form.

    """
    market = request.instrument.market
    check_no_bound(request)
    if not _CLIENT_ID.fullmatch(request.client_id):
        raise ConfigError(
            f"{request.client_id[:50]!r} is not a client id of binance", ("up to 36 letters, digits and .:/_-",)
        )
    parameters = {
        "symbol": request.instrument.venue_symbol,
        "side": request.side.upper(),
        "type": request.kind.upper(),
        "newClientOrderId": str(request.client_id),
        _size_name(market, request): fixed(request.quantity),
    }
    if request.price is not None:
        parameters["timeInForce"] = request.time_in_force.upper()
        parameters["price"] = fixed(request.price)
    return parameters


def _size_name(market: MarketId, request: OrderRequest) -> str:
    in_quote = market == SPOT and request.kind is OrderKind.MARKET
    if in_quote and request.unit is Unit.QUOTE:
        return "quoteOrderQty"
    if request.unit is not _UNITS[market]:
        refuse_unit(request, _UNITS[market], *((Unit.QUOTE,) if in_quote else ()))
    return "quantity"
