"""Binance's lists of instruments, and an instrument of its symbol alone.

Sources: "Exchange Information" of
https://developers.binance.com/docs/binance-spot-api-docs/rest-api/general-endpoints ,
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Exchange-Information and
https://developers.binance.com/docs/derivatives/coin-margined-futures/market-data/rest-api/Exchange-Information .
"""

import re
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, Kind, MarketId, VenueId
from heliograph.model.numbers import parse
from heliograph.venues.faults import FAULTS

BINANCE: Final = VenueId("binance")
USDM: Final = MarketId("usdm")
COINM: Final = MarketId("coinm")

# Letters of any script: since 2025 some pairs have Chinese names.
_SHAPES: Final = {
    SPOT: (re.compile(r"[^\W_]{2,40}"), "BTCUSDT"),
    USDM: (re.compile(r"[^\W_]{2,40}(_[0-9]{6})?"), "BTCUSDT, BTCUSDT_261225"),
    COINM: (re.compile(r"[^\W_]{1,36}USD_(PERP|[0-9]{6})"), "BTCUSD_PERP, BTCUSD_261225"),
}


class RawFilter(msgspec.Struct, rename="camel"):
    """One rule of an instrument; only the sizes of steps are read."""

    filter_type: str
    tick_size: str | None = None
    step_size: str | None = None


class RawInstrument(msgspec.Struct, rename="camel"):
    """One instrument of any of the three markets; what only futures have is optional."""

    symbol: str
    base_asset: str
    quote_asset: str
    filters: list[RawFilter]
    status: str | None = None
    contract_status: str | None = None
    contract_type: str | None = None
    margin_asset: str | None = None
    delivery_date: int | None = None
    contract_size: int | None = None


class RawExchange(msgspec.Struct):
    """The whole answer."""

    symbols: list[RawInstrument]


_decoder = msgspec.json.Decoder(RawExchange)


def instrument_of_symbol(market: MarketId, symbol: str) -> Instrument:
    """Make an instrument of which only the symbol is known.

    Raises:
        ConfigError: the text is not the shape of this market's symbols.

    """
    shape, examples = _SHAPES[market]
    name = symbol.upper()
    if not shape.fullmatch(name):
        raise ConfigError(f"{symbol[:50]!r} is not a symbol of binance {market}", tuple(examples.split(", ")))
    return Instrument(BINANCE, market, name)


def parse_instruments(market: MarketId, body: bytes) -> list[Instrument]:
    """Read the list of instruments.

    Raises:
        DecodeError: the body is not such a list.

    """
    try:
        return [_to_instrument(market, raw) for raw in _decoder.decode(body).symbols]
    except FAULTS as e:
        raise DecodeError(f"not a list of binance {market} instruments: {e}") from e


def _to_instrument(market: MarketId, raw: RawInstrument) -> Instrument:
    status = raw.status or raw.contract_status
    kind = _kind(market, raw.contract_type)
    expiry_ns = raw.delivery_date * NS_PER_MS if kind is Kind.FUTURE and raw.delivery_date is not None else None
    return Instrument(
        BINANCE,
        market,
        raw.symbol,
        raw.base_asset,
        raw.quote_asset,
        raw.margin_asset,
        kind,
        expiry_ns,
        _step([f.tick_size for f in raw.filters if f.filter_type == "PRICE_FILTER"]),
        _step([f.step_size for f in raw.filters if f.filter_type == "LOT_SIZE"]),
        None if raw.contract_size is None else Decimal(raw.contract_size),
        status == "TRADING",
    )


def _kind(market: MarketId, contract_type: str | None) -> Kind | None:
    if market == SPOT:
        return Kind.SPOT
    if not contract_type:  # It is empty until a contract is launched.
        return None
    return Kind.PERPETUAL if "PERPETUAL" in contract_type else Kind.FUTURE


def _step(texts: list[str | None]) -> Decimal | None:
    """Read a step; the venue writes zero where it sets none, and digits beyond those that count."""
    if not texts or texts[0] is None:
        return None
    size = parse(texts[0]).normalize()
    return parse(format(size, "f")) if size > 0 else None
