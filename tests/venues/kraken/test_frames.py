from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from heliograph.venues.kraken.frames import (
    RawAnswer,
    RawBooks,
    RawCandles,
    RawHeartbeat,
    RawStatus,
    RawTickers,
    RawTrades,
    decode_answer,
    decode_frame,
    to_ns,
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ohlc.json", RawCandles),
        ("ticker.json", RawTickers),
        ("trade.json", RawTrades),
        ("book_snapshot.json", RawBooks),
        ("status.json", RawStatus),
    ],
)
def test_documented_frames_are_read(fixture: Callable[[str], bytes], name: str, kind: type) -> None:
    assert type(decode_frame(fixture(name))) is kind


def test_a_sign_of_life_has_nothing_but_its_name() -> None:
    assert type(decode_frame(b'{"channel":"heartbeat"}')) is RawHeartbeat


def test_zeros_at_the_end_of_numbers_are_kept(fixture: Callable[[str], bytes]) -> None:
    raw = decode_frame(fixture("book_snapshot.json"))
    assert isinstance(raw, RawBooks)
    assert (str(raw.data[0].bids[0].qty), str(raw.data[0].bids[3].price)) == ("0.10000000", "45281.0")


def test_times_are_exact_to_the_microsecond() -> None:
    instant = datetime(2026, 11, 18, 11, 6, 40, 123_456, tzinfo=UTC)
    assert to_ns(instant) == 1_795_000_000_123_456_000
    assert to_ns(instant + timedelta(days=40_000)) % 10**9 == 123_456_000


def test_an_answer_is_told_apart_from_data() -> None:
    answer = decode_answer(b'{"method":"pong","req_id":101,"time_in":"x","time_out":"y"}')
    assert answer == RawAnswer(method="pong", req_id=101)
    with pytest.raises(msgspec.MsgspecError):
        decode_frame(b'{"method":"pong"}')
