import csv
import io
from decimal import Decimal

import msgspec
import pytest

from heliograph.clock import NS_PER_S
from heliograph.model import table
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import (
    BookTop,
    Candle,
    Channel,
    DayStatistics,
    Gap,
    Side,
    Source,
    Ticker,
    Trade,
    TradeCause,
)
from heliograph.model.wire import Encoder

BTC = Instrument(VenueId("binance"), SPOT, "BTCUSDT", "BTC", "USDT")
AT = 1_795_000_000 * NS_PER_S
D = Decimal

CANDLE = Candle(
    BTC, Interval.M1, AT, AT + 60 * NS_PER_S, D("1.10"), D("2E+1"), D("1"), D("3"), D("0.00000001"), None, D(7), None,
    True, None, AT, Source.REST,
)  # fmt: skip
TRADE = Trade(BTC, "7", 7, D("1.50"), D("2"), Side.SELL, TradeCause.MARKET, None, AT)
TICKER = Ticker(BTC, D(1), D(2), None, D(3), None, D(4), None, None, AT, AT)
GAP = Gap(BTC, Channel.CANDLES, Interval.M1, AT, AT + 1, None, None, 'the venue said "no", twice', AT)
TOP = BookTop(BTC, D(1), D(2), None, None, 5, AT, AT)
DAY = DayStatistics(BTC, D(1), None, None, None, None, None, None, 3, AT, AT)

FLAT = [CANDLE, TRADE, TICKER, GAP, TOP, DAY, BTC]


def _read(item: object) -> dict[str, str]:
    text = table.header(type(item)) + table.row(item)  # type: ignore[arg-type]
    (cells,) = csv.DictReader(io.StringIO(text))
    assert None not in cells
    return cells


def test_a_candle_is_a_row_of_exact_text() -> None:
    assert _read(CANDLE) == {
        "exchange": "binance",
        "symbol": "BTC/USDT",
        "interval": "1m",
        "open_time": "2026-11-18T11:06:40.000Z",
        "close_time": "2026-11-18T11:07:40.000Z",
        "open": "1.10",
        "high": "20",
        "low": "1",
        "close": "3",
        "base_volume": "0.00000001",
        "quote_volume": "",
        "contracts": "7",
        "trade_count": "",
        "closed": "true",
        "event_time": "",
        "source": "rest",
    }


@pytest.mark.parametrize("item", [CANDLE, TRADE, TICKER, GAP])
def test_the_columns_are_those_of_the_bus(item: Candle | Trade | Ticker | Gap) -> None:
    on_the_bus = msgspec.json.decode(Encoder().encode(item))
    cells = _read(item)
    assert set(cells) == set(on_the_bus)
    for name, value in on_the_bus.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert Decimal(cells[name]) == Decimal(str(value)), name
        else:
            told = "" if value is None else str(value).lower() if isinstance(value, bool) else value
            assert cells[name] == told, name


@pytest.mark.parametrize("item", FLAT, ids=lambda item: type(item).__name__)
def test_a_row_has_a_cell_for_each_column(item: object) -> None:
    assert list(_read(item)) == [column.name for column in table.COLUMNS[type(item)]]


def test_text_with_commas_and_quotes_comes_back_whole() -> None:
    assert _read(GAP)["reason"] == 'the venue said "no", twice'
    odd = msgspec.structs.replace(BTC, base='A,"B"\nC')
    assert _read(odd)["symbol"] == 'A,"B"\nC/USDT'


def test_a_candle_asked_for_at_another_time_is_the_same_row() -> None:
    assert table.row(CANDLE) == table.row(msgspec.structs.replace(CANDLE, received_ns=AT + 5))
