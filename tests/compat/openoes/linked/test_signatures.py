"""Every exported name of both parties takes what the seeds' takes, and is there under the older name."""

import inspect
import subprocess
import sys
from pathlib import Path

import openoes_exchange
import openoes_wsp
import pytest
from sdk_ce import redis_mirror_exchange, redis_mirror_wsp

COMPAT = Path(__file__).parents[4] / "compat"
WSP = """
CreditRequest(custodian_id, user_id, asset, c_change, ci, chain, address, request_id, timestamp)
CreditRequest.to_dict() CreditRequest.update_from_response(response) CreditRequest.is_increase() CreditRequest.is_decrease()
CreditRequest.is_pending() CreditRequest.is_accepted() CreditRequest.is_rejected() CreditRequest.is_timeout()
CreditResponse.is_approved() CreditResponse.from_stream_data(data)
CreditRequestManager(connection_manager, custodian_id, response_timeout, auto_start_processor)
CreditRequestManager.create_credit_request(user_id, asset, amount, ci, chain, address)
CreditRequestManager.send_credit_request(request, wait_for_response, timeout)
CreditRequestManager.request_credit_increase(user_id, asset, amount, ci, chain, address, wait_for_response, timeout)
CreditRequestManager.request_credit_decrease(user_id, asset, amount, ci, wait_for_response, timeout)
CreditRequestManager.get_pending_requests() CreditRequestManager.get_request(request_id)
CreditRequestManager.add_response_callback(callback)
CreditRequestManager.start_response_processor() CreditRequestManager.stop_response_processor()
WSPClient(connection_manager, config, custodian_id, response_timeout, auto_start_processors)
WSPClient.close() WSPClient.add_credit_response_callback(callback)
WSPClient.request_credit_increase(user_id, asset, amount, ci, chain, address, wait_for_response, timeout)
WSPClient.request_credit_decrease(user_id, asset, amount, ci, wait_for_response, timeout)
WSPClient.get_pending_credit_requests() WSPClient.get_credit_request(request_id)
WSPClient.add_settlement_callback(callback) WSPClient.process_settlement_reports(callback)
WSPClient.confirm_settlement(settlement_id, status, details) WSPClient.get_settlement_report(settlement_id)
WSPClient.get_settlement_reports(user_id, status) WSPClient.add_pledge_response_callback(callback)
WSPClient.create_pledge(user_id, asset, amount, address, chain, request_id, wait_for_response, timeout)
WSPClient.process_pledge_responses(callback, run_once) WSPClient.get_pledge_request(request_id)
WSPClient.get_pledge_requests(user_id, asset, status) WSPClient.get_pending_pledge_requests(user_id)
WSPClient.add_asset_to_vault(user_id, asset, amount, chain, address, vault_id, status, pledge_request_id)
WSPClient.lock_assets(user_id, asset, amount, chain, address)
WSPClient.unlock_assets(user_id, asset, amount, credit_inventory) WSPClient.get_vault_asset(vault_id)
WSPClient.get_vault_assets(user_id, asset, status) WSPClient.get_locked_assets(user_id, asset)
WSPClient.get_unlocked_assets(user_id, asset) WSPClient.get_total_locked_amount(user_id, asset)
WSPClient.get_total_unlocked_amount(user_id, asset) WSPClient.get_total_amount(user_id, asset)
WSPClient.start_credit_event_listener(callback) WSPClient.create_event_router()
WSPClient.start_credit_response_processor() WSPClient.stop_credit_response_processor()
WSPClient.start_settlement_processor() WSPClient.stop_settlement_processor()
SettlementReport(report_id, user_id, timestamp, eod_time, assets_bought, assets_sold, net_position, settlement_instructions, raw_data)
SettlementReport.from_stream_data(data) SettlementReport.to_dict() SettlementReport.mark_processing()
SettlementReport.mark_completed() SettlementReport.mark_failed(reason)
SettlementReport.is_pending() SettlementReport.is_processing() SettlementReport.is_completed() SettlementReport.is_failed()
SettlementConfirmation(settlement_id, user_id, timestamp, status, details)
SettlementClient(connection_manager, custodian_id, auto_start_processor)
SettlementClient.start_settlement_processor() SettlementClient.stop_settlement_processor()
SettlementClient.add_settlement_callback(callback) SettlementClient.process_settlement_reports(callback, run_once)
SettlementClient.confirm_settlement(settlement_id, status, details) SettlementClient.get_settlement_report(settlement_id)
SettlementClient.get_settlement_reports(user_id, status) SettlementClient.get_pending_settlement_reports(user_id)
SettlementClient.get_processing_settlement_reports(user_id) SettlementClient.get_completed_settlement_reports(user_id)
SettlementClient.get_failed_settlement_reports(user_id)
PledgeRequest(request_id, user_id, asset, amount, custodian_id, chain, address, timestamp)
PledgeRequest.to_dict() PledgeRequest.to_stream_data() PledgeRequest.mark_submitted()
PledgeRequest.mark_approved(vault_id, timestamp) PledgeRequest.mark_rejected(reason, timestamp)
PledgeRequest.mark_failed(reason, timestamp) PledgeRequest.is_completed()
PledgeResponse(request_id, user_id, asset, amount, status, timestamp, vault_id, reject_reason)
PledgeResponse.from_stream_data(data) PledgeResponse.to_dict()
PledgeManager(connection_manager, custodian_id, auto_start_processor)
PledgeManager.create_pledge_request(user_id, asset, amount, chain, address, request_id, publish)
PledgeManager.create_pledge(user_id, asset, amount, chain, address) PledgeManager.add_response_callback(callback)
PledgeManager.process_pledge_responses(callback, run_once) PledgeManager.get_pledge_request(request_id)
PledgeManager.get_pledge_requests(user_id, asset, status) PledgeManager.get_pledge_response(request_id)
PledgeManager.get_pledge_responses() PledgeManager.get_pending_pledge_requests(user_id)
PledgeManager.get_approved_pledge_requests(user_id) PledgeManager.get_rejected_pledge_requests(user_id)
PledgeManager.start_response_processor() PledgeManager.stop_response_processor()
VaultAsset(vault_id, user_id, asset, amount, chain, address, status, timestamp, pledge_request_id)
VaultAsset.to_dict() VaultAsset.lock() VaultAsset.unlock() VaultAsset.mark_pending() VaultAsset.is_locked()
LobsterBasketPolicy(vault_manager) LobsterBasketPolicy.apply_policy(user_id, asset, amount, credit_inventory)
VaultManager(connection_manager, custodian_id)
VaultManager.add_asset(user_id, asset, amount, chain, address, vault_id, status, pledge_request_id)
VaultManager.lock_asset(vault_id) VaultManager.unlock_asset(vault_id) VaultManager.unlock_assets(user_id, asset, amount)
VaultManager.get_asset(vault_id) VaultManager.get_assets(user_id, asset, status) VaultManager.get_user_assets(user_id)
VaultManager.get_locked_assets() VaultManager.get_unlocked_assets() VaultManager.get_pending_assets()
VaultManager.get_total_locked_amount(user_id, asset) VaultManager.get_total_unlocked_amount(user_id, asset)
VaultManager.get_total_amount(user_id, asset) VaultManager.get_balance(asset)
"""  # noqa: E501 - whole calls
EXCHANGE = """
CreditInventory(user_id, asset, amount, timestamp) CreditInventory.increase(amount) CreditInventory.decrease(amount)
CreditInventory.to_dict() CreditInventory.from_dict(data)
CreditValidator(approved_custodians, approved_assets)
CreditValidator.validate_increase(custodian, user_id, asset, amount, ci, chain, address, inventory_manager)
CreditValidator.validate_decrease(custodian, user_id, asset, amount, ci, inventory_manager)
CreditInventoryManager(client) CreditInventoryManager.get_inventory(user_id, asset)
CreditInventoryManager.update_inventory(inventory) CreditInventoryManager.increase_inventory(user_id, asset, amount)
CreditInventoryManager.decrease_inventory(user_id, asset, amount)
CreditManager(connection_manager, inventory_manager, validator, approved_custodians, approved_assets, auto_start_processor)
CreditManager.process_credit_request(request) CreditManager.send_credit_response(response)
CreditManager.add_request_callback(callback) CreditManager.start_request_processor()
CreditManager.stop_request_processor() CreditManager.start_processor(callback)
CreditManager.get_credit_inventory(user_id, asset)
ExchangeClient(connection_manager, config, approved_custodians, approved_assets, auto_start_processors)
ExchangeClient.close() ExchangeClient.start_credit_request_processor(callback)
ExchangeClient.stop_credit_request_processor() ExchangeClient.add_credit_request_handler(callback)
ExchangeClient.process_credit_request(request) ExchangeClient.get_credit_inventory(user_id, asset)
ExchangeClient.update_credit_inventory(user_id, asset, amount, is_increase)
ExchangeClient.validate_credit_request(custodian, user_id, asset, amount, ci, chain, address)
ExchangeClient.approve_credit_request(request) ExchangeClient.reject_credit_request(request, reason)
ExchangeClient.add_settlement_confirmation_callback(callback)
ExchangeClient.generate_settlement_report(user_id, assets_bought, assets_sold, net_position, settlement_instructions, eod_time, publish)
ExchangeClient.generate_settlement_reports(user_data, eod_time, publish)
ExchangeClient.process_settlement_confirmations(callback, run_once) ExchangeClient.get_settlement_report(settlement_id)
ExchangeClient.get_settlement_reports(user_id, status) ExchangeClient.get_settlement_confirmation(settlement_id)
ExchangeClient.get_settlement_confirmations(user_id, status)
ExchangeClient.update_account(user_id, asset, amount, transaction_type) ExchangeClient.get_account_balance(user_id, asset)
ExchangeClient.create_settlement_report(user_id, settlement_id, trades, positions)
ExchangeClient.publish_settlement_report(report)
SettlementReport.to_stream_data() SettlementConfirmation.from_stream_data(data) SettlementConfirmation.to_dict()
SettlementManager(connection_manager, inventory_manager, auto_start_processor)
SettlementManager.generate_settlement_reports() SettlementManager.process_settlement_confirmations(callback, run_once)
SettlementManager.start_confirmation_processor() SettlementManager.stop_confirmation_processor()
SettlementManager.add_confirmation_callback(callback)
CreditInventoryEntry(user_id, asset, amount, timestamp, last_updated, transaction_id)
CreditInventoryEntry.update(amount) CreditInventoryEntry.increase(amount) CreditInventoryEntry.decrease(amount)
CreditInventoryProcessor(connection_manager) CreditInventoryProcessor.get_credit_inventory(user_id, asset, refresh)
CreditInventoryProcessor.set_credit_inventory(user_id, asset, amount, transaction_id)
CreditInventoryProcessor.increase_credit_inventory(user_id, asset, amount, transaction_id)
CreditInventoryProcessor.decrease_credit_inventory(user_id, asset, amount, transaction_id)
CreditInventoryProcessor.get_all_credit_inventory(user_id)
CreditInventoryProcessor.get_credit_inventory_for_assets(user_id, assets)
CreditInventoryProcessor.process_settlement_decrease(user_id, asset, amount, settlement_id)
CreditInventoryProcessor.verify_double_entry(transaction_id, user1_id, user2_id, asset, amount)
CreditInventoryProcessor.update_inventory(user_id, asset, amount) CreditInventoryProcessor.get_inventory(user_id, asset)
AccountEntry(user_id, asset, balance, available, reserved, timestamp, last_updated, transaction_id)
AccountEntry.update(balance) AccountEntry.increase_balance(amount) AccountEntry.decrease_balance(amount)
AccountEntry.reserve(amount) AccountEntry.release_reservation(amount)
AccountIntegration(connection_manager) AccountIntegration.get_account(user_id, asset, refresh)
AccountIntegration.set_account(user_id, asset, balance, available, reserved, transaction_id)
AccountIntegration.increase_balance(user_id, asset, amount, increase_available, transaction_id)
AccountIntegration.decrease_balance(user_id, asset, amount, decrease_available, transaction_id)
AccountIntegration.reserve_balance(user_id, asset, amount, transaction_id)
AccountIntegration.release_reservation(user_id, asset, amount, transaction_id)
AccountIntegration.get_all_accounts(user_id) AccountIntegration.get_accounts_for_assets(user_id, assets)
AccountIntegration.update_account_from_credit_inventory(user_id, asset, ci_amount, transaction_id)
AccountIntegration.process_settlement_update(user_id, asset, amount, is_bought, settlement_id)
AccountIntegration.apply_credit(user_id, asset, amount)
"""  # noqa: E501 - whole calls
CALLS = [
    (module, call if call.endswith(")") else f"{call})")
    for module, text in ((openoes_wsp, WSP), (openoes_exchange, EXCHANGE))
    for call in text.replace("\n", " ").strip().split(") ")
]


