"""Every recorded payload of Hyperliquid becomes the events that were committed, field by field.

The expected events were made by the codec once and then compared by hand with the frames.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from heliograph.cli.decode import Decoder
from heliograph.errors import DecodeError
from heliograph.marketdata.capture import read_lines
from heliograph.model import jsonl
from heliograph.venues.hyperliquid import VENUE

pytestmark = pytest.mark.captures

EXPECTED = Path(__file__).parent / "expected"
FILES = sorted(p.name for p in EXPECTED.glob("*.jsonl"))


def events_of(file: Path, market: str | None) -> list[dict[str, Any]]:
    decoder = Decoder(VENUE, market)
    found: list[dict[str, Any]] = []
    for number, line in read_lines(file):
        try:
            events = [json.loads(jsonl.render(e, received=False)) for e in decoder.decode(line)]
            found.append({"line": number, "events": events})
        except DecodeError as e:
            found.append({"line": number, "refused": str(e)})
    return found


def test_every_recording_has_its_expected_events(captures: Path) -> None:
    assert {p.name for p in (captures / "hyperliquid").glob("*.jsonl")} == set(FILES)


@pytest.mark.parametrize("market", [None, "usdm"])
@pytest.mark.parametrize("name", FILES)
def test_a_recording_becomes_its_expected_events(captures: Path, name: str, market: str | None) -> None:
    expected = [json.loads(line) for line in (EXPECTED / name).read_text().splitlines()]
    found = events_of(captures / "hyperliquid" / name, market)
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        assert got == wanted


def test_no_recorded_frame_is_refused() -> None:
    for name in FILES:
        assert "refused" not in (EXPECTED / name).read_text(), name
