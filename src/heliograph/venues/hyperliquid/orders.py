"""Hyperliquid's orders and fills: what private frames and answers say of them, and how an order is asked for.

Sources: `WsOrder` and `WsFill` of
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions , "Query order status" of
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint , "Place an order" of
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/exchange-endpoint and, for prices,
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/tick-and-lot-size .

A fill says nothing of its order's state: such reports say `unknown`. No frame names the account that it is about.
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
from heliograph.venues.faults import FAULTS, REASON_MAX, reason_of
from heliograph.venues.fields import NOTHING, Id, Ms
from heliograph.venues.hyperliquid.frames import BANNER, SILENT, decode_frame
from heliograph.venues.hyperliquid.instruments import HYPERLIQUID, USDM, is_name
from heliograph.venues.ordering import matched, of_status, undecided

_CLIENT_ID: Final = re.compile(r"0x[0-9a-f]{32}")
_SIDES: Final = {"B": Side.BUY, "A": Side.SELL}
_STATES: Final = {
    "open": OrderState.OPEN,
    "triggered": OrderState.OPEN,
    "filled": OrderState.FILLED,
    "canceled": OrderState.CANCELED,
    "scheduledCancel": OrderState.CANCELED,
    "rejected": OrderState.REJECTED,
}
_ORIGINS: Final = (
    ("Liquidated", Origin.LIQUIDATION),
    ("Auto-Deleveraging", Origin.DELEVERAGING),
    ("Settlement", Origin.SETTLEMENT),
    ("Spot Dust Conversion", Origin.SETTLEMENT),
    ("Net Child Vaults", Origin.SETTLEMENT),
)
"""How fills begin their `dir` that came of no order of the account's; the last two were seen 2025-11 and 2026-06."""
_TIFS: Final = {TimeInForce.GTC: "Gtc", TimeInForce.IOC: "Ioc"}
_FIGURES_MAX: Final = 5
_UNREADABLE: Final = 422
"""HTTP's status of a request that could not be read; the body is a sentence, not JSON."""

Report = OrderReport | BalanceReport
Instruments = Mapping[InstrumentId, Instrument]
Replacing = Mapping[ClientId, OrderId]
"""What modifications that we asked for replace: the old order, by the client id of the new one."""


class RawOrder(msgspec.Struct, rename="camel"):
    """An order; `sz` is what is left of `origSz`. A list of open orders has no `origSz`."""

    coin: str
    side: Literal["A", "B"]
    limit_px: Decimal
    sz: Decimal
    oid: Id
    timestamp: Ms
    orig_sz: Decimal | None = None
    cloid: str | None = None
    order_type: str = ""


class RawTold(msgspec.Struct, rename="camel"):
    """An order and what has become of it."""

    order: RawOrder
    status: str
    status_timestamp: Ms


class RawFill(msgspec.Struct, rename="camel"):
    """A fill. Those of 2023 have neither `tid` nor `feeToken`."""

    coin: str
    px: Decimal
    sz: Decimal
    side: Literal["A", "B"]
    time: Ms
    oid: Id
    crossed: bool
    fee: Decimal
    hash: str
    start_position: str
    dir: str
    tid: Id = 0
    fee_token: str | None = None
    cloid: str | None = None


class RawFills(msgspec.Struct):
    """What a frame of fills or of a user's events holds; a user's other events tell no fill."""

    fills: list[RawFill] = []


class RawPrivate(msgspec.Struct):
    """A frame of any channel."""

    channel: str
    data: msgspec.Raw = NOTHING


class RawResting(msgspec.Struct):
    """An order that was taken, be it filled or not."""

    oid: Id


class RawStatus(msgspec.Struct):
    """What came of one order of a request."""

    resting: RawResting | None = None
    filled: RawResting | None = None
    error: str | None = None


class RawStatuses(msgspec.Struct):
    """What came of each order of a request; a word says that an order was taken and waits."""

    statuses: list[RawStatus | str]


class RawResponse(msgspec.Struct):
    """An answer that is no refusal of the whole request."""

    type: str
    data: RawStatuses


class RawAnswer(msgspec.Struct):
    """An answer to a signed request."""

    status: Literal["ok", "err"]
    response: RawResponse | str


_decode_private: Final = msgspec.json.Decoder(RawPrivate).decode
_decode_told: Final = msgspec.json.Decoder(list[RawTold]).decode
_decode_orders: Final = msgspec.json.Decoder(list[RawOrder]).decode
_decode_fills: Final = msgspec.json.Decoder(RawFills).decode
_decode_past: Final = msgspec.json.Decoder(list[RawFill]).decode
_decode_answer: Final = msgspec.json.Decoder(RawAnswer).decode


