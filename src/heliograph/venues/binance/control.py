"""Telling apart the frames that are not one event of one combined stream.

They are rare: answers to control messages, events without their stream's name, arrays, private events.

Sources: "Live Subscribing/Unsubscribing to streams" of
https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams and
https://developers.binance.com/docs/binance-spot-api-docs/user-data-stream .
"""

from typing import Final
from urllib.parse import urlsplit

import msgspec

from heliograph.model.instrument import SPOT, MarketId
from heliograph.venues.binance.frames import RawAny, decode_any, decode_list
from heliograph.venues.binance.instruments import COINM, USDM
from heliograph.venues.contract import VenueError
from heliograph.venues.faults import FAULTS, REASON_MAX
from heliograph.venues.fields import NOTHING

_LIST: Final = ord("[")


class Payload(msgspec.Struct, frozen=True):
    """One event, and what must be known of it before it is decoded."""

    kind: str | None
    """Its `e`; `depthSnapshot` and `bookTicker` for the two that do not name themselves."""
    symbol: str | None
    segment: int | str | None
    """Its `st`: 1 for USD-M, 2 for COIN-M."""
    data: bytes
    named: bool
    """Whether it has an `e`."""

    def combined(self) -> bytes:
        """Return the event as a frame of a combined stream that names its kind."""
        # The space keeps it from ending like the book top of a spot stream, which is the one that has no kind.
        if self.named:
            return b'{"data":' + self.data + b" }"
        return b'{"data":{"e":"bookTicker",' + self.data.lstrip()[1:] + b" }"


class Answer(msgspec.Struct, frozen=True):
    """The venue's answer to a control message of ours."""

    id: int | str | None
    problem: VenueError | None


def sort(frame: bytes) -> Answer | list[Payload]:
    """Return what a frame holds; raises one of `FAULTS` if it is nothing that is documented."""
    if frame.lstrip()[:1] == b"[":
        return [_payload(bytes(item), None) for item in decode_list(frame)]
    raw = decode_any(frame)
    if raw.data:
        data = bytes(raw.data)
        if data[0] == _LIST:
            return [_payload(bytes(item), raw.stream) for item in decode_list(data)]
        return [_payload(data, raw.stream)]
    if raw.event and raw.e is None:
        return [_payload(bytes(raw.event), None)]
    if raw.e is None and raw.lastUpdateId is None:
        if raw.error is not None:
            return Answer(raw.id, VenueError(str(raw.error.code)[:REASON_MAX], raw.error.msg[:REASON_MAX]))
        if raw.code is not None:
            return Answer(raw.id, VenueError(str(raw.code)[:REASON_MAX], raw.msg[:REASON_MAX]))
        if raw.result:
            return Answer(raw.id, None)
    return [_payload(frame, None)]


class RawTraits(msgspec.Struct):
    """The fields by which an event tells its market."""

    e: str | None = None
    s: str = ""
    symbol: str = ""
    T: msgspec.Raw = NOTHING
    st: int | str | None = None
    pu: msgspec.Raw = NOTHING
    M: msgspec.Raw = NOTHING
    x: msgspec.Raw = NOTHING


_decode_traits = msgspec.json.Decoder(RawTraits).decode
_PREFIXES: Final = {"/api/": SPOT, "/fapi/": USDM, "/dapi/": COINM}
_HOSTS: Final = {"stream": SPOT, "data-stream": SPOT, "fstream": USDM, "dstream": COINM}


def market_of(url: str | None, frame: bytes) -> MarketId | None:
    """Tell the market by the URL, or by what only one market's frames have; candles, for one, do not tell."""
    try:
        told = None if url is None else _market_by_url(url)
        if told is not None:
            return told
        payloads = sort(frame)
        if isinstance(payloads, Answer) or not payloads:
            return None
        return _market_by_traits(payloads[0].kind, _decode_traits(payloads[0].data))
    except FAULTS:
        return None


def _market_by_url(url: str) -> MarketId | None:
    parts = urlsplit(url)
    by_path = next((market for prefix, market in _PREFIXES.items() if parts.path.startswith(prefix)), None)
    return by_path or _HOSTS.get((parts.hostname or "").partition(".")[0])


def _market_by_traits(kind: str | None, raw: RawTraits) -> MarketId | None:
    pair, _, contract = (raw.s or raw.symbol).partition("_")
    if raw.st in (1, 2):
        return USDM if raw.st == 1 else COINM
    if contract:
        return COINM if pair.endswith("USD") else USDM
    if kind == "depthUpdate":
        return USDM if raw.pu else SPOT
    if kind == "bookTicker":
        return SPOT if raw.e is None else USDM
    if kind in ("trade", "aggTrade"):
        return SPOT if raw.M else USDM
    if kind == "24hrTicker":
        return SPOT if raw.x else USDM
    if kind == "depthSnapshot":
        return USDM if raw.T else SPOT
    return None


def _payload(data: bytes, stream: str | None) -> Payload:
    raw: RawAny = decode_any(data)
    if raw.e is not None:
        return Payload(raw.e, raw.s, raw.st, data, True)
    if raw.lastUpdateId is not None:
        symbol = None if stream is None else stream.partition("@")[0].upper()
        return Payload("depthSnapshot", symbol, raw.st, data, False)
    if raw.s is not None and raw.u:
        return Payload("bookTicker", raw.s, raw.st, data, False)
    raise ValueError("neither an event nor an answer that is documented")
