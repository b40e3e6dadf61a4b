from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, DayStatistics, Side, Trade
from heliograph.testing.hearing import check_batches, check_hearing, ends_step
from heliograph.venues.contract import Effect, VenueError
from tests.testing.breaking import BYBIT, GATEIO, LUNO, Meddle, altered, caught, each, meddled

MINUTE_NS = 60 * 10**9
put = msgspec.structs.replace
BTC = LUNO.markets[SPOT].instrument("XBTZAR")


def once(kind: type, change: Callable[[Any], list[VenueEvent]], number: int = 5) -> Meddle:
    """Return what happens to one event of a kind, of each socket's the same."""
    left = [number]

    def meddle(events: list[VenueEvent], _effects: list[Effect]) -> None:
        for place, event in enumerate(list(events)):
            if isinstance(event, kind):
                left[0] -= 1
                if left[0] == 0:
                    events[place : place + 1] = change(event)
                    return

    return meddle


def closed(change: Callable[[Any], Candle | None]) -> Meddle:
    return each(Candle, lambda candle: change(candle) if candle.closed else candle)


def nothing(_event: Any) -> None:
    return None


SPOILT: list[tuple[str, Meddle, str]] = [
    ("t12 a volume is of the other asset",
     each(Candle, lambda c: put(c, base_volume=c.quote_volume)), "have the figures of what happened"),
    ("t16 a volume went through a float",
     each(Candle, lambda c: put(c, base_volume=Decimal(float(c.base_volume)))), "have the figures of what happened"),
    ("a price is another", each(Candle, lambda c: put(c, close=c.open)), "have the figures of what happened"),
    ("a candle has no volume",
     each(Candle, lambda c: put(c, base_volume=None, quote_volume=None, contracts=None)), "figures of what happened"),
    ("m17 trades are counted that were not", each(Candle, lambda c: put(c, trade_count=10**6)), "figures"),
    ("t31 a candle opens beside its grid", each(Candle, lambda c: put(c, open_ns=c.open_ns + 1)), "on their grid"),
    ("t31 a candle ends with its last millisecond",
     each(Candle, lambda c: put(c, close_ns=c.close_ns - 10**6)), "on their grid"),
    ("t7 a live candle is closed", each(Candle, lambda c: put(c, closed=True)), "no candle is closed before its end"),
    ("t9 no candle is ever closed", closed(lambda c: put(c, closed=False)), "told as closed when they have closed"),
    ("t33 a trade is lost", once(Trade, lambda _: []), "every trade is told once"),
    ("a trade is doubled", once(Trade, lambda t: [t, t]), "every trade is told once"),
    ("the maker's side is told",
     each(Trade, lambda t: put(t, side=Side.BUY if t.side is Side.SELL else Side.SELL)), "every trade is told once"),
    ("trades have one id", each(Trade, lambda t: put(t, trade_id="1")), "ids of trades are told apart"),
    ("trades are numbered by twos", each(Trade, lambda t: put(t, sequence=2 * (t.sequence or 0))), "have no holes"),
    ("a change of a book is lost", once(BookDelta, lambda _: []), "a book is the venue's"),
    ("a book has no beginning", each(BookSnapshot, nothing), "a book begins with all of it"),
    ("a book has one side only", each(BookSnapshot, lambda s: put(s, asks=())), "books have 10 levels|is the venue's"),
    ("bid and ask are swapped", each(BookTop, lambda t: put(t, bid=t.ask, ask=t.bid)), "best bid and ask are those"),
    ("the last price is the open", each(DayStatistics, lambda d: put(d, last=d.open)), "the last price is that"),
    ("nobody tells the day", each(DayStatistics, nothing), "tickers tell the best bid"),
    ("nobody tells tops", each(BookTop, nothing), "tickers tell the best bid"),
    ("t17 a market is mistaken",
     each(Trade, lambda t: put(t, instrument=put(t.instrument, market="usdm"))), "is of what was asked for"),
    ("t11 a complaint", lambda _e, effects: effects.append(VenueError("1", "no")), "no reason to complain"),
]  # fmt: skip


