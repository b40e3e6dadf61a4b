"""Luno's orders, fills and balances: what the stream of an account and answers say, and how an order is asked for.

Source: "User stream", "Error Codes" and #tag/Orders of https://www.luno.com/en/developers/api .

The stream tells neither an order's side nor how it ended: `COMPLETE` is filled or cancelled, which only an answer of
REST tells. Its fills have no id, but say how much has been filled in all, and nothing can be filled twice from there:
so that is their id. Its times are not told here, since its documentation has seconds and the rest of Luno
milliseconds, and no recording decides. After a reconnect the stream repeats up to five minutes.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, InstrumentId
from heliograph.model.market import Side
from heliograph.model.numbers import amount, finite, fixed
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
    Outcome,
    Unit,
    all_rejected,
    all_unknown,
    instrument_among,
    refuse_unit,
)
from heliograph.venues.faults import FAULTS, REASON_MAX, reason_of
from heliograph.venues.fields import Id, Ms
from heliograph.venues.luno.frames import decode_error
from heliograph.venues.luno.instruments import LUNO
from heliograph.venues.ordering import check_no_bound, matched, of_status, undecided

_CLIENT_ID: Final = re.compile(r"[0-9A-Za-z_;,.-]{1,255}")
_WAITING: Final = frozenset({"AWAITING", "PENDING"})
_COMPLETE: Final = "COMPLETE"
_SIDES: Final = {"BID": Side.BUY, "BUY": Side.BUY, "ASK": Side.SELL, "SELL": Side.SELL}
_DOUBTFUL: Final = frozenset({"ErrInternal", "ErrDeadlineExceeded", "ErrDuplicateClientOrderID"})
"""Codes that prove nothing: the last says that an order of this name is there, which may be this one."""

Report = OrderReport | BalanceReport
Instruments = Mapping[InstrumentId, Instrument]
Accounts = Mapping[int, str]
"""The asset of each account, by its number: the stream names accounts only."""


class RawStatus(msgspec.Struct):
    """How an order stands."""

    order_id: str
    market_id: str
    status: Literal["AWAITING", "PENDING", "COMPLETE"]
    client_order_id: str = ""


class RawFill(msgspec.Struct):
    """A fill: what was filled in all, by how much that rose, and what was paid for that."""

    order_id: str
    market_id: str
    base_fill: Decimal
    base_delta: Decimal
    counter_delta: Decimal
    base_fee_delta: Decimal
    counter_fee_delta: Decimal
    client_order_id: str = ""


class RawBalance(msgspec.Struct):
    """What an account holds, and what of it is available."""

    account_id: Id
    balance: Decimal
    available: Decimal


class RawPrivate(msgspec.Struct):
    """A frame of the stream; of the three updates all but one are null."""

    type: Literal["order_status", "order_fill", "balance_update"]
    order_status_update: RawStatus | None = None
    order_fill_update: RawFill | None = None
    balance_update: RawBalance | None = None


class RawOrder(msgspec.Struct):
    """An order of an answer. Those of market orders have no limit."""

    order_id: str
    pair: str
    type: Literal["BID", "BUY", "ASK", "SELL"]
    state: Literal["AWAITING", "PENDING", "COMPLETE"]
    base: Decimal
    creation_timestamp: Ms
    limit_price: Decimal | None = None
    limit_volume: Decimal | None = None
    completed_timestamp: Ms = 0
    client_order_id: str = ""


class RawPlaced(msgspec.Struct):
    """The answer to an order that was taken."""

    order_id: str


_decode_private: Final = msgspec.json.Decoder(RawPrivate).decode
_decode_order: Final = msgspec.json.Decoder(RawOrder).decode
_decode_placed: Final = msgspec.json.Decoder(RawPlaced).decode


def decode_private(
    frame: bytes, received_ns: int, instruments: Instruments, accounts: Accounts | None = None
) -> list[Report]:
    """Read a frame of an account's stream; a sign of life tells nothing.

    Args:
        frame: the frame.
        received_ns: when it came.
        instruments: those that are known, by id.
        accounts: the asset of each account.

    Raises:
        DecodeError: the frame is not what Luno documents, or a balance's account is not known.

    """
    if frame.strip() in (b"", b'""'):
        return []
    try:
        raw = _decode_private(frame)
        reports: list[Report] = []
        if raw.order_status_update is not None:
            reports.append(_stood(raw.order_status_update, instruments, received_ns))
        if raw.order_fill_update is not None:
            reports.append(_filled(raw.order_fill_update, instruments, received_ns))
        if raw.balance_update is not None:
            reports.append(_held(raw.balance_update, accounts or {}, received_ns))
        if not reports:
            raise ValueError(f"a frame of {raw.type} without its update")
    except FAULTS as e:
        raise DecodeError(f"not a private frame of luno: {reason_of(e)}") from e
    return reports


def read_order(body: bytes, received_ns: int, instruments: Instruments) -> OrderReport:
    """Read the answer to a question for one order, which tells how it ended.

    Args:
        body: the answer.
        received_ns: when it came.
        instruments: those that are known, by id.

    Raises:
        DecodeError: the answer is not what is documented.

    """
    try:
        raw = _decode_order(body)
        filled = amount(raw.base)
        total = amount(raw.limit_volume) or None if raw.limit_volume is not None else None
        return OrderReport(
            _instrument(raw.pair, instruments),
            OrderId(raw.order_id),
            ClientId(raw.client_order_id) if raw.client_order_id else None,
            _state(raw.state, filled, total),
            raw.state,
            _SIDES[raw.type],
            total,
            amount(raw.limit_price) or None if raw.limit_price is not None else None,
            filled,
            (raw.completed_timestamp or raw.creation_timestamp) * NS_PER_MS,
            received_ns,
        )
    except FAULTS as e:
        raise DecodeError(f"not an order of luno: {reason_of(e)}") from e


def _instrument(pair: str, instruments: Instruments) -> Instrument:
    return instrument_among(instruments, LUNO, SPOT, pair)


def _state(word: str, filled: Decimal, total: Decimal | None) -> OrderState:
    """Return the state; a complete order of which less is filled than was asked for was cancelled, or expired."""
    if word in _WAITING:
        return OrderState.PARTIALLY_FILLED if filled else OrderState.OPEN
    if total is None:  # A market order: some of it or all, but nothing of it rests.
        return OrderState.FILLED if filled else OrderState.CANCELED
    return OrderState.FILLED if filled >= total else OrderState.CANCELED


def _stood(raw: RawStatus, instruments: Instruments, received_ns: int) -> OrderReport:
    return OrderReport(
        _instrument(raw.market_id, instruments),
        OrderId(raw.order_id),
        ClientId(raw.client_order_id) if raw.client_order_id else None,
        OrderState.UNKNOWN if raw.status == _COMPLETE else OrderState.OPEN,
        raw.status,
        None,
        None,
        None,
        None,
        None,
        received_ns,
    )


def _filled(raw: RawFill, instruments: Instruments, received_ns: int) -> OrderReport:
    instrument = _instrument(raw.market_id, instruments)
    total, base, counter = amount(raw.base_fill), amount(raw.base_delta), amount(raw.counter_delta)
    fees = [
        (finite(fee), asset)
        for fee, asset in ((raw.base_fee_delta, instrument.base), (raw.counter_fee_delta, instrument.quote))
        if fee
    ]
    # One fee fits into a fill. Where there are two, both are said in words, so that none is taken for all.
    fee, asset = fees[0] if len(fees) == 1 else (None, None) if fees else (Decimal(0), None)
    said = f"paid {fixed(raw.base_fee_delta)} of the base and {fixed(raw.counter_fee_delta)} of the counter"
    execution = Execution(
        ExecutionId(f"{raw.order_id}:{_bare(total)}"),
        _price(counter, base),
        base,
        fee,
        asset,
        None,
        None,
    )
    return OrderReport(
        instrument,
        OrderId(raw.order_id),
        ClientId(raw.client_order_id) if raw.client_order_id else None,
        OrderState.UNKNOWN,
        "",
        None,
        None,
        None,
        total,
        None,
        received_ns,
        execution=execution,
        reason=said if len(fees) > 1 else None,
    )


def _bare(value: Decimal) -> str:
    """Return the number without zeros at its end, so that one amount is one text."""
    text = fixed(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _price(counter: Decimal, base: Decimal) -> Decimal:
    """Return what one unit cost, to 28 digits: several trades may be told as one, whose mean price need not end."""
    if not base:
        raise ValueError("a fill of nothing")
    return amount(counter / base)


def _held(raw: RawBalance, accounts: Accounts, received_ns: int) -> BalanceReport:
    asset = accounts.get(raw.account_id)
    if asset is None:
        raise ValueError(f"a balance of account {raw.account_id}, whose asset is not known")
    total, available = finite(raw.balance), finite(raw.available)
    return BalanceReport(asset, available, finite(total - available), total, None, received_ns)


def outcomes(status: int | None, body: bytes, client_ids: Sequence[ClientId | None]) -> list[Outcome]:
    """Tell what came of a request to place an order; never raises.

    Args:
        status: HTTP's; None where no answer came.
        body: the answer.
        client_ids: of the one order that was asked for.

    """
    if (doubt := undecided(status)) is not None or status is None:
        return all_unknown(doubt or "", client_ids)
    try:
        if status < 400:
            return matched(client_ids, [Accepted(OrderId(_decode_placed(body).order_id), None)])
        refusal = decode_error(body)
    except FAULTS:
        return of_status(status, client_ids)
    code, reason = refusal.error_code[:REASON_MAX], refusal.error[:REASON_MAX]
    return all_unknown(reason, client_ids) if code in _DOUBTFUL else all_rejected(code, reason, client_ids)


def encode_order(request: OrderRequest) -> dict[str, str]:
    """Return the form to place an order with: of `/api/1/marketorder` for a market order, else `/api/1/postorder`.

    Raises:
        ConfigError: Luno does not take such an order; the message says what it takes.

    """
    if not _CLIENT_ID.fullmatch(request.client_id):
        what = f"{request.client_id[:50]!r} is not a client id of luno"
        raise ConfigError(what, ("1 to 255 letters, digits, and any of _ ; , . -",))
    buys = request.side is Side.BUY
    market = request.kind is OrderKind.MARKET
    taken = Unit.QUOTE if market and buys else Unit.BASE
    if request.unit is not taken:
        refuse_unit(request, taken)
    check_no_bound(request)
    form = {"pair": request.instrument.venue_symbol, "client_order_id": request.client_id}
    size = fixed(request.quantity)
    if request.price is None:
        return (
            {**form, "type": "BUY", "counter_volume": size} if buys else {**form, "type": "SELL", "base_volume": size}
        )
    return {
        **form,
        "type": "BID" if buys else "ASK",
        "volume": size,
        "price": fixed(request.price),
        "time_in_force": request.time_in_force.value.upper(),
    }
