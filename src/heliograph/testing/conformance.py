"""What one more venue must pass."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from heliograph.testing.budgets import check_asking, check_plan
from heliograph.testing.changes import check_change
from heliograph.testing.declaration import check_declaration
from heliograph.testing.hearing import check_batches, check_hearing
from heliograph.testing.junk import check_junk
from heliograph.testing.names import check_names, check_streams
from heliograph.testing.pages import check_pages
from heliograph.testing.quiet import check_quiet
from heliograph.testing.sequences import check_sequences
from heliograph.testing.stage import Stage
from heliograph.venues.contract import Market, Venue
from heliograph.venues.dialect import Layout

VENUE_CHECKS: Final[tuple[Callable[[Stage], None], ...]] = (check_declaration, check_streams)
MARKET_CHECKS: Final[Mapping[str, Callable[[Stage, Market], None]]] = MappingProxyType(
    {
        "names": check_names,
        "plan": check_plan,
        "asking": check_asking,
        "hearing": check_hearing,
        "batches": check_batches,
        "pages": check_pages,
        "sequences": check_sequences,
        "change": check_change,
        "quiet": check_quiet,
        "junk": check_junk,
    }
)
"""What is checked of each market, by name."""


def check_venue(venue: Venue, layout: Layout | None = None) -> None:
    """Check that a venue is what every venue promises to be: its declaration, its codec, and how both meet its dialect.

    It opens no socket and reads no clock, so that the same code always says the same. Any test runner will do:

        def test_the_venue_conforms() -> None:
            check_venue(VENUE)

    Args:
        venue: the declaration.
        layout: how the venue is simulated; None: as its folder's `layout` has it.

    Raises:
        Nonconforming: it is not; an `AssertionError` that says where, what should be, and what was found instead.
        ConfigError: no layout is given, and none is found.

    """
    stage = Stage(venue, layout)
    for check in VENUE_CHECKS:
        check(stage)
    for market in stage.markets:
        for check_market in MARKET_CHECKS.values():
            check_market(stage, market)
