"""Bybit's lists of instruments, and an instrument of its symbol alone.

Sources: https://bybit-exchange.github.io/docs/v5/market/instrument and
https://bybit-exchange.github.io/docs/v5/enum#symbol .
"""

import re
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, Kind, MarketId, VenueId
from heliograph.model.numbers import parse
from heliograph.venues.bybit.frames import decode_answer
from heliograph.venues.faults import FAULTS

BYBIT: Final = VenueId("bybit")
LINEAR: Final = MarketId("linear")
INVERSE: Final = MarketId("inverse")
INVERSE_CONTRACT: Final = Decimal(1)
"""An inverse contract is worth one US dollar, whatever its base."""

_INVERSE_SHAPE: Final = r"[^\W_]{1,36}USD([FGHJKMNQUVXZ][0-9]{2})?"
_SHAPES: Final = {
    SPOT: (re.compile(r"[^\W_]{2,40}"), "BTCUSDT"),
    LINEAR: (
        re.compile(rf"(?!{_INVERSE_SHAPE}\Z)[^\W_]{{2,40}}(-[0-9]{{1,2}}[A-Z]{{3}}[0-9]{{2}})?"),
        "BTCUSDT, BTCPERP, BTCUSDT-26DEC25",
    ),
    INVERSE: (re.compile(_INVERSE_SHAPE), "BTCUSD, BTCUSDZ25"),
}
_KINDS: Final = {
    "LinearPerpetual": Kind.PERPETUAL,
    "InversePerpetual": Kind.PERPETUAL,
    "LinearFutures": Kind.FUTURE,
    "InverseFutures": Kind.FUTURE,
}


class RawPrices(msgspec.Struct):
    """The rules of prices; only the step is read."""

    tickSize: str | None = None  # noqa: N815 (the venue's name)


class RawSizes(msgspec.Struct, rename="camel"):
    """The rules of quantities: a step for contracts, a precision for spot."""

    qty_step: str | None = None
    base_precision: str | None = None


class RawInstrument(msgspec.Struct, rename="camel"):
    """One instrument of any of the three markets; what only contracts have is optional."""

    symbol: str
    base_coin: str
    quote_coin: str
    price_filter: RawPrices
    lot_size_filter: RawSizes
    status: str
    contract_type: str | None = None
    settle_coin: str | None = None
    delivery_time: str = ""


class RawList(msgspec.Struct):
    """The result of the answer."""

    category: str
    list: list[RawInstrument]


_decode_list: Final = msgspec.json.Decoder(RawList).decode


def is_inverse(symbol: str) -> bool:
    """Tell whether a symbol has the shape of an inverse contract's, such as `BTCUSD` or `BTCUSDZ25`."""
    return _SHAPES[INVERSE][0].fullmatch(symbol) is not None


def instrument_of_symbol(market: MarketId, symbol: str) -> Instrument:
    """Make an instrument of which only the symbol is known.

    Raises:
        ConfigError: the text is not the shape of this market's symbols.

    """
    shape, examples = _SHAPES[market]
    name = symbol.upper()
    if not shape.fullmatch(name):
        raise ConfigError(f"{symbol[:50]!r} is not a symbol of bybit {market}", tuple(examples.split(", ")))
    return Instrument(BYBIT, market, name, contract_size=INVERSE_CONTRACT if market == INVERSE else None)


def parse_instruments(market: MarketId, body: bytes) -> list[Instrument]:
    """Read the list of instruments.

    Raises:
        DecodeError: the body is not such a list.

    """
    try:
        answer = decode_answer(body)
        if answer.retCode:
            raise ValueError(f"{answer.retMsg[:200]} (code {answer.retCode})")
        found = _decode_list(answer.result)
        if found.category != market:
            raise ValueError(f"instruments of {found.category[:50]}")
        return [_to_instrument(market, raw) for raw in found.list]
    except FAULTS as e:
        raise DecodeError(f"not a list of bybit {market} instruments: {e}") from e


def _to_instrument(market: MarketId, raw: RawInstrument) -> Instrument:
    kind = Kind.SPOT if market == SPOT else _KINDS.get(raw.contract_type or "")
    expiry_ms = int(raw.delivery_time) if re.fullmatch(r"[0-9]{1,13}", raw.delivery_time) else 0
    return Instrument(
        BYBIT,
        market,
        raw.symbol,
        raw.base_coin,
        raw.quote_coin,
        raw.settle_coin,
        kind,
        expiry_ms * NS_PER_MS if kind is Kind.FUTURE and expiry_ms else None,  # A perpetual's is its delisting.
        _step(raw.price_filter.tickSize),
        _step(raw.lot_size_filter.qty_step or raw.lot_size_filter.base_precision),
        INVERSE_CONTRACT if market == INVERSE else None,
        raw.status == "Trading",
    )


def _step(text: str | None) -> Decimal | None:
    """Read a step; the venue writes digits beyond those that count."""
    if not text:
        return None
    size = parse(text).normalize()
    return parse(format(size, "f")) if size > 0 else None
