"""What a market's frames become, held against what truly happened there."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot, OrderBook
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument, InstrumentId
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Side, Source, Trade
from heliograph.testing.claim import require
from heliograph.testing.meeting import Heard, Meeting
from heliograph.testing.stage import START_NS, Stage
from heliograph.venues.contract import Effect, Market, Subscription
from heliograph.venues.scene import Aggregate, Bar, Fill, Listing, Scene

HEARING_S: Final = 150
DEPTH_MIN: Final = 10
LEVELS_MAX: Final = 10_000
LOOKS_EACH: Final = 7
"""Of so many changes of a book, one is held against the truth; the last one always is."""
LAG_NS: Final = 5 * NS_PER_S
"""How old the figures of a live candle may be when its venue tells them."""


def everything(market: Market, instruments: Sequence[Instrument], intervals: Sequence[Interval]) -> list[Subscription]:
    """Return the subscriptions to all that a market has of some instruments."""
    candles = [Subscription(Channel.CANDLES, i, interval) for i in instruments for interval in intervals]
    others = [channel for channel in market.channels if channel is not Channel.CANDLES]
    return [*candles, *(Subscription(channel, i) for i in instruments for channel in others)]


def check_hearing(stage: Stage, market: Market) -> None:
    """Every channel of every instrument, and every interval of the first, is told as it happened.

    Raises:
        Nonconforming: something is not.

    """
    instruments = stage.listed(market)
    shortest = [interval for interval in (market.default_interval,) if interval is not None]
    wanted = everything(market, instruments, shortest if Channel.CANDLES in market.channels else [])
    if Channel.CANDLES in market.channels:
        longer = [i for i in market.streamed if i not in shortest]
        wanted += [Subscription(Channel.CANDLES, instruments[0], interval) for interval in longer]
    meeting = Meeting(stage, market, wanted)
    meeting.go(HEARING_S)
    require(not meeting.complaints, market, "a venue that behaves gives no reason to complain", meeting.complaints)
    _check_keys(market, wanted, meeting)
    for subscription in wanted:
        heard = [item for item in meeting.heard if item.event.instrument == subscription.instrument]
        symbol = subscription.instrument.venue_symbol
        if subscription.channel is Channel.CANDLES:
            assert subscription.interval is not None
            check_candles(meeting, symbol, subscription.interval, heard)
        elif subscription.channel is Channel.TRADES:
            check_trades(meeting, symbol, [item.event for item in heard if isinstance(item.event, Trade)])
        elif subscription.channel is Channel.BOOK:
            check_book(meeting, symbol, heard)
        else:
            _check_ticker(meeting, symbol, heard)


def _check_keys(market: Market, wanted: Sequence[Subscription], meeting: Meeting) -> None:
    """T17: whatever is told is of an instrument that was asked for, at this market."""
    asked = {subscription.instrument.id for subscription in wanted}
    told = {event.instrument.id for event in meeting.events}
    require(told == asked, market, "what is told is of what was asked for, and of all of it", told ^ asked)
    here = all(identity.startswith(f"{market.venue}:{market.market}:") for identity in told)
    require(here, market, "every instrument is told with its market", told)


def check_candles(meeting: Meeting, symbol: str, interval: Interval, heard: Sequence[Heard]) -> None:
    """Each candle lies on its interval's grid, has the figures of the moment, and is closed once, not too early.

    Raises:
        Nonconforming: one is not so.

    """
    market, scene = meeting.market, meeting.stage.scene(meeting.market)
    listing = scene.listings[symbol]
    closed: list[tuple[Source, int]] = []
    live = 0
    for item in heard:
        candle = item.event
        if not isinstance(candle, Candle) or candle.interval is not interval:
            continue
        on_grid = interval.open_of(candle.open_ns) == candle.open_ns
        ends = candle.close_ns == interval.next_open(candle.open_ns)
        require(on_grid and ends, market, f"{interval} candles open and close on their grid (T31)", candle)
        times: Iterator[int] = iter((candle.close_ns,))
        if candle.closed:
            require(item.at_ns >= candle.close_ns, market, "no candle is closed before its end (T8)", candle)
            closed.append((candle.source, candle.open_ns))
        else:
            live += 1
            times = _moments(scene, symbol, item)
        bars = (scene.bar(symbol, candle.open_ns, candle.close_ns, min(t, candle.close_ns - 1)) for t in times)
        same = any(same_candle(candle, bar, listing, meeting) for bar in bars)
        require(same, market, f"{interval} candles have the figures of what happened (T12, T16)", candle)
    require(live, market, f"live {interval} candles are told")
    twice = len(set(closed)) < len(closed)
    require(not twice, market, f"a closed {interval} candle is told once, and once more by REST", closed)
    streamed = [open_ns for source, open_ns in closed if source is Source.STREAM]
    require(streamed == sorted(streamed), market, f"closed {interval} candles are told in order", streamed)
    closed_ns = sorted({open_ns for _, open_ns in closed})
    first, last = interval.open_of(START_NS), interval.open_of(meeting.now_ns)
    due = [first]
    while interval.next_open(due[-1]) < last:
        due.append(interval.next_open(due[-1]))
    due = due if first < last else []
    # A venue may skip a bar without trades, or forget a mark, and nobody can know that a bar has closed before some
    # thing has come after it: the shells ask REST for these. A codec that has hardly any closed has not understood it.
    traded = [
        open_ns
        for open_ns in due
        if scene.aggregates(symbol, interval.next_open(open_ns), meeting.now_ns - LAG_NS)
        and scene.bar(symbol, open_ns, interval.next_open(open_ns), meeting.now_ns).fills
    ]
    enough = 2 * len(closed_ns) + 1 >= len(traded)
    require(enough, market, f"{interval} candles are told as closed when they have closed (T9)", (traded, closed_ns))


def _moments(scene: Scene, symbol: str, item: Heard) -> Iterator[int]:
    """Yield the moments of which a live candle may have the figures, the likely ones first."""
    yield item.at_ns
    yield item.event.event_ns or item.at_ns if isinstance(item.event, Candle) else item.at_ns
    for trade in reversed(scene.aggregates(symbol, item.at_ns - LAG_NS, item.at_ns)):
        yield from (trade.time_ns, trade.time_ns - 1)


def same_candle(candle: Candle, bar: Bar, listing: Listing, meeting: Meeting) -> bool:
    """Whether a candle has a bar's figures, to the last digit; a volume may have noise that the venue itself made."""
    if (candle.open, candle.high, candle.low, candle.close) != (bar.open, bar.high, bar.low, bar.close):
        return False
    if candle.trade_count is not None and not 0 <= candle.trade_count <= bar.fills:
        return False
    told = (candle.base_volume, candle.quote_volume, candle.contracts)
    truth = listing.volumes(bar)
    if all(volume is None for volume in told):
        return False
    return all(_same_volume(mine, true, listing, meeting) for mine, true in zip(told, truth, strict=True))


