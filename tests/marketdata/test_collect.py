import asyncio
import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from heliograph.clock import NS_PER_S, from_iso
from heliograph.errors import ConfigError
from heliograph.marketdata.archive import Archive
from heliograph.marketdata.collect import Collection, Outcome
from heliograph.marketdata.download import ABSENT, Downloader, Part
from heliograph.marketdata.history import Hole, Series, Span
from heliograph.model.market import Candle
from heliograph.sim import Fault, FaultKind
from tests.marketdata.field import eventually
from tests.marketdata.past import EPOCH_NS, HISTORY_MINUTES, MINUTE_NS, PLAYED, Past, past, without


def archive(folder: Path, wanted: Series) -> Archive:
    return Archive(folder / f"{wanted.instrument.pair}_{wanted.instrument.market}.csv", wanted)


def candles_in(path: str, wanted: Series) -> list[Candle]:
    """Read a file as its user would, and make candles of it for the judge."""
    rows = csv.DictReader(io.StringIO(Path(path).read_text()))
    return [
        Candle(
            wanted.instrument,
            wanted.interval,
            from_iso(row["open_time"]),
            from_iso(row["close_time"]),
            Decimal(row["open"]),
            Decimal(row["high"]),
            Decimal(row["low"]),
            Decimal(row["close"]),
            *(Decimal(row[name]) if row[name] else None for name in ("base_volume", "quote_volume", "contracts")),
            int(row["trade_count"]) if row["trade_count"] else None,
            row["closed"] == "true",
            None,
            0,
        )
        for row in rows
    ]


class Counting(Downloader):
    """Counts the parts that are under way, or done and not yet written."""

    under_way = 0
    most = 0

    async def part(self, series: Series, span: Span) -> Part:
        type(self).under_way += 1
        type(self).most = max(self.most, self.under_way)
        return await super().part(series, span)


class CountingArchive(Archive):
    async def commit(self, part: Part) -> None:
        await super().commit(part)
        Counting.under_way -= 1


async def all_series(here: Past, minutes: int) -> list[Series]:
    return [
        msgspec.structs.replace(await here.series(market, minutes), instrument=instrument)
        for market in here.markets
        for instrument in (await here.instruments(market))[:2]
    ]


