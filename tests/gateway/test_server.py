import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
import pytest

from heliograph.errors import ConfigError, VenueRejected
from heliograph.gateway.connection import Limits
from heliograph.gateway.server import open_server
from heliograph.model.instrument import VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle
from heliograph.venues import VENUES
from heliograph.venues.contract import VenueError
from tests.gateway.samples import MINUTE_NS, OPEN_NS, candle
from tests.gateway.script import MANY, client, clients, minute_candles, running, spot


def of(symbol: str, close: int = 1, minute: int = 0, *, closed: bool = False) -> Candle:
    return candle(instrument=spot(symbol), close=Decimal(close), open_ns=OPEN_NS + minute * MINUTE_NS, closed=closed)


async def test_a_later_client_gets_the_last_value_at_once() -> None:
    async with running() as (script, hub, server), clients(server, 2) as (one, other):
        await one.subscribe("BTCUSDT")
        hub.push([of("BTCUSDT", 7)])
        await other.subscribe("BTCUSDT")
        assert (await other.receive())["close"] == 7
        assert script.calls == [("add", ("BTCUSDT",))]


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"exchange": "binance", "contract_type": "spot"}, "symbols must be a list that is not empty"),
        ({"exchange": "binance", "contract_type": "spot", "symbols": []}, "symbols must be a list that is not empty"),
        ({"exchange": "binance", "contract_type": "spot", "symbols": ["BTCUSDT"], "limit": -1}, "limit must be"),
        ({"exchange": "binance", "contract_type": "spot", "symbols": ["BTCUSDT"], "limit": True}, "limit must be"),
        ({"exchange": "nowhere", "symbols": ["X"]}, "Unsupported exchange: nowhere; accepted: binance"),
        ({"exchange": "binance", "symbols": ["X"]}, "Exchange binance needs a market (contract_type); accepted: spot"),
        (
            {"exchange": "binance", "contract_type": "banana", "symbols": ["X"]},
            "Unsupported contract_type for binance: banana; accepted: spot",
        ),
        (
            {"exchange": "okx", "contract_type": "banana", "symbols": ["BTC-USDT"]},
            "Unsupported contract_type for okx: banana; accepted: spot, swap (perp)",
        ),
        ({"exchange": "okx", "symbols": ["BTCUSDT"]}, "BTCUSDT does not tell its market at okx; accepted: the venue's"),
        ({"exchange": "binance", "contract_type": "spot", "symbols": ["X", "X"]}, "Duplicate symbol: X"),
        ({"exchange": "binance", "contract_type": "spot", "symbols": [*MANY]}, "600 symbols are too many"),
        ({"exchange": "binance", "contract_type": "spot", "symbols": ["NOPE"]}, "Unknown symbol: NOPE; accepted:"),
        ({"request_id": "1", "operation": "get_ticker", "params": {}}, "The cache API"),
        ({"exchange": "coinbase", "symbols": ["BTC-USD"]}, "no candles of interval 1m, though"),
        ("not json", "must be valid JSON"),
        ("[1]", "must be a JSON object"),
        ("7" * 70_000, "The payload has 70000 bytes; accepted: at most 65536"),
    ],
)
async def test_m5_a_bad_subscription_is_told_what_is_accepted_and_closed_cleanly(message: Any, says: str) -> None:
    async with running() as (script, _, server), client(server) as one:
        await one.send(message)
        messages, code = await one.until_closed()
        assert [m["type"] for m in messages] == ["error"]
        assert says in messages[0]["message"]
        assert "accepted: " in messages[0]["message"]
        assert messages[0]["system_message"] == messages[0]["message"]
        assert code == 1008
        assert script.calls == []


