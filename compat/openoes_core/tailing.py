"""A stream on a server that may forget: read from its beginning, followed, and read again when it went back."""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

import redis

from openoes_core.replies import Entry, entries_of, of_stream
from openoes_core.retention import to_id
from openoes_core.streams import block_ms_max, newest_id
from openoes_core.waiting import Waiting

BATCH: Final = 100
_log: Final = logging.getLogger(__name__)


class Tail:
    """One reader of one stream; what it takes twice, after the stream was lost, its taker must know.

    Args:
        client: a client of the server.
        stream: the stream.
        take: called with each entry.

    """

    def __init__(self, client: redis.Redis, stream: str, take: Callable[[Entry], Any]) -> None:
        self._client = client
        self._stream = stream
        self._take = take
        self._after = "0-0"
        self._reading = threading.Lock()
        self._waiting = Waiting(client)
        self._thread: threading.Thread | None = None

    def once(self) -> None:
        """Take what is there, and return.

        Raises:
            OpenOESError: the server refused, or is away.

        """
        with of_stream(self._stream, "reading"), self._reading:
            if to_id(newest_id(self._client, self._stream)) < to_id(self._after):
                self._after = "0-0"
            while entries := entries_of(self._client.xread({self._stream: self._after}, BATCH)):
                self._took(entries)

    def start(self) -> None:
        """Take what is there and what comes, in a thread; a second time does nothing."""
        if self._thread is None:
            self._waiting.stopping.clear()
            self._thread = threading.Thread(target=self._run, name=f"tail of {self._stream}", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End; the thread has ended when this returns, unless this is that thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.end()
            if thread is not threading.current_thread():
                thread.join()

    def _run(self) -> None:
        with self._waiting.run():
            self._waiting.through_outages(self._stream, self._follow)

    def _follow(self, reader: redis.Redis) -> None:
        while not self._waiting.stopping.is_set():
            self.once()
            after: Any = {self._stream: self._after}
            # What comes is only noticed here, and taken by `once`, so that two readers never take the same.
            reader.xread(after, count=1, block=block_ms_max(self._client))

    def _took(self, entries: list[Entry]) -> None:
        for entry in entries:
            try:
                self._take(entry)
            except Exception:  # What one entry does to its taker must not keep the others from it.
                _log.exception("an entry of %s was not taken", self._stream)
            self._after = entry[0]
