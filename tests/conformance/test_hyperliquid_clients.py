"""Hyperliquid's protocol as clients that nobody here wrote understand it, held against what happened in the world."""

from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from heliograph.clock import NS_PER_MS
from heliograph.sim import SimulatedVenue
from heliograph.sim.world import MarketWorld
from tests.conformance.conftest import Launch, Reading
from tests.conformance.truth import (
    ccxt_told,
    check_ccxt_book,
    check_ccxt_rows,
    check_minutes,
    check_run,
    scene_of,
    true_bar,
)

pytestmark = [pytest.mark.conformance, pytest.mark.asyncio(loop_scope="module")]

VENUE = "hyperliquid"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def readings(launch: Launch) -> dict[str, Reading]:
    return {"ccxt": launch("client_ccxt.py", EXCHANGE="hyperliquid"), "sdk": launch("client_hyperliquid_sdk.py")}


def check_candle(scene: MarketWorld, symbol: str, candle: dict[str, Any]) -> None:
    """Volumes are sums of binary floats; rounded to the lot, they are the true ones."""
    true, lot = true_bar(scene, symbol, candle["t"]), scene.listings[symbol].lot_size
    assert candle["T"] == true.end_ns // NS_PER_MS - 1
    assert [Decimal(candle[name]) for name in "ohlc"] == [true.open, true.high, true.low, true.close]
    assert (Decimal(candle["v"]).quantize(lot), candle["n"]) == (true.volume, true.fills)


def check_streamed(scene: MarketWorld, symbol: str, frames: list[dict[str, Any]]) -> None:
    """The last frame of each bar that another one followed is what happened: it is nowhere said that it is the last."""
    last = {frame["t"]: frame for frame in frames}
    whole = sorted(last)[:-1]
    assert len(whole) >= 3
    for opened in whole:
        check_candle(scene, symbol, last[opened])
    # Of a minute without a trade nothing is told.
    between = range(whole[0], whole[-1], 60_000)
    assert all(opened in last or true_bar(scene, symbol, opened).fills == 0 for opened in between)


def check_book(scene: MarketWorld, symbol: str, book: dict[str, Any]) -> None:
    true = scene.book(symbol, 20, book["time"] * NS_PER_MS)
    for told, levels in zip(book["levels"], (true.bids, true.asks), strict=True):
        assert [(Decimal(level["px"]), Decimal(level["sz"])) for level in told] == list(levels)
        assert len(told) == 20


async def test_hyperliquids_own_sdk_reads_what_happened(sim: SimulatedVenue, readings: dict[str, Reading]) -> None:
    read = await readings["sdk"]
    assert read["refusal"] == 500
    for name, market, symbol in (("BTC", "usdm", "BTC"), ("HYPE/USDC", "spot", "@107")):
        scene, heard, rest = scene_of(sim, market), read["heard"][name], read["rest"][name]
        check_streamed(scene, symbol, heard["candle"])
        trades = [(row["time"], Decimal(row["px"]), Decimal(row["sz"]), row["side"] == "B") for row in heard["trades"]]
        check_run(scene, symbol, trades, 50)
        for book in [rest["book"], *heard["l2Book"]]:
            check_book(scene, symbol, book)
        for top in heard["bbo"]:
            true = scene.book(symbol, 1, top["time"] * NS_PER_MS)
            told = [(Decimal(level["px"]), Decimal(level["sz"])) for level in top["bbo"]]
            assert told == [*true.bids, *true.asks]
        check_minutes((candle["t"] for candle in rest["candles"]), 50)
        for candle in rest["candles"]:
            check_candle(scene, symbol, candle)
    perpetuals, spots = scene_of(sim, "usdm").listings, scene_of(sim, "spot").listings
    here = {symbol for symbol in perpetuals if ":" not in symbol}
    assert {asset["name"] for asset in read["rest"]["meta"]["universe"]} == here
    assert {pair["name"] for pair in read["rest"]["spot_meta"]["universe"]} == set(spots)
    assert set(read["rest"]["mids"]) == here | set(spots)
    assert [dex and dex["name"] for dex in read["rest"]["dexs"]] == [None, "xyz"]


def rounded(scene: MarketWorld, symbol: str, rows: list[list[float]]) -> list[list[float]]:
    """Round the volumes, which are sums of binary floats, to the lot."""
    lot = scene.listings[symbol].lot_size
    return [[*row[:5], float(Decimal(str(row[5])).quantize(lot))] for row in rows]


async def test_ccxt_reads_what_happened_of_perpetuals_and_spot(
    sim: SimulatedVenue, readings: dict[str, Reading]
) -> None:
    read = await readings["ccxt"]
    assert read["refusal"] == "ExchangeError"
    for name, market, symbol in (("BTC/USDC:USDC", "usdm", "BTC"), ("HYPE/USDC", "spot", "@107")):
        part, scene = read[name], scene_of(sim, market)
        check_ccxt_rows(scene, symbol, rounded(scene, symbol, part["ohlcv"][:-1]))
        check_ccxt_rows(scene, symbol, rounded(scene, symbol, part["watched"]["candles"]), quiet=True)
        check_run(scene, symbol, [ccxt_told(trade) for trade in part["watched"]["trades"]])
        for book in [part["book"], *part["watched"]["books"]]:
            check_ccxt_book(book, scene.book(symbol, 20, book["timestamp"] * NS_PER_MS))
    listed = {market["id"] for market in read["markets"].values()}
    assert len(listed) == len(scene_of(sim, "usdm").listings) + len(scene_of(sim, "spot").listings)
    assert {"BTC/USDC:USDC", "KPEPE/USDC:USDC", "XYZ-XYZ100/USDC:USDC", "PURR/USDC"} <= set(read["markets"])
