"""Both parties' settings, on two servers and on one; each test finds them empty."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from openoes_core import Configuration

from heliograph.bus.embedded_pair import Pair
from tests.compat.openoes.parties import settings


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture
def apart(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    """A primary and the exchange's replica."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pair.primary.ask("FLUSHALL")
    pair.wait_linked()
    return settings(pair, tmp_path / "exchange")


@pytest.fixture
def together(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    """One server of both sides: the development profile."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pair.primary.ask("FLUSHALL")
    pair.wait_linked()
    return settings(pair, tmp_path / "exchange", one=True)


@pytest.fixture(params=["apart", "together"])
def config(request: pytest.FixtureRequest) -> Configuration:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Configuration)
    return found
