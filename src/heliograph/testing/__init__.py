"""What a venue's author tests with: `check_venue` is what one more venue must pass."""

from heliograph.errors import Nonconforming
from heliograph.testing.conformance import check_venue

__all__ = ["Nonconforming", "check_venue"]
