import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from heliograph.errors import ConfigError
from heliograph.marketdata.archive import FORMATS, Archive, file_name
from heliograph.marketdata.download import Part
from heliograph.marketdata.history import Hole, Series, Span, Verdict, parts
from heliograph.model.instrument import SPOT, Instrument, MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle
from tests.marketdata.conftest import BASE_NS, BTC, MINUTE_NS

MakeCandle = Callable[..., Candle]
PART = 7


class Killed(BaseException):
    """What a process that is killed would not survive."""


@contextlib.contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Kill whoever syncs or renames for the n-th time, before it happens; yield what did happen."""
    steps: list[str] = []

    def mortal(name: str) -> Callable[..., object]:
        original = getattr(os, name)

        def call(*arguments: object, **named: object) -> object:
            if len(steps) == step:
                raise Killed
            steps.append(name)
            return original(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        for name in ("fsync", "replace"):
            patch.setattr(os, name, mortal(name))
        yield steps


def series(bars: int, *, begin: int = 0) -> Series:
    return Series(BTC, Interval.M1, BASE_NS + begin * MINUTE_NS, BASE_NS + bars * MINUTE_NS)


def part(candle: MakeCandle, span: Span, absent: set[int]) -> Part:
    bars = range((span.from_ns - BASE_NS) // MINUTE_NS, (span.to_ns - BASE_NS) // MINUTE_NS)
    held = [candle(bar, closed=True, close=f"{100 + bar}.50") for bar in bars if bar not in absent]
    holes = [
        Hole(BASE_NS + bar * MINUTE_NS, BASE_NS + (bar + 1) * MINUTE_NS, "none here") for bar in bars if bar in absent
    ]
    return Part(span, held, holes)


@asynccontextmanager
async def opened(path: Path, wanted: Series) -> AsyncIterator[Archive]:
    archive = Archive(path, wanted)
    try:
        await archive.open()
        yield archive
    finally:
        await archive.close()


async def fill(path: Path, wanted: Series, candle: MakeCandle, absent: set[int]) -> Verdict:
    """Do what a backfill does, from wherever the file is."""
    async with opened(path, wanted) as archive:
        for span in parts(wanted.interval, archive.done_ns, wanted.to_ns, PART):
            await archive.commit(part(candle, span, absent))
        return await archive.finish()


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("file_format", FORMATS)
async def test_a_file_is_the_same_however_often_its_making_was_killed(
    file_format: str, tmp_path: Path, candle: MakeCandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every sync and every rename, in turn: the next run ends with the bytes of a run that nobody killed."""
    wanted, absent = series(40), {0, 6, 7, 8, 20, 39}
    whole = tmp_path / "whole"
    with killed_at(-1, monkeypatch) as steps:
        verdict = await fill(whole / f"x.{file_format}", wanted, candle, absent)
    assert verdict == Verdict(34)
    expected = content(whole)
    assert set(expected) == {f"x.{file_format}", f"x.{file_format}.journal"}
    assert len(steps) > 20
    for step in range(len(steps)):
        folder = tmp_path / str(step)
        path = folder / f"x.{file_format}"
        with killed_at(step, monkeypatch), pytest.raises(Killed):
            await fill(path, wanted, candle, absent)
        torn = path.with_name(f"{path.name}.part")
        if torn.exists():  # Rows that were under way reach the disk in part.
            with torn.open("ab") as file:
                file.write(b"binance,BTC/USDT,1m,2026-")
        assert (await fill(path, wanted, candle, absent)).whole, step
        assert content(folder) == expected, f"killed at step {step}, {steps[step]}"


