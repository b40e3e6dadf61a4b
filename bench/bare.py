"""The baselines: the barest code that does the same I/O.

`objects`: a picows client that decodes each frame into a flat Decimal struct and hands it to user code, nothing else:
no dedupe, no gap detection, no metrics, no back-pressure, no reconnect.
`entries`: the same, encoded once and appended by hand-written, pipelined XADDs to the instrument's stream and the
merged feed: no ids of our own, no resend, no bound.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import hiredis
import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.frames import events
from bench.stamps import Stamps
from heliograph.clock import NS_PER_MS
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Side, Ticker, Trade, TradeCause
from heliograph.model.wire import Encoder


class _Kline(msgspec.Struct):
    t: int
    T: int
    o: Decimal
    h: Decimal
    l: Decimal  # noqa: E741 (the venue's name)
    c: Decimal
    v: Decimal
    q: Decimal
    n: int
    x: bool


class _KlineData(msgspec.Struct):
    E: int
    s: str
    k: _Kline


class _KlineFrame(msgspec.Struct):
    data: _KlineData


class _TradeData(msgspec.Struct):
    s: str
    a: int
    p: Decimal
    q: Decimal
    T: int
    m: bool


class _TradeFrame(msgspec.Struct):
    data: _TradeData


class _TopData(msgspec.Struct):
    u: int
    s: str
    b: Decimal
    B: Decimal
    a: Decimal
    A: Decimal


class _TopFrame(msgspec.Struct):
    data: _TopData


class FlatCandle(msgspec.Struct, frozen=True, gc=False):
    """A candle, as bare as it gets."""

    symbol: str
    open_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    base_volume: Decimal
    quote_volume: Decimal
    trade_count: int
    closed: bool
    event_ms: int


class FlatTrade(msgspec.Struct, frozen=True, gc=False):
    """A trade, as bare as it gets."""

    symbol: str
    trade_id: int
    price: Decimal
    quantity: Decimal
    sell: bool
    event_ms: int


class FlatTop(msgspec.Struct, frozen=True, gc=False):
    """A book top, as bare as it gets."""

    symbol: str
    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal
    sequence: int


_decode_kline = msgspec.json.Decoder(_KlineFrame).decode
_decode_trade = msgspec.json.Decoder(_TradeFrame).decode
_decode_top = msgspec.json.Decoder(_TopFrame).decode


def _flat_candle(payload: Any) -> FlatCandle:
    data = _decode_kline(payload).data
    k = data.k
    return FlatCandle(data.s, k.t, k.o, k.h, k.l, k.c, k.v, k.q, k.n, k.x, data.E)


def _flat_trade(payload: Any) -> FlatTrade:
    d = _decode_trade(payload).data
    return FlatTrade(d.s, d.a, d.p, d.q, d.m, d.T)


def _flat_top(payload: Any) -> FlatTop | None:
    try:
        d = _decode_top(payload).data
    except msgspec.ValidationError:  # The day's statistics, once a symbol, which come first and which it does not want.
        return None
    return FlatTop(d.s, d.b, d.B, d.a, d.A, d.u)


FLAT: Final[dict[str, Callable[[Any], Any]]] = {"candle": _flat_candle, "trade": _flat_trade, "book_top": _flat_top}


class ObjectListener(WSListener):  # type: ignore[misc]  # picows ships no types
    """Decodes, builds the flat struct, calls user code."""

    def __init__(self, kind: str, count: int, user: Callable[[Any], None]) -> None:
        self._build = FLAT[kind]
        self._left = count
        self._user = user
        self.done = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame."""
        if frame.msg_type != WSMsgType.TEXT:
            return
        self._user(self._build(frame.get_payload_as_memoryview()))
        self._left -= 1
        if not self._left:
            self.done.set_result(time.perf_counter())


async def objects(kind: str, port: int, count: int) -> float:
    """Return when the last object was in user code."""
    taken: list[Any] = []

    def user(event: Any) -> None:
        taken.append(event)
        if len(taken) == 1000:
            taken.clear()

    transport, listener = await ws_connect(
        lambda: ObjectListener(kind, count, user), f"ws://127.0.0.1:{port}/stream", enable_auto_ping=False
    )
    finished: float = await listener.done
    transport.disconnect()
    return finished


def _instrument(symbol: str) -> Instrument:
    return Instrument(VenueId("binance"), SPOT, symbol, symbol.removesuffix("USDT"), "USDT")


