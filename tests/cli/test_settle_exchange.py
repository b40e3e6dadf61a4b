"""What an operator does at the exchange, on its journal, while its service runs or not."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heliograph.bus.embedded_pair import Pair
from tests.cli.commands import finished
from tests.cli.parties import Parties, parties


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parties]:
    with Pair() as pair:
        made = parties(pair, "hand", tmp_path_factory.mktemp("hand"), decide="manual")
        with made.serving():
            yield made


def _trade(ref: str, amount: str, at_ns: int = 7) -> str:
    return json.dumps(
        [
            {"ref": f"{ref}/{user}", "user": user, "asset": "BTC", "amount": sign + amount, "at_ns": at_ns}
            for user, sign in (("alice", "-"), ("house", ""))
        ]
    )


def _eventually(made: Parties, arguments: tuple[str, ...], true: Callable[[object], bool], *, exchange: bool) -> object:
    """Ask again until something is so."""
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        time.sleep(0.02)
        if true(told := made.told(*arguments, exchange=exchange)):
            return told
    raise AssertionError(told)


def test_a_day_by_hand_from_the_request_to_books_that_agree(
    made: Parties, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for user in ("alice", "house"):
        made.settle("deposit", user, "BTC", "10", "--reference", f"wire-{user}")
    for request in ("p-1", "p-2"):
        made.settle("pledge", "alice", "BTC", "3", "--id", request, "--wait", "0")
    waiting = ("requests", "--open")
    _eventually(made, waiting, lambda told: len(told["exchange"]) == 2, exchange=True)  # type: ignore[index]
    assert made.told("decide", "p-1", "accepted", exchange=True)["state"] == "accepted"
    assert "too_much" in made.settle("decide", "p-2", "rejected", "--code", "too_much", exchange=True)
    assert made.told("pledge", "alice", "BTC", "3", "--id", "p-1")["state"] == "posted"
    assert made.told("pledge", "alice", "BTC", "3", "--id", "p-2", code=1)["code"] == "too_much"
    capsys.readouterr()
    made.settle("decide", "p-2", "accepted", exchange=True, code=1)
    assert "(decided)" in capsys.readouterr().err
    made.settle("decide", "p-3", "accepted", exchange=True, code=1)
    made.settle("decide", "p-1", "perhaps", exchange=True, code=2)

    trades = tmp_path / "trades"
    trades.write_text(
        "\n".join([_trade("a", "1"), "", "{}", "[]", _trade("b", "1.5"), _trade("c", "99"), _trade("a", "1")])
    )
    told = made.told("book", str(trades), exchange=True, code=1)
    assert told == {"booked": 2, "known": 1, "refused": 3}
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("line ")]
    assert [line.partition(":")[0] for line in errors] == ["line 3", "line 4", "line 6"]
    assert errors[2].endswith("(insufficient_usable)")

    made.settle("report", "early", "--cut-off", "1970-01-01", exchange=True, code=1)
    assert "(nothing_to_settle)" in capsys.readouterr().err
    made.settle("report", "c1", "--cut-off", "soon", exchange=True, code=2)
    cycle = made.told("report", "c1", exchange=True)
    assert [(leg["user"], leg["net"]) for leg in cycle["legs"]] == [("alice", "-2.5"), ("house", "2.5")]
    assert made.told("report", "c1", exchange=True)["cut_off_ns"] == cycle["cut_off_ns"]
    assert "alice" in made.settle("report", "c1", exchange=True)
    _eventually(made, ("cycle", "c1"), lambda told: told[0]["state"] == "confirmed", exchange=True)  # type: ignore[index]
    assert made.told("cycle", "c1")[0]["state"] == "confirmed"
    assert "settled" in made.settle("cycle", "c1")
    assert "confirmed" in made.settle("cycle")

    monkeypatch.setenv("HELIOGRAPH_SETTLEMENT_JOURNAL", str(made.journal))
    told = _eventually(made, ("reconcile",), lambda told: bool(told["agreed"]), exchange=False)  # type: ignore[index]
    assert "the books agree" in made.settle("reconcile")
    monkeypatch.delenv("HELIOGRAPH_SETTLEMENT_JOURNAL")
    assert made.told("audit")["findings"] == []


def test_trades_are_read_from_the_standard_input(made: Parties) -> None:
    ended = finished("settle", "book", "-", *made.exchange, stdin=_trade("z", "1000").encode())
    assert ended.returncode == 1
    assert ended.stdout == b"0 trades booked, 0 known before, 1 refused\n"
    assert ended.stderr.startswith(b"line 1: ")


def test_a_file_that_is_not_there_is_told(made: Parties, capsys: pytest.CaptureFixture[str]) -> None:
    made.settle("book", "nowhere", exchange=True, code=2)
    assert "nowhere cannot be read" in capsys.readouterr().err
