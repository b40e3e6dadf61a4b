import msgspec
import pytest

from heliograph.errors import ConfigError
from heliograph.model.instrument import SPOT
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues import VENUES, coinbase
from heliograph.venues.contract import Market
from heliograph.venues.offering import require_streamed

MARKETS = [market for venue in VENUES.values() for market in venue.markets.values()]
COINBASE = coinbase.VENUE.markets[SPOT]


@pytest.mark.parametrize("market", MARKETS, ids=lambda market: f"{market.venue}-{market.market}")
def test_all_that_a_market_declares_may_be_asked_for(market: Market) -> None:
    for channel in market.channels:
        if channel is not Channel.CANDLES:
            require_streamed(market, channel)
    for interval in market.streamed:
        require_streamed(market, Channel.CANDLES, interval)


@pytest.mark.parametrize(
    ("channel", "interval", "says"),
    [
        (Channel.CANDLES, Interval.M1, "coinbase spot streams no candles of interval 1m, though it has past ones"),
        (Channel.CANDLES, Interval.S10, "coinbase spot streams no candles of interval 10s; accepted: 5m"),
        (Channel.CANDLES, None, "a subscription to candles with interval None; accepted: one for candles"),
        (Channel.TRADES, Interval.M5, "a subscription to trades with interval 5m; accepted: one for candles"),
    ],
)
def test_what_is_not_streamed_is_refused_with_what_is(channel: Channel, interval: Interval | None, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        require_streamed(COINBASE, channel, interval)
    assert str(caught.value).startswith(says)


def test_a_channel_that_a_market_has_not_is_refused_with_those_that_it_has() -> None:
    fewer = msgspec.structs.replace(COINBASE, channels=(Channel.CANDLES, Channel.TRADES))
    with pytest.raises(ConfigError, match=r"coinbase spot has no channel .book.; accepted: candles, trades$"):
        require_streamed(fewer, Channel.BOOK)
