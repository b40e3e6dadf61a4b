"""What a simulated Gate.io tells of its perpetual contracts: sizes in contracts, and what is sold is negative.

Written from the documentation and from recorded frames, and from nothing else in this folder but the dialect.

Source: https://www.gate.com/docs/developers/futures/ws/en/
Source: https://www.gate.com/docs/developers/apiv4/en/#futures
"""

from collections.abc import Iterable
from decimal import Decimal
from itertools import groupby

from heliograph.clock import NS_PER_S
from heliograph.venues.gateio.dialect_words import day_of, ms, percentage, plain, seconds, sized
from heliograph.venues.scene import Bar, Book, BookChange, Fill, Level, Scene

_FUNDING_S = 28_800


class Board:
    """What there is to tell of the contracts that are settled in one currency.

    Args:
        scene: what happens there.

    """

    app = "futures"

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def candle(self, _symbol: str, name: str, bar: Bar, *, closed: bool, exact: bool) -> dict[str, object]:
        """Render a bar for a socket: `v` in contracts, `a` in the currency of settlement, and the time a number.

        That `a` is in the currency of settlement where that is bitcoin is not documented.
        """
        return {
            "t": bar.open_ns // NS_PER_S,
            "c": plain(bar.close),
            "h": plain(bar.high),
            "l": plain(bar.low),
            "o": plain(bar.open),
            "a": plain(bar.counter),
            "n": name,
            "w": closed,
            "v": sized(bar.volume, exact=exact),
        }

    def candles(self, rendered: list[dict[str, object]]) -> list[object]:
        """Put them all into one frame."""
        return [rendered] if rendered else []

    def trades(self, symbol: str, fills: list[Fill], *, exact: bool) -> list[object]:
        """Render the fills of one instant for one frame. Here, `create_time_ms` is in milliseconds."""
        return [
            [
                {
                    "id": fill.id,
                    "size": _signed(fill, exact=exact),
                    "create_time": fill.time_ns // NS_PER_S,
                    "create_time_ms": ms(fill.time_ns),
                    "price": plain(fill.price),
                    "contract": symbol,
                }
                for fill in together
            ]
            for _, together in groupby(fills, key=lambda fill: fill.time_ns)
        ]

    def ticker(self, symbol: str, now_ns: int, *, exact: bool) -> object:
        """Render the last day for a socket, where it has no best prices but times of funding."""
        row = self.ticker_row(symbol, now_ns, exact=exact)
        for name in ("highest_bid", "highest_size", "lowest_ask", "lowest_size", "quanto_multiplier"):
            del row[name]
        row |= {"funding_interval": _FUNDING_S, "funding_offset": 0, "funding_next_apply": _next_funding(now_ns)}
        return [row | {"t": ms(now_ns)}]

    def top(self, symbol: str, book: Book, *, exact: bool) -> dict[str, object]:
        """Render the best bid and ask."""
        (bid, bid_size), (ask, ask_size) = book.bids[0], book.asks[0]
        head: dict[str, object] = {"t": ms(book.time_ns), "u": book.update_id, "s": symbol}
        head |= {"b": plain(bid), "B": sized(bid_size, exact=exact)}
        return head | {"a": plain(ask), "A": sized(ask_size, exact=exact)}

    def changed(self, symbol: str, change: BookChange, levels: int, *, exact: bool) -> dict[str, object]:
        """Render the changed levels among the best ones of a book."""
        return {
            "t": ms(change.time_ns),
            "U": change.previous_id + 1,
            "u": change.last_id,
            "s": symbol,
            "a": _objects(change.asks, exact=exact),
            "b": _objects(change.bids, exact=exact),
            "l": str(levels),
        }

    def whole(self, symbol: str, book: Book, levels: int, *, exact: bool) -> dict[str, object]:
        """Render the best levels of a book for a socket."""
        head: dict[str, object] = {"t": ms(book.time_ns), "id": book.update_id, "contract": symbol}
        sides = {"asks": _objects(book.asks, exact=exact), "bids": _objects(book.bids, exact=exact)}
        return head | sides | {"l": str(levels)}

    def candle_row(self, symbol: str, bar: Bar, *, closed: bool, exact: bool) -> object:
        """Render a bar for REST, which does not say whether it is closed; `sum` is documented as in quote currency."""
        _, quote, _ = self.scene.listings[symbol].volumes(bar)
        return {
            "o": plain(bar.open),
            "v": sized(bar.volume, exact=exact),
            "t": bar.open_ns // NS_PER_S,
            "c": plain(bar.close),
            "l": plain(bar.low),
            "h": plain(bar.high),
            "sum": plain(quote),
        }

    def trade_row(self, symbol: str, fill: Fill, *, exact: bool) -> dict[str, object]:
        """Render a fill for REST, where `create_time_ms` is in seconds all the same (undocumented, seen 2026-09-25)."""
        time_s = seconds(fill.time_ns)
        return {
            "id": fill.id,
            "contract": symbol,
            "create_time": time_s,
            "create_time_ms": time_s,
            "size": _signed(fill, exact=exact),
            "price": plain(fill.price),
        }

    def ticker_row(self, symbol: str, now_ns: int, *, exact: bool) -> dict[str, object]:
        """Render the last day for REST. Volumes in quote and settlement currency are whole numbers, as recorded."""
        listing, day = self.scene.listings[symbol], day_of(self.scene, symbol, now_ns)
        book = self.scene.book(symbol, 1, now_ns)
        (bid, bid_size), (ask, ask_size) = book.bids[0], book.asks[0]
        base, quote, _ = listing.volumes(day)
        last = f"{day.close:f}"
        return {
            "contract": symbol,
            "last": last,
            "change_percentage": percentage(day, 4),
            "total_size": str(sized(day.volume * 2, exact=exact)),
            "volume_24h": str(sized(day.volume, exact=exact)),
            "volume_24h_base": plain(base),
            "volume_24h_quote": str(int(quote)),
            "volume_24h_settle": plain(base) if listing.inverse else str(int(quote)),
            "mark_price": last,
            "funding_rate": "0.0001",
            "funding_rate_indicative": "0.0001",
            "index_price": last,
            "quanto_base_rate": "",
            "low_24h": f"{day.low:f}",
            "high_24h": f"{day.high:f}",
            "price_type": "last",
            "change_from": "24h",
            "change_price": f"{day.close - day.open:f}",
            "highest_bid": plain(bid),
            "highest_size": str(sized(bid_size, exact=exact)),
            "lowest_ask": plain(ask),
            "lowest_size": str(sized(ask_size, exact=exact)),
            "quanto_multiplier": self._multiplier(symbol),
        }

    def book_answer(self, book: Book, now_ns: int, *, with_id: bool, exact: bool) -> dict[str, object]:
        """Render a book for REST: times in seconds, and the id only where it was asked for."""
        head: dict[str, object] = {"id": book.update_id} if with_id else {}
        head |= {"current": seconds(now_ns), "update": seconds(book.time_ns)}
        return head | {"asks": _objects(book.asks, exact=exact), "bids": _objects(book.bids, exact=exact)}

    def _multiplier(self, symbol: str) -> str:
        listing = self.scene.listings[symbol]
        return "0" if listing.inverse or listing.contract_size is None else plain(listing.contract_size)

    def rules(self, symbol: str, now_ns: int, *, exact: bool) -> dict[str, object]:
        """Render a contract. An inverse one is worth a dollar, and its multiplier is 0."""
        listing = self.scene.listings[symbol]
        last = plain(self.scene.bar(symbol, now_ns, now_ns + 1, now_ns).close)
        created_s = listing.listed_ns // NS_PER_S
        texts = {
            "mark_price_round": "0.01", "risk_limit_base": "500000", "interest_rate": "0.0003", "index_price": last,
            "order_price_round": plain(listing.tick_size), "ref_rebate_rate": "0.2", "name": symbol,
            "ref_discount_rate": "0", "order_price_deviate": "0.03", "maintenance_rate": "0.003",
            "mark_type": "index", "type": "inverse" if listing.inverse else "direct",
            "risk_limit_step": "1499500000", "leverage_min": "1", "last_price": last, "mark_price": last,
            "funding_rate": "0.0001", "funding_rate_indicative": "0.0001",
            "quanto_multiplier": self._multiplier(symbol), "funding_impact_value": "30000", "leverage_max": "200",
            "cross_leverage_default": "10", "risk_limit_max": "1500000000", "maker_fee_rate": "-0.0001",
            "taker_fee_rate": "0.00075", "funding_cap_ratio": "0.75", "voucher_leverage": "2", "status": "trading",
            "funding_rate_limit": "0.003", "market_order_slip_ratio": "0.01", "market_order_size_max": "10000000",
            "contract_type": "",
        }  # fmt: skip
        numbers = {
            "funding_offset": 0, "funding_interval": _FUNDING_S, "funding_next_apply": _next_funding(now_ns),
            "short_users": 1, "long_users": 1, "config_change_time": created_s, "create_time": created_s,
            "launch_time": created_s, "trade_size": 0, "position_size": 0, "orders_limit": 100,
            "trade_id": self.scene.last_ids(symbol, now_ns)[1],
            "orderbook_id": self.scene.book(symbol, 1, now_ns).update_id,
        }  # fmt: skip
        switches = {
            "in_delisting": False, "enable_bonus": True, "enable_credit": True, "is_pre_market": False,
            "enable_circuit_breaker": False, "enable_decimal": listing.lot_size < 1,
        }  # fmt: skip
        sizes = {
            "order_size_min": sized(listing.lot_size, exact=exact),
            "order_size_max": sized(Decimal(12_000_000), exact=exact),
        }
        return {**texts, **numbers, **switches, **sizes}


def _objects(levels: Iterable[Level], *, exact: bool) -> list[dict[str, object]]:
    return [{"p": plain(price), "s": sized(size, exact=exact)} for price, size in levels]


def _signed(fill: Fill, *, exact: bool) -> str | int:
    return sized(fill.quantity if fill.taker_buys else -fill.quantity, exact=exact)


def _next_funding(now_ns: int) -> int:
    return (now_ns // NS_PER_S // _FUNDING_S + 1) * _FUNDING_S
