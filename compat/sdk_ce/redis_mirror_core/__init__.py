"""Redis Mirror CE core: `openoes_core` under its older name.

The objects are the same, so that programs of both names work together and an error of one is caught as the other's.
What the older edition calls otherwise is named here: the root of the errors, the prefixes, the server version's key.
"""

from typing import Any, ClassVar, Self

import redis
from openoes_core import (
    ACLError,
    ACLManager,
    Amount,
    ConfigurationError,
    ConnectionError,  # noqa: A004 - the seeds' name
    CreditRequestError,
    Event,
    EventFilter,
    EventPublisher,
    EventRouter,
    EventSubscriber,
    EventType,
    KeyError,  # noqa: A004 - the seeds' name
    KeyManager,
    OpenOESError,
    RedisConnectionManager,
    SettlementError,
    StreamError,
    StreamProcessor,
    StreamPublisher,
    TimeoutError,  # noqa: A004 - the seeds' name
    ValidationError,
    acknowledge_message,
    add_message_to_stream,
    check_connection,
    claim_pending_messages,
    create_consumer_group,
    create_event_publisher,
    create_event_router,
    create_event_subscriber,
    create_redis_client,
    create_stream_writeable_replica_client,
    delete_message,
    disable_default_user,
    generate_credit_inventory_key,
    generate_credit_request_stream_key,
    generate_credit_response_stream_key,
    generate_custodian_stream_key,
    generate_exchange_stream_key,
    generate_pledge_request_key,
    generate_pledge_response_key,
    generate_settlement_batch_response_key,
    generate_settlement_completion_key,
    generate_settlement_individual_response_key,
    generate_settlement_report_key,
    get_acl_list,
    get_consumer_group_info,
    get_pending_messages,
    get_stream_info,
    handle_redis_error,
    publish_event,
    publish_event_to_stream,
    read_messages,
    read_messages_from_group,
    setup_basic_acls,
    setup_exchange_acl,
    setup_wsp_acl,
    test_exchange_acl,
    test_wsp_acl,
    trim_stream,
)
from openoes_core import Configuration as _Configuration
from openoes_core import ConfigurationProfile as _ConfigurationProfile
from openoes_core.connection import connection_info

__version__ = "0.1.0"

RedisMirrorError = OpenOESError


class Configuration(_Configuration):
    """The settings, with the older edition's prefixes."""

    GROUP_PREFIX: ClassVar[str] = "redis_mirror_ce"

    @classmethod
    def from_env(cls, prefix: str = "REDIS_MIRROR_") -> Self:
        """Read `<prefix><SECTION>__<KEY>` from the environment, such as `REDIS_MIRROR_WSP_REDIS__HOST`.

        Raises:
            ConfigurationError: a value is not of its key's type.

        """
        return super().from_env(prefix)


class ConfigurationProfile(_ConfigurationProfile):
    """Settings for the usual places, with the older edition's prefixes."""

    KIND: ClassVar[type[_Configuration]] = Configuration


def get_connection_info(client: redis.Redis) -> dict[str, Any]:
    """Return what the server tells of itself, or `{"error": …, "connected": False}`."""
    return connection_info(client, "redis_version")


__all__ = [
    "ACLError",
    "ACLManager",
    "Amount",
    "Configuration",
    "ConfigurationError",
    "ConfigurationProfile",
    "ConnectionError",
    "CreditRequestError",
    "Event",
    "EventFilter",
    "EventPublisher",
    "EventRouter",
    "EventSubscriber",
    "EventType",
    "KeyError",
    "KeyManager",
    "RedisConnectionManager",
    "RedisMirrorError",
    "SettlementError",
    "StreamError",
    "StreamProcessor",
    "StreamPublisher",
    "TimeoutError",
    "ValidationError",
    "acknowledge_message",
    "add_message_to_stream",
    "check_connection",
    "claim_pending_messages",
    "create_consumer_group",
    "create_event_publisher",
    "create_event_router",
    "create_event_subscriber",
    "create_redis_client",
    "create_stream_writeable_replica_client",
    "delete_message",
    "disable_default_user",
    "generate_credit_inventory_key",
    "generate_credit_request_stream_key",
    "generate_credit_response_stream_key",
    "generate_custodian_stream_key",
    "generate_exchange_stream_key",
    "generate_pledge_request_key",
    "generate_pledge_response_key",
    "generate_settlement_batch_response_key",
    "generate_settlement_completion_key",
    "generate_settlement_individual_response_key",
    "generate_settlement_report_key",
    "get_acl_list",
    "get_connection_info",
    "get_consumer_group_info",
    "get_pending_messages",
    "get_stream_info",
    "handle_redis_error",
    "publish_event",
    "publish_event_to_stream",
    "read_messages",
    "read_messages_from_group",
    "setup_basic_acls",
    "setup_exchange_acl",
    "setup_wsp_acl",
    "test_exchange_acl",
    "test_wsp_acl",
    "trim_stream",
]
