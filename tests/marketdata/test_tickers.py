from collections.abc import Callable
from decimal import Decimal

from heliograph.marketdata.tickers import TickerFold
from heliograph.model.instrument import Instrument
from heliograph.model.market import BookTop, DayStatistics, Trade

S = 10**9


def _top(btc: Instrument, bid: str | None, ask: str | None, sequence: int | None, received_s: int = 0) -> BookTop:
    quantities = Decimal(1)
    return BookTop(
        btc,
        None if bid is None else Decimal(bid),
        quantities,
        None if ask is None else Decimal(ask),
        quantities,
        sequence,
        None,
        received_s * S,
    )


def _day(btc: Instrument, last: str, event_s: int) -> DayStatistics:
    return DayStatistics(
        btc, Decimal(last), None, None, None, Decimal(10), Decimal(1000), None, 5, event_s * S, event_s * S
    )


def test_a_ticker_exists_from_when_last_bid_and_ask_are_known(btc: Instrument) -> None:
    fold = TickerFold(btc)
    assert fold.top(_top(btc, "1", "2", 1)) is None
    ticker = fold.day(_day(btc, "1.5", 1))
    assert ticker is not None
    assert (ticker.last, ticker.bid, ticker.ask, ticker.base_volume_24h) == (
        Decimal("1.5"),
        Decimal(1),
        Decimal(2),
        Decimal(10),
    )
    assert fold.top(_top(btc, None, "2", 2)) is None
    assert fold.top(_top(btc, "1.1", "2", 3)) is not None


def test_an_older_top_or_day_changes_nothing(btc: Instrument) -> None:
    fold = TickerFold(btc)
    fold.day(_day(btc, "1.5", 5))
    assert fold.top(_top(btc, "1", "2", 9)) is not None
    assert fold.top(_top(btc, "0.9", "2", 9)) is None
    assert fold.top(_top(btc, "0.9", "2", 8)) is None
    assert fold.day(_day(btc, "1.4", 4)) is None
    assert fold.day(_day(btc, "1.4", 5)) is None
    newest = fold.top(_top(btc, "1", "2", 10))
    assert newest is not None
    assert newest.last == Decimal("1.5")


def test_a_numbering_that_starts_again_is_believed_after_a_while(btc: Instrument) -> None:
    fold = TickerFold(btc)
    fold.day(_day(btc, "1.5", 5))
    assert fold.top(_top(btc, "1", "2", 900, received_s=0)) is not None
    assert fold.top(_top(btc, "1", "2", 1, received_s=4)) is None
    assert fold.top(_top(btc, "1", "2", 2, received_s=6)) is not None


def test_a_trade_moves_the_last_price_of_the_next_ticker(btc: Instrument, trade: Callable[..., Trade]) -> None:
    fold = TickerFold(btc)
    fold.top(_top(btc, "99", "101", 1))
    fold.trade(trade(1))
    ticker = fold.top(_top(btc, "99", "102", 2))
    assert ticker is not None
    assert (ticker.last, ticker.base_volume_24h) == (Decimal(100), None)
