"""Reads spot, linear and inverse instruments with pybit, Bybit's own SDK, and prints what it read as JSON.

Runs in the environment of requirements-conformance.lock: `python client_pybit.py ENDPOINTS TLS_ENDPOINTS`. The SDK's
socket goes to its venue's own host over TLS; a proxy (https_proxy) leads that host to the simulator, whose authority's
certificate is in WEBSOCKET_CLIENT_CA_BUNDLE.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pybit.exceptions import InvalidRequestError
from pybit.unified_trading import HTTP, WebSocket

SYMBOLS = {"spot": "BTCUSDT", "linear": "BTCUSDT", "inverse": "BTCUSD"}


def listen(category: str, symbol: str) -> dict[str, list[dict[str, Any]]]:
    """Hear every public channel of a symbol until there is enough of each."""
    heard: dict[str, list[dict[str, Any]]] = {"kline": [], "trade": [], "book": [], "ticker": []}
    enough = threading.Event()

    def keeper(channel: str) -> Any:
        def keep(message: dict[str, Any]) -> None:
            # The SDK hands out its own book and goes on writing into it.
            if channel != "book" or len(heard[channel]) < 40:
                heard[channel].append(json.loads(json.dumps(message)))
            closed = {row["start"] for m in heard["kline"] for row in m["data"] if row["confirm"]}
            if len(closed) >= 3 and all(len(messages) >= 15 for messages in heard.values()):
                enough.set()

        return keep

    socket = WebSocket(testnet=False, channel_type=category, ping_interval=20, ping_timeout=10)
    socket.kline_stream(1, symbol, keeper("kline"))
    socket.trade_stream(symbol, keeper("trade"))
    socket.orderbook_stream(50, symbol, keeper("book"))
    socket.ticker_stream(symbol, keeper("ticker"))
    assert enough.wait(60), {channel: len(messages) for channel, messages in heard.items()}
    socket.exit()
    return heard


def ask(session: Any, category: str, symbol: str) -> dict[str, Any]:
    return {
        "kline": session.get_kline(category=category, symbol=symbol, interval="1", limit=50)["result"]["list"],
        "trades": session.get_public_trade_history(category=category, symbol=symbol, limit=50)["result"]["list"],
        "book": session.get_orderbook(category=category, symbol=symbol, limit=50)["result"],
        "ticker": session.get_tickers(category=category, symbol=symbol)["result"]["list"][0],
        "instruments": session.get_instruments_info(category=category)["result"]["list"],
    }


def main(endpoints: dict[str, dict[str, str]]) -> dict[str, Any]:
    session = HTTP(testnet=False)
    session.endpoint = endpoints["spot"]["rest_url"]
    with ThreadPoolExecutor() as threads:
        waiting = {category: threads.submit(listen, category, symbol) for category, symbol in SYMBOLS.items()}
        rest = {category: ask(session, category, symbol) for category, symbol in SYMBOLS.items()}
        try:
            session.get_kline(category="linear", symbol="NOPE", interval="1")
        except InvalidRequestError as error:
            refusal = error.status_code
        heard = {category: future.result() for category, future in waiting.items()}
    return {"heard": heard, "rest": rest, "refusal": refusal}


print(json.dumps(main(json.loads(sys.argv[1]))))
