"""Which socket carries what: one pair each, at a path of its own.

Candles come by REST and need no stream; their subscriptions share the pair's socket all the same, since its codec asks
for them.

Source: https://www.luno.com/en/developers/api#tag/Streaming-API
"""

from collections.abc import Sequence
from typing import Final

from heliograph.model.interval import Interval
from heliograph.venues.contract import Connection, Subscription

PATH: Final = "/api/1/stream/"

DURATIONS_S: Final = {
    Interval.M1: 60,
    Interval.M5: 300,
    Interval.M15: 900,
    Interval.M30: 1_800,
    Interval.H1: 3_600,
    Interval.H4: 14_400,
    Interval.H8: 28_800,
    Interval.D1: 86_400,
    Interval.D3: 259_200,
}
"""What candles there are, in seconds. Those of three hours have no name here; from which day the venue counts those of
seven is not documented, so that they are left out.

Source: https://www.luno.com/en/developers/api#tag/Market/operation/GetCandles
"""


def plan(subscriptions: Sequence[Subscription], _instruments_max: int) -> list[Connection]:
    """Give each pair a socket; a repetition counts once."""
    pairs: dict[str, dict[Subscription, None]] = {}
    for subscription in subscriptions:
        pairs.setdefault(subscription.instrument.venue_symbol, {})[subscription] = None
    return [Connection(PATH + pair, tuple(carried)) for pair, carried in pairs.items()]
