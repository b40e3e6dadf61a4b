import sqlite3
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.settlement import journal_rows
from heliograph.settlement.journal_rows import SCHEMA, Quarantined, Rows
from heliograph.settlement.link.exchange import Cursor, Row
from heliograph.settlement.netting import Change
from heliograph.settlement.trading import Account

amounts = st.decimals(Decimal("-1E+19"), Decimal("1E+19"), places=18, allow_nan=False)


def opened() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in SCHEMA:
        connection.execute(statement)
    Rows(connection).begin("acme")
    return connection


@pytest.fixture
def rows() -> Iterator[Rows]:
    connection = opened()
    yield Rows(connection)
    connection.close()


def test_the_cursor_comes_back_as_it_was_written(rows: Rows) -> None:
    assert rows.cursor() == Cursor()
    cursor = Cursor(inbox=2**53, inbox_digest="a", last=7, last_digest="b", pruned=3)
    rows.put_cursor(cursor)
    assert rows.cursor() == cursor
    assert rows.links() == ["acme"]


@given(st.tuples(amounts, amounts, amounts, amounts))
def test_no_digit_of_an_amount_is_lost(figures: tuple[Decimal, Decimal, Decimal, Decimal]) -> None:
    connection = opened()
    rows = Rows(connection)
    rows.put_account("alice", "BTC", Account(*figures))
    rows.put_change(Change("t1", "alice", "BTC", figures[0], 2**62))
    assert rows.account("alice", "BTC") == Account(*figures)
    assert rows.accounts() == {("alice", "BTC"): Account(*figures)}
    assert rows.change("t1") == Change("t1", "alice", "BTC", figures[0], 2**62)
    connection.close()


def test_a_request_keeps_its_content_and_changes_its_end(rows: Rows) -> None:
    row = Row("q1", "d", "increase", "alice", "BTC", Decimal("1E-18"), 9, "pending", 4)
    rows.put_request(row, '{"type":"request","kind":"increase","user":"alice","asset":"BTC","amount":"1","chain":"x"}')
    assert rows.request("q1") == row
    ended = Row("q1", "d", "increase", "alice", "BTC", Decimal("1E-18"), 9, "rejected", 4, 2, 7, "policy", "no")
    rows.put_request(ended)
    assert rows.requests("rejected", 0, 10) == rows.requests(None, 3, 10) == [ended]
    assert rows.requests("pending", 0, 10) == rows.requests(None, 4, 10) == []
    order = rows.order("q1")
    assert order is not None
    assert order.chain == "x"
    assert rows.request("q2") is rows.order("q2") is None


def test_one_decision_a_request_is_the_tables_own_rule(rows: Rows) -> None:
    insert = "INSERT INTO outbox VALUES (?, ?, 'q1', x'00')"
    rows._do(insert, (1, "decision"))
    rows._do(insert, (2, "report"))
    with pytest.raises(sqlite3.IntegrityError):
        rows._do(insert, (3, "decision"))


def test_the_changes_of_a_cycle_settle_but_for_those_that_roll_on(rows: Rows) -> None:
    for ref, user, at_ns in (("t1", "alice", 1), ("t2", "bob", 2), ("t3", "bob", 3)):
        rows.put_change(Change(ref, user, "BTC", Decimal(1), at_ns))
    assert [change.ref for change in rows.unreported(2)] == ["t1", "t2"]
    rows.take_changes("c1", ["t1", "t2"])
    assert [change.ref for change in rows.unreported(9)] == ["t3"]
    rows.settle_changes("c1", but=[("bob", "BTC")])
    assert sorted(change.ref for change in rows.unreported(9)) == ["t2", "t3"]
    rows.settle_changes("c1", but=[("alice", "BTC")])
    assert sorted(change.ref for change in rows.unreported(9)) == ["t2", "t3"]


def test_the_quarantine_keeps_the_newest_and_each_once(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_rows, "QUARANTINE_MAX", 3)
    firsts = [rows.quarantine(f"d{n}", Quarantined("malformed", "why", n, b"raw")) for n in (1, 2, 2, 3, 4)]
    assert firsts == [True, True, False, True, True]
    assert [refused.at_ns for refused in rows.quarantined()] == [2, 3, 4]
