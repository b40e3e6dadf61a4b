"""Money at the seeds' names: exact, and at ease with the floats that callers write beside it."""

import operator
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Any, Final

from heliograph.model import numbers
from openoes_core.errors import ValidationError

# Twice the digits of an amount, so that the product of two is exact; the process's own context has 28.
_CONTEXT: Final = Context(
    prec=2 * numbers.DIGITS_MAX,
    rounding=ROUND_HALF_EVEN,
    traps=[InvalidOperation, DivisionByZero, Overflow],
)
_TEXT_MAX: Final = 2 * numbers.DIGITS_MAX + 2


class Amount(Decimal):
    """A finite `Decimal` of at most 38 digits that also takes float operands, by what Python prints for them.

    So `Amount("0.1") + 0.2` is 0.3, and equals both `Decimal("0.3")` and `0.3`. Its text is always fixed point.
    As a key of a dict it meets equal integers, Decimals and Amounts, but only such floats as are exact in binary.

    Args:
        value: text without an exponent, an integer, a float or a Decimal.

    Raises:
        ValidationError: not a finite number of at most 38 digits.

    """

    __slots__ = ()

    def __new__(cls, value: object = 0) -> "Amount":  # noqa: PYI034 - whatever is computed from one is an Amount, not a subclass
        """Read a number, strictly."""
        return _made(cls, _read(value))

    def __str__(self) -> str:
        return format(Decimal(self), "f")

    def __format__(self, spec: str, context: Context | None = None, /) -> str:
        rest = () if context is None else (context,)
        return Decimal.__format__(self, spec or "f", *rest)

    def __repr__(self) -> str:
        return f"Amount('{self}')"

    def __hash__(self) -> int:
        return Decimal.__hash__(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Amount, (str(self),)

    def __copy__(self) -> "Amount":
        return self

    def __deepcopy__(self, _: object) -> "Amount":
        return self

    def __add__(self, other: object) -> Any:
        return _operated(_CONTEXT.add, self, other)

    def __radd__(self, other: object) -> Any:
        return _operated(_CONTEXT.add, other, self)

    def __sub__(self, other: object) -> Any:
        return _operated(_CONTEXT.subtract, self, other)

    def __rsub__(self, other: object) -> Any:
        return _operated(_CONTEXT.subtract, other, self)

    def __mul__(self, other: object) -> Any:
        return _operated(_CONTEXT.multiply, self, other)

    def __rmul__(self, other: object) -> Any:
        return _operated(_CONTEXT.multiply, other, self)

    def __truediv__(self, other: object) -> Any:
        return _operated(_CONTEXT.divide, self, other)

    def __rtruediv__(self, other: object) -> Any:
        return _operated(_CONTEXT.divide, other, self)

    def __floordiv__(self, other: object) -> Any:
        return _operated(_CONTEXT.divide_int, self, other)

    def __rfloordiv__(self, other: object) -> Any:
        return _operated(_CONTEXT.divide_int, other, self)

    def __mod__(self, other: object) -> Any:
        return _operated(_CONTEXT.remainder, self, other)

    def __rmod__(self, other: object) -> Any:
        return _operated(_CONTEXT.remainder, other, self)

    def __neg__(self) -> "Amount":
        return _made(Amount, _CONTEXT.minus(self))

    def __pos__(self) -> "Amount":
        return self

    def __abs__(self) -> "Amount":
        return _made(Amount, _CONTEXT.abs(self))

    def __round__(self, ndigits: int | None = None) -> Any:
        rounded = Decimal(self).__round__() if ndigits is None else Decimal(self).__round__(ndigits)
        return _made(Amount, rounded) if isinstance(rounded, Decimal) else rounded

    def __eq__(self, other: object) -> bool:
        return _compared(operator.eq, self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: object) -> bool:
        return _compared(operator.lt, self, other)

    def __le__(self, other: object) -> bool:
        return _compared(operator.le, self, other)

    def __gt__(self, other: object) -> bool:
        return _compared(operator.gt, self, other)

    def __ge__(self, other: object) -> bool:
        return _compared(operator.ge, self, other)


def amount(value: object, field: str = "amount") -> Amount:
    """Read money from a caller.

    Raises:
        ValidationError: it is not a finite number of at most 38 digits; the error names the field.

    """
    try:
        return Amount(value)
    except ValidationError as e:
        raise ValidationError(e.message, field=field, value=value, code=e.code) from None


def _made(kind: type[Amount], value: Decimal) -> Amount:
    return Decimal.__new__(kind, value)


def _read(value: object) -> Decimal:
    if isinstance(value, Amount):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValidationError(f"not a number: {value!r}", value=value, code="invalid_amount")
    try:
        return _number(value)
    except (ArithmeticError, ValueError):
        shown = repr(value)[:50]
        words = f"not a finite number of at most {numbers.DIGITS_MAX} digits without exponent: {shown}"
        raise ValidationError(words, code="invalid_amount") from None


def _number(value: str | float | Decimal) -> Decimal:
    if isinstance(value, Decimal):
        return numbers.finite(value)
    if isinstance(value, float):
        return numbers.finite(Decimal(repr(value)))
    text = str(value).strip()
    # Decimal also reads 1e3, 1_000 and the digits of other scripts; none of them is an amount on any wire of ours.
    if len(text) > _TEXT_MAX or not text.isascii() or text.strip("+-.0123456789"):
        raise ValueError(text)
    return numbers.finite(Decimal(text))


def _operand(value: object) -> Decimal | None:
    if isinstance(value, Decimal):
        return Decimal(value)
    if isinstance(value, bool):
        return Decimal(int(value))
    if isinstance(value, int):
        return Decimal(value)
    return Decimal(repr(value)) if isinstance(value, float) else None


def _operated(operation: Callable[[Decimal, Decimal], Decimal], left: object, right: object) -> Any:
    first, second = _operand(left), _operand(right)
    if first is None or second is None:
        return NotImplemented
    try:
        result = operation(first, second)
    except ZeroDivisionError:
        raise
    except ArithmeticError as e:
        raise ValidationError("arithmetic whose result is no finite number", code="invalid_amount") from e
    if not result.is_finite():
        raise ValidationError("arithmetic whose result is no finite number", code="invalid_amount")
    return _made(Amount, result)


def _compared(operation: Callable[[Decimal, Decimal], bool], left: Amount, right: object) -> bool:
    other = _operand(right)
    # `NotImplemented` is how Python is told to ask the other side, and to answer False or TypeError itself.
    return NotImplemented if other is None else operation(Decimal(left), other)
