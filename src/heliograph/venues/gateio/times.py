"""Gate's times that are not whole numbers."""

from decimal import Decimal
from typing import Final

from heliograph.clock import NS_PER_S

_NS_MAX: Final = 10**11 * NS_PER_S  # In the year 5138: refuses what is in a smaller unit.


def instant_ns(value: Decimal, unit_ns: int) -> int:
    """Return an instant that has a fraction, in nanoseconds; raise `ValueError` if it is none in that unit."""
    if not 0 <= value < _NS_MAX // unit_ns:
        raise ValueError(f"a time out of range: {str(value)[:50]}")
    return int(value * unit_ns)


def seconds_ns(text: str) -> int:
    """Return whole seconds, as text, in nanoseconds; raise `ValueError` if it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise ValueError(f"not a time in seconds: {text[:50]!r}")
    return int(text) * NS_PER_S
