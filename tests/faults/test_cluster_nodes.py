"""A cluster's primaries are killed under a feed, a reader and a gateway's client; nothing is lost or doubled.

A run prints its seed, as those of `test_kills` do.
"""

import asyncio
import os
import random
import signal
import time

import aiohttp
import pytest

from heliograph.bus import keys
from heliograph.bus.routes import slot_of
from heliograph.model.interval import Interval
from tests.faults.conftest import Say
from tests.faults.house import SYMBOLS
from tests.faults.record import recovered, standing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


async def quotes(url: str, told: dict[str, list[tuple[str, bool]]]) -> None:
    """Follow every symbol at a gateway, and note each bar's time and whether it is closed."""
    wish = {"exchange": "binance", "contract_type": "spot", "symbols": list(SYMBOLS)}
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_json(wish)
        async for message in socket:
            quote = message.json()
            assert quote["type"] in ("subscribed", "quote"), quote
            if quote["type"] == "quote":
                told.setdefault(quote["symbol"], []).append((quote["timestamp"], quote["is_closed_candle"]))


async def test_primaries_and_a_feed_are_killed_one_after_the_other(rng: random.Random, say: Say) -> None:
    """One primary is killed and comes back as a replica; the next one stands still, which looks like a cut network."""
    async with standing(rng, say, nodes=True, HELIOGRAPH_FEED_LEASE="3") as (house, record):
        assert house.cluster is not None
        gateway = await house.open_gateway()
        told: dict[str, list[tuple[str, bool]]] = {}
        client = asyncio.create_task(quotes(str(gateway["websocket"]), told))
        other = await house.join()
        await house.recovered()
        slots = [slot_of(keys.candles(instrument, Interval.M1)) for instrument in house.instruments]
        first, second, _ = dict.fromkeys(map(house.cluster.first_primary_of, slots))
        await house.pause(0.5)
        await asyncio.to_thread(first.kill)
        await recovered(house, say, "a primary was killed")
        await first.restart()
        await house.recovered()
        await house.pause(0.5)
        os.kill(second.pid, signal.SIGSTOP)
        await recovered(house, say, "a primary stands still")
        os.kill(second.pid, signal.SIGCONT)
        await recovered(house, say, "it goes on, as a replica")
        await other.kill()
        await recovered(house, say, "a feed was killed")
        before = {symbol: len(some) for symbol, some in told.items()}
        began_s = time.monotonic()
        await house.until(lambda: client.done() or all(len(told[symbol]) > before[symbol] for symbol in SYMBOLS))
        say(f"the gateway's client has heard of every instrument {time.monotonic() - began_s:.1f} s later")
        assert not client.done()
        client.cancel()
        for symbol in SYMBOLS:
            closed = [moment for moment, final in told[symbol] if final]
            assert closed == sorted(set(closed)), "each bar's end once, in order"
    assert record.faithful
    assert record.misread == 0
