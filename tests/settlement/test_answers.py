"""The mailbox as the custodian reads it: in turn, once, and junk aside. The rest: test_custodian.py."""

import msgspec
import pytest

from heliograph.bus.endpoint import parse_url
from heliograph.model.settlement import Decision, Envelope
from heliograph.settlement.answers import AHEAD_MAX, JUNK_BYTES_MAX, JUNK_MAX, Answers
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
    assert not answers.refused
    assert _seqs(answers, 4) == []


def test_junk_is_told_once_and_bounded(answers: Answers) -> None:
    answers.take([b"junk", b"junk"])
    assert [(junk.code, junk.raw) for junk in answers.junk] == [("malformed", b"junk")]
    answers.take([b"%d" % n for n in range(JUNK_MAX * 2)])
    assert len(answers.junk) == JUNK_MAX
    assert answers.refused == {"malformed": 1 + JUNK_MAX * 2}


def test_a_large_message_is_not_kept_whole(answers: Answers) -> None:
    answers.take([b"x" * 10_000_000])
    (junk,) = answers.junk
    assert (junk.code, junk.size, len(junk.raw)) == ("oversized", 10_000_000, JUNK_BYTES_MAX)


def test_what_is_far_ahead_counts_in_its_time(answers: Answers) -> None:
    far = _sealed(AHEAD_MAX + 1)
    answers.take([far])
    assert (answers.refused, len(answers.junk)) == ({"far_ahead": 1}, 0)
    answers.applied(AHEAD_MAX)
    answers.take([far])
    assert _seqs(answers, AHEAD_MAX) == [AHEAD_MAX + 1]


@pytest.mark.parametrize(
    "raw", [b'{"x":' + b"[" * 100_000, b'{"seq":9,"x":' + b'{"a":' * 50_000, b"\xff", b'{"\xff":1}']
)
def test_no_bytes_are_too_deep_or_too_odd(answers: Answers, raw: bytes) -> None:
    answers.take([raw, _sealed(1)])
    assert answers.refused == {"malformed": 1}
    assert _seqs(answers, 0) == [1]


def test_a_signed_body_may_be_as_deep_as_it_likes(answers: Answers) -> None:
    bare = Envelope("acme", "answer", 1, "decision", "r1", '{"x":' + "[" * 100_000, 0, "", EXCHANGE_KEY.name, "")
    answers.take([msgspec.json.encode(msgspec.structs.replace(bare, sig=EXCHANGE_KEY.sign(msgspec.json.encode(bare))))])
    assert answers.refused == {"bad_body": 1}


def test_of_two_answers_with_one_number_none_is_believed_for_long(answers: Answers) -> None:
    answers.take([_sealed(1), b'{"seq":1,"forged":true}'])
    assert answers.forked == 0
    answers.take([seal(EXCHANGE_KEY, "acme", "answer", 1, "r1", Decision("rejected", "policy"), 0, "").raw])
    assert answers.forked == 1


def test_what_another_primary_has_forgotten_is_taken_again(answers: Answers) -> None:
    answers.take([_sealed(n) for n in (1, 2, 3, 4)])
    answers.applied(3)
    answers.rewind(1)
    answers.take([_sealed(2), _sealed(3)])
    assert _seqs(answers, 1) == [2, 3, 4]


def test_an_answer_that_was_not_meant_can_come_again(answers: Answers) -> None:
    answers.take([_sealed(1)])
    answers.drop(1)
    assert _seqs(answers, 0) == []
    answers.take([_sealed(1)])
    assert _seqs(answers, 0) == [1]
