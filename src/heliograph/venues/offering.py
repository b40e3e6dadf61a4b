"""What a subscription to a market may name."""

from heliograph.errors import ConfigError
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Market


def require_streamed(market: Market, channel: Channel, interval: Interval | None = None) -> None:
    """Refuse what a market does not stream: a venue would say nothing of it, and silence is no refusal.

    Raises:
        ConfigError: it has no such channel, or no candles of that length, or of the past alone; it says what it has.

    """
    name = f"{market.venue} {market.market}"
    if channel not in market.channels:
        raise ConfigError(f"{name} has no channel {channel.value!r}", market.channels)
    if (channel is Channel.CANDLES) != (interval is not None):
        accepted = ("one for candles, none for others",)
        raise ConfigError(f"a subscription to {channel.value} with interval {interval}", accepted)
    if interval is not None and interval not in market.streamed:
        past = ", though it has past ones" if interval in market.past_only else ""
        raise ConfigError(f"{name} streams no candles of interval {interval.value}{past}", market.streamed)
