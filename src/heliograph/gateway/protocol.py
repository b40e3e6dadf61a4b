"""The gateway's messages: what a client says first, and what it hears.

The first message of a connection tells its dialect. The OHLCV connector's is one JSON object with `exchange`,
`symbols`, and optionally `contract_type` and `limit`; it is answered by `subscribed`, then `quote` after `quote`, and
`error` where something is wrong. Ours is an optional `interval`, for candles of another length than a minute: then it
is in `subscribed` and in each `quote` and `gap` as well.
"""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from heliograph.clock import NS_PER_S, NS_PER_US
from heliograph.errors import ConfigError
from heliograph.model.instrument import Instrument, InstrumentId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Gap
from heliograph.model.numbers import fixed
from heliograph.venues.directory import ECHO_MAX

MESSAGE_BYTES_MAX = 64 * 1024
SYMBOLS_MAX = 500
SYMBOL_LENGTH_MAX = 64
LIMIT_MAX = 2**53 - 1  # The largest integer that a JavaScript client can count to.
_MINUTE = Interval.M1  # A member's look-up in its enumeration costs a tenth of a quote.

_SHAPE = (
    '{"exchange": text, "contract_type": text, "symbols": [text, ...], "limit": integer >= 0, "interval": text}'
    " (contract_type, limit and interval optional)"
)
_FIELDS = frozenset({"exchange", "contract_type", "symbols", "limit", "interval"})
_CACHE_FIELDS = frozenset({"request_id", "operation", "params"})


class Subscribe(msgspec.Struct, frozen=True):
    """What an OHLCV client asks for, in its own words."""

    exchange: str
    contract_type: str | None
    symbols: tuple[str, ...]
    limit: int
    """Quotes after which the stream ends; 0: for ever."""
    interval: Interval = Interval.M1


class Refusal(msgspec.Struct, frozen=True):
    """Why a client does not get, or no longer gets, what it asked for."""

    message: str
    exchange: str | None = None
    contract_type: str | None = None
    symbols: tuple[str, ...] | None = None
    exchange_message: str | None = None
    """The venue's own words, where it was the venue that refused."""


def parse(payload: bytes) -> Subscribe | Refusal:
    """Read the first message of a connection.

    Whatever the bytes are, the answer is a value: a subscription, or a refusal that says what is accepted.
    """
    if len(payload) > MESSAGE_BYTES_MAX:
        return Refusal(f"The payload has {len(payload)} bytes; accepted: at most {MESSAGE_BYTES_MAX}")
    try:
        payload.decode()
        fields = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Refusal(f"The subscribe payload must be valid JSON; accepted: {_SHAPE}")
    if not isinstance(fields, dict):
        return Refusal(f"The subscribe payload must be a JSON object; accepted: {_SHAPE}")
    if not _CACHE_FIELDS.isdisjoint(fields) and "exchange" not in fields:
        return Refusal(f"The cache API (request_id, operation, params) is not served here; accepted: {_SHAPE}")
    unknown = sorted(set(fields) - _FIELDS)
    if unknown:
        return Refusal(f"Unknown field: {_echo(unknown[0])}; accepted: {_SHAPE}")
    try:
        return _subscribe(fields)
    except ConfigError as e:
        return Refusal(str(e))


def _subscribe(fields: dict[str, object]) -> Subscribe:
    exchange = fields.get("exchange")
    if not isinstance(exchange, str) or not exchange:
        raise ConfigError("exchange must be a text that is not empty", (_SHAPE,))
    contract_type = fields.get("contract_type")
    if contract_type is not None and (not isinstance(contract_type, str) or not contract_type):
        raise ConfigError("contract_type must be a text that is not empty, or absent", (_SHAPE,))
    limit = fields.get("limit", 0)
    if type(limit) is not int or not 0 <= limit <= LIMIT_MAX:  # `true` is an int to isinstance.
        raise ConfigError("limit must be an integer, 0 (for ever) or more", (_SHAPE,))
    interval = fields.get("interval", Interval.M1.value)
    if not isinstance(interval, str) or interval not in list(Interval):
        raise ConfigError("interval must be the length of a candle, or absent", tuple(Interval))
    return Subscribe(exchange, contract_type, _symbols(fields.get("symbols")), limit, Interval(interval))


