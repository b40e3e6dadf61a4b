"""Venues that do not conform, each in one way: made of one that does, so that a check has to find just that."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from heliograph.errors import Nonconforming
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import MarketId
from heliograph.testing.stage import Stage
from heliograph.venues import binance, bybit, gateio, luno
from heliograph.venues.contract import Credentials, Effect, Feed, Request, Subscription, Venue
from heliograph.venues.keys import with_keys

BINANCE, BYBIT, GATEIO = binance.VENUE, bybit.VENUE, gateio.VENUE
Meddle = Callable[[list[VenueEvent], list[Effect]], None]


def altered(venue: Venue = BINANCE, /, **fields: Any) -> Venue:
    """Return the venue with these fields of each of its markets; a field may be made of the market."""
    return msgspec.structs.replace(
        venue,
        markets={
            name: msgspec.structs.replace(
                market, **{field: value(market) if callable(value) else value for field, value in fields.items()}
            )
            for name, market in venue.markets.items()
        },
    )


def limited(**limits: Any) -> Venue:
    return altered(limits=lambda market: msgspec.structs.replace(market.limits, **limits))


def meddled(meddle: Meddle, venue: Venue = BINANCE) -> Venue:
    """Return the venue with a codec that does something to all that it tells and wants."""
    return altered(venue, feed=lambda market: lambda connection: Meddler(market.feed(connection), meddle))


class Meddler:
    def __init__(self, feed: Feed, meddle: Meddle) -> None:
        self.feed = feed
        self.meddle = meddle

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        self._do(lambda _events, wanted: self.feed.opened(now_ns, wanted), [], effects)

    def decode(
        self, frames: Sequence[bytes], received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        self._do(lambda told, wanted: self.feed.decode(frames, received_ns, told, wanted), events, effects)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        self._do(lambda _events, wanted: self.feed.ticked(now_ns, wanted), [], effects)

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        self._do(lambda _events, some: self.feed.change(wanted, some), [], effects)

    def fetched(
        self, request: Request, body: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        self._do(lambda told, wanted: self.feed.fetched(request, body, received_ns, told, wanted), events, effects)

    def failed(self, request: Request, reason: str, now_ns: int, effects: list[Effect]) -> None:
        self._do(lambda _events, wanted: self.feed.failed(request, reason, now_ns, wanted), [], effects)

    def book_counters(self) -> Mapping[str, Mapping[str, int]]:
        return self.feed.book_counters()

    def _do(
        self, act: Callable[[list[VenueEvent], list[Effect]], None], events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        told: list[VenueEvent] = []
        wanted: list[Effect] = []
        act(told, wanted)
        self.meddle(told, wanted)
        events += told
        effects += wanted


def caught(check: Callable[..., None], venue: Venue, claim: str, market: str | None = None) -> None:
    """Hold that a check finds the venue, or one of its markets, at fault, for the right reason."""
    stage = Stage(venue)
    where = [] if market is None else [venue.markets[MarketId(market)]]
    with pytest.raises(Nonconforming, match=claim):
        check(stage, *where)


def each(kind: type, change: Callable[[Any], VenueEvent | None]) -> Meddle:
    """Return what replaces every event of a kind, or takes it away."""

    def meddle(events: list[VenueEvent], _effects: list[Effect]) -> None:
        replaced = [change(event) if isinstance(event, kind) else event for event in events]
        events[:] = [event for event in replaced if event is not None]

    return meddle


def _keyed(venue: Venue) -> Venue:
    """Return the venue with a key, and as one that knows of no other, so that what is altered stays so."""
    return altered(
        with_keys({venue.name: venue}, lambda _name: Credentials("a", "b"))[venue.name], with_credentials=None
    )


LUNO = _keyed(luno.VENUE)
"""Wants a key, has a socket for each instrument, and takes many messages for one change of a book."""
