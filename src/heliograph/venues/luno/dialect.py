"""The server's half of Luno's market stream: what a simulated Luno hears and says on a socket.

Written from the documentation, and from nothing else in this folder, so that our codec meets a second reading of it.
What the documentation leaves open follows frames that others recorded on 2026-09-22 and published; it is said where.
One socket carries one pair; its book is told order by order. Any key is good, but `REVOKED`. That the venue also
served a client whose first message was `{}` (undocumented, recorded 2026-09-22) is not played: what works here is to
work with the documented contract. The stream of an account is not played either. The REST half is `dialect_rest`.

Each second takes `BUDGET` sequence numbers, whether or not so much changed, and each market order two or three more:
so the number at any instant follows from the instant, and a simulator that was started again goes on with it.

Source: https://www.luno.com/en/developers/api#tag/Streaming-API
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.venues.dialect import Ask, Manners, Reply
from heliograph.venues.scene import Aggregate, Fill, Level, Scene

_encode: Final = msgspec.json.Encoder().encode

STEP_NS: Final = NS_PER_S
"""The book changes on full seconds, and at every trade."""

LEVELS: Final = 10
"""Prices on each side of the book; at some stand two orders."""

BUDGET: Final = 8 * LEVELS
"""Sequence numbers a second: each of the old orders can be deleted, and each of the new created, on its own."""

KEEP_ALIVE: Final = b'""'
KEEP_ALIVE_STEPS: Final = 20
"""The venue sends a sign of life every 20 s where a pair is quiet (recorded 2026-09-22); here always."""

REVOKED: Final = "revoked"
"""The only key id that is refused."""

_PATH: Final = "/api/1/stream/"
_FIRST_SEQUENCE: Final = 4_530_000_000
_LETTERS: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
_RESTING_EVERY: Final = 8

# Pings every 13.5 s (recorded 2026-09-22); 50 sessions (documented). How often one may connect is not documented, only
# that one may be limited. That who shows no key is closed after 10 s (recorded 2026-09-22) is not played.
_MANNERS: Final = Manners(300, 60.0, ping_s=13.5, connections_max=50)


class Order(NamedTuple):
    """An order that rests in the book."""

    id: str
    side: str
    """BID or ASK."""
    price: Decimal
    volume: Decimal


class Stream(msgspec.Struct, frozen=True):
    """The stream of one pair; there is no other kind."""

    symbol: str

    @property
    def name(self) -> str:
        """The path that it is at, without the version."""
        return f"stream/{self.symbol}"

    @property
    def kind(self) -> str:
        """The same for all."""
        return "stream"

    @property
    def cadence_ns(self) -> int:
        """Time between two changes of the book, in the market's time."""
        return STEP_NS


class Session:
    """One client's socket.

    Args:
        dialect: what it is connected to.
        pair: which pair it asked for, whether or not there is such a pair.

    """

    combined = False

    def __init__(self, dialect: "Dialect", pair: str) -> None:
        self._dialect = dialect
        self._pair = pair
        self.streams: dict[str, Stream] = {}

    def hears(self, _stream: Stream) -> bool:
        """Say yes: who has shown a key is told everything."""
        return True

    def farewell(self, _now_ns: int) -> bytes | None:
        """Return nothing: no notice of a close is documented."""
        return None

    def greeting(self, _now_ns: int) -> tuple[bytes, ...]:
        """Return nothing: the client must start."""
        return ()

    def received(self, text: str, _now_ns: int = 0, _now_s: float = 0.0) -> Reply:
        """Take the credentials, and after them anything: a client sends signs of life, and there are no requests."""
        if self.streams:
            return Reply(())
        if not _is_key(text):
            # What is said to a key that is no longer good is not documented; this was recorded of a text without one.
            return _refusal("invalid_credentials", "you provided an invalid credentials message")
        if not self._dialect.lists(self._pair):
            return _refusal("invalid_market", self._pair)
        stream = Stream(self._pair)
        self.streams[stream.name] = stream
        return Reply(())


