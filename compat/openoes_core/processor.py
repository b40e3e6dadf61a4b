"""A consumer of a stream that runs until it is stopped.

An entry is acknowledged when its handler returned True, and then only. One that failed is delivered again after a
pause, a bounded number of times, and becomes a dead letter after that; it holds up no other. Entries of consumers that
are gone are taken over; those of a live one never, since it gives the group signs of life.
"""

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import redis

from openoes_core.deliveries import Delivery, GroupConsumer
from openoes_core.errors import ConfigurationError
from openoes_core.replies import of_stream, tells_of_no_group
from openoes_core.retention import to_id
from openoes_core.streams import block_ms_max, newest_id
from openoes_core.waiting import Waiting

Handler = Callable[[dict[str, str]], Any]

_log: Final = logging.getLogger(__name__)
ABANDONED_MS_MIN: Final = 60_000
"""How long a consumer must have been silent about an entry before another one takes it over."""
FAILURES_MAX: Final = 100
SWEEP_S_MAX: Final = 1.0
"""How often at most what failed is looked through for what is due."""


class StreamProcessor:
    """Gives the entries of a stream to a handler, each until it was handled.

    Args:
        client: a client of the server.
        stream_name: the stream; None where `process_stream` names it.
        group_name: the consumer group; `consumer_group` is the same.
        consumer_name: this consumer's name in the group, its own for as long as it lives; None makes one.
        auto_create_group: whether the group is made, reading from the beginning, unless it is there.
        max_retry_count: how often a failed entry is delivered again before it becomes a dead letter.
        retry_delay_ms: how long it is left alone before each.
        block_ms: how long one read waits; never longer than the client's socket does.
        batch_size: how many entries one read takes at most.
        consumer_group: the group's name, in another word.
        on_error: called with what a handler raised and the message that it was given, beside the log.
        abandoned_ms: after how much silence entries of other consumers are taken over.

    Raises:
        ConfigurationError: no group is named.
        OpenOESError: the group could not be made.

    """

    def __init__(
        self,
        client: redis.Redis,
        stream_name: str | None = None,
        group_name: str | None = None,
        consumer_name: str | None = None,
        auto_create_group: bool = True,
        max_retry_count: int = 3,
        retry_delay_ms: int = 5000,
        block_ms: int = 2000,
        batch_size: int = 10,
        *,
        consumer_group: str | None = None,
        on_error: Callable[[Exception, dict[str, str]], None] | None = None,
        abandoned_ms: int | None = None,
    ) -> None:
        group = group_name or consumer_group
        if not group:
            raise ConfigurationError("a stream processor needs the name of its group", parameter="group_name")
        self.client = client
        self.stream_name = stream_name
        self.group_name = group
        self._named = consumer_name is not None
        self.consumer_name = consumer_name or f"consumer-{uuid.uuid4()}"
        self.auto_create_group = auto_create_group
        self.max_retry_count = max_retry_count
        self.retry_delay_ms = retry_delay_ms
        self.block_ms = block_ms
        self.batch_size = batch_size
        self.on_error = on_error
        self.abandoned_ms = max(ABANDONED_MS_MIN, 3 * retry_delay_ms) if abandoned_ms is None else abandoned_ms
        self.failures: deque[tuple[str, Exception]] = deque(maxlen=FAILURES_MAX)
        """What handlers raised lately, each with its entry's id."""
        self.waiting = Waiting(client)
        """The loop, and what ends it."""
        if stream_name is not None and auto_create_group:
            self._consumer(stream_name).join()

    @property
    def running(self) -> bool:
        """Whether a call is processing messages."""
        return self.waiting.running

    def process_messages(self, callback: Handler, run_once: bool = False, process_pending: bool = True) -> None:
        """Give entries to a callback, until `stop` is called; or once all that is there, and return.

        Args:
            callback: called with an entry's fields; True: done. False, or an exception, which is logged, kept in
                `failures` and given to `on_error`: it is delivered again later.
            run_once: whether to return when what was there is handled.
            process_pending: whether to deliver again what failed, and what others abandoned.

        Raises:
            OpenOESError: the server refused; with `run_once` also: it is away. Else that is waited out.

        """
        if self.stream_name is None:
            raise ConfigurationError("which stream? Name it, or call process_stream", parameter="stream_name")
        self._process(self.stream_name, callback, run_once=run_once, process_pending=process_pending)

    def process_stream(
        self, stream_key: str, handler: Handler, batch_size: int | None = None, block_ms: int | None = None
    ) -> None:
        """Give a stream's entries to a handler until `stop` is called.

        Raises:
            OpenOESError: the server refused.

        """
        self.batch_size = self.batch_size if batch_size is None else batch_size
        self.block_ms = self.block_ms if block_ms is None else block_ms
        self._process(stream_key, handler, run_once=False, process_pending=True)

    def stop(self) -> None:
        """End what runs and wait for it: the handler at work finishes its entry, the rest stays for the next start.

        Called before `process_messages` begins, it ends that as it begins.
        """
        self.waiting.end()

    def _process_batch(self, callback: Handler, last_id: str = ">") -> int:
        """Give one batch to a callback without waiting for it to fill; return how many were acknowledged."""
        if self.stream_name is None:
            raise ConfigurationError("which stream?", parameter="stream_name")
        consumer = self._consumer(self.stream_name)
        with of_stream(consumer.stream, "processing"):
            return self._handle(consumer, callback, consumer.read(self.client, self.batch_size, None, last_id))

    def _consumer(self, stream: str) -> GroupConsumer:
        return GroupConsumer(self.client, stream, self.group_name, self.consumer_name)

    def _process(self, stream: str, callback: Handler, *, run_once: bool, process_pending: bool) -> None:
        consumer = self._consumer(stream)
        with self.waiting.run(), of_stream(stream, "processing"), self._kept(consumer):
            if run_once:
                self.waiting.stopping.clear()
                self._pass(consumer, callback, process_pending=process_pending)
            else:
                self._loop(consumer, callback, process_pending=process_pending)

    @contextmanager
    def _kept(self, consumer: GroupConsumer) -> Iterator[None]:
        """Give the group signs of life, however long a handler takes, from a thread that ends with the run."""
        over = threading.Event()

        def keep() -> None:
            while not over.wait(self.abandoned_ms / 3000):
                # What cannot be told now is told next time; the run itself sees whether the server is away.
                with suppress(redis.RedisError, OSError):
                    consumer.beat()

        keeper = threading.Thread(target=keep, name=f"keeper of {consumer.stream}", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()
            if not self._named:
                with suppress(redis.RedisError, OSError):
                    consumer.leave()

    def _pass(self, consumer: GroupConsumer, callback: Handler, *, process_pending: bool) -> None:
        if self.auto_create_group:
            consumer.join()
        end = to_id(newest_id(self.client, consumer.stream))
        while not self.waiting.stopping.is_set():
            batch = consumer.read(self.client, self.batch_size, None)
            self._handle(consumer, callback, batch)
            # A callback may publish to the stream that it reads: what came later is for the next pass.
            if not batch or to_id(batch[-1].id) >= end:
                break
        if process_pending:
            self._again(consumer, callback)

    def _loop(self, consumer: GroupConsumer, callback: Handler, *, process_pending: bool) -> None:
        def turns(reader: redis.Redis) -> None:
            try:
                if self.auto_create_group:
                    consumer.join()
                self._turns(consumer, callback, reader, process_pending=process_pending)
            except redis.ResponseError as e:
                if not (self.auto_create_group and tells_of_no_group(e)):
                    raise
                _log.warning("the group %s of %s is gone and is made again", self.group_name, consumer.stream)

        self.waiting.through_outages(consumer.stream, turns)

    def _turns(self, consumer: GroupConsumer, callback: Handler, reader: redis.Redis, *, process_pending: bool) -> None:
        longest = min(block_ms_max(self.client), self.block_ms or block_ms_max(self.client))
        pause_s = min(SWEEP_S_MAX, max(1, self.retry_delay_ms) / 1000)
        waiting, again_s = process_pending, 0.0
        while not self.waiting.stopping.is_set():
            if process_pending and time.monotonic() >= again_s:
                waiting = self._again(consumer, callback)
                again_s = time.monotonic() + pause_s
            block_ms = max(1, min(longest, int(pause_s * 1000)) if waiting else longest)
            batch = consumer.read(reader, self.batch_size, block_ms)
            failed = len(batch) - self._handle(consumer, callback, batch)
            waiting = waiting or (process_pending and failed > 0)

    def _again(self, consumer: GroupConsumer, callback: Handler) -> bool:
        """Deliver again what is due, and tell whether more will be."""
        self._handle(consumer, callback, consumer.due(self.retry_delay_ms, self.batch_size))
        self._handle(consumer, callback, consumer.abandoned(self.abandoned_ms, self.batch_size))
        return consumer.pending() > 0

    def _handle(self, consumer: GroupConsumer, callback: Handler, batch: list[Delivery]) -> int:
        done = 0
        for delivery in batch:
            if self.waiting.stopping.is_set():
                break
            if delivery.times > self.max_retry_count + 1:
                consumer.bury(delivery, "its consumers ended while they handled it")
            elif (reason := self._failure(callback, delivery)) is None:
                consumer.acknowledge(delivery.id)
                done += 1
            elif delivery.times > self.max_retry_count:
                consumer.bury(delivery, reason)
        return done

    def _failure(self, callback: Handler, delivery: Delivery) -> str | None:
        message = dict(delivery.fields)
        try:
            if callback(message):
                return None
        except (
            Exception
        ) as e:  # The handler is the application's: whatever it raises, the entry stays and others go on.
            _log.exception("the handler of %s failed at delivery %d", delivery.id, delivery.times)
            self.failures.append((delivery.id, e))
            if self.on_error is not None:
                self.on_error(e, message)
            return f"{type(e).__name__}: {e}"
        return "the handler refused it"
