"""A day of a custodian and an exchange, from the deposit to the withdrawal, with what both must agree upon."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

from heliograph.model.settlement import CreditOrder, OrderKind
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.exchange import Exchange
from heliograph.settlement.ledger import Position
from heliograph.settlement.netting import Change
from heliograph.settlement.passage import Passage
from heliograph.settlement.reconcile import reconciled
from tests.settlement.byhand import eventually

D = Decimal
PATIENCE_S = 20.0


async def ask(custodian: Custodian, request_id: str, kind: OrderKind, user: str, asset: str, amount: str) -> None:
    """Ask for something, and see it granted."""
    await custodian.request(request_id, CreditOrder(kind, user, asset, amount))
    assert (await custodian.final(request_id, PATIENCE_S)).state == "posted"


async def agreed(custodian: Custodian, exchange: Exchange) -> None:
    """Wait until both sides' books are the same, to the last digit and the last message."""

    async def same() -> bool:
        return reconciled(await custodian.books(), await exchange.books()).agreed

    await eventually(same, PATIENCE_S)


async def live_a_day(
    custodian: Custodian, exchange: Exchange, paid: list[Passage], at_noon: Callable[[], Awaitable[None]]
) -> None:
    """Deposit, pledge, grant, give back, trade, report, confirm, withdraw.

    Args:
        custodian: the custodian, which knows nobody yet.
        exchange: the exchange, which accepts everything.
        paid: what the custodian's payer was asked to pay.
        at_noon: what happens to the servers between the credit and the trades.

    """
    await custodian.deposit("alice", "BTC", D(10), "wire-1")
    await custodian.deposit("house", "USDT", D(90_000), "wire-2")
    await ask(custodian, "r1", "pledge", "alice", "BTC", "3")
    await ask(custodian, "r2", "increase", "alice", "BTC", "5")
    await ask(custodian, "r3", "increase", "house", "USDT", "60000")
    await at_noon()
    await ask(custodian, "r4", "decrease", "alice", "BTC", "1.5")

    async def mirrored() -> bool:
        return bool(await exchange.credit("alice", "BTC") == D("3.5"))

    await eventually(mirrored, PATIENCE_S)
    trades = (("alice", "BTC", D("-1.5")), ("house", "BTC", D("1.5")), ("alice", "USDT", D(45_000)))
    paying = ("house", "USDT", D(-45_000))
    await exchange.trade([Change(f"t1/{n}", *leg, 1) for n, leg in enumerate((*trades, paying))])
    await exchange.report("c1")

    async def confirmed() -> bool:
        cycle = await exchange.cycle("c1")
        return cycle is not None and cycle.state == "confirmed"

    await eventually(confirmed, PATIENCE_S)
    await custodian.withdraw("alice", "USDT", D(45_000), "out-1")

    async def left() -> bool:
        return await custodian.position("alice", "USDT") == Position()

    await eventually(left, PATIENCE_S)
    assert [passage.reference for passage in paid] == ["out-1"]
    assert await custodian.position("alice", "BTC") == Position(available=D("6.5"), granted=D(2))
    await agreed(custodian, exchange)
