"""A simulated Binance: spot, USD-M and COIN-M, each on its own port of this machine."""

from collections.abc import Mapping

from heliograph.clock import Clock
from heliograph.sim.venue import SimulatedVenue
from heliograph.sim.world import HISTORY_MINUTES


class SimulatedBinance(SimulatedVenue):
    """Binance as its documentation has it, with a world behind it; an async context manager.

    Args:
        seed: and what follows it: as `SimulatedVenue` has them.

    """

    def __init__(
        self,
        seed: int = 1,
        speed: float = 1.0,
        symbols: int = 2,
        epoch_ns: int | None = None,
        ports: Mapping[str, int] | None = None,
        host: str = "127.0.0.1",
        history_minutes: int = HISTORY_MINUTES,
        faults_per_minute: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            "binance", seed, speed, symbols, epoch_ns, ports, host, history_minutes, faults_per_minute, clock
        )