class _Telling(msgspec.Struct):
    """What each report of one frame needs besides the frame."""

    instruments: Instruments
    replacing: Replacing
    received_ns: int

    def instrument(self, coin: str) -> Instrument:
        if not (spot := is_name(SPOT, coin)) and not is_name(USDM, coin):
            raise ValueError(f"not a name: {coin[:50]!r}")
        return instrument_among(self.instruments, HYPERLIQUID, SPOT if spot else USDM, coin)


def decode_private(
    frame: bytes, received_ns: int, instruments: Instruments, replacing: Replacing | None = None
) -> list[Report]:
    """Read a frame of an account's orders, fills or events; other documented frames tell nothing.

    Args:
        frame: the frame. A first one of fills repeats old ones, which their ids tell.
        received_ns: when it came.
        instruments: those that are known, by id.
        replacing: of modifications, which no frame tells from a cancellation and a new order.

    Raises:
        DecodeError: the frame is not what Hyperliquid documents.

    """
    if frame == BANNER:
        return []
    telling = _Telling(instruments, replacing or {}, received_ns)
    try:
        raw = _decode_private(frame)
        if raw.channel == "orderUpdates":
            return [_told(told, telling) for told in _decode_told(raw.data)]
        if raw.channel in ("userFills", "user", "userEvents"):
            return [_filled(fill, telling) for fill in _decode_fills(raw.data).fills]
        if raw.channel not in SILENT:
            decode_frame(frame)
    except FAULTS as e:
        raise DecodeError(f"not a private frame of hyperliquid: {reason_of(e)}") from e
    return []


def read_private(kind: str, body: bytes, received_ns: int, instruments: Instruments) -> list[Report]:
    """Read an answer to a question for orders or fills.

    Args:
        kind: the question's `type`, such as `userFills`.
        body: the answer.
        received_ns: when it came.
        instruments: those that are known, by id.

    Raises:
        DecodeError: the answer is not what is documented, or the question is not known.

    """
    telling = _Telling(instruments, {}, received_ns)
    try:
        if kind == "historicalOrders":
            return [_told(told, telling) for told in _decode_told(body)]
        if kind in ("openOrders", "frontendOpenOrders"):
            return [_told(RawTold(raw, "open", raw.timestamp), telling) for raw in _decode_orders(body)]
        if kind in ("userFills", "userFillsByTime"):
            return [_filled(fill, telling) for fill in _decode_past(body)]
        raise ValueError("an answer to something that is not known")
    except FAULTS as e:
        raise DecodeError(f"{kind[:50]}: {reason_of(e)}") from e


def _told(raw: RawTold, telling: _Telling) -> OrderReport:
    order = raw.order
    total = None if order.orig_sz is None else amount(order.orig_sz)
    filled = None if total is None else amount(total - amount(order.sz))
    order_id, client_id = OrderId(str(order.oid)), None if order.cloid is None else ClientId(order.cloid)
    replaced = None if client_id is None else telling.replacing.get(client_id)
    state = _state(raw.status, filled)
    return OrderReport(
        telling.instrument(order.coin),
        order_id,
        client_id,
        state,
        raw.status,
        _SIDES[order.side],
        total,
        amount(order.limit_px) or None,
        filled,
        raw.status_timestamp * NS_PER_MS,
        telling.received_ns,
        replaces=None if replaced == order_id else replaced,
        reason=raw.status if state.terminal and raw.status not in _STATES else None,
    )


def _state(word: str, filled: Decimal | None) -> OrderState:
    """Return the state; some twenty words say why an order ended, and end themselves in how."""
    state = _STATES.get(word)
    if state is OrderState.OPEN and filled:
        return OrderState.PARTIALLY_FILLED
    if state is not None:
        return state
    if word.endswith("Canceled"):
        return OrderState.CANCELED
    return OrderState.REJECTED if word.endswith("Rejected") else OrderState.UNKNOWN