@pytest.mark.parametrize(("module", "call"), CALLS, ids=lambda part: part if isinstance(part, str) else "")
def test_d01_a_call_as_the_seeds_have_it_is_taken(module: object, call: str) -> None:
    """By position and by name; whatever ours takes besides is not asked for."""
    name, _, rest = call.removesuffix(")").partition("(")
    found: object = module
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
    parameters = [p for p in inspect.signature(found).parameters.values() if p.name != "self"]
    asked = [part.strip() for part in rest.split(",") if part.strip()]
    given = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert given[: len(asked)] == asked
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for parameter in parameters[len(asked) :]:
        assert parameter.default is not inspect.Parameter.empty or parameter.kind in optional


@pytest.mark.parametrize(
    ("newer", "older"), [(openoes_wsp, redis_mirror_wsp), (openoes_exchange, redis_mirror_exchange)]
)
def test_d01_the_older_name_has_the_same_objects(newer: object, older: object) -> None:
    names = newer.__all__  # type: ignore[attr-defined]
    assert names == older.__all__  # type: ignore[attr-defined]
    assert len(names) > 10
    assert all(getattr(newer, name) is getattr(older, name) for name in names)


def test_d01_d39_importing_does_nothing() -> None:
    script = """
import logging, socket, sys, threading
sys.path[:0] = sys.argv[1:]
def refuse(*a, **k): raise AssertionError("a socket was opened by an import")
socket.socket.connect = refuse
import openoes_wsp, openoes_exchange, sdk_ce.redis_mirror_wsp, sdk_ce.redis_mirror_exchange
assert threading.active_count() == 1
assert not logging.getLogger().handlers
"""
    done = subprocess.run([sys.executable, "-c", script, str(COMPAT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("word", ["utcnow(", "hmset(", "basicConfig(", ".keys(", "print(", "logging.INFO"])
def test_d42_what_the_sources_do_not_do(word: str) -> None:
    sources = [path for folder in ("openoes_wsp", "openoes_exchange") for path in (COMPAT / folder).glob("*.py")]
    assert len(sources) > 12
    assert [path.name for path in sources if word in path.read_text()] == []
