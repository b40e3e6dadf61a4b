"""One stream's publisher."""

from collections.abc import Mapping
from typing import Any

import redis

from openoes_core.streams import add_message_to_stream, publish_event, trim_stream


class StreamPublisher:
    """Appends messages to one stream; each call returns the entry's id or raises.

    Args:
        client: a client of the server.
        stream_name: the stream.
        max_len: how many entries the stream keeps, beside those that somebody still has to read.
        approximate_trimming: whether a few more may stay.

    """

    def __init__(
        self,
        client: redis.Redis,
        stream_name: str,
        max_len: int = 1000,
        approximate_trimming: bool = True,
    ) -> None:
        self.client = client
        self.stream_name = stream_name
        self.max_len = max_len
        self.approximate_trimming = approximate_trimming

    def publish(self, message: Mapping[str, Any], id: str = "*") -> str:  # noqa: A002 - the seeds' name
        """Append a message and return its id.

        Raises:
            ValidationError: the message holds what no entry can.
            OpenOESError: the server refused, or is away.

        """
        return add_message_to_stream(
            self.client, self.stream_name, message, self.max_len, self.approximate_trimming, id
        )

    def publish_event(self, event_type: str, data: Mapping[str, Any]) -> str:
        """Append an event, its data as fields of their own, and return its id.

        Raises:
            ValidationError: the data hold what no entry can.
            OpenOESError: the server refused, or is away.

        """
        return publish_event(self.client, self.stream_name, event_type, data, self.max_len)

    def trim(self) -> bool:
        """Cut the stream to its newest `max_len` entries, read or not.

        Raises:
            OpenOESError: the server refused, or is away.

        """
        return trim_stream(self.client, self.stream_name, self.max_len, self.approximate_trimming)
