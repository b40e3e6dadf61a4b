"""Every recorded payload of Luno becomes the events that were committed, field by field.

The expected events were made by the codec once and then compared by hand with the frames.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from heliograph.cli.decode import Decoder
from heliograph.cli.replay import Replay
from heliograph.errors import DecodeError
from heliograph.marketdata.capture import Direction, decode_line, read_lines
from heliograph.model import jsonl
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT
from heliograph.model.market import Gap
from heliograph.venues.luno import VENUE
from heliograph.venues.luno.orders import outcomes
from tests.venues.reports import answer_of, plain

pytestmark = pytest.mark.captures

EXPECTED = Path(__file__).parent / "expected"
FILES = sorted(p.name for p in EXPECTED.glob("*.jsonl"))
REPLAY = "luno/replay_book_case1.jsonl"


def events_of(file: Path) -> list[dict[str, Any]]:
    decoder = Decoder(VENUE, None)
    found: list[dict[str, Any]] = []
    for number, line in read_lines(file):
        try:
            events = [json.loads(jsonl.render(event, received=False)) for event in decoder.decode(line)]
            found.append({"line": number, "events": events})
            answer = answer_of(line)
            if answer is not None and answer[1] >= 400:
                found[-1]["reports"] = [plain(outcome) for outcome in outcomes(answer[1], answer[2], [None])]
        except DecodeError as e:
            found.append({"line": number, "refused": str(e)})
    return found


def test_every_recording_has_its_expected_events(captures: Path) -> None:
    assert {p.name for p in (captures / "luno").glob("*.jsonl")} - {"signing_vectors.jsonl"} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_recording_becomes_its_expected_events(captures: Path, name: str) -> None:
    expected = [json.loads(line) for line in (EXPECTED / name).read_text().splitlines()]
    assert events_of(captures / "luno" / name) == expected
    assert not any("refused" in line for line in expected)


def run(frames: list[bytes]) -> tuple[dict[str, object], list[VenueEvent]]:
    replay = Replay(VENUE.markets[SPOT])
    events: list[Any] = []
    for frame in frames:
        events += replay.take(decode_line(frame))
    (digest,) = replay.digests().values()
    return digest, events


def recorded(captures: Path) -> list[bytes]:
    return [line for _, line in read_lines(captures / REPLAY)]


def test_trades_reduce_the_makers_order_and_what_is_filled_is_gone(captures: Path) -> None:
    digest, events = run(recorded(captures))
    assert (digest["bids"], digest["asks"]) == (0, 2)
    assert (digest["best_ask"], digest["best_bid"]) == (["100.00", "2.00"], None)
    assert (digest["last_update_id"], digest["applied"], digest["gaps"]) == (24354, 2, 0)
    assert not [event for event in events if isinstance(event, Gap)]


def test_a_message_that_is_lost_is_a_gap(captures: Path) -> None:
    lines = recorded(captures)
    del lines[2]
    digest, events = run(lines)
    (gap,) = [event for event in events if isinstance(event, Gap)]
    assert (gap.from_sequence, gap.to_sequence, gap.reason) == (24353, 24353, "a message is missing")
    assert digest["gaps"] == 1


def test_a_message_that_is_doubled_changes_nothing(captures: Path) -> None:
    lines = recorded(captures)
    lines.insert(3, lines[2])
    digest, events = run(lines)
    assert (digest["best_ask"], digest["dropped"]) == (["100.00", "2.00"], 1)
    assert not [event for event in events if isinstance(event, Gap)]


@pytest.mark.parametrize("text", ['""', ""])
def test_t18_signs_of_life_among_the_frames_change_nothing(captures: Path, text: str) -> None:
    lines = recorded(captures)
    for position in (3, 2, 1):
        lines.insert(position, json.dumps({"dir": Direction.IN, "raw": text}).encode())
    assert run(lines)[0] == run(recorded(captures))[0]
