"""Continuity of one instrument's trades: each exactly once, in the venue's order, or an explicit gap.

Where the venue numbers an instrument's trades without holes, a jump of the number is a hole: what follows waits until
REST has filled it, or until it is given up. Where it does not, see `carriers`.
"""

from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.marketdata.backfill import Hole, Patience
from heliograph.marketdata.carriers import Carriers
from heliograph.marketdata.dedupe import TradeIds
from heliograph.marketdata.settings import FeedSettings
from heliograph.metrics import FeedMetrics
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument
from heliograph.model.market import Channel, Gap, Trade
from heliograph.venues.contract import TradePage

RENUMBERED_AFTER_NS: Final = NS_PER_S
"""A lower number on a trade that is newer by this much means that the venue numbers anew."""


def trade_patience(settings: FeedSettings, *, by_request: bool) -> Patience:
    """Return what the settings say about trades.

    Args:
        settings: the feed's.
        by_request: whether the venue gives trades by number; without that every hole is a gap at once.

    """
    return Patience(
        grace_ns=int(settings.trade_grace_s * NS_PER_S),
        retry_ns=int(settings.backfill_retry_s * NS_PER_S),
        attempts_max=settings.backfill_attempts_max,
        held_max=settings.held_max,
        span_max=settings.backfill_trades_max if by_request else 0,
        page_max=settings.trade_page_max,
        dedupe=settings.dedupe,
        backfill=settings.backfill,
    )


