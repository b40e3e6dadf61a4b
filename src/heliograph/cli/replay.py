"""`heliograph replay`: a capture once more through the codec that was live."""

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from heliograph.cli.sheet import sheet_for
from heliograph.errors import DecodeError
from heliograph.marketdata.capture import Direction, Line, decode_line, paced, read_lines
from heliograph.model import jsonl
from heliograph.model.book import BookDelta, BookSnapshot, Level, OrderBook
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument, InstrumentId
from heliograph.model.numbers import fixed
from heliograph.venues import find_market, find_venue, symbols_tell
from heliograph.venues.contract import BookPage, Connection, Effect, Market, Refused, Request, Venue


class Replay:
    """One feed for all sockets of a capture, and the books that it kept.

    One is enough: what two sockets told twice while one replaced the other is dropped by the books' numbers, and what
    was lost between two sockets is a gap that the capture's next snapshot ends.

    Args:
        market: the market that was captured.

    """

    def __init__(self, market: Market) -> None:
        self._market = market
        self._feed = market.feed(Connection("", ()))
        self.books: dict[InstrumentId, OrderBook] = {}

    def take(self, line: Line) -> list[VenueEvent | Instrument]:
        """Return the events of a line, and fold its books.

        Raises:
            DecodeError: the line is not what the venue documents.

        """
        received_ns = line.received_ns or 0
        events: list[VenueEvent] = []
        effects: list[Effect] = []
        others: list[VenueEvent | Instrument] = []
        if line.dir is Direction.IN:
            self._feed.decode((line.raw.encode(),), received_ns, events, effects)
        elif line.dir is Direction.HTTP:
            body = line.raw.encode()
            for item in self._market.read_answer(line.url or "", body, received_ns):
                if isinstance(item, BookSnapshot):
                    request = Request("", (), 0, BookPage(item.instrument))
                    self._feed.fetched(request, body, received_ns, events, effects)
                else:
                    others.append(item)
        for event in events:
            self._fold(event)
        for effect in effects:
            if isinstance(effect, Refused):
                raise DecodeError(effect.reason)
        return [*events, *others]

    def digests(self) -> dict[str, dict[str, object]]:
        """Return each book's digest and counters, by the venue's symbol, in the order of their first snapshot."""
        counters = self._feed.book_counters()
        return {
            book.instrument.venue_symbol: digest(book) | dict(counters[book.instrument.venue_symbol])
            for book in self.books.values()
        }

    def _fold(self, event: VenueEvent) -> None:
        if isinstance(event, BookSnapshot):
            self.books.setdefault(event.instrument.id, OrderBook(event.instrument)).replace(event)
        elif isinstance(event, BookDelta):
            self.books[event.instrument.id].apply(event)


def digest(book: OrderBook) -> dict[str, object]:
    """Return the size, the best levels, the last number and the SHA-256 of a book.

    The hash is over `b <price> <quantity>` of the bids, best first, then `a <price> <quantity>` of the asks, best
    first, each ended by a newline, the numbers with the digits that the venue sent.
    """
    bids, asks = book.bids(), book.asks()
    lines = [f"{side} {fixed(p)} {fixed(q)}\n" for side, levels in (("b", bids), ("a", asks)) for p, q in levels]
    return {
        "bids": len(bids),
        "asks": len(asks),
        "best_bid": _best(bids),
        "best_ask": _best(asks),
        "last_update_id": book.sequence,
        "sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
    }


def _best(levels: list[Level]) -> list[str] | None:
    return [fixed(levels[0][0]), fixed(levels[0][1])] if levels else None


def replay(
    file: Path,
    venue: str,
    market: str | None = None,
    *,
    book_digest: bool = False,
    speed: float = 0.0,
    output: str = "jsonl",
    kind: str | None = None,
) -> int:
    """Feed a capture to the codec again and print the events as JSON lines, or the end books' digests as one object.

    A line that cannot be decoded is reported on stderr with its number, and makes the exit code 1.

    Args:
        file: the capture; zstd if its name ends in `.zst`.
        venue: whose capture it is.
        market: which of the venue's markets; None for the one that it declares its default, or that its frames tell.
        book_digest: whether to print the end books' digests only.
        speed: recorded seconds per second; 0 for no waiting.
        output: jsonl, or csv for the events of one kind as a table.
        kind: of csv, what its rows are, as JSON lines call it; None: what comes first.

    Raises:
        ConfigError: no such venue, market, file, output or kind.

    """
    sheet = sheet_for(output, kind)
    run = Replay(_market_of(file, find_venue(venue), market))
    failures: list[int] = []
    for number, line in paced(_decoded(file, failures), speed, time.sleep):
        try:
            events = run.take(line)
        except DecodeError as e:
            _report(number, e, failures)
            continue
        if book_digest:
            continue
        if sheet is not None:
            sheet.take_all(events)
        else:
            for event in events:
                print(jsonl.render(event))
    if book_digest:
        print(json.dumps(run.digests()))
    elif sheet is not None:
        sheet.finish()
    return 1 if failures else 0


def _market_of(file: Path, venue: Venue, name: str | None) -> Market:
    """Find the market; where a venue's symbols tell it, by the first line that does."""
    if name is None and symbols_tell(venue):
        told = (venue.market_of(line.url, line.raw.encode()) for _, line in _decoded(file, None))
        name = next((market for market in told if market is not None), next(iter(venue.markets)))
    return find_market(venue, name)


def _decoded(file: Path, failures: list[int] | None) -> Iterator[tuple[int, Line]]:
    for number, text in read_lines(file):
        try:
            line = decode_line(text)
            if not line.raw and line.url is None:
                raise DecodeError("not a line of a capture: it has neither a frame nor a URL")
        except DecodeError as e:
            if failures is not None:
                _report(number, e, failures)
        else:
            yield number, line


def _report(number: int, error: DecodeError, failures: list[int]) -> None:
    failures.append(number)
    print(f"line {number}: {error}", file=sys.stderr)
