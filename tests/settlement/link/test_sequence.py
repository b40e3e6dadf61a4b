import pytest

from heliograph.errors import SettlementError
from heliograph.settlement.link.sequence import Arrival, in_turn, place


def test_a_message_is_next_a_duplicate_or_too_early() -> None:
    assert [place(2, seq) for seq in (1, 2, 3, 4)] == ["duplicate", "duplicate", "next", "wait"]


def test_only_the_next_message_is_in_turn() -> None:
    assert in_turn(2, "b", Arrival(seq=3, ack=0, prev="b", digest="c")) == 3


@pytest.mark.parametrize(
    ("seq", "prev", "code"), [(2, "b", "duplicate"), (4, "b", "too_early"), (3, "other", "broken_chain")]
)
def test_a_message_out_of_turn_or_of_another_history_is_refused(seq: int, prev: str, code: str) -> None:
    with pytest.raises(SettlementError) as refused:
        in_turn(2, "b", Arrival(seq=seq, ack=0, prev=prev, digest="c"))
    assert refused.value.code == code
