"""Kraken's list of pairs, and an instrument of its symbol alone.

A symbol is that of WebSocket v2, `BTC/USD`, to the letter (`AAPLx/USD`). REST knows it too where it is asked for names
that people use (`assetVersion=1`), but its answers have other names beside it: `XBTUSD`, `XBT/USD` and `XXBTZUSD`.

Sources: https://docs.kraken.com/api-reference/market-data/get-tradable-asset-pairs and
https://support.kraken.com/articles/360000920306-api-symbols-and-tickers .
"""

import re
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, Kind, VenueId
from heliograph.model.numbers import parse
from heliograph.venues.faults import FAULTS
from heliograph.venues.kraken.rest import accepted

KRAKEN: Final = VenueId("kraken")

_SYMBOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.]{0,19}/[A-Za-z0-9][A-Za-z0-9.]{0,19}")
Digits = Annotated[int, msgspec.Meta(ge=0, le=18)]


class RawPair(msgspec.Struct):
    """One pair."""

    base: str
    quote: str
    pair_decimals: Digits
    lot_decimals: Digits
    tick_size: str | None = None
    status: str = "online"


_decode_pairs: Final = msgspec.json.Decoder(dict[str, RawPair]).decode


def instrument_of_symbol(symbol: str) -> Instrument:
    """Make an instrument of which only the symbol is known.

    Raises:
        ConfigError: the text is not the shape of a symbol.

    """
    if not _SYMBOL.fullmatch(symbol):
        raise ConfigError(f"{symbol[:50]!r} is not a symbol of kraken", ("BTC/USD", "ETH/BTC"))
    return Instrument(KRAKEN, SPOT, symbol)


def parse_instruments(body: bytes) -> list[Instrument]:
    """Read the list of pairs, of which those without a symbol (dark pools) are left out.

    Raises:
        DecodeError: the body is not such a list.

    """
    try:
        pairs = _decode_pairs(accepted(body))
        found = [_to_instrument(symbol, raw) for symbol, raw in pairs.items() if _SYMBOL.fullmatch(symbol)]
        if pairs and not found:
            raise ValueError(f"pairs without a symbol, such as {next(iter(pairs))[:50]!r}")
    except FAULTS as e:
        raise DecodeError(f"not a list of kraken pairs: {e}") from e
    return found


def _to_instrument(symbol: str, raw: RawPair) -> Instrument:
    tick = parse(raw.tick_size) if raw.tick_size else Decimal(1).scaleb(-raw.pair_decimals)
    return Instrument(
        KRAKEN,
        SPOT,
        symbol,
        raw.base,
        raw.quote,
        kind=Kind.SPOT,
        tick_size=tick if tick > 0 else None,
        lot_size=Decimal(1).scaleb(-raw.lot_decimals),
        trading=raw.status == "online",
    )
