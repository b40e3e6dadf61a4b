"""Which handler gets which event."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from openoes_core.errors import ValidationError
from openoes_core.event import Event, EventType

EventHandler = Callable[[Event], Any]
"""What is called with an event; False is a failure, anything else, None too, is success."""


class EventFilter:
    """What an event must be like; what is not given, is not asked.

    Args:
        event_types: the types of which it must be one.
        sources: the sources of which it must be one.
        event_id_pattern: a regular expression that its id must match from its start.
        data_filter: names and values that its data must hold.

    Raises:
        ValidationError: the pattern is no regular expression.

    """

    def __init__(
        self,
        event_types: Iterable[str | EventType] | None = None,
        sources: Iterable[str] | None = None,
        event_id_pattern: str | None = None,
        data_filter: Mapping[str, Any] | None = None,
    ) -> None:
        self.event_types = None if event_types is None else [_text(each) for each in event_types]
        self.sources = None if sources is None else list(sources)
        self.event_id_pattern = event_id_pattern
        self.data_filter = None if data_filter is None else dict(data_filter)
        try:
            self._id = None if event_id_pattern is None else re.compile(event_id_pattern)
        except re.error as e:
            raise ValidationError(f"not a regular expression: {e}", field="event_id_pattern") from e

    def matches(self, event: Event) -> bool:
        """Tell whether an event is like that."""
        return (
            (self.event_types is None or event.event_type in self.event_types)
            and (self.sources is None or event.source in self.sources)
            and (self._id is None or self._id.match(event.event_id) is not None)
            and all(
                name in event.data and event.data[name] == value for name, value in (self.data_filter or {}).items()
            )
        )


class EventRouter:
    """Gives each event to the first handler whose filter it matches, else to the default."""

    def __init__(self) -> None:
        self._routes: list[tuple[EventFilter, EventHandler]] = []
        self._default: EventHandler | None = None

    def add_route(self, event_filter: EventFilter, handler: EventHandler) -> None:
        """Give a handler what matches a filter and none before it."""
        self._routes.append((event_filter, handler))

    def add_route_for_event_type(self, event_type: str | EventType, handler: EventHandler) -> None:
        """Give a handler the events of one type."""
        self.add_route(EventFilter(event_types=[event_type]), handler)

    def add_route_for_source(self, source: str, handler: EventHandler) -> None:
        """Give a handler the events of one source."""
        self.add_route(EventFilter(sources=[source]), handler)

    def register_handler(self, event_type: str | EventType, handler: EventHandler) -> None:
        """Give a handler the events of one type."""
        self.add_route_for_event_type(event_type, handler)

    def set_default_handler(self, handler: EventHandler) -> None:
        """Give a handler what nobody else takes."""
        self._default = handler

    def route(self, event: Event) -> bool:
        """Give an event to its handler, and tell whether there is one and it did not return False.

        What a handler raises is raised here: an event that was not handled must not count as handled.
        """
        for event_filter, handler in self._routes:
            if event_filter.matches(event):
                return handler(event) is not False
        return self._default is not None and self._default(event) is not False


def create_event_router() -> EventRouter:
    """Return a router without routes."""
    return EventRouter()


def _text(value: str | EventType) -> str:
    return value.value if isinstance(value, EventType) else value
