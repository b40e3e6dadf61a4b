"""Deposits and withdrawals."""

from decimal import Decimal

import msgspec
import pytest

from heliograph.errors import SettlementError
from heliograph.settlement.ledger import Books, Position
from heliograph.settlement.passage import Docket, Passage, added, ended, entering, leaving, left, same

COINS = Passage("wire-1", "deposit", "alice", "BTC", Decimal(5), "Bitcoin", "bc1q", "done")


def test_coins_pass_from_outside_and_back_and_nothing_is_left() -> None:
    books = Books()
    books.post([entering(COINS)])
    assert books.positions["alice", "BTC"] == Position(available=Decimal(5))
    books.post([leaving(COINS)])
    assert books.positions["alice", "BTC"] == Position(leaving=Decimal(5))
    books.post([left(COINS)])
    assert books.positions["alice", "BTC"] == Position()
    assert books.contras["outside", "BTC"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": Decimal(6)},
        {"user": "bob"},
        {"asset": "ETH"},
        {"kind": "withdrawal"},
        {"chain": "x"},
        {"address": "y"},
    ],
)
def test_a_reference_is_one_passage_for_ever(changes: dict[str, object]) -> None:
    assert same(COINS, msgspec.structs.replace(COINS, state="leaving", journal=7)) is COINS
    with pytest.raises(SettlementError) as refused:
        same(COINS, msgspec.structs.replace(COINS, **changes))
    assert refused.value.code == "conflict"


def test_the_docket_holds_what_is_begun_once() -> None:
    docket = added(added(added(Docket(), cycle="c1"), cycle="c1"), withdrawal="w1")
    assert docket == Docket(("c1",), ("w1",))
    assert ended(docket, cycle="c1") == Docket((), ("w1",))
    assert ended(docket, withdrawal="w1") == Docket(("c1",), ())
