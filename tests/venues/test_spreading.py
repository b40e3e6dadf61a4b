import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.market import Channel
from heliograph.venues.contract import Subscription
from heliograph.venues.spreading import chunks, spread


def wants(number: int, channel: Channel = Channel.TRADES) -> Subscription:
    return Subscription(channel, Instrument(VenueId("there"), SPOT, f"S{number}"))


def streams_of(subscription: Subscription) -> list[str]:
    """A ticker takes a stream more, and shares that of the trades."""
    symbol = subscription.instrument.venue_symbol
    names = {Channel.TICKER: ["top", "trades"], Channel.TRADES: ["trades"], Channel.BOOK: ["book"]}
    return [f"{name}.{symbol}" for name in names.get(subscription.channel, [])]


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (10, [10]), (11, [10, 1]), (21, [10, 10, 1])])
def test_t30_sockets_hold_so_many_instruments_or_streams_and_no_more(count: int, sizes: list[int]) -> None:
    wanted = [wants(number) for number in range(count)]
    assert [len(carried) for carried in spread(wanted, 10, streams_of, streams_max=99)] == sizes
    assert [len(carried) for carried in spread(wanted, 99, streams_of, streams_max=10)] == sizes


def test_a_repetition_counts_once_and_so_does_a_stream_that_is_shared() -> None:
    wanted = [wants(1, Channel.TICKER), wants(1), wants(1)]
    assert spread(wanted, 1, streams_of, streams_max=2) == [(wanted[0], wanted[1])]


def test_what_has_no_streams_is_left_out() -> None:
    assert spread([wants(1, Channel.CANDLES), wants(2)], 9, streams_of, streams_max=9) == [(wants(2),)]


def test_an_instrument_that_alone_is_too_much_is_spread() -> None:
    wanted = [wants(1, Channel.TICKER), wants(1, Channel.BOOK)]
    assert spread(wanted, 9, streams_of, streams_max=2) == [(wanted[0],), (wanted[1],)]


SUBSCRIPTIONS = st.builds(wants, st.integers(0, 30), st.sampled_from([Channel.TICKER, Channel.TRADES, Channel.BOOK]))


@given(st.lists(SUBSCRIPTIONS), st.integers(1, 12), st.integers(2, 20), st.integers(24, 100))
def test_each_subscription_is_carried_once_within_all_bounds(
    wanted: list[Subscription], instruments_max: int, streams_max: int, size_max: int
) -> None:
    sockets = spread(wanted, instruments_max, streams_of, streams_max=streams_max, size_of=len, size_max=size_max)
    assert sorted(map(repr, (s for carried in sockets for s in carried))) == sorted(map(repr, set(wanted)))
    for carried in sockets:
        streams = {stream for subscription in carried for stream in streams_of(subscription)}
        assert carried
        assert len({s.instrument.id for s in carried}) <= instruments_max
        assert len(streams) <= streams_max
        assert sum(map(len, streams)) <= size_max


@given(st.lists(st.text(max_size=20), max_size=100), st.none() | st.integers(1, 9), st.none() | st.integers(20, 99))
def test_chunks_hold_everything_in_order_within_all_bounds(
    names: list[str], count_max: int | None, size_max: int | None
) -> None:
    made = chunks(names, count_max=count_max, size_of=None if size_max is None else len, size_max=size_max or 0)
    assert [name for chunk in made for name in chunk] == names
    for chunk, following in zip(made, [*made, ()][1:], strict=True):
        assert chunk
        assert count_max is None or len(chunk) <= count_max
        size = sum(map(len, chunk))
        assert size_max is None or size <= size_max
        if following:  # No chunk is shorter than it must be.
            full = len(chunk) == count_max or (size_max is not None and size + len(following[0]) > size_max)
            assert full


def test_what_alone_is_too_long_has_a_message_of_its_own() -> None:
    assert chunks(["a", "bbbbb", "c"], size_of=len, size_max=3) == [("a",), ("bbbbb",), ("c",)]
