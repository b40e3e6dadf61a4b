"""`heliograph demo`: the story in a minute, and its verdict."""

import json
import signal

from heliograph.sim.layouts import played
from heliograph.venues import VENUES
from tests.cli.commands import finished, running

SUMMARY = {"counts", "gaps_found", "gaps_filled", "duplicates_dropped", "lost"}


def test_cut_connections_of_all_venues_are_healed_and_nothing_is_lost() -> None:
    done = finished("demo", "--headless", "--duration", "20")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert any(": every connection is cut" in line for line in lines)
    # A market that streams no minutes is shown by the shortest that it streams, through the same gateway.
    assert any(" 5m coinbase:spot " in line for line in lines)
    summary = json.loads(lines[-1])
    assert summary.keys() >= SUMMARY
    assert summary["lost"] == summary["doubled"] == summary["wrong"] == 0
    assert summary["gaps_found"] > 0
    # What a venue does not number nobody can ask for: it is told as a hole, and stays one.
    assert summary["gaps_found"] >= summary["gaps_filled"] > 0
    assert summary["expected"] > 0
    # Pledge, credit, mirror, trades, settlement: and both sides' books agree, to the last digit.
    assert any(line.startswith("== ") and "credit inventory of 5 BTC" in line for line in lines)
    custody = summary["custody"]
    assert (custody["differences"], custody["findings"], custody["state"]) == (0, 0, "confirmed")
    venues = summary["venues"]
    assert set(venues) == set(VENUES) == set(played())
    for told in venues.values():
        assert 0 < told["candles"] < told["expected"]
    for name in ("gaps_found", "gaps_filled", "lost", "candles", "expected"):
        assert summary[name] == sum(told[name] for told in venues.values())
    for channel in ("candles", "ticker", "trades", "book"):
        assert summary["counts"][channel] > 0


def test_ctrl_c_ends_it_with_its_verdict() -> None:
    with running("demo", "--headless", "--venue", "binance", "--speed", "60") as process:
        process.line()
        assert process.stop(signal.SIGINT) == 0
        assert json.loads(process.rest().splitlines()[-1])["lost"] == 0
        assert "Traceback" not in process.error()


def test_a_venue_that_cannot_be_played_is_refused_with_those_that_can() -> None:
    done = finished("demo", "--headless", "--venue", "mtgox")
    assert done.returncode == 2
    assert "binance" in done.stderr.decode()


def test_a_venue_that_is_named_twice_is_played_once() -> None:
    done = finished("demo", "--headless", "--duration", "5", "--venue", "binance", "--venue", "Binance")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout.splitlines()[-1])["venues"]) == {"binance"}
