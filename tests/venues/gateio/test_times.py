from decimal import Decimal

import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.venues.gateio.times import instant_ns, seconds_ns


def test_t15_a_time_with_a_fraction_is_exact() -> None:
    assert instant_ns(Decimal("1682689046123.0"), NS_PER_MS) == 1_682_689_046_123_000_000
    assert instant_ns(Decimal("1606292218213.4578"), NS_PER_MS) == 1_606_292_218_213_457_800
    assert instant_ns(Decimal("1654249503.437"), NS_PER_S) == 1_654_249_503_437_000_000


@pytest.mark.parametrize("text", ["1682689046123", "-1", "1e30"])
def test_t32_a_time_in_another_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        instant_ns(Decimal(text), NS_PER_S)


@pytest.mark.parametrize("text", ["", "1.5", "-1", "1_0", "٣", "168268904612"])
def test_seconds_as_text_are_digits(text: str) -> None:
    assert seconds_ns("1662803040") == 1_662_803_040_000_000_000
    with pytest.raises(ValueError, match="not a time"):
        seconds_ns(text)
