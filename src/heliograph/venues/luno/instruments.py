"""Luno's list of markets, and an instrument of its pair alone.

Bitcoin is XBT in the venue's names of pairs, and BTC here wherever a base or a quote is told.

Source: https://www.luno.com/en/developers/api#tag/Market/operation/Markets
"""

import re
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, Kind, VenueId
from heliograph.model.symbol import Symbol
from heliograph.venues.faults import FAULTS

LUNO: Final = VenueId("luno")

UNNAMED: Final = Instrument(LUNO, SPOT, "UNNAMED")
"""Whose frames are told where nothing says whose they are: no frame names its pair, only the socket's path does."""

_SHAPE: Final = re.compile(r"[A-Z0-9]{5,20}")
_OURS: Final = {"XBT": "BTC"}
_THEIRS: Final = {ours: theirs for theirs, ours in _OURS.items()}
_TRADING: Final = ("ACTIVE", "POST_ONLY")

Places = Annotated[int, msgspec.Meta(ge=0, le=30)]


class RawMarket(msgspec.Struct):
    """A pair; the scales count decimal places."""

    market_id: str
    base_currency: str
    counter_currency: str
    price_scale: Places
    volume_scale: Places
    trading_status: str


class RawMarkets(msgspec.Struct):
    """All pairs, in no order."""

    markets: list[RawMarket]


_decode: Final = msgspec.json.Decoder(RawMarkets).decode


def instrument_of_symbol(symbol: str) -> Instrument:
    """Make an instrument of which only the pair is known.

    Raises:
        ConfigError: the text is not the shape of a pair.

    """
    name = symbol.upper()
    if not _SHAPE.fullmatch(name):
        raise ConfigError(f"{symbol[:50]!r} is not a symbol of luno spot", ("XBTZAR",))
    return Instrument(LUNO, SPOT, name)


def spell(symbol: Symbol) -> str | None:
    """Return the venue's name of a unified symbol."""
    base, quote = (_THEIRS.get(coin.upper(), coin.upper()) for coin in (symbol.base, symbol.quote))
    return f"{base}{quote}" if symbol.settle is None else None


def parse_instruments(body: bytes) -> list[Instrument]:
    """Read the list of markets.

    Raises:
        DecodeError: the body is not such a list.

    """
    try:
        return [_to_instrument(raw) for raw in _decode(body).markets]
    except FAULTS as e:
        raise DecodeError(f"not a list of luno markets: {e}") from e


def _to_instrument(raw: RawMarket) -> Instrument:
    base, quote = raw.base_currency, raw.counter_currency
    return Instrument(
        LUNO,
        SPOT,
        raw.market_id,
        _OURS.get(base, base),
        _OURS.get(quote, quote),
        kind=Kind.SPOT,
        tick_size=Decimal((0, (1,), -raw.price_scale)),
        lot_size=Decimal((0, (1,), -raw.volume_scale)),
        trading=raw.trading_status in _TRADING,
    )
