"""`heliograph backfill`, as its users run it."""

import asyncio
import csv
import json
import os
import pty
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from heliograph.bus import keys
from heliograph.bus.embedded import Server
from heliograph.bus.reader import Reader
from heliograph.cli.backfill import Order, check, exit_code, line
from heliograph.clock import iso_ms
from heliograph.errors import ConfigError
from heliograph.marketdata.collect import Outcome, Progress
from heliograph.marketdata.history import Hole, Series, Verdict
from heliograph.model import wire
from heliograph.model.interval import Interval
from heliograph.sim import Fault, FaultKind
from heliograph.sim.audit import audit_candles
from heliograph.sim.layouts import layout_of
from tests.cli.commands import PROGRAM, RUN_S_MAX, START_S_MAX, finished
from tests.marketdata.conftest import BTC
from tests.marketdata.past import EPOCH_NS, MINUTE_NS, PLAYED, Past, past, without

FROM, TO = iso_ms(EPOCH_NS - 300 * MINUTE_NS), iso_ms(EPOCH_NS)


class Run:
    """A running backfill, whose log says which parts it has written."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.error = b""

    async def parts(self, count: int) -> bool:
        """Wait until so many parts are written; false if it ends before."""
        assert self.process.stderr is not None
        seen = 0
        async with asyncio.timeout(START_S_MAX):
            while seen < count:
                told = await self.process.stderr.readline()
                if not told:
                    return False
                self.error += told
                seen += b"part written" in told
        return True

    async def ended(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and what it printed."""
        async with asyncio.timeout(RUN_S_MAX):
            out, error = await self.process.communicate()
        self.error += error
        assert self.process.returncode is not None
        return self.process.returncode, out.decode()


