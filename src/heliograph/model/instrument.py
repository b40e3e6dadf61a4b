"""What can be traded, where, and in which units."""

import enum
from decimal import Decimal
from typing import NewType

import msgspec

from heliograph.clock import iso_ms
from heliograph.model.pair import pair_of

VenueId = NewType("VenueId", str)
MarketId = NewType("MarketId", str)
InstrumentId = NewType("InstrumentId", str)

SPOT = MarketId("spot")


class Kind(enum.StrEnum):
    """What sort of contract an instrument is."""

    SPOT = "spot"
    PERPETUAL = "perpetual"
    FUTURE = "future"
    OPTION = "option"


class Instrument(msgspec.Struct, frozen=True):
    """One tradable thing at one market of one venue.

    Only the venue, the market and the venue's own symbol are certain: whoever read no list of instruments knows no
    more, and the other fields are then None.
    """

    venue: VenueId
    market: MarketId
    venue_symbol: str
    """The venue's own name, in the venue's own case, such as `BTCUSDT` or `BTCUSD_PERP`."""
    base: str | None = None
    quote: str | None = None
    settle: str | None = None
    """The asset that profit is paid in; None for spot."""
    kind: Kind | None = None
    expiry_ns: int | None = None
    tick_size: Decimal | None = None
    """Smallest step of a price, in quote per base."""
    lot_size: Decimal | None = None
    """Smallest step of a quantity, in the venue's unit of quantity (base, or contracts)."""
    contract_size: Decimal | None = None
    """What one contract is worth: base if linear, quote if inverse; None where quantity is in base."""
    trading: bool = True
    """Whether the venue takes orders for it at present."""
    id: InstrumentId = InstrumentId("")
    """`venue:market:venue_symbol`, unique, and cheap to hash; filled in by the constructor."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "id", InstrumentId(f"{self.venue}:{self.market}:{self.venue_symbol}"))

    @property
    def exchange(self) -> str:
        """The name that streams carry: the venue, and the market too unless it is spot."""
        return str(self.venue) if self.market == SPOT else f"{self.venue}_{self.market}"

    @property
    def pair(self) -> str:
        """The symbol that streams carry: upper case, without separators, wherever that says which instrument it is."""
        return pair_of(self.venue_symbol)

    @property
    def symbol(self) -> str:
        """`BTC/USDT`, `BTC/USDT:USDT`, `BTC/USD:BTC-261225`, or the venue's own name where nothing more is known."""
        if self.base is None or self.quote is None:
            return self.venue_symbol
        name = f"{self.base}/{self.quote}"
        if self.settle is not None:
            name += f":{self.settle}"
        if self.expiry_ns is not None:
            name += f"-{iso_ms(self.expiry_ns)[2:10].replace('-', '')}"
        return name
