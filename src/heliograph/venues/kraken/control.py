"""Answers to what was asked of the venue, and what tells whose a recorded frame is.

Sources: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ohlc ("There is an acknowledgement response
for each symbol"). The words of refusals are undocumented, seen 2026-01-29 and 2026-07-04:
https://github.com/nautechsystems/nautilus_trader/issues/3509 .
"""

from typing import Final

from heliograph.model.instrument import SPOT, MarketId
from heliograph.venues.contract import Effect, VenueError
from heliograph.venues.faults import REASON_MAX
from heliograph.venues.kraken.frames import RawAnswer
from heliograph.venues.kraken.streams import Stream
from heliograph.venues.subscribing import Subscriber

REFUSED: Final = "refused"
"""The code of a refusal: the venue gives none on its socket."""


def answered(raw: RawAnswer, control: Subscriber[Stream], effects: list[Effect]) -> None:
    """Take the venue's yes or no to a request, or to one symbol of it; raise `ValueError` if it was not asked."""
    if raw.method == "pong":
        return
    asked = control.asked(raw.req_id)
    if raw.method not in ("subscribe", "unsubscribe") or raw.success is None:
        raise ValueError(f"an answer that is not documented: {raw.error or raw.method}")
    if asked is None:
        if raw.success or raw.method == "unsubscribe":
            return  # It came late: what it is about is not waited for any more.
        raise ValueError(f"a refusal of nothing that was asked: {(raw.error or '')[:REASON_MAX]}")
    symbol = raw.symbol if raw.result is None else raw.result.symbol
    streams = [stream for stream in asked.streams if symbol is None or stream.symbol == symbol]
    for stream in streams:
        control.confirmed(stream, subscribes=asked.subscribes)
    if raw.success or not asked.subscribes:
        return  # What cannot be given up was not served: there is nothing to tell.
    refused = control.carriers(streams)
    control.give_up(streams)
    if refused:
        effects.append(VenueError(REFUSED, (raw.error or "")[:REASON_MAX], refused))


def market_of(_url: str | None, _frame: bytes) -> MarketId | None:
    """Tell the one market that there is."""
    return SPOT
