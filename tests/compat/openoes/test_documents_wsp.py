"""The documents' examples for custodians, as printed, on a real primary and its replica."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openoes_core import Configuration
from openoes_wsp import CreditRequest, VaultManager

from heliograph.bus.embedded_pair import Pair
from tests.compat.openoes.documents import DOCUMENTS, play
from tests.compat.openoes.handlers import wait_until
from tests.compat.openoes.parties import connected, exchange, no_thread_left, settings, wsp

pytestmark = pytest.mark.parametrize("document", DOCUMENTS)


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
    config = settings(pair, tmp_path / "exchange")
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    return config


def _sold(client: Any, asset: str = "BTC") -> None:
    """The user of the examples sells a bit of what the credit allows."""
    client.account_integration.set_account("user123", asset, 10)
    client.update_account("user123", asset, 2.5, "sell")
    assert [report.user_id for report in client.generate_settlement_reports()] == ["user123"]


def test_example_1_asks_settles_and_listens(
    document: str, config: Configuration, capsys: pytest.CaptureFixture[str]
) -> None:
    with no_thread_left(), exchange(config) as party:
        with wsp(config) as before:
            before.request_credit_increase("user123", "BTC", 5, chain="Bitcoin", address="bc1q...")
            _sold(party)
            wait_until(lambda: before.settlement_client._look() or before.get_settlement_reports())
        names = play(document, 1)
        said = capsys.readouterr().out
        assert "Credit increase accepted, new balance: 12.5\n" in said
        assert "Settlement report for user123: BTC -2.5\n" in said
        assert names["connection_manager"].closed
        names["wsp_client"].close()
        names["connection_manager"].close()


def test_example_1_is_told_of_a_rejection(
    document: str, config: Configuration, capsys: pytest.CaptureFixture[str]
) -> None:
    with no_thread_left(), exchange(config, approved_assets=["ETH"]):
        play(document, 1)
        assert "Credit increase rejected: the asset BTC is not approved\n" in capsys.readouterr().out


def test_example_8_waits_for_the_answer(document: str, pair: Pair, config: Configuration) -> None:
    with no_thread_left(), exchange(config), connected(config) as manager:
        names = play(document, 8, {"connection_manager": manager, "config": config})
        response: CreditRequest = names["response"]
        assert (response.status, response.new_balance, response.reject_reason) == ("accepted", 10, "")
        assert response.custodian_id == "ledger"
        wait_until(lambda: manager.get_replica_client().hget("CI:user123:BTC", "amount") == "10")


def test_example_9_returns_the_reports(document: str, config: Configuration) -> None:
    config.set("custodian_id", "ledger")
    with no_thread_left(), exchange(config) as party, wsp(config) as before, connected(config) as manager:
        before.request_credit_increase("user123", "BTC", 5, chain="Bitcoin", address="bc1q...")
        _sold(party)
        wait_until(lambda: before.settlement_client._look() or before.get_settlement_reports())
        names = play(document, 9, {"connection_manager": manager, "config": config})
        (report,) = names["reports"]
        assert (report.user_id, report.asset, report.amount) == ("user123", "BTC", -2.5)
        assert names["settlement_client"].process_settlement_reports() == []


def test_example_10_pledges(document: str, config: Configuration) -> None:
    with no_thread_left(), exchange(config), connected(config) as manager:
        names = play(document, 10, {"connection_manager": manager, "config": config})
        pledge, manager_of = names["pledge"], names["pledge_manager"]
        assert (pledge.user_id, pledge.amount, pledge.custodian_id) == ("user123", 5, "ledger")
        wait_until(pledge.is_approved)
        (response,) = manager_of.process_pledge_responses(run_once=True)
        assert (response.request_id, response.vault_id) == (pledge.request_id, pledge.vault_id)


def test_example_11_tells_the_balance(document: str, config: Configuration) -> None:
    with no_thread_left(), connected(config) as manager:
        vault = VaultManager(manager, config)
        vault.add_asset("user123", "BTC", "7.25", "Bitcoin", "bc1q...")
        vault.add_asset("user456", "BTC", 2, "Bitcoin", "bc1q...", status="unlocked")
        vault.add_asset("user456", "ETH", 2, "Ethereum", "0x...")
        names = play(document, 11, {"connection_manager": manager, "config": config})
        assert names["balance"] == 9.25
