"""A venue on a stage: its declaration, its dialect, and a small world that both are about."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Instrument, MarketId
from heliograph.sim.layouts import layout_of
from heliograph.sim.world import World
from heliograph.testing.claim import require
from heliograph.venues.contract import Credentials, Market, Request, Venue
from heliograph.venues.dialect import Answer, Ask, Dialect, Layout, Rest
from heliograph.venues.keys import with_keys
from heliograph.venues.scene import Scene

START_NS: Final = 1_801_439_910 * NS_PER_S
"""2027-01-31 23:58:30 UTC, a Sunday: within two minutes bars of every length but days by twos and threes close."""

KEY: Final = Credentials("the-id-of-a-key", "the-secret-of-a-key")
"""What is shown to venues that want a key; none may say no to it."""

_SEED: Final = 5
_PAGES_MAX: Final = 20


class Stage:
    """What a venue's checks are played on.

    Args:
        venue: the declaration to check.
        layout: how the venue is simulated; None: as its folder's `layout` has it.
        coins: how many coins each market lists.
        minutes: how far back the world reaches.

    Raises:
        ConfigError: no layout is given, and none is found.

    """

    def __init__(self, venue: Venue, layout: Layout | None = None, *, coins: int = 2, minutes: int = 60) -> None:
        self.declared = venue
        """The venue as somebody without a key has it."""
        self.venue = with_keys({venue.name: venue}, lambda _name: KEY)[venue.name]
        """The venue as somebody with a key has it, which is the same where a key changes nothing."""
        self.layout = layout if layout is not None else layout_of(venue.name)
        self.world = World(_SEED, coins, START_NS, minutes, self.layout.listers)
        self._origins: dict[MarketId, tuple[Dialect[Any], Rest]] = {}
        for dialect, rest in self.layout.origins(self.world.markets):
            self._origins |= dict.fromkeys(dialect.markets, (dialect, rest))

    @property
    def markets(self) -> Sequence[Market]:
        """The markets that are played, which should be all that are declared."""
        return [market for name, market in self.venue.markets.items() if name in self._origins]

    def scene(self, market: Market) -> Scene:
        """Return what truly happens at a market."""
        return self.world.markets[market.market]

    def dialect(self, market: Market) -> Dialect[Any]:
        """Return who speaks for a market."""
        return self._origins[market.market][0]

    def answer(self, market: Market, request: Request, now_ns: int) -> Answer:
        """Return what the venue answers to a request."""
        method = "GET" if request.body is None else "POST"
        headers = headers_of(market) | ({} if request.body is None else {"content-type": "application/json"})
        ask = Ask(request.path, dict(request.query), method, headers, request.body or b"")
        return self._origins[market.market][1].answer(ask, now_ns)

    def listed(self, market: Market) -> list[Instrument]:
        """Return what the market's own list of instruments says, page by page.

        Raises:
            Nonconforming: it cannot be had.

        """
        request: Request | None = market.instruments_request()
        found: list[Instrument] = []
        for _ in range(_PAGES_MAX):
            assert request is not None  # The loop ends where none follows.
            answer = self.answer(market, request, START_NS)
            require(answer.status == 200, market, "its list of instruments is answered", answer.body)
            found += market.parse_instruments(answer.body)
            request = None if market.next_instruments is None else market.next_instruments(request, answer.body)
            if request is None:
                break
        require(request is None, market, f"its list of instruments ends within {_PAGES_MAX} pages")
        require(found, market, "its list of instruments names some")
        return found


def headers_of(market: Market) -> dict[str, str]:
    """Return the headers that a market asks for, as a server reads them."""
    return _lower(market.headers)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
