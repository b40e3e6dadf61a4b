"""`heliograph demo`: the story in a minute, and its verdict."""

import json
import signal

from tests.cli.commands import finished, running

SUMMARY = {"counts", "gaps_found", "gaps_filled", "duplicates_dropped", "lost"}


def test_a_cut_connection_is_healed_and_nothing_is_lost() -> None:
    done = finished("demo", "--headless", "--duration", "8", "--speed", "60")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert any("every connection to the venue is cut" in line for line in lines)
    summary = json.loads(lines[-1])
    assert summary.keys() >= SUMMARY
    assert summary["lost"] == summary["doubled"] == summary["wrong"] == 0
    assert summary["gaps_found"] > 0
    assert summary["gaps_filled"] == summary["gaps_found"]
    assert summary["expected"] > 0
    for channel in ("candles", "ticker", "trades", "book"):
        assert summary["counts"][channel] > 0


def test_ctrl_c_ends_it_with_its_verdict() -> None:
    with running("demo", "--headless", "--speed", "60") as process:
        process.line()
        assert process.stop(signal.SIGINT) == 0
        assert json.loads(process.rest().splitlines()[-1])["lost"] == 0
        assert "Traceback" not in process.error()
