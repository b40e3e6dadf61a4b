"""Servers of settlement's tests."""

from collections.abc import Iterator

import pytest

from heliograph.bus.embedded_pair import Pair


@pytest.fixture(scope="module")
def shared_pair() -> Iterator[Pair]:
    """A primary and the exchange's replica that a module's tests share: take links of your own."""
    with Pair() as pair:
        yield pair
