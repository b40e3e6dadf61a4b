r"""A venue's codec, played a script: one line a step, the first line says at which door.

::

    spot socket 0          the feed of the market's first connection (`any`: one that was planned by nobody)
    = {"e":"kline",…}      a frame, a batch of its own
    + {"e":"trade",…}      a frame, in the batch of the one before
    t 1500                 so many milliseconds pass, and the clock ticks
    p candles              somebody asks for a page: candles or trades
    r [[…]]                the answer to the oldest request that is open
    x timed out            that request fails for good
    c 1                    only the first so many subscriptions are wanted from now on

Other doors take what follows as one payload: `spot instruments`, `spot answer /api/v3/klines?symbol=BTCUSDT`,
`spot error 400`, `spot name`.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

from fuzz.judgement import judge_effect, judge_error, judge_event, judge_instrument, judge_request
from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.errors import ConfigError, DecodeError
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.model.symbol import Symbol
from heliograph.testing.stage import START_NS, Stage
from heliograph.venues.contract import (
    CandlePage,
    Connection,
    Effect,
    Fetch,
    Market,
    Request,
    Subscription,
    TradePage,
    Venue,
)

INSTRUMENTS_MAX: Final = 50
STEPS_MAX: Final = 400
OPEN_MAX: Final = 200
"""Requests of one feed that are open at once; beyond this it asks without end."""
STEP_NS: Final = 50 * NS_PER_MS
TICK_MS_MAX: Final = 100_000_000
_DIGITS: Final = tuple("0123456789")
SPARE_OUT: Final = 2000
"""Events and effects beside those that its bytes account for: a book's levels are given up by the instrument."""


class Play:
    """One venue's codec, and a stage with what is true there.

    Args:
        venue: the venue.

    """

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self._connections: dict[MarketId, tuple[Connection, ...]] = {}
        self._instruments: dict[MarketId, tuple[Instrument, ...]] = {}

    @cached_property
    def stage(self) -> Stage:
        """The venue on a stage of its own, which takes half a second to set up."""
        return Stage(self.venue)

    def instruments(self, market: Market) -> tuple[Instrument, ...]:
        """Return what the market's subscriptions are of."""
        if market.market not in self._instruments:
            self._instruments[market.market] = tuple(self.stage.listed(market)[:2])
        return self._instruments[market.market]

    def connections(self, market: Market) -> tuple[Connection, ...]:
        """Return the connections that all channels of a market's instruments are planned on."""
        if market.market not in self._connections:
            wanted = [
                Subscription(channel, instrument, Interval.M1 if channel is Channel.CANDLES else None)
                for channel in market.channels
                for instrument in self.instruments(market)
            ]
            self._connections[market.market] = tuple(market.plan(wanted, INSTRUMENTS_MAX))
        return self._connections[market.market]

    def page(self, market: Market, what: str) -> Request | None:
        """Return a request as the house makes it, which is not the feed's own."""
        instrument = self.instruments(market)[0]
        if what == "candles":
            from_ns = Interval.M1.open_of(START_NS) - 30 * 60 * NS_PER_S
            return market.candle_request(CandlePage(instrument, Interval.M1, from_ns, None))
        if what == "trades" and market.trade_request is not None:
            return market.trade_request(TradePage(instrument, 1, 50))
        return None

    def __call__(self, data: bytes) -> bool:
        """Play a script; return False where it is none.

        Raises:
            AssertionError, or anything else: the codec does not hold what it promises.

        """
        head, _, rest = data.partition(b"\n")
        words = head.decode("utf-8", "replace").split(" ", 2)
        market = next((m for m in self.venue.markets.values() if m.market == words[0]), None)
        if market is None or len(words) < 2:
            return False
        argument = words[2] if len(words) > 2 else ""
        if words[1] == "socket":
            return self._socket(market, argument, rest)
        door = _DOORS.get(words[1])
        if door is None:
            return False
        door(self.venue, market, argument, rest)
        return True

    def _socket(self, market: Market, argument: str, script: bytes) -> bool:
        if argument == "any":
            connection = Connection("", (), sequenced=False)
        elif argument in _DIGITS and int(argument) < len(self.connections(market)):
            connection = self.connections(market)[int(argument)]
        else:
            return False
        _Socket(self, market, connection).run(script.split(b"\n")[:STEPS_MAX])
        return True


