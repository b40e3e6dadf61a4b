"""Accounts of the exchange."""

from decimal import Decimal

import pytest
from openoes_core import Configuration, ValidationError
from openoes_exchange import AccountEntry, AccountIntegration

from tests.compat.openoes.parties import connected, exchange, no_thread_left

D = Decimal


def _figures(entry: AccountEntry | None) -> tuple[Decimal, Decimal, Decimal]:
    assert entry is not None
    return entry.balance, entry.available, entry.reserved


def test_d28_consumed_money_does_not_come_back_with_the_release(config: Configuration) -> None:
    with no_thread_left(), connected(config) as manager:
        accounts = AccountIntegration(manager, config)
        accounts.set_account("u", "BTC", 10, 10)
        accounts.reserve_balance("u", "BTC", 4)
        assert _figures(accounts.decrease_balance("u", "BTC", 4, decrease_available=False)) == (6, 6, 0)
        assert _figures(accounts.release_reservation("u", "BTC", 4)) == (6, 6, 0)
        accounts.reserve_balance("u", "BTC", 2)
        assert _figures(accounts.release_reservation("u", "BTC", 2)) == (6, 6, 0)


def test_d28_what_is_refused_changes_nothing(config: Configuration) -> None:
    with connected(config) as manager:
        accounts = AccountIntegration(manager, config)
        accounts.set_account("u", "BTC", 10)
        accounts.reserve_balance("u", "BTC", 4)
        for call in (
            lambda: accounts.reserve_balance("u", "BTC", "6.1", "t1"),
            lambda: accounts.decrease_balance("u", "BTC", 7),
            lambda: accounts.release_reservation("u", "BTC", 5),
            lambda: accounts.update_account_from_credit_inventory("u", "BTC", "3.9"),
            lambda: accounts.increase_balance("u", "BTC", "nan"),
            lambda: accounts.set_account("u", "BTC", 10, 9, 2),
            lambda: accounts.process_settlement_update("v", "BTC", 1, False, "s1"),
        ):
            with pytest.raises(ValidationError):
                call()
            assert _figures(accounts.get_account("u", "BTC", refresh=True)) == (10, 6, 4)
        assert accounts.get_account("v", "BTC") is None
        assert _figures(accounts.reserve_balance("u", "BTC", 1, "t1")) == (10, 5, 5)


def test_a_change_is_made_once_for_its_transaction_also_by_another_process(config: Configuration) -> None:
    for _ in range(2):
        with connected(config) as manager:
            accounts = AccountIntegration(manager, config)
            accounts.increase_balance("u", "BTC", 5, transaction_id="t1")
            accounts.process_settlement_update("u", "BTC", 2, True, "s1")
            accounts.process_settlement_update("u", "BTC", 1, False, "s2")
            assert _figures(accounts.update_account_from_credit_inventory("u", "ETH", 3, "t1")) == (3, 3, 0)
            assert {asset: entry.balance for asset, entry in accounts.get_all_accounts("u").items()} == {
                "BTC": 6,
                "ETH": 3,
            }
            assert set(accounts.get_accounts_for_assets("u", ["BTC", "SOL"])) == {"BTC"}


def test_the_clients_accounts_have_a_balance(config: Configuration) -> None:
    with exchange(config) as party:
        assert party.get_account_balance("u", "BTC") == 0
        party.update_account("u", "BTC", "1.5", "deposit")
        party.update_account("u", "BTC", 0.5, "sell")
        assert party.get_account_balance("u", "BTC") == 1


def test_an_entry_by_itself() -> None:
    entry = AccountEntry("u", "BTC", 10, 7, 3)
    entry.reserve(2)
    entry.decrease_balance(1, decrease_available=False)
    entry.release_reservation(5)
    assert _figures(entry) == (9, 9, 0)
    entry.update(12)
    assert _figures(AccountEntry.from_dict(entry.to_dict())) == (12, 12, 0)
    for bad in ((10, 7, 2), (-1, -1, 0), ("nan", 1, 0)):
        with pytest.raises(ValidationError):
            AccountEntry("u", "BTC", *bad)
