"""What a message looks like in a stream's entry: texts only, numbers in fixed point."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from heliograph.model.numbers import fixed
from openoes_core.amount import amount
from openoes_core.errors import ValidationError


def to_fields(message: Mapping[str, Any]) -> dict[str, str]:
    """Return a message's fields as a stream's entry holds them; what is None is left out.

    Raises:
        ValidationError: nothing is in it, or a value that no reader could take back.

    """
    fields = {str(name): to_text(value, str(name)) for name, value in message.items() if value is not None}
    if not fields:
        raise ValidationError("a message without fields", code="empty_message")
    return fields


def to_text(value: Any, field: str) -> str:
    """Return one value as text: numbers in fixed point, whatever is nested as JSON.

    Raises:
        ValidationError: a number that is not finite, or a value that JSON cannot hold.

    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return _decoded(value, field)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float | Decimal):
        return fixed(amount(value, field))
    return to_json(value, field)


def to_json(value: Any, field: str) -> str:
    """Return a nested value as JSON; a Decimal becomes a text in it, so that nobody's reader rounds it.

    Raises:
        ValidationError: a number that is not finite, or a value that JSON cannot hold.

    """
    try:
        return json.dumps(value, allow_nan=False, default=_plain, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as e:
        raise ValidationError(f"not a value for a message: {e}", field=field) from e


def to_message(fields: Mapping[Any, Any]) -> dict[str, str]:
    """Return an entry's fields as texts, whether the client decodes replies or not."""
    return {text(name): text(value) for name, value in fields.items()}


def text(value: Any) -> str:
    """Return a part of a reply as text; bytes that are no text are kept visible, not lost."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _decoded(value: bytes, field: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as e:
        raise ValidationError("bytes that are no text", field=field) from e


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return fixed(amount(value))
    raise TypeError(f"a {type(value).__name__} has no place in JSON")
