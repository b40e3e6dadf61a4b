"""Gate's REST answers: requests for what a feed lacks, and what their bodies mean.

Sources: "Market candlesticks", "Get futures candlesticks", "Retrieve order book" and "Futures order book" of
https://www.gate.com/docs/developers/apiv4/en/ . A window counts both its ends, and one of more candles than an answer
holds is refused ("Candlestick range too broad"), as is one that begins more than 10 000 candles ago ("Candlestick too
long ago"): https://github.com/ccxt/ccxt/issues/17464 and https://github.com/ccxt/ccxt/issues/27887 .
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookSnapshot, Level
from heliograph.model.instrument import SPOT, Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Source
from heliograph.model.numbers import amount, parse
from heliograph.venues.contract import BookPage, CandlePage, Request, VenueError
from heliograph.venues.gateio.bars import Units, Volumes, volumes_of
from heliograph.venues.gateio.frames import (
    FAULTS,
    RawBook,
    RawLevel,
    RawObject,
    RawRow,
    decode_book,
    decode_objects,
    decode_rows,
)
from heliograph.venues.gateio.times import instant_ns, seconds_ns

SETTLED_NS: Final = 10 * NS_PER_S
"""How far past its end the venue's time must be for a last row to be final that does not say so itself.

An answer may be some seconds old when it is read, and bars of other venues were seen to change up to 2 s after.
"""
LATE_NS: Final = 3 * NS_PER_S
"""How far past its end the venue's time must be for a row to be final that is followed by another one."""


class Rest(msgspec.Struct, frozen=True):
    """How one market's REST interface differs from the others'."""

    market: MarketId
    prefix: str
    """Such as `/api/v4/futures/usdt`."""
    symbol: str
    """The name of the parameter that names the instrument."""
    units: Units
    lengths: Mapping[Interval, str]
    """Gate's names of the lengths of candles."""
    rows_max: int
    """Candles of one answer."""
    depth_max: int
    """Levels of one snapshot."""


def page_end(page: CandlePage, rows_max: int) -> int:
    """Return the last open time that one answer to this page can reach.

    It reaches one candle beyond what is wanted: its presence proves the one before it closed.
    """
    length_ns = page.interval.length_ns
    step_ns = 28 * 86_400 * NS_PER_S if length_ns is None else length_ns  # No month is shorter.
    end_ns = page.interval.open_of(page.from_ns + (rows_max - 1) * step_ns)
    return end_ns if page.to_ns is None else min(end_ns, page.interval.next_open(page.to_ns))


