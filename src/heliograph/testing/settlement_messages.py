"""Settlement messages that are made up, in the fields of the documents' wire: every value a text, numbers fixed point.

::

    messages = Messages(seed=1)
    request = messages.credit_request(user="alice", asset="BTC", change=Decimal("2.5"))
    answer = messages.credit_response(request)

The same seed makes the same messages, and one after another is never the same.
"""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from heliograph.model.numbers import fixed

CHAINS: Final[Mapping[str, str]] = {
    "BTC": "Bitcoin",
    "ETH": "Ethereum",
    "SOL": "Solana",
    "USDC": "Ethereum",
    "USDT": "Ethereum",
}
"""The assets that messages are about, each with the chain of its deposits."""
CUSTODIANS: Final = ("custodian-a", "custodian-b", "custodian-c")
_STEP: Final = Decimal("0.00000001")
_HEX: Final = "0123456789abcdef"


class Trade(NamedTuple):
    """What a user exchanged for what."""

    trade_id: str
    buy_asset: str
    sell_asset: str
    buy_amount: Decimal
    sell_amount: Decimal


class Messages:
    """Makes messages up.

    Args:
        seed: where the random numbers begin; None: anywhere.
        now_ns: tells the time.

    """

    def __init__(self, seed: int | None = None, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._random = random.Random(seed)
        self._now_ns = now_ns

    def seconds(self) -> str:
        """Return the time as the wire has it."""
        return str(self._now_ns() // 1_000_000_000)

    def text(self, length: int, alphabet: str = "abcdefghijklmnopqrstuvwxyz0123456789") -> str:
        """Return any text of that length."""
        return "".join(self._random.choices(alphabet, k=length))

    def name(self, prefix: str) -> str:
        """Return an id: a prefix and eight hexadecimal digits."""
        return prefix + self.text(8, _HEX)

    def chosen(self, values: Sequence[str]) -> str:
        """Return one of these."""
        return self._random.choice(values)

    def amount(self, least: Decimal = Decimal("0.1"), most: Decimal = Decimal(100)) -> Decimal:
        """Return an amount from `least` to `most`, of at most eight decimals where the bounds have no more."""
        steps = int((most - least) / _STEP)
        return least + self._random.randint(0, max(0, steps)) * _STEP

    def asset(self) -> str:
        """Return one of the assets."""
        return self.chosen(tuple(CHAINS))

    def address(self) -> str:
        """Return what could be an address; no coin was ever sent there."""
        return "bc1q" + self.text(38)

    def credit_request(
        self,
        *,
        user: str | None = None,
        asset: str | None = None,
        change: Decimal | None = None,
        custodian: str | None = None,
        inventory: Decimal | None = None,
    ) -> dict[str, str]:
        """Return a credit request.

        Args:
            user: for whom.
            asset: of what.
            change: by how much, negative for a decrease.
            custodian: by whom.
            inventory: the credit inventory before it; None: nothing before an increase, just as much before a decrease.

        """
        asset = asset or self.asset()
        change = self.amount() if change is None else change
        before = max(Decimal(0), -change) if inventory is None else inventory
        place = {"chain": CHAINS.get(asset, asset), "address": self.address()} if change > 0 else {}
        return {
            "custodian": custodian or self.chosen(CUSTODIANS),
            "request_id": self.name("cr-"),
            "uid": user or self.name("user-"),
            "timestamp": self.seconds(),
            "asset": asset,
            "c_change": format(change, "+f"),
            "ci": fixed(before + change),
            **place,
        }

    def credit_response(self, request: Mapping[str, str], reject_reason: str = "") -> dict[str, str]:
        """Return the answer to a credit request: its acceptance, or with a reason its rejection."""
        echoed = {name: request[name] for name in ("custodian", "request_id", "uid", "asset", "c_change", "ci")}
        status = "rejected" if reject_reason else "accepted"
        return {**echoed, "timestamp": self.seconds(), "status": status, "reject_reason": reject_reason}

    def pledge_request(
        self,
        *,
        user: str | None = None,
        asset: str | None = None,
        amount: Decimal | None = None,
        custodian: str | None = None,
    ) -> dict[str, str]:
        """Return a pledge request."""
        asset = asset or self.asset()
        return {
            "type": "pledge_request",
            "request_id": self.name("pr-"),
            "user_id": user or self.name("user-"),
            "asset": asset,
            "amount": fixed(self.amount() if amount is None else amount),
            "custodian_id": custodian or self.chosen(CUSTODIANS),
            "chain": CHAINS.get(asset, asset),
            "address": self.address(),
            "timestamp": self.seconds(),
        }

    def pledge_response(self, request: Mapping[str, str], reject_reason: str = "") -> dict[str, str]:
        """Return the answer to a pledge request: its approval, or with a reason its rejection."""
        echoed = {name: request[name] for name in ("request_id", "user_id", "asset", "amount")}
        outcome = {"reject_reason": reject_reason} if reject_reason else {"vault_id": self.name("vault-")}
        status = "rejected" if reject_reason else "approved"
        return {"type": "pledge_response", **echoed, "status": status, "timestamp": self.seconds(), **outcome}

    def trade(
        self,
        buy_asset: str | None = None,
        sell_asset: str | None = None,
        buy_amount: Decimal | None = None,
        sell_amount: Decimal | None = None,
    ) -> Trade:
        """Return a trade of two different assets, unless the same one is asked for twice."""
        bought = buy_asset or self.chosen([asset for asset in CHAINS if asset != sell_asset])
        sold = sell_asset or self.chosen([asset for asset in CHAINS if asset != bought])
        return Trade(
            self.name("trade-"),
            bought,
            sold,
            self.amount() if buy_amount is None else buy_amount,
            self.amount() if sell_amount is None else sell_amount,
        )

    def settlement_report(self, *, user: str | None = None, trades: Sequence[Trade] | None = None) -> dict[str, str]:
        """Return the report of a user's trades."""
        trades = [self.trade(), self.trade()] if trades is None else trades
        now = time.gmtime(self._now_ns() // 1_000_000_000)
        data = {
            "user_id": user or self.name("user-"),
            "eod_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", now),
            "assets": {
                "bought": [_leg(t.buy_asset, t.buy_amount, t.sell_amount) for t in trades],
                "sold": [_leg(t.sell_asset, t.sell_amount, t.buy_amount) for t in trades],
            },
            "net_position": {asset: format(net, "+f") for asset, net in net_of(trades).items()},
            "settlement_instructions": {"deposit_address": self.address(), "withdrawal_address": self.address()},
        }
        return {
            "type": "settlement",
            "report_id": self.name("settlement-"),
            "timestamp": self.seconds(),
            "data": json.dumps(data),
        }

    def settlement_confirmation(self, report: Mapping[str, str], failure_reason: str = "") -> dict[str, str]:
        """Return the confirmation of a report, every leg transferred; or with a reason that it failed."""
        data = json.loads(report["data"])
        legs = [
            {"asset_id": leg["asset_id"], "amount": leg["amount"]} for side in data["assets"].values() for leg in side
        ]
        details: dict[str, object] = {"timestamp": self.seconds()}
        details |= {"failure_reason": failure_reason} if failure_reason else {"assets_transferred": legs}
        return {
            "type": "confirmation",
            "settlement_id": report["report_id"],
            "user_id": data["user_id"],
            "timestamp": self.seconds(),
            "status": "failed" if failure_reason else "completed",
            "details": json.dumps(details),
        }


def net_of(trades: Sequence[Trade]) -> dict[str, Decimal]:
    """Return what trades change of each asset, in the order of their first mention."""
    net: dict[str, Decimal] = {}
    for trade in trades:
        net[trade.buy_asset] = net.get(trade.buy_asset, Decimal(0)) + trade.buy_amount
        net[trade.sell_asset] = net.get(trade.sell_asset, Decimal(0)) - trade.sell_amount
    return net


def _leg(asset: str, amount: Decimal, against: Decimal) -> dict[str, str]:
    price = (against / amount).quantize(_STEP) if amount else Decimal(0)
    return {"asset_id": asset, "amount": fixed(amount), "price": fixed(price)}
