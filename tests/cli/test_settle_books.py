"""The books of both sides from the command line: one side, the other, and both beside one another."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.bus.embedded_pair import Pair
from tests.cli.parties import Parties, parties

TRADE = [
    {"ref": f"t/{user}/{asset}", "user": user, "asset": asset, "amount": amount, "at_ns": 7}
    for user, asset, amount in (
        ("alice", "BTC", "-2"), ("house", "BTC", "2"), ("alice", "USD", "100"), ("house", "USD", "-100")
    )
]  # fmt: skip


class Day:
    """One day of both parties, whose services have ended."""

    def __init__(self, pair: Pair, made: Parties) -> None:
        self.pair = pair
        self.made = made
        self.statement = made.directory / "exchange.statement"

    def live(self) -> None:
        """Deposit, pledge and trade."""
        with self.made.serving():
            for user, asset, amount in (("alice", "BTC", "10"), ("house", "USD", "1000")):
                self.made.settle("deposit", user, asset, amount, "--reference", f"wire-{user}")
                self.made.settle("pledge", user, asset, amount, "--id", f"p-{user}")
            trades = self.made.directory / "trades"
            trades.write_text(json.dumps(TRADE) + "\n")
            self.made.settle("book", str(trades), exchange=True)
        self.statement.write_text(self.made.settle("statement", exchange=True))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    with Pair() as pair:
        day = Day(pair, parties(pair, "books", tmp_path_factory.mktemp("books")))
        day.live()
        yield day


def test_each_side_shows_its_own_accounts(day: Day) -> None:
    ours = day.made.told("credit", "alice")["custodian"]
    assert [(row["asset"], row["credit"], row["vault"]) for row in ours] == [("BTC", "10", "10")]
    theirs = {(row["user"], row["asset"]): row for row in day.made.told("credit", exchange=True)["exchange"]}
    assert (theirs["alice", "BTC"]["usable"], theirs["alice", "BTC"]["unreported"]) == ("8", "-2")
    assert "alice" in day.made.settle("credit")


def test_requests_are_shown_by_either_side(day: Day) -> None:
    assert [r["state"] for r in day.made.told("requests")["custodian"]] == ["posted", "posted"]
    assert [r["state"] for r in day.made.told("requests", exchange=True)["exchange"]] == ["accepted", "accepted"]
    assert day.made.told("requests", "--open")["custodian"] == []
    assert "p-alice" in day.made.settle("requests")


def test_cycles_and_freezes_that_are_not_there(day: Day, capsys: pytest.CaptureFixture[str]) -> None:
    assert day.made.told("cycle") == []
    assert day.made.told("freezes") == []
    day.made.settle("freezes")
    day.made.settle("cycle", "c1", code=1)
    assert "(unknown_cycle)" in capsys.readouterr().err


def test_books_that_differ_by_what_is_on_its_way_are_explained(day: Day) -> None:
    told = day.made.told("reconcile", "--statement", str(day.statement))
    assert (told["agreed"], told["unexplained"]) == (False, 0)
    causes = {(line["user"], line["asset"]): line["causes"] for line in told["books"]["lines"] if line["causes"]}
    assert causes["alice", "BTC"] == [{"code": "unsettled_change", "id": "", "amount": "2"}]
    table = day.made.settle("reconcile", "--statement", str(day.statement))
    assert "every difference is explained" in table
    assert "the other side's books are of 20" in table


def test_the_exchange_reconciles_by_the_custodians_statement(day: Day, tmp_path: Path) -> None:
    statement = tmp_path / "custodian.statement"
    statement.write_text(day.made.settle("statement"))
    assert day.made.told("reconcile", "--statement", str(statement), exchange=True)["unexplained"] == 0


def test_books_that_differ_without_a_cause_are_exit_code_1(day: Day) -> None:
    key = "ledger:books:position:alice:BTC"
    day.pair.primary.ask("HSET", key, "granted", "11")
    try:
        told = day.made.told("reconcile", "--statement", str(day.statement), code=1)
        assert told["unexplained"] == 1
        (line,) = [line for line in told["books"]["lines"] if line["difference"] == "1"]
        assert [cause["code"] for cause in line["causes"]] == ["unexplained"]
        assert "1 differ without a cause" in day.made.settle("reconcile", "--statement", str(day.statement), code=1)
    finally:
        day.pair.primary.ask("HSET", key, "granted", "10")


def test_one_who_has_both_sides_needs_no_statement(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELIOGRAPH_SETTLEMENT_JOURNAL", str(day.made.journal))
    assert day.made.told("reconcile")["unexplained"] == 0
    assert set(day.made.told("credit")) == {"custodian", "exchange"}
    day.made.settle("statement", code=2)


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ('"at_ns":1', 1, "(bad_signature)"),
        ('"link":"books"', 1, "(wrong_link)"),
        ('"format"', 1, "no statement"),
    ],
)
def test_a_statement_that_was_changed_is_refused(
    day: Day, change: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    statement = tmp_path / "changed"
    statement.write_text(
        day.statement.read_text().replace(change, change[:-1] + '9"' if change[-1] == '"' else change + "9")
    )
    day.made.settle("reconcile", "--statement", str(statement), code=code)
    assert said in capsys.readouterr().err


def test_what_is_missing_is_named(day: Day, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    day.made.settle("reconcile", code=2)
    assert "the exchange's books are missing" in capsys.readouterr().err
    day.made.settle("reconcile", exchange=True, code=2)
    assert "the custodian's books are missing" in capsys.readouterr().err
    day.made.settle("reconcile", "--statement", str(tmp_path / "none"), code=2)
    assert "cannot be read" in capsys.readouterr().err
    empty = tmp_path / "empty.toml"
    empty.write_text('[settlement]\nlink = "x"\n')
    for command in ("credit", "requests", "cycle", "statement"):
        made = Parties(tmp_path)
        (tmp_path / "custodian.toml").write_text(empty.read_text())
        made.settle(command, code=2)
        assert "neither side's books are set" in capsys.readouterr().err
