"""When the exchange appends which answer to the mailbox on R (rule 3): at once, and again until it is acknowledged.

All of it is volatile and may be lost: sending too much costs a duplicate, which the custodian drops.
"""

from typing import Final

import msgspec

from heliograph.settlement.link.exchange import Cursor, sendable

AGAIN_NS: Final = 500_000_000
"""How long an answer waits for its acknowledgement before the lowest unacknowledged is sent again."""
AGAIN_NS_MAX: Final = 5_000_000_000
"""The longest such wait, which doubles while nothing is acknowledged. A mailbox that was wiped while the custodian was
away is noticed by no other means."""
WINDOW: Final = 4_096
"""How many answers may be unacknowledged on R at once."""
MAILBOX_LENGTH: Final = 16_384
"""The bound of a key of the mailbox. Above the window, so that no bound ever cuts what is not acknowledged."""


class Pace(msgspec.Struct, frozen=True):
    """What was sent, and when to send again.

    Args:
        sent: the last answer that was appended since the mailbox was known to hold all before it.
        acked: the last acknowledged, when the timer was set.
        due_ns: when the timer goes off; 0 if it is not set.
        wait_ns: for how long it was set.

    """

    sent: int = 0
    acked: int = 0
    due_ns: int = 0
    wait_ns: int = AGAIN_NS


def renewed(pace: Pace) -> Pace:
    """Return the pace after a nil, a reconnect or a change of key: the mailbox may hold nothing of what was sent."""
    return msgspec.structs.replace(pace, sent=0, due_ns=0, wait_ns=AGAIN_NS)


def to_send(pace: Pace, cursor: Cursor, now_ns: int) -> tuple[Pace, tuple[range, ...]]:
    """Return what to append now, as ranges of answers, and the pace once that is done.

    What is new goes at once, as far as the window allows. When the timer goes off and something was acknowledged
    since, the lowest that was not goes again; if nothing was, everything above it does, and the next wait is longer.
    """
    every = sendable(cursor)
    if not every:
        return Pace(sent=cursor.last, acked=cursor.pruned), ()
    end = min(every.stop, every.start + WINDOW)
    sent = max(pace.sent, cursor.pruned)
    new = range(sent + 1, end)
    again, wait_ns = range(0), AGAIN_NS if cursor.pruned > pace.acked else pace.wait_ns
    timed_out = 0 < pace.due_ns <= now_ns
    if timed_out and cursor.pruned > pace.acked:
        again = range(every.start, min(every.start + 1, sent + 1))
    elif timed_out:
        again, wait_ns = range(every.start, sent + 1), min(2 * pace.wait_ns, AGAIN_NS_MAX)
    if timed_out or pace.due_ns == 0:
        pace = Pace(sent=sent, acked=cursor.pruned, due_ns=now_ns + wait_ns, wait_ns=wait_ns)
    return msgspec.structs.replace(pace, sent=max(sent, end - 1)), tuple(r for r in (again, new) if r)
