"""Control messages against a venue that answers them, or does not."""

from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.market import Channel
from heliograph.venues.contract import Effect, Reconnect, Send, Subscription
from heliograph.venues.spreading import chunks
from heliograph.venues.subscribing import (
    ACKNOWLEDGED_NS_MAX,
    UNACKNOWLEDGED,
    Carried,
    Message,
    Subscriber,
    carried_by,
    find_number,
)

Told = tuple[int, bool, tuple[str, ...]]


def wants(symbol: str, channel: Channel = Channel.TRADES) -> Subscription:
    return Subscription(channel, Instrument(VenueId("there"), SPOT, symbol))


def streams_of(subscription: Subscription) -> list[str]:
    """Tickers take the trades too."""
    symbol = subscription.instrument.venue_symbol
    return [symbol] if subscription.channel is Channel.TRADES else [f"top.{symbol}", symbol]


def carried(*symbols: str) -> Carried[str]:
    return carried_by([wants(symbol) for symbol in symbols], streams_of)


def encode(message: Message[str], now_ns: int) -> bytes:
    return msgspec.json.encode([*message, now_ns])


def subscriber(*symbols: str, chunk: int = 2, per_tick: int = 10, per_hour: int | None = None) -> Subscriber[str]:
    made = Subscriber(partial(chunks, count_max=chunk), encode, per_tick_max=per_tick, per_hour_max=per_hour)
    made.carry(carried(*symbols), [])
    return made


def opened(*symbols: str) -> Subscriber[str]:
    made = subscriber(*symbols)
    made.opened(0, [])
    return made


def said(effects: list[Effect]) -> list[Told]:
    found = [msgspec.json.decode(effect.payload) for effect in effects if isinstance(effect, Send)]
    return [(number, subscribes, tuple(streams)) for number, subscribes, streams, _ in found]


def ticked(made: Subscriber[str], now_ns: int) -> list[Effect]:
    effects: list[Effect] = []
    made.ticked(now_ns, effects)
    return effects


def test_opening_says_everything_in_chunks() -> None:
    effects: list[Effect] = []
    made = subscriber("A", "B", "C")
    assert not made.busy
    made.opened(5, effects)
    assert said(effects) == [(1, True, ("A", "B")), (2, True, ("C",))]


def test_before_the_socket_is_open_a_change_is_only_noted() -> None:
    effects: list[Effect] = []
    made = subscriber("A")
    made.carry(carried("B"), effects)
    assert effects == []
    made.opened(0, effects)
    assert said(effects) == [(1, True, ("B",))]


def test_a_change_says_the_difference_leaving_first() -> None:
    effects: list[Effect] = []
    made = opened("A", "B")
    made.carry(carried("B", "C"), effects)
    assert said(effects) == [(2, False, ("A",)), (3, True, ("C",))]


def test_a_stream_that_still_carries_another_subscription_is_not_left() -> None:
    both = carried_by([wants("A"), wants("A", Channel.TICKER)], streams_of)
    assert both == {"A": (wants("A"), wants("A", Channel.TICKER)), "top.A": (wants("A", Channel.TICKER),)}
    made = subscriber()
    made.carry(both, [])
    made.opened(0, [])
    effects: list[Effect] = []
    made.carry(carried("A"), effects)
    assert said(effects) == [(2, False, ("top.A",))]


def test_t30_so_many_messages_leave_from_tick_to_tick() -> None:
    effects: list[Effect] = []
    made = subscriber(*"ABCDEFGHIJ", per_tick=2)
    made.opened(0, effects)
    assert (len(effects), made.busy) == (2, True)
    assert [len(said(ticked(made, n * NS_PER_S))) for n in (1, 2, 3)] == [2, 1, 0]
    assert not made.busy


def test_an_hour_has_its_own_bound_also_after_the_clock_was_set_back() -> None:
    made = subscriber(*"ABCDEFGHIJ", chunk=1, per_hour=4)
    effects: list[Effect] = []
    made.opened(7200 * NS_PER_S, effects)
    assert len(effects) == 4
    assert said(ticked(made, 7201 * NS_PER_S)) == []
    assert len(said(ticked(made, 10_800 * NS_PER_S))) == 4
    assert len(said(ticked(made, 0))) == 2


