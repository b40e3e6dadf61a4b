"""kill -9, with real processes, at random moments under load: in the end every stream has each event once, in order.

A run prints its seed; `HELIOGRAPH_FAULTS_SEED` gives it back. What a seed repeats is whom, when and for how long; what
the machine's scheduler makes of it is its own. `HELIOGRAPH_FAULTS=full` kills five times as often.
"""

import asyncio
import os
import random

import pytest

from tests.faults.conftest import Say
from tests.faults.house import BAR_S
from tests.faults.record import Record, standing

TIMES = 5 if os.environ.get("HELIOGRAPH_FAULTS") == "full" else 1
KILLS_EACH = 20 * TIMES
HOUSES = 2

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300 * TIMES)]


async def test_after_every_kill_each_event_is_on_its_stream_once(rng: random.Random, say: Say) -> None:
    """Each process twenty times, in two houses at once: recovering is mostly waiting."""
    async with asyncio.TaskGroup() as tasks:
        runs = [
            tasks.create_task(_kill_all(random.Random(rng.random()), say, KILLS_EACH // HOUSES)) for _ in range(HOUSES)
        ]
    whole = sum((run.result() for run in runs), Record())
    say(f"server, simulator and feed killed {KILLS_EACH} times each: {whole}")


async def _kill_all(rng: random.Random, say: Say, each: int) -> Record:
    victims = ["server", "simulator", "feed"] * each
    rng.shuffle(victims)
    async with standing(rng, say) as (house, record):
        for victim in victims:
            await house.pause(BAR_S)
            await house.kill(victim)
            await house.pause(BAR_S)
            await house.start(victim)
            if rng.random() < 0.8:  # Else the next one is killed while this one is still being mended.
                await house.recovered()
    assert house.kills == dict.fromkeys(("server", "simulator", "feed"), each)
    assert record.faithful
    assert record.misread == 0
    return record


async def test_a_server_that_forgets_its_last_second_is_told_again(rng: random.Random, say: Say) -> None:
    async with standing(rng, say) as (house, record):
        for _ in range(4 * TIMES):
            await house.kill_server_losing(rng.uniform(0.2, 1.0))
            await house.pause(BAR_S)
            await house.start("server")
            await house.recovered()
    assert house.kills["bytes lost"] > 0
    assert record.faithful
    assert record.misread == 0


async def test_the_server_and_the_feed_are_killed_together(rng: random.Random, say: Say) -> None:
    """What the server forgets is known to nobody then: the next feed must take it from the venue."""
    async with standing(rng, say) as (house, record):
        for turn in range(4 * TIMES):
            pair = ["server", "feed"]
            rng.shuffle(pair)
            if turn % 2:
                await house.kill_server_losing(rng.uniform(0.2, 1.0), "feed")
            else:
                await house.pause(BAR_S)
                await house.kill(*pair)
            rng.shuffle(pair)
            for victim in pair:
                await house.pause(BAR_S)
                await house.start(victim)
            await house.recovered()
    assert house.kills["server"] == 4 * TIMES
    assert house.kills["bytes lost"] > 0
    assert record.faithful


async def test_the_server_is_killed_while_a_feed_starts(rng: random.Random, say: Say) -> None:
    async with standing(rng, say) as (house, record):
        for _ in range(4 * TIMES):
            await house.kill("feed")
            await house.start("feed")
            await house.pause(1.5)
            await house.kill("server")
            await house.pause(BAR_S)
            await house.start("server")
            await house.recovered()
    assert house.kills["server"] == 4 * TIMES
    assert record.faithful
    assert record.misread == 0


async def test_a_server_that_stands_still_loses_nothing_and_doubles_nothing(rng: random.Random, say: Say) -> None:
    """Once for less than a publisher waits for an answer, and once for longer, so that it connects anew."""
    async with standing(rng, say) as (house, record):
        for hold_s in (3, 12) * TIMES:
            await house.pause(BAR_S)
            await house.hold_server(hold_s)
            await house.recovered()
    assert record.faithful
    assert record.misread == 0


@pytest.mark.parametrize("off", [None, "dedupe", "backfill"])
async def test_what_makes_it_so_cannot_be_left_out(rng: random.Random, say: Say, off: str | None) -> None:
    """The same mistreatment with everything on, and with one protection off: the record tells them apart.

    Everything is sent twice, and nobody listens or nobody speaks for longer than a bar lasts, so that this is certain.
    """
    switches = {} if off is None else {f"HELIOGRAPH_REPAIR_{off.upper()}": "false"}
    async with standing(rng, say, nodes=False, **switches) as (house, record):
        for victim in ("feed", "simulator", "server"):
            await house.kill(victim)
            await house.pass_bars(2)
            await house.start(victim)
            await house.recovered()
    candles, trades = record.candle_verdict, record.trade_verdict
    match off:
        case None:
            assert record.faithful
        case "dedupe":
            assert candles.doubled > 0
            assert trades.doubled > 0
            assert candles.lost == trades.lost == 0
        case "backfill":
            assert candles.lost > 0
            assert trades.lost > 0
            assert candles.doubled == trades.doubled == 0
    assert record.faithful == (off is None)
