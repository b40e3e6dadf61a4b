"""The demo's custody: a firm's coins at a custodian, mirrored as credit at an exchange, traded on, and settled.

Both parties are the real services, over a primary and the exchange's stream-writeable replica of their own. On the way
the replica is killed, and whatever the exchange had said there is gone.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.clock import NS_PER_S, SystemClock
from heliograph.errors import HeliographError
from heliograph.model.settlement import CreditOrder, amount_text
from heliograph.settlement.custodian import Custodian, CustodianSettings
from heliograph.settlement.cycle import ANSWERED
from heliograph.settlement.exchange import Exchange, ExchangeSettings, accept
from heliograph.settlement.exchange_journal import Policy
from heliograph.settlement.keyring import Signer
from heliograph.settlement.netting import Change
from heliograph.settlement.reconcile import Reconciliation, reconciled

LINK: Final = "demo"
FIRM: Final = "firm"
HOUSE: Final = "exchange"
COIN: Final = "BTC"
MONEY: Final = "USDT"
DEPOSIT: Final = Decimal(10)
PLEDGE: Final = Decimal(5)
PRICE: Final = Decimal(60_000)
"""What a coin costs while no market says otherwise."""
FUNDS: Final = Decimal(10_000_000)
WAIT_S: Final = 20.0


class Custody:
    """The story, told line by line.

    Args:
        pair: the servers.
        custodian: at the primary.
        exchange: at the replica.
        seed: of the firm's trades.

    """

    def __init__(self, pair: Pair, custodian: Custodian, exchange: Exchange, seed: int) -> None:
        self.told: list[str] = []
        """What has happened so far."""
        self.summary: dict[str, Any] = {}
        """How it ended; empty until then."""
        self.failed = ""
        """Why it did not end; empty otherwise."""
        self.over = asyncio.Event()
        """Set once it has ended in either way."""
        self._pair = pair
        self._custodian = custodian
        self._exchange = exchange
        self._random = random.Random(seed)
        self._clock = SystemClock()

    async def run(self, price: Callable[[], Decimal | None]) -> None:
        """Tell the story once, from the first coin to books that agree.

        Args:
            price: what a coin costs now; None if nobody knows.

        """
        try:
            async with asyncio.timeout(WAIT_S):
                await self._mirror()
                trades = await self._trade(price)
                cycle_id = await self._settle()
                await self._compare(cycle_id, trades)
        except (HeliographError, TimeoutError) as e:
            self.failed = str(e) or f"not ended after {WAIT_S:g} s"
            self._tell(f"it failed: {self.failed}")
        finally:
            self.over.set()

    @property
    def spoilt(self) -> bool:
        """Whether the story did not end with books that agree."""
        wrong = ("differences", "unexplained", "findings")
        return not self.summary or any(self.summary[name] for name in wrong)

    async def _mirror(self) -> None:
        custodian = self._custodian
        await custodian.deposit(FIRM, COIN, DEPOSIT, "wire-1", "Bitcoin", "bc1qdemo")
        await custodian.deposit(HOUSE, MONEY, FUNDS, "wire-2", "Ethereum", "0xdemo")
        self._tell(f"the firm keeps {DEPOSIT} {COIN} with a custodian")
        for name, order in (
            ("pledge-2", CreditOrder("increase", HOUSE, MONEY, str(FUNDS), "Ethereum", "0xdemo")),
            ("pledge-1", CreditOrder("increase", FIRM, COIN, str(PLEDGE), "Bitcoin", "bc1qdemo")),
        ):
            asked_s = time.monotonic()
            await custodian.request(name, order)
            request = await custodian.final(name, WAIT_S)
            if order.user == FIRM:
                answered_ms = (time.monotonic() - asked_s) * 1000
                self._tell(f"it pledges {PLEDGE}; the exchange's answer, after {answered_ms:.0f} ms: {request.state}")
        asked_s = time.monotonic()
        shown = await self._mirrored(PLEDGE)
        mirrored_ms = (time.monotonic() - asked_s) * 1000
        self._tell(f"the exchange's replica shows a credit inventory of {shown} {COIN}, {mirrored_ms:.0f} ms later")

    async def _mirrored(self, amount: Decimal) -> str:
        """Wait until the replica shows a credit inventory."""
        async with Asker(parse_url(self._pair.replica.url)) as replica:
            while True:
                text = await replica.ask("HGET", link_keys.credit(FIRM, COIN), "amount")
                if text == amount_text(amount).encode():
                    return str(text.decode())
                await asyncio.sleep(0.002)

    async def _trade(self, price_now: Callable[[], Decimal | None]) -> int:
        count, sold, cash = 20, Decimal(0), Decimal(0)
        for n in range(count):
            price = (price_now() or PRICE).quantize(Decimal("0.01"))
            coins = Decimal(self._random.randint(1, 900)).scaleb(-4) * self._random.choice((-1, -1, 1))
            if coins * price > cash:
                coins = -coins  # Nobody buys with money that he has not got.
            money = -coins * price
            cash += money
            now_ns = self._clock.now_ns()
            await self._exchange.trade(
                [
                    Change(f"fill-{n}/{user}/{asset}", user, asset, amount, now_ns)
                    for user, sign in ((FIRM, 1), (HOUSE, -1))
                    for asset, amount in ((COIN, coins * sign), (MONEY, money * sign))
                ]
            )
            sold -= coins
        self._tell(f"{count} trades on that credit: {sold} {COIN} net sold, and no coin has moved")
        await asyncio.to_thread(self._pair.replica.kill)
        await asyncio.to_thread(self._pair.replica.start)
        self._tell("the replica is killed, and starts with nothing: all that was said there is gone")
        return count

    async def _settle(self) -> str:
        cycle_id = "cycle-1"
        cycle = await self._exchange.report(cycle_id)
        nets = ", ".join(f"{leg.net:f} {leg.asset}" for leg in cycle.legs if leg.user == FIRM)
        self._tell(f"cut-off: the exchange reports the firm's net, {nets}")
        while True:
            settled = await self._custodian.cycle(cycle_id)
            if settled is not None and settled.state in ANSWERED:
                break
            await asyncio.sleep(0.01)
        self._tell(f"the custodian has verified and moved {len(settled.legs)} legs, and confirms: {settled.state}")
        return cycle_id

    async def _compare(self, cycle_id: str, trades: int) -> None:
        while True:
            books = await self._reconciled()
            if books.agreed:
                break
            await asyncio.sleep(0.02)
        audit = await self._custodian.audit()
        differences = sum(bool(line.difference) for line in books.lines)
        self._tell(f"both sides' books, {len(books.lines)} figures compared: {differences} differences")
        self._tell(f"the journal, {audit.entries} entries replayed: {len(audit.findings)} findings")
        cycle = await self._exchange.cycle(cycle_id)
        self.summary = {
            "trades": trades,
            "legs": 0 if cycle is None else len(cycle.legs),
            "state": "" if cycle is None else cycle.state,
            "figures": len(books.lines),
            "differences": differences,
            "unexplained": books.unexplained,
            "audited": audit.entries,
            "findings": len(audit.findings) + audit.more,
        }

    async def _reconciled(self) -> Reconciliation:
        return reconciled(await self._custodian.books(), await self._exchange.books())

    def _tell(self, line: str) -> None:
        self.told.append(line)


@asynccontextmanager
async def open_custody(seed: int) -> AsyncIterator[Custody]:
    """Start a primary, its replica, a custodian and an exchange; at the end nothing is left.

    Args:
        seed: of the firm's trades.

    Raises:
        ConfigError: there is no server to start.
        BusError: a server did not start.

    """
    ours, theirs = Signer.generate("custodian-1"), Signer.generate("exchange-1")
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heliograph-")))
        pair = await stack.enter_async_context(Pair())
        primary, replica = parse_url(pair.primary.url), parse_url(pair.replica.url)
        custodian = await stack.enter_async_context(
            Custodian(
                CustodianSettings(
                    link=LINK,
                    primary=primary,
                    replica=replica,
                    signer=ours,
                    keys=(theirs.public(),),
                    window_ns=NS_PER_S // 2,
                )
            )
        )
        exchange = await stack.enter_async_context(
            Exchange(
                ExchangeSettings(
                    link=LINK,
                    replica=replica,
                    journal=directory / "exchange.sqlite",
                    signer=theirs,
                    keys=(ours.public(),),
                    policy=Policy(HOUSE),
                ),
                accept,
            )
        )
        yield Custody(pair, custodian, exchange, seed)
