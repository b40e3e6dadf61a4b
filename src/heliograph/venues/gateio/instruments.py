"""Gate's lists of instruments, and an instrument of its symbol alone.

Sources: "List all currency pairs supported" and "List all futures contracts" of
https://www.gate.com/docs/developers/apiv4/en/ .
"""

import re
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, Kind, MarketId, VenueId
from heliograph.model.numbers import parse
from heliograph.venues.faults import FAULTS

GATEIO: Final = VenueId("gateio")
USDM: Final = MarketId("usdm")
COINM: Final = MarketId("coinm")

# Letters of any script: some pairs have Chinese names. Dated contracts are known by their shape, recordings have them.
_SHAPES: Final = {
    SPOT: (re.compile(r"[^\W_]{1,40}_[^\W_]{1,20}"), "BTC_USDT"),
    USDM: (re.compile(r"[^\W_]{1,40}_USDT(_[0-9]{8})?"), "BTC_USDT"),
    COINM: (re.compile(r"[^\W_]{1,40}_USD(_[0-9]{8})?"), "BTC_USD"),
}
Places = Annotated[int, msgspec.Meta(ge=0, le=30)]


class RawPair(msgspec.Struct):
    """A spot pair; the precisions count decimal places."""

    id: str
    base: str
    quote: str
    amount_precision: Places
    precision: Places
    trade_status: str


class RawContract(msgspec.Struct):
    """A perpetual contract. An inverse one is worth one unit of quote, and its multiplier says 0."""

    name: str
    type: str
    quanto_multiplier: str
    order_price_round: str
    in_delisting: bool = False
    enable_decimal: bool = False
    status: str = "trading"


_decode_pairs: Final = msgspec.json.Decoder(list[RawPair]).decode
_decode_contracts: Final = msgspec.json.Decoder(list[RawContract]).decode


def instrument_of_symbol(market: MarketId, symbol: str) -> Instrument:
    """Make an instrument of which only the symbol is known.

    Raises:
        ConfigError: the text is not the shape of this market's symbols.

    """
    shape, example = _SHAPES[market]
    name = symbol.upper()
    if not shape.fullmatch(name):
        raise ConfigError(f"{symbol[:50]!r} is not a symbol of gateio {market}", (example,))
    return Instrument(GATEIO, market, name)


def parse_instruments(market: MarketId, body: bytes) -> list[Instrument]:
    """Read the list of instruments.

    Raises:
        DecodeError: the body is not such a list.

    """
    try:
        if market == SPOT:
            return [_to_pair(raw) for raw in _decode_pairs(body)]
        return [_to_contract(market, raw) for raw in _decode_contracts(body)]
    except FAULTS as e:
        raise DecodeError(f"not a list of gateio {market} instruments: {e}") from e


def _to_pair(raw: RawPair) -> Instrument:
    return Instrument(
        GATEIO,
        SPOT,
        raw.id,
        raw.base,
        raw.quote,
        kind=Kind.SPOT,
        tick_size=Decimal((0, (1,), -raw.precision)),
        lot_size=Decimal((0, (1,), -raw.amount_precision)),
        trading=raw.trade_status != "untradable",
    )


def _to_contract(market: MarketId, raw: RawContract) -> Instrument:
    base, underscore, quote = raw.name.rpartition("_")
    if not underscore:
        raise ValueError(f"a contract without a quote: {raw.name[:50]!r}")
    multiplier = parse(raw.quanto_multiplier)
    if multiplier < 0 or (multiplier == 0) is not (raw.type == "inverse"):
        raise ValueError(f"{raw.name}: a multiplier of {multiplier} of a contract that is {raw.type[:50]}")
    return Instrument(
        GATEIO,
        market,
        raw.name,
        base,
        quote,
        "USDT" if market == USDM else "BTC",
        Kind.PERPETUAL,
        None,
        _step(raw.order_price_round),
        # Which step a size with decimals has, the venue does not say.
        None if raw.enable_decimal else Decimal(1),
        multiplier or Decimal(1),
        raw.status == "trading" and not raw.in_delisting,
    )


def _step(text: str) -> Decimal | None:
    size = parse(text)
    return size if size > 0 else None
