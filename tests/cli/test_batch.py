"""`heliograph batch`: the document's run over all exchanges."""

import json
import socket

from tests.cli.commands import finished


def test_every_market_that_is_asked_for_is_heard() -> None:
    names = ("binance:spot", "okx", "bybit:inverse")
    done = finished("batch", *names, "--simulated", "--speed", "30", "--limit", "4", "--batch-size", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert b"connection lost" not in done.stderr  # The simulators outlive the feeds.
    told = json.loads(done.stdout)
    markets = {(row["venue"], row["market"]): row for row in told["markets"]}
    assert {name for name, _ in markets} == {"binance", "okx", "bybit"}
    assert [market for venue, market in markets if venue == "binance"] == ["spot"]
    for row in markets.values():
        assert row["batches"] == row["symbols"] == row["heard"] > 0
        assert row["quotes"] == 4 * row["batches"]
        assert row["troubles"] == []
    assert all(part["symbols"] == 1 and part["quotes"] == 4 for part in told["batches"])


def test_a_venue_named_whole_and_in_part_is_heard_whole() -> None:
    for names in (("bybit:spot", "bybit"), ("bybit", "bybit:spot")):
        done = finished("batch", *names, "--simulated", "--speed", "30", "--limit", "1", "--json")
        assert done.returncode == 0, done.stderr
        assert {row["market"] for row in json.loads(done.stdout)["markets"]} == {"spot", "linear", "inverse"}


def test_a_market_that_streams_no_minutes_is_heard_by_the_shortest_that_it_streams() -> None:
    done = finished("batch", "coinbase", "--simulated", "--limit", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [row["troubles"] for row in told["markets"]] == [[]]
    assert {part["interval"] for part in told["batches"]} == {"5m"}
    assert b"candles of 5m" in done.stderr


def test_a_venue_that_is_away_fails_the_run_and_is_named() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = finished("batch", "binance:spot", "--endpoint", url)
    assert done.returncode == 1
    assert b"binance" in done.stdout
    assert b"Traceback" not in done.stderr


def test_what_there_is_not_is_refused_before_anything_is_opened() -> None:
    for name, hint in (("mtgox", b"binance"), ("okx:banana", b"swap")):
        done = finished("batch", name, "--simulated")
        assert done.returncode == 2
        assert hint in done.stderr
