import json
import zlib
from decimal import Decimal

import pytest

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Kind, MarketId
from heliograph.sim.world import World
from heliograph.venues.kraken.dialect import Dialect, Stream
from heliograph.venues.kraken.dialect_books import changed, checksum
from heliograph.venues.kraken.layout import LAYOUT
from heliograph.venues.scene import Book, Listing

EPOCH_NS = 1_795_000_000 * NS_PER_S
WORLD = World(5, 3, EPOCH_NS, listers=LAYOUT.listers)
SCENE = WORLD.markets[MarketId("spot")]
DIALECT = Dialect(WORLD.markets)


def pairs(text: str) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple((Decimal(price), Decimal(size)) for price, size in (level.split(":") for level in text.split()))


def test_the_checksum_of_the_documentation_s_example() -> None:
    """Source: https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2 ."""
    tick, lot = Decimal("0.1"), Decimal("0.00000001")
    listing = Listing("BTC/USD", "BTC/USD", "BTC", "USD", None, Kind.SPOT, 0, None, tick, lot, None)
    bids = pairs(
        "45283.5:0.1 45283.4:1.54582015 45282.1:0.1 45281.0:0.1 45280.3:1.54592586 45279.0:0.0799 "
        "45277.6:0.03310103 45277.5:0.3 45277.3:1.54602737 45276.6:0.15445238"
    )
    asks = pairs(
        "45285.2:0.001 45286.4:1.54571953 45286.6:1.54571109 45289.6:1.54560911 45290.2:0.1589066 45291.8:1.54553491 "
        "45294.7:0.04454749 45296.1:0.3538 45297.5:0.09945542 45299.5:0.18772827"
    )
    assert checksum(listing, Book(1, 0, bids, asks)) == 3_310_070_434


def test_a_level_that_only_fell_out_of_depth_is_not_told() -> None:
    before, after = pairs("9:1 8:1 7:1"), pairs("9.5:2 9:1 8:1")
    assert changed(before, after, falling=True) == [(Decimal("9.5"), Decimal(2))]
    assert changed(after, before, falling=True) == [(Decimal("9.5"), Decimal(0)), (Decimal(7), Decimal(1))]
    assert changed(before, before[:2], falling=True) == [(Decimal(7), Decimal(0))]
    up = pairs("1:1 2:1 3:1")
    assert changed(up, pairs("0.5:1 1:1 2:1"), falling=False) == [(Decimal("0.5"), Decimal(1))]


@pytest.mark.parametrize("depth", [10, 25, 100])
@pytest.mark.parametrize("symbol", ["BTC/USD", "ETH/BTC"])
def test_updates_lead_from_book_to_book_for_who_truncates(symbol: str, depth: int) -> None:
    stream = Stream("book", symbol, depth)
    sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
    now_ns, frames = EPOCH_NS, DIALECT.opening(stream, EPOCH_NS)
    for _ in range(120):
        for frame in frames:
            (book,) = json.loads(frame, parse_float=str)["data"]
            for name, held in sides.items():
                held |= {level["price"]: level["qty"] for level in book[name]}
                kept = {price: size for price, size in held.items() if float(size)}
                sides[name] = dict(sorted(kept.items(), key=lambda kv: Decimal(kv[0]), reverse=name == "bids")[:depth])
            top = [*list(sides["asks"].items())[:10], *list(sides["bids"].items())[:10]]
            text = "".join(part.replace(".", "").lstrip("0") for level in top for part in level)
            assert zlib.crc32(text.encode()) == book["checksum"]
        truth = SCENE.book(symbol, depth, now_ns)
        assert [(Decimal(p), Decimal(q)) for p, q in sides["bids"].items()] == list(truth.bids)
        assert [(Decimal(p), Decimal(q)) for p, q in sides["asks"].items()] == list(truth.asks)
        frames, now_ns = DIALECT.frames(stream, now_ns, now_ns + NS_PER_S // 2), now_ns + NS_PER_S // 2