class _Socket:
    """A feed, and what it was told and said so far."""

    def __init__(self, its_play: Play, market: Market, connection: Connection) -> None:
        self._play = its_play
        self._market = market
        self._connection = connection
        self._feed = market.feed(connection)
        self._now_ns = START_NS
        self._open: list[Request] = []
        self._out = 0
        self._in = 0

    def run(self, steps: Sequence[bytes]) -> None:
        """Play the steps one after the other."""
        self._call(lambda _events, effects: self._feed.opened(self._now_ns, effects))
        batch: list[bytes] = []
        for step in steps:
            self._now_ns += STEP_NS
            op, payload = step[:2], step[2:]
            if op == b"+ ":
                batch.append(payload)
                continue
            self._hear(batch)
            batch = [payload] if op == b"= " else []
            if op != b"= ":
                self._act(op, payload)
        self._hear(batch)
        self._feed.book_counters()

    def _hear(self, batch: list[bytes]) -> None:
        if batch:
            self._in += sum(map(len, batch))
            self._call(lambda events, effects: self._feed.decode(batch, self._now_ns, events, effects), len(batch))

    def _act(self, op: bytes, payload: bytes) -> None:
        text = payload.decode("utf-8", "replace")
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
        if op == b"t ":
            self._now_ns += min(number, TICK_MS_MAX) * NS_PER_MS
            self._call(lambda _events, effects: self._feed.ticked(self._now_ns, effects))
        elif op == b"p ":
            request = self._play.page(self._market, text)
            if request is not None:
                self._open.append(request)
        elif op == b"c ":
            wanted = self._connection.subscriptions[:number]
            self._call(lambda _events, effects: self._feed.change(wanted, effects))
        elif op == b"r " and self._open:
            self._in += len(payload)
            asked = self._open.pop(0)
            self._call(lambda events, effects: self._feed.fetched(asked, payload, self._now_ns, events, effects))
        elif op == b"x " and self._open:
            asked = self._open.pop(0)
            self._call(lambda _events, effects: self._feed.failed(asked, text[:200], self._now_ns, effects))

    def _call(self, step: Callable[[list[VenueEvent], list[Effect]], None], frames: int = 0) -> None:
        events: list[VenueEvent] = []
        effects: list[Effect] = []
        step(events, effects)
        for event in events:
            assert event.instrument.market == self._market.market, f"{event.instrument.id} at {self._market.market}"
            judge_event(event)
        for effect in effects:
            judge_effect(effect, frames)
            if isinstance(effect, Fetch):
                self._open.append(effect.request)
        self._out += len(events) + len(effects)
        assert len(self._open) <= OPEN_MAX, f"{len(self._open)} requests are open"
        assert self._out <= SPARE_OUT + self._in, f"{self._out} events and effects out of {self._in} bytes"


def _instruments(_venue: Venue, market: Market, _argument: str, body: bytes) -> None:
    try:
        listed = market.parse_instruments(body)
        request = market.instruments_request()
        follows = None if market.next_instruments is None else market.next_instruments(request, body)
    except DecodeError as e:
        str(e).encode()
        return
    for instrument in listed:
        assert instrument.market == market.market
        judge_instrument(instrument)
    assert len(listed) <= len(body)
    if follows is not None:
        judge_request(follows)


def _answer(_venue: Venue, market: Market, argument: str, body: bytes) -> None:
    try:
        events = market.read_answer(argument, body, START_NS)
    except DecodeError as e:
        str(e).encode()
        return
    assert len(events) <= len(body)
    for event in events:
        if isinstance(event, Instrument):
            judge_instrument(event)
        else:
            judge_event(event)


def _error(_venue: Venue, market: Market, argument: str, body: bytes) -> None:
    status = int(argument) if argument.isascii() and argument.isdigit() and len(argument) == 3 else 400
    judge_error(market.parse_error(status, body))


def _name(venue: Venue, market: Market, _argument: str, body: bytes) -> None:
    text = body.decode("utf-8", "replace")
    venue.market_of(text, body)
    if venue.market_of_symbol is not None:
        venue.market_of_symbol(text)
    symbol = Symbol.parse(text)
    if symbol is not None and market.spell is not None:
        market.spell(symbol)
    try:
        instrument = market.instrument(text)
    except ConfigError as e:
        str(e).encode()
        return
    judge_instrument(instrument)


_DOORS: Final[dict[str, Callable[[Venue, Market, str, bytes], None]]] = {
    "instruments": _instruments,
    "answer": _answer,
    "error": _error,
    "name": _name,
}
