"""The simulated Binance is judged by clients that nobody here wrote: what they read is what truly happened."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from heliograph.clock import NS_PER_MS
from heliograph.sim import SimulatedVenue
from heliograph.venues.scene import Bar, Book
from tests.conformance import truth
from tests.conformance.conftest import Launch, Reading
from tests.conformance.truth import (
    ccxt_told,
    check_ccxt_book,
    check_ccxt_rows,
    check_minutes,
    check_numbered,
    levels_of,
    scene_of,
    true_bar,
)

pytestmark = [pytest.mark.conformance, pytest.mark.asyncio(loop_scope="module")]

VENUE = "binance"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def readings(launch: Launch) -> dict[str, Reading]:
    return {
        "ccxt": launch("client_ccxt.py", EXCHANGE="binance"),
        "spot": launch("client_spot_sdk.py"),
        **{market: launch("client_futures_sdk.py", MARKET=market) for market in ("usdm", "coinm")},
    }


def _amounts(bar: Bar) -> list[Decimal]:
    return [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.counter, bar.taker_volume, bar.taker_counter]


def check_closed_klines(sim: SimulatedVenue, market: str, symbol: str, frames: list[dict[str, Any]]) -> None:
    """Closed bars of the socket are minute after minute, and each is what truly happened in it."""
    closed = [frame["k"] for frame in frames if frame["k"]["x"]]
    check_minutes((bar["t"] for bar in closed), 3)
    for bar in closed:
        true = true_bar(scene_of(sim, market), symbol, bar["t"])
        assert [Decimal(bar[field]) for field in "ohlcvqVQ"] == _amounts(true)
        assert (bar["f"], bar["L"], bar["n"]) == (true.first_fill, true.last_fill, true.fills)


def check_rows(sim: SimulatedVenue, market: str, symbol: str, rows: list[list[Any]]) -> None:
    """REST rows are minute after minute; all but the live one are what truly happened."""
    check_minutes((row[0] for row in rows), 50)
    for row in rows[:-1]:
        true = true_bar(scene_of(sim, market), symbol, row[0])
        assert [Decimal(row[place]) for place in (1, 2, 3, 4, 5, 7, 9, 10)] == _amounts(true)
        assert row[8] == true.fills


def check_aggregates(sim: SimulatedVenue, market: str, symbol: str, items: list[dict[str, Any]]) -> None:
    """Aggregate trades, of socket or REST, have no hole and are what happened."""
    assert len(items) >= 20
    now_ns = sim.clock.now_ns()
    true = scene_of(sim, market).aggregates_from(symbol, items[0]["a"], len(items), now_ns)
    assert [(item["a"], Decimal(item["p"]), Decimal(item["q"]), item["f"], item["l"], item["T"]) for item in items] == [
        (item.id, item.price, item.quantity, item.first_fill, item.last_fill, item.time_ns // NS_PER_MS)
        for item in true
    ]
    assert [item["m"] for item in items] == [not item.taker_buys for item in true]


def book_at(sim: SimulatedVenue, market: str, symbol: str, update_id: int) -> Book:
    return truth.book_at(scene_of(sim, market), symbol, update_id, sim.clock.now_ns())


def check_depth(
    sim: SimulatedVenue, market: str, symbol: str, snapshot: dict[str, Any], frames: list[dict[str, Any]]
) -> None:
    """Snapshot and changes, joined by the market's documented rule, are the book that was there."""
    spot, known = market == "spot", snapshot["lastUpdateId"]
    frames = [frame for frame in frames if (frame["u"] > known if spot else frame["u"] >= known)]
    assert len(frames) >= 10
    assert frames[0]["U"] <= known + spot
    assert all(
        after["U"] == before["u"] + 1 if spot else after["pu"] == before["u"] for before, after in pairwise(frames)
    )
    true = book_at(sim, market, symbol, frames[-1]["u"])
    for side, change, levels in (("bids", "b", true.bids), ("asks", "a", true.asks)):
        turns = [snapshot[side], *(frame[change] for frame in frames)]
        held = levels_of(
            ([(Decimal(price), Decimal(size)) for price, size in turn] for turn in turns), bids=side == "bids"
        )
        assert held == list(levels)


def answered(row: dict[str, Any]) -> tuple[int, truth.Told]:
    """Return a trade of REST by its number."""
    return row["id"], (row["time"], Decimal(row["price"]), Decimal(row["qty"]), not row["isBuyerMaker"])


