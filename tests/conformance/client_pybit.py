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

ATTEMPTS_MAX = 8

SYMBOLS = {"spot": "BTCUSDT", "linear": "BTCUSDT", "inverse": "BTCUSD"}


class Ear:
    """Hears every public channel of a symbol until there is enough of each."""

    def __init__(self, category: str, symbol: str) -> None:
        self.heard: dict[str, list[dict[str, Any]]] = {"kline": [], "trade": [], "book": [], "ticker": []}
        self.enough = threading.Event()
        self._closed: set[int] = set()
        self.socket = WebSocket(testnet=False, channel_type=category, ping_interval=20, ping_timeout=10)
        # The SDK waits without end for a connection that it has given up, so that its waiting must not be ours.
        threading.Thread(target=self._subscribe, args=(symbol,), daemon=True).start()

    def _subscribe(self, symbol: str) -> None:
        self.socket.kline_stream(1, symbol, self._keeper("kline"))
        self.socket.trade_stream(symbol, self._keeper("trade"))
        self.socket.orderbook_stream(50, symbol, self._keeper("book"))
        self.socket.ticker_stream(symbol, self._keeper("ticker"))

    def _keeper(self, channel: str) -> Any:
        kept = self.heard[channel]

        def keep(message: dict[str, Any]) -> None:
            if channel == "kline":
                self._closed |= {row["start"] for row in message["data"] if row["confirm"]}
            if channel != "book" or len(kept) < 40:
                # The SDK hands out its own book and goes on writing into it.
                kept.append(json.loads(json.dumps(message)))
            if len(self._closed) >= 3 and all(len(messages) >= 15 for messages in self.heard.values()):
                self.enough.set()

        return keep


def listen(category: str, symbol: str) -> dict[str, list[dict[str, Any]]]:
    """Hear enough of a symbol.

    The SDK sends a subscription before it has noted it. Where the answer is faster than the note, as happens on a busy
    machine, it takes the answer for an error, closes its connection for good, and says so to its log alone. So does the
    test begin again.
    """
    for _ in range(ATTEMPTS_MAX):
        ear = Ear(category, symbol)
        while not ear.enough.wait(0.1) and not ear.socket.exited:
            pass
        print("enough" if ear.enough.is_set() else "given up", category, file=sys.stderr)
        if ear.enough.is_set():
            ear.socket.exit()
            return ear.heard
    raise SystemExit(f"pybit gave up its connection to {category} {ATTEMPTS_MAX} times")


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
    rest = {category: ask(session, category, symbol) for category, symbol in SYMBOLS.items()}
    try:
        session.get_kline(category="linear", symbol="NOPE", interval="1")
    except InvalidRequestError as error:
        refusal = error.status_code
    # The shorter a thread may keep the others waiting, the sooner a subscription is noted that was sent.
    sys.setswitchinterval(0.0001)
    with ThreadPoolExecutor() as threads:
        heard = dict(zip(SYMBOLS, threads.map(listen, SYMBOLS, SYMBOLS.values()), strict=True))
    return {"heard": heard, "rest": rest, "refusal": refusal}


print(json.dumps(main(json.loads(sys.argv[1]))))
