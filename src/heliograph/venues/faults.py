"""What bytes from outside can raise when they are read, and what is said of it."""

from typing import Final

import msgspec

REASON_MAX: Final = 200
"""Characters of a venue's own words that a reason repeats."""

FAULTS: Final = (msgspec.MsgspecError, ValueError, ArithmeticError, LookupError, RecursionError)
"""What reading bytes of any kind can raise: JSON, text, numbers, what is missing, and nesting without end."""


def reason_of(error: Exception) -> str:
    """Return what `Refused` says of one of `FAULTS`."""
    if isinstance(error, ArithmeticError):
        return "not a number of at most 38 digits"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)[:REASON_MAX]
