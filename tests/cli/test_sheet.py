import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from heliograph.app import Where
from heliograph.cli.sheet import KIND_OF_CHANNEL, Sheet, sheet_for
from heliograph.cli.stream import stream
from heliograph.cli.wish import Wish
from heliograph.errors import ConfigError
from heliograph.model.book import BookSnapshot
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.market import BookTop, Channel, Side, Ticker, Trade, TradeCause
from tests.cli.commands import finished

BTC = Instrument(VenueId("binance"), SPOT, "BTCUSDT", "BTC", "USDT")
ONE = Decimal(1)
TRADE = Trade(BTC, "1", 1, ONE, ONE, Side.BUY, TradeCause.MARKET, 10**18, 10**18)
TOP = BookTop(BTC, ONE, ONE, None, None, 1, None, 0)
BOOK = BookSnapshot(BTC, [], [], 1, None, 1)
SIMULATED = ("--market", "spot", "--simulated", "--speed", "60")


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table_is_of_the_kind_that_comes_first_and_says_what_it_leaves_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sheet = Sheet()
    sheet.take_all([BOOK, TRADE, TOP, TRADE])
    sheet.finish()
    out, error = capsys.readouterr()
    assert [row["price"] for row in _rows(out)] == ["1", "1"]
    assert sheet.rows == 2
    assert error == "not in the table: 1 book_snapshot, 1 book_top; --kind chooses, --output jsonl has all\n"


def test_a_table_of_a_kind_that_does_not_come_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    sheet = sheet_for("csv", "ticker")
    assert sheet is not None
    sheet.finish()
    out, error = capsys.readouterr()
    assert out.startswith("exchange,symbol,timestamp,last_price")
    assert out.count("\n") == 1
    assert error == ""
    assert KIND_OF_CHANNEL[Channel.TICKER] is Ticker


@pytest.mark.parametrize(
    ("output", "kind"), [("xml", None), ("csv", "book_delta"), ("csv", "candles"), ("jsonl", "trade")]
)
def test_what_has_no_table_is_refused_with_what_has(output: str, kind: str | None) -> None:
    with pytest.raises(ConfigError, match=r"accepted: .*(candle|csv)"):
        sheet_for(output, kind)


def test_json_lines_need_no_table() -> None:
    assert sheet_for("jsonl", None) is None


@pytest.mark.parametrize("channels", [["candles", "trades"], ["book"]])
def test_a_stream_of_several_kinds_or_of_books_has_no_table(channels: list[str]) -> None:
    with pytest.raises(ConfigError, match="rows of one kind"):
        stream(Wish("binance", "spot", ["BTCUSDT"], channels, "1m", Where()), 1, "csv")


@pytest.mark.parametrize("channel", ["candles", "ticker", "trades"])
def test_a_stream_comes_as_a_table_up_to_its_limit(channel: str) -> None:
    done = finished("stream", "binance", "BTC/USDT", *SIMULATED, "-c", channel, "-o", "csv", "--limit", "30")
    assert done.returncode == 0, done.stderr
    rows = _rows(done.stdout.decode())
    assert len(rows) == 30
    assert {(row["exchange"], row["symbol"]) for row in rows} == {("binance", "BTC/USDT")}


def test_a_capture_is_replayed_and_decoded_as_the_table_of_the_same_events(tmp_path: Path) -> None:
    file = str(tmp_path / "frames.jsonl")
    wish = ("capture", "binance", "BTCUSDT", *SIMULATED, "-c", "trades", "-c", "candles", "--duration", "2")
    assert finished(*wish, "--file", file).returncode == 0
    for command in (("replay", file, "--venue", "binance", "-m", "spot"), ("decode", "binance", file, "-m", "spot")):
        lines = [json.loads(line) for line in finished(*command).stdout.splitlines()]
        done = finished(*command, "-o", "csv", "--kind", "trade")
        assert done.returncode == 0, done.stderr
        rows = _rows(done.stdout.decode())
        trades = [line for line in lines if line["kind"] == "trade"]
        assert [(row["trade_id"], row["price"]) for row in rows] == [(t["trade_id"], t["price"]) for t in trades]
        assert len(rows) > 0
        assert b"candle" in done.stderr
