"""Coinbase's list of products, and an instrument of its symbol alone.

Source: https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/list-public-products

Most products in USDC are other names of those in US dollars: one book, whose data streams tell under the name in
dollars. They are not listed here, and refused by name, so that nothing is told twice.
"""

import re
from typing import Final

import msgspec

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, Kind, VenueId
from heliograph.model.numbers import parse
from heliograph.venues.faults import FAULTS

COINBASE: Final = VenueId("coinbase")
OWN_BOOKS_IN_USDC: Final = frozenset({"USDT-USDC", "EURC-USDC"})
"""Products in USDC that are told under their own names, by "Advanced Trade WebSocket Channels"."""

_SHAPE: Final = re.compile(r"[A-Z0-9]{1,20}-[A-Z0-9]{2,10}")
_EXAMPLES: Final = ("BTC-USD", "ETH-EUR", "USDT-USDC")


class RawProduct(msgspec.Struct):
    """What is used of a product."""

    product_id: str
    product_type: str
    base_currency_id: str
    quote_currency_id: str
    base_increment: str = ""
    quote_increment: str = ""
    price_increment: str = ""
    status: str = ""
    alias: str = ""
    is_disabled: bool = False
    trading_disabled: bool = False
    view_only: bool = False
    cancel_only: bool = False


class RawProducts(msgspec.Struct):
    """The list."""

    products: list[RawProduct]


_decode_products: Final = msgspec.json.Decoder(RawProducts).decode


def instrument_of_symbol(symbol: str) -> Instrument:
    """Make an instrument of which only the symbol is known.

    Raises:
        ConfigError: the text is not the shape of a product's id, or names a product by its other name.

    """
    name = symbol.upper()
    if not _SHAPE.fullmatch(name):
        raise ConfigError(f"{symbol[:50]!r} is not a symbol of coinbase spot", _EXAMPLES)
    if name.endswith("-USDC") and name not in OWN_BOOKS_IN_USDC:
        told = name.removesuffix("C")
        raise ConfigError(f"{name} is traded in the book of {told} at coinbase, and told under that name", (told,))
    return Instrument(COINBASE, SPOT, name)


def parse_instruments(body: bytes) -> list[Instrument]:
    """Read the list of products, without those that are other names.

    Raises:
        DecodeError: the body is not such a list.

    """
    try:
        found = _decode_products(body).products
        return [_to_instrument(raw) for raw in found if raw.product_type == "SPOT" and not raw.alias]
    except FAULTS as e:
        raise DecodeError(f"not a list of coinbase products: {e}") from e


def _to_instrument(raw: RawProduct) -> Instrument:
    closed = raw.is_disabled or raw.trading_disabled or raw.view_only or raw.cancel_only
    tick, lot = raw.price_increment or raw.quote_increment, raw.base_increment
    return Instrument(
        COINBASE,
        SPOT,
        raw.product_id,
        raw.base_currency_id,
        raw.quote_currency_id,
        None,
        Kind.SPOT,
        None,
        parse(tick) if tick else None,
        parse(lot) if lot else None,
        None,
        raw.status == "online" and not closed,
    )
