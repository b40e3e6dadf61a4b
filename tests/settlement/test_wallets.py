"""The exchange's wallets, in a file."""

import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from heliograph.errors import SettlementError
from heliograph.settlement import wallet
from heliograph.settlement.wallet import Wallet
from heliograph.settlement.wallets import Traded, Wallets

D = Decimal
PLACE = ("alice", "BTC")


def _more(amount: str) -> Callable[[Wallet], Wallet]:
    return lambda now: wallet.increased(now, D(amount))


def _add(wallets: Wallets, amount: str, reference: str = "", *, traded: bool = False) -> Decimal:
    kept = wallets.change(
        PLACE, _more(amount), 1, what="increase", amount=D(amount), reference=reference, traded=traded
    )
    return kept.wallet.balance


def test_d28_a_change_is_made_once_for_its_reference_also_after_a_restart(tmp_path: Path) -> None:
    with Wallets(tmp_path / "w.sqlite") as wallets:
        assert _add(wallets, "1.5", "t1") == D("1.5")
        assert _add(wallets, "1.5", "t1") == D("1.5")
    with Wallets(tmp_path / "w.sqlite") as wallets:
        assert _add(wallets, "1.5", "t1") == D("1.5")
        assert _add(wallets, "1.5") == 3
        with pytest.raises(SettlementError) as refused:
            _add(wallets, "2", "t1")
        assert refused.value.code == "conflict"
        assert wallets.of("alice")["BTC"].wallet == Wallet(D(3))
        assert wallets.find("bob", "BTC") is None


def test_d28_what_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    with Wallets(tmp_path / "w.sqlite") as wallets:
        _add(wallets, "1")
        with pytest.raises(SettlementError):
            wallets.change(
                PLACE, lambda now: wallet.decreased(now, D(2)), 1, what="decrease", amount=D(2), reference="t2"
            )
        found = wallets.find(*PLACE)
        assert found is not None
        assert found.wallet == Wallet(D(1))
        wallets.change(PLACE, lambda now: wallet.decreased(now, D(1)), 1, what="decrease", amount=D(1), reference="t2")


def test_what_trading_changed_waits_until_it_is_taken(tmp_path: Path) -> None:
    with Wallets(tmp_path / "w.sqlite") as wallets:
        _add(wallets, "5")
        _add(wallets, "1", "t1", traded=True)
        wallets.change(PLACE, lambda now: wallet.decreased(now, D(2)), 3, what="d", amount=D(2), traded=True)
        assert wallets.untaken() == [Traded(1, *PLACE, D(1), 1), Traded(2, *PLACE, D(-2), 3)]
        wallets.taken([2])
        _add(wallets, "1", traded=True)
        assert [each.n for each in wallets.untaken()] == [1, 3], "no number is given twice"


def test_d19_changes_of_many_threads_are_all_there(tmp_path: Path) -> None:
    with Wallets(tmp_path / "w.sqlite") as first, Wallets(tmp_path / "w.sqlite") as second:
        threads = [
            threading.Thread(target=lambda file=file: [_add(file, "0.1") for _ in range(25)])  # type: ignore[misc]
            for file in (first, second)
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = first.find(*PLACE)
        assert found is not None
        assert found.wallet.balance == 10


def test_a_file_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "w.sqlite").write_text("no database, but long enough to be looked at as one" * 40)
    with pytest.raises(SettlementError) as refused, Wallets(tmp_path / "w.sqlite"):
        pass
    assert refused.value.code == "journal_away"
    with pytest.raises(SettlementError, match="not open"):
        Wallets(tmp_path / "x.sqlite").find(*PLACE)
