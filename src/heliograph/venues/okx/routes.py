"""From the head of a frame to what its rows mean.

Every frame of a channel begins with the same bytes, up to the end of its `arg`; so one look-up tells the channel, the
instrument and the interval, and the bytes before the rows need no decoding.

Source: "Candlesticks channel" of
https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-candlesticks-channel .
"""

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import SPOT, Instrument
from heliograph.model.interval import Interval
from heliograph.venues.faults import FAULTS
from heliograph.venues.okx.control import is_silent
from heliograph.venues.okx.frames import RawArg, decode_arg
from heliograph.venues.okx.instruments import any_instrument
from heliograph.venues.okx.streams import BARS, Key

ROUTES_MAX: Final = 20_000
"""Heads remembered before starting afresh."""
HEAD_START: Final = b'{"arg":'

_HONG_KONG_NS: Final = 8 * 3600 * NS_PER_S
_DAY_NS: Final = 86_400 * NS_PER_S
_MONDAY_NS: Final = 4 * _DAY_NS
_DATED: Final = frozenset({Interval.D2, Interval.D3, Interval.W1, Interval.MO1, Interval.MO3})


class Kind(enum.Enum):
    """What the rows of a frame are."""

    CANDLES = "candle…"
    TICKERS = "tickers"
    TRADES = "trades-all"
    AGGREGATES = "trades"
    DELTAS = "books"
    DEPTH = "books5"
    TOP = "bbo-tbt"
    SILENT = "nothing for us"
    IGNORED = "not subscribed to"


class Bars(NamedTuple):
    """The candles of a channel: their interval, and the grid that they open on."""

    interval: Interval
    length_ns: int | None
    """None for months."""
    step_ns: int
    """Open times less `phase_ns` are multiples of this."""
    phase_ns: int
    shift_ns: int
    """How far ahead of UTC the days are that they open on."""

    def close_of(self, open_ns: int) -> int:
        """Return the first instant after the candle that opens then; raise `ValueError` if none can."""
        if (open_ns - self.phase_ns) % self.step_ns:
            raise ValueError(f"a candle of {self.interval.value} that opens at {open_ns // NS_PER_MS}")
        if self.length_ns is not None:
            return open_ns + self.length_ns
        shifted_ns = open_ns + self.shift_ns
        if not self.shift_ns and self.interval.open_of(shifted_ns) != shifted_ns:
            raise ValueError(f"a candle of {self.interval.value} that opens within a month")
        return self.interval.next_open(shifted_ns) - self.shift_ns


class Route(NamedTuple):
    """What a frame is, by its head."""

    kind: Kind
    instrument: Instrument | None
    """None where no instrument is meant."""
    bars: Bars | None
    spot: bool


_KINDS: Final[Mapping[str, Kind]] = {
    "tickers": Kind.TICKERS,
    "trades-all": Kind.TRADES,
    "trades": Kind.AGGREGATES,
    "books": Kind.DELTAS,
    "books-l2-tbt": Kind.DELTAS,
    "books50-l2-tbt": Kind.DELTAS,
    "books5": Kind.DEPTH,
    "bbo-tbt": Kind.TOP,
}


def _bars(interval: Interval, shift_ns: int) -> Bars:
    length_ns = interval.length_ns
    if shift_ns:  # Only recordings have these; the venue's own example of one opens at no hour at all.
        return Bars(interval, length_ns, 1, 0, shift_ns)
    step_ns = _DAY_NS if length_ns is None or interval in _DATED else length_ns
    if interval is Interval.W1:
        return Bars(interval, length_ns, 7 * _DAY_NS, _MONDAY_NS, 0)
    return Bars(interval, length_ns, step_ns, 0, 0)


BARS_OF: Final[Mapping[str, Bars]] = {
    **{name: _bars(interval, 0) for interval, name in BARS.items()},
    **{
        name.removesuffix("utc"): _bars(interval, _HONG_KONG_NS)
        for interval, name in BARS.items()
        if name.endswith("utc")
    },
}
"""By the venue's names of intervals, those on Hong Kong's days among them."""


def make_route(arg: RawArg, carried: Mapping[Key, Instrument] | None) -> Route:
    """Return what a channel's frames are; raise `ValueError` if the channel is none that is documented.

    Args:
        arg: the frames' own.
        carried: the instrument of each channel that is subscribed to; None: whatever comes is welcome.

    """
    bars = BARS_OF.get(arg.channel.removeprefix("candle")) if arg.channel.startswith("candle") else None
    kind = Kind.CANDLES if bars is not None else _KINDS.get(arg.channel)
    if kind is None:
        if is_silent(arg.channel):
            return Route(Kind.SILENT, None, None, False)
        raise ValueError(f"a channel that is not documented: {arg.channel[:50]!r}")
    instrument = any_instrument(arg.instId) if carried is None else carried.get((arg.channel, arg.instId))
    if instrument is None:
        return Route(Kind.IGNORED, None, None, False)
    return Route(kind, instrument, bars, instrument.market == SPOT)


class Routes(dict[bytes, Route]):
    """Routes by the heads of frames, remembered."""

    def learn(self, frame: bytes, arg: RawArg, route: Route) -> None:
        """Remember a frame's route, if its head alone says all of `arg`."""
        head = frame[: frame.find(b"}")]
        if not head.startswith(HEAD_START) or len(self) >= ROUTES_MAX:
            if len(self) >= ROUTES_MAX:
                self.clear()
            return
        try:
            if decode_arg(head[len(HEAD_START) :] + b"}") == arg:
                self[head] = route
        except FAULTS:
            return  # A brace within a name.
