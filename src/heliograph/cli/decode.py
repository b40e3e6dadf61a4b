"""`heliograph decode`: what a venue's frames mean."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from heliograph.cli.sheet import sheet_for
from heliograph.errors import ConfigError, DecodeError
from heliograph.marketdata.capture import Direction, Line, read_lines, split_lines
from heliograph.model import jsonl
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument, MarketId
from heliograph.venues import find_market, find_venue, symbols_tell
from heliograph.venues.contract import Connection, Effect, Feed, Refused, Venue


class RawLine(msgspec.Struct):
    """A line of a capture, or of a file of REST answers; a bare frame has neither `dir` nor `body`."""

    dir: Direction | None = None
    url: str | None = None
    raw: str = ""
    t: float | None = None
    request: str = ""
    body: msgspec.Raw = msgspec.Raw()


class Decoder:
    """Makes events of lines one by one, each by itself: book deltas are told unchecked.

    Args:
        venue: whose lines they are.
        market: the market, if it was named.

    """

    def __init__(self, venue: Venue, market: str | None) -> None:
        self._venue = venue
        self._market = None if market is None else find_market(venue, market).market
        self._feeds: dict[MarketId, Feed] = {}
        self._url: str | None = None  # of the socket that the capture says was opened last

    def decode(self, line: bytes) -> list[VenueEvent | Instrument]:
        """Return the events of a frame, of a capture's line or of a recorded answer.

        Raises:
            ConfigError: the market is not told.
            DecodeError: the line is not what the venue documents.

        """
        try:
            raw = msgspec.json.decode(line, type=RawLine)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raw = RawLine()
        received_ns = Line(raw.t).received_ns or 0
        if raw.body and raw.request:
            return self._answer(raw.request.rpartition(" ")[2], bytes(raw.body), received_ns)
        if raw.dir is Direction.HTTP:
            return self._answer(raw.url or "", raw.raw.encode(), received_ns)
        if raw.dir is None and not raw.raw:
            return self._frame(None, line, received_ns)
        if raw.dir is Direction.CONNECT:
            self._url = raw.url
        if raw.dir not in (Direction.IN, None):
            return []
        return self._frame(raw.url or self._url, raw.raw.encode(), received_ns)

    def _answer(self, url: str, body: bytes, received_ns: int) -> list[VenueEvent | Instrument]:
        told, market = self._market_of(url, body)
        events = self._venue.markets[market].read_answer(url, body, received_ns)
        if events and not told:
            find_market(self._venue, None)
        return events

    def _frame(self, url: str | None, frame: bytes, received_ns: int) -> list[VenueEvent | Instrument]:
        told, market = self._market_of(url, frame)
        if market not in self._feeds:
            self._feeds[market] = self._venue.markets[market].feed(Connection("", (), sequenced=False))
        events: list[VenueEvent] = []
        effects: list[Effect] = []
        self._feeds[market].decode((frame,), received_ns, events, effects)
        for effect in effects:
            if isinstance(effect, Refused):
                raise DecodeError(effect.reason)
        if events and not told:
            find_market(self._venue, None)
        return [*events]

    def _market_of(self, url: str | None, data: bytes) -> tuple[bool, MarketId]:
        """Return whether the market is told, and one to read with: many frames mean the same, or nothing, in all.

        Where symbols tell their market, events do.
        """
        told = self._market or self._venue.market_of(url, data) or self._venue.default_market
        return told is not None or symbols_tell(self._venue), told or next(iter(self._venue.markets))


def decode(venue: str, file: str, market: str | None = None, *, output: str = "jsonl", kind: str | None = None) -> int:
    """Print the normalised events of raw frames as JSON lines, or those of one kind as a table.

    A frame that cannot be decoded is reported on stderr with its line number, and makes the exit code 1.

    Args:
        venue: whose frames they are.
        file: one raw frame a line, a capture, or recorded REST answers; `-` for the standard input.
        market: needed where the frames do not tell it.
        output: jsonl or csv.
        kind: of csv, what its rows are, as JSON lines call it; None: what comes first.

    Raises:
        ConfigError: no such venue, market, file, output or kind, or a frame with an event does not tell its market.

    """
    sheet = sheet_for(output, kind)
    decoder = Decoder(find_venue(venue), market)
    failures = 0
    for number, line in _lines(file):
        try:
            events = decoder.decode(line)
            if sheet is not None:
                sheet.take_all(events)
            else:
                for event in events:
                    print(jsonl.render(event, received=getattr(event, "received_ns", 0) != 0))
        except DecodeError as e:
            failures += 1
            print(f"line {number}: {e}", file=sys.stderr)
        except ConfigError as e:
            raise ConfigError(f"line {number}: {e.what}", e.accepted) from e
    if sheet is not None:
        sheet.finish()
    return 1 if failures else 0


def _lines(file: str) -> Iterator[tuple[int, bytes]]:
    if file != "-":
        return read_lines(Path(file))
    if sys.stdin is None:
        raise ConfigError("the standard input is closed", ("a file", "an open standard input"))
    return split_lines(sys.stdin.buffer)
