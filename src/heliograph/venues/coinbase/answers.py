"""Recorded answers of Coinbase's REST interface, read by the URL that they answer, and whose they are.

Sources: as in `rest`, and https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-product-book
. A feed asks for candles and trades only; recordings have more.
"""

from typing import Final
from urllib.parse import urlsplit

from heliograph.model.book import BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument, MarketId
from heliograph.model.numbers import Amounts
from heliograph.venues.answering import asked_of, is_a, reading
from heliograph.venues.candle_pages import newest_open
from heliograph.venues.coinbase.frames import decode_any, decode_book, decode_frame, decode_problem, instant_ns
from heliograph.venues.coinbase.instruments import instrument_of_symbol, parse_instruments
from heliograph.venues.coinbase.rest import (
    BOOK_PATH,
    GRANULARITIES,
    PREFIX,
    PRODUCTS_PATH,
    check_products,
    past_candles,
    past_trades,
)
from heliograph.venues.faults import FAULTS
from heliograph.venues.levels import check_order, to_levels

_PRICES_MAX: Final = 1000
_HOSTS: Final = ("advanced-trade-ws.coinbase.com", "api.coinbase.com")


def read_answer(url: str, body: bytes, received_ns: int) -> list[VenueEvent | Instrument]:
    """Read a recorded answer.

    Args:
        url: what was asked: a URL, or its path and query.
        body: the answer; a refusal, and an answer to what is not asked here, tell nothing.
        received_ns: when it came.

    Raises:
        DecodeError: the answer is not what is documented for that URL.

    """
    with reading(url):
        asked = asked_of(url)
        if is_a(decode_problem, body):
            return []
        if asked.path == PRODUCTS_PATH:
            return [*parse_instruments(body)]
        if asked.path == BOOK_PATH:
            return [_book(instrument_of_symbol(asked.query["product_id"]), body, received_ns)]
        product, _, what = asked.path.removeprefix(f"{PRODUCTS_PATH}/").partition("/")
        if what == "candles":
            interval = GRANULARITIES[asked.query["granularity"]]
            return [*newest_open(past_candles(instrument_of_symbol(product), interval, body, received_ns))]
        return [*past_trades(instrument_of_symbol(product), body, received_ns)] if what == "ticker" else []


def market_of(url: str | None, frame: bytes) -> MarketId | None:
    """Tell whether a URL, or a frame or an answer where there is none, is of the one market that there is."""
    try:
        if url is not None:
            parts = urlsplit(url)
            if parts.hostname in _HOSTS or parts.path.startswith(PREFIX):
                return SPOT
        raw = decode_any(frame)
        if raw.channel is not None:
            decode_frame(frame)
    except FAULTS:
        return None
    answered = raw.products or raw.candles or raw.trades or raw.pricebook or raw.product_id
    return SPOT if raw.channel is not None or answered else None


def _book(instrument: Instrument, body: bytes, received_ns: int) -> BookSnapshot:
    raw, prices = decode_book(body).pricebook, Amounts(_PRICES_MAX)
    check_products(instrument, [raw.product_id])
    bids, asks = ([(level.price, level.size) for level in side] for side in (raw.bids, raw.asks))
    sides = to_levels(bids, prices), to_levels(asks, prices)
    check_order(*sides)
    return BookSnapshot(instrument, *sides, None, instant_ns(raw.time), received_ns)
