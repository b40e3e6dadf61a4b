"""Events as rows of tables, one kind a table: the columns' names and order are those of the bus, in `wire`.

A cell is text: times are ISO 8601 in UTC with milliseconds, amounts have the venue's digits, and what the venue does
not say is empty. Nothing in a row depends on when or how often it was asked for, so that a table made twice is the
same table twice; only trades, tickers and gaps without a time of the venue's carry that of their receipt instead.
Books are nested and have no table.
"""

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from heliograph.clock import iso_ms
from heliograph.model.event import Event, VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.market import BookTop, Candle, DayStatistics, Gap, Ticker, Trade
from heliograph.model.numbers import fixed


class Content(enum.Enum):
    """What a column holds."""

    TEXT = enum.auto()
    TIME = enum.auto()
    AMOUNT = enum.auto()
    COUNT = enum.auto()
    FLAG = enum.auto()


class Column(NamedTuple):
    """One column of a table."""

    name: str
    content: Content
    cell: Callable[[Any], str]
    """Renders the cell of an event."""


def _text(name: str, source: str | None = None) -> Column:
    field = source or name
    return Column(name, Content.TEXT, lambda item: "" if (v := getattr(item, field)) is None else _quoted(str(v)))


def _time(name: str, source: str) -> Column:
    return Column(name, Content.TIME, lambda item: "" if (v := getattr(item, source)) is None else iso_ms(v))


def _amount(name: str, source: str | None = None) -> Column:
    field = source or name
    return Column(name, Content.AMOUNT, lambda item: "" if (v := getattr(item, field)) is None else fixed(v))


def _count(name: str) -> Column:
    return Column(name, Content.COUNT, lambda item: "" if (v := getattr(item, name)) is None else str(v))


def _flag(name: str) -> Column:
    return Column(name, Content.FLAG, lambda item: "true" if getattr(item, name) else "false")


def _quoted(text: str) -> str:
    if '"' in text or "," in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def _received(item: Any) -> str:
    return iso_ms(item.received_ns) if item.received_ns else ""  # Frames of a file may not say when they came.


_NAMES: Final = (
    Column("exchange", Content.TEXT, lambda item: _quoted(item.instrument.exchange)),
    Column("symbol", Content.TEXT, lambda item: _quoted(item.instrument.symbol)),
)
_STAMP: Final = Column(
    "timestamp", Content.TIME, lambda item: _received(item) if item.event_ns is None else iso_ms(item.event_ns)
)
_EVENT_TIME: Final = _time("event_time", "event_ns")
_PRICES: Final = (_amount("open"), _amount("high"), _amount("low"))
_VOLUMES: Final = (_amount("base_volume"), _amount("quote_volume"), _amount("contracts"), _count("trade_count"))

COLUMNS: Final[Mapping[type, tuple[Column, ...]]] = {
    Candle: (
        *_NAMES, _text("interval"), _time("open_time", "open_ns"), _time("close_time", "close_ns"), *_PRICES,
        _amount("close"), *_VOLUMES, _flag("closed"), _EVENT_TIME, _text("source"),
    ),
    Trade: (
        *_NAMES, _STAMP, _amount("price"), _amount("quantity"), _text("side"), _text("trade_id"), _count("sequence"),
        _text("cause"), _EVENT_TIME, _text("source"),
    ),
    Ticker: (
        *_NAMES, _STAMP, _amount("last_price", "last"), _amount("bid_price", "bid"), _amount("ask_price", "ask"),
        _amount("volume_24h", "base_volume_24h"), _amount("bid_quantity"), _amount("ask_quantity"),
        _amount("quote_volume_24h"), _amount("contracts_24h"), _EVENT_TIME,
    ),
    Gap: (
        *_NAMES, _text("channel"), _text("interval"), _time("from_time", "from_ns"), _time("to_time", "to_ns"),
        _count("from_sequence"), _count("to_sequence"), _text("reason"), Column("timestamp", Content.TIME, _received),
    ),
    BookTop: (
        *_NAMES, _amount("bid_price", "bid"), _amount("bid_quantity"), _amount("ask_price", "ask"),
        _amount("ask_quantity"), _count("sequence"), _EVENT_TIME,
    ),
    DayStatistics: (*_NAMES, _amount("last_price", "last"), *_PRICES, *_VOLUMES, _EVENT_TIME),
    Instrument: (
        _text("exchange"), _text("symbol"), _text("venue_symbol"), _text("base"), _text("quote"), _text("settle"),
        _text("kind"), _time("expiry_time", "expiry_ns"), _amount("tick_size"), _amount("lot_size"),
        _amount("contract_size"), _flag("trading"),
    ),
}  # fmt: skip
"""The tables that there are, by what their rows are made of."""


def header(kind: type) -> str:
    """Return the first line of a CSV table, with its end."""
    return ",".join(column.name for column in COLUMNS[kind]) + "\n"


def row(item: VenueEvent | Event | Instrument) -> str:
    """Return an event's line of its CSV table, with its end.

    Source: https://www.rfc-editor.org/rfc/rfc4180 (with a bare line feed, which its readers take as well)
    """
    return ",".join([column.cell(item) for column in COLUMNS[type(item)]]) + "\n"
