"""`heliograph serve exchange` as a process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.bus.embedded_pair import Pair
from tests.cli.commands import finished, running
from tests.cli.parties import parties


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


def test_it_says_where_it_is_and_stops_when_told(pair: Pair, tmp_path: Path) -> None:
    made = parties(pair, "told", tmp_path, decide="manual")
    with running("serve", "exchange", *made.exchange) as exchange:
        assert exchange.said() == {
            "role": "exchange",
            "link": "told",
            "journal": str(made.journal),
            "key": "exchange-1",
            "decide": "manual",
        }
        assert exchange.stop() == 0


def test_another_links_journal_is_refused(pair: Pair, tmp_path: Path) -> None:
    made = parties(pair, "one", tmp_path)
    with running("serve", "exchange", *made.exchange) as exchange:
        exchange.line()
        exchange.stop()
    file = Path(made.exchange[1])
    file.write_text(file.read_text().replace('link = "one"', 'link = "two"'))
    ended = finished("serve", "exchange", *made.exchange)
    assert ended.returncode == 1
    assert b"(foreign_journal)" in ended.stderr.splitlines()[-1]


def test_it_decides_by_the_limits_of_a_file(pair: Pair, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    made = parties(pair, "limits", tmp_path, decide="limits", limits=str(limits))
    ended = finished("serve", "exchange", *made.exchange)
    assert (ended.returncode, b"limits.toml cannot be read" in ended.stderr) == (2, True)
    limits.write_text('[assets.BTC]\nuser_max = "5"\n')
    with made.serving():
        made.settle("deposit", "alice", "BTC", "10", "--reference", "wire-1")
        assert made.told("pledge", "alice", "BTC", "5")["state"] == "posted"
        refused = made.told("pledge", "alice", "BTC", "0.1", code=1)
        assert (refused["state"], refused["code"]) == ("void", "over_user_limit")
