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
from heliograph.venues.hyperliquid.orders import decode_private, outcomes, read_private
from tests.venues.reports import answer_of, plain

pytestmark = pytest.mark.captures

EXPECTED = Path(__file__).parent / "expected"
FILES = sorted(p.name for p in EXPECTED.glob("*.jsonl"))


def reports_of(line: bytes) -> list[dict[str, Any]]:
    answer = answer_of(line)
    if answer is None:
        return [plain(report) for report in decode_private(line, 0, {})]
    request, status, body = answer
    if request.startswith("POST /exchange"):
        return [plain(outcome) for outcome in outcomes(status, body, [None])]
    kind = json.loads(request.partition("{")[1] + request.partition("{")[2])["type"] if "{" in request else ""
    private = kind.endswith(("Orders", "Fills"))
    return [plain(report) for report in read_private(kind, body, 0, {})] if private else []


def events_of(file: Path, market: str | None) -> list[dict[str, Any]]:
    decoder = Decoder(VENUE, market)
    found: list[dict[str, Any]] = []
    for number, line in read_lines(file):
        try:
            events = [json.loads(jsonl.render(e, received=False)) for e in decoder.decode(line)]
            found.append({"line": number, "events": events})
            if reports := reports_of(line):
                found[-1]["reports"] = reports
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


def test_what_is_private_tells_the_public_feed_nothing() -> None:
    rows = [json.loads(line) for name in FILES for line in (EXPECTED / name).read_text().splitlines()]
    assert [row["events"] for row in rows if "reports" in row] == [[]] * 7


def test_no_recorded_frame_is_refused() -> None:
    for name in FILES:
        assert "refused" not in (EXPECTED / name).read_text(), name
