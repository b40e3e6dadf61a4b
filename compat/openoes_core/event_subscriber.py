"""Events off a stream, in a thread of the subscriber's own."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import redis

from heliograph.bus.dead_letters import dead_key
from openoes_core.deliveries import letter
from openoes_core.errors import ConfigurationError
from openoes_core.event import Event, EventType
from openoes_core.event_routing import EventFilter, EventHandler
from openoes_core.processor import StreamProcessor
from openoes_core.replies import Entry, entries_of, of_stream
from openoes_core.streams import block_ms_max, newest_id
from openoes_core.waiting import Waiting

_log: Final = logging.getLogger(__name__)
HALF_DONE_MAX: Final = 1000


class EventSubscriber:
    """Gives each event to every subscription whose filter it matches.

    With a group an event is acknowledged when all of them took it; those that failed get it again, and they alone; a
    group that is made here reads from the stream's beginning. Without one, what comes after the first start is read,
    later starts go on where the last one ended, and a failed event is tried again before the next.

    Args:
        client: a client of the server.
        stream_name: the stream.
        group_name: the consumer group; None to read without one.
        consumer_name: this consumer's name in the group; None makes one.
        auto_create_group: whether the group is made unless it is there.
        max_retry_count: how often a failed event is tried again before it becomes a dead letter.
        retry_delay_ms: how long it is left alone before each.
        block_ms: how long one read waits; never longer than the client's socket does.
        batch_size: how many entries one read takes at most.

    """

    def __init__(
        self,
        client: redis.Redis,
        stream_name: str,
        group_name: str | None = None,
        consumer_name: str | None = None,
        auto_create_group: bool = True,
        max_retry_count: int = 3,
        retry_delay_ms: int = 5000,
        block_ms: int = 2000,
        batch_size: int = 10,
    ) -> None:
        self.client = client
        self.stream_name = stream_name
        self.group_name = group_name
        self.max_retry_count = max_retry_count
        self.retry_delay_ms = retry_delay_ms
        self.block_ms = block_ms
        self.batch_size = batch_size
        self._subscriptions: list[tuple[EventFilter, EventHandler]] = []
        self._took: OrderedDict[str, set[int]] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._last_id: str | None = None
        self.error: Exception | None = None
        """What ended the thread before it was stopped, such as a missing right."""
        self.processor: StreamProcessor | None = None
        self._waiting = Waiting(client)
        if group_name is not None:
            self.processor = StreamProcessor(
                client,
                stream_name,
                group_name,
                consumer_name,
                auto_create_group,
                max_retry_count,
                retry_delay_ms,
                block_ms,
                batch_size,
            )
            self._waiting = self.processor.waiting

    def subscribe(self, callback: EventHandler, event_filter: EventFilter | None = None) -> None:
        """Give a callback the events that match a filter, all of them without one.

        Only False and an exception are failures; None counts as success.
        """
        self._subscriptions.append((event_filter or EventFilter(), callback))

    def subscribe_to_event_type(self, event_type: str | EventType, callback: EventHandler) -> None:
        """Give a callback the events of one type."""
        self.subscribe(callback, EventFilter(event_types=[event_type]))

    def subscribe_to_source(self, source: str, callback: EventHandler) -> None:
        """Give a callback the events of one source."""
        self.subscribe(callback, EventFilter(sources=[source]))

    def start(self) -> None:
        """Read from now on in a thread, and return.

        Raises:
            ConfigurationError: it runs already.
            OpenOESError: the server is away.

        """
        if self._thread is not None and self._thread.is_alive():
            raise ConfigurationError("it is running already", code="running")
        if self.processor is None and self._last_id is None:
            with of_stream(self.stream_name, "subscribing"):
                self._last_id = newest_id(self.client, self.stream_name)
        self.error = None
        self._waiting.stopping.clear()
        self._thread = threading.Thread(target=self._guarded, name=f"subscriber of {self.stream_name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it, unless this is that thread; what is not done is delivered after a start."""
        thread = self._thread
        if thread is None:
            return
        self._waiting.end()
        if thread is not threading.current_thread():
            thread.join()
            self._thread = None

    def _guarded(self) -> None:
        try:
            if self.processor is not None:
                self.processor.process_messages(self._take)
            else:
                with self._waiting.run(), of_stream(self.stream_name, "subscribing"):
                    self._waiting.through_outages(self.stream_name, self._tail)
        except Exception as e:  # A thread has no caller to raise to: what ended it is kept where its owner can see it.
            self.error = e
            _log.exception("the subscriber of %s ended", self.stream_name)

    def _take(self, message: Mapping[str, str]) -> bool:
        """Give one message to all whom it concerns and who have not taken it yet."""
        event = Event.from_stream_message(message)
        took = self._took.pop(event.event_id, set())
        raised: Exception | None = None
        complete = True
        for number, (event_filter, callback) in enumerate(list(self._subscriptions)):
            if number in took or not event_filter.matches(event):
                continue
            try:
                done = callback(event) is not False
            except Exception as e:  # The callback is the application's: the others get the event all the same.
                raised, done = raised or e, False
            if done:
                took.add(number)
            complete = complete and done
        if complete:
            return True
        self._took[event.event_id] = took
        if len(self._took) > HALF_DONE_MAX:
            self._took.popitem(last=False)
        if raised is not None:
            raise raised
        return False

    def _tail(self, reader: redis.Redis) -> None:
        block_ms = max(1, min(block_ms_max(self.client), self.block_ms or block_ms_max(self.client)))
        while not self._waiting.stopping.is_set():
            last: Any = {self.stream_name: self._last_id}
            for entry in entries_of(reader.xread(last, count=self.batch_size, block=block_ms)):
                if not self._took_in_the_end(entry):
                    return
                self._last_id = entry[0]

    def _took_in_the_end(self, entry: Entry) -> bool:
        """Try until it is taken or a dead letter; False if this was stopped before."""
        entry_id, fields = entry
        reason = ""
        for attempt in range(self.max_retry_count + 1):
            if self._waiting.stopping.wait(self.retry_delay_ms / 1000 if attempt else 0):
                return False
            try:
                if self._take(fields):
                    return True
                reason = "the handler refused it"
            except Exception as e:  # The handler is the application's: the next event must not wait for it for ever.
                _log.exception("the handler of %s failed at attempt %d", entry_id, attempt + 1)
                reason = f"{type(e).__name__}: {e}"
        told = letter(fields, reason, entry_id, "", self.max_retry_count + 1)
        self.client.xadd(dead_key(self.stream_name), told)
        return True


def create_event_subscriber(
    client: redis.Redis,
    stream_name: str,
    group_name: str | None = None,
    consumer_name: str | None = None,
    auto_create_group: bool = True,
    max_retry_count: int = 3,
    retry_delay_ms: int = 5000,
    block_ms: int = 2000,
    batch_size: int = 10,
) -> EventSubscriber:
    """Return a subscriber to the events of one stream."""
    return EventSubscriber(
        client,
        stream_name,
        group_name,
        consumer_name,
        auto_create_group,
        max_retry_count,
        retry_delay_ms,
        block_ms,
        batch_size,
    )
