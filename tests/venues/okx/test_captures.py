"""Every recorded payload of OKX becomes the events that were committed, field by field.

The expected events were made by the codec once and then compared by hand with the frames. Levels beyond five of a side
are committed as their count and hash.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from heliograph.cli.decode import Decoder
from heliograph.cli.replay import Replay
from heliograph.errors import DecodeError
from heliograph.marketdata.capture import decode_line, read_lines
from heliograph.model import jsonl
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT
from heliograph.model.market import Gap
from heliograph.venues.okx import VENUE
from heliograph.venues.okx.orders import decode_answer_of, decode_private, outcomes
from tests.venues.reports import answer_of, plain

pytestmark = pytest.mark.captures

EXPECTED = Path(__file__).parent / "expected"
LEVELS_MAX = 5
FILES = sorted(p.name for p in EXPECTED.glob("*.jsonl"))
REPLAY = "okx/replay_20220513_first_half.jsonl"


def _compact(event: dict[str, Any]) -> dict[str, Any]:
    for side in ("bids", "asks"):
        levels = event.get(side, [])
        if len(levels) > LEVELS_MAX:
            text = "".join(f"{price} {quantity}\n" for price, quantity in levels)
            digest = hashlib.sha256(text.encode()).hexdigest()
            event[side] = {"first": levels[0], "last": levels[-1], "count": len(levels), "sha256": digest}
    return event


def reports_of(file: Path, line: bytes) -> list[dict[str, Any]]:
    if file.stem.startswith("ws_private"):
        return [plain(report) for report in decode_private(line, 0, {})]
    if file.stem == "ws_trade_api":
        return [plain(outcome) for outcome in outcomes(200, line, [None] * len(json.loads(line)["data"]))]
    if file.stem in ("rest_order", "rest_balance") and (answer := answer_of(line)) is not None:
        listed = answer[0].startswith("http_get_")
        return [plain(report) for report in decode_answer_of(answer[2], 0, {})] if listed else []
    return []


def events_of(file: Path) -> list[dict[str, Any]]:
    decoder = Decoder(VENUE, None)
    found: list[dict[str, Any]] = []
    for number, line in read_lines(file):
        try:
            events = [_compact(json.loads(jsonl.render(e, received=False))) for e in decoder.decode(line)]
            found.append({"line": number, "events": events})
            if reports := reports_of(file, line):
                found[-1]["reports"] = reports
        except DecodeError as e:
            found.append({"line": number, "refused": str(e)})
    return found


def test_every_recording_has_its_expected_events(captures: Path) -> None:
    assert {p.name for p in (captures / "okx").glob("*.jsonl")} - {"signing_vectors.jsonl"} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_recording_becomes_its_expected_events(captures: Path, name: str) -> None:
    expected = [json.loads(line) for line in (EXPECTED / name).read_text().splitlines()]
    found = events_of(captures / "okx" / name)
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        assert got == wanted


def test_no_recorded_frame_is_refused() -> None:
    for name in FILES:
        assert "refused" not in (EXPECTED / name).read_text(), name


def run(frames: list[bytes]) -> tuple[dict[str, dict[str, object]], list[VenueEvent]]:
    replay = Replay(VENUE.markets[SPOT])
    events: list[Any] = []
    for frame in frames:
        events += replay.take(decode_line(frame))
    return replay.digests(), events


def recorded(captures: Path) -> list[bytes]:
    return [line for _, line in read_lines(captures / REPLAY)]


def updates(lines: list[bytes], symbol: bytes) -> list[int]:
    marks = (b'\\"books\\"', b'\\"' + symbol + b'\\"', b'\\"update\\"')
    return [i for i, line in enumerate(lines) if all(mark in line for mark in marks)]


def test_the_recorded_books_end_as_expected(captures: Path) -> None:
    expected = json.loads((captures / "expected_books.json").read_text())[REPLAY]
    digests, events = run(recorded(captures))
    assert digests == expected
    assert not [event for event in events if isinstance(event, Gap)]


def test_a_recorded_change_that_is_lost_is_a_gap_by_its_checksum(captures: Path) -> None:
    lines = recorded(captures)
    del lines[updates(lines, b"BTC-USDT")[10]]
    digests, events = run(lines)
    gaps = [event for event in events if isinstance(event, Gap)]
    assert [(gap.instrument.venue_symbol, gap.reason) for gap in gaps] == [
        ("BTC-USDT", "a checksum does not match")
    ]  # fmt: skip
    assert digests["BTC-USDT"]["checksum_bad"] == 1
    assert digests["BTC-USD-220527"]["checksum_ok"] == 46


def test_a_recorded_change_that_is_doubled_changes_nothing(captures: Path) -> None:
    lines = recorded(captures)
    position = updates(lines, b"BTC-USDT")[10]
    lines.insert(position, lines[position])
    digests, events = run(lines)
    expected = json.loads((captures / "expected_books.json").read_text())[REPLAY]["BTC-USDT"]
    assert digests["BTC-USDT"]["sha256"] == expected["sha256"]
    assert not [event for event in events if isinstance(event, Gap)]


def test_t1_data_before_the_acknowledgement_are_taken_once(captures: Path) -> None:
    """The acknowledgement, moved behind the snapshot and the first changes, resets nothing."""
    lines = recorded(captures)
    position = next(i for i, line in enumerate(lines) if b"subscribe" in line and b'\\"event\\"' in line)
    acknowledgement = lines.pop(position)
    lines.insert(updates(lines, b"BTC-USDT")[3], acknowledgement)
    digests, _ = run(lines)
    assert digests == json.loads((captures / "expected_books.json").read_text())[REPLAY]


@pytest.mark.parametrize("text", ['{"t":1652459226,"dir":"in","raw":"pong"}'])
def test_t18_a_pong_among_the_frames_changes_nothing(captures: Path, text: str) -> None:
    lines = recorded(captures)
    lines.insert(100, text.encode())
    assert run(lines)[0] == json.loads((captures / "expected_books.json").read_text())[REPLAY]