class Dialect:
    """What Luno says, given what happens at its market.

    Args:
        markets: what happens there; one market.

    """

    def __init__(self, markets: Mapping[MarketId, Scene]) -> None:
        self.markets = markets
        self.manners = _MANNERS
        ((self._market, self.scene),) = markets.items()

    def market_of(self, _symbol: str) -> MarketId:
        """Return the one market that there is."""
        return self._market

    def lists(self, pair: str) -> bool:
        """Say whether there is such a pair; its name is in upper case."""
        return pair in self.scene.listings

    def session(self, ask: Ask) -> Session | None:
        """Open a session; any name is taken for a pair's until the client has shown its key (recorded 2026-09-22)."""
        pair = ask.path.removeprefix(_PATH)
        return Session(self, pair) if pair and pair != ask.path and "/" not in pair else None

    def wrapped(self, _name: str, payload: bytes) -> bytes:
        """Return the frame as it is: nothing in it names the pair."""
        return payload

    def opening(self, stream: Stream, now_ns: int) -> list[bytes]:
        """Return the whole book, order by order, the best of each side first."""
        orders = self.orders(stream.symbol, now_ns)
        told = {
            side: [{"id": order.id, "price": text(order.price), "volume": text(order.volume)} for order in group]
            for side, group in orders.items()
        }
        book = {
            "sequence": str(self.sequence(stream.symbol, now_ns)),
            "asks": told["ASK"],
            "bids": told["BID"],
            "status": "ACTIVE",
            "timestamp": instant(now_ns) // NS_PER_MS,
        }
        return [_encode(book)]

    def frames(self, stream: Stream, from_ns: int, to_ns: int) -> list[bytes]:
        """Return the updates of the seconds after `from_ns`, up to and including `to_ns`, and signs of life."""
        told: list[bytes] = []
        for step in range(from_ns // STEP_NS + 1, to_ns // STEP_NS + 1):
            told += self._second(stream.symbol, (step - 1) * STEP_NS, step * STEP_NS)
            if step % KEEP_ALIVE_STEPS == 0:
                told.append(KEEP_ALIVE)
        return told

    def sequence(self, symbol: str, now_ns: int) -> int:
        """Return the number of the last update of the second that has ended by then."""
        until_ns = instant(now_ns)
        steps = (until_ns - instant(self.scene.listings[symbol].listed_ns)) // STEP_NS
        taken = self.scene.last_ids(symbol, until_ns)[0]
        return _FIRST_SEQUENCE + steps * BUDGET + 2 * taken + taken // _RESTING_EVERY

    def levels(self, symbol: str, now_ns: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Return bids and asks by price, as of the second that has ended by then."""
        book = self.scene.book(symbol, LEVELS, instant(now_ns))
        return book.bids, book.asks

    def orders(self, symbol: str, now_ns: int) -> dict[str, list[Order]]:
        """Return the orders that rest on each side, the best first; each keeps its id as long as its volume."""
        bids, asks = self.levels(symbol, now_ns)
        lot = self.scene.listings[symbol].lot_size
        sides = {"BID": bids, "ASK": asks}
        return {
            side: [order for level in sides[side] for order in _resting(symbol, side, level, lot)] for side in sides
        }

    def _second(self, symbol: str, from_ns: int, to_ns: int) -> list[bytes]:
        turn = _Turn(self.sequence(symbol, from_ns))
        book = {order.id: order for group in self.orders(symbol, from_ns).values() for order in group}
        fills = {fill.id: fill for fill in self.scene.fills(symbol, from_ns, to_ns)}
        lot = self.scene.listings[symbol].lot_size
        for taker in self.scene.aggregates(symbol, from_ns, to_ns):
            for order in _in_the_way(taker, book.values()):
                del book[order.id]
                turn.say(taker.time_ns, delete=order.id)
            turn.take(symbol, taker, [fills[number] for number in range(taker.first_fill, taker.last_fill + 1)], lot)
        after = {order.id: order for group in self.orders(symbol, to_ns).values() for order in group}
        for order in book.values():
            if order.id not in after:
                turn.say(to_ns, delete=order.id)
        for order in after.values():
            if order.id not in book:
                turn.say(to_ns, create=order)
        for _ in range(self.sequence(symbol, to_ns) - turn.sequence):
            # An update with nothing in it takes a number too (recorded 2026-09-22).
            turn.say(to_ns)
        return turn.frames


class _Turn:
    """The updates of one second, as they are made."""

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.frames: list[bytes] = []

    def say(
        self,
        time_ns: int,
        trades: tuple[dict[str, object], ...] = (),
        create: Order | None = None,
        delete: str | None = None,
        status: str | None = None,
    ) -> None:
        self.sequence += 1
        update = {
            "sequence": str(self.sequence),
            "trade_updates": trades,
            "create_update": None if create is None else _created(create),
            "delete_update": None if delete is None else {"order_id": delete},
            "status_update": None if status is None else {"status": status},
            "timestamp": time_ns // NS_PER_MS,
        }
        self.frames.append(_encode(update))

    def take(self, symbol: str, taker: Aggregate, fills: list[Fill], lot: Decimal) -> None:
        """Tell of an order that meets one which has just come, at its price: that is the best of its side by now.

        It fills it; or, as every eighth does, all but a lot of it, which is stopped at the same time; or, as every
        eighth does too, it is bigger, and what is left of it rests until it is stopped.
        """
        rests, leaves = taker.id % _RESTING_EVERY == 0, taker.id % _RESTING_EVERY == _RESTING_EVERY // 2
        sides = ("BID", "ASK") if taker.taker_buys else ("ASK", "BID")
        taker_id, maker_id = (order_id(symbol, who, taker.id) for who in ("taker", "maker"))
        volume = taker.quantity + lot if leaves else taker.quantity
        self.say(taker.time_ns, create=Order(maker_id, sides[1], taker.price, volume))
        trades = tuple(
            {
                "sequence": fill.id,
                "base": text(fill.quantity),
                "counter": text(fill.counter),
                "maker_order_id": maker_id,
                "taker_order_id": taker_id,
                "order_id": maker_id,
            }
            for fill in fills
        )
        if rests:
            self.say(taker.time_ns, trades, create=Order(taker_id, sides[0], taker.price, lot))
            self.say(taker.time_ns, delete=taker_id)
        elif leaves:
            self.say(taker.time_ns, trades, delete=maker_id, status="ACTIVE")
        else:
            self.say(taker.time_ns, trades)


def code(coin: str) -> str:
    """Return what Luno calls a coin.

    Source: https://www.luno.com/en/developers/api#tag/Currency
    """
    return "XBT" if coin == "BTC" else coin


def instant(now_ns: int) -> int:
    """Return the full second that an instant is in."""
    return now_ns // STEP_NS * STEP_NS


def text(number: Decimal, places_min: int = 2) -> str:
    """Write a number without zeros at its end beyond so many decimals, as the venue does."""
    trimmed = number.normalize()
    exponent = trimmed.as_tuple().exponent
    assert isinstance(exponent, int)  # Numbers of a scene are finite.
    return f"{trimmed:.{max(places_min, -exponent)}f}"


def order_id(*what: object) -> str:
    """Return an id that looks like the venue's, and is the same for the same order."""
    number = int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=8).digest(), "big")
    letters = []
    for _ in range(13):
        number, index = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[index])
    return "BX" + "".join(letters)


