"""A cluster's primaries are killed under a feed, a reader and a gateway's client; nothing is lost or doubled.

A run prints its seed, as those of `test_kills` do.
"""

import asyncio
import random
import time

import aiohttp
import pytest

from heliograph.bus import keys
from heliograph.bus.routes import slot_of
from heliograph.model.interval import Interval
from tests.faults.conftest import Say
from tests.faults.house import SYMBOLS, House
from tests.faults.record import standing

RECOVERY_S_MAX = 30.0

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


async def quotes(url: str, house: House, told: dict[str, list[tuple[str, bool]]]) -> None:
    """Follow every symbol at a gateway, and note each bar's time and whether it is closed."""
    wish = {"exchange": "binance", "contract_type": "spot", "symbols": list(SYMBOLS)}
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_json(wish)
        async for message in socket:
            quote = message.json()
            assert quote["type"] in ("subscribed", "quote"), quote
            if quote["type"] == "quote":
                told.setdefault(quote["symbol"], []).append((quote["timestamp"], quote["is_closed_candle"]))


async def test_primaries_are_killed_one_after_the_other(rng: random.Random, say: Say) -> None:
    async with standing(rng, say, nodes=True) as (house, record):
        assert house.cluster is not None
        gateway = await house.open_gateway()
        told: dict[str, list[tuple[str, bool]]] = {}
        client = asyncio.create_task(quotes(str(gateway["websocket"]), house, told))
        await house.recovered()
        slots = [slot_of(keys.candles(instrument, Interval.M1)) for instrument in house.instruments]
        primaries = list(dict.fromkeys(map(house.cluster.first_primary_of, slots)))
        assert len(primaries) == 3, "the instruments' streams are on every node"
        for turn, victim in enumerate(primaries[:2]):
            await house.pause(0.5)
            await asyncio.to_thread(victim.kill)
            began_s = time.monotonic()
            await house.recovered()
            took_s = time.monotonic() - began_s
            say(f"a primary was killed: every instrument again after {took_s:.1f} s")
            assert took_s < RECOVERY_S_MAX
            if turn == 0:  # It comes back as a replica, so that the cluster can bear the next one.
                await victim.restart()
                await house.recovered()
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
