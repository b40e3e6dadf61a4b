"""`heliograph simulate`: a simulated venue on free ports, until it is stopped."""

import asyncio
import json
import signal

from heliograph.errors import ConfigError
from heliograph.sim import SimulatedVenue


def simulate(
    venue: str = "binance",
    seed: int = 1,
    speed: float = 1.0,
    symbols: int = 10,
    epoch_ns: int | None = None,
    history_minutes: int = 360,
    faults_per_minute: float = 0.0,
    host: str = "127.0.0.1",
    spot_port: int = 0,
    usdm_port: int = 0,
    coinm_port: int = 0,
) -> None:
    """Serve a simulated venue until SIGINT or SIGTERM; its endpoints are one line of JSON on stdout.

    Args:
        venue: which venue; binance or okx.
        seed: the same seed, epoch and speed make the same world.
        speed: simulated seconds a real second.
        symbols: how many coins each market lists; BTC and ETH come first.
        epoch_ns: when simulated time was real time, in nanoseconds since 1970; a restart needs the one printed.
        history_minutes: how far before the epoch trading began.
        faults_per_minute: how much goes wrong by itself.
        host: the address to listen on.
        spot_port: the port of the spot market, 0 for a free one; at OKX, the port of all markets.
        usdm_port: the port of USD-M futures, 0 for a free one.
        coinm_port: the port of COIN-M futures, 0 for a free one.

    Raises:
        ConfigError: an argument is not one that can be simulated.

    """
    ports = {"spot": spot_port, "usdm": usdm_port, "coinm": coinm_port}
    for name, port in ports.items():
        if not 0 <= port <= 65_535:
            raise ConfigError(f"the {name} port cannot be {port}", ("0 to 65535",))
    sim = SimulatedVenue(venue, seed, speed, symbols, epoch_ns, ports, host, history_minutes, faults_per_minute)
    asyncio.run(_serve(sim))


async def _serve(sim: SimulatedVenue) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with sim:
        about = {"venue": sim.venue, "seed": sim.seed, "speed": sim.speed, "epoch_ns": sim.epoch_ns}
        print(json.dumps({**about, "endpoints": sim.endpoints}), flush=True)
        await stop.wait()