def check_tops(sim: SimulatedVenue, market: str, symbol: str, frames: list[dict[str, Any]]) -> None:
    """Every best bid and ask is that of the book with the same update id."""
    assert len(frames) >= 20
    for frame in frames:
        true = book_at(sim, market, symbol, frame["u"])
        assert (Decimal(frame["b"]), Decimal(frame["B"])) == true.bids[0]
        assert (Decimal(frame["a"]), Decimal(frame["A"])) == true.asks[0]


async def test_binances_own_spot_sdk_reads_what_happened(sim: SimulatedVenue, readings: dict[str, Reading]) -> None:
    read, scene, now_ns = await readings["spot"], scene_of(sim, "spot"), sim.clock.now_ns()
    streams, rest = read["streams"], read["rest"]
    assert read["subscribed"]["result"] == [
        "btcusdt@kline_1m",
        "btcusdt@aggTrade",
        "btcusdt@trade",
        "btcusdt@depth@100ms",
        "btcusdt@bookTicker",
    ]
    check_closed_klines(sim, "spot", "BTCUSDT", streams["kline"])
    check_rows(sim, "spot", "BTCUSDT", rest["klines"])
    check_aggregates(sim, "spot", "BTCUSDT", streams["agg_trade"])
    check_aggregates(sim, "spot", "BTCUSDT", rest["agg_trades"])
    said = [(row["t"], (row["T"], Decimal(row["p"]), Decimal(row["q"]), not row["m"])) for row in streams["trade"]]
    check_numbered(scene, "BTCUSDT", said, now_ns)
    check_numbered(scene, "BTCUSDT", [answered(row) for row in rest["trades"]], now_ns)
    check_depth(sim, "spot", "BTCUSDT", rest["depth"], streams["diff_book_depth"])
    check_tops(sim, "spot", "BTCUSDT", streams["book_ticker"])
    assert {row["symbol"] for row in rest["exchange_info"]["symbols"]} == set(scene_of(sim, "spot").listings)
    assert read["refusal"] == "BadRequestError: (-1121, 'Invalid symbol.')"


@pytest.mark.parametrize(("market", "symbol"), [("usdm", "BTCUSDT"), ("coinm", "BTCUSD_PERP")])
async def test_binances_own_futures_sdks_read_what_happened(
    sim: SimulatedVenue, readings: dict[str, Reading], market: str, symbol: str
) -> None:
    """At USD-M over the paths that are split since 2026-04-23; COIN-M has but one."""
    read = await readings[market]
    streams, rest = read["streams"], read["rest"]
    check_closed_klines(sim, market, symbol, streams["kline"])
    check_rows(sim, market, symbol, rest["klines"])
    check_aggregates(sim, market, symbol, streams["agg_trade"])
    check_aggregates(sim, market, symbol, rest["agg_trades"])
    check_numbered(scene_of(sim, market), symbol, [answered(row) for row in rest["trades"]], sim.clock.now_ns())
    check_depth(sim, market, symbol, rest["depth"], streams["diff_book_depth"])
    check_tops(sim, market, symbol, streams["book_ticker"])
    assert {row["symbol"] for row in rest["exchange_info"]["symbols"]} == set(scene_of(sim, market).listings)
    assert read["refusal"] == "BadRequestError: (-1121, 'Invalid symbol.')"


async def test_ccxt_reads_what_happened_on_all_three_markets(sim: SimulatedVenue, readings: dict[str, Reading]) -> None:
    read = await readings["ccxt"]
    assert read["refusal"] == "BadSymbol"
    for name, market, symbol in (
        ("BTC/USDT", "spot", "BTCUSDT"),
        ("BTC/USDT:USDT", "usdm", "BTCUSDT"),
        ("BTC/USD:BTC", "coinm", "BTCUSD_PERP"),
    ):
        part, scene = read[name], scene_of(sim, market)
        # For an inverse contract ccxt gives base from REST, and contracts from the socket.
        inverse = market == "coinm"
        check_ccxt_rows(
            scene, symbol, part["ohlcv"][:-1], lambda bar, inverse=inverse: bar.counter if inverse else bar.volume
        )
        check_ccxt_rows(scene, symbol, part["watched"]["candles"])
        watched = [(int(trade["id"]), ccxt_told(trade)) for trade in part["watched"]["trades"]]
        check_numbered(scene, symbol, watched, sim.clock.now_ns())
        for book in [part["book"], *part["watched"]["books"]]:
            check_ccxt_book(book, book_at(sim, market, symbol, book["nonce"]))
    sizes = {name: market["contractSize"] for name, market in read["markets"].items()}
    assert sizes["BTC/USD:BTC"] == 100
    assert sizes["ETH/USD:ETH"] == 10
    assert sizes["BTC/USDT:USDT"] == 1
    assert read["markets"]["BTC/USDT"]["precision"]["price"] == 0.01
