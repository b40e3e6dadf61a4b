"""Frames that follow the documentation."""

from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def fixture() -> Callable[[str], bytes]:
    """Reads a payload that follows the documentation; `fixtures/SOURCES.md` says which page."""
    return lambda name: (HERE / "fixtures" / name).read_bytes()
