"""Orders: what is asked of a venue, what came of asking, and what the venue says of orders and balances later.

Quantities are in the venue's unit (base, or contracts), as the instrument explains, and prices in quote per base.
Times are nanoseconds since the epoch, UTC.
"""

import enum
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, NewType, NoReturn

import msgspec

from heliograph.errors import ConfigError
from heliograph.model.instrument import Instrument, InstrumentId, MarketId, VenueId
from heliograph.model.market import Side
from heliograph.model.numbers import ZERO, finite

OrderId = NewType("OrderId", str)
"""The venue's id of an order."""
ClientId = NewType("ClientId", str)
"""Our id of an order, chosen before it is sent."""
ExecutionId = NewType("ExecutionId", str)
"""The venue's id of one fill, unique for its instrument."""


class OrderState(enum.StrEnum):
    """What an order is at the venue, whatever words the venue has for it."""

    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNKNOWN = "unknown"

    @property
    def terminal(self) -> bool:
        """Whether the order will not trade any more; fills of before may still be told."""
        return self in _TERMINAL


_TERMINAL: Final = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED})


class Origin(enum.StrEnum):
    """Who made an order. What the venue made itself is never a strategy's, whatever client id it bears."""

    USER = "user"
    LIQUIDATION = "liquidation"
    DELEVERAGING = "deleveraging"
    SETTLEMENT = "settlement"


class Execution(msgspec.Struct, frozen=True):
    """One fill of an order, in whole told once; a venue may tell it again under the same id."""

    execution_id: ExecutionId
    price: Decimal
    quantity: Decimal
    fee: Decimal | None
    """What was paid, in `fee_asset`; negative for a rebate."""
    fee_asset: str | None
    maker: bool | None
    event_ns: int | None


class OrderReport(msgspec.Struct, frozen=True):
    """What the venue says of one order at one moment; None is what it does not say."""

    instrument: Instrument
    order_id: OrderId
    client_id: ClientId | None
    """The id under which the order was placed, also where a cancellation has one of its own."""
    state: OrderState
    venue_state: str
    """The venue's own word."""
    side: Side | None
    quantity: Decimal | None
    """What was asked for in all."""
    price: Decimal | None
    """The limit."""
    filled: Decimal | None
    """What has been filled so far, in all."""
    event_ns: int | None
    received_ns: int
    origin: Origin = Origin.USER
    replaces: OrderId | None = None
    """The order that this one was made to replace, where a replacement has a new id."""
    execution: Execution | None = None
    """The fill that comes with this report; it counts in a terminal state too."""
    reason: str | None = None
    """Why, in the venue's words: of a rejection, an expiry or a cancellation."""


class BalanceReport(msgspec.Struct, frozen=True):
    """What an account holds of one asset; None is what the venue does not say."""

    asset: str
    available: Decimal | None
    """What can be used for new orders or withdrawn."""
    locked: Decimal | None
    total: Decimal | None
    event_ns: int | None
    received_ns: int


class Accepted(msgspec.Struct, frozen=True, tag="accepted"):
    """The venue took the order; it may still refuse it later, in a report."""

    order_id: OrderId | None
    """None where the venue tells it only in a report."""
    client_id: ClientId | None


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """The venue's proof that the order is not at work and never was."""

    code: str
    reason: str
    client_id: ClientId | None


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """No proof either way: the order may be at work. Ask by its client id before anything else; never send again."""

    reason: str
    client_id: ClientId | None


Outcome = Accepted | Rejected | Unknown
"""What came of asking for one order; a batch has one for each."""


class Unit(enum.StrEnum):
    """What an order's quantity counts."""

    BASE = "base"
    QUOTE = "quote"
    CONTRACTS = "contracts"


class OrderKind(enum.StrEnum):
    """Whether an order waits for its price or takes what is there."""

    LIMIT = "limit"
    MARKET = "market"


class TimeInForce(enum.StrEnum):
    """How long an order stays: until cancelled, for what fills at once, or all at once or nothing."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class OrderRequest(msgspec.Struct, frozen=True):
    """An order that is to be placed.

    Raises:
        ConfigError: a quantity or price that is not positive and finite, or a limit order without a price.

    """

    instrument: Instrument
    side: Side
    kind: OrderKind
    quantity: Decimal
    unit: Unit
    price: Decimal | None
    """The limit, in quote per base; of a market order the worst price that it may trade at, where a venue asks so."""
    time_in_force: TimeInForce
    """A market order has none but what the venue gives it."""
    client_id: ClientId

    def __post_init__(self) -> None:
        _check_positive("quantity", self.quantity)
        if self.price is not None:
            _check_positive("price", self.price)
        elif self.kind is OrderKind.LIMIT:
            raise ConfigError("a limit order needs a price")


def _check_positive(name: str, value: Decimal) -> None:
    try:
        if finite(value) > ZERO:
            return
    except ValueError as e:
        raise ConfigError(f"the {name} of an order is {e}", ("a positive number of at most 38 digits",)) from e
    raise ConfigError(f"the {name} of an order is {value}", ("a positive number of at most 38 digits",))


class Executions:
    """The fills that were seen lately: a venue tells one twice, and it must count once.

    Args:
        size_max: how many are remembered, the oldest forgotten first.

    """

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._seen: dict[tuple[InstrumentId, ExecutionId], None] = {}

    def is_first(self, report: OrderReport) -> bool:
        """Tell whether the report brings a fill that was not seen before, and remember it."""
        if report.execution is None or (key := (report.instrument.id, report.execution.execution_id)) in self._seen:
            return False
        if len(self._seen) >= self._size_max:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = None
        return True


def instrument_among(
    instruments: Mapping[InstrumentId, Instrument], venue: VenueId, market: MarketId, symbol: str
) -> Instrument:
    """Return the known instrument of a symbol, or one of which only the symbol is known: no order is passed over."""
    bare = Instrument(venue, market, symbol)
    return instruments.get(bare.id, bare)


def all_unknown(reason: str, client_ids: Sequence[ClientId | None]) -> list[Outcome]:
    """Return the outcome of a request that was not clearly answered, for each of its orders."""
    return [Unknown(reason, client_id) for client_id in client_ids]


def all_rejected(code: str, reason: str, client_ids: Sequence[ClientId | None]) -> list[Outcome]:
    """Return the outcome of a request that was refused as a whole, for each of its orders."""
    return [Rejected(code, reason, client_id) for client_id in client_ids]


def refuse_unit(request: OrderRequest, *taken: Unit) -> NoReturn:
    """Refuse an order whose quantity counts what its venue cannot take.

    Raises:
        ConfigError: always; it says which units the venue takes.

    """
    what = f"a {request.kind} {request.side} of {request.instrument.id} is not sized in {request.unit}"
    raise ConfigError(what, tuple(str(unit) for unit in taken))
