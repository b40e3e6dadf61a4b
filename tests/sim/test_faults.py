from itertools import islice

import msgspec
import pytest

from heliograph.sim.faults import Fault, FaultKind, Faults, random_faults


def test_a_counted_fault_is_used_up() -> None:
    faults = Faults()
    faults.add(Fault(FaultKind.DROP, match="depth", count=2), 0)
    names, taken, left = ("x@trade", "x@depth", "x@depth", "x@depth"), [], []
    for name in names:
        taken.append(faults.take(FaultKind.DROP, name) is not None)
        left.append(faults.left(FaultKind.DROP))
    assert taken == [False, True, True, False]
    assert left == [2, 1, 0, 0]
    assert faults.quiet
    assert faults.happened == 2


def test_faults_of_one_kind_are_used_up_in_their_order_and_apart_from_others() -> None:
    faults = Faults()
    for fault in (Fault(FaultKind.SLOW, delay_s=1), Fault(FaultKind.DROP), Fault(FaultKind.SLOW, delay_s=2, count=2)):
        faults.add(fault, 0)
    assert faults.left(FaultKind.SLOW) == 3
    taken = [faults.take(FaultKind.SLOW, "/x") for _ in range(4)]
    assert [None if fault is None else fault.delay_s for fault in taken] == [1, 2, 2, None]
    assert (faults.left(FaultKind.SLOW), faults.left(FaultKind.DROP)) == (0, 1)


def test_a_lasting_fault_ends() -> None:
    faults = Faults()
    faults.add(Fault(FaultKind.SILENCE, match="btc", duration_s=5), 100)
    assert faults.lasts(FaultKind.SILENCE, "btcusdt@trade", 104) == 105
    assert faults.lasts(FaultKind.SILENCE, "ethusdt@trade", 104) is None
    assert faults.lasts(FaultKind.HALF_OPEN, "btcusdt@trade", 104) is None
    assert not faults.quiet
    assert faults.lasts(FaultKind.SILENCE, "btcusdt@trade", 105) is None
    assert faults.quiet


def test_random_faults_follow_from_the_seed() -> None:
    first, again, other = (list(islice(random_faults(seed, 60), 200)) for seed in (1, 1, 2))
    assert first == again != other
    assert sum(wait_s for wait_s, _ in first) == pytest.approx(200, rel=0.3)
    assert {fault.kind for _, fault in first} == set(FaultKind) - {FaultKind.SHUTDOWN}


def test_random_losses_are_of_the_streams_that_the_venue_names() -> None:
    lost = [fault for _, fault in islice(random_faults(1, 60, "books"), 200) if fault.kind is FaultKind.DROP]
    assert {fault.match for fault in lost} == {"books"}


def test_a_fault_of_unknown_fields_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"kind":"drop","how_many":2}', type=Fault)
