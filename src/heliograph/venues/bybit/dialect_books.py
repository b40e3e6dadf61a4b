"""The order books of a simulated Bybit: whose update ids follow each other by one, each depth with its own.

Source: https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook
"""

from collections.abc import Iterator, Sequence
from typing import Final

from heliograph.clock import NS_PER_MS
from heliograph.venues.bybit.dialect_wording import SPOT, Wording
from heliograph.venues.scene import Level

_STEP_NS: Final = 100 * NS_PER_MS
"""The shortest time in which a book moves here; Bybit looks more often."""

_STILL_TURNS: Final = 30
"""After three seconds without a change the best prices are said again."""

_STILL_TURNS_MAX: Final = 300
"""How far back the last change of the best prices is looked for."""

_CADENCES_MS: Final = {1: (10, 10), 50: (20, 20), 200: (200, 100), 1000: (200, 200)}
"""The depths that there are, and how often each is pushed: of spot, of contracts."""

Sides = tuple[Sequence[Level], Sequence[Level]]


def cadence_ns(category: str, depth: int) -> int | None:
    """Return how often a depth is pushed; None where there is no such."""
    pace = _CADENCES_MS.get(depth)
    return None if pace is None else pace[category != SPOT] * NS_PER_MS


class Books:
    """What a topic of a book says: a snapshot, then what changed at each of its turns; of depth one, snapshots only.

    Args:
        wording: how its instrument is written.
        depth: how many levels a side.
        restarts_ns: when Bybit's service starts anew: each book is then said whole, from update id one on.
        repeats_ns: when each book is said whole for another reason, and its update ids go on.

    """

    def __init__(
        self, wording: Wording, depth: int, restarts_ns: Sequence[int] = (), repeats_ns: Sequence[int] = ()
    ) -> None:
        cadence = cadence_ns(wording.category, depth)
        assert cadence is not None  # Topics of other depths are refused.
        self._wording = wording
        self._depth = depth
        self._turn_ns = max(cadence, _STEP_NS)
        self._restarts_ns = restarts_ns
        self._repeats_ns = repeats_ns
        self._newest: tuple[int, Sides] | None = None  # What was shown last is what the next delta starts from.

    def now(self, now_ns: int) -> dict[str, object]:
        """Say the whole book as it stood at the last turn."""
        turn = now_ns // self._turn_ns
        return self._told(turn, "snapshot", self._sides(turn), self._changed(turn))

    def since(self, from_ns: int, to_ns: int) -> Iterator[dict[str, object]]:
        """Say each turn after one instant, up to and including the other."""
        first, last = from_ns // self._turn_ns, to_ns // self._turn_ns
        if first == last:
            return
        before, changed = self._sides(first), self._changed(first)
        whole = self._restarts | self._turns(self._repeats_ns)
        for turn in range(first + 1, last + 1):
            after = self._sides(turn)
            if self._depth > 1 or before != after or turn in self._restarts:
                changed = turn
            if turn in whole:
                yield self._told(turn, "snapshot", after, changed)
            elif self._depth > 1:
                yield self._told(turn, "delta", _difference(before, after), changed)
            elif (turn - changed) % _STILL_TURNS == 0:
                # Best prices that rest are said again, with the update id that they had.
                yield self._told(turn, "snapshot", after, changed)
            before = after

    @property
    def _restarts(self) -> set[int]:
        return self._turns(self._restarts_ns)

    def _turns(self, instants_ns: Sequence[int]) -> set[int]:
        # What happens between two turns is told at the later one.
        return {-(-instant_ns // self._turn_ns) for instant_ns in instants_ns}

    def _changed(self, turn: int) -> int:
        """Return the turn at which what stood at another one began to stand."""
        if self._depth > 1:
            return turn
        top, since = self._sides(turn), turn
        while turn - since < _STILL_TURNS_MAX and since not in self._restarts and self._sides(since - 1) == top:
            since -= 1
        return since

    def _update_id(self, turn: int) -> int:
        began = max((restart for restart in self._restarts if restart <= turn), default=None)
        if began is not None:
            return turn - began + 1
        return self._depth * 1_000_000 + turn - self._wording.listing.listed_ns // self._turn_ns

    def _sides(self, turn: int) -> Sides:
        if self._newest is not None and self._newest[0] == turn:
            return self._newest[1]
        sides = None
        if self._newest is not None and self._newest[0] == turn - 1 and self._depth > 1:
            sides = self._followed(turn, self._newest[1])
        self._newest = turn, sides or self._whole(turn, self._depth)
        return self._newest[1]

    def _whole(self, turn: int, depth: int) -> Sides:
        book = self._wording.scene.book(self._wording.symbol, depth, turn * self._turn_ns)
        return book.bids, book.asks

    def _followed(self, turn: int, before: Sides) -> Sides | None:
        """Make a turn's levels out of those before, at a third of the cost; None where the best prices have moved."""
        for side, best in zip(before, self._whole(turn, 1), strict=True):
            if side[0][0] != best[0][0]:
                return None
        scene, symbol = self._wording.scene, self._wording.symbol
        change = scene.book_change(symbol, (turn - 1) * self._turn_ns, turn * self._turn_ns)
        if change is None:
            return before
        bids = self._patched(before[0], change.bids, 1)
        asks = self._patched(before[1], change.asks, -1)
        return None if bids is None or asks is None else (bids, asks)

    def _patched(self, levels: Sequence[Level], changes: Sequence[Level], sign: int) -> Sequence[Level] | None:
        """Return levels with their new quantities; None if one came or went, since then others move."""
        edge = levels[-1][0] * sign
        cut = len(levels) == self._depth
        news = {price: size for price, size in changes if not cut or price * sign >= edge}
        made = [(price, news.pop(price, size)) for price, size in levels]
        return made if not news and all(size for _, size in made) else None

    def _told(self, turn: int, sort: str, sides: Sides, changed: int) -> dict[str, object]:
        wording, instant_ns = self._wording, turn * self._turn_ns
        bids, asks = sides
        content = {
            "s": wording.symbol,
            "b": wording.levels(bids),
            "a": wording.levels(asks),
            "u": self._update_id(changed),
            "seq": wording.sequence(instant_ns),
        }
        time_ms = instant_ns // NS_PER_MS
        topic = f"orderbook.{self._depth}.{wording.symbol}"
        if wording.category == SPOT:
            return {"topic": topic, "ts": time_ms, "type": sort, "data": content, "cts": time_ms}
        return {"topic": topic, "type": sort, "ts": time_ms, "data": content, "cts": time_ms}


def _difference(before: Sides, after: Sides) -> Sides:
    bids, asks = (_changes(old, new) for old, new in zip(before, after, strict=True))
    if bids or asks:
        return sorted(bids, reverse=True), sorted(asks)
    # No delta was ever seen that says nothing; that a level is what it was may be said.
    return after[0][:1], ()


def _changes(before: Sequence[Level], after: Sequence[Level]) -> list[Level]:
    if len(before) == len(after) and all(old[0] == new[0] for old, new in zip(before, after, strict=True)):
        return [new for old, new in zip(before, after, strict=True) if old[1] != new[1]]
    old, new = dict(before), dict(after)
    gone = [(price, size * 0) for price, size in before if price not in new]
    return gone + [(price, size) for price, size in after if old.get(price) != size]
