"""Hyperliquid's lists of instruments, and an instrument of its name alone.

A name is used exactly as the venue writes it, case and all: `BTC` and `kPEPE` are perpetuals, `xyz:XYZ100` is a
perpetual of the dex `xyz` (HIP-3), `PURR/USDC` and `@107` are spot pairs.

Sources: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/perpetuals ,
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/spot and, for names and steps,
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/tick-and-lot-size .
"""

import re
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, Kind, MarketId, VenueId
from heliograph.venues.faults import FAULTS

HYPERLIQUID: Final = VenueId("hyperliquid")
USDM: Final = MarketId("usdm")

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,29}"
_SHAPES: Final = {
    USDM: (re.compile(rf"(?:[A-Za-z0-9]{{1,16}}:)?{_NAME}"), ("BTC", "kPEPE", "xyz:XYZ100")),
    SPOT: (re.compile(rf"@[0-9]{{1,9}}|{_NAME}/{_NAME}"), ("PURR/USDC", "@107")),
}
_DECIMALS_MAX: Final = {USDM: 6, SPOT: 8}
"""Digits after the point that a price has at most, the size's digits taken off."""
_USDC_INDEX: Final = 0

Digits = Annotated[int, msgspec.Meta(ge=0, le=18)]


class RawPerpetual(msgspec.Struct, rename="camel"):
    """One perpetual."""

    name: str
    sz_decimals: Digits
    is_delisted: bool = False


class RawMeta(msgspec.Struct, rename="camel"):
    """The perpetuals of one dex, and the index of the token that all of them are settled in."""

    universe: list[RawPerpetual]
    collateral_token: int = _USDC_INDEX


class RawToken(msgspec.Struct, rename="camel"):
    """A token; pairs refer to it by `index`, which is not its place in the list."""

    name: str
    sz_decimals: Digits
    index: int


class RawPair(msgspec.Struct):
    """One spot pair: base, then quote."""

    name: str
    tokens: tuple[int, int]


class RawSpotMeta(msgspec.Struct):
    """The spot pairs and their tokens."""

    tokens: list[RawToken]
    universe: list[RawPair]


_decode_metas = msgspec.json.Decoder(RawMeta | Annotated[list[RawMeta], msgspec.Meta(min_length=1)]).decode
_decode_spot_meta = msgspec.json.Decoder(RawSpotMeta).decode


def is_name(market: MarketId, name: str) -> bool:
    """Tell whether a text has the shape of this market's names; each has the shape of one market at most."""
    return _SHAPES[market][0].fullmatch(name) is not None


def market_of_symbol(symbol: str) -> MarketId | None:
    """Tell the market by a name of the venue's, or by one like `BTC/USDC` or `BTC/USDC:USDC`; None if it is neither."""
    if is_name(SPOT, symbol):
        return SPOT
    pair, colon, settle = symbol.rpartition(":")
    unified = bool(colon) and is_name(SPOT, pair.rpartition(":")[2]) and settle.isalnum()
    return USDM if unified or is_name(USDM, symbol) else None


def instrument_of_name(market: MarketId, name: str) -> Instrument:
    """Make an instrument of which only the name is known.

    Raises:
        ConfigError: the text is not the shape of this market's names.

    """
    if not is_name(market, name):
        raise ConfigError(f"{name[:50]!r} is not a name of hyperliquid {market}", _SHAPES[market][1])
    return Instrument(HYPERLIQUID, market, name)


def parse_instruments(market: MarketId, body: bytes) -> list[Instrument]:
    """Read the answer to `allPerpMetas`, `meta` or `spotMeta`.

    Raises:
        DecodeError: the body is not such a list.

    """
    try:
        return _pairs(_decode_spot_meta(body)) if market == SPOT else _perpetuals(_decode_metas(body))
    except FAULTS as e:
        raise DecodeError(f"not a list of hyperliquid {market} instruments: {e}") from e


def _perpetuals(metas: RawMeta | list[RawMeta]) -> list[Instrument]:
    return [made for meta in (metas if isinstance(metas, list) else [metas]) for made in _perpetuals_of(meta)]


def _perpetuals_of(meta: RawMeta) -> list[Instrument]:
    # Other dexes may settle in tokens that only the spot list names; what is not known stays None.
    settle = "USDC" if meta.collateral_token == _USDC_INDEX else None
    return [
        Instrument(
            HYPERLIQUID,
            USDM,
            raw.name,
            raw.name,  # With its dex, since two dexes may list the same coin.
            settle,
            settle,
            Kind.PERPETUAL,
            None,
            _step(_DECIMALS_MAX[USDM] - raw.sz_decimals),
            _step(raw.sz_decimals),
            trading=not raw.is_delisted,
        )
        for raw in meta.universe
    ]


def _pairs(meta: RawSpotMeta) -> list[Instrument]:
    tokens = {token.index: token for token in meta.tokens}
    found: list[Instrument] = []
    for raw in meta.universe:
        base, quote = tokens[raw.tokens[0]], tokens[raw.tokens[1]]
        found.append(
            Instrument(
                HYPERLIQUID,
                SPOT,
                raw.name,
                base.name,
                quote.name,
                None,
                Kind.SPOT,
                None,
                _step(_DECIMALS_MAX[SPOT] - base.sz_decimals),
                _step(base.sz_decimals),
            )
        )
    return found


def _step(digits: int) -> Decimal:
    """Return the smallest step of a number with so many digits after the point.

    A price has five significant figures at most, so that its step widens as it grows: this is the least it can be.
    Integers are always allowed.
    """
    return Decimal(1).scaleb(-max(0, digits))
