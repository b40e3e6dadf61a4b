"""What a simulated Gate.io tells of its spot market: amounts in base currency, all numbers as text.

Written from the documentation and from recorded frames, and from nothing else in this folder but the dialect.

Source: https://www.gate.com/docs/developers/apiv4/ws/en/
Source: https://www.gate.com/docs/developers/apiv4/en/#spot
"""

from decimal import Decimal

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.venues.gateio.dialect_words import DAY_NS, day_of, ms, percentage, plain
from heliograph.venues.scene import Bar, Book, BookChange, Fill, Level, Listing, Scene


class Board:
    """What there is to tell of the spot market.

    Args:
        scene: what happens there.

    """

    app = "spot"

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def candle(self, _symbol: str, name: str, bar: Bar, *, closed: bool, exact: bool) -> dict[str, object]:
        """Render a bar for a socket: `v` is in quote and `a` in base currency, and the time is text."""
        return {
            "t": str(bar.open_ns // NS_PER_S),
            "v": plain(bar.counter),
            "c": plain(bar.close),
            "h": plain(bar.high),
            "l": plain(bar.low),
            "o": plain(bar.open),
            "n": name,
            "a": plain(bar.volume),
            "w": closed,
        }

    def candles(self, rendered: list[dict[str, object]]) -> list[object]:
        """Return them as they are: a frame has one."""
        return list(rendered)

    def trades(self, symbol: str, fills: list[Fill], *, exact: bool) -> list[object]:
        """Render each fill for a frame of its own. `trade_mode` is undocumented, seen 2026-09-25."""
        return [
            {
                "id": fill.id,
                "id_market": fill.id,
                "create_time": fill.time_ns // NS_PER_S,
                "create_time_ms": _fraction_ms(fill.time_ns),
                "side": _side(fill),
                "currency_pair": symbol,
                "amount": plain(fill.quantity),
                "price": plain(fill.price),
                "range": f"{fill.id}-{fill.id}",
                "trade_mode": 0,
            }
            for fill in fills
        ]

    def ticker(self, symbol: str, now_ns: int, *, exact: bool) -> object:
        """Render the last day for a socket."""
        row = self.ticker_row(symbol, now_ns, exact=exact)
        return {
            name: row[name]
            for name in (
                "currency_pair", "last", "lowest_ask", "highest_bid", "change_percentage", "base_volume",
                "quote_volume", "high_24h", "low_24h"
            )
        }  # fmt: skip

    def top(self, symbol: str, book: Book, *, exact: bool) -> dict[str, object]:
        """Render the best bid and ask."""
        (bid, bid_size), (ask, ask_size) = book.bids[0], book.asks[0]
        head: dict[str, object] = {"t": ms(book.time_ns), "u": book.update_id, "s": symbol}
        return head | {"b": plain(bid), "B": plain(bid_size), "a": plain(ask), "A": plain(ask_size)}

    def changed(self, symbol: str, change: BookChange, _levels: int, *, exact: bool) -> dict[str, object]:
        """Render the changed levels of a book, of all that there are."""
        return {
            "t": ms(change.time_ns),
            "e": "depthUpdate",
            "E": change.time_ns // NS_PER_S,
            "s": symbol,
            "U": change.previous_id + 1,
            "u": change.last_id,
            "b": pairs(change.bids),
            "a": pairs(change.asks),
        }

    def whole(self, symbol: str, book: Book, levels: int, *, exact: bool) -> dict[str, object]:
        """Render the best levels of a book for a socket. `l` is undocumented, seen 2026-09-25."""
        head: dict[str, object] = {"t": ms(book.time_ns), "lastUpdateId": book.update_id, "s": symbol, "l": str(levels)}
        return head | {"bids": pairs(book.bids), "asks": pairs(book.asks)}

    def candle_row(self, _symbol: str, bar: Bar, *, closed: bool, exact: bool) -> object:
        """Render a bar for REST: close before high and low, and open after them."""
        return (
            str(bar.open_ns // NS_PER_S),
            _padded(bar.counter),
            plain(bar.close),
            plain(bar.high),
            plain(bar.low),
            plain(bar.open),
            _padded(bar.volume),
            "true" if closed else "false",
        )

    def trade_row(self, symbol: str, fill: Fill, *, exact: bool) -> dict[str, object]:
        """Render a fill for REST."""
        return {
            "id": str(fill.id),
            "create_time": str(fill.time_ns // NS_PER_S),
            "create_time_ms": _fraction_ms(fill.time_ns),
            "currency_pair": symbol,
            "side": _side(fill),
            "amount": plain(fill.quantity),
            "price": plain(fill.price),
            "sequence_id": str(fill.id),
        }

    def ticker_row(self, symbol: str, now_ns: int, *, exact: bool) -> dict[str, object]:
        """Render the last day for REST."""
        day, book = day_of(self.scene, symbol, now_ns), self.scene.book(symbol, 1, now_ns)
        midnight_ns = now_ns // DAY_NS * DAY_NS
        today = self.scene.bar(symbol, midnight_ns, now_ns + 1, now_ns)
        (bid, bid_size), (ask, ask_size) = book.bids[0], book.asks[0]
        return {
            "currency_pair": symbol,
            "last": plain(day.close),
            "lowest_ask": plain(ask),
            "lowest_size": plain(ask_size),
            "highest_bid": plain(bid),
            "highest_size": plain(bid_size),
            "change_percentage": percentage(day, 4),
            "change_utc0": percentage(today, 4),
            "base_volume": plain(day.volume),
            "quote_volume": plain(day.counter),
            "high_24h": plain(day.high),
            "low_24h": plain(day.low),
        }

    def book_answer(self, book: Book, now_ns: int, *, with_id: bool, exact: bool) -> dict[str, object]:
        """Render a book for REST: times in milliseconds, and the id only where it was asked for."""
        head: dict[str, object] = {"id": book.update_id} if with_id else {}
        times = {"current": ms(now_ns), "update": ms(book.time_ns)}
        return head | times | {"asks": pairs(book.asks), "bids": pairs(book.bids)}

    def rules(self, symbol: str, _now_ns: int, *, exact: bool) -> dict[str, object]:
        """Render a pair. Precisions are counts of decimals; the least amount is more than one step of it."""
        listing = self.scene.listings[symbol]
        return {
            "id": symbol,
            "base": listing.base,
            "base_name": listing.base,
            "quote": listing.quote,
            "quote_name": "Tether" if listing.quote == "USDT" else listing.quote,
            "trade_quotes": [],
            "fee": "0.2",
            "min_base_amount": plain(listing.lot_size * 10),
            "min_quote_amount": "3",
            "max_base_amount": plain(listing.lot_size * 10**8),
            "max_quote_amount": "5000000",
            "amount_precision": _decimals(listing.lot_size),
            "precision": _decimals(listing.tick_size),
            "trade_status": "tradable",
            "sell_start": 0,
            "buy_start": 0,
            "type": "normal",
            "trade_url": f"https://www.gate.com/trade/{symbol}",
            "st_tag": False,
            "up_rate": "0.08",
            "down_rate": "0.08",
            "slippage": "0.03",
            "market_order_max_stock": plain(listing.lot_size * 10**7),
            "market_order_max_money": "5000000",
        }


def currency(listing: Listing) -> dict[str, object]:
    """Render the base currency of a pair."""
    states = ("delisted", "withdraw_disabled", "withdraw_delayed", "deposit_disabled", "trade_disabled")
    head: dict[str, object] = {"currency": listing.base, "name": listing.base}
    chain = {"name": listing.base, "addr": "", "withdraw_disabled": False}
    chain |= {"withdraw_delayed": False, "deposit_disabled": False}
    return head | dict.fromkeys(states, False) | {"chain": listing.base, "chains": [chain]}


def pairs(levels: list[Level] | tuple[Level, ...]) -> list[tuple[str, str]]:
    """Render levels as pairs of price and amount."""
    return [(plain(price), plain(size)) for price, size in levels]


def _side(fill: Fill) -> str:
    return "buy" if fill.taker_buys else "sell"


def _fraction_ms(instant_ns: int) -> str:
    return f"{instant_ns // NS_PER_MS}.{instant_ns % NS_PER_MS:06d}"


def _padded(amount: Decimal) -> str:
    return f"{amount:.8f}"


def _decimals(step: Decimal) -> int:
    return len(plain(step).partition(".")[2])
