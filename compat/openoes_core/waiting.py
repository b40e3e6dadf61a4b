"""A loop that waits on a server, and that another thread can end at once."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import redis

from openoes_core.errors import ConfigurationError

_log: Final = logging.getLogger(__name__)
UNBLOCK_S: Final = 0.05
PAUSE_S: Final = 0.1
PAUSE_S_MAX: Final = 5.0


class Waiting:
    """One loop at a time, in whichever thread runs it.

    Args:
        client: a client of the server.

    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.stopping = threading.Event()
        """Set while the loop should end."""
        self._alone = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._runner: int | None = None
        self._reader_id: int | None = None

    @property
    def running(self) -> bool:
        """Whether the loop runs."""
        return not self._idle.is_set()

    @contextmanager
    def run(self) -> Iterator[None]:
        """Be the loop for as long as it takes.

        Raises:
            ConfigurationError: it runs already.

        """
        if not self._alone.acquire(blocking=False):
            raise ConfigurationError("it is running already", code="running")
        self._idle.clear()
        self._runner = threading.get_ident()
        try:
            yield
        finally:
            self._runner = None
            self.stopping.clear()
            self._idle.set()
            self._alone.release()

    def end(self) -> None:
        """End the loop and wait for that, unless this is the loop itself; one that has not begun ends as it begins."""
        self.stopping.set()
        if self._runner == threading.get_ident():
            return
        while not self._idle.wait(UNBLOCK_S):
            reader = self._reader_id
            if reader is not None:
                # Without the right to do so, or from a server that is away, the wait ends by itself before long.
                with suppress(redis.RedisError, OSError):
                    self._client.client_unblock(reader)

    def through_outages(self, name: str, turns: Callable[[redis.Redis], None]) -> None:
        """Call `turns` until the loop should end, and again after a pause whenever the server is away.

        Args:
            name: what is read, for the log.
            turns: called with a client of one connection, whose waits `end` ends; returns when the loop should end.

        """
        if self.stopping.is_set():
            _log.warning("%s is not read: a stop came before the start", name)
        pause_s = PAUSE_S
        while not self.stopping.is_set():
            try:
                with self._reader() as reader:
                    pause_s = PAUSE_S
                    turns(reader)
            except (redis.ConnectionError, redis.TimeoutError) as e:
                if isinstance(e, redis.AuthenticationError):
                    raise
                _log.warning("%s cannot be read, again in %g s: %s", name, pause_s, e)
                self.stopping.wait(pause_s)
                pause_s = min(2 * pause_s, PAUSE_S_MAX)

    @contextmanager
    def _reader(self) -> Iterator[redis.Redis]:
        reader = redis.Redis(connection_pool=self._client.connection_pool, single_connection_client=True)
        try:
            with suppress(redis.ResponseError):
                self._reader_id = int(reader.client_id())
            yield reader
        finally:
            self._reader_id = None
            reader.close()
