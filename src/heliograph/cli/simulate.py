"""`heliograph simulate`: simulated venues on free ports, until they are stopped."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from heliograph.errors import ConfigError
from heliograph.sim import SimulatedVenue
from heliograph.sim.authority import Authority
from heliograph.sim.layouts import layout_of


def simulate(
    venues: Sequence[str] = ("binance",),
    seed: int = 1,
    speed: float = 1.0,
    symbols: int = 10,
    epoch_ns: int | None = None,
    history_minutes: int = 360,
    faults_per_minute: float = 0.0,
    host: str = "127.0.0.1",
    ports: Sequence[str] = (),
    authority_file: Path | None = None,
    *,
    until_eof: bool = False,
) -> None:
    """Serve simulated venues until SIGINT or SIGTERM; the endpoints of each are one line of JSON on stdout.

    Args:
        venues: which venues; see `heliograph.sim.layouts.played`.
        seed: the same seed, epoch and speed make the same world.
        speed: simulated seconds a real second.
        symbols: how many coins each market lists; BTC and ETH come first.
        epoch_ns: when simulated time was real time, in nanoseconds since 1970; a restart needs the one printed.
        history_minutes: how far before the epoch trading began.
        faults_per_minute: how much goes wrong by itself.
        host: the address to listen on.
        ports: `market=number` each, of a single venue; markets that are left out get a free port, or that of the
            origin they share.
        authority_file: where to write the certificate of an authority of the simulator's own; with it, every origin
            has a port for TLS beside the plain one.
        until_eof: end as well when the standard input does, so that a starter that was killed leaves nothing behind.

    Raises:
        ConfigError: an argument is not one that can be simulated.

    """
    markets = {venue: layout_of(venue).listers for venue in venues}
    if ports and len(markets) > 1:
        raise ConfigError("ports of markets, and more than one venue", ("one venue with --port", "no --port"))
    epoch_ns = epoch_ns if epoch_ns is not None else time.time_ns()
    authority = None
    if authority_file is not None:
        authority = Authority()
        try:
            authority.write(authority_file)
        except OSError as e:
            raise ConfigError(f"cannot write {authority_file}: {e.strerror or e}") from e
    sims = [
        SimulatedVenue(
            venue,
            seed,
            speed,
            symbols,
            epoch_ns,
            _numbers(ports, listers),
            host,
            history_minutes,
            faults_per_minute,
            authority=authority,
        )
        for venue, listers in markets.items()
    ]
    asyncio.run(_serve(sims, until_eof=until_eof))


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


async def _serve(sims: Sequence[SimulatedVenue], *, until_eof: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if until_eof:
        _hear_the_end(loop, stop)
    async with AsyncExitStack() as stack:
        for sim in sims:
            await stack.enter_async_context(sim)
            told = {"venue": sim.venue, "seed": sim.seed, "speed": sim.speed, "epoch_ns": sim.epoch_ns}
            where = {"endpoints": sim.endpoints} | ({"tls_endpoints": sim.tls_endpoints} if sim.tls_endpoints else {})
            print(json.dumps(told | where), flush=True)
        await stop.wait()


def _hear_the_end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    number = sys.stdin.fileno()

    def read() -> None:
        if not os.read(number, 4096):
            loop.remove_reader(number)
            stop.set()

    try:
        loop.add_reader(number, read)
    except PermissionError as e:  # Of a file nobody can say that its end has come.
        raise ConfigError("--until-eof without a pipe as the standard input") from e
