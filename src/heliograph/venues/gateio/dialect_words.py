"""How Gate.io writes numbers, times, frames and the names of bars: what its dialect's parts share.

Source: https://www.gate.com/docs/developers/apiv4/ws/en/
Source: https://www.gate.com/docs/developers/futures/ws/en/
Source: https://www.gate.com/docs/developers/apiv4/en/
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.interval import Interval
from heliograph.venues.scene import Bar, Book, BookChange, Fill, Level, Scene

encode: Final = msgspec.json.Encoder().encode

DAY_NS: Final = 86_400 * NS_PER_S
_MONDAY_NS: Final = 4 * DAY_NS  # How much later a Monday's week opens than one that counts from the epoch.


class Grid(msgspec.Struct, frozen=True):
    """Where the bars of one name open."""

    interval: Interval
    shift_ns: int = 0

    def open_of(self, instant_ns: int) -> int:
        """Return the open time of the bar that an instant falls into."""
        return self.interval.open_of(instant_ns + self.shift_ns) - self.shift_ns

    def next_open(self, open_ns: int) -> int:
        """Return the open time of the bar after the one that opens then."""
        return self.interval.next_open(open_ns + self.shift_ns) - self.shift_ns


_LENGTHS: Final = (
    Interval.S10, Interval.M1, Interval.M5, Interval.M15, Interval.M30,
    Interval.H1, Interval.H4, Interval.H8, Interval.D1,
)  # fmt: skip

SOCKET_GRIDS: Final[Mapping[str, Grid]] = {
    **{str(interval): Grid(interval) for interval in _LENGTHS},
    "7d": Grid(Interval.W1, _MONDAY_NS),
}
"""The bars of the candlestick channels by their names. Seven days count from the epoch, so they open on Thursdays."""

SPOT_GRIDS: Final[Mapping[str, Grid]] = {**SOCKET_GRIDS, "30d": Grid(Interval.MO1)}
"""The bars that spot's REST interface has as well: thirty days are a calendar month."""

FUTURES_GRIDS: Final[Mapping[str, Grid]] = {**SPOT_GRIDS, "1w": Grid(Interval.W1)}
"""Those of futures: `1w` is a natural week, which `7d` is not."""


class Board(Protocol):
    """What there is to tell of one market, in the market's own shapes: spot's and futures' differ."""

    app: str
    """What the names of its channels begin with."""
    scene: Scene

    def candle(self, symbol: str, name: str, bar: Bar, *, closed: bool, exact: bool) -> dict[str, object]:
        """Render a bar for a socket. Here and below, `exact` asks for futures' sizes as decimal text."""

    def candles(self, rendered: list[dict[str, object]]) -> list[object]:
        """Put candles into as many results as there will be frames."""

    def trades(self, symbol: str, fills: list[Fill], *, exact: bool) -> list[object]:
        """Render fills into as many results as there will be frames."""

    def ticker(self, symbol: str, now_ns: int, *, exact: bool) -> object:
        """Render the last day for a socket."""

    def top(self, symbol: str, book: Book, *, exact: bool) -> dict[str, object]:
        """Render the best bid and ask."""

    def changed(self, symbol: str, change: BookChange, levels: int, *, exact: bool) -> dict[str, object]:
        """Render the changed levels of a book, in the order in which they are given."""

    def whole(self, symbol: str, book: Book, levels: int, *, exact: bool) -> dict[str, object]:
        """Render the best levels of a book for a socket."""

    def candle_row(self, symbol: str, bar: Bar, *, closed: bool, exact: bool) -> object:
        """Render a bar for REST."""

    def trade_row(self, symbol: str, fill: Fill, *, exact: bool) -> dict[str, object]:
        """Render a fill for REST."""

    def ticker_row(self, symbol: str, now_ns: int, *, exact: bool) -> dict[str, object]:
        """Render the last day for REST."""

    def book_answer(self, book: Book, now_ns: int, *, with_id: bool, exact: bool) -> dict[str, object]:
        """Render a book for REST."""

    def rules(self, symbol: str, now_ns: int, *, exact: bool) -> dict[str, object]:
        """Render what an instrument is and how it trades."""


def plain(amount: Decimal) -> str:
    """Render an amount without an exponent and without zeros at its end."""
    return f"{amount.normalize():f}"


def sized(size: Decimal, *, exact: bool) -> str | int:
    """Render a number of contracts: as text, or cut to a whole number, which is what Gate does unless asked.

    Source: https://www.gate.com/docs/developers/futures/ws/en/ (changelog, `X-Gate-Size-Decimal`)
    """
    return plain(size) if exact else int(size)


def shuffled(levels: Iterable[Level]) -> tuple[Level, ...]:
    """Return levels in no order of their prices, as recorded changes have them, but always in the same."""
    return tuple(sorted(levels, key=lambda level: plain(level[0])[::-1]))


def ms(instant_ns: int) -> int:
    """Return an instant in milliseconds since the epoch."""
    return instant_ns // NS_PER_MS


def seconds(instant_ns: int) -> msgspec.Raw:
    """Render an instant as a JSON number of seconds with milliseconds behind the point, as futures' REST has it."""
    return msgspec.Raw(plain(Decimal(instant_ns // NS_PER_MS).scaleb(-3)).encode())


def percentage(bar: Bar, digits: int) -> str:
    """Render by how much the price has changed over a bar, in percent."""
    return f"{(bar.close - bar.open) / bar.open * 100:.{digits}f}"


def day_of(scene: Scene, symbol: str, now_ns: int) -> Bar:
    """Fold the last 24 hours."""
    return scene.bar(symbol, now_ns - DAY_NS, now_ns + 1, now_ns)


def frame(channel: str, event: str, result: object, now_ns: int) -> bytes:
    """Render what a server says on a channel by itself."""
    head = {"time": now_ns // NS_PER_S, "time_ms": ms(now_ns), "channel": channel, "event": event}
    return encode(head | {"result": result})
