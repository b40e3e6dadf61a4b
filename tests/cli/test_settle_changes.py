"""What an operator asks of a custodian that runs, beside an exchange that runs, over real servers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.bus.embedded_pair import Pair
from heliograph.cli.settle_control import Stop as StopCommand
from heliograph.cli.settle_control import ask
from heliograph.settlement.freeze import Freeze
from tests.cli.parties import Parties, parties


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parties]:
    with Pair() as pair:
        made = parties(pair, "changes", tmp_path_factory.mktemp("parties"))
        with made.serving():
            made.settle("deposit", "alice", "BTC", "100", "--reference", "wire-1")
            yield made


def test_coins_come_and_go_once_however_often_it_is_said(both: Parties) -> None:
    for _ in range(2):
        told = both.told("deposit", "carol", "ETH", "1.50", "--reference", "wire-c")
        assert told["position"]["available"] == "1.5"
    assert "1.5" in both.settle("deposit", "carol", "ETH", "1.5", "--reference", "wire-c")
    told = both.told("withdraw", "carol", "ETH", "0.5", "--reference", "out-c", "--chain", "Ethereum")
    assert told["position"]["available"] == "1"


def test_a_pledge_is_answered_and_given_back(both: Parties, capsys: pytest.CaptureFixture[str]) -> None:
    pledged = both.told("pledge", "alice", "BTC", "5", "--id", "p-1")
    assert (pledged["state"], pledged["kind"], pledged["amount"]) == ("posted", "increase", "5")
    assert both.told("pledge", "alice", "BTC", "5", "--id", "p-1") == pledged
    assert "posted" in both.settle("unpledge", "alice", "BTC", "2")
    assert "request cli-" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pledge", "alice", "BTC", "1e3"), "bad_amount"),
        (("pledge", "alice", "BTC", "NaN"), "bad_amount"),
        (("pledge", "alice", "BTC", "0"), "bad_amount"),
        (("pledge", "alice", "BTC", "101"), "insufficient_available"),
        (("unpledge", "nobody", "BTC", "1"), "insufficient_granted"),
        (("withdraw", "alice", "BTC", "101", "--reference", "out-9"), "insufficient_available"),
        (("withdraw", "alice", "BTC", "1", "--reference", "wire-1"), "conflict"),
        (("cancel", "nothing"), "unknown_request"),
        (("dispute", "nothing", "l1", "--code", "x"), "unknown_cycle"),
        (("retract", "nothing", "l1"), "unknown_cycle"),
        (("unfreeze", "nothing"), "not_frozen"),
        (("freeze", "party", "--code", "x", "--why", "y"), "bad_name"),
        (("freeze", "link", "--code", "x", "--why", "y", "--until", "1970-01-01"), "bad_freeze"),
    ],
)
def test_a_refusal_is_one_line_with_its_code_and_exit_code_1(
    both: Parties, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    both.settle(*arguments, code=1)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("request ")]
    assert len(lines) == 1
    assert lines[0].endswith(f"({said})")


@pytest.mark.parametrize(
    "arguments",
    [
        ("freeze", "planet", "--code", "x", "--why", "y"),
        ("freeze", "link", "--code", "x", "--why", "y", "--direction", "up"),
        ("freeze", "link", "--code", "x", "--why", "y", "--until", "soon"),
        ("deposit", "alice", "BTC", "1"),
        ("pledge", "alice", "BTC", "1", "--wait", "-1"),
    ],
)
def test_a_mistake_is_exit_code_2(both: Parties, arguments: tuple[str, ...]) -> None:
    both.settle(*arguments, code=2)


def test_what_is_frozen_is_refused_until_it_is_lifted(both: Parties, capsys: pytest.CaptureFixture[str]) -> None:
    frozen = both.settle("freeze", "party", "--user", "alice", "--code", "court_order", "--why", "file 7")
    assert "party:alice::court_order" in frozen
    both.settle("pledge", "alice", "BTC", "1", code=1)
    assert "file 7 (court_order)" in capsys.readouterr().err
    both.settle("deposit", "carol", "ETH", "1", "--reference", "wire-d")
    assert both.told("unfreeze", "party:alice::court_order") == []
    both.settle("pledge", "alice", "BTC", "1")
    until = ("--until", "2999-01-01", "--credit-only", "--who", "officer", "--direction", "outbound")
    (told,) = both.told("freeze", "link", "--code", "drill", "--why", "a drill", *until)
    assert (told["until_ns"], told["delegation"], told["who"]) == (32_472_144_000 * 10**9, True, "officer")
    both.settle("unpledge", "alice", "BTC", "1", code=1)
    both.settle("pledge", "alice", "BTC", "1")
    both.settle("unfreeze", "link:::drill")


def test_how_the_custodian_is(both: Parties) -> None:
    assert both.told("status") == {"link": "changes", "halted": "", "refused": 0}
    assert "no" in both.settle("status")


def test_where_nobody_answers_the_coins_stay_held_and_are_asked_back(tmp_path: Path) -> None:
    with Pair() as pair:
        made = parties(pair, "silent", tmp_path, decide="manual")
        with made.serving():
            made.settle("deposit", "alice", "BTC", "10", "--reference", "wire-1")
            made.settle("pledge", "alice", "BTC", "5", "--id", "p-1", "--wait", "0.05", code=1)
            assert made.told("pledge", "alice", "BTC", "5", "--id", "p-1", "--wait", "0")["state"] == "held"
            back = made.told("cancel", "p-1", "--reason", "changed my mind", code=1)
            assert (back["state"], back["code"], back["reason"]) == ("void", "cancelled", "changed my mind")
            late = made.told("pledge", "alice", "BTC", "5", "--id", "p-2", "--expires", "0.05", "--wait", "10", code=1)
            assert (late["state"], late["code"]) == ("void", "cancelled")
            frozen = json.loads(ask(made.control, StopCommand(Freeze("link", "all", "x", "y", "z", 1))))
            assert len(frozen["orders"]) == 1
