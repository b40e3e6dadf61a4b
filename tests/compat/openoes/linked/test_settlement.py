"""Settlement, from trades to both sides' books."""

import json
import threading
import time
from decimal import Decimal
from typing import Any

import pytest
from openoes_core import Configuration, KeyManager, ValidationError
from openoes_wsp import SettlementConfirmation, SettlementReport

from tests.compat.openoes.handlers import Calls, wait_until
from tests.compat.openoes.parties import exchange, no_thread_left, wsp

COINS: dict[str, Any] = {"chain": "Bitcoin", "address": "bc1q"}
SOLD = {
    "assets_bought": [{"asset_id": "USDT", "amount": "45000", "price": "1"}],
    "assets_sold": [{"asset_id": "BTC", "amount": 1.5, "price": "30000"}],
    "net_position": {"BTC": "-1.5", "USDT": "+45000"},
    "settlement_instructions": {"deposit_address": "bc1q", "withdrawal_address": "0x"},
}
MOVED = [{"asset_id": "USDT", "amount": "45000"}, {"asset_id": "BTC", "amount": "1.5"}]


def _arrived(custodian: Any) -> SettlementReport:
    """Wait for the one report of a custodian, and return it."""
    found: list[SettlementReport] = []
    wait_until(lambda: found or found.extend(custodian.process_settlement_reports()) or found)
    (report,) = found
    return report


def test_d25_trades_settle_in_both_legs_and_both_sides_agree(apart: Configuration) -> None:
    with no_thread_left(), exchange(apart) as party, wsp(apart) as custodian:
        custodian.request_credit_increase("u", "BTC", 5, **COINS)
        custodian.request_credit_increase("house", "USDT", 60000, **COINS)
        party.account_integration.set_account("u", "BTC", 10)
        confirmed = Calls()
        party.add_settlement_confirmation_callback(confirmed)
        party.update_account("u", "BTC", "1.5", "sell")
        party.update_account("u", "USDT", 45000, "buy")
        (made,) = party.generate_settlement_reports()
        assert party.generate_settlement_reports() == []
        assert (made.net_position, made.is_pending()) == ({"BTC": Decimal("-1.5"), "USDT": Decimal(45000)}, True)
        report = _arrived(custodian)
        assert (report.report_id, report.legs) == (made.report_id, made.legs)
        assert custodian.confirm_settlement(report.report_id, "completed", {"assets_transferred": MOVED})
        assert report.is_completed()
        assert confirmed.wait(1)[0].is_completed()
        assert made.is_completed()
        custody = custodian._custodies.of("ledger")
        assert custody.position("u", "BTC").granted == Decimal("3.5")
        assert custody.position("u", "USDT").available == 45000
        assert custody.position("house", "BTC").available == Decimal("1.5")
        assert custody.call(lambda service: service.audit()).clean


def test_d25_more_than_the_report_says_is_refused_and_the_report_stays(apart: Configuration) -> None:
    with exchange(apart) as party, wsp(apart) as custodian:
        custodian.request_credit_increase("u", "BTC", 5, **COINS)
        party.account_integration.set_account("u", "BTC", 10)
        party.update_account("u", "BTC", "1.5", "sell")
        party.generate_settlement_reports()
        report = _arrived(custodian)
        wrong = {"assets_transferred": [{"asset_id": "BTC", "amount": "2"}]}
        assert not custodian.confirm_settlement(report.report_id, "completed", wrong)
        assert not custodian.confirm_settlement(report.report_id, "completed", user_id="v")
        assert not custodian.confirm_settlement(report.report_id, "banana")
        assert not custodian.confirm_settlement("settlement-nothing")
        assert len(custodian.settlement_client.refusals) == 4
        assert report.is_pending()
        assert custodian.confirm_settlement(report.report_id, "failed", {"failure_reason": "not mine"})
        assert report.is_failed()
        assert not custodian.confirm_settlement(report.report_id, "completed")
        assert custodian._custodies.of("ledger").position("u", "BTC").granted == 5
        wait_until(lambda: party.get_settlement_reports(status="failed"))
        wait_until(
            lambda: party.generate_settlement_reports(),
        )


