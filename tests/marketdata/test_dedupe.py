from collections.abc import Callable

import pytest

from heliograph.marketdata.dedupe import TradeWindow, conflicts, supersedes
from heliograph.model.instrument import InstrumentId
from heliograph.model.market import Candle

Make = Callable[..., Candle]


@pytest.mark.parametrize(
    ("later", "known", "news"),
    [
        ({"event_s": 2, "count": 1}, {"event_s": 1, "count": 9}, True),
        ({"event_s": 1, "count": 9}, {"event_s": 2, "count": 1}, False),
        ({"event_s": 1, "count": 3}, {"event_s": 1, "count": 2}, True),
        ({"event_s": 1, "count": 2}, {"event_s": 1, "count": 2}, False),
        ({"event_s": None, "count": 3}, {"event_s": 1, "count": 2}, True),
        ({"event_s": None, "count": 1}, {"event_s": 1, "count": 2}, False),
        ({"event_s": None, "count": None, "volume": "2"}, {"event_s": None, "count": None, "volume": "1"}, True),
        ({"event_s": None, "count": None, "volume": "1"}, {"event_s": None, "count": None, "volume": "1"}, False),
        ({"event_s": 1, "count": 2, "volume": "2"}, {"event_s": 1, "count": 2, "volume": "1"}, True),
    ],
)
def test_a_revision_is_news_by_event_time_then_trades_then_volume(
    candle: Make, later: dict[str, object], known: dict[str, object], news: bool
) -> None:
    assert supersedes(candle(0, **later), candle(0, **known)) is news


def test_two_finals_conflict_only_in_what_both_say(candle: Make) -> None:
    assert not conflicts(candle(0, closed=True, count=None), candle(0, closed=True, count=7))
    assert not conflicts(candle(0, closed=True, volume="1.0"), candle(0, closed=True, volume="1.00"))
    assert conflicts(candle(0, closed=True, close="101"), candle(0, closed=True))
    assert conflicts(candle(0, closed=True, count=8), candle(0, closed=True, count=7))


def test_a_trade_id_is_new_once_within_the_window_and_for_each_instrument() -> None:
    window = TradeWindow(window_ns=100, entries_max=10)
    btc, eth = InstrumentId("binance:spot:BTCUSDT"), InstrumentId("binance:spot:ETHUSDT")
    assert window.is_new(btc, "7", 0)
    assert not window.is_new(btc, "7", 100)
    assert window.is_new(eth, "7", 100)
    assert window.is_new(btc, "7", 101)


def test_the_window_of_trade_ids_is_bounded_in_entries_and_in_time() -> None:
    window = TradeWindow(window_ns=1000, entries_max=3)
    name = InstrumentId("binance:spot:BTCUSDT")
    for number in range(10):
        assert window.is_new(name, str(number), number)
    assert len(window) == 3
    assert not window.is_new(name, "9", 10)
    assert window.is_new(name, "6", 10)
    assert window.is_new(name, "new", 5000)
    assert len(window) == 1
