"""One file of candles that outlasts a kill at any moment.

Beside `NAME.csv` (or `.parquet`) stands `NAME.csv.journal`: the range, how far the file has come, and the venue's holes
in it. Rows are appended to `NAME.csv.part`; after each part they are synced, and then the journal is replaced as a
whole. Whoever comes next cuts off what the journal does not vouch for and goes on, so that the file does not depend on
how often its making was interrupted. Once each open time is accounted for the file gets its name. A finished file is
extended the same way, and stays what it was until the longer one is finished.
"""

import asyncio
import contextlib
import csv
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from heliograph.clock import from_iso, iso_ms
from heliograph.errors import ConfigError
from heliograph.marketdata import parquet
from heliograph.marketdata.download import Part
from heliograph.marketdata.history import Hole, Series, Verdict, verify, with_holes
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle
from heliograph.model.table import COLUMNS, header, row

CSV: Final = "csv"
PARQUET: Final = "parquet"
FORMATS: Final = (CSV, PARQUET)
VERSION: Final = 1

_OPEN_TIME: Final = [column.name for column in COLUMNS[Candle]].index("open_time")

Result = TypeVar("Result")


class HoleNote(msgspec.Struct, frozen=True):
    """A hole, as the journal has it: ISO 8601, the end exclusive."""

    from_time: str
    to_time: str
    reason: str


class Journal(msgspec.Struct, frozen=True):
    """What a file holds, for sure."""

    version: int
    instrument: str
    interval: str
    from_time: str
    """The first open time that is wanted."""
    to_time: str
    """The first open time that the file has not come to."""
    rows: int
    bytes: int
    """Of `.part` where the file is not complete, else of the file itself."""
    holes: tuple[HoleNote, ...] = ()
    complete: bool = False


def file_name(instrument: Instrument, interval: Interval, file_format: str) -> str:
    """Return how a file of candles is called by itself; months are `mo`, lest `1M` be `1m` on a Mac."""
    length = interval.value.replace("M", "mo")
    return f"{instrument.exchange}_{quote(instrument.pair, safe='@%')}_{length}.{file_format}"


