"""Events of one kind as CSV on the standard output."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from heliograph.errors import ConfigError
from heliograph.model.event import Event, VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.jsonl import KINDS
from heliograph.model.market import Candle, Channel, Ticker, Trade
from heliograph.model.table import COLUMNS, header, row

OUTPUTS: Final = ("jsonl", "csv")
KIND_OF_CHANNEL: Final[Mapping[Channel, type]] = {
    Channel.CANDLES: Candle,
    Channel.TICKER: Ticker,
    Channel.TRADES: Trade,
}
"""What a channel's rows are; books have none."""

_BY_NAME: Final = {KINDS[kind.__name__]: kind for kind in COLUMNS}


class Sheet:
    """A CSV table on the standard output, whose rows are all of one kind.

    Args:
        kind: what its rows are; None: what comes first, of the kinds that have a table.

    """

    def __init__(self, kind: type | None = None) -> None:
        self.rows = 0
        self.left_out: Counter[str] = Counter()
        """Events of other kinds, by the kind's name."""
        self._kind = kind
        self._text: list[str] = []
        if kind is not None:
            self._text.append(header(kind))

    def take(self, event: Event | VenueEvent | Instrument) -> None:
        """Add an event's row, or count it as left out."""
        if self._kind is None and type(event) in COLUMNS:
            self._kind = type(event)
            self._text.append(header(self._kind))
        if type(event) is self._kind:
            self._text.append(row(event))
            self.rows += 1
        else:
            self.left_out[KINDS[type(event).__name__]] += 1

    def take_all(self, events: Sequence[Event | VenueEvent | Instrument]) -> None:
        """Take events, and print the rows that they make."""
        for event in events:
            self.take(event)
        self.flush()

    def flush(self) -> None:
        """Print the rows so far."""
        if self._text:
            sys.stdout.write("".join(self._text))
            sys.stdout.flush()
            self._text.clear()

    def finish(self) -> None:
        """Print what is left, and say on the standard error what has no row."""
        self.flush()
        if self.left_out:
            told = ", ".join(f"{count} {name}" for name, count in sorted(self.left_out.items()))
            print(f"not in the table: {told}; --kind chooses, --output jsonl has all", file=sys.stderr)


def sheet_for(output: str, kind: str | None) -> Sheet | None:
    """Return the table that an output asks for; None: JSON lines.

    Args:
        output: one of `OUTPUTS`.
        kind: what its rows are, as JSON lines call it; None: what comes first.

    Raises:
        ConfigError: there is no such output, or no table of that kind.

    """
    if output not in OUTPUTS:
        raise ConfigError(f"unknown output {output!r}", OUTPUTS)
    if kind is not None and kind not in _BY_NAME:
        raise ConfigError(f"no table of {kind!r}", tuple(_BY_NAME))
    if output != "csv":
        if kind is not None:
            raise ConfigError(f"--kind with --output {output}", ("--output csv",))
        return None
    return Sheet(None if kind is None else _BY_NAME[kind])
