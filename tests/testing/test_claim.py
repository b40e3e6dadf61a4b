import subprocess
import sys

import pytest

from heliograph.errors import Nonconforming
from heliograph.testing.claim import SHOWN_MAX, require
from tests.testing.breaking import BINANCE


def test_a_claim_that_holds_says_nothing() -> None:
    require([0], "binance", "it is so")


def test_a_claim_that_does_not_hold_says_where_and_what_was_found_at_no_great_length() -> None:
    market = next(iter(BINANCE.markets.values()))
    with pytest.raises(Nonconforming, match=r"^binance spot: it is so; found: ") as raised:
        require(None, market, "it is so", "x" * 10_000)
    assert len(raised.value.found) == SHOWN_MAX


def test_claims_are_made_without_assertions_too() -> None:
    script = "from heliograph.testing.claim import require\nrequire(False, 'here', 'it is so')"
    done = subprocess.run([sys.executable, "-O", "-c", script], capture_output=True, text=True)
    assert "Nonconforming: here: it is so" in done.stderr
