from typing import Any

import msgspec
import pytest

from heliograph.model.book import BookDelta
from heliograph.model.event import VenueEvent
from heliograph.model.market import Channel, Gap
from heliograph.testing.sequences import check_sequences
from heliograph.testing.stage import Stage
from heliograph.venues.contract import Effect
from tests.testing.breaking import BINANCE, BYBIT, LUNO, altered, caught, meddled


class Blind:
    """A codec that believes its venue's numbers: a frame that was lost before does not matter to it."""

    def __init__(self, market: Any, connection: Any) -> None:
        self._market, self._connection = market, connection
        self._feed = market.feed(connection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._feed, name)

    def decode(self, frames: Any, received_ns: int, events: list[Any], effects: list[Any]) -> None:
        told: list[Any] = []
        self._feed.decode(frames, received_ns, told, effects)
        if any(isinstance(event, Gap) for event in told):
            unchecked = self._market.feed(msgspec.structs.replace(self._connection, sequenced=False))
            told = []
            unchecked.decode(frames, received_ns, told, [])
            effects.clear()
        events += told


@pytest.mark.parametrize("venue", [BINANCE, BYBIT], ids=lambda venue: venue.name)
def test_t5_a_codec_that_overlooks_a_lost_change_is_found(venue: Any) -> None:
    def blind(market: Any) -> Any:
        return lambda connection: Blind(market, connection)

    caught(check_sequences, altered(venue, feed=blind), "a book is the venue's|is told again within", "spot")


def test_a_book_that_is_never_whole_again_is_found() -> None:
    broken = [False]

    def sulking(events: list[VenueEvent], _effects: list[Effect]) -> None:
        broken[0] |= any(isinstance(event, Gap) for event in events)
        if broken[0]:
            events[:] = [event for event in events if not isinstance(event, BookDelta)]

    caught(check_sequences, meddled(sulking), "is told again within 20 s", "spot")


def test_t3_a_repeated_frame_that_is_taken_for_a_gap_is_found() -> None:
    always = meddled(lambda events, _effects: events.extend(_gap(e) for e in list(events) if isinstance(e, BookDelta)))
    caught(check_sequences, always, "a frame that comes twice is no gap", "spot")


def _gap(delta: BookDelta) -> Gap:
    return Gap(delta.instrument, Channel.BOOK, None, None, None, 1, 2, "nerves", delta.received_ns)


def test_a_layout_that_names_no_stream_of_books_is_found() -> None:
    stage = Stage(BINANCE)
    stage.layout = msgspec.structs.replace(stage.layout, lossy="nowhere")
    with pytest.raises(AssertionError, match="the layout's `lossy` is in the names"):
        check_sequences(stage, stage.markets[0])


def test_a_market_without_books_is_passed_over() -> None:
    stage = Stage(altered(channels=(Channel.TRADES,)))
    check_sequences(stage, stage.markets[0])


def test_t5_a_codec_that_goes_on_after_a_hole_in_a_book_of_many_messages_is_found() -> None:
    """One that takes whatever comes, where only a new connection brings a new book."""

    def careless(market: Any) -> Any:
        return lambda connection: market.feed(msgspec.structs.replace(connection, sequenced=False))

    caught(check_sequences, altered(LUNO, feed=careless), "a book is the venue's|books have 10 levels", "spot")
