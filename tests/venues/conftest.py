"""Where the recorded payloads are."""

import os
from pathlib import Path

import pytest

CAPTURES = Path(os.environ.get("HELIOGRAPH_CAPTURES", Path(__file__).parents[2].parent / "shared" / "captures"))


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of recorded payloads: beside the checkout, or where HELIOGRAPH_CAPTURES says."""
    if not CAPTURES.is_dir():
        pytest.skip(f"no recorded payloads at {CAPTURES}; HELIOGRAPH_CAPTURES can say where they are")
    return CAPTURES
