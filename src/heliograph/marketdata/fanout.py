"""Several sinks as one."""

from collections.abc import Callable, Sequence

from heliograph.marketdata.sink import Sink
from heliograph.model.event import Event


class FanOut:
    """Every event to every sink, at the pace of the slowest.

    Args:
        sinks: in the order in which they get a batch.

    """

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def ready(self) -> bool:
        """Tell whether all of them are ready."""
        return all(sink.ready() for sink in self._sinks)

    def push(self, events: Sequence[Event]) -> None:
        """Give all of them the batch."""
        for sink in self._sinks:
            sink.push(events)

    def when_ready(self, wake: Callable[[], None]) -> None:
        """Call `wake` when one of them becomes ready and the others are."""

        def one_is_ready() -> None:
            if self.ready():
                wake()

        for sink in self._sinks:
            sink.when_ready(one_is_ready)
