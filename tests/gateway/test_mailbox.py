from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import ManualClock
from heliograph.gateway.mailbox import Frames, Key, Mailbox, Update
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle
from tests.gateway.samples import MINUTE_NS, candle

FRAMES = Frames(ManualClock())


def update(symbol: str, minute: int, *, closed: bool, trade_count: int = 0) -> Update:
    instrument = Instrument(VenueId("binance"), SPOT, symbol)
    event = candle(instrument=instrument, open_ns=minute * MINUTE_NS, closed=closed, trade_count=trade_count)
    key: Key = (instrument.id, Interval.M1)
    return Update(key, event, FRAMES)


def emptied(mailbox: Mailbox) -> list[Candle]:
    events = []
    while (taken := mailbox.take()) is not None:
        assert type(taken.event) is Candle
        events.append(taken.event)
    return events


def test_of_open_candles_the_newest_of_each_instrument_waits() -> None:
    mailbox = Mailbox(10)
    for count in range(1000):
        assert mailbox.put(update("A", 1, closed=False, trade_count=count))
        assert mailbox.put(update("B", 1, closed=False, trade_count=count))
    assert len(mailbox) == 2
    assert mailbox.conflated == 1998
    assert [(e.instrument.venue_symbol, e.trade_count) for e in emptied(mailbox)] == [("A", 999), ("B", 999)]


def test_a_closed_candle_that_finds_no_room_is_reported_and_never_dropped_in_silence() -> None:
    mailbox = Mailbox(2)
    assert mailbox.put(update("A", 1, closed=True))
    assert mailbox.put(update("A", 2, closed=True))
    assert not mailbox.put(update("A", 3, closed=True))
    assert [e.open_ns // MINUTE_NS for e in emptied(mailbox)] == [1, 2]


def test_a_late_closed_candle_does_not_push_out_a_newer_open_one() -> None:
    mailbox = Mailbox(2)
    mailbox.put(update("A", 5, closed=False))
    mailbox.put(update("A", 3, closed=True))
    assert [(e.open_ns // MINUTE_NS, e.closed) for e in emptied(mailbox)] == [(3, True), (5, False)]


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.booleans(), st.booleans()), max_size=60))
def test_every_closed_candle_comes_out_once_and_each_instruments_updates_in_order(
    steps: list[tuple[str, bool, bool]],
) -> None:
    """The venue's order: open updates of a minute, its closed candle, then the next minute."""
    mailbox = Mailbox(1000)
    minutes = dict.fromkeys("ABC", 0)
    put: list[tuple[str, int, bool, int]] = []
    out: list[tuple[str, int, bool, int]] = []

    def take() -> None:
        out.extend(
            (e.instrument.venue_symbol, e.open_ns // MINUTE_NS, e.closed, e.trade_count or 0) for e in emptied(mailbox)
        )

    for number, (symbol, closed, read) in enumerate(steps):
        mailbox.put(update(symbol, minutes[symbol], closed=closed, trade_count=number))
        put.append((symbol, minutes[symbol], closed, number))
        minutes[symbol] += closed
        if read:
            take()
    take()
    assert [e for e in out if e[2]] == [e for e in put if e[2]]
    for symbol in "ABC":
        numbers = [e[3] for e in out if e[0] == symbol]
        assert numbers == sorted(set(numbers))
        last = [e for e in put if e[0] == symbol][-1:]
        assert [e for e in out if e[0] == symbol][-1:] == last
