import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet
import pytest

from heliograph.clock import NS_PER_S
from heliograph.errors import ConfigError
from heliograph.marketdata import parquet
from heliograph.model.market import Candle
from heliograph.model.table import header, row
from tests.marketdata.conftest import BASE_NS, MINUTE_NS

MakeCandle = Callable[..., Candle]


def _written(folder: Path, candles: list[Candle]) -> Path:
    rows, path = folder / "x.csv", folder / "x.parquet"
    rows.write_text(header(Candle) + "".join(row(c) for c in candles))
    parquet.write(rows, path)
    return path


def test_every_value_comes_back_as_what_it_was(tmp_path: Path, candle: MakeCandle) -> None:
    one = msgspec.structs.replace(
        candle(0, closed=True), low=Decimal("0.000000000000000001"), contracts=Decimal(12345678901234567890)
    )
    table = pyarrow.parquet.read_table(_written(tmp_path, [one, candle(1, closed=True, count=None)]))
    assert table.schema.field("close").type == pa.decimal128(38, 18)
    assert table.schema.field("open_time").type == pa.timestamp("ms", tz="UTC")
    first, second = table.to_pylist()
    assert first["low"] == Decimal("0.000000000000000001")
    assert first["contracts"] == 12345678901234567890
    assert first["open_time"] == datetime.fromtimestamp(BASE_NS // NS_PER_S, UTC)
    assert (first["exchange"], first["symbol"], first["interval"]) == ("binance", "BTCUSDT", "1m")
    assert first["closed"] is True
    assert first["quote_volume"] is None
    assert (first["trade_count"], second["trade_count"]) == (1, None)
    assert second["event_time"] is None


@pytest.mark.parametrize(
    "amount", ["0.3000000000000000444", "123456789012345678901.5", "12345678901234567890123456789012345678"]
)
def test_an_amount_that_does_not_fit_makes_all_of_them_wider_and_none_is_rounded(
    amount: str, tmp_path: Path, candle: MakeCandle
) -> None:
    odd = msgspec.structs.replace(candle(1, closed=True), base_volume=Decimal(amount))
    table = pyarrow.parquet.read_table(_written(tmp_path, [candle(0, closed=True), odd]))
    assert table.schema.field("base_volume").type == pa.decimal256(76, 38)
    assert table.column("base_volume").to_pylist() == [1, Decimal(amount)]


def test_rows_out_of_a_file_make_the_same_file(
    tmp_path: Path, candle: MakeCandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the text is cut into blocks, since what comes out of a file is longer than what went in."""
    monkeypatch.setattr(parquet, "BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(parquet, "GROUP_ROWS", 64)
    path = _written(tmp_path, [candle(bar, closed=True, close=f"1{bar % 90:02d}.{bar}") for bar in range(300)])
    before = path.read_bytes()
    assert pyarrow.parquet.ParquetFile(path).num_row_groups == 5
    (tmp_path / "x.csv").write_bytes(header(Candle).encode() + b"".join(parquet.to_csv(path)))
    parquet.write(tmp_path / "x.csv", path)
    assert path.read_bytes() == before
    assert list(parquet.open_times(path)) == [BASE_NS + bar * MINUTE_NS for bar in range(300)]


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    rows = tmp_path / "x.csv"
    for text in (
        "",
        "a,b\n1,2\n",
        header(Candle) + "," * 15 + "\nonly this\n",
        header(Candle) + ",,,,,x" + "," * 10 + "\n",
    ):
        rows.write_text(text)
        with pytest.raises(ConfigError, match="not a table of candles"):
            parquet.write(rows, tmp_path / "x.parquet")


def test_without_pyarrow_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.require()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"heliograph\[parquet\]"):
        parquet.require()