def test_d25_a_confirmation_is_checked_leg_by_leg_and_applied_once(together: Configuration) -> None:
    with exchange(together) as party, wsp(together) as custodian:
        custodian.request_credit_increase("u", "BTC", 5, **COINS)
        report = party.generate_settlement_report("u", **SOLD)
        heard = Calls()
        party.add_settlement_confirmation_callback(heard)
        client = party.connection_manager.get_replica_client()

        def say(**changed: Any) -> None:
            moved = changed.pop("moved", MOVED)
            told = {"type": "confirmation", "settlement_id": report.report_id, "user_id": "u", "timestamp": "1"}
            told |= {"status": "completed", "details": json.dumps({"assets_transferred": moved}), **changed}
            client.xadd(KeyManager.settlement_confirmation_stream(), told)  # type: ignore[arg-type]

        say(user_id="v")
        say(moved=[*MOVED[:1], {"asset_id": "BTC", "amount": "0.5"}])
        say(moved=MOVED[:1])
        say(status="banana")
        say(details="not json")
        wait_until(lambda: len(party.settlement_manager.refusals) == 5)
        assert report.is_pending()
        assert party.get_credit_inventory("u", "BTC").amount == 5  # type: ignore[union-attr]
        for _ in range(3):
            say()
        assert heard.wait(1)[0].details == {"assets_transferred": MOVED}
        assert report.is_completed()
        say(status="failed")
        wait_until(lambda: len(party.settlement_manager.refusals) == 6)
        assert party.get_credit_inventory("u", "BTC").amount == 3.5  # type: ignore[union-attr]
        assert party.get_credit_inventory("u", "USDT").amount == 45000  # type: ignore[union-attr]
        assert len(heard.messages) == 1


def test_d25_without_enough_credit_nothing_settles(together: Configuration) -> None:
    with exchange(together) as party, wsp(together) as custodian:
        custodian.request_credit_increase("u", "BTC", 1, **COINS)
        report = party.generate_settlement_report("u", **SOLD)
        received = _arrived(custodian)
        assert (received.user_id, received.net_position) == ("u", {"BTC": Decimal("-1.5"), "USDT": Decimal(45000)})
        assert received.settlement_instructions == SOLD["settlement_instructions"]
        assert custodian.confirm_settlement(report.report_id, "completed", {"assets_transferred": MOVED})
        wait_until(lambda: party.settlement_manager.refusals)
        assert "the credit is 1 BTC" in party.settlement_manager.refusals[0][1]
        assert report.is_pending()
        assert party.get_credit_inventory("u", "USDT") is None


def test_d13_a_report_of_ones_own_goes_over_the_link_as_a_cycle(apart: Configuration) -> None:
    with exchange(apart) as party, wsp(apart) as custodian:
        custodian.request_credit_increase("u", "BTC", 5, **COINS)
        custodian.request_credit_increase("house", "USDT", 60000, **COINS)
        made = party.generate_settlement_report("u", **SOLD)
        report = _arrived(custodian)
        assert (report.report_id, report.legs) == (made.report_id, made.legs)
        assert custodian.confirm_settlement(report.report_id)
        wait_until(made.is_completed)
        (confirmation,) = party.process_settlement_confirmations()
        assert sorted(each["asset_id"] for each in confirmation.details["assets_transferred"]) == ["BTC", "USDT"]
        assert party.get_settlement_confirmation(made.report_id) is confirmation


def test_d26_reports_of_one_second_are_different(together: Configuration) -> None:
    with exchange(together) as party:
        made = party.generate_settlement_reports({"u": SOLD, "v": SOLD})
        made.append(party.generate_settlement_report("u", **SOLD, publish=False))
        assert len({each.report_id for each in made}) == 3
        assert len(party.get_settlement_reports("u")) == 2


def test_d31_a_custodian_gets_its_own_reports_alone(config: Configuration) -> None:
    with exchange(config) as party, wsp(config, "first") as first, wsp(config, "second") as second:
        first.request_credit_increase("u", "BTC", 5, **COINS)
        second.request_credit_increase("v", "BTC", 5, **COINS)
        for user in ("u", "v"):
            party.account_integration.set_account(user, "BTC", 10)
            party.update_account(user, "BTC", 1, "sell")
        assert len(party.generate_settlement_reports()) == 2
        assert _arrived(first).user_id == "u"
        assert _arrived(second).user_id == "v"
        for custodian, user in ((first, "u"), (second, "v")):
            assert [each.user_id for each in custodian.get_settlement_reports()] == [user]
        if config.get("wsp_redis.port") == config.get("replica_redis.port"):
            made = party.generate_settlement_report("u", **SOLD)
            assert _arrived(first).report_id == made.report_id
            assert second.process_settlement_reports() == []


