"""Pledges, and the lots of the vault."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from openoes_core import Configuration, KeyManager, ValidationError
from openoes_wsp import LobsterBasketPolicy, PledgeRequest, PledgeResponse, VaultAsset, VaultManager

from tests.compat.openoes.handlers import Calls, wait_until
from tests.compat.openoes.parties import connected, exchange, no_thread_left, wsp


def test_d27_both_parts_of_a_split_lot_are_there_also_after_a_restart(config: Configuration) -> None:
    with wsp(config) as custodian:
        first = custodian.add_asset_to_vault("u", "BTC", 3, "Bitcoin", "bc1q")
        custodian.lock_assets("u", "BTC", "4.5", "Bitcoin", "bc1q")
        moved = custodian.unlock_assets("u", "BTC", 5)
        assert [(each.amount, each.status) for each in moved] == [(3, "unlocked"), (2, "unlocked")]
        assert first.is_unlocked(), "what was handed out is live"
    with wsp(config) as custodian:
        assert custodian.get_total_locked_amount("u", "BTC") == 2.5
        assert custodian.get_total_unlocked_amount("u", "BTC") == 5
        assert custodian.get_total_amount("u", "BTC") == 7.5
        assert len(custodian.get_vault_assets("u")) == 3
        assert {each.status for each in custodian.get_locked_assets()} == {"locked"}
        assert custodian.get_vault_asset(first.vault_id).amount == 3  # type: ignore[union-attr]
        assert custodian.vault_manager.get_balance("BTC") == 7.5


def test_d27_the_policy_refuses_with_a_reason_and_changes_nothing(config: Configuration) -> None:
    with connected(config) as manager:
        vault = VaultManager(manager, "ledger", config=config)
        policy = LobsterBasketPolicy(vault)
        assert policy.apply_policy("u", "BTC", 1) == (False, [], "no lot is locked")
        vault.add_asset("u", "BTC", 5, "Bitcoin", "bc1q")
        for amount, credit in ((6, None), (5, {"BTC": 4}), ("nan", None), (-1, None), (5, {"BTC": "nan"})):
            ok, moved, reason = policy.apply_policy("u", "BTC", amount, credit)
            assert (ok, moved) == (False, [])
            assert reason
        assert vault.get_total_locked_amount("u", "BTC") == 5
        ok, moved, reason = vault.unlock_assets("u", "BTC", 5, {"BTC": 5.0})
        assert (ok, len(moved), reason) == (True, 1, "")
        vault.close()


def test_a_lot_is_locked_and_unlocked_as_a_whole(config: Configuration) -> None:
    with connected(config) as manager:
        vault = VaultManager(manager, "ledger", config=config)
        lot = vault.add_asset("u", "BTC", 5, "Bitcoin", "bc1q", "v1", "pending")
        assert vault.get_total_amount("u", "BTC") == vault.get_total_pending_amount("u", "BTC") == 5
        assert vault.lock_asset("v1")
        assert vault.unlock_asset("v1")
        assert lot.is_unlocked()
        assert not vault.unlock_asset("nothing")
        assert vault.add_asset("u", "BTC", 5, "Bitcoin", "bc1q", "v1") is lot
        with pytest.raises(ValidationError) as refused:
            vault.add_asset("u", "BTC", 6, "Bitcoin", "bc1q", "v1")
        assert refused.value.code == "exists"
        for bad in ("nan", -1, 0, True):
            with pytest.raises(ValidationError):
                vault.add_asset("u", "BTC", bad, "Bitcoin", "bc1q")
        vault.close()


def test_d26_lots_of_one_moment_stay_distinct(config: Configuration) -> None:
    with connected(config) as manager, ThreadPoolExecutor(4) as threads:
        vault = VaultManager(manager, "ledger", config=config)
        done = [threads.submit(vault.add_asset, "u", "BTC", 1, "Bitcoin", "bc1q") for _ in range(20)]
        assert len({each.result().vault_id for each in done}) == 20
        assert vault.get_total_amount("u", "BTC") == 20
        assert set(vault.get_user_assets("u")) == {"BTC"}
        vault.close()


def test_a_pledge_is_submitted_answered_and_its_lot_added_from_the_callback(config: Configuration) -> None:
    heard = Calls()

    def approved(response: PledgeResponse) -> None:
        custodian.add_asset_to_vault(
            response.user_id, response.asset, response.amount, "Bitcoin", "bc1q", response.vault_id
        )
        heard(response)

    with no_thread_left(), wsp(config) as custodian:
        custodian.add_pledge_response_callback(approved)
        pledge = custodian.create_pledge("u", "BTC", 5, address="bc1q", chain="Bitcoin")
        assert (pledge.status, pledge.address, pledge.chain) == ("submitted", "bc1q", "Bitcoin")
        assert custodian.get_pending_pledge_requests() == [pledge]
        assert custodian.process_pledge_responses(run_once=True) == []
        with exchange(config):
            heard.wait(1)
            assert pledge.is_approved()
            assert custodian.get_total_locked_amount("u", "BTC") == 5
            refused = custodian.create_pledge("u", "BTC", 5, "bc1q", "Bitcoin", request_id=pledge.request_id)
            assert refused is pledge


def test_a_pledge_is_rejected_by_the_exchanges_rules(config: Configuration) -> None:
    with exchange(config, approved_assets=["ETH"]), wsp(config) as custodian:
        pledge = custodian.create_pledge("u", "BTC", 5, "bc1q", "Bitcoin", wait_for_response=True, timeout=20)
        assert (pledge.status, pledge.reject_reason) == ("rejected", "the asset BTC is not approved")


def test_d30_an_answer_for_other_coins_or_another_custodian_approves_nothing(together: Configuration) -> None:
    with wsp(together, "first") as first, wsp(together, "second") as second:
        mine = first.create_pledge("u", "BTC", 5, "bc1q", "Bitcoin", request_id="p1")
        theirs = second.create_pledge("u", "BTC", 5, "bc1q", "Bitcoin", request_id="p2")
        client = first.connection_manager.get_replica_client()
        answer = {"type": "pledge_response", "user_id": "u", "asset": "BTC", "amount": "5", "status": "approved"}
        for wrong in ({"user_id": "v"}, {"asset": "ETH"}, {"amount": "6"}, {"amount": "nan"}):
            client.xadd(KeyManager.pledge_response_stream(), {**answer, "request_id": "p1", "vault_id": "v1", **wrong})
        assert first.process_pledge_responses(run_once=True) == []
        assert mine.is_submitted()
        client.xadd(KeyManager.pledge_response_stream(), {**answer, "request_id": "p1", "vault_id": "v1"})
        wait_until(mine.is_approved)
        assert mine.vault_id == "v1"
        assert [each.request_id for each in first.process_pledge_responses(run_once=True)] == ["p1"]
        assert second.process_pledge_responses(run_once=True) == []
        assert theirs.is_submitted()


def test_d32_a_pledge_callback_that_raises_is_heard_of(config: Configuration) -> None:
    heard = Calls()
    with exchange(config), wsp(config) as custodian:
        custodian.add_pledge_response_callback(lambda response: 1 // 0)
        custodian.add_pledge_response_callback(heard)
        custodian.create_pledge("u", "BTC", 5, "bc1q", "Bitcoin")
        heard.wait(1)
        wait_until(lambda: [type(error) for error in custodian.failures] == [ZeroDivisionError])


def test_d36_a_waiting_call_ends_with_the_processor(config: Configuration) -> None:
    with no_thread_left(), wsp(config) as custodian:
        waiting = threading.Thread(target=custodian.process_pledge_responses, args=(lambda response: None,))
        waiting.start()
        wait_until(lambda: custodian.pledge_manager._running)
        custodian.pledge_manager.stop_response_processor()
        waiting.join(20)
        assert not waiting.is_alive()


def test_what_is_final_stays() -> None:
    pledge = PledgeRequest("p1", "u", "BTC", 5, "ledger", "Bitcoin", "bc1q")
    with pytest.raises(ValidationError):
        pledge.mark_approved("v1")
    pledge.mark_submitted()
    pledge.mark_approved("v1", 7)
    assert (pledge.is_completed(), pledge.vault_id, pledge.response_timestamp) == (True, "v1", 7)
    for change in (lambda: pledge.mark_rejected("no"), lambda: pledge.mark_failed("no"), pledge.mark_submitted):
        with pytest.raises(ValidationError):
            change()
    lot = VaultAsset("v1", "u", "BTC", 1, "Bitcoin", "bc1q")
    lot.unlock()
    lot.lock()
    assert (lot.is_locked(), VaultAsset.STATUS_LOCKED, lot.to_dict()["amount"]) == (True, "locked", 1)
    with pytest.raises(ValidationError):
        lot.mark_pending()
