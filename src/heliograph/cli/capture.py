"""`heliograph capture`: raw frames into a file."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from heliograph import app, config
from heliograph.cli.wish import Wish, check, open_wish
from heliograph.config import ConnectorSettings
from heliograph.errors import ConfigError
from heliograph.marketdata.capture import Writer
from heliograph.marketdata.recorder import recorder
from heliograph.marketdata.tap import Tap
from heliograph.venues import find_venue, markets_of

FLUSH_S: Final = 1.0
"""How much of a capture a crash may lose."""


def capture(wish: Wish, file: Path, duration_s: float | None) -> int:
    """Write the frames of a wish until time is up, SIGTERM or Ctrl-C; return the exit code.

    Args:
        wish: what to listen to.
        file: where to write; an existing capture is continued.
        duration_s: seconds to capture; None: until told to stop.

    Raises:
        ConfigError: something that was asked for does not exist, or is of several markets, or the file cannot be
            written.

    """
    check(wish)
    markets = [market.market for market, _ in markets_of(find_venue(wish.venue), wish.market, wish.symbols)]
    if len(markets) > 1:  # One market's codec reads it back.
        raise ConfigError(f"a capture is of one market, not of {' and '.join(markets)}", ("one capture a market",))
    settings = config.load(ConnectorSettings)
    app.configure_logging(settings.log_level)
    return app.run_loop(_capture(wish, settings, file, duration_s))


async def _capture(wish: Wish, settings: ConnectorSettings, file: Path, duration_s: float | None) -> int:
    tap = Tap()
    events = 0
    async with AsyncExitStack() as stack:
        try:
            writer = stack.enter_context(Writer(file))
        except OSError as e:
            raise ConfigError(f"cannot write {file}: {e.strerror}") from e
        stack.enter_context(app.terminations(tap.end))
        await stack.enter_async_context(open_wish(wish, settings, tap, recorder(writer)))
        if duration_s is not None:
            asyncio.get_running_loop().call_later(duration_s, tap.end)
        flushed_s = time.monotonic()
        while taken := await tap.take():
            events += len(taken)
            if time.monotonic() - flushed_s >= FLUSH_S:
                flushed_s = time.monotonic()
                writer.flush()
                if sys.stderr.isatty():
                    print(f"\r{events} events", end="", file=sys.stderr, flush=True)
    print(f"{events} events, frames in {file}", file=sys.stderr)
    return 0
