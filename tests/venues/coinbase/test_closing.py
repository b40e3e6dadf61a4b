from decimal import Decimal
from itertools import pairwise

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.interval import Interval
from heliograph.model.market import Candle
from heliograph.venues.coinbase.closing import LATE_NS, PAUSE_NS_MAX, PAUSE_NS_MIN, Closing
from heliograph.venues.coinbase.instruments import instrument_of_symbol
from heliograph.venues.contract import CandlePage

BTC, ETH = instrument_of_symbol("BTC-USD"), instrument_of_symbol("ETH-USD")
OPEN_NS = Interval.M5.open_of(1_795_000_000 * NS_PER_S)
END_NS = Interval.M5.next_open(OPEN_NS)
ONE = Decimal(1)
CANDLE = Candle(
    BTC, Interval.M5, OPEN_NS, END_NS, ONE, ONE, ONE, ONE, ONE, None, None, None, False, OPEN_NS + 1, OPEN_NS + 1
)
NEXT = msgspec.structs.replace(CANDLE, open_ns=END_NS, close_ns=Interval.M5.next_open(END_NS))


def closed(candle: Candle) -> Candle:
    return msgspec.structs.replace(candle, closed=True)


def test_rest_is_asked_once_the_venue_is_past_the_end_and_the_first_question_ends_with_the_candle() -> None:
    closing = Closing(10)
    closing.take(CANDLE)
    assert closing.due(END_NS + LATE_NS - 1) == []
    assert closing.due(END_NS + LATE_NS) == [CandlePage(BTC, Interval.M5, OPEN_NS, OPEN_NS)]
    assert closing.due(END_NS + LATE_NS + PAUSE_NS_MIN - 1) == []
    assert closing.due(END_NS + LATE_NS + PAUSE_NS_MIN) == [CandlePage(BTC, Interval.M5, OPEN_NS, None)]


def test_the_pauses_double_within_a_bound() -> None:
    closing = Closing(10)
    closing.take(CANDLE)
    asked = [second for second in range(4000) if closing.due(END_NS + second * NS_PER_S)]
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses[:4] == [PAUSE_NS_MIN // NS_PER_S * 2**i for i in range(4)]
    assert max(pauses) == PAUSE_NS_MAX // NS_PER_S


def test_what_was_closed_is_not_asked_for_and_the_next_is_in_its_turn() -> None:
    closing = Closing(10)
    closing.take(CANDLE)
    closing.take(NEXT)
    closing.settled(closed(CANDLE))
    assert closing.due(NEXT.close_ns + LATE_NS - 1) == []
    assert closing.due(NEXT.close_ns + LATE_NS) == [CandlePage(BTC, Interval.M5, END_NS, END_NS)]
    closing.settled(closed(NEXT))
    assert closing.due(NEXT.close_ns + 10_000 * NS_PER_S) == []


def test_an_older_candle_and_one_of_another_length_settle_nothing() -> None:
    closing = Closing(10)
    closing.take(NEXT)
    closing.settled(closed(CANDLE))
    closing.settled(msgspec.structs.replace(closed(NEXT), interval=Interval.M1))
    assert len(closing.due(NEXT.close_ns + LATE_NS)) == 1


def test_instruments_are_forgotten_that_are_not_kept_and_before_there_are_too_many() -> None:
    closing = Closing(2)
    for instrument in (BTC, ETH):
        closing.take(msgspec.structs.replace(CANDLE, instrument=instrument))
    closing.keep(["ETH-USD"])
    assert [page.instrument for page in closing.due(END_NS + LATE_NS)] == [ETH]
    for number in range(3):
        closing.take(msgspec.structs.replace(CANDLE, instrument=instrument_of_symbol(f"C{number}-USD")))
    assert len(closing.due(END_NS + LATE_NS)) <= 2
