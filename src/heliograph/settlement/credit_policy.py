"""An exchange's decision on credit by its limits: what they allow is accepted, all else is rejected with a code.

What was accepted and is not in the accounts yet counts as well, so that requests that come together pass a limit no
more than those that come apart.
"""

import asyncio
from decimal import Decimal

from heliograph.clock import Clock
from heliograph.errors import SettlementError
from heliograph.model.settlement import CreditOrder
from heliograph.settlement.cycle import Place
from heliograph.settlement.exchange import Exchange
from heliograph.settlement.exchange_journal import Choice
from heliograph.settlement.ledger import EXACT, ZERO, total
from heliograph.settlement.limits import AssetLimits, Limits, Velocity, allow_increase, checked, moved
from heliograph.settlement.link.exchange import Row


class CreditPolicy:
    """Decides by limits. Give `decide` to an exchange, then `begin` with it before it runs.

    A decrease is accepted whatever was moved that day: it makes what is at stake less. It counts for the day.

    Args:
        limits: per user, link and day; prices are none of its business, so it knows no worth.
        clock: the exchange's.

    Raises:
        SettlementError: `bad_limits`.

    """

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = checked(limits)
        self._clock = clock
        self._exchange: Exchange | None = None
        self._accepted: dict[str, tuple[Place, Decimal]] = {}
        self._moved: dict[Place, Velocity] = {}
        self._known = False
        self._one = asyncio.Lock()

    def begin(self, exchange: Exchange) -> None:
        """Decide for an exchange."""
        self._exchange = exchange

    async def decide(self, row: Row, order: CreditOrder) -> Choice:
        """Decide one request, one after the other: each counts what the one before was granted."""
        del order
        async with self._one:
            return await self._decided(row)

    async def _decided(self, row: Row) -> Choice:
        exchange = self._exchange
        assert exchange is not None
        if not self._known:
            await self._learn(exchange)
        place, now_ns = (row.user, row.asset), self._clock.now_ns()
        if row.kind == "decrease":
            self._count(row, now_ns)
            return Choice(row.id, "accepted")
        try:
            limits = self._limits.of(row.asset)
            if row.kind == "pledge":
                return Choice(row.id, "accepted")
            velocity = moved(limits, self._moved.get(place, Velocity()), row.amount, now_ns)
            user, link = await self._credit(exchange, place)
            allow_increase(limits, row.amount, user, link)
        except SettlementError as e:
            return Choice(row.id, "rejected", e.code, str(e))
        self._moved[place] = velocity
        self._accepted[row.id] = (place, row.amount)
        return Choice(row.id, "accepted")

    async def _learn(self, exchange: Exchange) -> None:
        """Count what was moved before this process began."""
        rows = sorted(await exchange.requests("accepted"), key=lambda row: row.decided_ns)
        for row in rows:
            if row.kind != "pledge":
                self._count(row, row.decided_ns)
        self._known = True

    def _count(self, row: Row, at_ns: int) -> None:
        place = (row.user, row.asset)
        limits = self._limits.assets.get(row.asset, self._limits.default)
        if limits is not None and limits.day_max is not None:
            self._moved[place] = moved(AssetLimits(), self._moved.get(place, Velocity()), row.amount, at_ns)

    async def _credit(self, exchange: Exchange, place: Place) -> tuple[Decimal, Decimal]:
        """Return the credit of one user and of all users in an asset, what is sold and unsettled included."""
        await self._forget(exchange)
        while True:
            accounts = await exchange.accounts()
            # What was decided while the accounts were read may be in them or not: then they are read again.
            if not await self._forget(exchange):
                break
        _, asset = place
        coming = list(self._accepted.values())
        held = {at: EXACT.add(each.limit, each.settling) for at, each in accounts.items() if at[1] == asset}
        user = total([held.get(place, ZERO), *(amount for at, amount in coming if at == place)])
        return user, total([*held.values(), *(amount for at, amount in coming if at[1] == asset)])

    async def _forget(self, exchange: Exchange) -> bool:
        """Forget of what was accepted here whatever the journal has decided, one way or the other; whether any was."""
        decided = []
        for request_id in self._accepted:
            row = await exchange.request(request_id)
            if row is None or row.state != "pending":
                decided.append(request_id)
        for request_id in decided:
            del self._accepted[request_id]
        return bool(decided)
