import asyncio
import sys
from datetime import UTC, datetime

import pytest
from application.quotes import PriceQuote
from application.use_cases.stream_prices import StreamPrices
from interfaces.repository_factory import build_price_feed_repository

from heliograph.errors import ConfigError
from heliograph.sim import SimulatedVenue
from tests.gateway.processes import finish, program, simulated, spot_of, start

EXAMPLE = """
import asyncio
from application.use_cases.stream_prices import StreamPrices
from interfaces.repository_factory import build_price_feed_repository


async def main():
    # Build repository
    repository = build_price_feed_repository("binance", "spot")

    # Create use case
    use_case = StreamPrices(repository)

    # Stream quotes
    async for quote in use_case.execute(["BTCUSDT", "ETHUSDT"]):
        print(f"{quote.symbol}: {quote.close} @ {quote.timestamp}", flush=True)


asyncio.run(main())
"""


async def test_the_documents_example_runs_as_it_stands() -> None:
    async with simulated() as simulator:
        process = await start(sys.executable, "-c", EXAMPLE, HELIOGRAPH_ENDPOINT=spot_of(simulator))
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode() for _ in range(10)]
        process.terminate()
        assert (await finish(process)).err == []
    symbols = set()
    for line in lines:
        symbol, _, rest = line.partition(": ")
        close, _, stamp = rest.strip().partition(" @ ")
        symbols.add(symbol)
        assert float(close) > 0
        assert datetime.fromisoformat(stamp).tzinfo is not None
    assert symbols == {"BTCUSDT", "ETHUSDT"}


async def test_a_quote_has_the_documents_fields_and_types() -> None:
    async with simulated() as simulator:
        repository = build_price_feed_repository("binance", "spot", endpoint=spot_of(simulator))
        quotes = StreamPrices(repository).execute(["btc/usdt"])
        quote = await anext(quotes)
    assert type(quote) is PriceQuote
    assert (quote.exchange, quote.symbol, quote.contract_type) == ("binance", "BTCUSDT", "spot")
    assert quote.timestamp.tzinfo is UTC
    assert quote.timestamp.second == 0
    prices = (quote.open, quote.high, quote.low, quote.close, quote.volume)
    assert all(type(price) is float for price in prices)
    assert type(quote.trade_num) is int
    assert type(quote.is_closed_candle) is bool
    assert quote.low <= quote.close <= quote.high


async def test_who_stops_iterating_leaves_no_task_and_no_upstream_connection_behind() -> None:
    async with simulated() as simulator:
        before = asyncio.all_tasks()
        repository = build_price_feed_repository("binance", "spot", endpoint=spot_of(simulator))
        quotes = StreamPrices(repository).execute(["BTCUSDT"])
        async for quote in quotes:
            assert quote.symbol == "BTCUSDT"
            break
        await quotes.aclose()  # type: ignore[attr-defined]  # an async generator behind the plain protocol
        left_behind = asyncio.all_tasks() - before
        if left_behind:  # The simulator's ends of connections that are being closed.
            await asyncio.wait(left_behind, timeout=5)
        assert not simulator.listeners["spot"].publisher.clients


async def test_two_streams_side_by_side_are_independent() -> None:
    async with simulated() as simulator:
        repository = build_price_feed_repository("binance", "spot", endpoint=spot_of(simulator))
        use_case = StreamPrices(repository)
        first, second = use_case.execute(["BTCUSDT"]), use_case.execute(["ETHUSDT"])
        quotes = await asyncio.gather(anext(first), anext(second))
        assert [quote.symbol for quote in quotes] == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize("contract_type", [None, "swap"])
async def test_okxs_symbols_tell_their_market(contract_type: str | None) -> None:
    async with SimulatedVenue("okx", seed=5, speed=30, history_minutes=60) as simulator:
        address = simulator.endpoints["spot"]["rest_url"]
        repository = build_price_feed_repository("okx", contract_type, endpoint=address)
        quotes = StreamPrices(repository).execute(["BTC-USDT-SWAP", "ETH-USDT"])
        told = {(quote.contract_type, quote.symbol) for quote in [await anext(quotes) for _ in range(8)]}
    assert told == {("swap", "BTC-USDT-SWAP"), ("spot", "ETH-USDT")}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere", "spot"), "Unsupported exchange: nowhere; accepted: binance"),
        (("binance", "banana"), "Unsupported contract_type for binance: banana; accepted: spot"),
        (("binance",), "Exchange binance needs a market"),
        (("okx", "banana"), "Unsupported contract_type for okx: banana; accepted: spot"),
    ],
)
def test_an_unknown_market_is_told_at_once(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build_price_feed_repository(*arguments)
    assert says in str(refused.value)


async def test_an_unknown_symbol_is_told_at_the_first_step() -> None:
    async with simulated() as simulator:
        repository = build_price_feed_repository("binance", "spot", endpoint=spot_of(simulator))
        with pytest.raises(ConfigError, match="Unknown symbol at binance spot: NOPE; accepted: BTCUSDT"):
            await anext(StreamPrices(repository).execute(["NOPE"]))


async def test_the_server_module_is_connector_wss() -> None:
    module = await finish(await start(sys.executable, "-m", "interfaces.ws_server.main", "--help"))
    script = await finish(await start(program("connector-wss"), "--help"))
    assert module.code == 0
    assert module.out == script.out
