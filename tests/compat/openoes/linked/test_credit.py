"""Requests for credit, from the custodian's call to the exchange's handler and back."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from openoes_core import (
    Configuration,
    ConfigurationError,
    KeyManager,
    TimeoutError,  # noqa: A004 - the seeds' name
    ValidationError,
)
from openoes_exchange import CreditInventoryManager, CreditManager, ExchangeClient
from openoes_wsp import CreditRequest, CreditRequestManager, WSPClient

from heliograph.bus.embedded_pair import Pair
from tests.compat.openoes.handlers import Calls, wait_until
from tests.compat.openoes.parties import connected, exchange, no_thread_left, settings, wsp

COINS: dict[str, Any] = {"chain": "Bitcoin", "address": "bc1q"}


def test_d13_answers_and_inventories_are_where_their_readers_look(apart: Configuration) -> None:
    with exchange(apart) as party, wsp(apart) as custodian:
        granted = custodian.request_credit_increase("u", "BTC", 5, **COINS)
        assert (granted.status, granted.new_balance) == ("accepted", 5)
        replica = party.connection_manager.get_replica_client()
        wait_until(lambda: replica.hget(KeyManager.credit_inventory("u", "BTC"), "amount") == "5")
        returned = custodian.request_credit_decrease("u", "BTC", 2)
        assert (returned.status, returned.new_balance) == ("accepted", 3)
        wait_until(lambda: replica.hget(KeyManager.credit_inventory("u", "BTC"), "amount") == "3")
        for stream in (KeyManager.credit_request_stream(), KeyManager.credit_response_stream()):
            wait_until(lambda stream=stream: replica.xlen(stream) >= 2)


def test_d14_what_a_full_resync_wipes_is_said_again(apart: Configuration, pair: Pair) -> None:
    decided = Calls()
    with exchange(apart) as party, wsp(apart) as custodian:
        assert custodian.request_credit_increase("u", "BTC", 5, **COINS).is_accepted()
        party.add_credit_request_handler(lambda request, response: decided(response))
        mailbox = ("exchange:stream:ledger:answer:0", KeyManager.credit_response_stream())
        wait_until(lambda: pair.replica.ask("EXISTS", *mailbox) == 2)
        pair.replica.follow(None)
        asked = custodian.request_credit_increase("u", "BTC", 2, wait_for_response=False, **COINS)
        pair.replica.ask("FLUSHALL")
        pair.replica.follow(pair.primary)
        pair.wait_linked()
        assert pair.replica.ask("EXISTS", KeyManager.credit_response_stream()) == 0 or decided.messages
        wait_until(asked.is_accepted)
        assert asked.new_balance == 7


def test_d16_d15_each_key_is_written_on_one_node_only(apart: Configuration, pair: Pair) -> None:
    with exchange(apart) as party, wsp(apart) as custodian:
        custodian.request_credit_increase("u", "BTC", 5, **COINS)
        replica = party.connection_manager.get_replica_client()
        wait_until(lambda: replica.hget("CI:u:BTC", "amount") == "5")
        events = "exchange:stream:notification:ledger"
        wait_until(lambda: replica.xlen(KeyManager.credit_response_stream()) and replica.xlen(events))
        primary = custodian.connection_manager.get_wsp_client()
        mine, theirs = set(primary.keys("*")), set(replica.keys("*"))
        assert mine < theirs
        own = theirs - mine
        assert own == {"exchange:stream:ledger:answer:0", KeyManager.credit_response_stream(), events}
        assert primary.hgetall("CI:u:BTC") == replica.hgetall("CI:u:BTC")


def test_d18_d19_what_is_no_amount_reaches_nobody(config: Configuration) -> None:
    with exchange(config) as party, wsp(config) as custodian:
        for bad in ("inf", "nan", float("nan"), float("inf"), True, None, "1e3", 0, -1, "0.0000000000000000001"):
            with pytest.raises(ValidationError):
                custodian.request_credit_increase("u", "BTC", bad, **COINS)
        for bad in ("+inf", "nan", "banana", "0"):
            wire = _wire("r1", bad)
            assert party.process_credit_request(wire)["status"] == "rejected"
        assert party.get_credit_inventory("u", "BTC") is None


def test_d19_small_changes_are_exact_and_have_no_exponent_on_the_wire(config: Configuration) -> None:
    with exchange(config) as party, wsp(config) as custodian:
        for _ in range(3):
            assert custodian.request_credit_increase("u", "BTC", 1e-08, **COINS).is_accepted()
        assert custodian.get_pending_credit_requests() == []
        assert party.get_credit_inventory("u", "BTC").amount == Decimal("0.00000003")  # type: ignore[union-attr]
        client = custodian.connection_manager.get_wsp_client()
        changes = [fields["c_change"] for _, fields in client.xrange(KeyManager.credit_request_stream())]  # type: ignore[union-attr]
        assert changes == ["+0.00000001"] * 3


def test_d19_there_is_no_tolerance_for_the_stated_inventory(config: Configuration) -> None:
    with exchange(config), wsp(config) as custodian:
        wrong = custodian.request_credit_increase("u", "BTC", 5, ci="5.0001", **COINS)
        assert wrong.is_rejected()
        assert "would be 5, not 5.0001" in wrong.reject_reason
        assert custodian.request_credit_increase("u", "BTC", 5, ci="5.0", **COINS).is_accepted()


def test_d19_concurrent_requests_are_all_counted(config: Configuration) -> None:
    with exchange(config) as party, wsp(config) as custodian, ThreadPoolExecutor(8) as threads:
        asked = [
            threads.submit(custodian.request_credit_increase, "u", "BTC", 1, wait_for_response=True, **COINS)
            for _ in range(60)
        ]
        assert all(future.result().is_accepted() for future in asked)
        assert party.get_credit_inventory("u", "BTC").amount == 60  # type: ignore[union-attr]
        assert custodian.vault_manager.get_balance("BTC") == 60


def test_d20_a_replayed_id_has_the_same_answer_and_no_second_effect(config: Configuration) -> None:
    with exchange(config) as party, wsp(config) as custodian:
        first = custodian.request_credit_increase("u", "BTC", 5, request_id="r1", **COINS)
        again = custodian.request_credit_increase("u", "BTC", 5, request_id="r1", **COINS)
        assert (first.status, again.status) == ("accepted", "accepted")
        answers = [party.process_credit_request(_wire("r1", "+5")) for _ in range(2)]
        assert [answer["status"] for answer in answers] == ["accepted", "accepted"]
        assert party.get_credit_inventory("u", "BTC").amount == 5  # type: ignore[union-attr]


def test_d20_a_refusal_stays_one(together: Configuration) -> None:
    with exchange(together) as party:
        decrease = {**_wire("r1", "-5"), "ci": ""}
        refused = party.process_credit_request(decrease)
        assert refused["status"] == "rejected"
        party.process_credit_request(_wire("r2", "+9"))
        assert party.process_credit_request(decrease) == refused
        assert party.process_credit_request(_wire("r1", "+5"))["status"] == "rejected"
        assert party.get_credit_inventory("u", "BTC").amount == 9  # type: ignore[union-attr]


def test_d21_an_accepted_change_is_answered_also_if_the_exchange_ends_in_between(apart: Configuration) -> None:
    with wsp(apart) as custodian:
        with exchange(apart) as party:
            decided = Calls()
            party.add_credit_request_handler(lambda request, response: decided(response))
            asked = custodian.request_credit_increase("u", "BTC", 5, wait_for_response=False, **COINS)
            decided.wait(1)
        with exchange(apart, auto_start_processors=False) as party:
            party.generate_settlement_reports()
            wait_until(asked.is_accepted)


def test_d22_no_custodian_touches_what_another_granted(config: Configuration) -> None:
    with exchange(config) as party, wsp(config, "first") as first, wsp(config, "second") as second:
        assert first.request_credit_increase("u", "BTC", 5, **COINS).is_accepted()
        taken = second.request_credit_decrease("u", "BTC", 3)
        assert taken.is_rejected()
        stolen = {**_wire("r9", "-3"), "custodian": "second", "ci": "2"}
        assert party.process_credit_request(stolen)["status"] == "rejected"
        assert first.request_credit_decrease("u", "BTC", 3).new_balance == 2


def test_d22_an_empty_list_approves_nobody(config: Configuration) -> None:
    with exchange(config, approved_custodians=[]), wsp(config) as custodian:
        refused = custodian.request_credit_increase("u", "BTC", 5, **COINS)
        assert (refused.status, refused.reject_reason) == ("rejected", "the custodian ledger is not approved")


def test_d24_an_omitted_inventory_is_computed_from_the_servers(config: Configuration) -> None:
    with exchange(config), wsp(config) as custodian:
        custodian.request_credit_increase("u", "BTC", 5, **COINS)
        custodian.request_credit_decrease("u", "BTC", -2)
        assert custodian.credit_manager.create_credit_request("u", "BTC", -1).ci == "2"
        client = custodian.connection_manager.get_wsp_client()
        stated = [fields["ci"] for _, fields in client.xrange(KeyManager.credit_request_stream())]  # type: ignore[union-attr]
        assert stated == ["5", "3"]


def test_d26_ids_of_one_second_are_different(config: Configuration) -> None:
    with wsp(config, auto_start_processors=False) as custodian:
        pledges = [custodian.create_pledge("u", "BTC", 1, "bc1q", "Bitcoin") for _ in range(3)]
        lots = [custodian.add_asset_to_vault("u", "BTC", 1, "Bitcoin", "bc1q") for _ in range(3)]
        assert len({each.request_id for each in pledges}) == len({each.vault_id for each in lots}) == 3
        assert len(custodian.get_pledge_requests()) == 3
        assert custodian.get_total_amount("u", "BTC") == 3


def test_d30_an_answer_of_another_content_or_custodian_is_not_taken() -> None:
    request = CreditRequest("ledger", "u", "BTC", "+5", "5", request_id="r1")
    answer = {**request.to_stream_data(), "status": "accepted"}
    for field, value in (("uid", "v"), ("asset", "ETH"), ("c_change", "+6"), ("custodian", "other")):
        with pytest.raises(ValidationError) as refused:
            request.update_from_response({**answer, field: value})
        assert refused.value.code == "mismatch"
    assert request.is_pending()
    assert request.update_from_response(answer)
    assert not request.update_from_response({**answer, "status": "rejected"})
    assert request.is_accepted()


def test_d32_callbacks_hear_of_rejections_too_and_what_they_raise_is_kept(config: Configuration) -> None:
    heard, answered = Calls(), Calls()

    def broken(request: CreditRequest) -> None:
        raise ZeroDivisionError(request.request_id)

    with no_thread_left(), exchange(config, approved_assets=["BTC"]) as party, wsp(config) as custodian:
        party.add_credit_request_handler(lambda request, response: answered((request, response)))
        custodian.add_credit_response_callback(broken)
        custodian.add_credit_response_callback(heard)
        custodian.request_credit_increase("u", "BTC", 5, **COINS)
        custodian.request_credit_increase("u", "ETH", 5, **COINS)
        assert sorted(request.status for request in heard.wait(2)) == ["accepted", "rejected"]
        told = answered.wait(2)
        assert sorted(response["status"] for _, response in told) == ["accepted", "rejected"]
        assert {request["uid"] for request, _ in told} == {"u"}
        wait_until(lambda: [type(error) for error in custodian.failures] == [ZeroDivisionError] * 2)


def test_d32_d33_a_handlers_exception_is_kept_and_the_request_comes_again(config: Configuration) -> None:
    calls = Calls()

    def handler(request: Any) -> bool:
        if len(calls.messages) < 3:
            calls(request.request_id)
            raise ZeroDivisionError
        return True

    with exchange(config, auto_start_processors=False) as party, wsp(config) as custodian:
        party.start_credit_request_processor(handler)
        assert custodian.request_credit_increase("u", "BTC", 5, **COINS).is_accepted()
        assert len(party.failures) == 3


def test_d33_a_request_that_always_fails_is_tried_a_bounded_number_of_times(config: Configuration) -> None:
    calls = Calls(lambda _: 1 // 0)
    with exchange(config, auto_start_processors=False) as party, wsp(config) as custodian:
        party.start_credit_request_processor(calls)
        poison = custodian.request_credit_increase("u", "BTC", 5, wait_for_response=False, **COINS)
        calls.wait(4)
        party.stop_credit_request_processor()
        party.start_credit_request_processor(lambda request: True)
        wait_until(poison.is_accepted)
        assert len(calls.messages) == 4, "once, and three times more"


def test_d36_nothing_is_left_after_close(config: Configuration) -> None:
    with no_thread_left():
        with connected(config) as theirs, connected(config) as mine:
            party = ExchangeClient(theirs, config)
            manager = CreditRequestManager(mine, "ledger", config=config)
            assert manager.request_credit_increase("u", "BTC", 5, **COINS).is_accepted()
            for each in (manager, party):
                each.close()
                each.close()
        with connected(config) as theirs:
            ExchangeClient(theirs, config)
        # The connections' end is the end of whatever works on them.


def test_d36_nothing_is_left_either_when_the_servers_are_gone(tmp_path: Any) -> None:
    with no_thread_left(), Pair() as pair:
        config = settings(pair, tmp_path)
        with exchange(config), wsp(config) as custodian:
            assert custodian.request_credit_increase("u", "BTC", 5, **COINS).is_accepted()
            pair.stop()
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 10


def test_d36_a_stop_waits_for_the_callback_at_work(config: Configuration) -> None:
    at_work, go_on, done = threading.Event(), threading.Event(), Calls()

    def slow(request: CreditRequest) -> None:
        at_work.set()
        assert go_on.wait(20)
        done(request)

    with exchange(config), wsp(config) as custodian:
        custodian.add_credit_response_callback(slow)
        custodian.request_credit_increase("u", "BTC", 5, **COINS)
        assert at_work.wait(20)
        threading.Timer(0.05, go_on.set).start()
        custodian.stop_credit_response_processor()
        assert len(done.messages) == 1


def test_d04_a_constructor_that_fails_leaves_no_thread(pair: Pair, apart: Configuration) -> None:
    apart.set("settlement.custodian_key", "/nowhere/key.pem")
    with no_thread_left(), connected(apart) as manager, pytest.raises(ConfigurationError, match="go together"):
        WSPClient(manager, apart, "ledger")


def test_d37_a_wait_ends_when_the_answer_comes_and_a_timeout_takes_the_request_back(config: Configuration) -> None:
    with wsp(config) as custodian:
        began_s = time.monotonic()
        with pytest.raises(TimeoutError) as ended:
            custodian.request_credit_increase("u", "BTC", 5, timeout=0.05, request_id="r1", **COINS)
        assert time.monotonic() - began_s < 2
        assert ended.value.operation == "credit request"
        request = custodian.get_credit_request("r1")
        assert request is not None
        assert request.is_timeout()
        assert custodian.get_pending_credit_requests() == []
        with exchange(config) as party:
            wait_until(lambda: request.late_status)
            assert (request.status, request.late_status) == ("timeout", "rejected")
            assert party.get_credit_inventory("u", "BTC") is None
            began_s = time.monotonic()
            assert custodian.request_credit_increase("u", "BTC", 5, **COINS).is_accepted()
            assert time.monotonic() - began_s < 1


def test_a_handler_that_updates_the_inventory_and_approves_does_not_credit_twice(config: Configuration) -> None:
    seen: list[Any] = []

    def handler(request: Any) -> Any:
        party.update_credit_inventory(request.user_id, request.asset, request.amount)
        seen.append(party.get_credit_inventory(request.user_id, request.asset))
        party.approve_credit_request(request)
        return party.approve_credit_request(request)

    with exchange(config, auto_start_processors=False) as party, wsp(config) as custodian:
        party.start_credit_request_processor(callback=handler)
        assert custodian.request_credit_increase("u", "BTC", 5, **COINS).new_balance == 5
        assert custodian.request_credit_decrease("u", "BTC", 2).new_balance == 3
        assert party.get_credit_inventory("u", "BTC").amount == 3  # type: ignore[union-attr]
        assert not party.failures


def test_what_a_handler_staged_and_then_rejected_never_was(config: Configuration) -> None:
    def handler(request: Any) -> Any:
        party.update_credit_inventory(request.user_id, request.asset, request.amount)
        return party.reject_credit_request(request, "not today")

    with exchange(config, auto_start_processors=False) as party, wsp(config) as custodian:
        party.start_credit_request_processor(callback=handler)
        refused = custodian.request_credit_increase("u", "BTC", 5, **COINS)
        assert (refused.status, refused.reject_reason) == ("rejected", "not today")
        assert party.get_credit_inventory("u", "BTC") is None


def test_an_update_outside_a_handler_is_at_once_on_one_server_and_refused_over_a_link(
    pair: Pair, together: Configuration, tmp_path: Any
) -> None:
    with exchange(together) as party:
        assert party.update_credit_inventory("u", "BTC", 5).amount == 5
        assert party.update_credit_inventory("u", "BTC", 2, is_increase=False).amount == 3
        assert party.get_credit_inventory("u", "BTC").amount == 3  # type: ignore[union-attr]
    apart = settings(pair, tmp_path / "other")
    with (
        exchange(apart) as party,
        pytest.raises(ConfigurationError, match="only the custodian"),
    ):
        party.update_credit_inventory("u", "BTC", 5)


def test_an_inventory_in_memory_follows_what_is_granted(together: Configuration) -> None:
    kept = CreditInventoryManager()
    with no_thread_left(), connected(together) as manager:
        credit = CreditManager(manager, inventory_manager=kept, config=together, auto_start_processor=False)
        assert credit.process_credit_request({**_wire("r1", "+5"), "c_change": 5.0, "ci": 5})["status"] == "accepted"
        assert kept.get_inventory("u", "BTC").amount == 5  # type: ignore[union-attr]
        for bad in (float("nan"), float("inf"), object()):
            assert credit.process_credit_request({**_wire("r2", "+5"), "c_change": bad})["status"] == "rejected"
        assert kept.get_inventory("u", "BTC").amount == 5  # type: ignore[union-attr]


def test_two_processes_on_one_server_take_turns(together: Configuration, tmp_path: Any) -> None:
    """The second one writes where the first one does: each is the newest writer when its turn comes."""
    together.save_to_file(tmp_path / "config.json")
    script = """