def test_answers_by_number_tell_what_they_answer_once() -> None:
    made = opened("A", "B", "C")
    assert made.asked(1) == Message(1, True, ("A", "B"))
    assert made.answered(1) == Message(1, True, ("A", "B"))
    assert made.answered(1) is None
    assert made.answered("2") is None
    assert made.asked(None) is None
    assert made.unanswered() == ("C",)


def test_answers_by_stream_end_the_wait_for_each_once() -> None:
    made = opened("A", "B", "C")
    assert made.confirmed("A")
    assert not made.confirmed("A")
    assert not made.confirmed("B", subscribes=False)
    assert made.unanswered() == ("B", "C")
    made.confirmed("B")
    made.confirmed("C")
    assert ticked(made, ACKNOWLEDGED_NS_MAX) == []


def test_t2_a_subscription_that_is_not_acknowledged_costs_the_connection_once() -> None:
    made = opened("A", "B", "C")
    made.answered(1)
    assert ticked(made, ACKNOWLEDGED_NS_MAX - 1) == []
    assert ticked(made, ACKNOWLEDGED_NS_MAX) == [Reconnect(UNACKNOWLEDGED)]
    assert ticked(made, 2 * ACKNOWLEDGED_NS_MAX) == []


def test_what_was_left_need_not_be_acknowledged() -> None:
    made = opened("A")
    made.carry({}, [])
    made.tick(ACKNOWLEDGED_NS_MAX, [])
    assert made.late() == ()


def test_what_was_left_and_wanted_again_is_waited_for_from_then_on() -> None:
    made = opened("A")
    made.carry({}, [])
    made.tick(ACKNOWLEDGED_NS_MAX - 1, [])
    made.carry(carried("A"), [])
    made.tick(ACKNOWLEDGED_NS_MAX, [])
    assert made.late() == ()
    made.tick(2 * ACKNOWLEDGED_NS_MAX, [])
    assert made.late() == ("A",)


def test_renewing_leaves_and_subscribes_what_is_still_wanted() -> None:
    effects: list[Effect] = []
    made = opened("A")
    made.renew(["A", "B"], effects)
    assert said(effects) == [(2, False, ("A",)), (3, True, ("A",))]


def test_what_the_venue_refuses_is_given_up_without_being_left() -> None:
    effects: list[Effect] = []
    made = opened("A", "B")
    assert made.carriers(["A", "B", "X"]) == (wants("A"), wants("B"))
    made.give_up(["A"])
    made.ask(["A", "B"], effects)
    made.carry(carried("B"), effects)
    assert said(effects) == [(2, True, ("B",))]
    assert made.carriers(["A"]) == ()


def test_what_is_never_answered_is_forgotten_in_the_end() -> None:
    made = opened("A")
    for number in range(3000):
        made.tick(number, [])
        made.renew(["A"], [])
    assert made.asked(2) is None
    assert made.asked(6000) is not None


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), (None, None), ("", None), ("x", None), ("-1", None), ("²", None), ("9" * 16, None)]
)
def test_a_number_is_read_of_text(text: str | None, number: int | None) -> None:
    assert find_number(text) == number


STEPS = st.lists(st.one_of(st.sets(st.sampled_from("ABCDEF")), st.sampled_from(["tick", "renew"])), max_size=30)


@given(STEPS, st.integers(1, 3), st.integers(1, 3))
def test_whatever_is_wanted_in_the_end_is_what_the_venue_serves(
    steps: list[set[str] | str], chunk: int, per_tick: int
) -> None:
    """A venue that does what it is told serves what is wanted once everything was said, and never twice."""
    made = subscriber(chunk=chunk, per_tick=per_tick)
    effects: list[Effect] = []
    made.opened(0, effects)
    for second, step in enumerate([*steps, *["tick"] * 200]):
        before = len(effects)
        if step == "tick":
            made.tick(second * NS_PER_S, effects)
            assert len(effects) - before <= per_tick
        elif isinstance(step, str):
            made.renew(made.carried, effects)
        else:
            made.carry(carried(*sorted(step)), effects)
    served: set[str] = set()
    for number, (told, subscribes, streams) in enumerate(said(effects), 1):
        assert told == number
        assert len(streams) <= chunk
        assert served.isdisjoint(streams) if subscribes else served.issuperset(streams)
        served = served.union(streams) if subscribes else served.difference(streams)
    assert served == set(made.carried)
    assert not made.busy
