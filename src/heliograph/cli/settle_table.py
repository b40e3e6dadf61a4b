"""What settlement's commands print: a table for people, or JSON."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from heliograph.clock import NS_PER_US, iso_ms
from heliograph.errors import ConfigError
from heliograph.model.settlement import amount_text

PIPE_WIDTH: Final = 10_000


def print_json(value: Any) -> None:
    """Print a value as JSON; amounts are text in their one spelling, and times nanoseconds."""
    print(
        msgspec.json.format(msgspec.json.encode(_plain(msgspec.to_builtins(value, builtin_types=(Decimal,))))).decode()
    )


def print_table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under their heads, amounts to the last digit."""
    table = Table(box=None, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(text(cell)) for cell in row))
    # Who reads a pipe wants a row in a line, however long.
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


def text(cell: Any) -> str:
    """Return what stands in a table's cell."""
    return amount_text(cell) if isinstance(cell, Decimal) else "" if cell is None else str(cell)


def instant(instant_ns: int) -> str:
    """Return an instant for people; nothing for 0."""
    return iso_ms(instant_ns) if instant_ns else ""


def moment(said: str) -> int | None:
    """Read an instant, in nanoseconds; None for nothing.

    Args:
        said: in ISO 8601, UTC unless it says otherwise.

    Raises:
        ConfigError: it is none.

    """
    if not said:
        return None
    try:
        at = datetime.fromisoformat(said)
    except ValueError as e:
        raise ConfigError(f"not an instant: {said!r}", ("2026-01-31T09:30Z",)) from e
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.fromtimestamp(0, UTC)
    return since // timedelta(microseconds=1) * NS_PER_US


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return amount_text(value) if isinstance(value, Decimal) else value
