import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Subscription
from heliograph.venues.hyperliquid import VENUE
from heliograph.venues.hyperliquid.instruments import USDM
from heliograph.venues.hyperliquid.streams import CONNECTIONS_MAX, STREAMS_MAX, Stream, plan, streams_of

MARKET = VENUE.markets[USDM]


def wants(coin: str, channel: Channel, interval: Interval | None = None) -> Subscription:
    return Subscription(channel, MARKET.instrument(coin), interval)


def trades(count: int) -> list[Subscription]:
    return [wants(f"C{i}", Channel.TRADES) for i in range(count)]


@pytest.mark.parametrize(
    ("channel", "interval", "expected"),
    [
        (Channel.CANDLES, Interval.MO1, [{"type": "candle", "coin": "kPEPE", "interval": "1M"}]),
        (Channel.TRADES, None, [{"type": "trades", "coin": "kPEPE"}]),
        (Channel.BOOK, None, [{"type": "l2Book", "coin": "kPEPE"}]),
        (
            Channel.TICKER,
            None,
            [
                {"type": "bbo", "coin": "kPEPE"},
                {"type": "activeAssetCtx", "coin": "kPEPE"},
                {"type": "trades", "coin": "kPEPE"},
            ],
        ),
    ],
)
def test_messages_name_one_stream_each(
    channel: Channel, interval: Interval | None, expected: list[dict[str, str]]
) -> None:
    said = [json.loads(stream.message("subscribe")) for stream in streams_of(wants("kPEPE", channel, interval))]
    assert said == [{"method": "subscribe", "subscription": subscription} for subscription in expected]
    assert json.loads(Stream("trades", "@107").message("unsubscribe"))["method"] == "unsubscribe"


def test_t30_a_socket_carries_1000_streams_and_no_more() -> None:
    assert [len(c.subscriptions) for c in plan(trades(STREAMS_MAX), STREAMS_MAX + 1)] == [1000]
    assert [len(c.subscriptions) for c in plan(trades(STREAMS_MAX + 1), STREAMS_MAX + 1)] == [1000, 1]


def test_t30_a_ticker_counts_as_three_streams_and_shares_the_trades() -> None:
    tickers = [wants(f"C{i}", Channel.TICKER) for i in range(334)]
    assert [len(c.subscriptions) for c in plan(tickers, 1000)] == [333, 1]
    shared = [s for i in range(333) for s in (wants(f"C{i}", Channel.TICKER), wants(f"C{i}", Channel.TRADES))]
    assert [len(c.subscriptions) for c in plan(shared, 1000)] == [666]


def test_t30_an_instrument_that_does_not_fit_moves_as_a_whole() -> None:
    tickers = [wants(f"C{i}", Channel.TICKER) for i in range(333)]
    both = [wants("BTC", Channel.TRADES), wants("BTC", Channel.BOOK)]
    assert [c.subscriptions for c in plan([*tickers, *both], 1000)] == [tuple(tickers), tuple(both)]


def test_t28_sockets_hold_more_instruments_rather_than_be_more_than_the_venue_allows() -> None:
    assert [len(c.subscriptions) for c in plan(trades(100), 50)] == [50, 50]
    assert [len(c.subscriptions) for c in plan(trades(101), 50)] == [50, 50, 1]
    assert [len(c.subscriptions) for c in plan(trades(400), 50)] == [80] * CONNECTIONS_MAX


def test_nothing_wanted_needs_no_socket() -> None:
    assert plan([], 50) == []


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40), st.sampled_from(Channel), st.sampled_from([Interval.M1, Interval.H1, Interval.D1])
        ),
        max_size=120,
    ),
    st.integers(1, 60),
)
def test_a_plan_carries_everything_once_and_keeps_an_instrument_together(
    wished: list[tuple[int, Channel, Interval]], instruments_max: int
) -> None:
    wanted = [wants(f"C{i}", c, interval if c is Channel.CANDLES else None) for i, c, interval in wished]
    connections = plan(wanted, instruments_max)
    carried = [s for connection in connections for s in connection.subscriptions]
    assert len(carried) == len(set(carried))
    assert set(carried) == set(wanted)
    homes = [{s.instrument.id for s in connection.subscriptions} for connection in connections]
    assert sum(map(len, homes)) == len({s.instrument.id for s in wanted})
    assert len(connections) <= CONNECTIONS_MAX or all(len(home) <= instruments_max for home in homes)
    assert len(connections) <= CONNECTIONS_MAX
    assert {connection.path for connection in connections} <= {"/ws"}