async def test_candles_of_the_length_that_was_asked_for_are_streamed_and_no_others() -> None:
    async with running() as (script, hub, server), client(server) as one:
        told = await one.subscribe("BTCUSDT", interval="5m")
        assert (told["type"], told["interval"]) == ("subscribed", "5m")
        await script.until("BTCUSDT")
        assert [subscription.interval for subscription in script.wanted] == [Interval.M5]
        longer = msgspec.structs.replace(of("BTCUSDT", close=2), interval=Interval.M5)
        hub.push([of("BTCUSDT", close=1), longer])
        quote = await one.receive()
        assert (quote["close"], quote["interval"]) == (2, "5m")


async def test_a_venues_refusal_reaches_the_client_in_the_venues_words() -> None:
    async with running() as (script, hub, server), clients(server, 2) as (one, other):
        await one.subscribe("BTCUSDT")
        hub.refused(minute_candles("BTCUSDT"), VenueError("-1121", "Invalid symbol."))
        messages, code = await one.until_closed()
        assert messages[0]["message"] == "Subscription rejected by binance: BTCUSDT"
        assert messages[0]["exchange_message"] == "Invalid symbol. (code -1121)"
        assert code == 1008
        script.failure = VenueRejected("binance", "451", "Service unavailable from a restricted location")
        error = await other.subscribe("ETHUSDT")
        assert error["exchange_message"] == "Service unavailable from a restricted location (code 451)"
        assert await other.closed() == 1008


async def test_a_fault_of_ours_ends_one_stream_and_no_other() -> None:
    async with running() as (script, hub, server), clients(server, 2) as (one, other):
        await one.subscribe("BTCUSDT")
        script.failure = ZeroDivisionError()
        error = await other.subscribe("ETHUSDT")
        assert error["message"] == "Internal streaming error"
        assert await other.closed() == 1013
        hub.push([of("BTCUSDT", 5)])
        assert (await one.receive())["close"] == 5


async def test_a_client_that_vanishes_is_unsubscribed_at_once() -> None:
    async with running() as (script, _, server), client(server) as one:
        await one.subscribe("BTCUSDT")
        connection = one.socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.abort()
        await script.until()
        assert server.connections == frozenset()


async def test_a_hundred_clients_hear_everything_in_order() -> None:
    async with running() as (script, hub, server), clients(server, 100) as crowd:
        await asyncio.gather(*(one.subscribe("BTCUSDT", "ETHUSDT") for one in crowd))
        for round_ in range(50):
            hub.push([of("BTCUSDT", 2 * round_, minute=round_, closed=True), of("ETHUSDT", 2 * round_ + 1)])

        async def heard(one: Any) -> list[int]:
            return [(await one.receive())["close"] for _ in range(100)]

        assert await asyncio.gather(*(heard(one) for one in crowd)) == [list(range(100))] * 100
        assert script.calls == [("add", ("BTCUSDT", "ETHUSDT"))]


async def test_there_is_room_for_so_many_clients_and_no_more() -> None:
    async with running(Limits(clients_max=2)) as (_, _, server):
        async with clients(server, 2):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with client(server):
                    pass
            assert refused.value.status == 503
        await server.empty()
        async with client(server) as one:
            assert (await one.subscribe("BTCUSDT"))["type"] == "subscribed"


async def test_a_server_that_stops_passes_on_what_waits_and_closes_with_1001() -> None:
    async with running() as (_, hub, server), clients(server, 3) as crowd:
        for one in crowd[:2]:
            await one.subscribe("BTCUSDT")
        hub.push([of("BTCUSDT", 9)])
        reading = asyncio.gather(*(one.until_closed() for one in crowd))
        await server.drain()
        assert [([m["close"] for m in messages], code) for messages, code in await reading] == [
            ([9], 1001),
            ([9], 1001),
            ([], 1001),
        ]


async def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    async with running() as (_, hub, server):
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{server.port}: "):
            async with open_server(hub, VENUES, "127.0.0.1", server.port):
                pass


def test_every_venue_that_is_played_can_be_asked_for() -> None:
    assert {VenueId("binance"), VenueId("okx")} <= set(VENUES)
