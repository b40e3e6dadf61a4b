"""Past candles by REST: ascending, complete, on their grid, and closed only where they are."""

from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Source
from heliograph.testing.claim import require
from heliograph.testing.hearing import everything, same_candle
from heliograph.testing.meeting import Meeting
from heliograph.testing.stage import Stage
from heliograph.venues.contract import CandlePage, Market

BARS: Final = 7
LISTENED_S: Final = 3
PROVEN_NS: Final = 60 * NS_PER_S
"""How long after its end a bar has to be told as closed."""


def check_pages(stage: Stage, market: Market) -> None:
    """A range of each interval, and one of minutes that takes several pages, is what happened.

    Raises:
        Nonconforming: one is not.

    """
    if not market.intervals:
        return
    instrument = stage.listed(market)[0]
    listed_ns = stage.scene(market).listings[instrument.venue_symbol].listed_ns
    for interval in market.intervals:
        # Of what was never traded there is nothing to tell, so the first bar is the one after the listing.
        first_ns = interval.next_open(interval.open_of(listed_ns))
        _check_range(stage, market, instrument, interval, first_ns, BARS)
    if Interval.M1 in market.intervals:
        _check_range(
            stage, market, instrument, Interval.M1, Interval.M1.next_open(Interval.M1.open_of(listed_ns)), None
        )


def _check_range(
    stage: Stage, market: Market, instrument: Instrument, interval: Interval, from_ns: int, count: int | None
) -> None:
    # What has closed is told by the venue's own time, so that it has to be heard first.
    meeting = Meeting(stage, market, everything(market, [instrument], []))
    meeting.go(LISTENED_S)
    now_ns = meeting.now_ns
    if from_ns > now_ns:
        return
    to_ns, open_ns = None, from_ns
    for _ in range(count or 0):
        if interval.next_open(interval.next_open(open_ns)) < now_ns - PROVEN_NS:
            to_ns, open_ns = open_ns, interval.next_open(open_ns)
    meeting.ask(market.candle_request(CandlePage(instrument, interval, from_ns, to_ns)))
    require(not meeting.complaints, market, f"{interval} candles of the past are answered", meeting.complaints)
    told = [event for event in meeting.events if isinstance(event, Candle) and event.source is Source.REST]
    opens = [candle.open_ns for candle in told]
    require(opens == sorted(set(opens)), market, "past candles are told in order, each once (T13)", opens[:10])
    due = [from_ns]
    last_ns = now_ns if to_ns is None else to_ns
    while interval.next_open(due[-1]) <= last_ns:
        due.append(interval.next_open(due[-1]))
    # The row of the moment may be left out, and so may one that nothing has proven final yet.
    sure = [o for o in due if interval.next_open(o) <= now_ns - PROVEN_NS]
    lacking = [o for o in sure if o not in set(opens)]
    require(not lacking, market, f"past {interval} candles are complete, page by page (T10)", lacking[:10])
    foreign = set(opens) - set(due)
    require(not foreign, market, f"past {interval} candles are those that were asked for, on their grid (T31)", foreign)
    scene = stage.scene(market)
    listing = scene.listings[instrument.venue_symbol]
    for candle in told:
        early = candle.closed and candle.close_ns > now_ns
        require(not early, market, "the live bar of an answer is not told as closed (T7)", candle)
        late = not candle.closed and candle.open_ns in sure[:-1]
        require(not late, market, "a bar with another after it has closed (T9)", candle)
        bar = scene.bar(listing.symbol, candle.open_ns, candle.close_ns, now_ns)
        same = same_candle(candle, bar, listing, meeting)
        require(same, market, f"past {interval} candles have the figures of what happened (T12, T14)", (candle, bar))
