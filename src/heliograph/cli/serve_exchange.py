"""`heliograph serve exchange`: takes what the custodian asks, decides by the settings' policy, and answers."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

from heliograph import app
from heliograph.cli.serve_custodian import probed, until
from heliograph.cli.settle_parties import Party
from heliograph.clock import SystemClock
from heliograph.settlement.credit_policy import CreditPolicy
from heliograph.settlement.exchange import Exchange, accept


def serve(file: Path | None, host: str | None = None, probe_port: int | None = None) -> int:
    """Run until SIGTERM or Ctrl-C; return the exit code.

    Args:
        file: a TOML file of settings.
        host: the address of the probes; None: this machine alone.
        probe_port: their port; 0: a free one; None: there are none.

    Raises:
        ConfigError: a setting is missing or cannot be used.
        SettlementError: `foreign_journal`: the journal is another link's; `journal_away`.

    """
    party = Party(file)
    app.configure_logging("INFO")
    return app.run_loop(_serve(party, host, probe_port))


async def _serve(party: Party, host: str | None, probe_port: int | None) -> int:
    stop = asyncio.Event()
    settings, policy = party.exchange(), party.settings.decide
    credit = CreditPolicy(party.limits(), SystemClock()) if policy == "limits" else None
    exchange = Exchange(settings, accept if policy == "accept" else credit.decide if credit is not None else None)
    if credit is not None:
        credit.begin(exchange)
    async with AsyncExitStack() as stack:
        stack.enter_context(app.terminations(stop.set))
        await stack.enter_async_context(exchange)
        about = {
            "role": "exchange",
            "link": settings.link,
            "journal": str(settings.journal),
            "key": settings.signer.name,
            "decide": policy,
        }
        if probe_port is not None:
            about["probes"] = await stack.enter_async_context(probed(exchange.metrics, host, probe_port))
        print(json.dumps(about), flush=True)
        await until(stop, exchange.ended)
    return 0
