"""Every recorded payload of Gate becomes the events that were committed, field by field.

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
from heliograph.model.instrument import SPOT
from heliograph.venues.gateio import VENUE
from heliograph.venues.gateio.instruments import USDM
from heliograph.venues.gateio.orders import decode_private, read_private
from tests.venues.reports import answer_of, plain

pytestmark = pytest.mark.captures

EXPECTED = Path(__file__).parent / "expected"
LEVELS_MAX = 5
FILES = sorted(p.name for p in EXPECTED.glob("*.jsonl"))


def _compact(event: dict[str, Any]) -> dict[str, Any]:
    for side in ("bids", "asks"):
        levels = event.get(side, [])
        if len(levels) > LEVELS_MAX:
            text = "".join(f"{price} {quantity}\n" for price, quantity in levels)
            digest = hashlib.sha256(text.encode()).hexdigest()
            event[side] = {"first": levels[0], "last": levels[-1], "count": len(levels), "sha256": digest}
    return event


def reports_of(line: bytes) -> list[dict[str, Any]]:
    answer = answer_of(line)
    if answer is None:
        return [plain(report) for report in decode_private(line, 0, {})]
    url = answer[0].partition(" ")[2]
    private = url.partition("?")[0].endswith(("/accounts", "/my_trades"))
    return [plain(report) for report in read_private(url, answer[2], 0, {})] if private else []


def events_of(file: Path) -> list[dict[str, Any]]:
    decoder = Decoder(VENUE, None)
    found: list[dict[str, Any]] = []
    for number, line in read_lines(file):
        try:
            events = [_compact(json.loads(jsonl.render(e, received=False))) for e in decoder.decode(line)]
            found.append({"line": number, "events": events})
            if reports := reports_of(line):
                found[-1]["reports"] = reports
        except DecodeError as e:
            found.append({"line": number, "refused": str(e)})
    return found


def test_every_recording_has_its_expected_events(captures: Path) -> None:
    recorded = {p.name for p in captures.glob("gate/*.jsonl")}
    assert recorded - {"signing_vectors.jsonl"} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_recording_becomes_its_expected_events(captures: Path, name: str) -> None:
    expected = [json.loads(line) for line in (EXPECTED / name).read_text().splitlines()]
    assert events_of(captures / "gate" / name) == expected


def test_what_is_private_tells_the_public_feed_nothing() -> None:
    rows = [json.loads(line) for name in FILES for line in (EXPECTED / name).read_text().splitlines()]
    assert [row["events"] for row in rows if "reports" in row] == [[]] * 13


def test_no_recorded_frame_is_refused() -> None:
    for name in FILES:
        assert "refused" not in (EXPECTED / name).read_text(), name


def test_t14_the_recorded_candles_read_with_their_symbol(captures: Path) -> None:
    """The recorder cut their queries off, so that alone they tell nothing."""
    spot, futures = (json.loads(line) for line in (captures / "gate/rest_kline.jsonl").read_text().splitlines())
    (candle,) = VENUE.markets[SPOT].read_answer(
        spot["request"].partition(" ")[2] + "?currency_pair=BTC_USDT&interval=1h", json.dumps(spot["body"]).encode(), 0
    )
    shown = json.loads(jsonl.render(candle, received=False))
    assert [shown[k] for k in ("open", "high", "low", "close")] == ["67715.1", "67839.9", "67715", "67772.5"]
    assert (shown["base_volume"], shown["quote_volume"], shown["closed"]) == ("17.07790000", "1157762.86821200", True)
    (candle,) = VENUE.markets[USDM].read_answer(
        futures["request"].partition(" ")[2] + "?contract=BTC_USDT&interval=1m",
        json.dumps(futures["body"]).encode(),
        0,
    )
    shown = json.loads(jsonl.render(candle, received=False))
    assert (shown["contracts"], shown["quote_volume"], shown["base_volume"]) == ("97151", "3580", None)
    assert shown["closed"] is False
