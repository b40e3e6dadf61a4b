"""Events onto a stream."""

import uuid
from collections.abc import Mapping
from typing import Any

import redis

from heliograph.model.numbers import fixed
from openoes_core.amount import amount
from openoes_core.event import Event, EventType
from openoes_core.streams import add_message_to_stream

Number = Any
"""What callers write for an amount: text, an integer, a float or a Decimal."""


class EventPublisher:
    """Publishes events to one stream; each call returns the entry's id or raises.

    Args:
        client: a client of the server.
        stream_name: the stream.
        max_len: how many entries the stream keeps, beside those that somebody still has to read.
        source: who tells, where a call does not say.

    """

    def __init__(self, client: redis.Redis, stream_name: str, max_len: int = 1000, source: str = "unknown") -> None:
        self.client = client
        self.stream_name = stream_name
        self.max_len = max_len
        self.source = source

    def publish(self, event: Event) -> str:
        """Publish an event.

        Raises:
            ValidationError: it holds what has no place on the wire.
            OpenOESError: the server refused, or is away.

        """
        return add_message_to_stream(self.client, self.stream_name, event.to_stream_message(), self.max_len)

    def publish_event(
        self,
        event_type: str | EventType,
        data: Mapping[str, Any],
        source: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Make an event and publish it.

        Raises:
            ValidationError: it is none, or holds what has no place on the wire.
            OpenOESError: the server refused, or is away.

        """
        return self.publish(Event(event_type, source or self.source, data, metadata=metadata))

    def publish_credit_request(
        self,
        custodian: str,
        user_id: str,
        asset: str,
        c_change: Number,
        ci: Number,
        request_id: str | None = None,
        chain: str | None = None,
        address: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish a credit request under the wire's own names.

        Args:
            custodian: the custodian.
            user_id: the user.
            asset: the asset.
            c_change: the change, negative for a decrease.
            ci: the credit inventory after it.
            request_id: its id; None makes one.
            chain: the chain of the deposit.
            address: its address.
            metadata: what is told about the telling.

        Raises:
            ValidationError: an amount is none.
            OpenOESError: the server refused, or is away.

        """
        data = {
            **_credit(custodian, user_id, asset, c_change, ci),
            "request_id": request_id or f"req-{uuid.uuid4()}",
            **({} if chain is None else {"chain": chain}),
            **({} if address is None else {"address": address}),
        }
        return self.publish_event(EventType.CREDIT_REQUEST, data, metadata=metadata)

    def publish_credit_response(
        self,
        custodian: str,
        user_id: str,
        asset: str,
        c_change: Number,
        ci: Number,
        request_id: str,
        status: str,
        reject_reason: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish the answer to a credit request under the wire's own names.

        Raises:
            ValidationError: an amount is none.
            OpenOESError: the server refused, or is away.

        """
        data = {
            **_credit(custodian, user_id, asset, c_change, ci),
            "request_id": request_id,
            "status": status,
            "reject_reason": reject_reason or "",
        }
        return self.publish_event(EventType.CREDIT_RESPONSE, data, metadata=metadata)

    def publish_settlement_report(
        self,
        report_id: str,
        custodian: str,
        timestamp: int,
        assets: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish a settlement report.

        Raises:
            ValidationError: it holds what has no place on the wire.
            OpenOESError: the server refused, or is away.

        """
        data = {"report_id": report_id, "custodian": custodian, "timestamp": timestamp, "assets": dict(assets)}
        return self.publish_event(EventType.SETTLEMENT_REPORT, data, metadata=metadata)

    def publish_system_event(
        self,
        event_name: str,
        component: str,
        details: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish `system:<event_name>` about a component.

        Raises:
            ValidationError: the name is none of an event's, or the details have no place on the wire.
            OpenOESError: the server refused, or is away.

        """
        data = {"component": component, "details": dict(details)}
        return self.publish_event(f"system:{event_name}", data, metadata=metadata)


def create_event_publisher(
    client: redis.Redis, stream_name: str, max_len: int = 1000, source: str = "unknown"
) -> EventPublisher:
    """Return a publisher of events to one stream."""
    return EventPublisher(client, stream_name, max_len, source)


def publish_event_to_stream(
    client: redis.Redis,
    stream_name: str,
    event_type: str | EventType,
    data: Mapping[str, Any],
    source: str = "unknown",
    metadata: Mapping[str, Any] | None = None,
    max_len: int = 1000,
) -> str:
    """Make an event and publish it to a stream; return the entry's id.

    Raises:
        ValidationError: it is none, or holds what has no place on the wire.
        OpenOESError: the server refused, or is away.

    """
    return EventPublisher(client, stream_name, max_len, source).publish_event(event_type, data, metadata=metadata)


def _credit(custodian: str, user_id: str, asset: str, c_change: Number, ci: Number) -> dict[str, Any]:
    return {
        "custodian": custodian,
        "uid": user_id,
        "asset": asset,
        "c_change": f"{amount(c_change, 'c_change'):+f}",
        "ci": fixed(amount(ci, "ci")),
    }