class _Events:
    """Builds the model's events, for entries of exactly our shape."""

    def __init__(self) -> None:
        self._instruments: dict[str, Instrument] = {}

    def _get(self, symbol: str) -> Instrument:
        known = self._instruments.get(symbol)
        if known is None:
            known = self._instruments[symbol] = _instrument(symbol)
        return known

    def candle(self, payload: Any) -> Candle:
        d = _decode_kline(payload).data
        k = d.k
        return Candle(
            self._get(d.s), Interval.M1, k.t * NS_PER_MS, (k.T + 1) * NS_PER_MS, k.o, k.h, k.l, k.c, k.v, k.q, None,
            k.n, k.x, d.E * NS_PER_MS, 0,
        )  # fmt: skip

    def trade(self, payload: Any) -> Trade:
        d = _decode_trade(payload).data
        return Trade(
            self._get(d.s),
            str(d.a),
            d.a,
            d.p,
            d.q,
            Side.SELL if d.m else Side.BUY,
            TradeCause.MARKET,
            d.T * NS_PER_MS,
            0,
        )

    def book_top(self, payload: Any) -> Ticker | None:
        try:
            d = _decode_top(payload).data
        except msgspec.ValidationError:
            return None
        return Ticker(self._get(d.s), d.b, d.b, d.B, d.a, d.A, None, None, None, None, 0)


def _bulk(part: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(part), part)


_SUFFIX: Final = {"candle": "candles_1m", "trade": "trades", "book_top": "ticker"}


class EntryListener(WSListener):  # type: ignore[misc]  # picows ships no types
    """Decodes, encodes once, and writes one pipelined batch of XADDs a socket read."""

    def __init__(self, kind: str, count: int, bus: "EntryBus") -> None:
        self._build = getattr(_Events(), kind)
        self._encode = Encoder().encode
        self._suffix = _SUFFIX[kind]
        self._left = count
        self._bus = bus
        self._heads: dict[str, tuple[bytes, bytes]] = {}
        self._parts: list[bytes] = []

    def _head(self, instrument: Instrument) -> tuple[bytes, bytes]:
        key = f"{instrument.exchange}:{instrument.pair}:{self._suffix}".encode()
        head = (
            b"*8\r\n" + b"".join(map(_bulk, (b"XADD", key, b"MAXLEN", b"~", b"10000", b"*", b"data"))),
            b"*10\r\n"
            + b"".join(
                map(_bulk, (b"XADD", b"feed:binance:spot:0", b"MAXLEN", b"~", b"100000", b"*", b"key", key, b"data"))
            ),
        )
        self._heads[instrument.id] = head
        return head

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame; write when it was the last of its read."""
        if frame.msg_type != WSMsgType.TEXT:
            return
        self._left -= 1
        event = self._build(frame.get_payload_as_memoryview())
        if event is not None:
            head = self._heads.get(event.instrument.id) or self._head(event.instrument)
            body = _bulk(self._encode(event))
            self._parts += (head[0], body, head[1], body)
        if frame.last_in_buffer or not self._left:
            self._bus.write(b"".join(self._parts), len(self._parts) // 2)
            self._parts.clear()


class EntryBus(asyncio.Protocol):
    """Counts replies; nothing else."""

    def __init__(self, expected: int, stamps: Stamps | None = None) -> None:
        self._expected = expected
        self._stamps = stamps
        self._reader = hiredis.Reader()
        self._left = expected
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: Any = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, batch: bytes, commands: int) -> None:
        """Send a batch."""
        self._transport.write(batch)

    def data_received(self, data: bytes) -> None:
        """Count replies."""
        self._reader.feed(data)
        while True:
            reply = self._reader.gets()
            if reply is False:
                if self._stamps is not None:
                    self._stamps.note((self._expected - self._left) // 2)
                return
            if isinstance(reply, Exception):
                raise reply
            self._left -= 1
            if not self._left:
                self.done.set_result(time.perf_counter())


async def entries(kind: str, port: int, count: int, valkey_port: int) -> float:
    """Return when the last entry was acknowledged."""
    loop = asyncio.get_running_loop()
    _, bus = await loop.create_connection(lambda: EntryBus(2 * events(kind, count)), "127.0.0.1", valkey_port)
    transport, _ = await ws_connect(
        lambda: EntryListener(kind, count, bus), f"ws://127.0.0.1:{port}/stream", enable_auto_ping=False
    )
    finished: float = await bus.done
    transport.disconnect()
    return finished


async def paced(kind: str, port: int, count: int, valkey_port: int) -> dict[str, Any]:
    """Return when each entry was acknowledged."""
    loop = asyncio.get_running_loop()
    expected = events(kind, count)
    stamps = Stamps(expected)
    _, bus = await loop.create_connection(lambda: EntryBus(2 * expected, stamps), "127.0.0.1", valkey_port)
    transport, _ = await ws_connect(
        lambda: EntryListener(kind, count, bus), f"ws://127.0.0.1:{port}/stream", enable_auto_ping=False
    )
    await stamps.done
    transport.disconnect()
    return stamps.told()