@asynccontextmanager
async def backfilling(here: Past, *arguments: str) -> AsyncIterator[Run]:
    """Run `heliograph backfill` against a venue that this process plays."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        "backfill",
        *arguments,
        "--endpoint",
        here.markets["spot"].rest_url,
        env={**os.environ, "CONNECTOR_LOG_LEVEL": "DEBUG"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Run(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def wish(*more: str, venue: str = "binance", symbol: str = "BTC/USDT") -> Sequence[str]:
    return (venue, symbol, "--market", "spot", "--from", FROM, "--to", TO, "--part", "10", *more)


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(("venue", "output"), [("binance", "csv"), ("okx", "parquet")])
async def test_a_file_is_the_same_after_any_number_of_kills(venue: str, output: str, tmp_path: Path) -> None:
    async with past(venue) as here:
        symbol = (await here.first("spot")).venue_symbol
        arguments = wish("--output", output, "--directory", venue=venue, symbol=symbol)
        async with backfilling(here, *arguments, str(tmp_path / "whole")) as run:
            code, told = await run.ended()
            assert code == 0, run.error
            assert "300 candles, each once" in told
        torn = tmp_path / "torn"
        kills = 0
        for parts in (1, 6, 3):
            async with backfilling(here, *arguments, str(torn)) as run:
                if await run.parts(parts):
                    run.process.send_signal(signal.SIGKILL)
                kills += (await run.ended())[0] == -signal.SIGKILL
        assert kills >= 2
        async with backfilling(here, *arguments, str(torn)) as run:
            assert (await run.ended())[0] == 0, run.error
        assert content(torn) == content(tmp_path / "whole")


async def test_a_stream_is_whole_and_in_order_after_any_number_of_kills(valkey: Server) -> None:
    async with past() as here:
        arguments = wish("--output", "stream", "--valkey", valkey.url)
        kills = 0
        for parts in (1, 4):
            async with backfilling(here, *arguments) as run:
                if await run.parts(parts):
                    run.process.send_signal(signal.SIGKILL)
                kills += (await run.ended())[0] == -signal.SIGKILL
        assert kills >= 1
        async with backfilling(here, *arguments) as run:
            assert (await run.ended())[0] == 0, run.error
        btc = await here.instrument("spot", "BTCUSDT")
        async with Reader(valkey.url, {}) as reader:
            entries = await reader.entries(keys.candles(btc, Interval.M1))
        truth = here.sim.ledger.candles("spot", "BTCUSDT", Interval.M1, EPOCH_NS - 300 * MINUTE_NS, EPOCH_NS)
        told = [wire.decode_candle(entry.data, btc, 0) for entry in entries]
        verdict = audit_candles(truth, told)
        assert verdict.faithful, verdict
        assert (verdict.expected, len(told)) == (300, 300)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_leaves_what_the_same_command_goes_on_with(number: int, code: int, tmp_path: Path) -> None:
    async with past() as here:
        arguments = wish("--part", "3", "--concurrency", "1", "--directory", str(tmp_path))
        async with backfilling(here, *arguments) as run:
            assert await run.parts(2)
            run.process.send_signal(number)
            assert (await run.ended())[0] == code
            assert b"the same command goes on" in run.error
            assert b"Traceback" not in run.error
        async with backfilling(here, *arguments, "--json") as run:
            ended, told = await run.ended()
        assert ended == 0
        (outcome,) = json.loads(told)["series"]
        assert outcome["candles"] == 300
        assert json.loads(told)["requests"] < 100, "what was written is not asked for again"


async def test_holes_of_the_venue_are_told_and_are_an_error_only_to_the_strict(tmp_path: Path) -> None:
    absent = {EPOCH_NS - minute * MINUTE_NS for minute in (120, 119, 118)}
    async with past(filtered=without(absent)) as here:
        arguments = wish("--directory", str(tmp_path))
        async with backfilling(here, *arguments) as run:
            code, told = await run.ended()
            assert code == 0, run.error
            assert "297 candles" in told
            assert f"hole from {iso_ms(EPOCH_NS - 120 * MINUTE_NS)[:-5]}" in told
            assert "(3): the venue has no candle here" in told
        async with backfilling(here, *arguments, "--strict") as run:
            assert (await run.ended())[0] == 1


async def test_what_the_venue_refuses_is_one_line_and_what_was_written_stays(tmp_path: Path) -> None:
    async with past() as here:
        arguments = wish("--concurrency", "1", "--directory", str(tmp_path))
        async with backfilling(here, *arguments) as run:
            assert await run.parts(1)
            await here.sim.fault(Fault(FaultKind.HTTP, match="klines", status=400, count=1))
            code, told = await run.ended()
            assert code == 1
            assert "incomplete, binance refused" in told
            assert told.count("\n") == 1
        async with backfilling(here, *arguments) as run:
            assert (await run.ended())[0] == 0


@pytest.mark.parametrize("venue", PLAYED)
def test_simulated_venues_have_a_past_to_write(venue: str, tmp_path: Path) -> None:
    market, lists = next(iter(layout_of(venue).listers.items()))
    symbols = [rules.listing.symbol for rules in lists(2, time.time_ns()) if rules.listing.expiry_ns is None][:2]
    since = iso_ms(time.time_ns() - 60 * MINUTE_NS)
    chosen = (venue, *symbols, "-m", market)
    done = finished("backfill", *chosen, "--from", since, "--simulated", "--json", "-d", str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["series"]
    assert len(told) == 2
    assert all(one["verified"] and one["holes"] == [] and one["candles"] >= 55 for one in told)
    for one in told:
        with Path(one["where"]).open() as file:
            assert len(list(csv.DictReader(file))) == one["candles"]


def test_a_terminal_has_a_bar(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    since = iso_ms(time.time_ns() - 100 * MINUTE_NS)
    arguments = ("backfill", "binance", "BTCUSDT", "-m", "spot", "--from", since, "--simulated", "-d", str(tmp_path))
    pid = os.fork()
    if pid == 0:
        os.dup2(theirs, 2)
        os.execv(PROGRAM, [str(PROGRAM), *arguments])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    shown = os.read(ours, 1 << 20)
    os.close(ours)
    os.close(theirs)
    assert b"candles" in shown
    assert b"requests" in shown


def test_elsewhere_a_line_says_how_far_it_is() -> None:
    progress = Progress()
    assert line(progress, 0.0) == "backfill: asking what there is"
    progress.total, progress.done = 400, 100
    assert line(progress, 12.4) == "backfill: 100 of 400 candles (25 %), 12/s"


def order(**changed: object) -> Order:
    asked: dict[str, object] = {"venue": "binance", "markets": ["spot"], "symbols": ["BTCUSDT"], "begin": "2026-01-01"}
    return Order(**(asked | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "output"),
    [
        ({}, "csv"),
        ({"file": Path("x.parquet")}, "parquet"),
        ({"valkey_url": "redis://127.0.0.1"}, "stream"),
        ({"output": "parquet"}, "parquet"),
    ],
)
def test_what_is_not_said_follows_from_what_is(changed: dict[str, object], output: str) -> None:
    assert check(order(**changed)).output == output


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"venue": "mtgox"}, "Unsupported exchange"),
        ({"markets": ["banana"]}, "banana"),
        ({"markets": []}, "needs a market"),
        ({"interval": "7m"}, "unknown interval"),
        ({"interval": "2d"}, "no interval"),
        ({"begin": "tomorrow"}, "not a time"),
        ({"end": "2025-01-01"}, "is not after"),
        ({"output": "xml"}, "unknown output"),
        ({"file": Path("x.txt")}, "unknown output"),
        ({"file": Path("x.csv"), "output": "parquet"}, "--file x.csv"),
        ({"file": Path("x.csv"), "output": "stream"}, "--file x.csv"),
        ({"valkey_url": "redis://127.0.0.1", "output": "csv"}, "--output stream"),
        ({"key_prefix": "history:"}, "--output stream"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check(order(**changed))


def test_an_unknown_symbol_and_one_file_for_two_are_refused_on_one_line(tmp_path: Path) -> None:
    simulated = ("-m", "spot", "--from", iso_ms(time.time_ns() - 100 * MINUTE_NS), "--simulated")
    for arguments, said in (
        (("BTCUSDTX",), b"BTCUSDT"),
        (("BTCUSDT", "ETHUSDT", "--file", str(tmp_path / "x.csv")), b"several instruments"),
    ):
        done = finished("backfill", "binance", *arguments, *simulated)
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stderr.count(b"\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_exit_code_tells_whether_all_is_whole() -> None:
    one = Series(BTC, Interval.M1, 0, 1)
    hole = (Hole(0, 1, "none"),)
    whole = Outcome(one, "x", 1, (), Verdict(1))
    holed = Outcome(one, "x", 1, hole, Verdict(1))
    broken = Outcome(one, "x", 1, (), Verdict(1, doubled=1))
    failed = Outcome(one, "x", 1, (), None, "away")
    assert exit_code([whole, holed], strict=False) == 0
    assert exit_code([whole, holed], strict=True) == 1
    assert exit_code([whole, broken], strict=False) == 1
    assert exit_code([failed], strict=False) == 1
