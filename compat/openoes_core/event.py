"""Events: what happened, where, and when."""

import json
import re
import time
import uuid
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, Self

from openoes_core.errors import ValidationError
from openoes_core.fields import to_json, to_message

_TYPE: Final = re.compile(r"[a-z_]+:[a-z_]+")


class EventType(Enum):
    """The types of events that the SDK itself makes; any other `category:name` is an event's type as well."""

    CREDIT_REQUEST = "credit:request"
    CREDIT_RESPONSE = "credit:response"
    CREDIT_UPDATE = "credit:update"
    SETTLEMENT_REPORT = "settlement:report"
    SETTLEMENT_CONFIRMATION = "settlement:confirmation"
    SETTLEMENT_COMPLETION = "settlement:completion"
    SYSTEM_STARTUP = "system:startup"
    SYSTEM_SHUTDOWN = "system:shutdown"
    SYSTEM_ERROR = "system:error"

    @classmethod
    def from_string(cls, value: str) -> Self:
        """Return the member of that text.

        Raises:
            ValueError: there is none.

        """
        return cls(value)

    @classmethod
    def is_valid(cls, value: str) -> bool:
        """Tell whether a text is a member's."""
        return any(member.value == value for member in cls)

    @classmethod
    def get_category(cls, value: "str | EventType") -> str:
        """Return the part of a type before the colon."""
        return _text_of(value).partition(":")[0]

    @classmethod
    def get_name(cls, value: "str | EventType") -> str:
        """Return the part of a type after the colon."""
        return _text_of(value).partition(":")[2]


class Event:
    """Something that happened.

    Args:
        event_type: a member of `EventType`, or any text of the form `category:name`.
        source: who tells of it.
        data: what there is to tell.
        event_id: its id; None makes one.
        timestamp: when, in milliseconds since the epoch; None: now.
        metadata: what is told about the telling.

    Raises:
        ValidationError: a part of it is not of its kind.

    """

    def __init__(
        self,
        event_type: str | EventType,
        source: str,
        data: Mapping[str, Any],
        event_id: str | None = None,
        timestamp: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.event_type = _text_of(event_type)
        self.source = source
        self.data: dict[str, Any] = data if isinstance(data, dict) else _object(data, "data")
        self.event_id = str(uuid.uuid4()) if event_id is None else event_id
        self.timestamp = time.time_ns() // 1_000_000 if timestamp is None else timestamp
        self.metadata: dict[str, Any] = {} if metadata is None else _object(metadata, "metadata")
        self.validate()

    def validate(self) -> bool:
        """Return True, or say what is wrong.

        Raises:
            ValidationError: a part of it is not of its kind.

        """
        kind: Any = self.event_type
        if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
            raise ValidationError("an event's type is like category:name", field="event_type", value=kind)
        for field in ("source", "event_id"):
            value: object = getattr(self, field)
            if not isinstance(value, str) or not value:
                raise ValidationError("an event needs a text here", field=field, value=value)
        for field in ("data", "metadata"):
            if not isinstance(getattr(self, field), dict):
                raise ValidationError("an event needs a dict here", field=field)
        when: Any = self.timestamp
        if isinstance(when, bool) or not isinstance(when, int) or when < 0:
            raise ValidationError("an event's time is in milliseconds", field="timestamp", value=when)
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return its six parts."""
        return {
            "event_id": self.event_id,
            "event_type": self.event_type,
            "source": self.source,
            "timestamp": self.timestamp,
            "data": dict(self.data),
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make an event of its parts; a missing id, time or metadata is made as for a new one.

        Raises:
            ValidationError: a part is missing, or not of its kind.

        """
        for field in ("event_type", "source", "data"):
            if field not in values:
                raise ValidationError("an event without this", field=field)
        return cls(
            values["event_type"],
            values["source"],
            _object(values["data"], "data"),
            values.get("event_id"),
            _milliseconds(values.get("timestamp")),
            _object(values.get("metadata") or {}, "metadata"),
        )

    @classmethod
    def from_stream_message(cls, message: Mapping[Any, Any]) -> Self:
        """Read an event from the fields of a stream's entry, decoded or not.

        Raises:
            ValidationError: they are not an event's.

        """
        return cls.from_dict(to_message(message))

    def to_stream_message(self) -> dict[str, str]:
        """Return the fields of a stream's entry.

        Raises:
            ValidationError: something in it has no place on the wire.

        """
        self.validate()
        return {
            "event_id": self.event_id,
            "event_type": self.event_type,
            "source": self.source,
            "timestamp": str(self.timestamp),
            "data": to_json(self.data, "data"),
            "metadata": to_json(self.metadata, "metadata"),
        }

    def get_category(self) -> str:
        """Return the part of its type before the colon."""
        return EventType.get_category(self.event_type)

    def get_name(self) -> str:
        """Return the part of its type after the colon."""
        return EventType.get_name(self.event_type)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.event_id)

    def __repr__(self) -> str:
        return f"Event({self.event_type!r}, source={self.source!r}, event_id={self.event_id!r})"


def _text_of(value: "str | EventType") -> str:
    return value.value if isinstance(value, EventType) else value


def _object(value: Any, field: str) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_constant=_refused)
        except (ValueError, RecursionError) as e:
            raise ValidationError(f"not JSON: {e}", field=field) from e
    if not isinstance(value, Mapping):
        raise ValidationError("not an object of names and values", field=field)
    return dict(value)


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _milliseconds(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    try:
        return int(str(value))
    except ValueError:
        raise ValidationError("not a time in milliseconds", field="timestamp", value=value) from None
