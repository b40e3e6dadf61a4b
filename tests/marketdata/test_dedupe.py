from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.marketdata.dedupe import KEPT, TradeIds, TradeWindow, conflicts, supersedes
from heliograph.model.instrument import InstrumentId
from heliograph.model.market import Candle

Make = Callable[..., Candle]
BTC, ETH = InstrumentId("binance:spot:BTCUSDT"), InstrumentId("binance:spot:ETHUSDT")


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


def test_a_trade_id_is_new_once_for_each_instrument() -> None:
    window = TradeWindow(window_ns=100, entries_max=1000)
    btc, eth = window.open(BTC), window.open(ETH)
    assert btc.is_new("7", 0)
    assert not btc.is_new("7", 100)
    assert eth.is_new("7", 100)


def test_the_newest_trades_of_a_quiet_instrument_are_known_however_old_they_are() -> None:
    window = TradeWindow(window_ns=100, entries_max=1000)
    quiet, busy = window.open(BTC), window.open(ETH)
    for number in range(KEPT + 10):
        quiet.is_new(str(number), number)
    for number in range(5000):
        busy.is_new(str(number), 10_000 + number)
    assert quiet.is_new("news", 10**9)
    assert [quiet.is_new(str(number), 10**9) for number in range(11, KEPT + 10)] == [False] * (KEPT - 1)
    assert quiet.is_new("10", 10**9)


def test_within_the_window_all_trades_are_known_and_beyond_it_only_the_newest() -> None:
    ids = TradeWindow(window_ns=1000, entries_max=5000).open(BTC)
    assert all(ids.is_new(str(number), number) for number in range(3000))
    assert len(ids) == 1001
    assert "1999" in ids
    assert "1998" not in ids
    assert ids.is_new("late", 10**6)
    assert len(ids) == KEPT


@given(st.lists(st.tuples(st.sampled_from(["trade", "open", "leave"]), st.integers(0, 4)), max_size=60))
def test_what_is_remembered_is_bounded_in_all(steps: list[tuple[str, int]]) -> None:
    window = TradeWindow(window_ns=10**9, entries_max=3 * KEPT)
    names = [InstrumentId(f"binance:spot:{number}") for number in range(5)]
    known: dict[int, TradeIds] = {}
    now_ns = 0
    for what, which in steps:
        if what == "leave":
            window.leave(names[which])
            known.pop(which, None)
        else:
            known[which] = window.open(names[which])
        if what == "trade":
            for _ in range(50):
                now_ns += 1
                assert known[which].is_new(str(now_ns), now_ns)
        assert len(window) <= KEPT * max(3, len(known))
        assert window.excess == sum(max(0, len(ids) - KEPT) for ids in known.values())


def test_an_instrument_that_is_opened_again_is_remembered_while_there_is_room() -> None:
    window = TradeWindow(window_ns=100, entries_max=2 * KEPT)
    window.open(BTC).is_new("7", 0)
    window.leave(BTC)
    assert not window.open(BTC).is_new("7", 10**6)
    window.leave(BTC)
    for number in range(3):
        window.open(InstrumentId(f"binance:spot:{number}"))
    assert window.open(BTC).is_new("7", 10**6)
