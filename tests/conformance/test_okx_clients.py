"""OKX's protocol as clients that nobody here wrote understand it, held against what happened in the world."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from heliograph.clock import NS_PER_MS
from heliograph.sim import SimulatedVenue
from heliograph.sim.world import MarketWorld
from tests.conformance.conftest import Launch, Reading
from tests.conformance.truth import (
    book_at,
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

VENUE = "okx"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def readings(launch: Launch, certificate: str) -> dict[str, Reading]:
    return {
        "ccxt": launch("client_ccxt.py", EXCHANGE="okx"),
        "sdk": launch("client_okx_sdk.py", SSL_CERT_FILE=certificate),
    }


async def test_ccxt_reads_what_happened_in_spot_linear_and_inverse(
    sim: SimulatedVenue, readings: dict[str, Reading]
) -> None:
    read = await readings["ccxt"]
    assert read["refusal"] == "BadSymbol"
    for name, market, symbol in (
        ("BTC/USDT", "spot", "BTC-USDT"),
        ("BTC/USDT:USDT", "swap", "BTC-USDT-SWAP"),
        ("BTC/USD:BTC", "swap", "BTC-USD-SWAP"),
    ):
        part, scene, now_ns = read[name], scene_of(sim, market), sim.clock.now_ns()
        listing = scene.listings[symbol]
        assert len(part["ohlcv"]) == 50
        for rows in (part["ohlcv"][:-1], part["watched"]["candles"]):
            check_ccxt_rows(scene, symbol, rows, lambda bar, listing=listing: listing.volumes(bar)[0])
        check_numbered(scene, symbol, [(int(trade["id"]), ccxt_told(trade)) for trade in part["trades"]], now_ns)
        told = part["watched"]["trades"]
        after_ns = told[0]["timestamp"] * NS_PER_MS - 1
        whole = {item.last_fill: item for item in scene.aggregates(symbol, after_ns, now_ns)}
        for trade in told:
            item = whole[int(trade["id"])]
            true = (item.time_ns // NS_PER_MS, item.price, item.quantity, item.taker_buys)
            assert ccxt_told(trade) == true
        check_ccxt_book(part["book"], scene.book(symbol, 100, part["book"]["timestamp"] * NS_PER_MS))
        for book in part["watched"]["books"]:
            check_ccxt_book(book, book_at(scene, symbol, book["nonce"], now_ns))
    sizes = {name: market["contractSize"] for name, market in read["markets"].items()}
    assert (sizes["BTC/USDT:USDT"], sizes["ETH/USDT:USDT"], sizes["BTC/USD:BTC"]) == (0.01, 0.1, 100)
    assert read["markets"]["BTC/USDT"]["precision"]["price"] == 0.1


def check_rows(scene: MarketWorld, symbol: str, rows: list[list[str]]) -> None:
    """Rows are minute after minute, and those that say they are confirmed are what truly happened."""
    check_minutes((int(row[0]) for row in rows), 3)
    for row in rows:
        if row[8] == "0":
            continue
        true = true_bar(scene, symbol, int(row[0]))
        base, quote, contracts = scene.listings[symbol].volumes(true)
        volumes = (base, quote, quote) if contracts is None else (contracts, base, quote)
        assert [Decimal(cell) for cell in row[1:8]] == [true.open, true.high, true.low, true.close, *volumes]


def check_fills(scene: MarketWorld, symbol: str, rows: list[dict[str, str]], now_ns: int) -> None:
    told = [
        (int(row["tradeId"]), (int(row["ts"]), Decimal(row["px"]), Decimal(row["sz"]), row["side"] == "buy"))
        for row in rows
    ]
    check_numbered(scene, symbol, told, now_ns)


def check_books(scene: MarketWorld, symbol: str, messages: list[dict[str, Any]], now_ns: int) -> None:
    """A snapshot and the changes that follow from it by their numbers are the book that was there."""
    assert messages[0]["action"] == "snapshot"
    assert {message["action"] for message in messages[1:]} == {"update"}
    frames = [message["data"][0] for message in messages]
    assert all(after["prevSeqId"] == before["seqId"] for before, after in pairwise(frames))
    true = book_at(scene, symbol, frames[-1]["seqId"], now_ns)
    for side, levels in (("bids", true.bids), ("asks", true.asks)):
        changes = [[(Decimal(price), Decimal(size)) for price, size, *_ in frame[side]] for frame in frames]
        assert levels_of(changes, bids=side == "bids")[: len(levels)] == list(levels)


async def test_okxs_own_sdk_reads_what_happened_over_tls(sim: SimulatedVenue, readings: dict[str, Reading]) -> None:
    read, now_ns = await readings["sdk"], sim.clock.now_ns()
    assert read["refusal"]["code"] == "51001"
    kinds = {"SPOT": "spot", "SWAP": "swap", "FUTURES": "futures"}
    for sort, market in kinds.items():
        listed = {row["instId"] for row in read["listed"][sort]}
        assert listed == set(scene_of(sim, market).listings)
    for market, (symbol, rest) in zip(kinds.values(), read["rest"].items(), strict=True):
        scene = scene_of(sim, market)
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
