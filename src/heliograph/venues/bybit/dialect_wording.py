"""How a simulated Bybit writes what happens to one instrument: candles, trades, tickers, levels of a book.

Written from the documentation and from recordings, and from nothing else in this folder but the dialect's other parts.
Contracts have their prices with all digits of the tick and their sizes with all digits of the step, and spot has
neither; candles have no trailing zeros anywhere (seen 2026-08).

Source: https://bybit-exchange.github.io/docs/v5/websocket/public/trade
Source: https://bybit-exchange.github.io/docs/v5/websocket/public/ticker
Source: https://bybit-exchange.github.io/docs/v5/market/tickers
Source: https://bybit-exchange.github.io/docs/v5/market/recent-trade
"""

import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import Kind
from heliograph.model.interval import Interval
from heliograph.venues.scene import Bar, Book, Fill, Level, Listing, Scene

SPOT: Final = "spot"

INTERVALS: Final = {
    "1": Interval.M1,
    "3": Interval.M3,
    "5": Interval.M5,
    "15": Interval.M15,
    "30": Interval.M30,
    "60": Interval.H1,
    "120": Interval.H2,
    "240": Interval.H4,
    "360": Interval.H6,
    "720": Interval.H12,
    "D": Interval.D1,
    "W": Interval.W1,
    "M": Interval.MO1,
}
"""Source: https://bybit-exchange.github.io/docs/v5/enum#interval"""

_HOUR_NS: Final = 3600 * NS_PER_S
_DAY_NS: Final = 24 * _HOUR_NS
_FUNDING_NS: Final = 8 * _HOUR_NS
_LOOK_BACK: Final = 50
"""How many trades back a price is looked for that differs; the tick's direction is up where there is none."""

_SPOT_TRADES: Final = 2_290_000_000_000_000_000
"""Where the ids of spot trades begin: 19 digits, as seen, which no float holds."""