def _symbols(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ConfigError("symbols must be a list that is not empty", (_SHAPE,))
    if len(value) > SYMBOLS_MAX:
        raise ConfigError(f"{len(value)} symbols are too many", (f"at most {SYMBOLS_MAX} a connection",))
    for symbol in value:
        if not isinstance(symbol, str) or not 0 < len(symbol) <= SYMBOL_LENGTH_MAX or not symbol.isprintable():
            raise ConfigError(f"each symbol must be a text of 1 to {SYMBOL_LENGTH_MAX} characters", (_SHAPE,))
    if len(set(value)) != len(value):
        twice = next(s for s in value if value.count(s) > 1)
        raise ConfigError(f"Duplicate symbol: {_echo(twice)}", ("each symbol once",))
    return tuple(value)


def _echo(text: str) -> str:
    return text[:ECHO_MAX].encode("utf-8", "replace").decode()


def subscribed(request: Subscribe) -> bytes:
    """Return the message that confirms a subscription, in the client's own words."""
    return msgspec.json.encode(
        {
            "type": "subscribed",
            "exchange": request.exchange,
            "contract_type": request.contract_type,
            "symbols": request.symbols,
            "limit": request.limit,
            **_length(request.interval),
        }
    )


def _length(interval: Interval | None) -> dict[str, str]:
    """Return the field that tells a length, which for a minute the connector's document does not have."""
    return {} if interval is None or interval is _MINUTE else {"interval": interval.value}


def error(refusal: Refusal) -> bytes:
    """Return the message that says what is wrong; fields that do not apply are left out."""
    message: dict[str, object] = {
        "type": "error",
        "message": refusal.message,
        "system_message": refusal.message,
    }
    for name in ("exchange", "contract_type", "symbols", "exchange_message"):
        value = getattr(refusal, name)
        if value is not None:
            message[name] = value
    return msgspec.json.encode(message)


class QuoteEncoder:
    """Candles into `quote` messages, with what repeats rendered once."""

    def __init__(self) -> None:
        self._names: dict[InstrumentId, str] = {}
        self._open_times: dict[int, str] = {}
        self._second = -1
        self._second_text = ""

    def quote(self, candle: Candle, now_ns: int) -> bytes:
        """Return the `quote` message of a candle.

        Prices and volume are JSON numbers with the venue's digits; `volume` is in base, null where the venue does not
        say, as is `trade_num`.

        Args:
            candle: the candle.
            now_ns: the message's `current_time`.

        """
        c = candle
        second, rest_ns = divmod(now_ns, NS_PER_S)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S.")
        name = self._names.get(c.instrument.id) or self._name(c.instrument)
        opened = self._open_times.get(c.open_ns) or self._open_time(c.open_ns)
        length = "" if c.interval is _MINUTE else f'"interval":"{c.interval.value}",'
        return (
            f'{{"type":"quote","current_time":"{self._second_text}{rest_ns // NS_PER_US:06d}+00:00",'
            f'"timestamp":"{opened}",{name}{length}"open":{fixed(c.open)},"high":{fixed(c.high)},"low":{fixed(c.low)},'
            f'"close":{fixed(c.close)},"volume":{_number(c.base_volume)},'
            f'"trade_num":{"null" if c.trade_count is None else c.trade_count},'
            f'"is_closed_candle":{"true" if c.closed else "false"}}}'
        ).encode()

    def _name(self, instrument: Instrument) -> str:
        fields = {"exchange": instrument.venue, "symbol": instrument.venue_symbol, "contract_type": instrument.market}
        name = msgspec.json.encode(fields)[1:-1].decode() + ","
        self._names[instrument.id] = name
        return name

    def _open_time(self, open_ns: int) -> str:
        if len(self._open_times) >= 1024:  # All instruments share the few open times of the present.
            self._open_times.clear()
        text = self._open_times[open_ns] = iso_time(open_ns)
        return text


def iso_time(instant_ns: int) -> str:
    """Return an instant as ISO 8601 in UTC, such as `2026-11-21T09:42:00+00:00`."""
    return datetime.fromtimestamp(instant_ns // NS_PER_S, UTC).isoformat()


def _number(value: Decimal | None) -> str:
    return "null" if value is None else fixed(value)


def gap(missing: Gap) -> bytes:
    """Return the message about candles that are missing and will not come: ours, beside the documented three.

    `from_time` is the first missing open time and `to_time` the first that is not missing.
    """
    return msgspec.json.encode(
        {
            "type": "gap",
            "exchange": missing.instrument.venue,
            "symbol": missing.instrument.venue_symbol,
            "contract_type": missing.instrument.market,
            **_length(missing.interval),
            "from_time": None if missing.from_ns is None else iso_time(missing.from_ns),
            "to_time": None if missing.to_ns is None else iso_time(missing.to_ns),
            "message": missing.reason,
        }
    )


def line(candle: Candle) -> str:
    """Return a quote as the line that the command prints."""
    c = candle
    volume = None if c.base_volume is None else fixed(c.base_volume)
    return (
        f"[{c.instrument.venue}::{c.instrument.market}] {c.instrument.venue_symbol} "
        f"O:{fixed(c.open)} H:{fixed(c.high)} L:{fixed(c.low)} C:{fixed(c.close)} V:{volume} "
        f"closed={c.closed} @ {iso_time(c.open_ns)}"
    )


def text_frame(payload: bytes) -> bytes:
    """Return the payload as one unmasked WebSocket text frame, ready to be joined with others into one write.

    Source: https://www.rfc-editor.org/rfc/rfc6455#section-5.2
    """
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload
