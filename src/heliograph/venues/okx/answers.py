"""Recorded answers of OKX's REST interface, read by the URL that they answer and by what their rows have.

Sources: as in `rest`. A feed asks for candles and trades only; recordings have more.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.model.book import BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.numbers import Amounts
from heliograph.venues.answering import asked_of, is_a, reading
from heliograph.venues.fields import NOTHING
from heliograph.venues.okx.frames import (
    decode_answer,
    decode_past_books,
    decode_past_tickers,
    decode_past_trades,
    decode_rows,
)
from heliograph.venues.okx.instruments import any_instrument, parse_instruments
from heliograph.venues.okx.rest import HISTORY, RECENT, to_candle, to_past_trade
from heliograph.venues.okx.routes import BARS_OF
from heliograph.venues.okx.rows import to_levels, to_ticker

_PRICES_REMEMBERED_MAX: Final = 4096


class RawTraits(msgspec.Struct, rename="camel"):
    """The fields by which a row tells what it is."""

    inst_id: str = ""
    tick_sz: str | None = None
    ask_px: str | None = None
    asks: msgspec.Raw = NOTHING
    trade_id: str | None = None
    px: str | None = None
    ord_id: str | None = None


class RawOutcome(msgspec.Struct, rename="camel"):
    """What became of one order; recordings have it without its envelope as well."""

    ord_id: str
    s_code: str


_decode_outcome: Final = msgspec.json.Decoder(RawOutcome).decode
_decode_traits: Final = msgspec.json.Decoder(list[RawTraits]).decode


def read_answer(url: str, body: bytes, received_ns: int) -> list[VenueEvent | Instrument]:
    """Read a recorded answer; private ones, and those that say no, tell nothing.

    Args:
        url: what was asked: a URL, or its path and query; for rows without an instrument it must name that.
        body: the answer.
        received_ns: when it came.

    Raises:
        DecodeError: the answer is not what is documented for that URL.

    """
    with reading(url):
        if is_a(_decode_outcome, body):
            return []
        answer = decode_answer(body)
        if answer.code != "0" or not answer.data:
            return []
        data = bytes(answer.data)
        asked = asked_of(url)
        if asked.path in (RECENT, HISTORY):
            return [*_candles(asked.query, data, received_ns)]
        return _read(asked.query.get("instId", ""), body, data, received_ns)


def _candles(query: Mapping[str, str], data: bytes, received_ns: int) -> list[VenueEvent]:
    instrument = any_instrument(query["instId"])
    bars = BARS_OF[query.get("bar", "1m")]
    return [to_candle(row, instrument, bars, received_ns) for row in reversed(decode_rows(data))]


def _read(symbol: str, body: bytes, data: bytes, received_ns: int) -> list[VenueEvent | Instrument]:
    if not data.lstrip()[1:].lstrip().startswith(b"{"):  # Rows that are arrays are candles of an index or of a mark.
        return []
    traits = _decode_traits(data)
    first = traits[0]
    prices = Amounts(_PRICES_REMEMBERED_MAX)
    if first.tick_sz is not None:
        return [*parse_instruments(body)]
    if first.ask_px is not None:
        found: list[VenueEvent | Instrument] = []
        for ticker in decode_past_tickers(data):
            made = to_ticker(any_instrument(ticker.inst_id), ticker, prices, received_ns)
            found += [event for event in made if event is not None]
        return found
    if first.asks:
        if not symbol:
            return []
        return [
            BookSnapshot(
                any_instrument(symbol),
                to_levels(raw.bids, prices),
                to_levels(raw.asks, prices),
                raw.seq_id,
                raw.ts * NS_PER_MS,
                received_ns,
            )
            for raw in decode_past_books(data)
        ]
    if first.trade_id is not None and first.px is not None and first.ord_id is None:
        rows = reversed(list(zip(traits, decode_past_trades(data), strict=True)))
        return [to_past_trade(raw, any_instrument(named.inst_id or symbol), received_ns) for named, raw in rows]
    return []
