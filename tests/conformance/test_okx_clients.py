"""OKX's protocol as clients that nobody here wrote understand it, held against what happened in the world."""

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim import SimulatedVenue
from heliograph.sim.authority import Authority
from heliograph.sim.world import MarketWorld
from heliograph.venues.scene import Book

pytestmark = pytest.mark.conformance

Run = Callable[..., Awaitable[dict[str, Any]]]

MINUTE_NS = 60 * NS_PER_S


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whom OKX's own SDK trusts."""
    made = Authority()
    made.write(tmp_path / "ca.pem")
    return made


@pytest.fixture
async def sim(authority: Authority) -> AsyncIterator[SimulatedVenue]:
    """A simulated OKX in which a minute takes two seconds."""
    async with SimulatedVenue("okx", seed=11, speed=30, symbols=3, history_minutes=120, authority=authority) as running:
        yield running


def book_at(scene: MarketWorld, symbol: str, update_id: int, now_ns: int) -> Book:
    """Find the book that had this update id."""
    low_ns, high_ns = scene.listings[symbol].listed_ns, now_ns
    while high_ns - low_ns > NS_PER_MS:
        middle_ns = (low_ns + high_ns) // 2
        if scene.book(symbol, 1, middle_ns).update_id < update_id:
            low_ns = middle_ns
        else:
            high_ns = middle_ns
    book = scene.book(symbol, 100, high_ns)
    assert book.update_id == update_id, "no such update happened"
    return book