def check_all(here: Past, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        assert outcome.whole, outcome
        verdict = here.judge(outcome.series, candles_in(outcome.where, outcome.series), outcome.holes, outcome.until_ns)
        assert verdict.faithful, (outcome.series.name, verdict)


@pytest.mark.parametrize("venue", PLAYED)
async def test_series_of_all_markets_are_collected_together_and_each_is_what_happened(
    venue: str, tmp_path: Path
) -> None:
    async with past(venue) as here:
        wanted = await all_series(here, 200)
        collection = Collection(concurrency=4, part_candles=23)
        outcomes = await collection.run(
            [(one, here.downloader(one.instrument.market), archive(tmp_path, one)) for one in wanted]
        )
        check_all(here, outcomes)
        assert collection.progress.total == 200 * len(wanted)
        left = sum((one.to_ns - outcome.until_ns) // MINUTE_NS for one, outcome in zip(wanted, outcomes, strict=True))
        assert collection.progress.done == collection.progress.total - left


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_parts_under_way_are_bounded_over_all_series(concurrency: int, tmp_path: Path) -> None:
    Counting.under_way = Counting.most = 0
    async with past() as here:
        wanted = await all_series(here, 100)
        work = []
        for one in wanted:
            plain = here.downloader(one.instrument.market)
            counting = Counting(plain.market, here.client, here.clock, plain._rng, plain._settings)
            work.append((one, counting, CountingArchive(tmp_path / f"{one.instrument.id}.csv", one)))
        outcomes = await Collection(concurrency, part_candles=9).run(work)
        check_all(here, outcomes)
        assert Counting.most == concurrency
        assert Counting.under_way == 0


@pytest.mark.parametrize("venue", PLAYED)
async def test_t28_parts_in_parallel_stay_within_the_venues_limits(venue: str, tmp_path: Path) -> None:
    """More requests than OKX takes in two seconds, from more hands than it has turns, and no refusal."""
    async with past(venue) as here:
        wanted = await all_series(here, 100)
        outcomes = await Collection(16, part_candles=12).run(
            [(one, here.downloader(one.instrument.market), archive(tmp_path, one)) for one in wanted]
        )
        check_all(here, outcomes)
        assert sum(here.client.pools.limited.values()) == 0


async def test_what_goes_wrong_with_one_series_does_not_stop_the_others_and_is_mended_by_the_next_run(
    tmp_path: Path,
) -> None:
    async with past() as here:
        wanted = await all_series(here, 100)
        work = [(one, here.downloader(one.instrument.market), archive(tmp_path, one)) for one in wanted]
        await here.sim.fault(Fault(FaultKind.HTTP, market="usdm", match="klines", status=400, count=1))
        outcomes = await Collection(4, part_candles=30).run(work)
        failed = [outcome for outcome in outcomes if outcome.error is not None]
        assert {outcome.series.instrument.market for outcome in failed} == {"usdm"}
        assert all("refused" in (outcome.error or "") and not outcome.whole for outcome in failed)
        check_all(here, [outcome for outcome in outcomes if outcome not in failed])
        again = Collection(4, part_candles=30)
        outcomes = await again.run(
            [(one, here.downloader(one.instrument.market), archive(tmp_path, one)) for one in wanted]
        )
        check_all(here, outcomes)
        assert again.progress.resumed >= 500


async def test_a_cancelled_collection_goes_on_where_it_was_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    async with past() as here:
        wanted = await here.series("spot", 300)
        whole, torn = tmp_path / "whole", tmp_path / "torn"
        await Collection(3, part_candles=20).run([(wanted, here.downloader("spot"), archive(whole, wanted))])
        resumed = []
        for at_least in (0, 60, 200):
            collection = Collection(3, part_candles=20)
            running = asyncio.create_task(collection.run([(wanted, here.downloader("spot"), archive(torn, wanted))]))
            await eventually(lambda c=collection, n=at_least: c.progress.done > n)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            resumed.append(collection.progress.resumed)
        (outcome,) = await Collection(3, part_candles=20).run(
            [(wanted, here.downloader("spot"), archive(torn, wanted))]
        )
        check_all(here, [outcome])
        assert resumed[0] == 0
        assert 0 < resumed[1] < resumed[2] < 300
        for file in whole.iterdir():
            assert (torn / file.name).read_bytes() == file.read_bytes()


async def test_holes_of_the_venue_are_told_across_parts_and_the_rest_is_whole(tmp_path: Path) -> None:
    absent = {EPOCH_NS - minute * MINUTE_NS for minute in range(130, 170)}
    async with past(filtered=without(absent)) as here:
        wanted = await here.series("spot", 300)
        (outcome,) = await Collection(3, part_candles=20).run(
            [(wanted, here.downloader("spot"), archive(tmp_path, wanted))]
        )
        assert outcome.whole
        assert outcome.holes == (Hole(EPOCH_NS - 169 * MINUTE_NS, EPOCH_NS - 129 * MINUTE_NS, ABSENT),)
        assert outcome.verdict is not None
        assert outcome.verdict.candles == 260


@pytest.mark.parametrize("venue", PLAYED)
async def test_a_beginning_long_before_the_venues_costs_few_requests(venue: str, tmp_path: Path) -> None:
    async with past(venue) as here:
        downloader = here.downloader("spot")
        wanted = await here.series("spot", 30 * 1440)
        (outcome,) = await Collection(3, part_candles=1000).run([(wanted, downloader, archive(tmp_path, wanted))])
        assert outcome.whole
        check_all(here, [outcome])
        begun_ns = EPOCH_NS - HISTORY_MINUTES * MINUTE_NS
        assert sum(h.to_ns - h.from_ns for h in outcome.holes if h.to_ns <= begun_ns) == begun_ns - wanted.from_ns
        assert outcome.holes[0].from_ns == wanted.from_ns
        if venue != "coinbase":  # It tells nothing of a day that is not over, and the world is no older than that.
            assert downloader.requests < 30, "30 days by parts would be 43 and more"


async def test_a_series_ends_where_the_venue_has_closed_no_more_and_goes_on_from_there(tmp_path: Path) -> None:
    absent = {EPOCH_NS - minute * MINUTE_NS for minute in (1, 2)}
    lagging = True

    def behind(path: str, body: bytes) -> bytes:
        return without(absent)(path, body) if lagging else body

    async with past(filtered=behind) as here:
        wanted = await here.series("spot", 50)
        for until_ns in (EPOCH_NS - 2 * MINUTE_NS, EPOCH_NS):
            (outcome,) = await Collection(2, part_candles=20).run(
                [(wanted, here.downloader("spot"), archive(tmp_path, wanted))]
            )
            assert outcome.whole
            assert outcome.holes == ()
            assert outcome.until_ns == until_ns
            lagging = False
        check_all(here, [outcome])


async def test_a_series_stops_at_a_candle_that_nothing_proves_closed_also_between_its_parts(tmp_path: Path) -> None:
    async with past(filtered=without({EPOCH_NS - minute * MINUTE_NS for minute in range(100)})) as here:
        wanted = await here.series("spot", 300)
        for _ in range(2):
            (outcome,) = await Collection(8, part_candles=20).run(
                [(wanted, here.downloader("spot"), archive(tmp_path, wanted))]
            )
            assert outcome.whole
            assert outcome.holes == ()
            assert outcome.until_ns == EPOCH_NS - 100 * MINUTE_NS


async def test_a_store_that_cannot_take_its_series_stops_all_before_anything_is_asked(tmp_path: Path) -> None:
    async with past() as here:
        one, other = await here.series("spot", 100), await here.series("usdm", 100)
        mine = tmp_path / archive(tmp_path, other).where
        mine.write_text("mine")
        downloader = here.downloader("spot")
        with pytest.raises(ConfigError, match="moved away"):
            await Collection(2).run(
                [(one, downloader, archive(tmp_path, one)), (other, downloader, archive(tmp_path, other))]
            )
        assert downloader.requests == 0
        here.clock.advance(NS_PER_S)
        (outcome,) = await Collection(2).run([(one, downloader, archive(tmp_path, one))])
        check_all(here, [outcome])