@pytest.mark.parametrize(("meddle", "claim"), [item[1:] for item in SPOILT], ids=[item[0] for item in SPOILT])
def test_a_codec_that_tells_it_otherwise_is_found(meddle: Meddle, claim: str) -> None:
    caught(check_hearing, meddled(meddle), claim, "spot")


def test_a_closed_candle_that_comes_twice_is_found() -> None:
    def twice(events: list[VenueEvent], _effects: list[Effect]) -> None:
        events += [e for e in events if isinstance(e, Candle) and e.closed]

    caught(check_hearing, meddled(twice), "is told once", "spot")


def test_closed_candles_out_of_order_are_found() -> None:
    held: dict[object, list[VenueEvent]] = {}

    def late(events: list[VenueEvent], _effects: list[Effect]) -> None:
        for event in list(events):
            if isinstance(event, Candle) and event.closed and event.interval is Interval.M1:
                waiting = held.setdefault(event.instrument.id, [])
                waiting.append(event)
                events.remove(event)
                if len(waiting) == 2:
                    events += reversed(waiting)

    caught(check_hearing, meddled(late), "are told in order", "spot")


def test_an_interval_that_no_stream_has_is_found() -> None:
    """As Gate's months were, which its REST interface has and its candlestick channel has not."""
    caught(check_hearing, altered(GATEIO, past_only=()), "no reason to complain", "spot")


def test_a_batch_of_which_only_the_first_frame_is_read_is_found() -> None:
    def lazy(market: Any) -> Any:
        def feed(connection: Any) -> Any:
            made = market.feed(connection)
            decode = made.decode

            class Lazy:
                def __getattr__(self, name: str) -> Any:
                    return getattr(made, name)

                def decode(self, frames: Any, *rest: Any) -> None:
                    decode(frames[:1], *rest)

            return Lazy()

        return feed

    caught(check_batches, altered(BYBIT, feed=lazy), "a batch of frames is told like each of them alone", "spot")


def test_an_empty_batch_that_tells_something_is_found() -> None:
    def eager(events: list[VenueEvent], effects: list[Effect]) -> None:
        if not events and not effects:
            effects.append(VenueError("1", "no"))

    caught(check_batches, meddled(eager), "an empty batch tells nothing", "spot")


@pytest.mark.parametrize(
    ("meddle", "claim"),
    [
        (each(BookDelta, lambda d: None if (d.sequence or 0) % 20 == 0 else d), "a book is the venue's|have 10 levels"),
        (each(BookTop, lambda t: put(t, bid=t.ask, ask=t.bid)), "best bid and ask are those"),
        (each(BookDelta, lambda d: put(d, event_ns=None)), "a book stands as it does at the venue, ever"),
        (each(BookTop, lambda t: put(t, event_ns=None)), "tickers tell the best bid"),
    ],
    ids=["changes are lost", "bid and ask are swapped", "a book is never whole", "a top is never whole"],
)
def test_books_whose_changes_take_many_messages_are_looked_at_where_these_end(meddle: Meddle, claim: str) -> None:
    caught(check_hearing, meddled(meddle, LUNO), claim, "spot")


def test_a_change_ends_where_the_next_message_has_another_time() -> None:
    def at(event_ns: int | None, *, reset: bool = False) -> BookDelta:
        return BookDelta(BTC, [], [], 1, 1, event_ns, 0, reset=reset)

    assert ends_step(at(200), at(201), 100)
    assert not ends_step(at(200), at(200), 100), "there is more of it"
    assert not ends_step(at(250), at(300), 100), "it is between two changes"
    assert not ends_step(at(200), None, 100), "there may be more of it"
    assert not ends_step(at(200), at(300, reset=True), 100), "there may have been more of it"
    assert not ends_step(at(200), BookSnapshot(BTC, [], [], 1, 300, 0), 100), "there may have been more of it"
    assert not ends_step(at(None), at(300), 100), "nobody says when it was"