def _same_volume(mine: Decimal | None, truth: Decimal | None, listing: Listing, meeting: Meeting) -> bool:
    if mine is None or truth is None:
        return mine is None
    if mine == truth:
        return True
    # What the venue itself has spoilt by computing in binary is kept to the letter.
    text = format(mine, "f").encode()
    return mine.quantize(listing.lot_size) == truth and any(text in source for source in meeting.sources())


def check_trades(meeting: Meeting, symbol: str, told: Sequence[Trade]) -> None:
    """Every trade since the opening is told once, in order: single ones, or the aggregates of what a taker traded.

    Raises:
        Nonconforming: one is not.

    """
    market, scene = meeting.market, meeting.stage.scene(meeting.market)
    mine = [(t.price, t.quantity, t.side, t.event_ns) for t in told if (t.event_ns or 0) > START_NS]
    fills = [_trade_figures(item) for item in scene.fills(symbol, START_NS, meeting.now_ns)]
    aggregates = [_trade_figures(item) for item in scene.aggregates(symbol, START_NS, meeting.now_ns)]
    require(fills, market, f"{symbol} trades at all in {HEARING_S} s, or its check says nothing")
    claim = "every trade is told once, in order, with its figures (T33)"
    found = f"{len(mine)} of {symbol}, where there were {len(fills)}, and {len(aggregates)} aggregates"
    require(mine in (fills, aggregates), market, claim, found)
    identities = [t.trade_id for t in told if t.trade_id is not None]
    require(len(set(identities)) == len(identities), market, "ids of trades are told apart", symbol)
    numbers = [t.sequence for t in told if t.sequence is not None]
    rising = numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
    require(rising, market, "numbers of trades have no holes where none happened", numbers[:20])


def _trade_figures(item: Fill | Aggregate) -> tuple[Decimal, Decimal, Side, int]:
    side = Side.BUY if item.taker_buys else Side.SELL
    return item.price, item.quantity, side, item.time_ns // NS_PER_MS * NS_PER_MS


def check_book(meeting: Meeting, symbol: str, heard: Sequence[Heard]) -> None:
    """What a book folds to is the book as it stood at the time of the event: now and then, and in the end.

    Raises:
        Nonconforming: it ever was not, or no book was told.

    """
    market, book, looks = meeting.market, None, 0
    step_ns = meeting.stage.layout.book_step_ns
    told = [(item.event, item.at_ns) for item in heard if isinstance(item.event, BookSnapshot | BookDelta)]
    for count, (event, at_ns) in enumerate(told, 1):
        if isinstance(event, BookSnapshot):
            book = book or OrderBook(event.instrument)
            book.replace(event)
        else:
            require(book is not None or event.reset, market, "a book begins with all of it", symbol)
            book = book or OrderBook(event.instrument)
            book.apply(event)
        following = told[count][0] if count < len(told) else None
        now_and_then = count % LOOKS_EACH == 0 or following is None
        if now_and_then if step_ns is None else ends_step(event, following, step_ns):
            looks += 1
            require_book(meeting, book, symbol, event.event_ns or at_ns)
    require(len(told) > 1, market, "books are told, and their changes", symbol)
    require(looks, market, "a book stands as it does at the venue, ever", symbol)


