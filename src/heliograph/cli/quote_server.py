"""What `connector-wss` runs: feeds and the WebSocket server in one process."""

import asyncio
import json
from contextlib import AsyncExitStack

from heliograph import config
from heliograph.app import Where, configure_logging, open_gateway, open_source, open_venues, run_loop, terminations
from heliograph.clock import SystemClock
from heliograph.config import ConnectorSettings
from heliograph.metrics import FeedCollector


def serve_quotes(
    where: Where,
    valkey_url: str | None,
    *,
    host: str | None,
    port: int | None,
    probe_port: int | None,
    log_level: str | None,
) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code. What is None is as the settings have it.

    Raises:
        ConfigError: something that was asked for does not exist, or cannot be listened on.

    """
    settings = config.load(ConnectorSettings, wss_host=host, wss_port=port, wss_health_check_port=probe_port)
    configure_logging(log_level or settings.wss_log_level)
    return run_loop(_serve(settings, where, valkey_url))


async def _serve(settings: ConnectorSettings, where: Where, valkey_url: str | None) -> int:
    clock, collector = SystemClock(), FeedCollector()
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(terminations(stop.set))
        venues = await stack.enter_async_context(open_venues(where))
        source = await stack.enter_async_context(open_source(settings, collector, clock, valkey_url))
        gateway = await stack.enter_async_context(open_gateway(source, venues, settings, collector, clock))
        addresses = {"websocket": f"ws://{gateway.server.address}"}
        if gateway.probes is not None:
            addresses["probes"] = f"http://{gateway.probes.address}"
        print(json.dumps(addresses), flush=True)
        await stop.wait()
    return 0
