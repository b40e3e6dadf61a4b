"""Gate.io's protocol as clients that nobody here wrote understand it, held against what happened in the world."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from heliograph.sim import SimulatedVenue
from heliograph.sim.world import MarketWorld
from heliograph.venues.scene import Bar
from tests.conformance.conftest import Launch, Reading
from tests.conformance.truth import (
    Told,
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

VENUE = "gateio"
SYMBOLS = {"spot": "BTC_USDT", "usdm": "BTC_USDT", "coinm": "BTC_USD"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def readings(launch: Launch) -> dict[str, Reading]:
    return {"ccxt": launch("client_ccxt.py", EXCHANGE="gate"), "sdk": launch("client_gate_sdk.py")}


def prices(bar: Bar) -> list[Decimal]:
    return [bar.open, bar.high, bar.low, bar.close]


def check_streamed(scene: MarketWorld, symbol: str, frames: list[dict[str, Any]]) -> None:
    """The last frame of a bar that another one followed is what happened; that it is marked as closed may be missing.

    Of spot, `v` is quote and `a` base; of contracts, `v` is contracts and `a` what is settled.
    """
    last = {int(frame["t"]): frame for frame in frames}
    whole = sorted(last)[:-1]
    check_minutes((opened * 1000 for opened in whole), 3)
    for opened in whole:
        frame, true = last[opened], true_bar(scene, symbol, opened * 1000)
        assert [Decimal(frame[name]) for name in "ohlc"] == prices(true)
        told = (Decimal(frame["v"]), Decimal(frame["a"]))
        spot = scene.listings[symbol].contract_size is None
        assert told == ((true.counter, true.volume) if spot else (true.volume, true.counter))
    for frame in frames:
        if frame["w"]:
            true = true_bar(scene, symbol, int(frame["t"]) * 1000)
            assert [Decimal(frame[name]) for name in "ohlc"] == prices(true)


def check_spot_rows(scene: MarketWorld, symbol: str, rows: list[list[str]]) -> None:
    """Time, quote, close, high, low, open, base, closed."""
    check_minutes((int(row[0]) * 1000 for row in rows), 50)
    assert [row[7] for row in rows] == ["true"] * (len(rows) - 1) + ["false"]
    for row in rows[:-1]:
        true = true_bar(scene, symbol, int(row[0]) * 1000)
        told = [Decimal(cell) for cell in row[1:7]]
        assert told == [true.counter, true.close, true.high, true.low, true.open, true.volume]


def check_futures_rows(scene: MarketWorld, symbol: str, rows: list[dict[str, Any]]) -> None:
    check_minutes((int(row["t"]) * 1000 for row in rows), 50)
    for row in rows[:-1]:
        true = true_bar(scene, symbol, int(row["t"]) * 1000)
        _, quote, contracts = scene.listings[symbol].volumes(true)
        told = [Decimal(row[name]) for name in ("o", "h", "l", "c", "v", "sum")]
        assert told == [*prices(true), contracts, quote]


def numbered(row: dict[str, Any], ms: int) -> tuple[int, Told]:
    """Return a trade by its number: contracts that are sold are negative."""
    size = Decimal(row["amount"] if "amount" in row else row["size"])
    buys = row["side"] == "buy" if "side" in row else size > 0
    return int(row["id"]), (ms, Decimal(row["price"]), abs(size), buys)


def sides(frame: dict[str, Any], name: str) -> list[tuple[Decimal, Decimal]]:
    """Read one side of a book: pairs of spot, and objects of contracts."""
    rows = [(level["p"], level["s"]) if isinstance(level, dict) else tuple(level) for level in frame[name]]
    return [(Decimal(price), Decimal(size)) for price, size in rows]


def check_book(
    scene: MarketWorld, symbol: str, snapshot: dict[str, Any], frames: list[dict[str, Any]], now_ns: int
) -> None:
    """A book of REST and the changes that follow from it by their numbers are the book that was there."""
    known = snapshot["id"]
    # A snapshot has fewer levels than the changes know, so that it leads on for a while only.
    frames = [frame for frame in frames if frame["u"] > known][:20]
    assert len(frames) == 20
    assert frames[0]["U"] <= known + 1 <= frames[0]["u"]
    assert all(after["U"] == before["u"] + 1 for before, after in pairwise(frames))
    first, true = (book_at(scene, symbol, number, now_ns) for number in (known, frames[-1]["u"]))
    for name, change, begun, levels in (("bids", "b", first.bids, true.bids), ("asks", "a", first.asks, true.asks)):
        told = sides(snapshot, name)
        assert told == list(begun[: len(told)])
        held = levels_of([told, *(sides(frame, change) for frame in frames)], bids=name == "bids")
        assert held[:20] == list(levels[:20])


async def test_gates_own_sdks_read_what_happened(sim: SimulatedVenue, readings: dict[str, Reading]) -> None:
    read, now_ns = await readings["sdk"], sim.clock.now_ns()
    assert read["refusal"] == "INVALID_CURRENCY"
    for market, symbol in SYMBOLS.items():
        scene, heard, rest = scene_of(sim, market), read["heard"][market], read["rest"][market]
        assert sorted(heard["acknowledged"]) == ["book_ticker", "candlesticks", "order_book_update", "trades"]
        check_streamed(scene, symbol, heard["candlesticks"])
        (check_spot_rows if market == "spot" else check_futures_rows)(scene, symbol, rest["candles"])
        streamed = [numbered(row, int(Decimal(row["create_time_ms"]))) for row in heard["trades"]]
        check_numbered(scene, symbol, streamed, now_ns)
        # Answers have milliseconds of spot, and seconds of contracts.
        unit = 1 if market == "spot" else 1000
        answered = [numbered(row, int(Decimal(str(row["create_time_ms"])) * unit)) for row in rest["trades"]]
        check_numbered(scene, symbol, answered[::-1], now_ns)
        check_book(scene, symbol, rest["book"], heard["order_book_update"], now_ns)
        for top in heard["book_ticker"]:
            true = book_at(scene, symbol, top["u"], now_ns, 1)
            assert [(Decimal(top["b"]), Decimal(top["B"]))] == list(true.bids)
            assert [(Decimal(top["a"]), Decimal(top["A"]))] == list(true.asks)
        assert {row["id" if market == "spot" else "name"] for row in rest["rules"]} == set(scene.listings)
        assert Decimal(rest["ticker"]["highest_bid"]) < Decimal(rest["ticker"]["lowest_ask"])


async def test_ccxt_reads_what_happened_at_all_three_markets(sim: SimulatedVenue, readings: dict[str, Reading]) -> None:
    read, now_ns = await readings["ccxt"], sim.clock.now_ns()
    assert read["refusal"] == "BadSymbol"
    for name, market in (("BTC/USDT", "spot"), ("BTC/USDT:USDT", "usdm"), ("BTC/USD:BTC", "coinm")):
        part, scene, symbol = read[name], scene_of(sim, market), SYMBOLS[market]
        assert len(part["ohlcv"]) == 50
        check_ccxt_rows(scene, symbol, part["ohlcv"][:-1])
        # Of spot's socket, ccxt gives what `v` is, which is quote.
        spot = market == "spot"
        check_ccxt_rows(
            scene, symbol, part["watched"]["candles"], lambda bar, spot=spot: bar.counter if spot else bar.volume
        )
        for trades in (part["trades"], part["watched"]["trades"]):
            check_numbered(scene, symbol, [(int(trade["id"]), ccxt_told(trade)) for trade in trades], now_ns)
        for book in [part["book"], *part["watched"]["books"]]:
            check_ccxt_book(book, book_at(scene, symbol, book["nonce"], now_ns))
    sizes = {name: market["contractSize"] for name, market in read["markets"].items()}
    assert (sizes["BTC/USDT:USDT"], sizes["ETH/USDT:USDT"], sizes["BTC/USD:BTC"]) == (0.0001, 0.01, 1)
    assert read["markets"]["BTC/USDT"]["precision"] == {"amount": 1e-06, "price": 0.1}