class Wording:
    """How one instrument is written.

    Args:
        category: the part of Bybit it is listed in.
        scene: what happens there.
        listing: the instrument.

    """

    def __init__(self, category: str, scene: Scene, listing: Listing) -> None:
        self.category = category
        self.scene = scene
        self.listing = listing
        self.symbol = listing.symbol
        self._spot = category == SPOT
        self._tick = listing.tick_size
        self._lot = listing.lot_size
        self._newest: tuple[int, dict[str, str]] | None = None  # What was told last is what the next delta starts from.

    def price(self, amount: Decimal) -> str:
        """Write a price."""
        return trimmed(amount) if self._spot else f"{amount.quantize(self._tick):f}"

    def size(self, amount: Decimal) -> str:
        """Write a quantity; of a level that is gone it is `0` without digits."""
        return trimmed(amount) if self._spot or not amount else f"{amount.quantize(self._lot):f}"

    def levels(self, levels: Iterable[Level]) -> list[tuple[str, str]]:
        """Write one side of a book."""
        return [(self.price(price), self.size(size)) for price, size in levels]

    def sequence(self, instant_ns: int) -> int:
        """Return the cross sequence: it orders what is said of an instrument on all topics, and has holes."""
        return self.scene.book(self.symbol, 1, instant_ns).update_id + 10_000_000_000

    def row(self, bar: Bar) -> tuple[str, ...]:
        """Write a candle of the REST interface."""
        amounts = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.counter)
        return (str(bar.open_ns // NS_PER_MS), *map(trimmed, amounts))

    def candle(self, interval: str, bar: Bar, now_ns: int, *, closed: bool) -> dict[str, object]:
        """Write a candle of the sockets, of which the last millisecond belongs to it."""
        return {
            "start": bar.open_ns // NS_PER_MS,
            "end": bar.end_ns // NS_PER_MS - 1,
            "interval": interval,
            "open": trimmed(bar.open),
            "close": trimmed(bar.close),
            "high": trimmed(bar.high),
            "low": trimmed(bar.low),
            "volume": trimmed(bar.volume),
            "turnover": trimmed(bar.counter),
            "confirm": closed,
            # That of the last trade, says the documentation; recordings have the time of the message.
            "timestamp": now_ns // NS_PER_MS,
        }

    def trade_id(self, fill: int) -> str:
        """Name a trade: a number at spot, where they have followed each other; else a UUID that tells no order.

        The UUID's last twelve digits are the trade's number in the scene, so that a judge can tell which one it is.
        """
        if self._spot:
            return str(_SPOT_TRADES + fill)
        name = zlib.crc32(f"{self.symbol}{fill}".encode())
        return f"{name:08x}-{name & 0xFFFF:04x}-5{name >> 4 & 0xFFF:03x}-8{name >> 8 & 0xFFF:03x}-{fill:012x}"

    def trades(self, fills: Sequence[Fill]) -> list[dict[str, object]]:
        """Write trades that follow each other without a hole, all of one instant, as the sockets tell them."""
        sequence = self.sequence(fills[0].time_ns)
        if self._spot:
            return [
                {
                    "i": self.trade_id(fill.id),
                    "T": fill.time_ns // NS_PER_MS,
                    "p": self.price(fill.price),
                    "v": self.size(fill.quantity),
                    "S": _side(fill),
                    "seq": sequence,
                    "s": self.symbol,
                    "BT": False,
                    "RPI": False,
                }
                for fill in fills
            ]
        return [
            {
                "T": fill.time_ns // NS_PER_MS,
                "s": self.symbol,
                "S": _side(fill),
                "v": self.size(fill.quantity),
                "p": self.price(fill.price),
                "L": direction,
                "i": self.trade_id(fill.id),
                "BT": False,
                "RPI": False,
                "seq": sequence,
            }
            for fill, direction in zip(fills, self._directions(fills), strict=True)
        ]

    def recent(self, fill: Fill) -> dict[str, object]:
        """Write a trade as the REST interface tells it."""
        return {
            "execId": self.trade_id(fill.id),
            "symbol": self.symbol,
            "price": self.price(fill.price),
            "size": self.size(fill.quantity),
            "side": _side(fill),
            "time": str(fill.time_ns // NS_PER_MS),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": str(self.sequence(fill.time_ns)),
        }

    def ticker(self, now_ns: int) -> dict[str, str]:
        """Write what the sockets tell of the last day: of spot, no best prices."""
        if self._newest is None or self._newest[0] != now_ns:
            self._newest = now_ns, self._ticker(now_ns)
        return self._newest[1]

    def quote(self, now_ns: int) -> dict[str, str]:
        """Write what the REST interface tells of the last day."""
        day, book = self._day(now_ns), self.scene.book(self.symbol, 1, now_ns)
        if self._spot:
            return {"symbol": self.symbol} | self._best(book) | self.ticker(now_ns)
        nothing = {"predictedDeliveryPrice": "", "basisRate": "", "basis": "", "deliveryFeeRate": ""}
        delivery = nothing if self.listing.kind is not Kind.FUTURE else self._delivery()
        return {
            "symbol": self.symbol,
            **self._statistics(day, book, now_ns),
            **delivery,
            "basisRateYear": "",
            "deliveryTime": str((self.listing.expiry_ns or 0) // NS_PER_MS),
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
            **self._best(book),
        }

    def _ticker(self, now_ns: int) -> dict[str, str]:
        day, book = self._day(now_ns), self.scene.book(self.symbol, 1, now_ns)
        if self._spot:
            return {
                "symbol": self.symbol,
                "lastPrice": self.price(day.close),
                "highPrice24h": self.price(day.high),
                "lowPrice24h": self.price(day.low),
                "prevPrice24h": self.price(day.open),
                "volume24h": trimmed(day.volume),
                "turnover24h": trimmed(day.counter),
                "price24hPcnt": _change(day, 4),
                "usdIndexPrice": self.price(day.close),
            }
        last = self.scene.fills_from(self.symbol, day.last_fill, 1, now_ns) if day.fills else []
        content = {
            "symbol": self.symbol,
            "tickDirection": self._directions(last)[0] if last else "ZeroPlusTick",
            **self._statistics(day, book, now_ns),
            **self._best(book),
        }
        if self.listing.kind is not Kind.FUTURE:
            return content | {"preOpenPrice": "", "preQty": "", "curPreListingPhase": ""}
        assert self.listing.expiry_ns is not None  # A future ends.
        delivery = datetime.fromtimestamp(self.listing.expiry_ns // NS_PER_S, UTC)
        return content | {"deliveryTime": f"{delivery:%Y-%m-%dT%H:%M:%SZ}"} | self._delivery()

    def _day(self, now_ns: int) -> Bar:
        return self.scene.bar(self.symbol, now_ns - _DAY_NS, now_ns + 1, now_ns)

    def _best(self, book: Book) -> dict[str, str]:
        (bid, bid_size), (ask, ask_size) = self.levels((book.bids[0], book.asks[0]))
        return {"bid1Price": bid, "bid1Size": bid_size, "ask1Price": ask, "ask1Size": ask_size}

    def _statistics(self, day: Bar, book: Book, now_ns: int) -> dict[str, str]:
        # Nothing in the scene is marked, funded or open: these numbers are made up, of the size that real ones have.
        hour = self.scene.bar(self.symbol, now_ns - _HOUR_NS, now_ns + 1, now_ns)
        middle = (book.bids[0][0] + book.asks[0][0]) / 2
        worth = day.volume / middle if self.listing.inverse else day.volume * middle
        perpetual = self.listing.kind is Kind.PERPETUAL
        return {
            "lastPrice": self.price(day.close),
            "indexPrice": self.price(middle),
            "markPrice": self.price(middle),
            "prevPrice24h": self.price(day.open),
            "price24hPcnt": _change(day, 6),
            "highPrice24h": self.price(day.high),
            "lowPrice24h": self.price(day.low),
            "prevPrice1h": self.price(hour.open),
            "openInterest": self.size(day.volume),
            "openInterestValue": f"{worth:.2f}",
            "turnover24h": f"{day.counter:.4f}",
            "volume24h": f"{day.volume:.4f}",
            "fundingRate": "0.0001" if perpetual else "",
            "nextFundingTime": str((now_ns // _FUNDING_NS + 1) * _FUNDING_NS // NS_PER_MS) if perpetual else "",
            "fundingIntervalHour": "8" if perpetual else "",
            "fundingCap": "0.005" if perpetual else "",
        }

    def _delivery(self) -> dict[str, str]:
        return {
            "basisRate": "0",
            "deliveryFeeRate": "0.0005",
            "predictedDeliveryPrice": self.price(Decimal(0)),
            "basis": self.price(Decimal(0)),
        }

    def _directions(self, fills: Sequence[Fill]) -> list[str]:
        """Say of each trade whether its price is above or below the one before, or the last that differed from it."""
        first = fills[0].id
        start = max(1, first - _LOOK_BACK)
        earlier = self.scene.fills_from(self.symbol, start, first - start, fills[0].time_ns) if start < first else []
        before, up, told = None, True, []
        for fill in (*earlier, *fills):
            zero = before is None or fill.price == before
            up = up if before is None or zero else fill.price > before
            told.append(f"{'Zero' if zero else ''}{'Plus' if up else 'Minus'}Tick")
            before = fill.price
        return told[len(earlier) :]


def trimmed(amount: Decimal) -> str:
    """Write a number without trailing zeros."""
    return f"{amount.normalize():f}"


def _side(fill: Fill) -> str:
    return "Buy" if fill.taker_buys else "Sell"


def _change(day: Bar, digits: int) -> str:
    ratio = (day.close - day.open) / day.open
    return trimmed(ratio.quantize(Decimal(1).scaleb(-digits)) + 0)
