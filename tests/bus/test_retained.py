from heliograph.bus.entries import ENTRY_OVERHEAD_BYTES, Batch, Stream
from heliograph.bus.retained import Retained


def batch(size: int) -> Batch:
    return Batch([Stream("s", None, None)], [bytes(size - ENTRY_OVERHEAD_BYTES)])


def test_what_is_kept_comes_back_in_order_and_once() -> None:
    retained = Retained(1000)
    batches = [batch(200), batch(300)]
    for moment, each in enumerate(batches):
        retained.keep(each, moment)
    assert (bool(retained), retained.bytes) == (True, 500)
    assert retained.take_all() == batches
    assert (bool(retained), retained.bytes, retained.dropped) == (False, 0, 0)


def test_it_is_bounded_and_counts_what_it_lets_go() -> None:
    retained = Retained(1000)
    batches = [batch(400) for _ in range(5)]
    for moment, each in enumerate(batches):
        retained.keep(each, moment)
        assert retained.bytes <= 1000
    assert retained.dropped == 3
    assert retained.take_all() == batches[3:]


def test_what_is_on_the_disk_goes() -> None:
    retained = Retained(1000)
    batches = [batch(200) for _ in range(3)]
    for moment, each in enumerate(batches):
        retained.keep(each, moment)
    retained.forget(1)
    assert (retained.bytes, retained.dropped) == (200, 0)
    assert retained.take_all() == batches[2:]
