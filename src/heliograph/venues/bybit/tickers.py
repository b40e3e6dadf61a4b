"""Tickers as Bybit tells them: in pieces, of which each instrument's whole is kept.

Sources: https://bybit-exchange.github.io/docs/v5/websocket/public/ticker ("if a response param is not found in the
message, then its value has not changed") and https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook
(level 1, which spot has in place of a ticker's best bid and ask).
"""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import UNSET, UnsetType

from heliograph.clock import NS_PER_MS
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.market import BookTop, DayStatistics
from heliograph.model.numbers import Amounts, amount
from heliograph.venues.bybit.frames import RawBooks, RawLevel, RawTicker, RawTickers

Side = tuple[Decimal | None, Decimal | None]
"""Price and quantity; None both where there are no orders."""


class TickerMerge:
    """One instrument's ticker, merged from a snapshot and the deltas since.

    A piece that was never told is not known, and not zero: the top is told once all of it is known, the day once the
    last price is.

    Args:
        instrument: whose ticker.
        counts_contracts: whether volumes count contracts of one quote unit, and turnovers the base asset.

    """

    def __init__(self, instrument: Instrument, *, counts_contracts: bool) -> None:
        self._instrument = instrument
        self._counts_contracts = counts_contracts
        self._known: RawTicker | None = None

    def take(self, raw: RawTickers, prices: Amounts, received_ns: int, events: list[VenueEvent]) -> None:
        """Tell what a frame has changed; raise one of `FAULTS`, and change nothing, if it cannot be read."""
        data = raw.data
        top_changed = not (data.bid1Price is data.bid1Size is data.ask1Price is data.ask1Size is UNSET)
        day_changed = not (
            data.lastPrice is data.prevPrice24h is data.highPrice24h is data.lowPrice24h is UNSET
            and data.volume24h is data.turnover24h is UNSET
        )
        if raw.type == "delta" and self._known is not None:
            _fill(data, self._known)
        made: list[VenueEvent] = []
        if top_changed:
            bid, ask = _side(data.bid1Price, data.bid1Size, prices), _side(data.ask1Price, data.ask1Size, prices)
            if bid is not None and ask is not None:
                event_ns = raw.ts * NS_PER_MS
                made.append(BookTop(self._instrument, *bid, *ask, raw.cs, event_ns, received_ns))
        if day_changed and data.lastPrice:
            made.append(self.day(data, prices, raw.ts * NS_PER_MS, received_ns))
        self._known = data
        events.extend(made)

    def day(self, data: RawTicker, prices: Amounts, event_ns: int | None, received_ns: int) -> DayStatistics:
        """Make statistics of a whole ticker that has a last price."""
        assert isinstance(data.lastPrice, str)
        volume, turnover = _number(data.volume24h), _number(data.turnover24h)
        base, quote, contracts = (turnover, volume, volume) if self._counts_contracts else (volume, turnover, None)
        return DayStatistics(
            self._instrument,
            prices[data.lastPrice],
            _price(data.prevPrice24h, prices),
            _price(data.highPrice24h, prices),
            _price(data.lowPrice24h, prices),
            base,
            quote,
            contracts,
            None,
            event_ns,
            received_ns,
        )


class TopMerge:
    """One instrument's best bid and ask, from its book of one level.

    Frames are snapshots; deltas, which were sent until 2023, change the sides that they name.

    Args:
        instrument: whose.

    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._bid: Side | None = None
        self._ask: Side | None = None

    def take(self, raw: RawBooks, prices: Amounts, received_ns: int, events: list[VenueEvent]) -> None:
        """Tell the top as it stands after a frame; raise one of `FAULTS`, and change nothing, if it cannot be read."""
        data = raw.data
        whole = raw.type == "snapshot"
        bid = _best(data.b, prices) if data.b or whole else self._bid
        ask = _best(data.a, prices) if data.a or whole else self._ask
        self._bid, self._ask = bid, ask
        if bid is not None and ask is not None:
            events.append(BookTop(self._instrument, *bid, *ask, data.seq, raw.ts * NS_PER_MS, received_ns))


def top_of(data: RawTicker, instrument: Instrument, prices: Amounts, event_ns: int | None, received_ns: int) -> BookTop:
    """Make a book top of a whole ticker; raise `ValueError` if it has none."""
    bid, ask = _side(data.bid1Price, data.bid1Size, prices), _side(data.ask1Price, data.ask1Size, prices)
    if bid is None or ask is None:
        raise ValueError("a ticker without the best bid and ask")
    return BookTop(instrument, *bid, *ask, None, event_ns, received_ns)


def _fill(data: RawTicker, known: RawTicker) -> None:
    for name in RawTicker.__struct_fields__:
        if getattr(data, name) is UNSET:
            setattr(data, name, getattr(known, name))


def _price(text: str | UnsetType, prices: Amounts) -> Decimal | None:
    return prices[text] if text else None


def _number(text: str | UnsetType) -> Decimal | None:
    return amount(Decimal(text)) if text else None


def _side(price_text: str | UnsetType, size_text: str | UnsetType, prices: Amounts) -> Side | None:
    """Read a side, whose price is empty or zero where there are no orders; None if it was never told."""
    if price_text is UNSET or size_text is UNSET:
        return None
    price = _price(price_text, prices)
    return (price, _number(size_text)) if price else (None, None)


def _best(levels: Sequence[RawLevel], prices: Amounts) -> Side:
    for price_text, size in levels:
        if amount(size):
            return prices[price_text], size
    return None, None