def ends_step(
    event: BookSnapshot | BookDelta | BookTop, following: BookSnapshot | BookDelta | BookTop | None, step_ns: int
) -> bool:
    """Whether a change of the scene's book is complete with what this tells: it bears its time, and the next another.

    Nothing is known of what comes before a new book, nor of the last.
    """
    if event.event_ns is None or event.event_ns % step_ns or following is None:
        return False
    goes_on = isinstance(following, BookTop) or (isinstance(following, BookDelta) and not following.reset)
    return goes_on and (following.event_ns or 0) > event.event_ns


def require_book(meeting: Meeting, book: OrderBook, symbol: str, at_ns: int) -> None:
    """Go on if a book is what stood there at that time, as deep as it is."""
    market = meeting.market
    truth = meeting.stage.scene(market).book(symbol, LEVELS_MAX, at_ns)
    for mine, levels in ((book.bids(), truth.bids), (book.asks(), truth.asks)):
        deep = len(mine) >= min(DEPTH_MIN, len(levels))
        require(deep, market, f"books have {DEPTH_MIN} levels a side, where there are so many", len(mine))
        same = tuple(mine) == levels[: len(mine)]
        require(same, market, "a book is the venue's, level by level", f"{symbol}: {mine[:3]}, not {levels[:3]}")


def _check_ticker(meeting: Meeting, symbol: str, heard: Sequence[Heard]) -> None:
    market, scene = meeting.market, meeting.stage.scene(meeting.market)
    step_ns = meeting.stage.layout.book_step_ns
    following = {id(a): b for a, b in pairwise(i.event for i in heard if isinstance(i.event, BookTop))}
    tops = days = 0
    for item in heard:
        event = item.event
        if isinstance(event, BookTop):
            if step_ns is not None and not ends_step(event, following.get(id(event)), step_ns):
                continue
            tops += 1
            times = (item.at_ns, event.event_ns or item.at_ns)
            told = ((event.bid, event.bid_quantity), (event.ask, event.ask_quantity))
            books = [scene.book(symbol, 1, t) for t in times]
            same = any(told == (book.bids[0], book.asks[0]) for book in books)
            require(same, market, "the best bid and ask are those of the book", (symbol, told, books))
        elif isinstance(event, DayStatistics):
            days += 1
            before = scene.bar(symbol, item.at_ns - LAG_NS, item.at_ns - LAG_NS + 1, item.at_ns - LAG_NS).close
            lasts = {before, *(t.price for t in scene.aggregates(symbol, item.at_ns - LAG_NS, item.at_ns))}
            require(event.last in lasts, market, "the last price is that of the last trade", (event, lasts))
    require(tops and days, market, "tickers tell the best bid and ask, and the day", (symbol, tops, days))


def check_batches(stage: Stage, market: Market) -> None:
    """What one read of a socket brings is told alike whether it holds one frame or many; an empty one tells nothing.

    Raises:
        Nonconforming: it matters.

    """
    instruments = stage.listed(market)
    wanted = everything(market, instruments[:1], market.intervals[:1] if Channel.CANDLES in market.channels else [])
    one, at_once = Meeting(stage, market, wanted, singly=True), Meeting(stage, market, wanted)
    kept: list[tuple[str, bytes]] = []

    def withhold(name: str, frame: bytes) -> list[bytes]:
        kept.append((name, frame))
        return []

    for meeting in (one, at_once):
        meeting.go(2)
    since = len(one.heard)
    one.go(5)
    at_once.go(5, withhold)
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    for line in at_once.lines:
        names = {stream.name for stream in line.session.streams.values()}
        before = len(events)
        line.feed.decode([], at_once.now_ns, events, effects)
        require(len(events) == before and not effects, market, "an empty batch tells nothing", (events, effects))
        line.feed.decode([frame for name, frame in kept if name in names], at_once.now_ns, events, effects)
    alone = [item.event for item in one.heard[since:]]
    same = _without_receipt(events) == _without_receipt(alone)
    require(same, market, "a batch of frames is told like each of them alone", f"{len(kept)} frames")


def _without_receipt(events: Sequence[VenueEvent]) -> dict[tuple[InstrumentId, type], list[VenueEvent]]:
    found: dict[tuple[InstrumentId, type], list[VenueEvent]] = defaultdict(list)
    for event in events:
        found[event.instrument.id, type(event)].append(msgspec.structs.replace(event, received_ns=0))
    return found