class Archive:
    """A file of one series' candles; opened, filled part by part, finished, and closed.

    Args:
        path: the file; its ending says its format.
        series: what it is to hold.

    """

    def __init__(self, path: Path, series: Series) -> None:
        self.where = str(path)
        self._path = path
        self._series = series
        self._is_parquet = path.suffix == f".{PARQUET}"
        self._part = path.with_name(f"{path.name}.part")
        self._journal_path = path.with_name(f"{path.name}.journal")
        self._file: FileIO | None = None
        self._journal = Journal(VERSION, series.instrument.id, series.interval, iso_ms(series.from_ns), "", 0, 0)
        self._busy: asyncio.Future[Any] | None = None

    @property
    def done_ns(self) -> int:
        """The first open time that the file has not come to."""
        return from_iso(self._journal.to_time)

    @property
    def holes(self) -> tuple[Hole, ...]:
        """The venue's holes up to there."""
        return tuple(Hole(from_iso(h.from_time), from_iso(h.to_time), h.reason) for h in self._journal.holes)

    async def open(self) -> None:
        """Go on where the file is, or begin it; nobody else may write it meanwhile.

        Raises:
            ConfigError: it holds something else, is being written, or cannot be written.

        """
        await self._in_thread(self._open)

    async def commit(self, part: Part) -> None:
        """Append a part, which begins at `done_ns`; once this returns, no kill can lose it.

        Raises:
            ConfigError: the file cannot be written.

        """
        await self._in_thread(lambda: self._commit(part))

    async def finish(self) -> Verdict:
        """Read back what was written, and give the file its name if it is whole.

        Raises:
            ConfigError: the file cannot be read or written.

        """
        return await self._in_thread(self._finish)

    async def close(self) -> None:
        """Let go of the file; what was committed stays."""
        if self._busy is not None and not self._busy.done():
            await asyncio.wait([self._busy])
        if self._file is not None:
            if self._journal.complete or not os.fstat(self._file.fileno()).st_size:
                self._part.unlink(missing_ok=True)
            self._file.close()
            self._file = None

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        # A thread outlives a cancelled await, and must not be left with a file that is closed under it.
        future = asyncio.ensure_future(asyncio.to_thread(work))
        self._busy = future
        try:
            return await asyncio.shield(future)
        except OSError as e:
            raise ConfigError(f"cannot write {self._path}: {e.strerror or e}") from e

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock()
        known = self._read_journal()
        if known is None:
            if self._path.exists():
                raise ConfigError(
                    f"{self._path} exists, and no {self._journal_path.name} says what is in it",
                    ("another --file or --directory", "the file moved away"),
                )
            self._begin()
        else:
            self._check(known)
            self._journal = known
            if known.complete:
                self._reopen()
            else:
                self._resume()

    def _lock(self) -> None:
        file = FileIO(os.open(self._part, os.O_RDWR | os.O_CREAT, 0o644), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = self._part.exists() and os.path.samestat(os.fstat(file.fileno()), self._part.stat())
        except BlockingIOError:
            mine = False
        if not mine:
            file.close()
            raise ConfigError(f"{self._path} is being written by another backfill", ("wait for it to end",))
        self._file = file

    def _read_journal(self) -> Journal | None:
        try:
            return msgspec.json.decode(self._journal_path.read_bytes(), type=Journal)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as e:
            raise ConfigError(f"{self._journal_path} is not the journal of a backfill: {e}") from e

    def _check(self, known: Journal) -> None:
        mine = self._journal
        for what, told, wanted in (
            ("version", known.version, mine.version),
            ("instrument", known.instrument, mine.instrument),
            ("interval", known.interval, mine.interval),
            ("first candle", known.from_time, mine.from_time),
        ):
            if told != wanted:
                raise ConfigError(
                    f"{self._path} has the {what} {told}, not {wanted}",
                    ("what it was begun with", "another --file or --directory", "the file and its journal removed"),
                )

    def _begin(self) -> None:
        file = self._opened()
        head = header(Candle).encode()
        file.truncate(0)
        self._write(head)
        self._save(to_time=self._journal.from_time, bytes=len(head))

    def _reopen(self) -> None:
        """Take up a finished file: it is enough, or it is copied to be extended."""
        held = self._path.stat().st_size if self._path.exists() else None
        if held != self._journal.bytes:
            raise ConfigError(
                f"{self._path} is not what its journal says: "
                + ("it is gone" if held is None else f"{held} bytes, not {self._journal.bytes}"),
                ("the file as it was", f"{self._journal_path.name} removed as well"),
            )
        if self.done_ns >= self._series.to_ns:
            return
        file = self._opened()
        file.truncate(0)
        file.seek(0)
        if self._is_parquet:
            self._write(header(Candle).encode())
            for text in parquet.to_csv(self._path):
                self._write(text)
        else:
            with self._path.open("rb") as finished:
                shutil.copyfileobj(finished, file)
        self._save(complete=False, bytes=file.tell())

    def _resume(self) -> None:
        file = self._opened()
        held = os.fstat(file.fileno()).st_size
        if held >= self._journal.bytes:
            file.truncate(self._journal.bytes)
            file.seek(self._journal.bytes)
        elif not self._is_parquet and self._path.exists() and self._path.stat().st_size == self._journal.bytes:
            # It was killed after the file had got its name, and before the journal said so.
            self._save(complete=True)
            self._reopen()
        else:
            raise ConfigError(
                f"{self._part} has {held} bytes, fewer than the {self._journal.bytes} of its journal",
                (f"{self._journal_path.name} and {self._part.name} removed, to begin again",),
            )

    def _commit(self, part: Part) -> None:
        assert part.span.from_ns == self.done_ns, "parts are committed in order"
        text = "".join([row(candle) for candle in part.candles]).encode()
        self._write(text)
        holes = with_holes(self.holes, part.holes)
        self._save(
            to_time=iso_ms(part.span.to_ns),
            rows=self._journal.rows + len(part.candles),
            bytes=self._journal.bytes + len(text),
            holes=tuple(HoleNote(iso_ms(h.from_ns), iso_ms(h.to_ns), h.reason) for h in holes),
        )

    def _finish(self) -> Verdict:
        if self._journal.complete:
            return self._verify(parquet.open_times(self._path) if self._is_parquet else _open_times(self._path))
        verdict = self._verify(_open_times(self._part))
        if not verdict.whole:
            return verdict
        finished = self._part
        if self._is_parquet:
            finished = self._path.with_name(f"{self._path.name}.new")
            parquet.write(self._part, finished)
            verdict = self._verify(parquet.open_times(finished))
            if not verdict.whole:
                return verdict
            with finished.open("r+b") as file:
                os.fsync(file.fileno())
        size = finished.stat().st_size
        os.replace(finished, self._path)
        self._sync_directory()
        self._save(complete=True, bytes=size)
        return verdict

    def _verify(self, open_times: Iterator[int]) -> Verdict:
        return verify(self._series.interval, self._series.from_ns, self.done_ns, open_times, self.holes)

    def _write(self, text: bytes) -> None:
        file, rest = self._opened(), memoryview(text)
        while rest:
            rest = rest[file.write(rest) :]

    def _save(self, **changed: object) -> None:
        """Sync the rows, then replace the journal: it never vouches for what is not there."""
        journal = msgspec.structs.replace(self._journal, **changed)
        os.fsync(self._opened().fileno())
        fresh = self._journal_path.with_name(f"{self._journal_path.name}.new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(journal), indent=1) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self._journal_path)
        self._journal = journal
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _opened(self) -> FileIO:
        assert self._file is not None, "the archive is open"
        return self._file


def _open_times(path: Path) -> Iterator[int]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows, None)
        for cells in rows:
            # What cannot be read is no open time of any candle.
            opened = -1
            with contextlib.suppress(IndexError, ValueError):
                opened = from_iso(cells[_OPEN_TIME])
            yield opened
