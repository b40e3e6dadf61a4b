"""Books whose frames are lost, doubled or swapped: told as they stood, or not at all until they are whole again."""

from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.market import Channel, Gap
from heliograph.testing.claim import require
from heliograph.testing.hearing import check_book
from heliograph.testing.meeting import Meeting
from heliograph.testing.stage import Stage
from heliograph.venues.contract import Market, Reconnect, Subscription

BEFORE_S: Final = 3
AFTER_S: Final = 30
WHOLE_AGAIN_S: Final = 20
STEP_S: Final = 6
PATIENCE: Final = 10
CHOSEN: Final = (2, 5, 6)
"""Which frame of a book, counted since the mishap was set up, it happens to; each mishap happens that often."""


def check_sequences(stage: Stage, market: Market) -> None:
    """A book of which a frame was dropped, doubled or swapped with the next is never wrong, and soon whole again.

    Raises:
        Nonconforming: it is wrong, or never whole again.

    """
    if Channel.BOOK not in market.channels:
        return
    instrument = stage.listed(market)[0]
    for done in ("dropped", "doubled", "swapped"):
        meeting = Meeting(stage, market, [Subscription(Channel.BOOK, instrument)])
        meeting.go(BEFORE_S)
        for chosen in CHOSEN:
            mishap = _Mishap(stage.layout.lossy, chosen, done)
            for _ in range(PATIENCE):
                happened = mishap.happened
                meeting.go(STEP_S, mishap)
                if happened:  # In the step before, so that a frame that was held back has been told by now.
                    break
            claim = "the layout's `lossy` is in the names of the streams of books"
            require(mishap.happened, market, claim, mishap.mark)
        meeting.go(AFTER_S)
        unhappy = [e for e in meeting.complaints if not isinstance(e, Reconnect)]
        require(not unhappy, market, f"books of which a frame was {done} are no reason to complain", unhappy)
        check_book(meeting, instrument.venue_symbol, meeting.heard)
        gaps = [event for event in meeting.events if isinstance(event, Gap)]
        require(done != "doubled" or not gaps, market, "a frame that comes twice is no gap", gaps)
        if meeting.complaints:  # The shell would open another connection, and a new connection begins with a new book.
            continue
        last_ns = max(item.at_ns for item in meeting.heard if isinstance(item.event, BookDelta | BookSnapshot))
        whole = last_ns > meeting.now_ns - (AFTER_S - WHOLE_AGAIN_S) * NS_PER_S
        require(whole, market, f"a book of which a frame was {done} is told again within {WHOLE_AGAIN_S} s", last_ns)


class _Mishap:
    """Something that happens once, to one frame of the streams that have the mark in their names."""

    def __init__(self, mark: str, chosen: int, done: str) -> None:
        self.mark = mark
        self.happened = False
        self._left = chosen
        self._done = done
        self._late: list[bytes] = []

    def __call__(self, name: str, frame: bytes) -> list[bytes]:
        if self.mark not in name:
            return [frame]
        self._left -= 1
        if self._left != 0:
            late, self._late = self._late, []
            return [frame, *late]
        self.happened = True
        if self._done == "swapped":
            self._late.append(frame)
        return [frame, frame] if self._done == "doubled" else []