import sys
from openoes_core import Configuration, RedisConnectionManager
from openoes_exchange import CreditInventoryProcessor
config = Configuration.from_file(sys.argv[1])
with RedisConnectionManager(config.get("wsp_redis"), config.get("replica_redis")) as manager:
    processor = CreditInventoryProcessor(manager, config)
    for n in range(5):
        processor.increase_credit_inventory("v", "BTC", 1, f"t{n}")
"""
    with exchange(together) as party, wsp(together) as custodian:
        custodian.request_credit_increase("u", "BTC", 1, **COINS)
        other = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "config.json")])
        while other.poll() is None:
            assert custodian.request_credit_increase("u", "BTC", 1, **COINS).is_accepted()
        assert other.returncode == 0
        assert custodian.request_credit_increase("u", "BTC", 1, **COINS).is_accepted()
        assert party.get_credit_inventory("v", "BTC").amount == 5  # type: ignore[union-attr]
        assert custodian._custodies.of("ledger").call(lambda service: service.audit()).clean


def test_an_exchange_notices_that_its_custodian_began_anew(apart: Configuration, pair: Pair) -> None:
    with exchange(apart) as party:
        for amount in (5, 7):
            with wsp(apart) as custodian:
                assert custodian.request_credit_increase("u", "BTC", amount, **COINS).new_balance == amount
            pair.primary.ask("FLUSHALL")
            pair.wait_linked()
        assert not party.failures


def test_a_request_in_the_seeds_fields_is_taken_on_one_server_alone(
    pair: Pair, together: Configuration, tmp_path: Any
) -> None:
    with exchange(together) as party:
        client = party.connection_manager.get_wsp_client()
        client.xadd(party.credit_manager.request_stream, _wire("raw-1", "+5"))  # type: ignore[arg-type]
        wait_until(lambda: client.hget("CI:u:BTC", "amount") == "5")
        answers = Calls()
        party.add_credit_request_handler(lambda request, response: answers(response))
        client.xadd(party.credit_manager.request_stream, {**_wire("raw-2", "-9"), "ci": "0"})  # type: ignore[arg-type]
        assert answers.wait(1)[0]["status"] == "rejected"
        assert client.hget("CI:u:BTC", "amount") == "5"
    pair.primary.ask("FLUSHALL")
    pair.wait_linked()
    apart = settings(pair, tmp_path / "exchange")
    with exchange(apart) as party, wsp(apart) as custodian:
        client = custodian.connection_manager.get_wsp_client()
        client.xadd(party.credit_manager.request_stream, _wire("raw-3", "+5"))  # type: ignore[arg-type]
        assert custodian.request_credit_increase("v", "BTC", 1, **COINS).is_accepted()
        assert client.hget("CI:u:BTC", "amount") is None


def _wire(request_id: str, change: str) -> dict[str, str]:
    return {
        "custodian": "ledger",
        "request_id": request_id,
        "uid": "u",
        "timestamp": "1700000000",
        "asset": "BTC",
        "c_change": change,
        "ci": change.lstrip("+"),
        **COINS,
    }
