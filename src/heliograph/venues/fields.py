"""Types of fields that venues' frames have alike: times and numbers with their bounds, and what is absent."""

from typing import Annotated, Final

import msgspec

Seconds = Annotated[int, msgspec.Meta(ge=0, lt=10**11)]
"""Seconds since the epoch. The bound, in the year 5138, refuses milliseconds."""
Ms = Annotated[int, msgspec.Meta(ge=0, lt=10**14)]
"""Milliseconds since the epoch. The bound, in the year 5138, refuses microseconds."""
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number that the venue gave something; beyond 2^53 too, so never a float."""

NOTHING: Final = msgspec.Raw()
"""What a field of type `msgspec.Raw` holds where it is absent; it is false."""
