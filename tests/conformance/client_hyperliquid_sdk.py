"""Reads a perpetual and a spot pair with Hyperliquid's own SDK, and prints what it read as one JSON object.

Runs in the environment of requirements-conformance.lock: `python client_hyperliquid_sdk.py ENDPOINTS TLS_ENDPOINTS`.
The SDK is told by `base_url` where to go, by REST and by socket.
"""

import json
import sys
import threading
from typing import Any

from hyperliquid.info import Info
from hyperliquid.utils.error import ServerError

SYMBOLS = ("BTC", "HYPE/USDC")
KINDS: dict[str, dict[str, str]] = {"candle": {"interval": "1m"}, "trades": {}, "l2Book": {}, "bbo": {}}


class Ear:
    """Hears the channels of both instruments until there is enough of each."""

    def __init__(self) -> None:
        self.heard: dict[str, dict[str, list[Any]]] = {symbol: {kind: [] for kind in KINDS} for symbol in SYMBOLS}
        self.enough = threading.Event()

    def keeper(self, symbol: str, kind: str) -> Any:
        def keep(message: dict[str, Any]) -> None:
            data = message["data"]
            self.heard[symbol][kind] += data if isinstance(data, list) else [data]
            if all(self._suffices(of) for of in self.heard.values()):
                self.enough.set()

        return keep

    @staticmethod
    def _suffices(of: dict[str, list[Any]]) -> bool:
        closed = len({candle["t"] for candle in of["candle"]}) >= 4
        return closed and len(of["trades"]) >= 50 and len(of["l2Book"]) >= 15 and len(of["bbo"]) >= 15


def main(endpoints: dict[str, dict[str, str]]) -> dict[str, Any]:
    ear, info = Ear(), Info(endpoints["usdm"]["rest_url"])
    for symbol in SYMBOLS:
        for kind, more in KINDS.items():
            info.subscribe({"type": kind, "coin": symbol, **more}, ear.keeper(symbol, kind))
    assert ear.enough.wait(75), {symbol: {k: len(v) for k, v in of.items()} for symbol, of in ear.heard.items()}
    rest: dict[str, Any] = {"meta": info.meta(), "spot_meta": info.spot_meta(), "mids": info.all_mids()}
    rest["dexs"] = info.perp_dexs()
    for symbol in SYMBOLS:
        last_ms = ear.heard[symbol]["candle"][-1]["t"]
        rest[symbol] = {
            "book": info.l2_snapshot(symbol),
            "candles": info.candles_snapshot(symbol, "1m", last_ms - 50 * 60_000, last_ms - 1),
        }
    nothing = {"coin": "NOPE", "interval": "1m", "startTime": 0, "endTime": 1}
    try:
        info.post("/info", {"type": "candleSnapshot", "req": nothing})
    except ServerError as error:
        refusal = error.status_code
    info.disconnect_websocket()
    return {"heard": ear.heard, "rest": rest, "refusal": refusal}


print(json.dumps(main(json.loads(sys.argv[1]))))