def _resting(symbol: str, side: str, level: Level, lot: Decimal) -> Iterator[Order]:
    price, volume = level
    first = order_id(symbol, side, price, volume, 1)
    if volume > lot and int(price / lot) % 4 == 0:
        yield Order(first, side, price, volume - lot)
        yield Order(order_id(symbol, side, price, volume, 2), side, price, lot)
    else:
        yield Order(first, side, price, volume)


def _in_the_way(taker: Aggregate, orders: Iterable[Order]) -> list[Order]:
    """Return the orders that must have gone before a trade at that price, or what is left of it, is possible."""
    sign = 1 if taker.taker_buys else -1
    near = "ASK" if taker.taker_buys else "BID"
    rests = taker.id % _RESTING_EVERY == 0
    found = []
    for order in orders:
        beyond = (order.price - taker.price) * sign  # How much worse than the trade's price, for the taker.
        if (beyond < 0 or (rests and beyond == 0)) if order.side == near else beyond >= 0:
            found.append(order)
    return found


def _created(order: Order) -> dict[str, str]:
    return {"order_id": order.id, "type": order.side, "price": text(order.price), "volume": text(order.volume)}


def _is_key(message: str) -> bool:
    try:
        told = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeError):
        return False
    parts = [told.get(name) for name in ("api_key_id", "api_key_secret")] if isinstance(told, dict) else []
    return bool(parts) and all(isinstance(part, str) and part for part in parts) and parts[0] != REVOKED


def _refusal(code: str, why: str) -> Reply:
    return Reply((_encode({"error_code": code, "error": why}),), 1000)
