"""What gateways ask for on `feed:demand`, as the subscriptions that a feed is to have."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from heliograph.bus import keys
from heliograph.bus.endpoint import Endpoint, parse_url
from heliograph.bus.opening import open_reader
from heliograph.bus.routes import Routes
from heliograph.clock import NS_PER_MS, Clock
from heliograph.errors import BusError, ConfigError, DecodeError
from heliograph.model import demand
from heliograph.model.demand import Demand
from heliograph.model.instrument import MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Market, Subscription, Venue

log = structlog.get_logger()

LEASE_S_MAX: Final = 300.0
"""The longest that one demand can last, whatever it says."""
DEMANDS_MAX: Final = 10_000
"""Demands (gateways times markets times parts) that are remembered."""
LOOK_EVERY_S: Final = 1.0
TOLD_S: Final = 30.0
"""How long what a feed was started for is wanted of the others after it was last told."""
TELL_EVERY_S: Final = 10.0
RETRY_S: Final = 1.0
MAXLEN: Final = 10_000

_Slot = tuple[str, VenueId, MarketId, Channel, Interval | None, int]


class Table:
    """Who wants what, and until when. Pure: the time is passed in.

    Args:
        venues: what may be asked for; the rest is refused.

    """

    def __init__(self, venues: Mapping[VenueId, Venue]) -> None:
        self._venues = venues
        self._slots: dict[_Slot, tuple[int, tuple[Subscription, ...]]] = {}

    def take(self, wish: Demand, now_ms: int) -> None:
        """Take one entry.

        Raises:
            ConfigError: it asks for a market, channel or symbol that there is not, or there are too many demands.

        """
        slot = (wish.gateway, wish.exchange, wish.market, wish.channel, wish.interval, wish.part)
        until_ms = min(wish.until_ms, now_ms + int(LEASE_S_MAX * 1000))
        if not wish.symbols or until_ms <= now_ms:
            self._slots.pop(slot, None)
            return
        if slot not in self._slots and len(self._slots) >= DEMANDS_MAX:
            raise ConfigError(f"more than {DEMANDS_MAX} demands")
        market = self._market(wish)
        wanted = tuple(Subscription(wish.channel, market.instrument(symbol), wish.interval) for symbol in wish.symbols)
        self._slots[slot] = (until_ms, wanted)

    def _market(self, wish: Demand) -> Market:
        venue = self._venues.get(wish.exchange)
        market = None if venue is None else venue.markets.get(wish.market)
        if market is None:
            raise ConfigError(f"a demand for the unknown market {wish.exchange}:{wish.market}")
        if wish.channel not in market.channels or (wish.interval is not None and wish.interval not in market.streamed):
            raise ConfigError(
                f"a demand for what {wish.exchange}:{wish.market} has not: {wish.channel} {wish.interval}"
            )
        return market

    def wanted(self, now_ms: int) -> dict[Subscription, None]:
        """Return what is wanted at this moment, and forget what no longer is."""
        self._slots = {slot: value for slot, value in self._slots.items() if value[0] > now_ms}
        return {subscription: None for _, some in self._slots.values() for subscription in some}


class DemandTail:
    """Follows `feed:demand`, and says what to begin and what to end.

    Args:
        url: the server.
        venues: what may be asked for.
        clock: the time of day, which must agree with the gateways' within their leases.
        change: called with the subscriptions to begin, and those to end.
        own: under which name we ask for something ourselves, which is passed over.

    """

    def __init__(
        self,
        url: str | Endpoint,
        venues: Mapping[VenueId, Venue],
        clock: Clock,
        change: Callable[[Sequence[Subscription], Sequence[Subscription]], None],
        own: str = "",
    ) -> None:
        self._url = url
        self._own = own
        self._table = Table(venues)
        self._clock = clock
        self._change = change
        self._present: dict[Subscription, None] = {}

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            BusError: the server is away at the start, or refuses us for good.

        """
        now_ms = self._clock.now_ns() // NS_PER_MS
        position = {keys.FEED_DEMAND: f"{now_ms - int(LEASE_S_MAX * 1000)}-0"}
        async with open_reader(self._url, position, name="heliograph-demand") as reader, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look())
            async for batch in reader.batches():
                for entry in batch:
                    self._take(entry.data)
                self._settle()

    def _take(self, data: bytes) -> None:
        try:
            wish = demand.decode(data)
            if wish.gateway != self._own:
                self._table.take(wish, self._clock.now_ns() // NS_PER_MS)
        except (DecodeError, ConfigError) as e:
            log.warning("demand refused", error=str(e))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._settle()

    def _settle(self) -> None:
        wanted = self._table.wanted(self._clock.now_ns() // NS_PER_MS)
        begun = [s for s in wanted if s not in self._present]
        ended = [s for s in self._present if s not in wanted]
        self._present = wanted
        if begun or ended:
            self._change(begun, ended)


class DemandTeller:
    """Asks the other feeds for what this one was started for: what of it is not its own part is one of theirs.

    Args:
        url: the server.
        name: our own name, unique among feeds and gateways.
        clock: the time of day.
        wanted: what we were started for.

    """

    def __init__(self, url: str | Endpoint, name: str, clock: Clock, wanted: Iterable[Subscription]) -> None:
        self._endpoint = parse_url(url) if isinstance(url, str) else url
        self._name = name
        self._clock = clock
        self._wanted = tuple(wanted)

    async def run(self) -> None:
        """Ask, and ask again before it is forgotten, until cancelled."""
        while self._wanted:
            try:
                async with Routes(self._endpoint, name=self._name) as routes:
                    while True:
                        until_ms = self._clock.now_ns() // NS_PER_MS + int(TOLD_S * 1000)
                        for wish in to_demands(self._name, self._wanted, until_ms):
                            key, data = keys.FEED_DEMAND, demand.encode(wish)
                            await routes.request(key, "XADD", key, "MAXLEN", "~", MAXLEN, "*", "data", data)
                        await asyncio.sleep(TELL_EVERY_S)
            except BusError as e:
                log.warning("wishes not told", error=str(e))
            await asyncio.sleep(RETRY_S)


def to_demands(name: str, wanted: Iterable[Subscription], until_ms: int) -> list[Demand]:
    """Return the entries that ask for these subscriptions.

    Args:
        name: who asks.
        wanted: what for.
        until_ms: until when, in milliseconds since the epoch.

    """
    symbols: dict[tuple[VenueId, MarketId, Channel, Interval | None], list[str]] = {}
    for subscription in wanted:
        named = subscription.instrument
        slot = (named.venue, named.market, subscription.channel, subscription.interval)
        symbols.setdefault(slot, []).append(named.venue_symbol)
    return [
        Demand(name, venue, market, tuple(some[start : start + demand.SYMBOLS_MAX]), channel, interval, until_ms, part)
        for (venue, market, channel, interval), some in symbols.items()
        for part, start in enumerate(range(0, len(some), demand.SYMBOLS_MAX))
    ]
