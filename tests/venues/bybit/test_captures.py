"""Every recorded payload of Bybit becomes the events that were committed, field by field.

The expected events were made by the codec once and then compared by hand with the frames. Frames do not tell their
market, so it is written here, line by line; most are of recordings whose socket is known.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from heliograph.cli.decode import Decoder
from heliograph.cli.replay import Replay
from heliograph.errors import DecodeError
from heliograph.marketdata.capture import decode_line, read_lines
from heliograph.model import jsonl
from heliograph.model.instrument import MarketId
from heliograph.model.market import Candle
from heliograph.venues.bybit import VENUE
from heliograph.venues.bybit.orders import decode_private
from tests.venues.reports import plain

pytestmark = pytest.mark.captures

EXPECTED = Path(__file__).parent / "expected"
MARKETS = {
    "replay_linear_kline_before_ack_20260812": "llll",
    "rest_position": "ll",
    "rest_ticker": "iss",  # the second is of options, which tell nothing
    "ws_book": "llllsllss",
    "ws_private_fill": "llllll",
    "ws_ticker": "iiiilslllliilllss",
    "ws_trade": "illsl",
}
"""The first letter of each line's market."""
NAMES = {"s": "spot", "l": "linear", "i": "inverse"}


def events_of(file: Path) -> list[dict[str, Any]]:
    decoders = {letter: Decoder(VENUE, name) for letter, name in NAMES.items()}
    found: list[dict[str, Any]] = []
    private = file.stem.startswith("ws_private")
    lines = read_lines(file)
    for (number, line), letter in zip(lines, MARKETS[file.stem], strict=True):
        try:
            events = [json.loads(jsonl.render(e, received=False)) for e in decoders[letter].decode(line)]
            found.append({"line": number, "events": events})
            if reports := [plain(report) for report in decode_private(line, 0, {})] if private else []:
                found[-1]["reports"] = reports
        except DecodeError as e:
            found.append({"line": number, "refused": str(e)})
    return found


def test_every_recording_has_its_expected_events(captures: Path) -> None:
    recorded = {p.stem for p in (captures / "bybit").glob("*.jsonl")}
    assert recorded == set(MARKETS) == {p.stem for p in EXPECTED.glob("*.jsonl")}


@pytest.mark.parametrize("name", MARKETS)
def test_a_recording_becomes_its_expected_events(captures: Path, name: str) -> None:
    expected = [json.loads(line) for line in (EXPECTED / f"{name}.jsonl").read_text().splitlines()]
    found = events_of(captures / "bybit" / f"{name}.jsonl")
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        assert got == wanted


def test_no_recorded_frame_is_refused() -> None:
    for name in MARKETS:
        assert "refused" not in (EXPECTED / f"{name}.jsonl").read_text(), name


@pytest.mark.parametrize("name", MARKETS)
def test_t17_where_a_recorded_frame_tells_a_market_it_is_the_right_one(captures: Path, name: str) -> None:
    for (_, line), letter in zip(read_lines(captures / "bybit" / f"{name}.jsonl"), MARKETS[name], strict=True):
        assert VENUE.market_of(None, line) in (None, NAMES[letter])


def test_t1_the_replay_tells_its_candle_twice_and_the_acknowledgement_between_resets_nothing(captures: Path) -> None:
    run = Replay(VENUE.markets[MarketId("linear")])
    candles: list[Candle] = []
    for _, line in read_lines(captures / "bybit" / "replay_linear_kline_before_ack_20260812.jsonl"):
        candles += [e for e in run.take(decode_line(line)) if isinstance(e, Candle)]
    assert [(str(c.close), str(c.base_volume), c.closed) for c in candles] == [
        ("63971.2", "0.329", False),
        ("63971.3", "0.891", False),
    ]
    assert len({c.open_ns for c in candles}) == 1
