"""Subscriptions that change while a socket is open."""

from heliograph.model.market import BookTop, Channel, Trade
from heliograph.testing.claim import require
from heliograph.testing.hearing import check_book, everything
from heliograph.testing.meeting import Meeting
from heliograph.testing.stage import Stage
from heliograph.venues.contract import Market


def check_change(stage: Stage, market: Market) -> None:
    """A feed carries what was added and no longer what was left, over the same socket; what stays is not disturbed.

    Raises:
        Nonconforming: it does not.

    """
    listed = stage.listed(market)
    first, last = listed[0], listed[-1]
    intervals = market.intervals[:1] if Channel.CANDLES in market.channels else ()
    stays, joins = everything(market, [first], intervals), everything(market, [last], intervals)
    meeting = Meeting(stage, market, stays)
    meeting.go(4)
    meeting.change([*stays, *joins])
    meeting.go(10)
    told = {event.instrument.id for event in meeting.events}
    require(told == {first.id, last.id}, market, "what is added is carried as well", told)
    if Channel.BOOK in market.channels:
        for instrument in {first, last}:
            heard = [item for item in meeting.heard if item.event.instrument == instrument]
            check_book(meeting, instrument.venue_symbol, heard)
    if first != last:
        meeting.change(joins)
        meeting.go(4)
        count = len(meeting.events)
        meeting.go(10)
        after = {event.instrument.id for event in meeting.events[count:]}
        require(after == {last.id}, market, "what is left is no longer told, and the rest is", after)
    meeting.change([])
    meeting.go(4)
    count = len(meeting.events)
    meeting.go(6)
    require(len(meeting.events) == count, market, "who wants nothing is told nothing", meeting.events[count:])
    streams = [name for line in meeting.lines for name in line.session.streams]
    require(not streams, market, "who wants nothing is subscribed to nothing at the venue", streams)
    require(not meeting.complaints, market, "a change is no reason to complain", meeting.complaints)
    live = any(isinstance(event, Trade | BookTop) for event in meeting.events)
    require(live or not market.channels, market, "trades or tops of books are told")
