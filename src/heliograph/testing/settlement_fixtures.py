"""Fixtures of pytest for the suites of those who build on settlement: real servers and made-up messages.

In a `conftest.py`::

    pytest_plugins = ["heliograph.testing.settlement_fixtures"]

and then, in a test::

    def test_the_replica_follows(heliograph_primary_and_replica: Pair) -> None:
        ...  # heliograph_primary_and_replica.primary.url, .replica.url
"""

from collections.abc import Iterator

import pytest

from heliograph.bus.embedded import Server
from heliograph.bus.embedded_pair import Pair
from heliograph.testing.settlement_messages import Messages


@pytest.fixture(scope="module")
def heliograph_server() -> Iterator[Server]:
    """A private server for a module's tests, gone with it."""
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def heliograph_primary_and_replica() -> Iterator[Pair]:
    """A custodian's primary and an exchange's stream-writeable replica, linked, for a module's tests."""
    with Pair() as pair:
        yield pair


@pytest.fixture
def heliograph_messages(request: pytest.FixtureRequest) -> Messages:
    """Made-up messages, the same in every run of one test, and others in another test."""
    return Messages(seed=sum(request.node.nodeid.encode()))
