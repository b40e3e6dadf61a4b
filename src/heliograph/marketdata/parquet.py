"""Candles as Parquet, made of their CSV: nothing is lost, and the same rows make the same file.

Amounts are decimals, 38 digits of which 18 are behind the point; where one does not fit, all of the file are wide
decimals of 76 digits, 38 behind the point, which hold every amount that Heliograph takes. Times are milliseconds, UTC.

pyarrow is an extra, imported where it is used. Source: https://arrow.apache.org/docs/python/parquet.html
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from heliograph.clock import NS_PER_MS
from heliograph.errors import ConfigError
from heliograph.model.market import Candle
from heliograph.model.table import COLUMNS, Content

BLOCK_BYTES: Final = 4 << 20
"""Text that is read at once."""
GROUP_ROWS: Final = 1 << 16
"""Rows of one row group."""
SCALE: Final = 18
SCALE_WIDE: Final = 38


def require() -> None:
    """Refuse early where pyarrow is not installed.

    Raises:
        ConfigError: it says what to install.

    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise ConfigError("Parquet needs pyarrow", ("pip install 'heliograph[parquet]'", "--output csv")) from None


def write(rows: Path, path: Path) -> None:
    """Write a Parquet file of a CSV table of candles.

    Args:
        rows: the table, with its header.
        path: the file to make; one that is there is replaced.

    Raises:
        ConfigError: the table is not one of candles.

    """
    import pyarrow as pa

    try:
        try:
            _write(rows, path, pa.decimal128(38, SCALE))
        except pa.ArrowInvalid:
            _write(rows, path, pa.decimal256(76, SCALE_WIDE))
    except (pa.ArrowException, ArithmeticError) as e:
        raise ConfigError(f"{rows} is not a table of candles: {e}") from e


def to_csv(path: Path) -> Iterator[bytes]:
    """Yield the rows of a Parquet file that `write` made as text that it makes the same rows of, without a header."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    options = pyarrow.csv.WriteOptions(include_header=False)
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches():
            text = pa.BufferOutputStream()
            pyarrow.csv.write_csv(batch, text, options)
            yield text.getvalue().to_pybytes()


def open_times(path: Path) -> Iterator[int]:
    """Yield the open times of a file's candles in its order, in nanoseconds since the Unix epoch."""
    import pyarrow as pa
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["open_time"]):
            for value in batch.column(0).cast(pa.int64()).to_pylist():
                yield value * NS_PER_MS


def _write(rows: Path, path: Path, amount: Any) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    types = {
        Content.TEXT: pa.string(),
        Content.TIME: pa.timestamp("ms", tz="UTC"),
        # Arrow reads a decimal that is too large as another one, without a word (26.0): Python reads them instead.
        Content.AMOUNT: pa.string(),
        Content.COUNT: pa.int64(),
        Content.FLAG: pa.bool_(),
    }
    columns = COLUMNS[Candle]
    read = {column.name: types[column.content] for column in columns}
    schema = pa.schema(
        [(column.name, amount if column.content is Content.AMOUNT else types[column.content]) for column in columns]
    )
    reader = pyarrow.csv.open_csv(
        rows,
        read_options=pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=read, include_columns=list(read), null_values=[""], strings_can_be_null=True
        ),
    )
    with reader, pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        rest = schema.empty_table()
        for batch in reader:
            arrays = [
                pa.array([None if v is None else Decimal(v) for v in values.to_pylist()], field.type)
                if field.type == amount
                else values
                for values, field in zip(batch.columns, schema, strict=True)
            ]
            rest = pa.concat_tables([rest, pa.table(arrays, schema=schema)])
            while len(rest) >= GROUP_ROWS:
                writer.write_table(rest.slice(0, GROUP_ROWS).combine_chunks())
                rest = rest.slice(GROUP_ROWS)
        if len(rest):
            writer.write_table(rest.combine_chunks())