def candle_request(rest: Rest, page: CandlePage) -> Request:
    """Ask for the first candles of a range. There is no `limit`, which Gate refuses beside a window."""
    return Request(
        f"{rest.prefix}/candlesticks",
        (
            (rest.symbol, page.instrument.venue_symbol),
            ("interval", rest.lengths[page.interval]),
            ("from", str(page.from_ns // NS_PER_S)),
            ("to", str(page_end(page, rest.rows_max) // NS_PER_S)),
        ),
        1,
        page,
    )


def book_request(rest: Rest, instrument: Instrument) -> Request:
    """Ask for a snapshot of the book, with the number that joins it to the updates."""
    query = ((rest.symbol, instrument.venue_symbol), ("limit", str(rest.depth_max)), ("with_id", "true"))
    return Request(f"{rest.prefix}/order_book", query, 1, BookPage(instrument))


class RawRefusal(msgspec.Struct):
    """The body of an answer that is an error; some have no message, those of dated contracts a `detail`."""

    label: str
    message: str = ""
    detail: str = ""


def parse_error(status: int, body: bytes) -> VenueError:
    """Read the body of an answer that is not a success: `{label,message}`, or what stands before the venue says."""
    try:
        refusal = msgspec.json.decode(body, type=RawRefusal)
    except FAULTS:
        return VenueError(str(status), body[:200].decode("utf-8", "replace"))
    return VenueError(refusal.label, refusal.message or refusal.detail)


class Row(NamedTuple):
    """A candle of an answer of any market."""

    open_ns: int
    prices: tuple[str, str, str, str]
    """Open, high, low, close."""
    volumes: Volumes
    closed: bool
    """Whether the row itself says so."""


def read_rows(rest: Rest, instrument: Instrument, body: bytes) -> list[Row]:
    """Read a candlesticks answer; raises one of `FAULTS`."""
    if rest.market == SPOT:
        return [_spot_row(raw) for raw in decode_rows(body)]
    return [_futures_row(rest.units, instrument, raw) for raw in decode_objects(body)]


def _spot_row(raw: RawRow) -> Row:
    open_ns = seconds_ns(raw.t)
    base = None if raw.base is None else amount(parse(raw.base))
    volumes = (base, amount(parse(raw.quote)), None)
    return Row(open_ns, (raw.open, raw.high, raw.low, raw.close), volumes, raw.closed == "true")


def _futures_row(units: Units, instrument: Instrument, raw: RawObject) -> Row:
    # What `sum` counts on an inverse contract is documented as quote, and not seen.
    settled = raw.sum if units is Units.LINEAR else None
    volumes = volumes_of(units, instrument, raw.v, settled)
    return Row(raw.t * NS_PER_S, (raw.o, raw.h, raw.l, raw.c), volumes, False)


def to_candle(row: Row, instrument: Instrument, interval: Interval, received_ns: int, *, closed: bool) -> Candle:
    """Make a candle of a row; raise `ValueError` if it cannot be one."""
    o, h, l, c = (parse(price) for price in row.prices)  # noqa: E741 (the venue's name)
    if not (0 <= l <= o <= h and l <= c <= h):
        raise ValueError(f"prices out of order: open {o}, high {h}, low {l}, close {c}")
    open_ns = row.open_ns
    if interval.open_of(open_ns) != open_ns:
        raise ValueError(f"a candle of {interval.value} that opens at {open_ns // NS_PER_S}")
    base, quote, contracts = row.volumes
    close_ns = interval.next_open(open_ns)
    return Candle(
        instrument, interval, open_ns, close_ns, o, h, l, c, base, quote, contracts,
        None, closed, None, received_ns, Source.REST,
    )  # fmt: skip


class CandleAnswer(msgspec.Struct, frozen=True):
    """What an answer to a page of candles told, and what is still to be asked."""

    candles: list[Candle]
    following: CandlePage | None


def read_candles(rest: Rest, page: CandlePage, body: bytes, venue_ns: int, received_ns: int) -> CandleAnswer:
    """Read an answer to a page of candles; raises one of `FAULTS`.

    A row is closed if it says so, as those of spot do, or if it ended well before the newest instant that the venue
    told us, be it `venue_ns` or the opening of the last row: our own clock proves nothing, and the live bar is in every
    answer that reaches the present. In a range that ends, whose asker has waited for what is late, it suffices that
    another row follows.
    """
    rows = read_rows(rest, page.instrument, body)
    if any(a.open_ns >= b.open_ns for a, b in pairwise(rows)):
        raise ValueError("candles that are not in ascending order")
    proven_ns = max([venue_ns, *(row.open_ns for row in rows[-1:])])
    end_ns = page_end(page, rest.rows_max)
    wanted_ns = end_ns if page.to_ns is None else page.to_ns
    candles: list[Candle] = []
    for i, row in enumerate(rows):
        followed = i + 1 < len(rows)
        past_ns = proven_ns - page.interval.next_open(row.open_ns)
        proven = past_ns >= (LATE_NS if followed else SETTLED_NS) or (followed and page.to_ns is not None)
        candle = to_candle(row, page.instrument, page.interval, received_ns, closed=row.closed or proven)
        if page.from_ns <= candle.open_ns <= wanted_ns:
            candles.append(candle)
    return _continued(page, candles, end_ns, venue_ns)


def _continued(page: CandlePage, candles: list[Candle], end_ns: int, venue_ns: int) -> CandleAnswer:
    """Say where the next page begins, if there is one: with the first candle of which this one proves too little."""
    newest_ns = candles[-1].open_ns if candles else -1
    more_to_come = newest_ns == end_ns or end_ns < venue_ns if page.to_ns is None else end_ns <= page.to_ns
    if not more_to_come:
        return CandleAnswer(candles, None)
    if newest_ns == end_ns:
        candles.pop()
        if len(candles) > 1 and not candles[-1].closed:
            end_ns = candles.pop().open_ns
    return CandleAnswer(candles, CandlePage(page.instrument, page.interval, end_ns, page.to_ns))


def read_book(rest: Rest, instrument: Instrument, body: bytes, received_ns: int) -> BookSnapshot:
    """Read an answer to a snapshot's request; raises one of `FAULTS`."""
    return to_snapshot(rest, decode_book(body), instrument, received_ns)


def to_snapshot(rest: Rest, raw: RawBook, instrument: Instrument, received_ns: int) -> BookSnapshot:
    """Make a snapshot of an answer, best prices first; raise `ValueError` if it is none."""
    bids, asks = [_level(level) for level in raw.bids], [_level(level) for level in raw.asks]
    rising = all(a[0] < b[0] for a, b in pairwise(asks))
    if not rising or not all(a[0] > b[0] for a, b in pairwise(bids)):
        raise ValueError("levels that are not in order")
    unit_ns = NS_PER_MS if rest.market == SPOT else NS_PER_S
    event_ns = None if raw.update is None else instant_ns(raw.update, unit_ns)
    return BookSnapshot(instrument, bids, asks, raw.id, event_ns, received_ns)


def _level(raw: tuple[str, str] | RawLevel) -> Level:
    price, size = (raw.p, raw.s) if isinstance(raw, RawLevel) else (raw[0], parse(raw[1]))
    return amount(parse(price)), amount(size)
