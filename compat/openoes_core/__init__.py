"""OpenOES core: connections, keys, settings, streams, events and errors of the SDK, over Heliograph."""

from openoes_core.acl import (
    ACLManager,
    disable_default_user,
    get_acl_list,
    setup_basic_acls,
    setup_exchange_acl,
    setup_wsp_acl,
    test_exchange_acl,
    test_wsp_acl,
)
from openoes_core.amount import Amount
from openoes_core.configuration import Configuration, ConfigurationProfile
from openoes_core.connection import (
    RedisConnectionManager,
    check_connection,
    create_redis_client,
    create_stream_writeable_replica_client,
    get_connection_info,
)
from openoes_core.errors import (
    ACLError,
    ConfigurationError,
    ConnectionError,  # noqa: A004 - the seeds' name
    CreditRequestError,
    KeyError,  # noqa: A004 - the seeds' name
    OpenOESError,
    SettlementError,
    StreamError,
    TimeoutError,  # noqa: A004 - the seeds' name
    ValidationError,
    handle_redis_error,
)
from openoes_core.event import Event, EventType
from openoes_core.event_publisher import EventPublisher, create_event_publisher, publish_event_to_stream
from openoes_core.event_routing import EventFilter, EventRouter, create_event_router
from openoes_core.event_subscriber import EventSubscriber, create_event_subscriber
from openoes_core.keys import (
    KeyManager,
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
)
from openoes_core.processor import StreamProcessor
from openoes_core.publisher import StreamPublisher
from openoes_core.streams import (
    acknowledge_message,
    add_message_to_stream,
    claim_pending_messages,
    create_consumer_group,
    delete_message,
    get_consumer_group_info,
    get_pending_messages,
    get_stream_info,
    publish_event,
    read_messages,
    read_messages_from_group,
    trim_stream,
)

__version__ = "0.1.0"

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
    "OpenOESError",
    "RedisConnectionManager",
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
