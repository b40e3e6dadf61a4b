"""`heliograph replay` against the recorded session, whole and damaged.

The damage is that of the list for replays: a frame lost, doubled, swapped, cut short, and lines that do not belong.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from heliograph.cli.replay import Replay, replay
from heliograph.errors import ConfigError
from heliograph.marketdata.capture import decode_line
from heliograph.model.book import BookDelta
from heliograph.model.event import VenueEvent
from heliograph.model.market import Gap
from heliograph.venues import find_market, find_venue

CHECKOUT = Path(__file__).parents[2]
CAPTURES = Path(os.environ.get("HELIOGRAPH_CAPTURES", CHECKOUT.parent / "shared" / "captures"))
NAME = "binance_spot/replay_20211012_first_half.jsonl"
Lines = list[dict[str, Any]]


@pytest.fixture
def recording() -> Path:
    if not CAPTURES.is_dir():
        pytest.skip(f"no recorded payloads at {CAPTURES}; HELIOGRAPH_CAPTURES can say where they are")
    return CAPTURES / NAME


@pytest.fixture
def expected(recording: Path) -> dict[str, Any]:
    books: dict[str, Any] = json.loads((CAPTURES / "expected_books.json").read_text())[NAME]
    return books


def digests(capsys: pytest.CaptureFixture[str], path: Path, code: int = 0) -> dict[str, Any]:
    assert replay(path, "binance", "spot", book_digest=True) == code
    books: dict[str, Any] = json.loads(capsys.readouterr().out)
    return books


def damaged(recording: Path, target: Path, damage: Callable[[Lines], None]) -> Path:
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    damage(lines)
    target.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return target


def deltas(lines: Lines) -> list[int]:
    """Where the deltas of NKNUSDT are, after its snapshot."""
    found = [i for i, line in enumerate(lines) if line["dir"] == "in" and "nknusdt@depth" in line["raw"]]
    return found[1:]


@pytest.mark.captures
def test_the_recorded_books_end_in_their_digests_without_a_gap(
    recording: Path, expected: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert digests(capsys, recording) == expected
    assert all(book["gaps"] == 0 for book in expected.values())


@pytest.mark.captures
def test_a_compressed_capture_is_read_the_same(
    recording: Path, expected: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "capture.jsonl.zst"
    path.write_bytes(zstandard.compress(recording.read_bytes()))
    assert digests(capsys, path) == expected


@pytest.mark.captures
def test_a_doubled_frame_changes_no_book(
    recording: Path, expected: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def double(lines: Lines) -> None:
        at = deltas(lines)[30]
        lines.insert(at, dict(lines[at]))

    books = digests(capsys, damaged(recording, tmp_path / "c", double))
    assert books["NKNUSDT"].pop("dropped") == 2
    assert books["NKNUSDT"] | {"dropped": 1} == expected["NKNUSDT"]


def _drop(lines: Lines) -> None:
    del lines[deltas(lines)[30]]


def _swap(lines: Lines) -> None:
    one, other = deltas(lines)[30:32]
    lines[one], lines[other] = lines[other], lines[one]


def _truncate(lines: Lines) -> None:
    line = lines[deltas(lines)[30]]
    line["raw"] = line["raw"][: len(line["raw"]) // 2]


def _number_for_text(lines: Lines) -> None:
    line = lines[deltas(lines)[30]]
    frame = json.loads(line["raw"])
    frame["data"]["b"][0][0] = 0.35
    line["raw"] = json.dumps(frame)


@pytest.mark.captures
@pytest.mark.parametrize(("damage", "refused"), [(_drop, 0), (_swap, 0), (_truncate, 1), (_number_for_text, 1)])
def test_a_frame_lost_swapped_or_unreadable_is_a_gap_and_no_delta_follows_it(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Lines], None], refused: int
) -> None:
    path = damaged(recording, tmp_path / "c", damage)
    assert digests(capsys, path, code=refused)["NKNUSDT"]["gaps"] == 1
    events = _events(path)
    (gap,) = [e for e in events if isinstance(e, Gap)]
    after = events[events.index(gap) :]
    assert not [e for e in after if isinstance(e, BookDelta) and e.instrument == gap.instrument]


def _events(path: Path) -> list[VenueEvent]:
    run = Replay(find_market(find_venue("binance"), "spot"))
    events: list[Any] = []
    for line in path.read_bytes().splitlines():
        try:
            events += run.take(decode_line(line))
        except ValueError:
            raise
        except Exception as e:
            assert type(e).__name__ == "DecodeError"  # noqa: PT017
    return events


@pytest.mark.captures
def test_a_snapshot_later_in_the_capture_ends_the_gap(
    recording: Path, expected: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second snapshot is made of the whole recording's end, as the venue would have given it."""
    whole = Replay(find_market(find_venue("binance"), "spot"))
    for line in recording.read_bytes().splitlines():
        whole.take(decode_line(line))
    book = next(b for b in whole.books.values() if b.instrument.venue_symbol == "NKNUSDT")
    body = {
        "lastUpdateId": book.sequence,
        "bids": [[str(p), str(q)] for p, q in book.bids()],
        "asks": [[str(p), str(q)] for p, q in book.asks()],
    }

    def drop_and_answer(lines: Lines) -> None:
        _drop(lines)
        url = "https://api.binance.com/api/v3/depth?symbol=NKNUSDT&limit=1000"
        lines.append({"t": lines[-1]["t"], "dir": "http", "url": url, "raw": json.dumps(body)})

    found = digests(capsys, damaged(recording, tmp_path / "c", drop_and_answer))["NKNUSDT"]
    assert {k: found[k] for k in ("sha256", "last_update_id", "gaps")} == {
        "sha256": expected["NKNUSDT"]["sha256"], "last_update_id": expected["NKNUSDT"]["last_update_id"], "gaps": 1,
    }  # fmt: skip


