"""What every test that kills needs: a seed that can be given back, and a way to say what became of it."""

import os
import random
import secrets
from collections.abc import Callable

import pytest

Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Print a line even where pytest keeps what tests print."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", end="", flush=True)

    return line


@pytest.fixture
def rng(say: Say) -> random.Random:
    seed = int(os.environ.get("HELIOGRAPH_FAULTS_SEED") or secrets.randbelow(1 << 31))
    say(f"HELIOGRAPH_FAULTS_SEED={seed}")
    return random.Random(seed)
