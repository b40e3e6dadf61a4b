"""The mailbox as the custodian reads it: in turn, once, and junk aside. The rest: test_custodian.py."""

import pytest

from heliograph.bus.endpoint import parse_url
from heliograph.model.settlement import Decision
from heliograph.settlement.answers import AHEAD_MAX, JUNK_MAX, Answers
from heliograph.settlement.envelope import seal
from heliograph.settlement.keyring import Keyring
from tests.settlement.byhand import EXCHANGE_KEY


def _sealed(seq: int) -> bytes:
    return seal(EXCHANGE_KEY, "acme", "answer", seq, f"r{seq}", Decision("accepted"), 0, "").raw


@pytest.fixture
def answers() -> Answers:
    return Answers(parse_url("redis://127.0.0.1:1"), "acme", Keyring([EXCHANGE_KEY.public()]), lambda: None)


def _seqs(answers: Answers, applied: int, count: int = 100) -> list[int]:
    return [message.envelope.seq for message in answers.after(applied, count)]


def test_answers_are_given_in_their_order_up_to_the_first_hole(answers: Answers) -> None:
    answers.take([_sealed(3), _sealed(1), _sealed(2), _sealed(5), _sealed(1)])
    assert _seqs(answers, 0) == [1, 2, 3]
    assert _seqs(answers, 0, count=2) == [1, 2]
    assert _seqs(answers, 1) == [2, 3]
    answers.take([_sealed(4)])
    answers.applied(3)
    assert _seqs(answers, 3) == [4, 5]


def test_what_has_taken_effect_is_not_even_looked_at(answers: Answers) -> None:
    answers.applied(4)
    answers.take([_sealed(3), b'{"seq":4,"forged":true}'])
    assert answers.refused == 0
    assert _seqs(answers, 4) == []


def test_junk_is_told_once_and_bounded(answers: Answers) -> None:
    answers.take([b"junk", b"junk", _sealed(AHEAD_MAX + 1)])
    assert [junk.code for junk in answers.junk] == ["malformed", "far_ahead"]
    answers.take([b"%d" % n for n in range(JUNK_MAX * 2)])
    assert len(answers.junk) == JUNK_MAX
    assert answers.refused == 2 + JUNK_MAX * 2


def test_an_answer_that_was_not_meant_can_come_again(answers: Answers) -> None:
    answers.take([_sealed(1)])
    answers.drop(1)
    assert _seqs(answers, 0) == []
    answers.take([_sealed(1)])
    assert _seqs(answers, 0) == [1]