@pytest.mark.parametrize("file_format", FORMATS)
async def test_a_finished_file_is_extended_and_stays_readable_meanwhile(
    file_format: str, tmp_path: Path, candle: MakeCandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = {5, 12, 13}
    await fill(tmp_path / "at_once" / f"x.{file_format}", series(30), candle, absent)
    path = tmp_path / "by_and_by" / f"x.{file_format}"
    for bars in (12, 13, 22, 30):
        before = path.read_bytes() if path.exists() else b""
        for step in (0, 2, 5):
            with killed_at(step, monkeypatch), pytest.raises(Killed):
                await fill(path, series(bars), candle, absent)
            assert not before or path.read_bytes() == before
        await fill(path, series(bars), candle, absent)
    assert content(tmp_path / "by_and_by") == content(tmp_path / "at_once")


@pytest.mark.parametrize("file_format", FORMATS)
async def test_what_is_finished_is_verified_again_and_left_alone(
    file_format: str, tmp_path: Path, candle: MakeCandle
) -> None:
    path = tmp_path / f"x.{file_format}"
    await fill(path, series(20), candle, {3})
    before = content(tmp_path)
    for bars in (20, 10):
        async with opened(path, series(bars)) as archive:
            assert archive.done_ns == series(20).to_ns
            assert await archive.finish() == Verdict(19)
    assert content(tmp_path) == before


async def test_a_file_that_lacks_a_row_is_not_called_whole(tmp_path: Path, candle: MakeCandle) -> None:
    path = tmp_path / "x.csv"
    async with opened(path, series(10)) as archive:
        told = part(candle, Span(BASE_NS, series(10).to_ns), {4})
        await archive.commit(Part(told.span, told.candles, []))
        verdict = await archive.finish()
    assert verdict.missing == (Span(BASE_NS + 4 * MINUTE_NS, BASE_NS + 5 * MINUTE_NS),)
    assert not path.exists()


@pytest.mark.parametrize("file_format", FORMATS)
async def test_a_finished_file_that_was_changed_is_noticed(
    file_format: str, tmp_path: Path, candle: MakeCandle
) -> None:
    path = tmp_path / f"x.{file_format}"
    await fill(path, series(20), candle, set())
    with path.open("ab") as file:
        file.write(b"\n")
    with pytest.raises(ConfigError, match="not what its journal says"):
        await fill(path, series(30), candle, set())
    path.unlink()
    with pytest.raises(ConfigError, match="it is gone"):
        await fill(path, series(30), candle, set())


async def test_rows_that_were_lost_are_not_taken_for_written(tmp_path: Path, candle: MakeCandle) -> None:
    path = tmp_path / "x.csv"
    async with opened(path, series(20)) as archive:
        await archive.commit(part(candle, Span(BASE_NS, BASE_NS + 7 * MINUTE_NS), set()))
    torn = path.with_name("x.csv.part")
    torn.write_bytes(torn.read_bytes()[:-1])
    with pytest.raises(ConfigError, match="fewer than"):
        await fill(path, series(20), candle, set())


async def test_a_file_of_something_else_is_refused(tmp_path: Path, candle: MakeCandle) -> None:
    path = tmp_path / "x.csv"
    await fill(path, series(20), candle, set())
    before = content(tmp_path)
    ether = msgspec.structs.replace(BTC, venue_symbol="ETHUSDT")
    for other in (
        series(20, begin=1),
        msgspec.structs.replace(series(20), instrument=ether),
        msgspec.structs.replace(series(20), interval=Interval.M5),
    ):
        with pytest.raises(ConfigError, match="another --file"):
            await fill(path, other, candle, set())
    assert content(tmp_path) == before
    stranger = tmp_path / "mine.csv"
    stranger.write_text("do not touch")
    with pytest.raises(ConfigError, match="moved away"):
        await fill(stranger, series(20), candle, set())
    assert stranger.read_text() == "do not touch"
    (tmp_path / "x.csv.journal").write_text("{}")
    with pytest.raises(ConfigError, match="not the journal"):
        await fill(path, series(20), candle, set())


async def test_two_backfills_of_one_file_are_one_too_many(tmp_path: Path, candle: MakeCandle) -> None:
    path = tmp_path / "x.csv"
    async with opened(path, series(20)):
        with pytest.raises(ConfigError, match="another backfill"):
            await fill(path, series(20), candle, set())
    assert (await fill(path, series(20), candle, set())).whole


async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, candle: MakeCandle) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        await fill(tmp_path / "file" / "x.csv", series(20), candle, set())


def test_files_of_two_series_have_two_names_also_where_case_does_not_count() -> None:
    future = msgspec.structs.replace(BTC, market=MarketId("usdm"))
    dex = Instrument(VenueId("hyperliquid"), SPOT, "xyz:XYZ100")
    names = [
        file_name(BTC, Interval.M1, "csv"),
        file_name(BTC, Interval.MO1, "csv"),
        file_name(future, Interval.M1, "csv"),
        file_name(dex, Interval.M1, "parquet"),
    ]
    assert names == [
        "binance_BTCUSDT_1m.csv",
        "binance_BTCUSDT_1mo.csv",
        "binance_usdm_BTCUSDT_1m.csv",
        "hyperliquid_xyz%3AXYZ100_1m.parquet",
    ]