class TradeTrack:
    """The trades of one instrument.

    Args:
        instrument: whose trades.
        patience: how long to wait for what is missing.
        ids: those of its trades that were told.
        metrics: where duplicates and gaps are counted.
        last_sequence: the number of the newest trade that the consumer already has; with it, what happened since is a
            hole to fill. None: whatever comes first is the beginning.

    """

    def __init__(
        self,
        instrument: Instrument,
        patience: Patience,
        ids: TradeIds,
        metrics: FeedMetrics,
        last_sequence: int | None = None,
    ) -> None:
        self.instrument = instrument
        self.touched_ns: int | None = None
        """When a trade last came, news or not."""
        self._patience = patience
        self._metrics = metrics
        self._carriers = Carriers(
            instrument, ids, metrics, patience.held_max, dedupe=patience.dedupe, explicit=patience.backfill
        )
        self._expected = None if last_sequence is None else last_sequence + 1
        self._newest_ns: int | None = None
        self._held: dict[int, Trade] = {}
        self._hole = Hole()
        self._asked: TradePage | None = None

    @property
    def mark(self) -> int | None:
        """The number of the newest trade that the consumer was given or told of; None before the first."""
        return None if self._expected is None else self._expected - 1

    @property
    def held(self) -> int:
        """How many trades wait for a hole before them."""
        return len(self._held)

    def take(self, trade: Trade, source: int, now_ns: int, out: list[Event]) -> bool:
        """Take a trade: deliver it to `out`, hold it, or drop it as told already.

        Args:
            trade: the trade.
            source: which connection it came from.
            now_ns: the time.
            out: what is to be delivered.

        Returns:
            Whether `settle` is to be called once all of the batch has been taken.

        """
        self.touched_ns = now_ns
        sequence = trade.sequence
        if sequence is None:
            return self._carriers.take(trade, source, now_ns, out)
        if sequence == self._expected or self._expected is None:
            out.append(trade)
            self._expected = sequence + 1
            self._newest_ns = trade.event_ns
            if self._held:
                self._release(out)
                if self._asked is None:
                    self._settle(now_ns)
        elif sequence > self._expected:
            self._ahead(trade, sequence, now_ns, out)
        elif self._restarted(trade):
            self._restart(trade, sequence, out)
        else:
            self._repeated(trade, out)
        return False

    def settle(self, now_ns: int, out: list[Event]) -> None:
        """Deliver of a batch without numbers what follows what was told."""
        self._carriers.settle(now_ns, out)

    def relieved(self, source: int, heir: int) -> None:
        """Take note that a connection is about to end, and that another one already carries all that it does."""
        self._carriers.relieved(source, heir)

    def lost(self, source: int, now_ns: int, out: list[Event]) -> None:
        """Take note that a connection is gone for good: trades without numbers may be lost with it."""
        self._carriers.lost(source, now_ns, out)

    def due(self, now_ns: int, received_ns: int, out: list[Event]) -> TradePage | None:
        """Return the range to ask REST for, if it is time to; its answer is awaited from then on.

        What comes of the answer goes to `take`, then the page to `answered` or `failed`.
        """
        deadline_ns = self._hole.deadline_ns
        if self._asked is not None or deadline_ns is None or deadline_ns > now_ns:
            return None
        if not self._held or self._expected is None:
            self._hole.close(self._metrics, filled=True)
            return None
        self._hole.count(self._metrics)
        limit = min(self._held)
        if limit - self._expected > self._patience.span_max:
            self._give_up("more trades are missing than a backfill may ask for", received_ns, out)
            self._settle(now_ns)
            return None
        self._hole.deadline_ns = None
        last = min(limit, self._expected + self._patience.page_max) - 1
        self._asked = TradePage(self.instrument, self._expected, last)
        return self._asked

    def answered(self, page: TradePage, now_ns: int, received_ns: int, out: list[Event]) -> None:
        """Take note that all of the answer to `page` has been handed in."""
        if page is not self._asked:
            return
        self._asked = None
        assert self._expected is not None
        if self._expected > page.to_sequence:
            self._hole.attempts = 0
            if self._held:
                self._hole.suspect(now_ns)  # the next page of a long hole
            else:
                self._settle(now_ns)
            return
        if self._expected > page.from_sequence:
            self._hole.attempts = 0
        self._missed("the venue has no trade of this number", now_ns, received_ns, out)

    def failed(self, page: TradePage, reason: str, now_ns: int, received_ns: int, out: list[Event]) -> None:
        """Take note that `page` was not answered, and will not be."""
        if page is self._asked:
            self._asked = None
            self._missed(reason, now_ns, received_ns, out)

    def _repeated(self, trade: Trade, out: list[Event]) -> None:
        self._metrics.duplicates += 1
        if not self._patience.dedupe:
            out.append(trade)

    def _deliver(self, trade: Trade, sequence: int, out: list[Event]) -> None:
        out.append(trade)
        self._expected = sequence + 1
        self._newest_ns = trade.event_ns

    def _release(self, out: list[Event]) -> None:
        while self._expected in self._held:
            self._deliver(self._held.pop(self._expected), self._expected, out)

    def _ahead(self, trade: Trade, sequence: int, now_ns: int, out: list[Event]) -> None:
        if not self._patience.backfill:
            self._deliver(trade, sequence, out)
            return
        if sequence in self._held:
            self._metrics.duplicates += 1
            return
        self._held[sequence] = trade
        if len(self._held) > self._patience.held_max:
            self._hole.count(self._metrics)
            self._give_up("too many trades waited for it", trade.received_ns, out)
            self._settle(now_ns)
        elif self._asked is None:
            self._hole.suspect(now_ns + self._patience.grace_ns)

    def _restarted(self, trade: Trade) -> bool:
        """Tell whether the venue numbers anew: a repeated trade is not newer than what was delivered, this one is."""
        if trade.event_ns is None:
            return False
        if self._newest_ns is None:
            # What the consumer has from an earlier life came before all that sockets say in this one, and a repetition
            # of it on its own proves nothing yet.
            self._newest_ns = trade.event_ns
        return trade.event_ns - self._newest_ns > RENUMBERED_AFTER_NS

    def _restart(self, trade: Trade, sequence: int, out: list[Event]) -> None:
        self._held.clear()
        self._asked = None
        self._hole.count(self._metrics)
        self._hole.close(self._metrics, filled=False)
        reason = "the venue's numbering went back"
        out.append(self._gap(self._expected, None, reason, trade.received_ns))
        self._deliver(trade, sequence, out)

    def _settle(self, now_ns: int) -> None:
        if self._held:
            self._hole.deadline_ns = None
            self._hole.suspect(now_ns + self._patience.grace_ns)
        else:
            self._hole.close(self._metrics, filled=True)

    def _missed(self, reason: str, now_ns: int, received_ns: int, out: list[Event]) -> None:
        self._hole.attempts += 1
        if self._hole.attempts < self._patience.attempts_max:
            self._hole.suspect(now_ns + self._patience.pause_ns(self._hole.attempts))
            return
        self._give_up(reason, received_ns, out)
        self._settle(now_ns)

    def _give_up(self, reason: str, received_ns: int, out: list[Event]) -> None:
        if self._held:
            limit = min(self._held)
            out.append(self._gap(self._expected, limit, reason, received_ns))
            self._expected = limit
        self._hole.close(self._metrics, filled=False)
        self._release(out)

    def _gap(self, from_sequence: int | None, to_sequence: int | None, reason: str, received_ns: int) -> Gap:
        return Gap(self.instrument, Channel.TRADES, None, None, None, from_sequence, to_sequence, reason, received_ns)
