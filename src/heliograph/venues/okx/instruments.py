"""OKX's lists of instruments, and an instrument of its symbol alone.

Sources: "Get instruments" of https://www.okx.com/docs-v5/en/#public-data-rest-api-get-instruments and "Get tickers" of
https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-tickers .
"""

import re
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, Kind, MarketId, VenueId
from heliograph.model.numbers import parse
from heliograph.venues.faults import FAULTS
from heliograph.venues.okx.frames import decode_answer

OKX: Final = VenueId("okx")
SWAP: Final = MarketId("swap")
FUTURES: Final = MarketId("futures")
OPTION: Final = MarketId("option")

TYPES: Final = {SPOT: "SPOT", SWAP: "SWAP", FUTURES: "FUTURES", OPTION: "OPTION"}
"""The venue's `instType` of each market."""

# The second part may say more than the quote asset: `BTC-USD_UM-SWAP` is margined in USD coins.
_PAIR: Final = r"[^\W_]{1,20}-\w{1,20}"
_SHAPES: Final = {
    SPOT: (re.compile(_PAIR), "BTC-USDT"),
    SWAP: (re.compile(_PAIR + "-SWAP"), "BTC-USDT-SWAP, BTC-USD-SWAP"),
    FUTURES: (re.compile(_PAIR + "-[0-9]{6}"), "BTC-USDT-261225, BTC-USD-261225"),
    OPTION: (re.compile(_PAIR + r"-[0-9]{6}-[0-9]+(\.[0-9]+)?-[CP]"), "BTC-USD-261225-100000-C"),
}
_MARKETS: Final = {name: market for market, name in TYPES.items()}
_KINDS: Final = {SPOT: Kind.SPOT, SWAP: Kind.PERPETUAL, FUTURES: Kind.FUTURE, OPTION: Kind.OPTION}


class RawInstrument(msgspec.Struct, rename="camel"):
    """One instrument; a row of the list of tickers, which is that of options, has only the first two fields."""

    inst_type: str
    inst_id: str
    base_ccy: str = ""
    quote_ccy: str = ""
    settle_ccy: str = ""
    uly: str = ""
    ct_val: str = ""
    ct_mult: str = ""
    exp_time: Annotated[str, msgspec.Meta(max_length=14)] = ""
    tick_sz: str = ""
    lot_sz: str = ""
    state: str = "live"


_decode_list: Final = msgspec.json.Decoder(list[RawInstrument]).decode


def market_of_symbol(symbol: str) -> MarketId | None:
    """Tell the market by a symbol's shape, in any case; None where it has the shape of none."""
    name = symbol.upper()
    return next((market for market, (shape, _) in _SHAPES.items() if shape.fullmatch(name)), None)


def instrument_of_symbol(market: MarketId, symbol: str) -> Instrument:
    """Make an instrument of which only the symbol is known.

    Raises:
        ConfigError: the text is not the shape of this market's symbols.

    """
    shape, examples = _SHAPES[market]
    name = symbol.upper()
    if not shape.fullmatch(name):
        raise ConfigError(f"{symbol[:50]!r} is not a symbol of okx {market}", tuple(examples.split(", ")))
    return Instrument(OKX, market, name, kind=_KINDS[market])


def any_instrument(symbol: str) -> Instrument:
    """Make an instrument of whatever market its symbol tells; raise `ValueError` if it tells none."""
    market = market_of_symbol(symbol)
    if market is None:
        raise ValueError(f"not a symbol of okx: {symbol[:50]!r}")
    return Instrument(OKX, market, symbol, kind=_KINDS[market])


def parse_instruments(body: bytes) -> list[Instrument]:
    """Read a list of instruments, of whatever market.

    Raises:
        DecodeError: the body is not such a list.

    """
    try:
        answer = decode_answer(body)
        if answer.code != "0":
            raise ValueError(f"{answer.msg or 'refused'} (code {answer.code})")
        return [_to_instrument(raw) for raw in _decode_list(answer.data) if raw.inst_type in _MARKETS]
    except FAULTS as e:
        raise DecodeError(f"not a list of okx instruments: {e}") from e


def _to_instrument(raw: RawInstrument) -> Instrument:
    market = _MARKETS[raw.inst_type]
    base, _, quote = raw.uly.partition("-") if raw.uly else (raw.base_ccy, "", raw.quote_ccy)
    if market == OPTION:
        # Options of one expiry would all be `BTC/USD:BTC-261225`; by their own name they stay apart.
        base = quote = ""
    return Instrument(
        OKX,
        market,
        raw.inst_id,
        base or None,
        quote or None,
        raw.settle_ccy or None,
        _KINDS[market],
        int(raw.exp_time) * NS_PER_MS if raw.exp_time and market in (FUTURES, OPTION) else None,
        _size(raw.tick_sz),
        _size(raw.lot_sz),
        _contract_size(raw),
        raw.state == "live",
    )


def _contract_size(raw: RawInstrument) -> Decimal | None:
    value = _size(raw.ct_val)
    multiplier = _size(raw.ct_mult)
    return value if value is None or multiplier is None else parse(format(value * multiplier, "f"))


def _size(text: str) -> Decimal | None:
    if not text:
        return None
    size = parse(text)
    return size if size > 0 else None
