"""What can be fuzzed: every venue's codec, and every format of our own. Needs no atheris."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from fuzz import formats, playing
from heliograph.venues import VENUES

REGRESSIONS: Final = Path(__file__).parent / "regressions"
"""Inputs that once broke something, in a folder for each target."""


def targets() -> Mapping[str, Callable[[bytes], bool]]:
    """Return each target's check by its name. A check raises where a promise is broken, and is False of no input."""
    found: dict[str, Callable[[bytes], bool]] = {str(name): playing.Play(venue) for name, venue in VENUES.items()}
    return found | {name: partial(formats.check, name) for name in formats.FORMATS}