@pytest.mark.captures
def test_what_does_not_belong_is_reported_and_an_acknowledgement_and_new_fields_are_not(
    recording: Path, expected: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def insert(lines: Lines) -> None:
        line = lines[deltas(lines)[30]]
        frame = json.loads(line["raw"])
        frame["data"]["zz"] = {"new": [1]}
        line["raw"] = json.dumps(frame)
        for at, raw in ((50, "pong"), (60, '""'), (70, '{"result":null,"id":1}')):
            lines.insert(at, {"t": lines[at]["t"], "dir": "in", "raw": raw})

    path = damaged(recording, tmp_path / "c", insert)
    assert replay(path, "binance", "spot", book_digest=True) == 1
    streams = capsys.readouterr()
    assert json.loads(streams.out) == expected
    assert [line.partition(":")[0] for line in streams.err.splitlines()] == ["line 51", "line 61"]


@pytest.mark.captures
def test_without_the_digest_the_events_are_json_lines_with_the_time_of_receipt(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(recording, "binance", "spot") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [row["kind"] for row in rows]
    assert (kinds.count("book_snapshot"), kinds.count("book_delta"), kinds.count("book_top")) == (2, 68, 41)
    assert all(row["received_ns"] > 1_633_998_511 * 10**9 for row in rows)


def test_lines_that_are_none_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "capture.jsonl"
    path.write_text('nonsense\n{"dir":"out","raw":"x"}\n{"dir":"http","url":"/api/v3/depth","raw":"x"}\n')
    assert replay(path, "binance", "spot") == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert [line.partition(":")[0] for line in streams.err.splitlines()] == ["line 1", "line 3"]


def test_binance_needs_a_market(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="binance needs a market"):
        replay(tmp_path / "x", "binance")


def test_okx_needs_none_since_its_frames_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "capture.jsonl"
    bar = ["1700000040000", "1", "2", "0.5", "1.5", "10", "0.1", "100", "1"]
    frame = {"arg": {"channel": "candle1m", "instId": "BTC-USDT-SWAP"}, "data": [bar]}
    told = {"dir": "in", "raw": json.dumps(frame), "url": "wss://ws.okx.com:8443/ws/v5/business", "t": 1_700_000_100.0}
    path.write_text("".join(json.dumps(line) + "\n" for line in ({"dir": "in", "raw": "pong"}, told)))
    assert replay(path, "okx") == 0
    assert json.loads(capsys.readouterr().out)["instrument"] == "okx:swap:BTC-USDT-SWAP"
    path.write_text('{"dir":"in","raw":"pong"}\n')
    assert replay(path, "okx") == 0
    assert capsys.readouterr().out == ""


def test_a_bare_frame_is_not_a_line_of_a_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_text('{"e":"kline","E":1}\n')
    assert replay(path, "binance", "spot") == 1
    assert capsys.readouterr().err == "line 1: not a line of a capture: it has neither a frame nor a URL\n"
