"""Requests, cycles and freezes as people see them."""

from decimal import Decimal

import pytest

from heliograph.cli.settle_show import print_cycle, print_freezes, print_request
from heliograph.settlement.credit import Request
from heliograph.settlement.cycle import Cycle, Entry
from heliograph.settlement.freeze import Freeze, Freezes


def test_a_request_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    print_request(
        Request("r1", "increase", "alice", "BTC", Decimal("5.0"), "d", "void", 1, code="policy", reason="not today")
    )
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row == ["r1", "increase", "alice", "BTC", "5", "void", "policy", "not", "today"]


def test_a_cycle_with_its_legs(capsys: pytest.CaptureFixture[str]) -> None:
    leg = Entry("l1", "alice", "BTC", Decimal(-2), state="excluded", code="court_order", reason="file 7")
    print_cycle(Cycle("c1", "custodian", "refused", cut_off_ns=10**18, attempt=2, legs=(leg,)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["c1", "custodian", "refused", "2001-09-09T01:46:40.000Z", "2", "1"]
    assert lines[3].split() == ["l1", "alice", "BTC", "-2", "excluded", "court_order", "file", "7"]


def test_a_freeze_with_the_place_that_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_freezes(Freezes((Freeze("asset", "outbound", "fork", "me", "why", 10**18, asset="BTC", delegation=True),)))
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row == ["asset::BTC:fork", "outbound", "credit", "me", "why", "2001-09-09T01:46:40.000Z"]
