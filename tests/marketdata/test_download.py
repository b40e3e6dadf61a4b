from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest

from heliograph.clock import NS_PER_S
from heliograph.errors import DecodeError, VenueRejected, VenueUnreachable
from heliograph.marketdata import download
from heliograph.marketdata.history import Hole, Span
from heliograph.model.interval import Interval
from heliograph.model.market import Candle
from heliograph.sim import Fault, FaultKind
from tests.marketdata.past import EPOCH_NS, IMPATIENT, MINUTE_NS, PLAYED, past, without

CANDLES = {"binance": "klines", "bybit": "kline", "hyperliquid": "/info"}
"""What the paths of requests for candles have in them, where that is not their usual name."""
HURT = [
    Fault(FaultKind.HTTP, status=500, count=2),
    Fault(FaultKind.HTTP, status=429, count=1),
    Fault(FaultKind.HTTP, status=503, count=7),
    Fault(FaultKind.SLOW, delay_s=0.05, count=3),
    Fault(FaultKind.WRONG_JSON, count=2),
]


@pytest.mark.parametrize("venue", PLAYED)
async def test_a_part_is_what_happened_at_every_market_of_every_venue_that_can_be_played(venue: str) -> None:
    async with past(venue) as here:
        for market in here.markets:
            wanted = await here.series(market, 300)
            part = await here.downloader(market).part(wanted, Span(wanted.from_ns, wanted.to_ns))
            assert all(candle.closed for candle in part.candles)
            verdict = here.judge_part(wanted, part)
            assert verdict.faithful, (market, verdict)
            holes = sum((hole.to_ns - hole.from_ns) // MINUTE_NS for hole in part.holes)
            left = (wanted.to_ns - part.span.to_ns) // MINUTE_NS
            assert verdict.expected + holes + left == 300


@pytest.mark.parametrize("interval", [Interval.M5, Interval.M15, Interval.H1])
@pytest.mark.parametrize("venue", PLAYED)
async def test_other_lengths_of_candles_lie_on_their_grid(venue: str, interval: Interval) -> None:
    async with past(venue) as here:
        wanted = await here.series("spot", 350, interval=interval)
        part = await here.downloader("spot").part(wanted, Span(wanted.from_ns, wanted.to_ns))
        assert here.judge_part(wanted, part).faithful
        assert all((b.open_ns - a.open_ns) % (interval.length_ns or 1) == 0 for a, b in pairwise(part.candles))


@pytest.mark.parametrize("venue", PLAYED)
async def test_pages_follow_one_another_where_an_answer_holds_less_than_a_part(venue: str) -> None:
    async with past(venue, history_minutes=2100) as here:
        downloader = here.downloader("spot")
        # Kraken has no more than the newest 720, which are one answer.
        wanted = await here.series("spot", 700 if venue == "kraken" else 2000)
        part = await downloader.part(wanted, Span(wanted.from_ns, wanted.to_ns))
        assert downloader.requests >= 2 or venue in ("hyperliquid", "kraken")
        assert here.judge_part(wanted, part).faithful


@pytest.mark.parametrize("fault", HURT, ids=lambda f: f"{f.kind}-{f.status if f.kind == 'http' else f.count}")
@pytest.mark.parametrize("venue", PLAYED)
async def test_m3_m4_a_venue_that_is_ill_for_a_while_delays_a_part_and_no_more(venue: str, fault: Fault) -> None:
    async with past(venue) as here:
        wanted = await here.series("spot", 300)
        await here.sim.fault(msgspec.structs.replace(fault, match=CANDLES.get(venue, "candle")))
        downloader = here.downloader("spot", msgspec.structs.replace(IMPATIENT, silence_s_max=5.0))
        try:
            part = await downloader.part(wanted, Span(wanted.from_ns, wanted.to_ns))
        except VenueUnreachable as e:
            if fault.status == 429 and e.kind == "limited" and (e.retry_after_s or 0.0) > 5:
                return  # A ban of minutes, as its documentation has it; that is not waited for here.
            raise
        assert here.judge_part(wanted, part).faithful


async def test_m6_t7_the_live_bar_is_never_in_a_part() -> None:
    async with past() as here:
        wanted = msgspec.structs.replace(await here.series("spot", 5), to_ns=EPOCH_NS + MINUTE_NS)
        part = await here.downloader("spot").part(wanted, Span(wanted.from_ns, wanted.to_ns))
        assert part.candles[-1].open_ns == EPOCH_NS - MINUTE_NS
        assert part.span.to_ns == EPOCH_NS, "what the venue has not closed yet is no hole"
        assert part.holes == []


async def test_t34_what_two_answers_lack_is_a_hole_of_the_venues() -> None:
    absent = {EPOCH_NS - minute * MINUTE_NS for minute in (250, 249, 30)}
    async with past(filtered=without(absent)) as here:
        wanted = await here.series("spot", 300)
        downloader = here.downloader("spot")
        part = await downloader.part(wanted, Span(wanted.from_ns, wanted.to_ns))
        assert part.holes == [
            Hole(EPOCH_NS - 250 * MINUTE_NS, EPOCH_NS - 248 * MINUTE_NS, download.ABSENT),
            Hole(EPOCH_NS - 30 * MINUTE_NS, EPOCH_NS - 29 * MINUTE_NS, download.ABSENT),
        ]
        assert len(part.candles) == 297
        assert downloader.requests == 3, "one for all, one for each stretch"
        assert absent.isdisjoint(candle.open_ns for candle in part.candles)


async def test_m7_what_one_answer_lacks_and_the_next_has_is_no_hole() -> None:
    absent = {EPOCH_NS - minute * MINUTE_NS for minute in (250, 249, 30)}
    answers = 0

    def at_first(path: str, body: bytes) -> bytes:
        nonlocal answers
        answers += path.endswith("/klines")
        return without(absent)(path, body) if answers == 1 else body

    async with past(filtered=at_first) as here:
        wanted = await here.series("spot", 300)
        part = await here.downloader("spot").part(wanted, Span(wanted.from_ns, wanted.to_ns))
        assert answers == 3
        assert part.holes == []
        assert here.judge(wanted, part.candles).faithful


async def test_many_holes_are_asked_for_as_one() -> None:
    absent = {EPOCH_NS - minute * MINUTE_NS for minute in range(20, 280, 2)}
    async with past(filtered=without(absent)) as here:
        wanted = await here.series("spot", 300)
        downloader = here.downloader("spot")
        part = await downloader.part(wanted, Span(wanted.from_ns, wanted.to_ns))
        assert downloader.requests == 2
        assert len(part.holes) == len(absent)


async def test_a_venue_that_lags_behind_our_clock_has_no_holes_at_its_end() -> None:
    absent = {EPOCH_NS - minute * MINUTE_NS for minute in (1, 2, 3)}
    async with past(filtered=without(absent)) as here:
        wanted = await here.series("spot", 100)
        part = await here.downloader("spot").part(wanted, Span(wanted.from_ns, wanted.to_ns))
        assert part.holes == []
        assert part.span.to_ns == EPOCH_NS - 3 * MINUTE_NS
        old = await here.series("spot", 100, until=0)
        here.clock.advance(3600 * NS_PER_S)
        part = await here.downloader("spot").part(old, Span(old.from_ns, old.to_ns))
        assert part.holes == [Hole(EPOCH_NS - 3 * MINUTE_NS, EPOCH_NS, download.ABSENT)], "an hour later they are"


async def test_t7_a_candle_before_a_hole_at_the_end_is_proven_by_one_behind_the_hole() -> None:
    """No row follows it in the answer to its own range, so that the answer alone does not prove it closed."""
    absent = {EPOCH_NS - minute * MINUTE_NS for minute in (100, 99)}
    async with past(filtered=without(absent)) as here:
        wanted = await here.series("spot", 300, until=99)
        downloader = here.downloader("spot")
        part = await downloader.part(wanted, Span(wanted.from_ns, wanted.to_ns))
        assert part.candles[-1].open_ns == EPOCH_NS - 101 * MINUTE_NS
        assert [(h.from_ns, h.to_ns) for h in part.holes] == [(EPOCH_NS - 100 * MINUTE_NS, wanted.to_ns)]
        assert here.judge(msgspec.structs.replace(wanted, to_ns=part.holes[0].from_ns), part.candles).faithful
        assert downloader.requests == 3


async def test_t7_a_candle_that_nothing_follows_is_left_for_the_next_time_unless_it_is_long_past() -> None:
    absent = {EPOCH_NS - minute * MINUTE_NS for minute in range(100)}
    async with past(filtered=without(absent)) as here:
        wanted = await here.series("spot", 300, until=50)
        part = await here.downloader("spot").part(wanted, Span(wanted.from_ns, wanted.to_ns))
        assert part.span.to_ns == EPOCH_NS - 100 * MINUTE_NS
        assert len(part.candles) == 200
        assert part.holes == []
        here.clock.advance(download.LONG_PAST_NS)
        downloader = here.downloader("spot")
        part = await downloader.part(wanted, Span(wanted.from_ns, wanted.to_ns))
        assert len(part.candles) == 201
        assert [(h.from_ns, h.to_ns) for h in part.holes] == [(EPOCH_NS - 99 * MINUTE_NS, wanted.to_ns)]
        assert downloader.requests == 2


async def test_the_venues_no_is_told_at_once() -> None:
    async with past() as here:
        wanted = await here.series("spot", 100)
        await here.sim.fault(Fault(FaultKind.HTTP, match="klines", status=400, count=1))
        with pytest.raises(VenueRejected):
            await here.downloader("spot").part(wanted, Span(wanted.from_ns, wanted.to_ns))


@pytest.mark.parametrize(("kind", "error"), [(FaultKind.HTTP, VenueUnreachable), (FaultKind.WRONG_JSON, DecodeError)])
async def test_a_venue_that_stays_ill_is_given_up(kind: FaultKind, error: type[Exception]) -> None:
    settings = msgspec.structs.replace(IMPATIENT, attempts_max=2)
    async with past() as here:
        wanted = await here.series("spot", 100)
        downloader = here.downloader("spot", settings)
        await here.sim.fault(Fault(kind, match="klines", status=500, count=1000))
        with pytest.raises(error):
            await downloader.part(wanted, Span(wanted.from_ns, wanted.to_ns))
        assert downloader.retries == 1


@pytest.mark.parametrize("filtered", [lambda _, __: b"[]", lambda path, body: body if "exchange" in path else b"{}"])
async def test_answers_that_are_none_invent_nothing(filtered: Callable[[str, bytes], bytes]) -> None:
    settings = msgspec.structs.replace(IMPATIENT, attempts_max=2)

    def only_candles(path: str, body: bytes) -> bytes:
        return filtered(path, body) if path.endswith("/klines") else body

    async with past(filtered=only_candles) as here:
        wanted = await here.series("spot", 100, until=50)
        try:
            part = await here.downloader("spot", settings).part(wanted, Span(wanted.from_ns, wanted.to_ns))
        except DecodeError:
            return
        assert part.candles == []
        assert [(hole.from_ns, hole.to_ns) for hole in part.holes] == [(wanted.from_ns, wanted.to_ns)]


@pytest.mark.parametrize("venue", PLAYED)
async def test_days_show_where_a_venue_begins(venue: str) -> None:
    async with past(venue) as here:
        downloader = here.downloader("spot")
        wanted = await here.series("spot", 40 * 1440)
        first_ns = await downloader.first_open(wanted)
        begun_ns = EPOCH_NS - 360 * MINUTE_NS
        if venue == "coinbase":
            assert first_ns is None, "of the day that is not over it tells nothing by REST"
            return
        assert first_ns is not None
        assert begun_ns - 86_400 * NS_PER_S < first_ns <= begun_ns
        assert await downloader.first_open(await here.series("spot", 20)) is None


def _fields(candle: Candle) -> tuple[object, ...]:
    return msgspec.structs.astuple(msgspec.structs.replace(candle, received_ns=0))


async def test_a_part_asked_for_twice_is_the_same_but_for_its_receipt() -> None:
    async with past() as here:
        wanted = await here.series("spot", 200)
        one = await here.downloader("spot").part(wanted, Span(wanted.from_ns, wanted.to_ns))
        here.clock.advance(NS_PER_S)
        two = await here.downloader("spot").part(wanted, Span(wanted.from_ns, wanted.to_ns))
        assert [_fields(c) for c in one.candles] == [_fields(c) for c in two.candles]
