from typing import Any

import msgspec
import pytest

from heliograph.model.instrument import SPOT
from heliograph.model.market import Channel
from heliograph.testing.budgets import SHARED, check_asking, check_plan
from heliograph.testing.stage import Stage
from heliograph.venues.contract import Effect, Send
from tests.testing.breaking import BYBIT, LUNO, altered, caught, limited, meddled

put = msgspec.structs.replace


def planned(change: Any) -> Any:
    return altered(BYBIT, plan=lambda market: lambda wanted, most: change(market.plan, list(wanted), most))


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        (lambda plan, wanted, most: plan(wanted[:-1], most), "carries all that is wanted"),
        (lambda plan, wanted, most: plan(wanted, most + 1), "at most 50 instruments"),
        (lambda plan, wanted, most: plan(wanted, most) + plan(wanted[:1], most), "carries each subscription once"),
        (
            lambda plan, wanted, most: [put(plan(wanted, most)[0], subscriptions=tuple(wanted))],
            "at most 500 streams|50 ins",
        ),
    ],
    ids=["forgets", "crowds", "doubles", "one socket"],
)
def test_t30_a_plan_beyond_the_bounds_is_found(change: Any, claim: str) -> None:
    caught(check_plan, planned(change), claim, "spot")


def test_t30_a_message_with_too_many_arguments_is_found() -> None:
    """Ten are allowed at Bybit's spot."""

    def joined(_events: list[Any], effects: list[Effect]) -> None:
        sends = [effect for effect in effects if isinstance(effect, Send) and b"subscribe" in effect.payload]
        if len(sends) > 1:
            messages = [msgspec.json.decode(send.payload) for send in sends]
            args = [arg for message in messages for arg in message["args"]]
            effects[:] = [Send(msgspec.json.encode({**messages[0], "args": args}))]

    caught(check_asking, meddled(joined, BYBIT), "no reason to complain|asked for what is wanted", "spot")


def test_t30_a_codec_that_asks_too_fast_is_found() -> None:
    caught(check_asking, limited(messages_per_s_max=1), "messages leave in a second", "spot")


def test_t30_too_many_streams_on_a_socket_are_found() -> None:
    caught(check_asking, limited(streams_per_connection_max=100), "the streams of a socket have a bound", "spot")


def test_subscriptions_that_are_never_asked_for_are_found() -> None:
    sent: list[Effect] = []

    def lazy(_events: list[Any], effects: list[Effect]) -> None:
        sent.extend(effect for effect in effects if isinstance(effect, Send))
        effects[:] = [e for e in effects if not isinstance(e, Send) or len(sent) < 5]

    caught(check_asking, meddled(lazy, BYBIT), "asked for what is wanted|no reason to complain", "spot")


def test_what_shares_a_stream_is_no_reason_to_ask_for_less() -> None:
    """A socket whose codec never says who it is carries nothing, and a codec that overlooks a channel is found too."""

    def mute(_events: list[Any], effects: list[Effect]) -> None:
        effects[:] = [effect for effect in effects if not isinstance(effect, Send)]

    caught(check_asking, meddled(mute, LUNO), "was asked for what is wanted", "spot")

    def forgetful(market: Any) -> Any:
        return lambda connection: market.feed(
            put(connection, subscriptions=[s for s in connection.subscriptions if s.channel is not Channel.TRADES])
        )

    caught(check_asking, altered(BYBIT, feed=forgetful), "was asked for what is wanted", "spot")


def test_no_more_sockets_are_opened_than_the_venue_allows() -> None:
    crowd = len(Stage(LUNO, coins=SHARED, minutes=2).listed(LUNO.markets[SPOT]))
    assert crowd > (LUNO.markets[SPOT].limits.connections_max or crowd)
    check_asking(Stage(LUNO), LUNO.markets[SPOT])
