"""Money and quantity as exact decimals, from text and to text.

Measured here: msgspec alone accepts `"NaN"`, `"Infinity"` and numbers of a hundred thousand digits as a `Decimal`.
So every number that comes from outside passes `finite`.
"""

from decimal import Decimal
from typing import Final

DIGITS_MAX: Final = 38
EXPONENT_MAX: Final = 38


def finite(value: Decimal) -> Decimal:
    """Return the value if it is a finite number of at most 38 digits and magnitude, else raise.

    Raises:
        ValueError: not a number, infinite, or too long to be an amount.

    """
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"not a finite number: {value}")  # noqa: TRY004 (NaN is a Decimal; the value is wrong, not the type)
    if len(value.as_tuple().digits) > DIGITS_MAX or not -EXPONENT_MAX <= exponent <= EXPONENT_MAX:
        raise ValueError("a number of more than 38 digits")
    return value


def parse(text: str) -> Decimal:
    """Read a decimal number from text.

    Raises:
        ValueError: not a finite decimal number of at most 38 digits.

    """
    if len(text) > 2 * DIGITS_MAX + 2:
        raise ValueError("a number of more than 38 digits")
    try:
        return finite(Decimal(text))
    except ArithmeticError:
        raise ValueError(f"not a decimal number: {text[:50]!r}") from None


def fixed(value: Decimal) -> str:
    """Render a number in fixed point with all its digits, never with an exponent."""
    text = str(value)
    return text if "E" not in text else format(value, "f")
