"""Our own formats, each with its promise: read it back, refuse it with our own error, never anything else.

The first line of an input names the format, and what follows is its payload.
"""

import asyncio
import io
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import hiredis
import msgspec

from fuzz.judgement import judge_wire
from heliograph.bus import resp
from heliograph.bus.endpoint import Endpoint, parse_url
from heliograph.bus.entries import Batch, Stream, refusals
from heliograph.bus.ids import format_id, parse_id
from heliograph.bus.link import Link
from heliograph.errors import BusError, ConfigError, DecodeError
from heliograph.gateway import protocol
from heliograph.marketdata.capture import decode_line, split_lines
from heliograph.model import demand, jsonl, wire
from heliograph.model.instrument import SPOT, Instrument, VenueId

_BTC: Final = Instrument(VenueId("binance"), SPOT, "BTCUSDT", base="BTC", quote="USDT")
_RECEIVED_NS: Final = 1_700_000_000_000_000_000


def _read(decode: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    """Return the check of a stream's entries: what is read can be written, and is then read as the same."""

    def check(data: bytes) -> None:
        try:
            event = decode(data)
        except DecodeError as e:
            str(e).encode()
            return
        jsonl.render(event)
        judge_wire(event)

    return check


def _demand(data: bytes) -> None:
    try:
        asked = demand.decode(data)
    except DecodeError as e:
        str(e).encode()
        return
    assert demand.decode(demand.encode(asked)) == asked


def _client(data: bytes) -> None:
    said = protocol.parse(data)
    if isinstance(said, protocol.Refusal):
        answer = protocol.error(said)
        assert len(answer) <= 2000, f"{len(answer)} bytes say what is wrong"
    else:
        answer = protocol.subscribed(said)
        assert len(said.symbols) <= protocol.SYMBOLS_MAX
    msgspec.json.decode(answer)
    assert protocol.text_frame(answer).endswith(answer)


def _link(data: bytes) -> None:
    """Whatever a server says, a connection either has its replies or ends, with a reason."""
    loop = _loop()

    async def hear() -> None:
        link = Link(Endpoint(host="fuzz.test"), lambda: None, lambda: None)
        transport = _Transport()
        link.connection_made(transport)
        wanted = [1, 3, 2]
        for count in wanted:
            link.send(b"", count, _take)
        middle = len(data) // 2
        for part in (data[:middle], data[middle:]):
            if link.lost is None:
                link.data_received(part)
        assert link.lost is None or transport.aborted
        link.connection_lost(None)
        assert link.lost

    loop.run_until_complete(hear())


def _take(_reply: object, error: str | None) -> None:
    if error is not None:
        error.encode("utf-8", "surrogateescape")


class _Transport(asyncio.WriteTransport):
    """Goes nowhere, and remembers that it was dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: Any) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _command(data: bytes) -> None:
    """What is written as a request is read by Valkey's own parser as its arguments."""
    arguments = data.split(b"\n")
    assert _replies(resp.command(*arguments)) == [arguments]


def _batch(data: bytes) -> None:
    """A transaction has as many commands as it says, and each carries its data, whatever that is."""
    merged = Stream("feed:fuzz:spot:0", 100, None)
    streams = [Stream("a:B:trades", 10, merged), Stream("c", None, None)]
    datas = data.split(b"\n")[:50]
    batch = Batch([streams[index % 2] for index in range(len(datas))], datas)
    batch.number((1_700_000_000_000, 7), streams_ahead=set())
    payload, replies = batch.encode([])
    commands = _replies(payload.removeprefix(b"\r\n"))
    assert len(commands) == replies, f"{len(commands)} commands, {replies} replies"
    carried = [command[-1] for command in commands if command[0] == b"XADD"]
    wanted = [copy for index, text in enumerate(datas) for copy in [text] * (1 if index % 2 else 2)]
    assert carried == wanted
    refusals(batch, [hiredis.ReplyError("ERR no"), 1, None])


def _replies(payload: bytes) -> list[Any]:
    reader = hiredis.Reader()
    reader.feed(payload)
    found = []
    while (reply := reader.gets()) is not False:
        found.append(reply)
    return found


def _id(data: bytes) -> None:
    try:
        entry_id = parse_id(data)
    except BusError as e:
        str(e).encode()
        return
    assert parse_id(format_id(entry_id)) == entry_id


def _url(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        endpoint = parse_url(text, username="fuzz", password="hunter2")
    except ConfigError as e:
        told = str(e)
    else:
        assert endpoint.all()
        told = str(endpoint)
    assert "hunter2" not in told, "a password is repeated"


def _capture(data: bytes) -> None:
    try:
        for _, text in split_lines(io.BytesIO(data)):
            parsed = decode_line(text)
            assert parsed.received_ns is None or isinstance(parsed.received_ns, int)
    except DecodeError as e:
        str(e).encode()


FORMATS: Final[dict[str, dict[str, Callable[[bytes], None]]]] = {
    "wire": {
        "candle": _read(lambda data: wire.decode_candle(data, _BTC, _RECEIVED_NS)),
        "trade": _read(lambda data: wire.decode_trade(data, _BTC, _RECEIVED_NS)),
        "ticker": _read(lambda data: wire.decode_ticker(data, _BTC, _RECEIVED_NS)),
        "orderbook": _read(lambda data: wire.decode_order_book(data, _BTC, _RECEIVED_NS)),
        "book_delta": _read(lambda data: wire.decode_book_delta(data, _BTC, _RECEIVED_NS)),
        "gap": _read(lambda data: wire.decode_gap(data, _BTC)),
        "demand": _demand,
    },
    "gateway": {"client": _client},
    "bus": {"link": _link, "command": _command, "batch": _batch, "id": _id, "url": _url},
    "capture": {"lines": _capture},
}
"""The formats of each target."""


def check(target: str, data: bytes) -> bool:
    """Check an input; return False where its first line names no format of the target."""
    head, _, payload = data.partition(b"\n")
    found = FORMATS[target].get(head.decode("utf-8", "replace"))
    if found is None:
        return False
    found(payload)
    return True
