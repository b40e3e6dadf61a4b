"""A simulated venue: its world, and a server for each of its origins on a port of this machine."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final, Self

from heliograph.clock import Clock, ScaledClock
from heliograph.errors import ConfigError
from heliograph.sim.authority import Authority
from heliograph.sim.faults import Fault, FaultKind, random_faults
from heliograph.sim.layouts import layout_of
from heliograph.sim.ledger import Ledger
from heliograph.sim.server import Listener
from heliograph.sim.world import HISTORY_MINUTES, World

NOW_NS_MAX: Final = 7_258_118_400 * 10**9
"""The year 2200: times of 64 bits and calendars end not much later."""


def clock_since(epoch_ns: int, speed: float) -> ScaledClock:
    """Return the clock that showed real time at `epoch_ns` and has gone `speed` times as fast ever since.

    Two processes that are given the same arguments agree on the time, which is how a restarted simulator goes on.

    Raises:
        ConfigError: the epoch is yet to come, the speed is not positive, or both together lead too far.

    """
    now_ns = time.time_ns()
    if epoch_ns > now_ns:
        raise ConfigError(f"the epoch {epoch_ns} lies in the future", ("nanoseconds since 1970, in the past",))
    if not 0 < speed <= 100_000:
        raise ConfigError(f"cannot run at speed {speed:g}", ("above 0, up to 100000",))
    simulated_ns = epoch_ns + int((now_ns - epoch_ns) * speed)
    if simulated_ns > NOW_NS_MAX:
        raise ConfigError(
            f"at speed {speed:g} since the epoch {epoch_ns} it would be after 2200", ("a later epoch", "a lower speed")
        )
    return ScaledClock(simulated_ns, speed)


class SimulatedVenue:
    """A venue as its documentation has it, with a world behind it; an async context manager.

    Args:
        venue: which one; see `layouts.played`.
        seed: the same seed, epoch and speed make the same world.
        speed: simulated seconds a real second.
        symbols: how many coins each market lists; BTC and ETH come first.
        epoch_ns: the instant at which simulated time was real time; None for now.
        ports: the port of each market; 0, or a market left out, for a free one. Markets that share an origin share
            the port of the first of them that has one.
        host: the address to listen on.
        history_minutes: how far before the epoch trading began.
        faults_per_minute: how much goes wrong by itself, in real time, from the seed.
        clock: simulated time, in place of that which epoch and speed make.
        authority: who vouches for it; with one, every origin has a port for TLS beside the plain one.

    Raises:
        ConfigError: there is no such venue, or an argument is not one that can be simulated.

    """

    def __init__(
        self,
        venue: str,
        seed: int = 1,
        speed: float = 1.0,
        symbols: int = 2,
        epoch_ns: int | None = None,
        ports: Mapping[str, int] | None = None,
        host: str = "127.0.0.1",
        history_minutes: int = HISTORY_MINUTES,
        faults_per_minute: float = 0.0,
        clock: Clock | None = None,
        authority: Authority | None = None,
    ) -> None:
        self._layout = layout = layout_of(venue)
        self.venue = venue
        self.seed = seed
        self.speed = speed
        self.epoch_ns = epoch_ns if epoch_ns is not None else time.time_ns()
        self.clock = clock or clock_since(self.epoch_ns, speed)
        self.world = World(seed, symbols, self.epoch_ns, history_minutes, layout.listers)
        self.ledger = Ledger(self.world, self.clock)
        self.listeners: dict[str, Listener] = {}
        self._host = host
        self._faults_per_minute = faults_per_minute
        tls = None if authority is None else authority.server_context(host)
        about: dict[str, object] = {"venue": venue, "seed": seed, "speed": speed, "epoch_ns": self.epoch_ns}
        self._origins: list[Listener] = []
        for dialect, rest in layout.origins(self.world.markets):
            port = next((number for market in dialect.markets if (number := (ports or {}).get(market, 0))), 0)
            listener = Listener(dialect, rest, self.clock, self.ledger, host, port, about, tls)
            self._origins.append(listener)
            self.listeners |= dict.fromkeys(dialect.markets, listener)
        self._stack = AsyncExitStack()
        self._trouble: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for listener in self._origins:
                await stack.enter_async_context(listener)
            self._stack = stack.pop_all()
        if self._faults_per_minute > 0:
            self._trouble = asyncio.get_running_loop().create_task(self._make_trouble())
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._trouble is not None:
            self._trouble.cancel()
            await asyncio.gather(self._trouble, return_exceptions=True)
        await self._stack.aclose()

    @property
    def endpoints(self) -> dict[str, dict[str, str]]:
        """Where each market listens: `socket_url` and `rest_url`, without a path."""
        return {
            market: {
                "socket_url": f"ws://{self._host}:{listener.doors.port}",
                "rest_url": f"http://{self._host}:{listener.doors.port}",
            }
            for market, listener in self.listeners.items()
        }

    @property
    def tls_endpoints(self) -> dict[str, dict[str, str]]:
        """Where each market listens for encrypted connections, as `endpoints`; empty without an authority."""
        return {
            market: {
                "socket_url": f"wss://{self._host}:{listener.doors.tls_port}",
                "rest_url": f"https://{self._host}:{listener.doors.tls_port}",
            }
            for market, listener in self.listeners.items()
            if listener.doors.tls_port
        }

    @property
    def turned_away(self) -> int:
        """How many connections were refused because their address had opened, or had open, too many."""
        return sum(listener.turned_away for listener in self._origins)

    async def fault(self, fault: Fault | FaultKind | str) -> None:
        """Let something go wrong, at the origin of one market or at all."""
        if not isinstance(fault, Fault):
            fault = Fault(FaultKind(fault))
        for listener in self._origins:
            if fault.market is None or self.listeners.get(fault.market) is listener:
                await listener.fault(fault)

    async def _make_trouble(self) -> None:
        for wait_s, fault in random_faults(self.seed, self._faults_per_minute, self._layout.lossy):
            await asyncio.sleep(wait_s)
            await self.fault(fault)
