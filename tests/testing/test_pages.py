from typing import Any

import msgspec
import pytest

from heliograph.model.event import VenueEvent
from heliograph.model.market import Candle, Source
from heliograph.testing.pages import check_pages
from heliograph.testing.stage import Stage
from heliograph.venues.contract import Effect, VenueError
from tests.testing.breaking import BINANCE, Meddle, altered, caught, each, meddled

put = msgspec.structs.replace


def past(change: Any) -> Meddle:
    return each(Candle, lambda c: change(c) if c.source is Source.REST else c)


def backwards(events: list[VenueEvent], _effects: list[Effect]) -> None:
    events.reverse()


def complaining(_events: list[VenueEvent], effects: list[Effect]) -> None:
    effects.append(VenueError("1", "no"))


@pytest.mark.parametrize(
    ("meddle", "claim"),
    [
        (backwards, r"in order, each once \(T13\)"),
        (past(lambda c: put(c, closed=True)), r"not told as closed \(T7\)"),
        (past(lambda c: put(c, closed=False)), r"with another after it has closed \(T9\)"),
        (past(lambda c: put(c, open=c.high, high=c.low)), "have the figures of what happened"),
        (past(lambda c: None if c.open_ns % (240 * 10**9) == 0 else c), r"are complete, page by page \(T10\)"),
        (past(lambda c: put(c, open_ns=c.open_ns + 1)), r"are complete|on their grid \(T31\)"),
        (complaining, "of the past are answered"),
    ],
    ids=["t13", "t7", "t9", "t14", "t10", "t31", "answered"],
)
def test_pages_that_are_misread_are_found(meddle: Meddle, claim: str) -> None:
    caught(check_pages, meddled(meddle), claim, "spot")


def test_t10_a_codec_that_never_asks_for_the_second_page_is_found() -> None:
    def content(_events: list[VenueEvent], effects: list[Effect]) -> None:
        effects.clear()

    stage = Stage(meddled(content), minutes=2500)
    with pytest.raises(AssertionError, match="are complete, page by page"):
        check_pages(stage, stage.markets[0])
    check_pages(Stage(BINANCE, minutes=2500), BINANCE.markets[stage.markets[0].market])


def test_more_than_was_asked_for_is_found() -> None:
    def generous(market: Any) -> Any:
        return lambda page: market.candle_request(put(page, from_ns=page.from_ns - page.interval.length_ns))

    caught(check_pages, altered(candle_request=generous, intervals=lambda m: m.intervals[1:2]), "asked for", "spot")


def test_a_market_without_candles_is_passed_over() -> None:
    stage = Stage(altered(intervals=()))
    check_pages(stage, stage.markets[0])
