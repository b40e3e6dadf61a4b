"""Telling apart the frames that are not one event of one combined stream.

They are rare: answers to control messages, events without their stream's name, arrays, private events.

Sources: "Live Subscribing/Unsubscribing to streams" of
https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams and
https://developers.binance.com/docs/binance-spot-api-docs/user-data-stream .
"""

from typing import Final

import msgspec

from heliograph.venues.binance.frames import RawAny, decode_any, decode_list
from heliograph.venues.contract import VenueError

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
            return Answer(raw.id, VenueError(str(raw.error.code), raw.error.msg))
        if raw.code is not None:
            return Answer(raw.id, VenueError(str(raw.code), raw.msg))
        if raw.result:
            return Answer(raw.id, None)
    return [_payload(frame, None)]


def market_of(frame: bytes) -> str | None:
    """Return the market that a frame or an answer's body tells by itself, or None; raises one of `FAULTS`.

    Source for `st` and `ps`: frames of 2026; USD-M and COIN-M symbols differ by their shape.
    """
    found = sort(frame)
    if isinstance(found, Answer) or not found:
        return None
    first = found[0]
    if first.segment in (1, 2):
        return "usdm" if first.segment == 1 else "coinm"
    if first.symbol is not None and _is_coin_margined(first.symbol):
        return "coinm"
    return None


def _is_coin_margined(symbol: str) -> bool:
    pair, _, contract = symbol.partition("_")
    return bool(contract) and pair.endswith("USD")


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