def _filled(raw: RawFill, telling: _Telling) -> OrderReport:
    # What has no number of its own is told apart by the position that it began with.
    execution_id = str(raw.tid) if raw.tid else f"{raw.hash}:{raw.oid}:{raw.start_position}"
    event_ns = raw.time * NS_PER_MS
    fill = Execution(
        ExecutionId(execution_id),
        amount(raw.px),
        amount(raw.sz),
        finite(raw.fee),
        raw.fee_token,
        not raw.crossed,
        event_ns,
    )
    return OrderReport(
        telling.instrument(raw.coin),
        OrderId(str(raw.oid)),
        None if raw.cloid is None else ClientId(raw.cloid),
        OrderState.UNKNOWN,
        "",
        _SIDES[raw.side],
        None,
        None,
        None,
        event_ns,
        telling.received_ns,
        next((origin for beginning, origin in _ORIGINS if raw.dir.startswith(beginning)), Origin.USER),
        execution=fill,
    )


def outcomes(status: int | None, body: bytes, client_ids: Sequence[ClientId | None]) -> list[Outcome]:
    """Tell what came of a request to place or modify orders, one by one; never raises.

    Args:
        status: HTTP's; None where no answer came.
        body: the answer.
        client_ids: of the orders that were asked for, in their order.

    """
    if (doubt := undecided(status)) is not None or status is None:
        return all_unknown(doubt or "", client_ids)
    if status == _UNREADABLE:
        return all_rejected(str(status), body[:REASON_MAX].decode("utf-8", "replace"), client_ids)
    try:
        answer = _decode_answer(body)
    except FAULTS:
        return of_status(status, client_ids)
    if isinstance(answer.response, str):
        reason = answer.response[:REASON_MAX]
        # A nonce that was used before may have been this order's own, sent twice.
        if answer.status == "ok" or "nonce" in reason.lower():
            return all_unknown(reason, client_ids)
        return all_rejected("err", reason, client_ids)
    told = answer.response.data.statuses
    if answer.status == "err":
        return all_unknown("a refusal with answers", client_ids)
    return matched(client_ids, [_outcome(each) for each in told])


def _outcome(told: RawStatus | str) -> Outcome:
    if isinstance(told, str):
        waits = told in ("waitingForFill", "waitingForTrigger")
        return Accepted(None, None) if waits else Unknown(told[:REASON_MAX], None)
    if told.error is not None:
        return Rejected("error", told.error[:REASON_MAX], None)
    taken = told.resting or told.filled
    if taken is None:
        return Unknown("neither an id nor a refusal", None)
    return Accepted(OrderId(str(taken.oid)), None)


class Wire(msgspec.Struct, frozen=True):
    """An order as it is signed: the order of these fields is part of the signature."""

    a: int
    b: bool
    p: str
    s: str
    r: bool
    t: dict[str, dict[str, str]]
    c: str


def encode_order(request: OrderRequest, asset: int) -> bytes:
    """Return the JSON of one order of an action that places orders, not signed yet.

    Args:
        request: what is asked for. There are no market orders: one is a limit order that does not stay, so that it
            needs the worst price that it may trade at.
        asset: the venue's number of the instrument.

    Raises:
        ConfigError: Hyperliquid does not take such an order; the message says what it takes.

    """
    if request.unit is not Unit.BASE:
        refuse_unit(request, Unit.BASE)
    if not _CLIENT_ID.fullmatch(request.client_id):
        raise ConfigError(
            f"{request.client_id[:50]!r} is not a client id of hyperliquid", ("0x and 32 hex digits in lower case",)
        )
    if request.price is None:
        raise ConfigError("a market order of hyperliquid without a bound", ("the worst price that it may trade at",))
    tif = _TIFS.get(TimeInForce.IOC if request.kind is OrderKind.MARKET else request.time_in_force)
    if tif is None or (request.kind is OrderKind.MARKET and request.time_in_force is TimeInForce.FOK):
        raise ConfigError(f"hyperliquid has no time in force {request.time_in_force}", ("gtc", "ioc"))
    wire = Wire(
        asset,
        request.side is Side.BUY,
        _price(request.price),
        _trimmed(request.quantity),
        False,
        {"limit": {"tif": tif}},
        request.client_id,
    )
    return msgspec.json.encode(wire)


def _price(price: Decimal) -> str:
    text = _trimmed(price)
    if "." in text and len(text.replace(".", "").lstrip("0")) > _FIGURES_MAX:
        raise ConfigError(f"{fixed(price)} is not a price of hyperliquid", ("5 significant figures", "an integer"))
    return text


def _trimmed(value: Decimal) -> str:
    """Return the number without zeros at its end, which the signature does not bear."""
    text = fixed(value)
    return text.rstrip("0").rstrip(".") if "." in text else text
