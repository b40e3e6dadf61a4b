"""Coinbase's protocol as a client that nobody here wrote understands it, held against what happened in the world."""

from typing import Any

import pytest
import pytest_asyncio

from heliograph.clock import NS_PER_MS
from heliograph.sim import SimulatedVenue
from tests.conformance.conftest import Launch, Reading
from tests.conformance.truth import Told, ccxt_told, check_ccxt_book, check_ccxt_rows, check_numbered, scene_of

pytestmark = [pytest.mark.conformance, pytest.mark.asyncio(loop_scope="module")]

VENUE = "coinbase"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def readings(launch: Launch) -> dict[str, Reading]:
    return {"ccxt": launch("client_ccxt.py", EXCHANGE="coinbase")}


def numbered(trade: dict[str, Any]) -> tuple[int, Told]:
    """Return a trade by its number. Coinbase documents that its side is the maker's; ccxt takes it for the taker's."""
    time_ms, price, quantity, maker_buys = ccxt_told(trade)
    return int(trade["id"]), (time_ms, price, quantity, not maker_buys)


async def test_ccxt_reads_what_happened_in_dollars_and_bitcoin(
    sim: SimulatedVenue, readings: dict[str, Reading]
) -> None:
    read, now_ns, scene = await readings["ccxt"], sim.clock.now_ns(), scene_of(sim, "spot")
    assert read["refusal"] == "ExchangeError"
    for symbol, product in (("BTC/USD", "BTC-USD"), ("ETH/USDC", "ETH-USD"), ("ETH/BTC", "ETH-BTC")):
        part = read[symbol]
        check_ccxt_rows(scene, product, part["ohlcv"][:-1], quiet=True)
        assert len(part["ohlcv"]) >= 40
        for trades in (part["trades"], part["watched"]["trades"]):
            # Of a frame, the newest comes first, and ccxt leaves it so.
            check_numbered(scene, product, sorted(map(numbered, trades)), now_ns)
        for book in [part["book"], *part["watched"]["books"]]:
            check_ccxt_book(book, scene.book(product, 10, book["timestamp"] * NS_PER_MS))
    in_usdc = {f"{symbol}C" for symbol in scene.listings if symbol.endswith("-USD")}
    assert {market["id"] for market in read["markets"].values()} == set(scene.listings) | in_usdc
    assert read["markets"]["ETH/BTC"]["precision"] == {"price": 0.00001, "amount": 0.0001}
