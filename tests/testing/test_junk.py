from decimal import Decimal
from typing import Any

import msgspec
import pytest

from heliograph.model.event import VenueEvent
from heliograph.model.market import Trade
from heliograph.testing.junk import check_junk
from heliograph.venues.contract import Effect, Refused
from tests.testing.breaking import BINANCE, altered, caught, each, meddled


def wrapped(**methods: Any) -> Any:
    """Return Binance with codecs of which some methods are others, given the codec and their arguments."""

    def made(market: Any) -> Any:
        def feed(connection: Any) -> Any:
            inner = market.feed(connection)

            class Wrapped:
                def __getattr__(self, name: str) -> Any:
                    if name in methods:
                        return lambda *given: methods[name](inner, *given)
                    return getattr(inner, name)

            return Wrapped()

        return feed

    return altered(feed=made)


def strict(inner: Any, frames: Any, *rest: Any) -> None:
    """Raise what reading JSON raises."""
    for frame in frames:
        msgspec.json.decode(frame)
    inner.decode(frames, *rest)


def easily_stopped(inner: Any, frames: Any, now_ns: int, events: Any, effects: Any) -> None:
    """Read nothing of a batch after what is no JSON."""
    for frame in frames:
        inner.decode([frame], now_ns, events, effects)
        if any(isinstance(effect, Refused) for effect in effects):
            return


def strict_answers(inner: Any, request: Any, body: bytes, *rest: Any) -> None:
    msgspec.json.decode(body)
    inner.fetched(request, body, *rest)


def test_t18_a_codec_that_raises_on_what_it_does_not_know_is_found() -> None:
    caught(check_junk, wrapped(decode=strict), "a feed's `decode` raises nothing", "spot")


def test_a_codec_that_raises_on_an_answer_is_found() -> None:
    caught(check_junk, wrapped(fetched=strict_answers), "a feed's `fetched` raises nothing", "spot")


def test_a_bad_frame_that_costs_its_neighbours_is_found() -> None:
    caught(check_junk, wrapped(decode=easily_stopped), "a bad frame costs no other|by its place", "spot")


def test_a_bad_frame_that_is_told_by_another_place_is_found() -> None:
    def misplaced(_events: list[VenueEvent], effects: list[Effect]) -> None:
        effects[:] = [Refused(10**6, e.reason) if isinstance(e, Refused) else e for e in effects]

    caught(check_junk, meddled(misplaced), "refused by its place in the batch", "spot")


def test_a_bad_frame_that_is_passed_over_in_silence_is_found() -> None:
    def silent(_events: list[VenueEvent], effects: list[Effect]) -> None:
        effects[:] = [e for e in effects if not isinstance(e, Refused)]

    caught(check_junk, meddled(silent), "what is no JSON is refused with a reason", "spot")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1." + "3" * 60])
def test_a_number_that_is_none_is_found(number: str) -> None:
    venue = meddled(each(Trade, lambda t: msgspec.structs.replace(t, price=Decimal(number))))
    caught(check_junk, venue, "numbers are finite", "spot")


@pytest.mark.parametrize("name", ["parse_error", "parse_instruments", "read_answer"])
def test_a_reader_that_raises_what_it_should_not_is_found(name: str) -> None:
    def strict_reader(market: Any) -> Any:
        def read(*given: Any) -> Any:
            msgspec.json.decode(next(each for each in given if isinstance(each, bytes)))
            return getattr(market, name)(*given)

        return read

    caught(check_junk, altered(**{name: strict_reader}), f"`{name}`.* raises nothing", "spot")


def test_a_market_that_is_told_by_raising_is_found() -> None:
    def market_of(_url: str | None, frame: bytes) -> None:
        msgspec.json.decode(frame)

    caught(check_junk, msgspec.structs.replace(BINANCE, market_of=market_of), "`market_of` raises nothing", "spot")
