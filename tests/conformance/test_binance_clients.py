"""The simulated Binance is judged by clients that nobody here wrote: what they read is what truly happened."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim import SimulatedBinance
from heliograph.sim.world import MarketWorld
from heliograph.venues.scene import Bar, Book

pytestmark = pytest.mark.conformance

Run = Callable[..., Awaitable[dict[str, Any]]]

MINUTE_NS = 60 * NS_PER_S


def scene_of(sim: SimulatedBinance, market: str) -> MarketWorld:
    return sim.world.markets[MarketId(market)]


def _amounts(bar: Bar) -> list[Decimal]:
    return [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.counter, bar.taker_volume, bar.taker_counter]


def check_closed_klines(sim: SimulatedBinance, market: str, symbol: str, frames: list[dict[str, Any]]) -> None:
    """Closed bars of the socket are minute after minute, and each is what truly happened in it."""
    closed = [frame["k"] for frame in frames if frame["k"]["x"]]
    assert len(closed) >= 3
    assert all(after["t"] - before["t"] == 60_000 for before, after in pairwise(closed))
    scene = scene_of(sim, market)
    for bar in closed:
        open_ns = bar["t"] * NS_PER_MS
        true = scene.bar(symbol, open_ns, open_ns + MINUTE_NS, open_ns + MINUTE_NS)
        assert [Decimal(bar[field]) for field in "ohlcvqVQ"] == _amounts(true)
        assert (bar["f"], bar["L"], bar["n"]) == (true.first_fill, true.last_fill, true.fills)


def check_rows(sim: SimulatedBinance, market: str, symbol: str, rows: list[list[Any]]) -> None:
    """REST rows are minute after minute; all but the live one are what truly happened."""
    assert len(rows) == 50
    assert all(after[0] - before[0] == 60_000 for before, after in pairwise(rows))
    for row in rows[:-1]:
        open_ns = row[0] * NS_PER_MS
        true = scene_of(sim, market).bar(symbol, open_ns, open_ns + MINUTE_NS, open_ns + MINUTE_NS)
        assert [Decimal(row[place]) for place in (1, 2, 3, 4, 5, 7, 9, 10)] == _amounts(true)
        assert row[8] == true.fills


def check_aggregates(sim: SimulatedBinance, market: str, symbol: str, items: list[dict[str, Any]]) -> None:
    """Aggregate trades, of socket or REST, have no hole and are what happened."""
    assert len(items) >= 20
    now_ns = sim.clock.now_ns()
    true = scene_of(sim, market).aggregates_from(symbol, items[0]["a"], len(items), now_ns)
    assert [(item["a"], Decimal(item["p"]), Decimal(item["q"]), item["f"], item["l"], item["T"]) for item in items] == [
        (item.id, item.price, item.quantity, item.first_fill, item.last_fill, item.time_ns // NS_PER_MS)
        for item in true
    ]
    assert [item["m"] for item in items] == [not item.taker_buys for item in true]


def check_fills(
    sim: SimulatedBinance, market: str, symbol: str, items: list[tuple[int, Decimal, Decimal, int, bool]]
) -> None:
    """Single trades as (id, price, quantity, ms, taker buys) have no hole and are what happened."""
    assert len(items) >= 20
    true = scene_of(sim, market).fills_from(symbol, items[0][0], len(items), sim.clock.now_ns())
    assert items == [(fill.id, fill.price, fill.quantity, fill.time_ns // NS_PER_MS, fill.taker_buys) for fill in true]


def book_at(sim: SimulatedBinance, market: str, symbol: str, update_id: int) -> Book:
    """Find the book that had this update id."""
    scene = scene_of(sim, market)
    low_ns, high_ns = scene.listings[symbol].listed_ns, sim.clock.now_ns()
    while high_ns - low_ns > NS_PER_MS:
        middle_ns = (low_ns + high_ns) // 2
        if scene.book(symbol, 1, middle_ns).update_id < update_id:
            low_ns = middle_ns
        else:
            high_ns = middle_ns
    book = scene.book(symbol, 100, high_ns)
    assert book.update_id == update_id, "no such update happened"
    return book


def check_depth(
    sim: SimulatedBinance, market: str, symbol: str, snapshot: dict[str, Any], frames: list[dict[str, Any]]
) -> None:
    """Snapshot and changes, joined by the market's documented rule, are the book that was there."""
    spot, known = market == "spot", snapshot["lastUpdateId"]
    frames = [frame for frame in frames if (frame["u"] > known if spot else frame["u"] >= known)]
    assert len(frames) >= 10
    assert frames[0]["U"] <= known + spot
    assert all(
        after["U"] == before["u"] + 1 if spot else after["pu"] == before["u"] for before, after in pairwise(frames)
    )
    bids, asks = dict(map(tuple, snapshot["bids"])), dict(map(tuple, snapshot["asks"]))
    for frame in frames:
        bids.update(dict(frame["b"]))
        asks.update(dict(frame["a"]))
    true = book_at(sim, market, symbol, frames[-1]["u"])
    for held, levels in ((bids, true.bids), (asks, true.asks)):
        assert {Decimal(price): Decimal(size) for price, size in held.items() if Decimal(size)} == dict(levels)


