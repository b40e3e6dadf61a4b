"""The JavaScript client of the OHLCV connector's document, line for line: connect, subscribe, print what comes.

Usage: javascript_client.py URL QUOTES
"""

import asyncio
import json
import sys

import aiohttp


async def main(url: str, quotes_wanted: int) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as ws:
        await ws.send_str(
            json.dumps(
                {
                    "exchange": "binance",
                    "contract_type": "spot",
                    "symbols": ["BTCUSDT", "ETHUSDT"],
                    "limit": 0,
                }
            )
        )
        quotes = 0
        async for event in ws:
            data = json.loads(event.data)
            if data["type"] == "subscribed":
                print("Subscription confirmed:", json.dumps(data), flush=True)
            elif data["type"] == "quote":
                print("Quote:", json.dumps(data), flush=True)
                quotes += 1
            elif data["type"] == "error":
                print("Error:", json.dumps(data), flush=True)
            if quotes == quotes_wanted:
                return


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
