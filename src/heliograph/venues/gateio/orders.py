"""Gate's orders, fills and balances: what private frames and answers say of them, and how an order is asked for.

Sources: "Orders channel", "User trades channel" and "Spot balance channel" of
https://www.gate.com/docs/developers/apiv4/ws/en/ , the same of https://www.gate.com/docs/developers/futures/ws/en/ ,
and "Create an order", "Create a batch of orders" and "Create a futures order" of
https://www.gate.com/docs/developers/apiv4/en/ . An order's channel tells no fill by its id, and a fill's channel no
state: such reports say `unknown`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, InstrumentId, MarketId
from heliograph.model.market import Side
from heliograph.model.numbers import ZERO, amount, finite, fixed
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
from heliograph.venues.answering import asked_of, reading
from heliograph.venues.faults import FAULTS, REASON_MAX, reason_of
from heliograph.venues.gateio.control import sort
from heliograph.venues.gateio.instruments import COINM, GATEIO, USDM
from heliograph.venues.gateio.order_frames import (
    RawFuturesFill,
    RawFuturesOrder,
    RawPlaced,
    RawPrivate,
    RawSpotFill,
    RawSpotOrder,
    decode_frame,
    decode_futures_account,
    decode_futures_balances,
    decode_futures_fills,
    decode_futures_orders,
    decode_placed,
    decode_spot_balances,
    decode_spot_fills,
    decode_spot_orders,
)
from heliograph.venues.gateio.rest import RawRefusal
from heliograph.venues.gateio.times import instant_ns
from heliograph.venues.ordering import check_no_bound, matched, of_status, undecided

_PREFIX: Final = "t-"
"""What every id that a client chose begins with at Gate."""
_CLIENT_ID: Final = re.compile(r"[0-9A-Za-z_.-]{1,28}")
_STATES: Final = {
    "filled": OrderState.FILLED,
    "closed": OrderState.FILLED,
    "ioc": OrderState.EXPIRED,
    "fok": OrderState.EXPIRED,
    "cancelled": OrderState.CANCELED,
    "liquidate_cancelled": OrderState.CANCELED,
    "liquidated": OrderState.CANCELED,
    "auto_deleveraged": OrderState.CANCELED,
    "small": OrderState.CANCELED,
    "depth_not_enough": OrderState.CANCELED,
    "trader_not_enough": OrderState.CANCELED,
    "poc": OrderState.CANCELED,
    "stp": OrderState.CANCELED,
    "reduce_only": OrderState.CANCELED,
    "reduce_out": OrderState.CANCELED,
    "position_closed": OrderState.CANCELED,
}
_OPEN: Final = frozenset({"open", "put", "update", "_new", "_update"})
_CLEAR: Final = frozenset({"", "open", "filled", "closed", "cancelled", "put", "update", "_new", "_update"})
"""Words that are a state and no reason."""
_DOUBTFUL: Final = frozenset({"", "SERVER_ERROR", "INTERNAL"})
"""Labels of a venue that does not know itself what became of the request."""

T = TypeVar("T")
Report = OrderReport | BalanceReport
Instruments = Mapping[InstrumentId, Instrument]
_decode_refusal: Final = msgspec.json.Decoder(RawRefusal).decode


class _Telling(msgspec.Struct):
    """What each report of one frame needs besides the frame."""

    instruments: Instruments
    received_ns: int
    sent_ns: int | None = None

    def instrument(self, symbol: str, *, spot: bool) -> Instrument:
        return instrument_among(self.instruments, GATEIO, SPOT if spot else _market_of(symbol), symbol)


def decode_private(frame: bytes, received_ns: int, instruments: Instruments) -> list[Report]:
    """Read a frame of a private channel, or an answer of the socket for orders; other documented frames tell nothing.

    Args:
        frame: the frame.
        received_ns: when it came.
        instruments: those that are known, by id.

    Raises:
        DecodeError: the frame is not what Gate documents.

    """
    try:
        raw = decode_frame(frame)
        sent_ns = None if raw.time_ms is None else raw.time_ms * NS_PER_MS
        telling = _Telling(instruments, received_ns, sent_ns)
        if raw.header is not None:
            return _answered(raw, telling)
        read = _READERS.get(raw.channel) if raw.event == "update" else None
        if read is None:
            sort(frame)
            return []
        return read(bytes(raw.result), telling)
    except FAULTS as e:
        raise DecodeError(f"not a private frame of gateio: {reason_of(e)}") from e


def read_private(url: str, body: bytes, received_ns: int, instruments: Instruments) -> list[Report]:
    """Read an answer of REST to a question for orders, fills or balances.

    Args:
        url: what was asked: a URL, or its path and query.
        body: the answer.
        received_ns: when it came.
        instruments: those that are known, by id.

    Raises:
        DecodeError: the answer is not what is documented, or the question is not known.

    """
    with reading(url):
        steps = asked_of(url).path.strip("/").split("/")
        spot = "spot" in steps
        name = "orders" if "orders" in steps else steps[-1]
        read = _ANSWERS.get((spot, name))
        if read is None:
            raise ValueError("an answer to something that is not known")
        return read(body, _Telling(instruments, received_ns))


def _answered(raw: RawPrivate, telling: _Telling) -> list[Report]:
    if raw.header is None or raw.data is None or raw.ack or raw.data.errs:
        return []
    prefix, _, name = raw.header.channel.partition(".")
    if name not in ("order_place", "order_cancel", "order_status", "order_amend"):
        return []
    return (_spot_orders if prefix == "spot" else _futures_orders)(bytes(raw.data.result), telling)


def _market_of(contract: str) -> MarketId:
    quote = contract.split("_")[1:2]
    if quote not in (["USDT"], ["USD"]):
        raise ValueError(f"not a contract: {contract[:50]!r}")
    return USDM if quote == ["USDT"] else COINM


def _settle_of(contract: str) -> str:
    return "USDT" if _market_of(contract) == USDM else "BTC"


def _client_id(text: str) -> ClientId | None:
    return ClientId(text.removeprefix(_PREFIX)) if text.startswith(_PREFIX) else None


def _origin(text: str, *, liquidation: bool = False) -> Origin:
    """Return who made an order: what a client calls it begins with `t-` and says nothing of that."""
    if text == "auto_deleveraging":
        return Origin.DELEVERAGING
    system = not text.startswith(_PREFIX) and ("liq" in text or text == "insurance")
    return Origin.LIQUIDATION if liquidation or system else Origin.USER


def _state(word: str, filled: Decimal | None) -> OrderState:
    if word in _OPEN:
        return OrderState.PARTIALLY_FILLED if filled else OrderState.OPEN
    return _STATES.get(word, OrderState.UNKNOWN)


def _positive(value: Decimal) -> Decimal | None:
    return amount(value) or None


def _listed(raw: T | list[T]) -> list[T]:
    return raw if isinstance(raw, list) else [raw]


def _spot_orders(body: bytes, telling: _Telling) -> list[Report]:
    return [_spot_order(raw, telling) for raw in _listed(decode_spot_orders(body))]


def _spot_order(raw: RawSpotOrder, telling: _Telling) -> OrderReport:
    in_quote = raw.type == "market" and raw.side == "buy"
    total, left = amount(raw.amount), amount(raw.left)
    filled = raw.filled_amount if raw.filled_amount is not None or in_quote else total - left
    word = raw.finish_as or raw.status or raw.event
    if word == "finish":  # Of frames before 2023, which do not say how.
        word = "cancelled" if left else "filled"
    return OrderReport(
        telling.instrument(raw.currency_pair, spot=True),
        OrderId(raw.id),
        _client_id(raw.text),
        _state(word, total - left),
        word,
        Side(raw.side),
        None if in_quote else total,
        _positive(raw.price),
        None if filled is None else amount(filled),
        None if raw.update_time_ms is None else instant_ns(raw.update_time_ms, NS_PER_MS),
        telling.received_ns,
        _origin(raw.text),
        reason=None if word in _CLEAR else word,
    )


def _futures_orders(body: bytes, telling: _Telling) -> list[Report]:
    return [_futures_order(raw, telling) for raw in _listed(decode_futures_orders(body))]


def _futures_order(raw: RawFuturesOrder, telling: _Telling) -> OrderReport:
    size, left = amount(raw.size.copy_abs()), amount(raw.left.copy_abs())
    word = raw.finish_as or raw.status
    return OrderReport(
        telling.instrument(raw.contract, spot=False),
        OrderId(str(raw.id)),
        _client_id(raw.text),
        _state(word, size - left),
        word,
        _side_of(raw.size),
        size,
        _positive(raw.price),
        amount(size - left),
        raw.finish_time_ms * NS_PER_MS or telling.sent_ns,
        telling.received_ns,
        _origin(raw.text, liquidation=raw.is_liq),
        reason=None if word in _CLEAR else word,
    )


def _side_of(size: Decimal) -> Side:
    if not size:
        raise ValueError("an order or a fill of nothing, which has no side")
    return Side.BUY if size > 0 else Side.SELL


def _paid(*told: tuple[Decimal, str | None]) -> tuple[Decimal, str | None]:
    """Return the first fee that is not zero, and its currency; of a fee of zero the first currency."""
    return next(((finite(fee), currency) for fee, currency in told if fee), (ZERO, told[0][1]))


def _spot_fills(body: bytes, telling: _Telling) -> list[Report]:
    return [
        _filled(
            raw,
            telling,
            telling.instrument(raw.currency_pair, spot=True),
            Side(raw.side),
            raw.amount,
            _paid((raw.fee, raw.fee_currency), (raw.gt_fee, "GT"), (raw.point_fee, "POINT")),
        )
        for raw in decode_spot_fills(body)
    ]


def _futures_fills(body: bytes, telling: _Telling) -> list[Report]:
    return [
        _filled(
            raw,
            telling,
            telling.instrument(raw.contract, spot=False),
            _side_of(raw.size),
            raw.size.copy_abs(),
            _paid((raw.fee, _settle_of(raw.contract)), (raw.point_fee, "POINT")),
        )
        for raw in decode_futures_fills(body)
    ]


def _filled(
    raw: RawSpotFill | RawFuturesFill,
    telling: _Telling,
    instrument: Instrument,
    side: Side,
    quantity: Decimal,
    paid: tuple[Decimal, str | None],
) -> OrderReport:
    event_ns = instant_ns(raw.create_time_ms, NS_PER_MS)
    maker = {"maker": True, "taker": False}.get(raw.role)
    fill = Execution(ExecutionId(str(raw.id)), amount(raw.price), amount(quantity), *paid, maker, event_ns)
    return OrderReport(
        instrument,
        OrderId(str(raw.order_id)),
        _client_id(raw.text),
        OrderState.UNKNOWN,
        "",
        side,
        None,
        None,
        None,
        event_ns,
        telling.received_ns,
        _origin(raw.text),
        execution=fill,
    )


def _spot_balances(body: bytes, telling: _Telling) -> list[Report]:
    return [
        BalanceReport(
            raw.currency.upper(),
            finite(raw.available),
            None if (locked := raw.freeze if raw.locked is None else raw.locked) is None else finite(locked),
            None if raw.total is None else finite(raw.total),
            None if raw.timestamp_ms is None else instant_ns(raw.timestamp_ms, NS_PER_MS),
            telling.received_ns,
        )
        for raw in decode_spot_balances(body)
    ]


def _futures_balances(body: bytes, telling: _Telling) -> list[Report]:
    return [
        BalanceReport(
            raw.currency.upper() or _settle_of(raw.text.partition(":")[0]),
            None,
            None,
            finite(raw.balance),
            None if raw.time_ms is None else raw.time_ms * NS_PER_MS,
            telling.received_ns,
        )
        for raw in decode_futures_balances(body)
    ]


def _futures_account(body: bytes, telling: _Telling) -> list[Report]:
    raw = decode_futures_account(body)
    locked = finite(raw.position_margin) + finite(raw.order_margin)
    held = (finite(raw.available), finite(locked), finite(raw.total))
    return [BalanceReport(raw.currency.upper(), *held, None, telling.received_ns)]


_Reader = Callable[[bytes, _Telling], list[Report]]
_READERS: Final[Mapping[str, _Reader]] = {
    "spot.orders": _spot_orders,
    "spot.usertrades": _spot_fills,
    "spot.balances": _spot_balances,
    "futures.orders": _futures_orders,
    "futures.usertrades": _futures_fills,
    "futures.balances": _futures_balances,
}
_ANSWERS: Final[Mapping[tuple[bool, str], _Reader]] = {
    (True, "orders"): _spot_orders,
    (True, "my_trades"): _spot_fills,
    (True, "accounts"): _spot_balances,
    (False, "orders"): _futures_orders,
    (False, "accounts"): _futures_account,
}


def outcomes(status: int | None, body: bytes, client_ids: Sequence[ClientId | None]) -> list[Outcome]:
    """Tell what came of a request to place orders, one by one; never raises.

    Args:
        status: HTTP's; None where no answer came.
        body: the answer.
        client_ids: of the orders that were asked for, in their order.

    """
    if (doubt := undecided(status)) is not None or status is None:
        return all_unknown(doubt or "", client_ids)
    try:
        if status < 400:
            return matched(client_ids, [_outcome(raw) for raw in _listed(decode_placed(body))])
        refusal = _decode_refusal(body)
    except FAULTS:
        return of_status(status, client_ids)
    label, message = refusal.label[:REASON_MAX], refusal.message[:REASON_MAX]
    return all_unknown(message, client_ids) if label in _DOUBTFUL else all_rejected(label, message, client_ids)


def _outcome(raw: RawPlaced) -> Outcome:
    client_id = _client_id(raw.text)
    if raw.succeeded and raw.id is not None:
        return Accepted(OrderId(str(raw.id)), client_id)
    message = raw.message[:REASON_MAX]
    if raw.succeeded or raw.label in _DOUBTFUL:
        return Unknown(message or "neither an id nor a refusal", client_id)
    return Rejected(raw.label[:REASON_MAX], message, client_id)


def encode_order(request: OrderRequest) -> bytes:
    """Return the JSON to place an order with.

    Raises:
        ConfigError: Gate does not take such an order; the message says what it takes.

    """
    if not _CLIENT_ID.fullmatch(request.client_id):
        what = f"{request.client_id[:50]!r} is not a client id of gateio"
        raise ConfigError(what, ("1 to 28 letters, digits, '_', '-' and '.'",))
    spot = request.instrument.market == SPOT
    return msgspec.json.encode(_spot_words(request) if spot else _futures_words(request))


def _spot_words(request: OrderRequest) -> dict[str, str]:
    market = request.kind is OrderKind.MARKET
    taken = Unit.QUOTE if market and request.side is Side.BUY else Unit.BASE
    if request.unit is not taken:
        refuse_unit(request, taken)
    words = {
        "text": _PREFIX + request.client_id,
        "currency_pair": request.instrument.venue_symbol,
        "type": request.kind.value,
        "account": "spot",
        "side": request.side.value,
        "amount": fixed(request.quantity),
    }
    if market:
        check_no_bound(request)
        tif = TimeInForce.FOK if request.time_in_force is TimeInForce.FOK else TimeInForce.IOC
        return {**words, "time_in_force": tif.value}
    return {**words, "price": _priced(request), "time_in_force": request.time_in_force.value}


def _futures_words(request: OrderRequest) -> dict[str, str | int]:
    if request.unit is not Unit.CONTRACTS:
        refuse_unit(request, Unit.CONTRACTS)
    if request.quantity != request.quantity.to_integral_value():
        raise ConfigError(f"{fixed(request.quantity)} contracts of gateio", ("a whole number of contracts",))
    size = int(request.quantity)
    words: dict[str, str | int] = {
        "text": _PREFIX + request.client_id,
        "contract": request.instrument.venue_symbol,
        "size": size if request.side is Side.BUY else -size,
        "price": _priced(request),
    }
    market = request.kind is OrderKind.MARKET and request.time_in_force is not TimeInForce.FOK
    return {**words, "tif": TimeInForce.IOC.value if market else request.time_in_force.value}


def _priced(request: OrderRequest) -> str:
    """Return the price as text; a market order of contracts has none, or the worst one that is wanted."""
    return "0" if request.price is None else fixed(request.price)
