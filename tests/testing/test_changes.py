from typing import Any

import pytest

from heliograph.testing.changes import check_change
from tests.testing.breaking import BYBIT, altered, caught


def stubborn(change: Any) -> Any:
    """Return what makes feeds that hear less than they are told when subscriptions change."""

    def made(market: Any) -> Any:
        def feed(connection: Any) -> Any:
            inner = market.feed(connection)

            class Stubborn:
                def __getattr__(self, name: str) -> Any:
                    return getattr(inner, name)

                def change(self, wanted: Any, effects: Any) -> None:
                    change(inner, connection, wanted, effects)

            return Stubborn()

        return feed

    return altered(BYBIT, feed=made)


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        (lambda *_: None, "what is added is carried as well"),
        (lambda inner, first, wanted, effects: inner.change([*first.subscriptions, *wanted], effects), "what is left"),
        (
            lambda inner, first, wanted, effects: inner.change(wanted or first.subscriptions[:1], effects),
            "wants nothing",
        ),
        (lambda inner, _, wanted, _effects: inner.change(wanted, []), "is subscribed to nothing|is added"),
    ],
    ids=["deaf", "hoarder", "clinging", "silent"],
)
def test_a_feed_that_does_not_change_with_its_subscriptions_is_found(change: Any, claim: str) -> None:
    caught(check_change, stubborn(change), claim, "linear")
