"""Ten minutes in which nothing is traded: no reason to reconnect, and no rule of the venue's broken."""

from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.model.market import Channel
from heliograph.testing.claim import require
from heliograph.testing.meeting import Line, Meeting
from heliograph.testing.stage import START_NS, Stage
from heliograph.venues.contract import Market, Subscription

QUIET_S: Final = 600
SETTLED_S: Final = 5


def check_quiet(stage: Stage, market: Market) -> None:
    """A quiet market costs no connection: heartbeats leave in time, and no more often than the venue allows (T27).

    Raises:
        Nonconforming: the codec would reconnect, or the venue would hang up.

    """
    instrument = stage.listed(market)[0]
    if Channel.CANDLES in market.channels:
        interval = next(i for i in reversed(market.intervals) if i not in market.past_only)
        wanted = Subscription(Channel.CANDLES, instrument, interval)
    else:
        wanted = Subscription(market.channels[0], instrument)
    meeting = Meeting(stage, market, [wanted])
    meeting.go(SETTLED_S)
    meeting.quiet = True
    for _ in range(QUIET_S):
        meeting.go(1)
        require(not meeting.complaints, market, "a quiet market is no reason to complain (T27)", meeting.complaints)
        for line in meeting.lines:
            _check_silence(meeting, line)
    for line in meeting.lines:
        late = [sent_ns for sent_ns in line.sent_ns if sent_ns > START_NS + SETTLED_S * NS_PER_S]
        require(not late, market, "what keeps a quiet connection alive is marked as a heartbeat", len(late))
        busiest = most_within(line.sent_ns, NS_PER_S)
        bound = market.limits.messages_per_s_max
        require(busiest <= bound, market, f"at most {bound:g} messages leave in a second (T30)", busiest)


def _check_silence(meeting: Meeting, line: Line) -> None:
    """Hold the silence so far against what the venue tolerates, and what we take for a dead connection."""
    market = meeting.market
    manners = meeting.stage.dialect(market).manners
    # The server's own pings, and our pongs, are signs of life of both sides.
    pinged_ns = 0 if manners.ping_s is None else meeting.now_ns - int(manners.ping_s * NS_PER_S)
    silent_s = (meeting.now_ns - max(line.spoke_ns, pinged_ns)) / NS_PER_S
    tolerated = manners.silence_s is None or silent_s < manners.silence_s
    require(tolerated, market, f"a sign of life leaves within {manners.silence_s} s (T27)", f"silent for {silent_s} s")
    unheard_s = (meeting.now_ns - max(line.heard_ns, pinged_ns)) / NS_PER_S
    alive = unheard_s <= market.limits.silence_s_max
    require(alive, market, "a quiet connection is not taken for a dead one (M13)", f"unheard for {unheard_s} s")


def most_within(times_ns: list[int], window_ns: int) -> int:
    """Return how many of these instants, which rise, lie in one window at most; its end is not part of it."""
    most = first = 0
    for last, time_ns in enumerate(times_ns):
        while times_ns[first] <= time_ns - window_ns:
            first += 1
        most = max(most, last - first + 1)
    return most
