"""Kraken's protocol as a client that nobody here wrote understands it, held against what happened in the world."""

import pytest
import pytest_asyncio

from heliograph.clock import NS_PER_MS
from heliograph.sim import SimulatedVenue
from tests.conformance.conftest import Launch, Reading
from tests.conformance.truth import ccxt_told, check_ccxt_book, check_ccxt_rows, check_numbered, scene_of

pytestmark = [pytest.mark.conformance, pytest.mark.asyncio(loop_scope="module")]

VENUE = "kraken"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def readings(launch: Launch) -> dict[str, Reading]:
    return {"ccxt": launch("client_ccxt.py", EXCHANGE="kraken")}


async def test_ccxt_reads_what_happened_in_dollars_and_euros(sim: SimulatedVenue, readings: dict[str, Reading]) -> None:
    read, now_ns, scene = await readings["ccxt"], sim.clock.now_ns(), scene_of(sim, "spot")
    assert read["refusal"] == "ExchangeError"
    for symbol in ("BTC/USD", "BTC/EUR"):
        part = read[symbol]
        assert len(part["ohlcv"]) == 50
        check_ccxt_rows(scene, symbol, part["ohlcv"][:-1])
        # ccxt leaves the socket's numbers texts. That a minute without a trade is told there is not documented.
        watched = [[row[0], *map(float, row[1:])] for row in part["watched"]["candles"]]
        check_ccxt_rows(scene, symbol, watched, quiet=True)
        for trades in (part["trades"], part["watched"]["trades"]):
            check_numbered(scene, symbol, [(int(trade["id"]), ccxt_told(trade)) for trade in trades], now_ns)
        # A book that has only just been opened has no time.
        books = [book for book in part["watched"]["books"] if book["timestamp"] is not None]
        assert len(books) >= 10
        for book in books:
            check_ccxt_book(book, scene.book(symbol, 10, book["timestamp"] * NS_PER_MS))
    assert len(read["markets"]) == len(scene.listings)
    assert read["markets"]["BTC/USD"]["precision"]["price"] == 0.1
