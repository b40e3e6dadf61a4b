"""What figure d measures, in a process of its own: 1,000 instruments of five venues onto streams, and a gateway.

It prints `imported` once everything is imported that it uses, and waits for a line: what it weighs then is the floor.
Then it opens, prints the gateway's address, and runs until killed. The barest code has no gateway; it subscribes in the
codecs' words, decodes each frame into whatever it holds, and appends it as it came to two streams, as ours does.
"""

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final
from urllib.parse import urlsplit

import hiredis
import msgspec
import picows
import structlog
import uvloop

from bench.crowd_words import CODES, WORDS
from heliograph import app, config
from heliograph.clock import SystemClock
from heliograph.config import ConnectorSettings
from heliograph.metrics import FeedCollector
from heliograph.model.instrument import MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues import VENUES
from heliograph.venues.contract import Effect, Feed, Market, Send, Subscription, Venue

SYMBOLS_PER_SOCKET: Final = 50


def _venues(port: int) -> Mapping[VenueId, Venue]:
    """Return the five venues where the source plays them; nobody is there to answer a request."""
    found = {}
    for name, words in WORDS.items():
        venue = VENUES[VenueId(name)]
        market = msgspec.structs.replace(
            venue.markets[MarketId(words.market)],
            socket_url=f"ws://127.0.0.1:{port}/{name}",
            rest_url="http://127.0.0.1:9",
        )
        found[venue.name] = msgspec.structs.replace(venue, markets={market.market: market})
    return found


def _subscriptions(market: Market) -> list[Subscription]:
    words = WORDS[str(market.venue)]
    instruments = [market.instrument(words.symbol(code)) for code in CODES]
    return [
        subscription
        for instrument in instruments
        for subscription in (
            Subscription(Channel.CANDLES, instrument, Interval.M1),
            Subscription(Channel.TRADES, instrument, None),
        )
    ]


async def ours(port: int, valkey_url: str) -> None:
    """Run feeds, publisher and gateway as `connector-wss --valkey` does."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    connector = config.load(
        ConnectorSettings, wss_port=0, wss_health_check_port=0, max_symbol_per_ws=SYMBOLS_PER_SOCKET
    )
    clock, collector = SystemClock(), FeedCollector()
    venues = _venues(port)
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(app.open_source(connector, collector, clock, valkey_url))
        gateway = await stack.enter_async_context(app.open_gateway(source, venues, connector, collector, clock))
        for venue in venues.values():
            for market in venue.markets.values():
                await source.instruments(market, [WORDS[str(venue.name)].symbol(CODES[0])])
                source.add(_subscriptions(market))
        print(gateway.server.address, flush=True)
        await asyncio.Event().wait()


class _Writer(asyncio.Protocol):
    """Appends, and reads the answers."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while self._reader.gets() is not False:
            pass


class _Listener(picows.WSListener):
    """One socket of the barest code."""

    def __init__(self, feed: Feed, venue: str, writer: _Writer) -> None:
        self._feed = feed
        self._writer = writer
        self._decode = msgspec.json.Decoder().decode
        self._heads = [
            b"*8\r\n$4\r\nXADD\r\n$%d\r\n%s\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$%d\r\n%d\r\n$1\r\n*\r\n$4\r\ndata\r\n"
            % (len(key), key, len(str(kept)), kept)
            for key, kept in ((f"bare:{venue}".encode(), 10_000), (b"feed:bare", 100_000))
        ]

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport
        self._subscribe(opened=True)

    def _subscribe(self, *, opened: bool) -> None:
        effects: list[Effect] = []
        (self._feed.opened if opened else self._feed.ticked)(SystemClock().now_ns(), effects)
        for effect in effects:
            if isinstance(effect, Send):
                self._transport.send(picows.WSMsgType.TEXT, effect.payload)
        asyncio.get_running_loop().call_later(1.0, lambda: self._subscribe(opened=False))

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        payload = frame.get_payload_as_bytes()
        if payload == b"pong":
            return
        self._decode(payload)
        body = b"$%d\r\n%s\r\n" % (len(payload), payload)
        self._writer.write(b"".join((self._heads[0], body, self._heads[1], body)))


async def bare(port: int, valkey_url: str) -> None:
    """Run the barest code that takes in the same."""
    server = urlsplit(valkey_url)
    _, writer = await asyncio.get_running_loop().create_connection(_Writer, server.hostname, server.port)
    kept = []
    for venue in _venues(port).values():
        for market in venue.markets.values():
            for connection in market.plan(_subscriptions(market), SYMBOLS_PER_SOCKET):
                listener = _Listener(market.feed(connection), str(venue.name), writer)
                kept.append(await picows.ws_connect(lambda one=listener: one, market.socket_url + connection.path))
    print("none", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Show the floor, and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=("bare", "ours"))
    parser.add_argument("port", type=int)
    parser.add_argument("valkey_url")
    parser.add_argument("--cpu", type=int, default=None)
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    gc.collect()
    print("imported", flush=True)
    sys.stdin.readline()
    uvloop.run((bare if arguments.side == "bare" else ours)(arguments.port, arguments.valkey_url))


if __name__ == "__main__":
    main()
