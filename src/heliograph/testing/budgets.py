"""Many subscriptions at once: spread over sockets, and asked for, within what the venue allows."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.market import Channel
from heliograph.testing.claim import require
from heliograph.testing.hearing import everything
from heliograph.testing.meeting import INSTRUMENTS_MAX, Meeting
from heliograph.testing.quiet import most_within
from heliograph.testing.stage import Stage
from heliograph.venues.contract import Market, Subscription

if TYPE_CHECKING:
    from heliograph.model.instrument import InstrumentId
    from heliograph.venues.dialect import Stream

UNBOUNDED: Final = 1_000_000
SHARED: Final = 50
"""The instruments of one socket in the check of that bound."""
ASKED_S: Final = 120
ALONE_S: Final = 10
"""How long the asking for one subscription takes at most."""
PARTS_MAX: Final = 4
"""Streams that one subscription may be made of."""


def check_plan(stage: Stage, market: Market) -> None:
    """Neither streams nor instruments of one socket exceed their bounds, at the bound and one beyond it (T30).

    Raises:
        Nonconforming: they do, or something is left out or carried twice.

    """
    instrument = stage.listed(market)[0]
    channel = market.channels[0]
    interval = market.streamed[0] if channel is Channel.CANDLES else None
    streams_max = market.limits.streams_per_connection_max
    for count in (streams_max, streams_max + 1):
        # `plan` knows nothing of what is listed, so that it does not matter that these are not.
        some = [
            msgspec.structs.replace(instrument, venue_symbol=f"C{n}{instrument.venue_symbol}") for n in range(count)
        ]
        wanted = [Subscription(channel, each, interval) for each in some]
        most = _check_spread(market, wanted, UNBOUNDED)
        require(most <= streams_max, market, f"a socket carries at most {streams_max} streams (T30)", most)
        _check_spread(market, wanted[:SHARED], SHARED)
        _check_spread(market, wanted[: SHARED + 1], SHARED)


def _check_spread(market: Market, wanted: Sequence[Subscription], instruments_max: int) -> int:
    connections = market.plan(wanted, instruments_max)
    carried = Counter(s for connection in connections for s in connection.subscriptions)
    require(set(carried) == set(wanted), market, "a plan carries all that is wanted and nothing else", len(carried))
    crowds = [len({s.instrument for s in connection.subscriptions}) for connection in connections]
    bounded = max(crowds) <= instruments_max
    require(bounded, market, f"a plan puts at most {instruments_max} instruments on a socket (T30)", crowds)
    places = Counter((s, connection.path) for connection in connections for s in connection.subscriptions)
    require(max(places.values()) == 1, market, "a plan carries each subscription once", places.most_common(1))
    return max(len(connection.subscriptions) for connection in connections)


def check_asking(stage: Stage, market: Market) -> None:
    """Many subscriptions are asked for and left by messages that the venue takes, each of them and in time (T30).

    Raises:
        Nonconforming: it hangs up, refuses, or is asked too often or not at all.

    """
    # More coins than any venue takes arguments in one message, and fewer than make this slow.
    crowded = Stage(stage.venue, stage.layout, coins=SHARED, minutes=2)
    intervals = market.streamed if Channel.CANDLES in market.channels else ()
    instruments = crowded.listed(market)
    wanted = everything(market, instruments, intervals)
    while len(market.plan(wanted, INSTRUMENTS_MAX)) > (market.limits.connections_max or UNBOUNDED):
        instruments.pop()
        wanted = everything(market, instruments, intervals)
    meeting = Meeting(crowded, market, wanted)
    meeting.quiet = True
    for subscriptions in (wanted, wanted[:1]):
        meeting.change(subscriptions)
        for _ in range(ASKED_S):
            meeting.go(1)
        require(not meeting.complaints, market, "many subscriptions are no reason to complain", meeting.complaints[:3])
        streams = sum(len(line.session.streams) for line in meeting.lines)
        least = _least_streams(crowded, market, subscriptions)
        claim = f"within {ASKED_S} s the venue was asked for what is wanted, and left what is not"
        require(least <= streams <= PARTS_MAX * len(subscriptions), market, claim, (least, streams))
        for line in meeting.lines:
            held = len(line.session.streams)
            bounded = held <= market.limits.streams_per_connection_max
            require(bounded, market, "the streams of a socket have a bound (T30)", held)
    bound = market.limits.messages_per_s_max
    for line in (*meeting.lines, *meeting.left):
        busiest = most_within(line.sent_ns, NS_PER_S)
        require(busiest <= bound, market, f"at most {bound:g} messages leave in a second (T30)", busiest)


def _least_streams(stage: Stage, market: Market, subscriptions: Sequence[Subscription]) -> int:
    """Return how many streams at least carry these: one each, but for those that are proven to share some.

    What the first instrument's subscriptions are asked for with, each alone, shows what shares; the others are alike.
    """
    of_each: dict[InstrumentId, list[Subscription]] = {}
    for subscription in subscriptions:
        of_each.setdefault(subscription.instrument.id, []).append(subscription)
    first = max(of_each.values(), key=len)
    streams: set[tuple[str, Stream]] = set()
    for subscription in first:
        meeting = Meeting(stage, market, [subscription])
        meeting.quiet = True
        meeting.go(ALONE_S)
        asked = {(line.connection.path, each) for line in meeting.lines for each in line.session.streams.values()}
        require(asked, market, f"within {ALONE_S} s the venue was asked for what is wanted", subscription)
        streams |= asked
    return min(len(subscriptions), len(streams) * len(of_each))