async def test_ccxt_reads_what_happened_in_spot_linear_and_inverse(sim: SimulatedVenue, run: Run) -> None:
    read = await run("client_ccxt_okx.py")
    assert read["refusal"] == "BadSymbol"
    for name, market, symbol in (
        ("BTC/USDT", "spot", "BTC-USDT"),
        ("BTC/USDT:USDT", "swap", "BTC-USDT-SWAP"),
        ("BTC/USD:BTC", "swap", "BTC-USD-SWAP"),
    ):
        part, scene, now_ns = read[name], sim.world.markets[MarketId(market)], sim.clock.now_ns()
        listing = scene.listings[symbol]
        assert len(part["ohlcv"]) == 50
        for row in part["ohlcv"][:-1] + part["watched"]["candles"]:
            open_ns = row[0] * NS_PER_MS
            true = scene.bar(symbol, open_ns, open_ns + MINUTE_NS, open_ns + MINUTE_NS)
            base, _, _ = listing.volumes(true)
            assert row[1:] == [float(value) for value in (true.open, true.high, true.low, true.close, base)]
        first = int(part["trades"][0]["id"])
        assert [(int(t["id"]), t["price"], t["amount"]) for t in part["trades"]] == [
            (fill.id, float(fill.price), float(fill.quantity)) for fill in scene.fills_from(symbol, first, 20, now_ns)
        ]
        told = part["watched"]["trades"]
        after_ns = told[0]["timestamp"] * NS_PER_MS - 1
        whole = {item.last_fill: item for item in scene.aggregates(symbol, after_ns, now_ns)}
        for trade in told:
            item = whole[int(trade["id"])]
            assert (trade["timestamp"], trade["price"]) == (item.time_ns // NS_PER_MS, float(item.price))
            assert (trade["amount"], trade["side"]) == (float(item.quantity), "buy" if item.taker_buys else "sell")
        for book in part["watched"]["books"]:
            held = book_at(scene, symbol, book["nonce"], now_ns)
            assert book["bids"] == [[float(price), float(size)] for price, size in held.bids[:10]]
            assert book["asks"] == [[float(price), float(size)] for price, size in held.asks[:10]]
    sizes = {name: market["contractSize"] for name, market in read["markets"].items()}
    assert (sizes["BTC/USDT:USDT"], sizes["ETH/USDT:USDT"], sizes["BTC/USD:BTC"]) == (0.01, 0.1, 100)
    assert read["markets"]["BTC/USDT"]["precision"]["price"] == 0.1


def check_rows(scene: MarketWorld, symbol: str, rows: list[list[str]]) -> None:
    """Rows are minute after minute, and those that say they are confirmed are what truly happened."""
    assert all(int(after[0]) - int(before[0]) == 60_000 for before, after in pairwise(rows))
    for row in rows:
        if row[8] == "0":
            continue
        open_ns = int(row[0]) * NS_PER_MS
        true = scene.bar(symbol, open_ns, open_ns + MINUTE_NS, open_ns + MINUTE_NS)
        base, quote, contracts = scene.listings[symbol].volumes(true)
        volumes = (base, quote, quote) if contracts is None else (contracts, base, quote)
        assert [Decimal(cell) for cell in row[1:8]] == [true.open, true.high, true.low, true.close, *volumes]


def check_fills(scene: MarketWorld, symbol: str, rows: list[dict[str, str]], now_ns: int) -> None:
    true = scene.fills_from(symbol, int(rows[0]["tradeId"]), len(rows), now_ns)
    assert [
        (int(row["tradeId"]), Decimal(row["px"]), Decimal(row["sz"]), int(row["ts"]), row["side"]) for row in rows
    ] == [
        (fill.id, fill.price, fill.quantity, fill.time_ns // NS_PER_MS, "buy" if fill.taker_buys else "sell")
        for fill in true
    ]


def check_books(scene: MarketWorld, symbol: str, messages: list[dict[str, Any]], now_ns: int) -> None:
    """A snapshot and the changes that follow from it by their numbers are the book that was there."""
    assert messages[0]["action"] == "snapshot"
    assert {message["action"] for message in messages[1:]} == {"update"}
    frames = [message["data"][0] for message in messages]
    assert all(after["prevSeqId"] == before["seqId"] for before, after in pairwise(frames))
    true = book_at(scene, symbol, frames[-1]["seqId"], now_ns)
    for side, levels in (("bids", true.bids), ("asks", true.asks)):
        held: dict[Decimal, Decimal] = {}
        for frame in frames:
            held |= {Decimal(price): Decimal(size) for price, size, *_ in frame[side]}
        best = sorted((level for level in held.items() if level[1]), reverse=side == "bids")
        assert best[: len(levels)] == list(levels)


async def test_okxs_own_sdk_reads_what_happened_over_tls(sim: SimulatedVenue, run: Run, tmp_path: Path) -> None:
    read = await run("client_okx_sdk.py", SSL_CERT_FILE=str(tmp_path / "ca.pem"))
    now_ns = sim.clock.now_ns()
    assert read["refusal"]["code"] == "51001"
    kinds = {"SPOT": "spot", "SWAP": "swap", "FUTURES": "futures"}
    for sort, market in kinds.items():
        listed = {row["instId"] for row in read["listed"][sort]}
        assert listed == set(sim.world.markets[MarketId(market)].listings)
    for market, (symbol, rest) in zip(kinds.values(), read["rest"].items(), strict=True):
        scene = sim.world.markets[MarketId(market)]
        heard = [
            message for message in read["business"] + read["public"] if message.get("arg", {}).get("instId") == symbol
        ]
        of = {
            channel: [message for message in heard if "data" in message and message["arg"]["channel"] == channel]
            for channel in ("candle1m", "books", "trades", "tickers", "bbo-tbt")
        }
        assert [message["event"] for message in heard if "event" in message] == ["subscribe"] * len(of)
        assert (len(rest["candles"]), len(rest["history"])) == (50, 50)
        assert (rest["candles"][0][8], rest["history"][0][8]) == ("0", "1")
        check_rows(scene, symbol, rest["candles"][::-1])
        check_rows(scene, symbol, rest["history"][::-1])
        closed = [row for message in of["candle1m"] for row in message["data"] if row[8] == "1"]
        assert len(closed) >= 3
        check_rows(scene, symbol, closed)
        check_fills(scene, symbol, rest["trades"][::-1], now_ns)
        check_books(scene, symbol, of["books"], now_ns)
        for message in of["bbo-tbt"]:
            (top,) = message["data"]
            true = book_at(scene, symbol, top["seqId"], now_ns)
            assert [Decimal(cell) for cell in top["bids"][0][:2]] == list(true.bids[0])
            assert [Decimal(cell) for cell in top["asks"][0][:2]] == list(true.asks[0])
        for ticker in [rest["ticker"], *(row for message in of["tickers"] for row in message["data"])]:
            true = scene.book(symbol, 1, int(ticker["ts"]) * NS_PER_MS)
            assert Decimal(ticker["bidPx"]) < Decimal(ticker["askPx"])
            assert abs(Decimal(ticker["bidPx"]) / true.bids[0][0] - 1) < Decimal("0.001")
