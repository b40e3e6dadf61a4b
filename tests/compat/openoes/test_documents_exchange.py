"""The documents' examples for exchanges, as printed, on a real primary and its replica."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openoes_core import Configuration, create_redis_client
from openoes_exchange import ExchangeClient

from heliograph.bus.embedded_pair import Pair
from tests.compat.openoes.documents import DOCUMENTS, example, play
from tests.compat.openoes.handlers import wait_until
from tests.compat.openoes.parties import connected, exchange, no_thread_left, settings, wsp

pytestmark = pytest.mark.parametrize("document", DOCUMENTS)
START = "exchange_client.start_credit_request_processor(callback=handle_credit_request)\n"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture
def config(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    pair.primary.ask("FLUSHALL")
    pair.wait_linked()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    config = settings(pair, tmp_path / "exchange", custodian_id="ledger")
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    return config


def test_example_2_approves_once_and_reports(
    document: str, config: Configuration, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example stops right after it started, so what it should answer is there before it, and waited for in it."""
    with no_thread_left(), wsp(config) as custodian:
        with exchange(config) as before:
            custodian.request_credit_increase("user123", "BTC", 5, chain="Bitcoin", address="bc1q...")
            before.account_integration.set_account("user123", "BTC", 10)
            before.update_account("user123", "BTC", 2.5, "sell")
        asked = custodian.request_credit_increase(
            "user123", "BTC", 10, chain="Bitcoin", address="bc1q...", wait_for_response=False
        )
        answered = threading.Event()
        custodian.add_credit_response_callback(lambda request: answered.set())
        begin = ExchangeClient.start_credit_request_processor

        def begun(client: ExchangeClient, callback: Any = None) -> None:
            begin(client, callback)
            if callback is not None:
                assert answered.wait(20)

        monkeypatch.setattr(ExchangeClient, "start_credit_request_processor", begun)
        names = play(document, 2)
        assert asked.is_accepted()
        assert asked.new_balance == 15
        said = capsys.readouterr().out
        assert "Credit Inventory for user123 BTC: 15 BTC\n" in said
        assert (
            f"Generated settlement report: SettlementReport('{names['report'].report_id}', -2.5 BTC, pending)" in said
        )
        assert names["connection_manager"].closed
        assert custodian.vault_manager.get_balance("BTC") == 15, "the credit was granted once, on as many coins"
        assert START in example(document, 2)


def test_example_12_answers_by_the_rules(
    document: str, config: Configuration, capsys: pytest.CaptureFixture[str]
) -> None:
    with no_thread_left(), wsp(config) as custodian, connected(config) as manager:
        names = play(document, 12, {"connection_manager": manager, "config": config})
        assert names["ci_value"] is None
        granted = custodian.request_credit_increase("user123", "BTC", 10, chain="Bitcoin", address="bc1q...")
        assert granted.is_accepted()
        assert "Processing request: {" in capsys.readouterr().out
        assert names["credit_manager"].get_credit_inventory("user123", "BTC").amount == 10


def test_example_13_settles_what_the_accounts_changes_imply(document: str, config: Configuration) -> None:
    with no_thread_left(), wsp(config) as custodian, connected(config) as manager:
        with exchange(config) as before:
            custodian.request_credit_increase("user123", "BTC", 5, chain="Bitcoin", address="bc1q...")
            before.account_integration.set_account("user123", "BTC", 10)
            before.update_account("user123", "BTC", 2.5, "sell")
        names = play(document, 13, {"connection_manager": manager, "config": config})
        (report,) = names["reports"]
        assert (report.user_id, report.net_position) == ("user123", {"BTC": -2.5})
        again = names["settlement_manager"].generate_settlement_reports()
        assert again == []
        wait_until(lambda: custodian.process_settlement_reports())
        assert custodian.confirm_settlement(report.report_id)
        wait_until(report.is_completed)
        position = custodian._custodies.of("ledger").position("user123", "BTC")
        assert (position.granted, position.vault) == (2.5, 2.5)


def test_example_14_changes_the_inventory_on_the_primary(document: str, pair: Pair, config: Configuration) -> None:
    config = settings(pair, Path("exchange"), one=True)
    with no_thread_left(), connected(config) as manager:
        names = play(document, 14, {"connection_manager": manager, "config": config})
        assert (names["ci_value"].amount, names["ci_value"].user_id) == (10, "user123")
    replica = create_redis_client("127.0.0.1", pair.replica.port)
    wait_until(lambda: replica.hget("CI:user123:BTC", "amount") == "10")
    replica.close()


def test_example_15_credits_the_account(document: str, config: Configuration) -> None:
    with no_thread_left(), connected(config) as manager:
        names = play(document, 15, {"connection_manager": manager, "config": config})
        account = names["account_integration"].get_account("user123", "BTC")
        assert (account.balance, account.available, account.reserved) == (10, 10, 0)
