"""What gateways ask of feeds, over the bus: instruments, for a while."""

import msgspec

from heliograph.errors import DecodeError
from heliograph.model.instrument import MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel

SYMBOLS_MAX = 1000
"""Symbols of one entry; more are spread over several."""


class Demand(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of `feed:demand`: until `until_ms`, this gateway wants this channel of these symbols.

    A later entry of the same gateway for the same market, channel, interval and part replaces an earlier one, so that
    an empty list gives them up at once. A gateway that dies is forgotten at `until_ms`.
    """

    gateway: str
    """The gateway's own name, unique among those alive."""
    exchange: VenueId
    market: MarketId
    symbols: tuple[str, ...]
    """The venue's own symbols."""
    channel: Channel
    interval: Interval | None
    """For candles: their length."""
    until_ms: int
    """Milliseconds since the Unix epoch, by the gateway's clock."""
    part: int = 0
    """Numbers the entries over which more than `SYMBOLS_MAX` symbols are spread."""


_decoder = msgspec.json.Decoder(Demand)


def encode(demand: Demand) -> bytes:
    """Return the JSON of the entry's `data` field."""
    return msgspec.json.encode(demand)


def decode(data: bytes) -> Demand:
    """Read an entry's `data` field.

    Raises:
        DecodeError: the bytes are not such an entry.

    """
    try:
        demand = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        raise DecodeError(f"not a demand: {e}") from e
    if len(demand.symbols) > SYMBOLS_MAX:
        raise DecodeError(f"a demand of {len(demand.symbols)} symbols")
    if (demand.channel is Channel.CANDLES) != (demand.interval is not None):
        raise DecodeError("a demand has an interval if it is for candles")
    return demand
