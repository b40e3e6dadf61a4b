"""`heliograph capture`, and back through `replay`."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import finished

SIMULATED = ("--market", "usdm", "--simulated", "--speed", "60")


@pytest.mark.parametrize("name", ["frames.jsonl", "frames.jsonl.zst"])
def test_what_was_captured_replays_to_the_same_events_and_a_whole_book(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    wish = ("capture", "binance", "BTCUSDT", *SIMULATED, "--channel", "candles", "--channel", "book")
    done = finished(*wish, "--duration", "4", "--file", str(file))
    assert done.returncode == 0, done.stderr
    assert file.stat().st_size > 0
    replayed = finished("replay", str(file), "--venue", "binance", "--market", "usdm")
    assert replayed.returncode == 0, replayed.stderr
    kinds = {json.loads(line)["kind"] for line in replayed.stdout.splitlines()}
    assert kinds >= {"candle", "book_snapshot", "book_delta"}
    digest = finished("replay", str(file), "--venue", "binance", "--market", "usdm", "--book-digest")
    book = json.loads(digest.stdout)["BTCUSDT"]
    assert book["gaps"] == 0
    assert book["applied"] > 0
    decoded = finished("decode", "binance", str(file), "--market", "usdm")
    assert (decoded.returncode, decoded.stderr) == (0, b"")
    assert {json.loads(line)["kind"] for line in decoded.stdout.splitlines()} >= {
        "candle",
        "book_snapshot",
        "book_delta",
    }


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    done = finished("capture", "binance", "BTCUSDT", *SIMULATED, "--file", str(tmp_path / "absent" / "x.jsonl"))
    assert done.returncode == 2
    assert b"cannot write" in done.stderr
    assert done.stderr.count(b"\n") == 1
