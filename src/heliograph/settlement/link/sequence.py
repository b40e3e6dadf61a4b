"""One of the link's two numbered one-way sequences, as its receiver sees it.

A message takes effect in its turn and once: what came before is a duplicate, what comes too early waits.
"""

from typing import Literal

import msgspec

from heliograph.errors import SettlementError

Place = Literal["next", "duplicate", "wait"]


class Slot(msgspec.Struct, frozen=True):
    """What a sender's next envelope carries: its place, the cursor in the opposite direction, the digest before."""

    seq: int
    ack: int
    prev: str


class Arrival(msgspec.Struct, frozen=True):
    """What the order of messages depends on, of an envelope that is verified: its slot, and its own digest."""

    seq: int
    ack: int
    prev: str
    digest: str


def place(done: int, seq: int) -> Place:
    """Tell what to do with message `seq` when all up to `done` have taken effect."""
    if seq <= done:
        return "duplicate"
    return "next" if seq == done + 1 else "wait"


def in_turn(done: int, digest: str, arrival: Arrival) -> int:
    """Return the message's number if it is the next after `done`, whose digest is given.

    Raises:
        SettlementError: `duplicate`, `too_early`; `broken_chain`: the sender does not mean the message before that the
            receiver has, so it runs on other data than the one that sent it: stop, and ask a person.

    """
    found = place(done, arrival.seq)
    if found != "next":
        code = "duplicate" if found == "duplicate" else "too_early"
        raise SettlementError(code, f"message {arrival.seq} came when {done + 1} was due")
    if arrival.prev != digest:
        raise SettlementError("broken_chain", f"message {arrival.seq} follows another message {done} than the one here")
    return arrival.seq