def check_tops(sim: SimulatedBinance, market: str, symbol: str, frames: list[dict[str, Any]]) -> None:
    """Every best bid and ask is that of the book with the same update id."""
    assert len(frames) >= 20
    for frame in frames:
        true = book_at(sim, market, symbol, frame["u"])
        assert (Decimal(frame["b"]), Decimal(frame["B"])) == true.bids[0]
        assert (Decimal(frame["a"]), Decimal(frame["A"])) == true.asks[0]


async def test_binances_own_spot_sdk_reads_what_happened(sim: SimulatedBinance, run: Run) -> None:
    read = await run("client_spot_sdk.py")
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
    said = [(row["t"], Decimal(row["p"]), Decimal(row["q"]), row["T"], not row["m"]) for row in streams["trade"]]
    check_fills(sim, "spot", "BTCUSDT", said)
    told = [
        (row["id"], Decimal(row["price"]), Decimal(row["qty"]), row["time"], not row["isBuyerMaker"])
        for row in rest["trades"]
    ]
    check_fills(sim, "spot", "BTCUSDT", told)
    check_depth(sim, "spot", "BTCUSDT", rest["depth"], streams["diff_book_depth"])
    check_tops(sim, "spot", "BTCUSDT", streams["book_ticker"])
    assert {row["symbol"] for row in rest["exchange_info"]["symbols"]} == set(scene_of(sim, "spot").listings)
    assert read["refusal"] == "BadRequestError: (-1121, 'Invalid symbol.')"


@pytest.mark.parametrize(("market", "symbol"), [("usdm", "BTCUSDT"), ("coinm", "BTCUSD_PERP")])
async def test_binances_own_futures_sdks_read_what_happened(
    sim: SimulatedBinance, run: Run, market: str, symbol: str
) -> None:
    """At USD-M over the paths that are split since 2026-04-23; COIN-M has but one."""
    read = await run("client_futures_sdk.py", MARKET=market)
    streams, rest = read["streams"], read["rest"]
    check_closed_klines(sim, market, symbol, streams["kline"])
    check_rows(sim, market, symbol, rest["klines"])
    check_aggregates(sim, market, symbol, streams["agg_trade"])
    check_aggregates(sim, market, symbol, rest["agg_trades"])
    told = [
        (row["id"], Decimal(row["price"]), Decimal(row["qty"]), row["time"], not row["isBuyerMaker"])
        for row in rest["trades"]
    ]
    check_fills(sim, market, symbol, told)
    check_depth(sim, market, symbol, rest["depth"], streams["diff_book_depth"])
    check_tops(sim, market, symbol, streams["book_ticker"])
    assert {row["symbol"] for row in rest["exchange_info"]["symbols"]} == set(scene_of(sim, market).listings)
    assert read["refusal"] == "BadRequestError: (-1121, 'Invalid symbol.')"


async def test_ccxt_reads_what_happened_on_all_three_markets(sim: SimulatedBinance, run: Run) -> None:
    read = await run("client_ccxt.py")
    assert read["refusal"] == "BadSymbol"
    for market, symbol in (("spot", "BTCUSDT"), ("usdm", "BTCUSDT"), ("coinm", "BTCUSD_PERP")):
        part, scene = read[market], scene_of(sim, market)
        for row, inverse_is_base in [(row, True) for row in part["ohlcv"][:-1]] + [
            (row, False) for row in part["watched"]["candles"]
        ]:
            open_ns = row[0] * NS_PER_MS
            true = scene.bar(symbol, open_ns, open_ns + MINUTE_NS, open_ns + MINUTE_NS)
            # For an inverse contract ccxt gives base from REST, and contracts from the socket.
            volume = true.counter if market == "coinm" and inverse_is_base else true.volume
            assert row[1:] == [float(value) for value in (true.open, true.high, true.low, true.close, volume)]
        fills = scene.fills_from(symbol, int(part["watched"]["trades"][0]["id"]), 30, sim.clock.now_ns())
        for trade, fill in zip(part["watched"]["trades"], fills, strict=False):
            assert (int(trade["id"]), trade["timestamp"]) == (fill.id, fill.time_ns // NS_PER_MS)
            assert (trade["price"], trade["amount"]) == (float(fill.price), float(fill.quantity))
            assert trade["side"] == ("buy" if fill.taker_buys else "sell")
        for book in [part["book"], *part["watched"]["books"]]:
            held = book_at(sim, market, symbol, book["nonce"])
            assert book["bids"][:10] == [[float(price), float(size)] for price, size in held.bids[:10]]
            assert book["asks"][:10] == [[float(price), float(size)] for price, size in held.asks[:10]]
    sizes = {name: market["contractSize"] for name, market in read["markets"].items()}
    assert sizes["BTC/USD:BTC"] == 100
    assert sizes["ETH/USD:ETH"] == 10
    assert sizes["BTC/USDT:USDT"] == 1
    assert read["markets"]["BTC/USDT"]["precision"]["price"] == 0.01
