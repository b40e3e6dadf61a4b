"""What can be made to go wrong at a simulated venue: on command, or at random from a seed."""

import enum
from collections.abc import Iterator
from random import Random

import msgspec


class FaultKind(enum.StrEnum):
    """What goes wrong, and which of a fault's fields say how."""

    DISCONNECT = "disconnect"
    """Every matching socket is cut without a word, at once."""
    SILENCE = "silence"
    """For `duration_s` the matching streams send nothing; control messages and pings go on."""
    DUPLICATE = "duplicate"
    """The next `count` matching frames are sent twice."""
    REORDER = "reorder"
    """The next `count` matching frames are sent after the frame that follows them on their socket."""
    DROP = "drop"
    """The next `count` matching frames are not sent."""
    WRONG_JSON = "wrong_json"
    """The next `count` matching frames or answers are cut off in the middle."""
    HTTP = "http"
    """The next `count` matching requests are answered with `status`: 429, 418 or a 5xx."""
    SLOW = "slow"
    """The next `count` matching requests are answered after `delay_s`."""
    HALF_OPEN = "half_open"
    """For `duration_s` the market accepts connections and says nothing on any, old or new."""
    REFUSE = "refuse"
    """For `duration_s` nobody can connect; sockets that are open stay."""
    SHUTDOWN = "shutdown"
    """The server announces its shutdown, and closes every socket after `delay_s`."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that goes wrong. Times are real, not simulated."""

    kind: FaultKind
    market: str | None = None
    """The market it happens at; None for all of them."""
    match: str = ""
    """Only streams or request paths whose name has this in it."""
    count: int = 1
    duration_s: float = 2.0
    delay_s: float = 1.0
    status: int = 503


_LASTING = (FaultKind.SILENCE, FaultKind.HALF_OPEN)
_COUNTED = (
    FaultKind.DUPLICATE,
    FaultKind.REORDER,
    FaultKind.DROP,
    FaultKind.WRONG_JSON,
    FaultKind.HTTP,
    FaultKind.SLOW,
)


class Faults:
    """The faults that are under way at one market."""

    def __init__(self) -> None:
        self._lasting: list[tuple[float, Fault]] = []
        self._counted: list[tuple[int, Fault]] = []
        self.happened = 0
        """How often a fault took effect on a frame or a request."""

    def add(self, fault: Fault, now_s: float) -> None:
        """Begin a fault that lasts or is counted; the others are the listener's to carry out."""
        if fault.kind in _LASTING:
            self._lasting.append((now_s + fault.duration_s, fault))
        elif fault.kind in _COUNTED:
            self._counted.append((fault.count, fault))

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way, so that the hot path need not ask."""
        return not self._lasting and not self._counted

    def left(self, kind: FaultKind) -> int:
        """Return how often counted faults of a kind are still to take effect."""
        return sum(left for left, fault in self._counted if fault.kind is kind)

    def lasts(self, kind: FaultKind, name: str, now_s: float) -> float | None:
        """Return until when a lasting fault holds for a stream or path, on the caller's clock; None where none does."""
        if not self._lasting:
            return None
        self._lasting = [(until_s, fault) for until_s, fault in self._lasting if until_s > now_s]
        untils = [until_s for until_s, fault in self._lasting if fault.kind is kind and fault.match in name]
        return max(untils, default=None)

    def take(self, kind: FaultKind, name: str) -> Fault | None:
        """Use up one of a counted fault, if there is one for this stream or path."""
        for place, (left, fault) in enumerate(self._counted):
            if fault.kind is kind and fault.match in name:
                self._counted[place : place + 1] = [(left - 1, fault)] if left > 1 else []
                self.happened += 1
                return fault
        return None


def random_faults(seed: int, per_minute: float, lossy: str = "depth") -> Iterator[tuple[float, Fault]]:
    """Yield waits in seconds and faults after them, for ever; the same seed yields the same.

    Args:
        seed: which sequence.
        per_minute: how many a minute on average, positive.
        lossy: what the names of the streams have in them that frames may be lost of.

    """
    random = Random(seed)
    kinds = [kind for kind in FaultKind if kind is not FaultKind.SHUTDOWN]
    while True:
        wait_s = random.expovariate(per_minute / 60)
        kind = random.choice(kinds)
        match = lossy if kind is FaultKind.DROP else ""
        status = random.choice((429, 500, 502, 503))
        duration_s = round(random.uniform(0.2, 3.0), 3)
        yield (
            wait_s,
            Fault(kind, None, match, random.randint(1, 5), duration_s, round(random.uniform(0.1, 2.0), 3), status),
        )
