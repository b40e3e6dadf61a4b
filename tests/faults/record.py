"""What stands on the streams in the end, held against the simulator's own ledger."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from typing import Final, Self

import msgspec

from heliograph.bus import keys
from heliograph.bus.cluster_reader import ClusterReader
from heliograph.bus.opening import open_reader
from heliograph.bus.reader import Entry, Reader
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Gap, Trade
from heliograph.model.wire import decode_candle, decode_trade
from heliograph.sim.audit import Verdict, audit_candles, audit_trades
from heliograph.venues.scene import Aggregate, Bar
from tests.faults.house import House

RECOVERY_S_MAX: Final = 30.0
"""How long a death may keep any instrument away."""

_UNTOLD: Final = Decimal(0)


class _Bar(msgspec.Struct):
    open_ns: int
    close_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    base_volume: Decimal
    quote_volume: Decimal
    trade_count: int

    def as_bar(self) -> Bar:
        return Bar(
            self.open_ns, self.close_ns, self.open, self.high, self.low, self.close, self.base_volume,
            self.quote_volume, _UNTOLD, _UNTOLD, self.trade_count, -1, -1,
        )  # fmt: skip


class _Bars(msgspec.Struct):
    candles: list[_Bar]


class _Trades(msgspec.Struct):
    trades: list[Aggregate]


class Record(msgspec.Struct):
    """All streams of a house, and how they differ from the truth."""

    entries: int = 0
    closed: int = 0
    trades: int = 0
    gaps: int = 0
    """Explicit gaps: what was lost is told, but lost all the same."""
    late: int = 0
    """Live revisions of a bar that stand after its final one."""
    misread: int = 0
    """Streams of which a reader who followed them was given something else than what stands there."""
    candle_verdict: Verdict = Verdict()
    trade_verdict: Verdict = Verdict()

    @property
    def faithful(self) -> bool:
        return self.candle_verdict.faithful and self.trade_verdict.faithful and not self.gaps and not self.late

    def __add__(self, other: Self) -> "Record":
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Record(*(one + another for one, another in zip(mine, theirs, strict=True)))

    def __str__(self) -> str:
        both = self.candle_verdict + self.trade_verdict
        return (
            f"entries {self.entries} (closed candles {self.closed}, trades {self.trades}), expected {both.expected}, "
            f"lost {both.lost}, doubled {both.doubled}, invented {both.invented}, wrong {both.wrong}, "
            f"disordered {both.disordered}, gaps {self.gaps}, late {self.late}, misread {self.misread}"
        )


async def judge(house: House, record: Record) -> None:
    """Wait until the streams have come to the present, end the feed in order, and hold them against the truth.

    The truth begins where a stream does, and where the venue was first seen to send it at the latest.
    """
    until_ns = Interval.M1.next_open(house.clock.now_ns())
    await house.until_closed(until_ns)
    ends: dict[str, int] = {}
    for instrument in house.instruments:
        if trades := await _trades(house, instrument, house.base_ns, until_ns):
            ends[keys.of_kind(instrument, Trade)] = trades[-1].id
    await house.until_traded(ends)
    await house.stop_feeds()
    async with open_reader(house.url, {}) as reader:
        for instrument in house.instruments:
            await _judge_candles(record, house, reader, instrument, until_ns)
            await _judge_trades(record, house, reader, instrument, until_ns)
            gaps = await reader.entries(keys.of_kind(instrument, Gap))
            record.gaps += len(gaps)
            record.entries += len(gaps)


async def _judge_candles(
    record: Record, house: House, reader: Reader | ClusterReader, instrument: Instrument, until_ns: int
) -> None:
    entries = await reader.entries(keys.candles(instrument, Interval.M1))
    told = [decode_candle(entry.data, instrument, 0) for entry in entries]
    closed = [candle for candle in told if candle.closed]
    from_ns = min(closed[0].open_ns, Interval.M1.next_open(house.base_ns))
    answer = await house.ledger(symbol=instrument.venue_symbol, kind="candles", from_ns=from_ns, to_ns=until_ns)
    bars = msgspec.json.decode(answer, type=_Bars).candles
    record.entries += len(entries)
    record.closed += len(closed)
    record.late += _late(told)
    record.misread += _misread(house, entries)
    record.candle_verdict += audit_candles([bar.as_bar() for bar in bars], told)
    rest = {bar.open_ns: (bar.close_ns, bar.base_volume, bar.quote_volume) for bar in bars}
    wrong = sum(c.open_ns in rest and rest[c.open_ns] != (c.close_ns, c.base_volume, c.quote_volume) for c in closed)
    record.candle_verdict += Verdict(wrong=wrong)


async def _judge_trades(
    record: Record, house: House, reader: Reader | ClusterReader, instrument: Instrument, until_ns: int
) -> None:
    entries = await reader.entries(keys.of_kind(instrument, Trade))
    told = [decode_trade(entry.data, instrument, 0) for entry in entries]
    first_ns = told[0].event_ns
    assert first_ns is not None
    truth = await _trades(house, instrument, min(first_ns, house.base_ns), until_ns)
    record.entries += len(entries)
    record.trades += len(told)
    record.misread += _misread(house, entries)
    record.trade_verdict += audit_trades(truth, told)


def _late(told: Sequence[Candle]) -> int:
    newest_ns = late = 0
    for candle in told:
        if candle.closed:
            newest_ns = max(newest_ns, candle.open_ns)
        else:
            late += candle.open_ns <= newest_ns
    return late


def _misread(house: House, entries: Sequence[Entry]) -> bool:
    """Tell whether the follower, who may not have come to the end yet, was given anything else than these."""
    given = house.tail[entries[0].stream]
    return given != [entry.id for entry in entries[: len(given)]]


async def _trades(house: House, instrument: Instrument, from_ns: int, until_ns: int) -> list[Aggregate]:
    answer = await house.ledger(symbol=instrument.venue_symbol, kind="trades", from_ns=from_ns, to_ns=until_ns)
    return msgspec.json.decode(answer, type=_Trades).trades


@asynccontextmanager
async def standing(
    rng: Random, say: Callable[[str], None], *, nodes: bool = False, **switches: str
) -> AsyncIterator[tuple[House, Record]]:
    """Run a house; when the body has done its worst, judge the record, which is filled in then."""
    began_s = time.monotonic()
    async with House(rng, nodes=nodes, **switches) as house:
        record = Record()
        yield house, record
        await house.recovered()
        await judge(house, record)
        say(f"kills {dict(house.kills)}, gave up {house.gave_up}, {time.monotonic() - began_s:.0f} s")
        say(f"{record}")
        for process in (house.feed, *house.others, house.simulator):
            assert "Traceback" not in process.log(), process.log()


async def recovered(house: House, say: Callable[[str], None], what: str) -> None:
    """Wait until every instrument has a bar that closed after this moment, and say how long that took."""
    began_s = time.monotonic()
    await house.recovered()
    took_s = time.monotonic() - began_s
    say(f"{what}: every instrument again after {took_s:.1f} s")
    assert took_s < RECOVERY_S_MAX
