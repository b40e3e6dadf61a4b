"""Rows that frames and REST answers share, into ours: tickers, levels, tops of books.

Sources: "WS / Tickers channel" and "WS / Order book channel" of
https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-tickers-channel .
"""

from decimal import Decimal

from heliograph.clock import NS_PER_MS
from heliograph.model.book import Level
from heliograph.model.instrument import SPOT, Instrument
from heliograph.model.market import BookTop, DayStatistics
from heliograph.model.numbers import BOUND, NOT_AN_AMOUNT, ZERO, Amounts, amount, fits
from heliograph.venues.okx.frames import RawLevel, RawTicker


def quantity_of(text: str) -> Decimal | None:
    """Read a quantity; "" is what the venue does not know. Raises `ArithmeticError` or `ValueError`."""
    return amount(Decimal(text)) if text else None


def to_levels(raw: list[RawLevel], prices: Amounts) -> list[Level]:
    """Make levels; raise `ArithmeticError` or `ValueError` if one cannot be."""
    made: list[Level] = []  # `levels.to_levels` wants pairs, which to make of these first costs a tenth of a book.
    for level in raw:
        quantity = level.sz
        if not ZERO <= fits(quantity) < BOUND:
            raise ValueError(NOT_AN_AMOUNT)
        made.append((prices[level.px], quantity))
    return made


def to_top(
    instrument: Instrument,
    bids: list[Level],
    asks: list[Level],
    sequence: int | None,
    event_ns: int,
    received_ns: int,
) -> BookTop:
    """Make the top of a book of its levels, best first."""
    bid, bid_quantity = bids[0] if bids else (None, None)
    ask, ask_quantity = asks[0] if asks else (None, None)
    return BookTop(instrument, bid, bid_quantity, ask, ask_quantity, sequence, event_ns, received_ns)


def to_ticker(
    instrument: Instrument, raw: RawTicker, prices: Amounts, received_ns: int
) -> tuple[DayStatistics | None, BookTop]:
    """Make the day's statistics, None before the first trade, and the top of the book."""
    event_ns = raw.ts * NS_PER_MS
    bid = prices[raw.bid_px] if raw.bid_px else None
    ask = prices[raw.ask_px] if raw.ask_px else None
    top = BookTop(
        instrument,
        bid or None,
        quantity_of(raw.bid_sz) if bid else None,
        ask or None,
        quantity_of(raw.ask_sz) if ask else None,
        None,
        event_ns,
        received_ns,
    )
    if not raw.last:
        return None, top
    volume, in_coin = quantity_of(raw.vol24h), quantity_of(raw.vol_ccy24h)
    spot = instrument.market == SPOT
    day = DayStatistics(
        instrument,
        prices[raw.last],
        prices[raw.open24h] if raw.open24h else None,
        prices[raw.high24h] if raw.high24h else None,
        prices[raw.low24h] if raw.low24h else None,
        volume if spot else in_coin,
        in_coin if spot else None,
        None if spot else volume,
        None,
        event_ns,
        received_ns,
    )
    return day, top
