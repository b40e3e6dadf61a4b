"""Events as JSON lines for people and scripts: every field by its name, nothing converted.

Instruments are their ids, times are nanoseconds, amounts are decimal text. The JSON of the bus is in `wire`.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.model.event import Event, VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.numbers import fixed

KINDS: Final = {
    "Candle": "candle",
    "BookTop": "book_top",
    "DayStatistics": "day_statistics",
    "Ticker": "ticker",
    "Trade": "trade",
    "BookSnapshot": "book_snapshot",
    "BookDelta": "book_delta",
    "Gap": "gap",
    "Instrument": "instrument",
}
"""What each kind of event is called, by the name of its struct."""

# What would clash with the line's own `kind`, and an instrument's id, which the events call `instrument`.
_NAMES: Final = {"kind": "contract_kind", "id": "instrument"}


def render(item: VenueEvent | Event | Instrument, *, received: bool = True) -> str:
    """Return one line of JSON, without its end: `kind`, `instrument`, then the fields in the order of their struct.

    Args:
        item: what to render.
        received: whether the time of receipt is known; if not, it is null.

    """
    row: dict[str, object] = {"kind": KINDS[type(item).__name__]}
    for name in item.__struct_fields__:
        row[_NAMES.get(name, name)] = _plain(getattr(item, name))
    if row.get("reset") is False:  # Nearly always, and then not worth saying.
        del row["reset"]
    if not received and "received_ns" in row:
        row["received_ns"] = None
    return msgspec.json.encode(row).decode()


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return fixed(value)
    if isinstance(value, Instrument):
        return value.id
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
