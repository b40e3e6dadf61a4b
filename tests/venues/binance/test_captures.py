"""Every recorded payload of Binance becomes the events that were committed, field by field.

The expected events were made by the codec once and then compared by hand with the frames. Levels beyond five of a side
are committed as their count and hash.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from heliograph.cli.decode import Decoder
from heliograph.errors import DecodeError
from heliograph.marketdata.capture import read_lines
from heliograph.model import jsonl
from heliograph.venues import find_venue
from heliograph.venues.binance.orders import decode_private, outcomes
from tests.venues.reports import answer_of, plain

pytestmark = pytest.mark.captures

EXPECTED = Path(__file__).parent / "expected"
LEVELS_MAX = 5
FILES = sorted(p.relative_to(EXPECTED).with_suffix(".jsonl").as_posix() for p in EXPECTED.rglob("*.jsonl"))


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
    if file.stem == "rest_error" and (answer := answer_of(line)) is not None:
        return [plain(outcome) for outcome in outcomes(answer[1], answer[2], [None])]
    return []


def events_of(file: Path, market: str) -> list[dict[str, Any]]:
    decoder = Decoder(find_venue("binance"), market)
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
    recorded = {p.relative_to(captures).as_posix() for p in captures.glob("binance_*/*.jsonl")}
    assert recorded - {"binance_spot/signing_vectors.jsonl"} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_recording_becomes_its_expected_events(captures: Path, name: str) -> None:
    expected = [json.loads(line) for line in (EXPECTED / name).read_text().splitlines()]
    found = events_of(captures / name, name.partition("/")[0].removeprefix("binance_"))
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        assert got == wanted


def test_no_recorded_frame_is_refused() -> None:
    for name in FILES:
        assert "refused" not in (EXPECTED / name).read_text(), name