def test_d32_a_report_whose_callback_raised_comes_again(together: Configuration) -> None:
    heard = Calls(lambda report: 1 // 0 if len(heard.messages) == 1 else None)
    with exchange(together) as party, wsp(together) as custodian:
        party.generate_settlement_report("u", **SOLD)
        wait_until(lambda: custodian.process_settlement_reports(heard) == [] and heard.messages)
        assert len(custodian.settlement_client.failures) == 1
        (report,) = custodian.process_settlement_reports(heard)
        assert report.is_processing()
        assert custodian.process_settlement_reports(heard) == []
        assert len(heard.messages) == 2


def test_d34_a_report_is_delivered_once_also_after_a_restart(config: Configuration) -> None:
    heard = Calls()
    with exchange(config) as party:
        with wsp(config) as custodian:
            custodian.request_credit_increase("u", "BTC", 5, **COINS)
            custodian.add_settlement_callback(heard)
            party.account_integration.set_account("u", "BTC", 10)
            party.update_account("u", "BTC", 1, "sell")
            party.generate_settlement_reports()
            (report,) = heard.wait(1)
            wait_until(report.is_processing)
            assert custodian.get_settlement_reports(status="processing") == [report]
        with wsp(config) as custodian:
            custodian.add_settlement_callback(heard)
            assert custodian.process_settlement_reports() == []
            assert custodian.get_settlement_report(report.report_id) is not None
            assert custodian.confirm_settlement(report.report_id)
        assert len(heard.messages) == 1


def test_d36_d37_a_waiting_call_ends_with_the_processor_and_reports_never_block(config: Configuration) -> None:
    with no_thread_left(), exchange(config) as party, wsp(config) as custodian:
        began_s = time.monotonic()
        assert custodian.process_settlement_reports() == []
        assert time.monotonic() - began_s < 2
        waiting = threading.Thread(target=party.process_settlement_confirmations, args=(lambda _: None,))
        waiting.start()
        wait_until(lambda: party.settlement_manager._running)
        party.settlement_manager.stop_confirmation_processor()
        waiting.join(20)
        assert not waiting.is_alive()


def test_a_report_in_the_seeds_fields_is_delivered_on_one_server(together: Configuration) -> None:
    with wsp(together) as custodian:
        made = SettlementReport("settlement-1-u", "u", 1, "2026-11-21T00:00:00Z", **SOLD)  # type: ignore[arg-type]
        client = custodian.connection_manager.get_wsp_client()
        client.xadd(KeyManager.settlement_report_stream(), {"type": "settlement", "report_id": "x", "data": "{"})
        client.xadd(KeyManager.settlement_report_stream(), made.to_stream_data())  # type: ignore[arg-type]
        report = _arrived(custodian)
        assert report.to_stream_data() == made.to_stream_data()
        assert (report.asset, report.amount) == ("BTC", Decimal("-1.5"))
        assert [refused[0] for refused in custodian.settlement_client.refusals] == ["x"]


def test_what_is_final_stays_and_amounts_are_amounts() -> None:
    report = SettlementReport("r", "u", 1, "", **SOLD)  # type: ignore[arg-type]
    report.mark_processing()
    report.mark_completed()
    for change in (lambda: report.mark_failed("no"), report.mark_processing):
        with pytest.raises(ValidationError):
            change()
    assert (report.is_completed(), SettlementReport.STATUS_COMPLETED) == (True, "completed")
    for bad in ("nan", "-1", 0, True):
        with pytest.raises(ValidationError):
            SettlementReport("r", "u", 1, "", [{"asset_id": "BTC", "amount": bad}], [], {}, {})
    for fields in ({}, {"report_id": "r", "data": "[]"}, {"report_id": "r", "data": "{" * 100_000}):
        with pytest.raises(ValidationError):
            SettlementReport.from_stream_data(fields)
    made = SettlementConfirmation("r", "u", 1, "completed", {"assets_transferred": []})
    assert SettlementConfirmation.from_stream_data(made.to_stream_data()).to_dict() == made.to_dict()
