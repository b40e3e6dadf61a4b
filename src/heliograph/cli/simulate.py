"""`heliograph simulate`: a simulated venue on free ports, until it is stopped."""

import asyncio
import json
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

from heliograph.errors import ConfigError
from heliograph.sim import SimulatedVenue
from heliograph.sim.authority import Authority
from heliograph.sim.layouts import layout_of


def simulate(
    venue: str = "binance",
    seed: int = 1,
    speed: float = 1.0,
    symbols: int = 10,
    epoch_ns: int | None = None,
    history_minutes: int = 360,
    faults_per_minute: float = 0.0,
    host: str = "127.0.0.1",
    ports: Sequence[str] = (),
    authority_file: Path | None = None,
) -> None:
    """Serve a simulated venue until SIGINT or SIGTERM; its endpoints are one line of JSON on stdout.

    Args:
        venue: which venue; see `heliograph.sim.layouts.played`.
        seed: the same seed, epoch and speed make the same world.
        speed: simulated seconds a real second.
        symbols: how many coins each market lists; BTC and ETH come first.
        epoch_ns: when simulated time was real time, in nanoseconds since 1970; a restart needs the one printed.
        history_minutes: how far before the epoch trading began.
        faults_per_minute: how much goes wrong by itself.
        host: the address to listen on.
        ports: `market=number` each; markets that are left out get a free port, or that of the origin they share.
        authority_file: where to write the certificate of an authority of the simulator's own; with it, every origin
            has a port for TLS beside the plain one.

    Raises:
        ConfigError: an argument is not one that can be simulated.

    """
    numbers = _numbers(ports, layout_of(venue).listers)
    authority = None
    if authority_file is not None:
        authority = Authority()
        try:
            authority.write(authority_file)
        except OSError as e:
            raise ConfigError(f"cannot write {authority_file}: {e.strerror or e}") from e
    sim = SimulatedVenue(
        venue, seed, speed, symbols, epoch_ns, numbers, host, history_minutes, faults_per_minute, authority=authority
    )
    asyncio.run(_serve(sim))


def _numbers(ports: Sequence[str], markets: Iterable[str]) -> dict[str, int]:
    numbers = {}
    accepted = tuple(f"{market}=0 to 65535" for market in markets)
    for text in ports:
        market, _, number = text.partition("=")
        known = any(form.startswith(f"{market}=") for form in accepted)
        if not (known and number.isascii() and number.isdecimal() and int(number) <= 65_535):
            raise ConfigError(f"not a market's port: {text[:100]}", accepted)
        numbers[market] = int(number)
    return numbers


async def _serve(sim: SimulatedVenue) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with sim:
        about: dict[str, object] = {"venue": sim.venue, "seed": sim.seed, "speed": sim.speed, "epoch_ns": sim.epoch_ns}
        where: dict[str, object] = {"endpoints": sim.endpoints}
        if sim.tls_endpoints:
            where["tls_endpoints"] = sim.tls_endpoints
        print(json.dumps(about | where), flush=True)
        await stop.wait()
