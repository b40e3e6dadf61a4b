"""What once broke a decoder, and what the fuzzer starts from, without atheris."""

from decimal import Decimal
from pathlib import Path
from random import Random

import msgspec
import pytest

from fuzz.judgement import judge_effect, judge_event
from fuzz.mutation import mutated
from fuzz.seeds import seeds
from fuzz.targets import REGRESSIONS, targets
from heliograph.clock import NS_PER_S
from heliograph.errors import DecodeError
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.market import Side, Trade, TradeCause
from heliograph.venues import VENUES
from heliograph.venues.contract import Reconnect, Refused, Send, VenueError

TARGETS = targets()
KEPT = sorted(path for path in REGRESSIONS.glob("*/*") if path.is_file())
INPUT_BYTES_MAX = 16_384
MUTANTS = 150
TRADE = Trade(
    Instrument(VenueId("binance"), SPOT, "BTCUSDT"), "7", 7, Decimal("1.5"), Decimal(2), Side.BUY, TradeCause.MARKET,
    event_ns=1_700_000_000 * NS_PER_S, received_ns=1_700_000_001 * NS_PER_S,
)  # fmt: skip


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_once_broke_a_decoder_does_not_any_more(path: Path) -> None:
    assert TARGETS[path.parent.name](path.read_bytes()), "is an input of its target"


def test_every_venue_is_a_target() -> None:
    assert {str(name) for name in VENUES} < set(TARGETS)
    assert KEPT


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_fuzzer_starts_from_holds_and_so_do_some_mutants(name: str) -> None:
    """The fuzzer itself goes on from here: `make fuzz`."""
    first = seeds(name)
    assert first
    for data in first:
        assert TARGETS[name](data), f"is no input of {name}: {data[:100]!r}"
    rng = Random(1)
    for _ in range(MUTANTS):
        TARGETS[name](mutated(rng.choice(first), first, rng, INPUT_BYTES_MAX, lambda data, _size: data[::-1]))


def test_a_mutant_is_at_the_same_door_and_is_no_longer_than_allowed() -> None:
    first = seeds("okx")
    rng = Random(2)
    changed = 0
    for _ in range(300):
        data = rng.choice(first)
        mutant = mutated(data, first, rng, 1000, lambda data, size: (data * 2)[:size])
        assert len(mutant) <= 1000
        assert mutant.partition(b"\n")[0] == data.partition(b"\n")[0]
        changed += mutant != data[:1000]
    assert changed > 100


@pytest.mark.parametrize("change", [{"price": Decimal("1E+38")}, {"quantity": Decimal("NaN")}, {"event_ns": 10**30}])
def test_an_event_that_cannot_be_read_back_is_a_breach(change: dict[str, object]) -> None:
    judge_event(TRADE)
    with pytest.raises((DecodeError, AssertionError, ValueError, ArithmeticError)):
        judge_event(msgspec.structs.replace(TRADE, **change))


@pytest.mark.parametrize(
    "effect",
    [Refused(1, "beyond the batch"), Refused(0, ""), Reconnect(""), Send(b"\xff"), VenueError("1", "x" * 2000)],
)
def test_an_effect_that_shells_cannot_act_on_is_a_breach(effect: Refused | Reconnect | Send | VenueError) -> None:
    with pytest.raises((AssertionError, UnicodeError)):
        judge_effect(effect, 1)


def test_what_is_no_input_is_told_apart() -> None:
    assert not TARGETS["binance"](b"nowhere socket 0\n")
    assert not TARGETS["binance"](b"spot window\n")
    assert not TARGETS["binance"](b"spot socket 9\n")
    assert not TARGETS["wire"](b"candlestick\n{}")
