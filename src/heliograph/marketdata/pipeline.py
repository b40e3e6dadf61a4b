"""What a feed makes of what its connections say: every event once, in order, and nothing that was not asked for.

Pure: events in, events out, with the time passed in. One pipeline serves all the connections of a market, so that two
connections that carry the same instrument for a while, as around a planned reconnect, are told apart from one another.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.marketdata.backfill import CandleTrack, candle_patience
from heliograph.marketdata.books import BookFold
from heliograph.marketdata.dedupe import TradeWindow
from heliograph.marketdata.settings import FeedSettings
from heliograph.marketdata.tickers import TickerFold
from heliograph.marketdata.trades import TradeTrack, trade_patience
from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import Event, VenueEvent
from heliograph.model.instrument import InstrumentId
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Gap, Trade
from heliograph.venues.contract import CandlePage, Purpose, Subscription, TradePage

CandleKey = tuple[InstrumentId, Interval]

REST: Final = -1
"""The source of what came by REST."""


class Pipeline:
    """The folds of every wanted stream of one market.

    Args:
        settings: the feed's.
        metrics: where it counts.
        trades_by_request: whether the market gives trades by number.

    """

    def __init__(self, settings: FeedSettings, metrics: FeedMetrics, *, trades_by_request: bool) -> None:
        self._metrics = metrics
        self._candle_patience = candle_patience(settings)
        self._trade_patience = trade_patience(settings, by_request=trades_by_request)
        self._snapshot_interval_ns = int(settings.book_snapshot_interval_s * NS_PER_S)
        self._window = TradeWindow(int(settings.dedupe_window_s * NS_PER_S), settings.dedupe_entries_max)
        self._candles: dict[CandleKey, CandleTrack] = {}
        self._trades: dict[InstrumentId, TradeTrack] = {}
        self._unsettled: dict[TradeTrack, None] = {}
        self._tickers: dict[InstrumentId, TickerFold] = {}
        self._books: dict[InstrumentId, BookFold] = {}

    def want(self, subscription: Subscription, mark: int | None = None) -> None:
        """Let a stream's events through from now on.

        Args:
            subscription: the stream; one that is wanted already is left as it is.
            mark: up to where the consumer has it: the open time of the newest closed candle in nanoseconds, or the
                sequence of the newest trade. None: whatever comes first is the beginning.

        """
        instrument = subscription.instrument
        match subscription.channel:
            case Channel.CANDLES:
                interval = subscription.interval
                assert interval is not None
                if (instrument.id, interval) not in self._candles:
                    self._candles[instrument.id, interval] = CandleTrack(
                        instrument, interval, self._candle_patience, self._metrics, mark
                    )
            case Channel.TRADES:
                if instrument.id not in self._trades:
                    self._trades[instrument.id] = TradeTrack(
                        instrument, self._trade_patience, self._window.open(instrument.id), self._metrics, mark
                    )
            case Channel.TICKER:
                self._tickers.setdefault(instrument.id, TickerFold(instrument))
            case Channel.BOOK:
                fold = BookFold(instrument, self._snapshot_interval_ns, self._metrics)
                self._books.setdefault(instrument.id, fold)

    def forget(self, subscription: Subscription) -> None:
        """Let no more of a stream's events through, and forget what was known of it."""
        instrument = subscription.instrument.id
        match subscription.channel:
            case Channel.CANDLES:
                assert subscription.interval is not None
                self._candles.pop((instrument, subscription.interval), None)
            case Channel.TRADES:
                self._trades.pop(instrument, None)
                self._window.leave(instrument)
            case Channel.TICKER:
                self._tickers.pop(instrument, None)
            case Channel.BOOK:
                self._books.pop(instrument, None)

    def mark(self, subscription: Subscription) -> int | None:
        """Return up to where a stream was delivered, as `want` takes it; None: it has not begun."""
        fold = self._fold(subscription)
        return fold.mark if isinstance(fold, CandleTrack | TradeTrack) else None

    def take(self, events: Sequence[VenueEvent], source: int, now_ns: int, out: list[Event]) -> None:
        """Take a batch from one connection, and append what is to be delivered.

        Args:
            events: what the codec made, in order.
            source: which connection they came from; `REST` for answers to requests.
            now_ns: nanoseconds, from a clock that never runs backwards.
            out: what is to be delivered, in order.

        """
        candles, trades, tickers = self._candles, self._trades, self._tickers
        for event in events:
            if type(event) is Candle:
                track = candles.get((event.instrument.id, event.interval))
                if track is None:
                    continue
                if event.closed:
                    track.final(event, now_ns, out)
                elif track.live(event, now_ns):
                    out.append(event)
            elif type(event) is Trade:
                numbered = trades.get(event.instrument.id)
                if numbered is not None and numbered.take(event, source, now_ns, out):
                    self._unsettled[numbered] = None
                if tickers:
                    self._take_price(event)
            elif type(event) is BookTop:
                fold = tickers.get(event.instrument.id)
                if fold is not None:
                    fold.touched_ns = now_ns
                    ticker = fold.top(event)
                    if ticker is not None:
                        out.append(ticker)
            else:
                self._take_other(event, source, now_ns, out)
        if self._unsettled:
            unsettled, self._unsettled = self._unsettled, {}
            for waiting in unsettled:
                waiting.settle(now_ns, out)

    def due(self, now_ns: int, received_ns: int, out: list[Event]) -> list[CandlePage | TradePage]:
        """Return the ranges to ask REST for; each is to be followed by `answered` or `failed`."""
        pages: list[CandlePage | TradePage] = []
        for track in self._candles.values():
            candle_page = track.due(now_ns, received_ns, out)
            if candle_page is not None:
                pages.append(candle_page)
        for numbered in self._trades.values():
            trade_page = numbered.due(now_ns, received_ns, out)
            if trade_page is not None:
                pages.append(trade_page)
        return pages

    def answered(self, purpose: Purpose, now_ns: int, received_ns: int, out: list[Event]) -> None:
        """Take note that all of the answer has been handed to `take`."""
        if type(purpose) is CandlePage:
            track = self._candles.get((purpose.instrument.id, purpose.interval))
            if track is not None:
                track.answered(purpose, now_ns, received_ns, out)
        elif type(purpose) is TradePage:
            numbered = self._trades.get(purpose.instrument.id)
            if numbered is not None:
                numbered.answered(purpose, now_ns, received_ns, out)

    def failed(
        self,
        purpose: Purpose,
        reason: str,
        now_ns: int,
        received_ns: int,
        out: list[Event],
        *,
        unreachable: bool = False,
    ) -> None:
        """Take note that there will be no answer; `unreachable` if that is because nobody could be asked."""
        if type(purpose) is CandlePage:
            track = self._candles.get((purpose.instrument.id, purpose.interval))
            if track is not None:
                track.failed(purpose, reason, now_ns, received_ns, out, unreachable=unreachable)
        elif type(purpose) is TradePage:
            numbered = self._trades.get(purpose.instrument.id)
            if numbered is not None:
                numbered.failed(purpose, reason, now_ns, received_ns, out)

    def interrupted(self, subscriptions: Iterable[Subscription], refresh_ns: int) -> None:
        """Take note that these streams' connection was lost; see `CandleTrack.interrupted`."""
        for track in self._candle_tracks(subscriptions):
            track.interrupted(refresh_ns)

    def refresh_at(self, subscriptions: Iterable[Subscription], refresh_ns: int) -> None:
        """Ask REST for these streams' candles at `refresh_ns`, unless some come by then."""
        for track in self._candle_tracks(subscriptions):
            track.refresh_at(refresh_ns)

    def relieved(self, source: int, heir: int) -> None:
        """Take note that a connection is about to end, and that another one already carries all that it does."""
        for track in self._trades.values():
            track.relieved(source, heir)

    def lost(self, source: int, now_ns: int, out: list[Event]) -> None:
        """Take note that a connection is gone for good, and append what waited for that."""
        for book in self._books.values():
            book.lost(source)
        for track in self._trades.values():
            track.lost(source, now_ns, out)

    def tell_books(self, now_ns: int, out: list[Event]) -> None:
        """Append the snapshots of books that changed and whose turn it is."""
        for book in self._books.values():
            book.tell(now_ns, out)

    def touched_ns(self, subscription: Subscription) -> int | None:
        """Return when anything of a stream last came, on the clock of `now_ns`; None: nothing yet."""
        fold = self._fold(subscription)
        return None if fold is None else fold.touched_ns

    def held_since_ns(self, subscription: Subscription) -> int | None:
        """Return since when closed candles of a stream have waited for REST, on the clock of `now_ns`, if any do."""
        fold = self._fold(subscription)
        return fold.held_since_ns if isinstance(fold, CandleTrack) else None

    @property
    def candles_held(self) -> int:
        """How many closed candles wait for REST to fill the hole before them."""
        return sum(track.held for track in self._candles.values())

    def take_conflicts(self) -> list[tuple[Candle, Candle]]:
        """Return the pairs of final candles that disagreed since the last call: the one dropped, the one delivered."""
        found = []
        for track in self._candles.values():
            if track.conflict is not None:
                found.append(track.conflict)
                track.conflict = None
        return found

    def _take_price(self, trade: Trade) -> None:
        ticker = self._tickers.get(trade.instrument.id)
        if ticker is not None:
            ticker.trade(trade)

    def _take_other(self, event: VenueEvent, source: int, now_ns: int, out: list[Event]) -> None:
        instrument = event.instrument.id
        match event:
            case DayStatistics():
                fold = self._tickers.get(instrument)
                if fold is not None:
                    fold.touched_ns = now_ns
                    ticker = fold.day(event)
                    if ticker is not None:
                        out.append(ticker)
            case BookSnapshot() | BookDelta():
                book = self._books.get(instrument)
                if book is not None:
                    book.take(event, source, now_ns, out)
            case Gap():
                book = self._books.get(instrument)
                if event.channel is not Channel.BOOK:
                    out.append(event)
                elif book is not None:
                    book.gap(event, source, out)

    def _candle_tracks(self, subscriptions: Iterable[Subscription]) -> Iterable[CandleTrack]:
        for subscription in subscriptions:
            fold = self._fold(subscription)
            if isinstance(fold, CandleTrack):
                yield fold

    def _fold(self, subscription: Subscription) -> CandleTrack | TradeTrack | TickerFold | BookFold | None:
        instrument = subscription.instrument.id
        match subscription.channel:
            case Channel.CANDLES:
                return self._candles.get((instrument, subscription.interval or Interval.M1))
            case Channel.TRADES:
                return self._trades.get(instrument)
            case Channel.TICKER:
                return self._tickers.get(instrument)
            case Channel.BOOK:
                return self._books.get(instrument)
