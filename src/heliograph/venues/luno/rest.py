"""Luno's REST: requests for candles, trades and tickers, and what their answers mean.

Sources: https://www.luno.com/en/developers/api#tag/Market/operation/GetCandles , …/ListTrades , …/GetTicker .
"""

from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, DayStatistics, Side, Source, Trade, TradeCause
from heliograph.model.numbers import amount, parse
from heliograph.venues.answering import problem_of
from heliograph.venues.candle_pages import CandleAnswer, ascending, page_end, past_candle, read_page
from heliograph.venues.contract import CandlePage, Request, TickerPage, TradePage, VenueError
from heliograph.venues.luno.frames import (
    RawTicker,
    RawTrade,
    decode_candles,
    decode_error,
    decode_ticker,
    decode_trades,
)
from heliograph.venues.luno.streams import DURATIONS_S

CANDLES_PATH: Final = "/api/exchange/1/candles"
TRADES_PATH: Final = "/api/1/trades"
TICKER_PATH: Final = "/api/1/ticker"
ROWS_MAX: Final = 1_000
TRADES_MAX: Final = 100
BACK_MS_MIN: Final = 2_000


class TradeAnswer(NamedTuple):
    """What an answer to a page of trades told, ascending, and what is still to be asked."""

    trades: list[Trade]
    following: Request | None


def candle_request(page: CandlePage) -> Request:
    """Ask for the first candles of a range; the venue takes no end."""
    query = (
        ("pair", page.instrument.venue_symbol),
        ("since", str(page.from_ns // NS_PER_MS)),
        ("duration", str(DURATIONS_S[page.interval])),
    )
    return Request(CANDLES_PATH, query, 1, page)


def read_candles(page: CandlePage, body: bytes, venue_ns: int, received_ns: int) -> CandleAnswer:
    """Read an answer to a page of candles, which may go on beyond its end; raises one of `FAULTS`."""
    candles = past_candles(page.instrument, page.interval, body, received_ns)
    return read_page(page, candles, page_end(page, ROWS_MAX), venue_ns)


def past_candles(instrument: Instrument, interval: Interval, body: bytes, received_ns: int) -> list[Candle]:
    """Return an answer's candles, ascending; raise one of `FAULTS` if they are not those that were asked for.

    One without a trade is flat, and so told (seen 2022).
    """
    raw = decode_candles(body)
    if (raw.pair, raw.duration) != (instrument.venue_symbol, DURATIONS_S[interval]):
        raise ValueError(f"candles of {raw.duration} s of {raw.pair[:40]}")
    candles = [
        past_candle(
            instrument,
            interval,
            row.timestamp * NS_PER_MS,
            (row.open, row.high, row.low, row.close),
            (parse(row.volume), None, None),
            received_ns,
        )
        for row in raw.candles
    ]
    return ascending(candles, newest_first=False)


def trade_request(page: TradePage, since_ms: int | None = None) -> Request:
    """Ask for trades: the newest hundred, or a hundred after an instant, since no number can be asked for."""
    since = () if since_ms is None else (("since", str(since_ms)),)
    return Request(TRADES_PATH, (("pair", page.instrument.venue_symbol), *since), 1, page)


def past_trades(instrument: Instrument, body: bytes, received_ns: int) -> list[Trade]:
    """Return an answer's trades, ascending; raises one of `FAULTS`."""
    trades = [to_trade(row, instrument, received_ns) for row in reversed(decode_trades(body).trades)]
    if any((a.sequence or 0) >= (b.sequence or 0) for a, b in pairwise(trades)):
        raise ValueError("trades that are not in descending order")
    return trades


def to_trade(row: RawTrade, instrument: Instrument, received_ns: int) -> Trade:
    """Make a trade of a row; raise `ValueError` if it cannot be one."""
    return Trade(
        instrument, str(row.sequence), row.sequence, amount(parse(row.price)), amount(parse(row.volume)),
        Side.BUY if row.is_buy else Side.SELL, TradeCause.MARKET, row.timestamp * NS_PER_MS, received_ns, Source.REST,
    )  # fmt: skip


def read_trades(request: Request, page: TradePage, body: bytes, received_ns: int) -> TradeAnswer:
    """Read an answer to a page of trades; raises one of `FAULTS`.

    A hole that began before the answer's first trade is looked for further back in time, ever further; from there on
    it is followed by the time of the last trade. The venue goes back 24 hours, and refuses what is older.
    """
    trades = past_trades(page.instrument, body, received_ns)
    wanted = [trade for trade in trades if page.from_sequence <= (trade.sequence or 0) <= page.to_sequence]
    if not trades:
        return TradeAnswer(wanted, None)
    first, last = trades[0], trades[-1]
    since = dict(request.query).get("since")
    assert first.sequence is not None
    assert last.sequence is not None
    if first.sequence > page.from_sequence:
        return TradeAnswer([], trade_request(page, _further_back(page, trades, since)))
    if last.sequence < page.to_sequence and len(trades) >= TRADES_MAX:
        from_ms = _ms(last) - 1  # Others of the same millisecond may have been cut off.
        if since is None or from_ms > int(since):
            first_left = max(page.from_sequence, last.sequence + 1)
            rest = TradePage(page.instrument, first_left, page.to_sequence)
            return TradeAnswer(wanted, trade_request(rest, from_ms))
    return TradeAnswer(wanted, None)


def ticker_request(instrument: Instrument) -> Request:
    """Ask how a pair stands."""
    return Request(TICKER_PATH, (("pair", instrument.venue_symbol),), 1, TickerPage(instrument))


def read_ticker(instrument: Instrument, body: bytes, received_ns: int) -> DayStatistics:
    """Read how a pair stands; raises one of `FAULTS`."""
    return to_statistics(decode_ticker(body), instrument, received_ns)


def to_statistics(raw: RawTicker, instrument: Instrument, received_ns: int) -> DayStatistics:
    """Make statistics of a ticker; raise `ValueError` if they cannot be."""
    if raw.pair != instrument.venue_symbol:
        raise ValueError(f"the ticker of {raw.pair[:40]}")
    last, volume = amount(parse(raw.last_trade)), amount(parse(raw.rolling_24_hour_volume))
    return DayStatistics(
        instrument, last, None, None, None, volume, None, None, None, raw.timestamp * NS_PER_MS, received_ns
    )


def parse_error(status: int, body: bytes) -> VenueError:
    """Read the body of an answer whose HTTP status is not a success, be it the venue's or of what stands before it."""

    def read(body: bytes) -> VenueError:
        raw = decode_error(body)
        if not raw.error_code:
            raise msgspec.ValidationError("a refusal without a code")
        return VenueError(raw.error_code, raw.error)

    return problem_of(status, body, read)


def _further_back(page: TradePage, trades: list[Trade], since: str | None) -> int:
    first, last = trades[0], trades[-1]
    assert first.sequence is not None
    each_ms = max(1, (_ms(last) - _ms(first)) // len(trades))
    span_ms = max(BACK_MS_MIN, each_ms * (first.sequence - page.from_sequence) * 11 // 10)
    if since is not None:
        span_ms = max(span_ms, 2 * (_ms(first) - int(since)))
    return max(0, min(_ms(first), int(since or _ms(first))) - span_ms)


def _ms(trade: Trade) -> int:
    assert trade.event_ns is not None  # REST always says when.
    return trade.event_ns // NS_PER_MS
