import re
import uuid
from decimal import Decimal

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim.world import World
from heliograph.venues.bybit.dialect_wording import Wording, trimmed
from heliograph.venues.bybit.layout import LAYOUT

EPOCH_NS = 1_795_000_000 * NS_PER_S
WORLD = World(5, 2, EPOCH_NS, listers=LAYOUT.listers)


def wording(category: str, symbol: str) -> Wording:
    scene = WORLD.markets[MarketId(category)]
    return Wording(category, scene, scene.listings[symbol])


def test_zeros_at_the_end_are_told_of_contracts_alone() -> None:
    amounts = [Decimal(text) for text in ("64000.50", "64000", "0.30", "0")]
    spot, linear, inverse = wording("spot", "BTCUSDT"), wording("linear", "BTCUSDT"), wording("inverse", "BTCUSD")
    assert [spot.price(amount) for amount in amounts] == ["64000.5", "64000", "0.3", "0"]
    assert [linear.price(amount) for amount in amounts] == ["64000.50", "64000.00", "0.30", "0.00"]
    assert [linear.size(amount) for amount in amounts] == ["64000.500", "64000.000", "0.300", "0"]
    assert inverse.size(Decimal(7)) == "7"
    assert trimmed(Decimal("1E+3")) == "1000"


def test_trades_of_contracts_have_uuids_and_those_of_spot_numbers_that_no_float_holds() -> None:
    linear, spot = wording("linear", "BTCUSDT"), wording("spot", "BTCUSDT")
    names = [linear.trade_id(number) for number in range(1, 500)]
    assert len(set(names)) == len(names)
    assert names != sorted(names)
    for number, name in enumerate(names, 1):
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}", name)
        assert uuid.UUID(name).node == number
    numbers = [int(spot.trade_id(number)) for number in (1, 2, 3)]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert float(numbers[0]) == float(numbers[1])


def test_the_direction_of_a_price_is_that_of_its_last_change() -> None:
    linear = wording("linear", "BTCUSDT")
    fills = linear.scene.fills("BTCUSDT", EPOCH_NS - 120 * NS_PER_S, EPOCH_NS)
    told = [linear.trades([fill])[0]["L"] for fill in fills]
    assert set(told) == {"PlusTick", "MinusTick", "ZeroPlusTick", "ZeroMinusTick"}
    for index in range(1, len(fills)):
        before, after = fills[index - 1].price, fills[index].price
        if before == after:
            assert told[index] == f"Zero{str(told[index - 1]).removeprefix('Zero')}"
        else:
            assert told[index] == ("PlusTick" if after > before else "MinusTick")


def test_quotes_have_best_prices_and_delivery_only_where_there_is_one() -> None:
    spot = wording("spot", "BTCUSDT").quote(EPOCH_NS)
    assert list(spot) == [
        "symbol", "bid1Price", "bid1Size", "ask1Price", "ask1Size", "lastPrice", "highPrice24h", "lowPrice24h",
        "prevPrice24h", "volume24h", "turnover24h", "price24hPcnt", "usdIndexPrice",
    ]  # fmt: skip
    perpetual = wording("inverse", "BTCUSD").quote(EPOCH_NS)
    assert (perpetual["deliveryTime"], perpetual["fundingRate"], perpetual["basisRate"]) == ("0", "0.0001", "")
    name = next(name for name in WORLD.markets[MarketId("linear")].listings if "-" in name)
    future = wording("linear", name).quote(EPOCH_NS)
    assert (int(future["deliveryTime"]) > EPOCH_NS // 10**6, future["fundingRate"]) == (True, "")
    for quote in (spot, perpetual, future):
        assert Decimal(quote["bid1Price"]) < Decimal(quote["ask1Price"])
        assert Decimal(quote["lowPrice24h"]) <= Decimal(quote["lastPrice"]) <= Decimal(quote["highPrice24h"])
        change = Decimal(quote["lastPrice"]) / Decimal(quote["prevPrice24h"]) - 1
        assert abs(change - Decimal(quote["price24hPcnt"])) < Decimal("1e-4")


def test_a_ticker_is_the_same_whatever_was_asked_before() -> None:
    linear = wording("linear", "BTCUSDT")
    first = linear.ticker(EPOCH_NS)
    assert linear.ticker(EPOCH_NS + NS_PER_S) != first
    assert linear.ticker(EPOCH_NS) == first == wording("linear", "BTCUSDT").ticker(EPOCH_NS)
