import pytest

from heliograph.clock import NS_PER_S
from heliograph.venues.coinbase.frames import instant_ns


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("1970-01-01T00:00:01Z", NS_PER_S),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("2026-07-01T12:00:00.123456789Z", 1_782_907_200_123_456_789),
    ],
)
def test_a_time_keeps_all_its_decimals(written: str, instant: int) -> None:
    assert instant_ns(written) == instant


@pytest.mark.parametrize(
    "written", ["", "now", "2026-07-01", "2026-13-01T00:00:00Z", "2026-07-01T12:00:00.1234567891Z"]
)
def test_what_is_no_time_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        instant_ns(written)
