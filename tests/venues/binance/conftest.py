"""Where the recorded payloads are, and frames that follow the documentation."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CAPTURES = Path(os.environ.get("HELIOGRAPH_CAPTURES", HERE.parents[2].parent / "shared" / "captures"))


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of recorded payloads: beside the checkout, or where HELIOGRAPH_CAPTURES says."""
    if not CAPTURES.is_dir():
        pytest.skip(f"no recorded payloads at {CAPTURES}; HELIOGRAPH_CAPTURES can say where they are")
    return CAPTURES


@pytest.fixture(scope="session")
def fixture() -> Callable[[str], bytes]:
    """Reads a payload that follows the documentation; `fixtures/SOURCES.md` says which page."""
    return lambda name: (HERE / "fixtures" / name).read_bytes()
