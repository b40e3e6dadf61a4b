"""Every exported name of core takes what the seeds' takes, by the same names and with the same defaults."""

import ast
import inspect
from pathlib import Path

import openoes_core
import pytest
from sdk_ce import redis_mirror_core

SIGNATURES = """
create_redis_client(host='localhost', port=6379, password='', db=0, decode_responses=True, **)
create_stream_writeable_replica_client(host='localhost', port=6379, password='', db=0, decode_responses=True, **)
RedisConnectionManager(wsp_config, replica_config=None)
RedisConnectionManager.get_wsp_client()
RedisConnectionManager.get_replica_client()
RedisConnectionManager.close()
check_connection(client)
get_connection_info(client)
generate_credit_inventory_key(user_id, asset)
generate_exchange_stream_key(stream_type, identifier)
generate_custodian_stream_key(custodian_id, user_id, stream_type)
generate_pledge_request_key(custodian_id, user_id, asset_id)
generate_pledge_response_key(custodian_id, user_id)
generate_settlement_report_key(custodian_id, user_id=None)
generate_settlement_completion_key(custodian_id, user_id=None)
generate_credit_request_stream_key()
generate_credit_response_stream_key()
generate_settlement_individual_response_key()
generate_settlement_batch_response_key()
KeyManager.parse_key(key)
setup_exchange_acl(client, username, password, stream_patterns=None)
setup_wsp_acl(client, username, password)
disable_default_user(client)
setup_basic_acls(client, exchange_username, exchange_password, wsp_username, wsp_password, stream_patterns=None)
test_exchange_acl(client, stream_key)
test_wsp_acl(client)
get_acl_list(client)
ACLManager(admin_client)
ACLManager.setup_exchange_user(username, password, stream_patterns=None)
ACLManager.setup_wsp_user(username, password)
ACLManager.setup_all_users(exchange_username, exchange_password, wsp_username, wsp_password, stream_patterns=None)
ACLManager.test_exchange_permissions(client, stream_key)
ACLManager.test_wsp_permissions(client)
ACLManager.get_users()
ACLManager.disable_default_user()
handle_redis_error(func)
Configuration(config=None)
Configuration.get(key, default=None)
Configuration.set(key, value)
Configuration.from_file(path)
Configuration.from_env(prefix='OPENOES_')
Configuration.to_dict()
Configuration.save_to_file(path)
ConfigurationProfile.development()
ConfigurationProfile.production()
ConfigurationProfile.testing()
create_consumer_group(client, stream_name, group_name, start_id='0', mkstream=True)
add_message_to_stream(client, stream_name, message, max_len=1000, approximate=True, id='*')
read_messages(client, stream_name, count=10, block=None, last_id='$')
read_messages_from_group(client, stream_name, group_name, consumer_name, count=10, block=None, noack=False, last_id='>')
acknowledge_message(client, stream, group, message_id)
get_pending_messages(client, stream, group, count=10, consumer=None, min_idle_time=None, start='-', end='+')
claim_pending_messages(client, stream, group, consumer, min_idle_time, message_ids)
trim_stream(client, stream, max_len, approximate=True)
delete_message(client, stream, id)
get_stream_info(client, stream)
get_consumer_group_info(client, stream, group)
publish_event(client, stream_name, event_type, data, max_len=1000)
StreamProcessor(client, stream_name, group_name, consumer_name=None, auto_create_group=True, max_retry_count=3, retry_delay_ms=5000, block_ms=2000, batch_size=10)
StreamProcessor.process_messages(callback, run_once=False, process_pending=True)
StreamProcessor.process_stream(stream_key, handler, batch_size, block_ms)
StreamProcessor.stop()
StreamPublisher(client, stream_name, max_len=1000, approximate_trimming=True)
StreamPublisher.publish(message, id='*')
StreamPublisher.publish_event(event_type, data)
StreamPublisher.trim()
Event(event_type, source, data, event_id=None, timestamp=None, metadata=None)
Event.from_dict(values)
Event.from_stream_message(message)
EventPublisher(client, stream_name, max_len=1000, source='unknown')
EventPublisher.publish(event)
EventPublisher.publish_event(event_type, data, source=None, metadata=None)
EventPublisher.publish_credit_request(custodian, user_id, asset, c_change, ci, request_id=None, chain=None, address=None, metadata=None)
EventPublisher.publish_credit_response(custodian, user_id, asset, c_change, ci, request_id, status, reject_reason=None, metadata=None)
EventPublisher.publish_settlement_report(report_id, custodian, timestamp, assets, metadata=None)
EventPublisher.publish_system_event(event_name, component, details, metadata=None)
EventFilter(event_types=None, sources=None, event_id_pattern=None, data_filter=None)
EventFilter.matches(event)
EventSubscriber(client, stream_name, group_name=None, consumer_name=None, auto_create_group=True, max_retry_count=3, retry_delay_ms=5000, block_ms=2000, batch_size=10)
EventSubscriber.subscribe_to_event_type(event_type, callback)
EventSubscriber.subscribe_to_source(source, callback)
EventSubscriber.start()
EventSubscriber.stop()
EventRouter()
EventRouter.set_default_handler(handler)
EventRouter.route(event)
publish_event_to_stream(client, stream_name, event_type, data, source='unknown', metadata=None, max_len=1000)
"""  # noqa: E501 - one a line


@pytest.mark.parametrize("line", SIGNATURES.strip().splitlines(), ids=lambda line: line.partition("(")[0])
def test_d01_a_call_as_the_seeds_have_it_is_taken(line: str) -> None:
    name, _, rest = line.partition("(")
    found: object = openoes_core
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
    parameters = [p for p in inspect.signature(found).parameters.values() if p.name != "self"]
    texts = [text for text in rest.removesuffix(")").split(", ") if text]
    assert (texts[-1:] == ["**"]) == (parameters[-1:] != [] and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD)
    for parameter, text in zip(parameters, texts, strict=False):
        if text == "**":
            continue
        asked, _, default = text.partition("=")
        assert parameter.name == asked
        if default:
            assert parameter.default == ast.literal_eval(default)
    # What ours takes besides is not asked for.
    for parameter in parameters[len(texts) :]:
        assert parameter.default is not inspect.Parameter.empty or parameter.kind is inspect.Parameter.VAR_POSITIONAL


def test_the_older_edition_differs_in_the_prefix() -> None:
    signature = inspect.signature(redis_mirror_core.Configuration.from_env)
    assert signature.parameters["prefix"].default == "REDIS_MIRROR_"
    assert openoes_core.__version__ == redis_mirror_core.__version__ == "0.1.0"


@pytest.mark.parametrize("word", ["utcnow(", "hmset(", "basicConfig(", '.keys("', "print("])
def test_d42_what_the_sources_do_not_do(word: str) -> None:
    compat = Path(__file__).parents[3] / "compat"
    sources = [
        path for folder in ("openoes_core", "openoes_testing", "sdk_ce") for path in (compat / folder).rglob("*.py")
    ]
    assert len(sources) > 20
    assert [path.name for path in sources if word in path.read_text()] == []
