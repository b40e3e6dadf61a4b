import json
from decimal import Decimal

from heliograph.model.book import BookDelta
from heliograph.model.instrument import SPOT, Instrument, Kind, VenueId
from heliograph.model.interval import Interval
from heliograph.model.jsonl import render
from heliograph.model.market import Candle, Channel, Gap

BTC = Instrument(VenueId("binance"), SPOT, "BTCUSDT", kind=Kind.SPOT, tick_size=Decimal("0.00000001"))


def test_a_candle_is_its_fields_with_the_venues_digits() -> None:
    amounts = (Decimal("1.50"), Decimal("2E+3"), Decimal("1E-8"), Decimal(1), Decimal(0))
    candle = Candle(BTC, Interval.M1, 60, 120, *amounts, None, None, None, True, None, 130)
    assert json.loads(render(candle)) == {
        "kind": "candle", "instrument": "binance:spot:BTCUSDT", "interval": "1m", "open_ns": 60, "close_ns": 120,
        "open": "1.50", "high": "2000", "low": "0.00000001", "close": "1", "base_volume": "0", "quote_volume": None,
        "contracts": None, "trade_count": None, "closed": True, "event_ns": None, "received_ns": 130,
        "source": "stream",
    }  # fmt: skip


def test_levels_are_pairs_of_text() -> None:
    delta = BookDelta(BTC, [(Decimal("1.0"), Decimal(2))], (), 5, 6, 7, 8)
    row = json.loads(render(delta, received=False))
    assert (row["kind"], row["bids"], row["asks"], row["received_ns"]) == ("book_delta", [["1.0", "2"]], [], None)


def test_a_gap_and_an_instrument_are_lines_too() -> None:
    gap = json.loads(render(Gap(BTC, Channel.BOOK, None, None, None, 1, 2, "lost", 3)))
    assert (gap["kind"], gap["channel"], gap["from_sequence"]) == ("gap", "book", 1)
    row = json.loads(render(BTC))
    assert (row["kind"], row["instrument"], row["contract_kind"], row["tick_size"]) == (
        "instrument", "binance:spot:BTCUSDT", "spot", "0.00000001",
    )  # fmt: skip


def test_a_line_is_one_line() -> None:
    assert "\n" not in render(Gap(BTC, Channel.BOOK, None, None, None, 1, 2, "two\nlines", 3))
