"""A process of its own that feeds a simulated Binance's spot market to a server's streams, until it is killed.

Arguments: the server's URL, the venue's socket URL and REST URL, the symbols. It says `ready` once it runs.
"""

import asyncio
import random
import sys

import msgspec

from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Reader
from heliograph.clock import SystemClock
from heliograph.connect import rest
from heliograph.marketdata.feed import MarketFeed
from heliograph.marketdata.publish import StreamSink
from heliograph.metrics import FeedMetrics
from heliograph.model.instrument import SPOT
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues import binance
from heliograph.venues.contract import Subscription
from tests.marketdata.field import QUICK


async def main(server_url: str, socket_url: str, rest_url: str, *symbols: str) -> None:
    market = msgspec.structs.replace(binance.VENUE.markets[SPOT], socket_url=socket_url, rest_url=rest_url)
    async with (
        Publisher(server_url) as publisher,
        Reader(server_url, {}) as reader,
        rest.Client(rest.Settings(timeout_s=2.0), random.Random()) as client,
    ):
        sink = StreamSink(publisher, reader, stream_maxlen=1_000_000, feed_maxlen=1_000_000)
        metrics = FeedMetrics("binance", "spot")
        feed = MarketFeed(market, QUICK, sink, metrics, SystemClock(), client, resume=sink)
        for symbol in symbols:
            instrument = market.instrument(symbol)
            feed.add([Subscription(Channel.CANDLES, instrument, Interval.M1), Subscription(Channel.TRADES, instrument)])
        print("ready", flush=True)
        await feed.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
