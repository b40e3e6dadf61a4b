"""Reads spot and both sorts of perpetual contracts with Gate's own gate-api and gate-ws, and prints it as JSON.

Runs in the environment of requirements-conformance.lock: `python client_gate_sdk.py ENDPOINTS TLS_ENDPOINTS`. Both are
told by their `host` where to go.
"""

import asyncio
import json
import sys
from typing import Any

from gate_api import ApiClient, Configuration, FuturesApi, SpotApi
from gate_api.exceptions import GateApiException
from gate_ws import Configuration as SocketConfiguration
from gate_ws import Connection, WebSocketResponse
from gate_ws.futures import (
    FuturesBookTickerChannel,
    FuturesCandlesticksChannel,
    FuturesOrderBookUpdateChannel,
    FuturesPublicTradeChannel,
)
from gate_ws.spot import (
    SpotBookTickerChannel,
    SpotCandlesticksChannel,
    SpotOrderBookUpdateChannel,
    SpotPublicTradeChannel,
)

PLACES = {
    "spot": ("BTC_USDT", "/ws/v4/"),
    "usdm": ("BTC_USDT", "/v4/ws/usdt"),
    "coinm": ("BTC_USD", "/v4/ws/btc"),
}
SPOT = (SpotCandlesticksChannel, SpotPublicTradeChannel, SpotOrderBookUpdateChannel, SpotBookTickerChannel)
FUTURES = (
    FuturesCandlesticksChannel,
    FuturesPublicTradeChannel,
    FuturesOrderBookUpdateChannel,
    FuturesBookTickerChannel,
)


def rows(result: Any) -> list[Any]:
    return result if isinstance(result, list) else [result]


class Ear:
    """Hears one market's channels until there is enough of each."""

    def __init__(self, market: str, url: str) -> None:
        self.symbol, path = PLACES[market]
        app = "spot" if market == "spot" else "futures"
        self.heard: dict[str, list[Any]] = {
            "candlesticks": [],
            "trades": [],
            "order_book_update": [],
            "book_ticker": [],
        }
        self.acknowledged: list[str] = []
        self.begun, self.enough = asyncio.Event(), asyncio.Event()
        self.connection = Connection(SocketConfiguration(app=app, host=url + path))
        arguments = {"candlesticks": ["1m", self.symbol], "order_book_update": [self.symbol, "100ms"]}
        for kind in SPOT if market == "spot" else FUTURES:
            channel = kind(self.connection, self.keep)
            channel.subscribe(arguments.get(channel.name.partition(".")[2], [self.symbol]))

    async def keep(self, _connection: Connection, response: WebSocketResponse) -> None:
        assert response.error is None, str(response)
        topic = response.channel.partition(".")[2]
        if response.event == "subscribe":
            self.acknowledged.append(topic)
            return
        self.heard[topic] += rows(response.result)
        if len(self.heard["order_book_update"]) >= 2:
            self.begun.set()
        opened = {int(candle["t"]) for candle in self.heard["candlesticks"]}
        if len(opened) >= 4 and all(len(heard) >= 30 for heard in self.heard.values()):
            self.enough.set()


def plain(answer: Any) -> Any:
    if isinstance(answer, list):
        return [plain(row) for row in answer]
    return answer.to_dict() if hasattr(answer, "to_dict") else answer


def ask_spot(client: ApiClient, symbol: str) -> dict[str, Any]:
    api = SpotApi(client)
    return {
        "candles": plain(api.list_candlesticks(symbol, interval="1m", limit=50)),
        "trades": plain(api.list_trades(symbol, limit=50)),
        "book": plain(api.list_order_book(symbol, limit=100, with_id=True)),
        "rules": plain(api.list_currency_pairs()),
        "ticker": plain(api.list_tickers(currency_pair=symbol))[0],
    }


def ask_futures(client: ApiClient, settle: str, symbol: str) -> dict[str, Any]:
    api = FuturesApi(client)
    return {
        "candles": plain(api.list_futures_candlesticks(settle, symbol, interval="1m", limit=50)),
        "trades": plain(api.list_futures_trades(settle, symbol, limit=50)),
        "book": plain(api.list_futures_order_book(settle, symbol, limit=50, with_id=True)),
        "rules": plain(api.list_futures_contracts(settle)),
        "ticker": plain(api.list_futures_tickers(settle, contract=symbol))[0],
    }


async def main(endpoints: dict[str, dict[str, str]]) -> dict[str, Any]:
    ears = {market: Ear(market, endpoints[market]["socket_url"]) for market in PLACES}
    listening = [asyncio.create_task(ear.connection.run()) for ear in ears.values()]
    # A book of REST leads on to changes that were already being heard.
    await asyncio.wait_for(asyncio.gather(*(ear.begun.wait() for ear in ears.values())), 30)
    client = ApiClient(Configuration(host=endpoints["spot"]["rest_url"] + "/api/v4"))
    rest = {
        "spot": await asyncio.to_thread(ask_spot, client, "BTC_USDT"),
        "usdm": await asyncio.to_thread(ask_futures, client, "usdt", "BTC_USDT"),
        "coinm": await asyncio.to_thread(ask_futures, client, "btc", "BTC_USD"),
    }
    try:
        await asyncio.to_thread(SpotApi(client).list_candlesticks, "NO_PE")
    except GateApiException as error:
        refusal = error.label
    await asyncio.wait_for(asyncio.gather(*(ear.enough.wait() for ear in ears.values())), 60)
    for ear in ears.values():
        ear.connection.close()
    await asyncio.gather(*listening, return_exceptions=True)
    heard = {market: ear.heard | {"acknowledged": ear.acknowledged} for market, ear in ears.items()}
    return {"heard": heard, "rest": rest, "refusal": refusal}


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1]))), default=str))
