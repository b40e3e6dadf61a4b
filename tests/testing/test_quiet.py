from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.event import VenueEvent
from heliograph.testing.quiet import check_quiet, most_within
from heliograph.venues import hyperliquid, okx
from heliograph.venues.contract import Effect, Reconnect, Send, Venue
from tests.testing.breaking import BINANCE, BYBIT, GATEIO, caught, limited, meddled


def without_heartbeat(_events: list[VenueEvent], effects: list[Effect]) -> None:
    effects[:] = [effect for effect in effects if not (isinstance(effect, Send) and effect.heartbeat)]


@pytest.mark.parametrize("venue", [okx.VENUE, GATEIO, hyperliquid.VENUE, BYBIT], ids=lambda venue: venue.name)
def test_t27_m12_a_codec_without_heartbeat_is_found(venue: Venue) -> None:
    caught(check_quiet, meddled(without_heartbeat, venue), "a sign of life leaves|not taken for a dead one", "spot")


def test_a_heartbeat_that_would_wait_behind_other_messages_is_found() -> None:
    def unmarked(_events: list[VenueEvent], effects: list[Effect]) -> None:
        effects[:] = [Send(effect.payload) if isinstance(effect, Send) else effect for effect in effects]

    caught(check_quiet, meddled(unmarked, BYBIT), "is marked as a heartbeat", "spot")


def test_m13_a_codec_that_takes_quiet_for_death_is_found() -> None:
    def nervous(events: list[VenueEvent], effects: list[Effect]) -> None:
        if not events:
            effects.append(Reconnect("it is so quiet"))

    caught(check_quiet, meddled(nervous), "a quiet market is no reason to complain", "spot")


def test_m13_a_declaration_that_takes_quiet_for_death_is_found() -> None:
    caught(check_quiet, limited(silence_s_max=5), "not taken for a dead one", "spot")


def test_t30_a_codec_that_says_too_much_at_once_is_found() -> None:
    def chatty(_events: list[VenueEvent], effects: list[Effect]) -> None:
        sends = [effect for effect in effects if isinstance(effect, Send)]
        effects += [Send(b'{"method":"LIST_SUBSCRIPTIONS","id":%d}' % n) for n in range(80, 99) for _ in sends]

    caught(check_quiet, meddled(chatty, BINANCE), "messages leave in a second", "usdm")


@given(st.lists(st.integers(0, 50)).map(sorted), st.integers(1, 20))
def test_the_busiest_window_is_counted(times_ns: list[int], window_ns: int) -> None:
    counts: Any = [sum(start <= t < start + window_ns for t in times_ns) for start in range(51)]
    assert most_within(times_ns, window_ns) == max(counts)
