"""What must be true of whatever comes out of a decoder, be the bytes what they may."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from heliograph.bus import keys
from heliograph.clock import NS_PER_MS
from heliograph.gateway.protocol import QuoteEncoder, gap, line
from heliograph.model import jsonl, wire
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.market import BookTop, Candle, DayStatistics, Gap, Ticker, Trade
from heliograph.venues.contract import Effect, Fetch, Reconnect, Refused, Request, Send, VenueError

REASON_MAX: Final = 1000
"""Characters that a reason may have: it is logged, and told to clients."""
MESSAGE_BYTES_MAX: Final = 256 * 1024

_DECODERS: Final[dict[type, Any]] = {
    Candle: wire.decode_candle,
    Trade: wire.decode_trade,
    Ticker: wire.decode_ticker,
    BookSnapshot: wire.decode_order_book,
    BookDelta: wire.decode_book_delta,
}


def judge_event(event: VenueEvent | Ticker) -> None:
    """Hold an event to its promise: it can be written wherever events are written, and read back as itself."""
    assert isinstance(event.instrument, Instrument)
    msgspec.json.decode(jsonl.render(event))
    if isinstance(event, BookTop | DayStatistics):
        return
    assert keys.of_event(event).encode()
    _judge_amounts(event)
    judge_wire(event)
    if isinstance(event, Candle):
        assert event.close_ns > event.open_ns, "a candle ends after it opens"
        msgspec.json.decode(QuoteEncoder().quote(event, event.received_ns))
        line(event).encode()
    elif isinstance(event, Gap):
        msgspec.json.decode(gap(event))


def _judge_amounts(event: object) -> None:
    for name in ("open", "high", "low", "close", "base_volume", "quote_volume", "contracts", "price", "quantity"):
        value = getattr(event, name, None)
        assert value is None or value >= 0, f"{name} is {value}"
    for level in (*getattr(event, "bids", ()), *getattr(event, "asks", ())):
        assert min(level) >= 0, f"a level of {level}"
    assert (getattr(event, "trade_count", None) or 0) >= 0, "trades are counted from none on"


def judge_wire(event: Candle | Trade | Ticker | BookSnapshot | BookDelta | Gap) -> None:
    """Write an event as the bus carries it, and read it back."""
    data = wire.Encoder().encode(event)
    if isinstance(event, Gap):
        read: Any = wire.decode_gap(data, event.instrument)
    else:
        read = _DECODERS[type(event)](data, event.instrument, event.received_ns)
    wanted = _as_carried(event)
    assert _plain(read) == _plain(wanted), f"read back as {read}, not as {wanted}"


def _as_carried(event: Any) -> Any:
    """Return the event as the bus carries it: times in milliseconds."""
    times = {
        name: value // NS_PER_MS * NS_PER_MS
        for name in ("open_ns", "close_ns", "event_ns", "from_ns", "to_ns")
        if isinstance(value := getattr(event, name, None), int)
    }
    if isinstance(event, Gap):
        times["received_ns"] = event.received_ns // NS_PER_MS * NS_PER_MS
    return msgspec.structs.replace(event, **times)


def _plain(event: Any) -> dict[str, Any]:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return {name: _level_list(value) if name in ("bids", "asks") else value for name, value in fields.items()}


def _level_list(levels: Sequence[tuple[Decimal, Decimal]]) -> list[tuple[Decimal, Decimal]]:
    return [(price, quantity) for price, quantity in levels]


def judge_instrument(instrument: Instrument) -> None:
    """Hold an instrument of a list to what everybody asks of it."""
    msgspec.json.decode(jsonl.render(instrument))
    assert f"{instrument.exchange} {instrument.symbol} {instrument.pair} {instrument.id}".encode()


def judge_effect(effect: Effect, frames: int) -> None:
    """Hold an effect to what the shells rely on.

    Args:
        effect: what a codec wants done.
        frames: how many frames the batch had; 0 where it was no batch.

    """
    if isinstance(effect, Send):
        effect.payload.decode()
        assert len(effect.payload) <= MESSAGE_BYTES_MAX, f"a message of {len(effect.payload)} bytes"
    elif isinstance(effect, Fetch):
        judge_request(effect.request)
    elif isinstance(effect, Refused):
        assert -1 <= effect.index < max(frames, 0), f"refused frame {effect.index} of {frames}"
        assert effect.reason, "a refusal has a reason"
        _judge_words(effect.reason)
    elif isinstance(effect, Reconnect):
        assert effect.reason, "a wish for another connection has a reason"
        _judge_words(effect.reason)
    else:
        judge_error(effect)


def judge_error(error: VenueError) -> None:
    """Hold a venue's no to what is made of it: a line in a log, and one to a client."""
    assert isinstance(error, VenueError)
    _judge_words(error.code)
    _judge_words(error.reason)


def judge_request(request: Request) -> None:
    """Hold a request to what an HTTP client needs."""
    assert request.path.startswith("/"), request.path
    assert request.weight >= 0
    assert request.body is None or len(request.body) <= MESSAGE_BYTES_MAX
    for name, value in request.query:
        assert f"{name}={value}".encode()


def _judge_words(words: str) -> None:
    assert len(words) <= REASON_MAX, f"{len(words)} characters of {words[:50]!r}"
    words.encode()
