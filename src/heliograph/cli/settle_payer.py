"""Withdrawals that a program of the custodian's pays out."""

import asyncio
from asyncio.subprocess import DEVNULL
from pathlib import Path

from heliograph.errors import SettlementError
from heliograph.model.settlement import amount_text
from heliograph.settlement.passage import Passage
from heliograph.settlement.payouts import Payer


def paying(program: Path) -> Payer:
    """Return what pays by a program: it is given the withdrawal in its arguments, and has paid when it ends with 0.

    Args:
        program: called with REFERENCE USER ASSET AMOUNT CHAIN ADDRESS, any number of times.

    """

    async def pay(passage: Passage) -> None:
        amount = amount_text(passage.amount)
        arguments = (passage.reference, passage.user, passage.asset, amount, passage.chain, passage.address)
        try:
            # Its standard output is not ours: our first line there is JSON that somebody reads.
            process = await asyncio.create_subprocess_exec(program, *arguments, stdin=DEVNULL, stdout=DEVNULL)
        except OSError as e:
            raise SettlementError("not_paid", f"{program} cannot be run: {e.strerror}") from e
        if code := await process.wait():
            raise SettlementError("not_paid", f"{program} ended with {code}")

    return pay
