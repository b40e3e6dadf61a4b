"""Made-up data in the seeds' dicts.

Each dict has the names that the seeds' generators give, and those of the wire as well, so that it can be handed to
whoever reads either. `to_wire` leaves the wire's alone. The messages themselves are `heliograph.testing`'s.
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from openoes_core.amount import amount as to_amount
from openoes_core.event import Event, EventType
from openoes_core.fields import to_text

from heliograph.model.numbers import fixed
from heliograph.testing.settlement_messages import CHAINS, CUSTODIANS, Messages, Trade, net_of

_messages: Final = Messages()
_CREDIT: Final = ("custodian", "request_id", "uid", "timestamp", "asset", "c_change", "ci")
_WIRE: Final[Mapping[str, tuple[str, ...]]] = {
    "credit_request": (*_CREDIT, "chain", "address"),
    "credit_response": (*_CREDIT, "status", "reject_reason"),
    "settlement": ("type", "report_id", "timestamp", "data"),
    "confirmation": ("type", "settlement_id", "user_id", "timestamp", "status", "details"),
}
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "credit_response": {"approved": "accepted"},
    "confirmation": {"confirmed": "completed", "rejected": "failed"},
}
"""What the seeds' generators say where the wire has another word."""


class DataGenerator:
    """Single values, made up."""

    @staticmethod
    def generate_id(prefix: str = "") -> str:
        """Return a prefix and eight hexadecimal digits."""
        return prefix + uuid.uuid4().hex[:8]

    @staticmethod
    def generate_timestamp() -> int:
        """Return the time in milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    @staticmethod
    def generate_string(length: int = 10) -> str:
        """Return any text of that length."""
        return _messages.text(length)

    @staticmethod
    def generate_amount(min_value: float = 0.1, max_value: float = 100.0) -> float:
        """Return an amount between two, of at most eight decimals."""
        return float(_messages.amount(Decimal(repr(min_value)), Decimal(repr(max_value))))

    @staticmethod
    def generate_asset() -> str:
        """Return an asset's symbol."""
        return _messages.asset()

    @staticmethod
    def generate_user_id() -> str:
        """Return a user's id."""
        return DataGenerator.generate_id("user-")

    @staticmethod
    def generate_address() -> str:
        """Return what could be an address."""
        return _messages.address()

    @staticmethod
    def generate_chain() -> str:
        """Return a chain's name."""
        return _messages.chosen(sorted(set(CHAINS.values())))

    @staticmethod
    def generate_custodian_id() -> str:
        """Return a custodian's id."""
        return _messages.chosen(CUSTODIANS)

    @staticmethod
    def generate_status() -> str:
        """Return a credit request's status."""
        return _messages.chosen(("pending", "accepted", "rejected"))


class CreditRequestGenerator:
    """Credit requests and their answers, made up."""

    @staticmethod
    def generate_credit_request(
        user_id: str | None = None,
        asset: str | None = None,
        amount: Any = None,
        custodian_id: str | None = None,
        chain: str | None = None,
        address: str | None = None,
        request_id: str | None = None,
        is_increase: bool | None = None,
    ) -> dict[str, Any]:
        """Return a credit request; an increase, unless it is said otherwise or the amount is negative."""
        size = _messages.amount() if amount is None else Decimal(to_amount(amount))
        increase = size > 0 if is_increase is None else is_increase
        change = abs(size) if increase else -abs(size)
        wire = _messages.credit_request(user=user_id, asset=asset, change=change, custodian=custodian_id)
        return {
            **wire,
            "request_id": request_id or DataGenerator.generate_id("cr-"),
            "user_id": wire["uid"],
            "amount": float(abs(size)),
            "custodian_id": wire["custodian"],
            "chain": chain or CHAINS.get(wire["asset"], wire["asset"]),
            "address": address or wire.get("address") or _messages.address(),
            "timestamp": DataGenerator.generate_timestamp(),
            "is_increase": increase,
            "status": "pending",
        }

    @staticmethod
    def generate_credit_response(
        request: Mapping[str, Any],
        status: str | None = None,
        vault_id: str | None = None,
        reject_reason: str | None = None,
    ) -> dict[str, Any]:
        """Return the answer to a request: `accepted`, unless a reason or another status is given."""
        status = status or ("rejected" if reject_reason else "accepted")
        rejected = status == "rejected"
        names = ("custodian", "request_id", "uid", "asset", "c_change", "ci", "user_id", "amount", "custodian_id")
        return {
            **{name: request[name] for name in names if name in request},
            "timestamp": DataGenerator.generate_timestamp(),
            "status": status,
            "reject_reason": (reject_reason or "refused for the test's sake") if rejected else "",
            "vault_id": vault_id or (None if rejected else DataGenerator.generate_id("vault-")),
        }

    @staticmethod
    def generate_credit_requests_batch(
        count: int, user_ids: Sequence[str] | None = None, assets: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return several requests, of these users and assets where they are given."""
        return [
            CreditRequestGenerator.generate_credit_request(
                _messages.chosen(user_ids) if user_ids else None, _messages.chosen(assets) if assets else None
            )
            for _ in range(count)
        ]

    @staticmethod
    def to_wire(message: Mapping[str, Any]) -> dict[str, str]:
        """Return a request or its answer as a stream's entry holds it."""
        return _to_wire(
            "credit_request" if message.get("status", "pending") == "pending" else "credit_response", message
        )


class SettlementGenerator:
    """Trades, settlement reports and confirmations, made up."""

    @staticmethod
    def generate_trade(
        user_id: str | None = None,
        buy_asset: str | None = None,
        sell_asset: str | None = None,
        buy_amount: Any = None,
        sell_amount: Any = None,
        trade_id: str | None = None,
    ) -> dict[str, Any]:
        """Return a trade of two assets."""
        trade = _messages.trade(
            buy_asset,
            sell_asset,
            None if buy_amount is None else Decimal(to_amount(buy_amount)),
            None if sell_amount is None else Decimal(to_amount(sell_amount)),
        )
        return {
            "trade_id": trade_id or DataGenerator.generate_id("trade-"),
            "user_id": user_id or DataGenerator.generate_user_id(),
            "buy_asset": trade.buy_asset,
            "sell_asset": trade.sell_asset,
            "buy_amount": float(trade.buy_amount),
            "sell_amount": float(trade.sell_amount),
            "timestamp": DataGenerator.generate_timestamp(),
        }

    @staticmethod
    def generate_settlement_report(
        user_id: str | None = None,
        trades: Sequence[Mapping[str, Any]] | None = None,
        settlement_id: str | None = None,
        settlement_date: str | None = None,
    ) -> dict[str, Any]:
        """Return the report of a user's trades; the positions are what they net to."""
        user_id = user_id or (trades[0]["user_id"] if trades else DataGenerator.generate_user_id())
        if trades is None:
            trades = [SettlementGenerator.generate_trade(user_id) for _ in range(2)]
        exact = [_exact(trade) for trade in trades]
        wire = _messages.settlement_report(user=user_id, trades=exact)
        report_id = settlement_id or DataGenerator.generate_id("settlement-")
        return {
            **wire,
            "report_id": report_id,
            "settlement_id": report_id,
            "user_id": user_id,
            "timestamp": DataGenerator.generate_timestamp(),
            "settlement_date": settlement_date or json.loads(wire["data"])["eod_time"][:10],
            "trades": [dict(trade) for trade in trades],
            "positions": [{"asset": asset, "amount": float(net)} for asset, net in net_of(exact).items()],
            "status": "pending",
        }

    @staticmethod
    def generate_settlement_confirmation(
        settlement_report: Mapping[str, Any], confirmation_id: str | None = None, status: str | None = None
    ) -> dict[str, Any]:
        """Return the confirmation of a report: `completed`, unless another status is given."""
        failed = "failed for the test's sake" if status in ("failed", "rejected") else ""
        wire = _messages.settlement_confirmation(
            {"data": settlement_report["data"], "report_id": settlement_report["report_id"]}, failed
        )
        return {
            **wire,
            "confirmation_id": confirmation_id or DataGenerator.generate_id("confirmation-"),
            "timestamp": DataGenerator.generate_timestamp(),
            "status": status or wire["status"],
        }

    @staticmethod
    def generate_settlement_reports_batch(count: int, user_ids: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return several reports, of these users where they are given."""
        return [
            SettlementGenerator.generate_settlement_report(_messages.chosen(user_ids) if user_ids else None)
            for _ in range(count)
        ]

    @staticmethod
    def to_wire(message: Mapping[str, Any]) -> dict[str, str]:
        """Return a report or a confirmation as a stream's entry holds it."""
        return _to_wire(message["type"], message)


class EventGenerator:
    """Events, made up."""

    @staticmethod
    def generate_event(
        event_type: str | None = None,
        source: str | None = None,
        data: Mapping[str, Any] | None = None,
        event_id: str | None = None,
    ) -> dict[str, Any]:
        """Return the six parts of an event."""
        kind = event_type or _messages.chosen([member.value for member in EventType])
        told = {"message": DataGenerator.generate_string()} if data is None else data
        return Event(
            kind, source or "test", told, event_id or DataGenerator.generate_id("event-"), metadata={"generated": True}
        ).to_dict()

    @staticmethod
    def generate_events_batch(
        count: int, event_types: Sequence[str] | None = None, sources: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return several events, of these types and sources where they are given."""
        return [
            EventGenerator.generate_event(
                _messages.chosen(event_types) if event_types else None, _messages.chosen(sources) if sources else None
            )
            for _ in range(count)
        ]


class AccountGenerator:
    """What the two sides have on their books, made up."""

    @staticmethod
    def generate_account_entry(
        user_id: str | None = None,
        asset: str | None = None,
        balance: Any = None,
        available: Any = None,
        reserved: Any = None,
    ) -> dict[str, Any]:
        """Return an account's entry; what is not given makes the balance what is available and what is reserved."""
        held = Decimal(0) if reserved is None else Decimal(to_amount(reserved))
        if balance is None:
            free = _messages.amount() if available is None else Decimal(to_amount(available))
            total = free + held
        else:
            total = Decimal(to_amount(balance))
            free = total - held if available is None else Decimal(to_amount(available))
            held = total - free if reserved is None else held
        return {
            **_owner(user_id, asset),
            "balance": float(total),
            "available": float(free),
            "reserved": float(held),
            **_stamps(),
        }

    @staticmethod
    def generate_credit_inventory_entry(
        user_id: str | None = None, asset: str | None = None, amount: Any = None
    ) -> dict[str, Any]:
        """Return a credit inventory's entry."""
        size = _messages.amount() if amount is None else Decimal(to_amount(amount))
        return {**_owner(user_id, asset), "amount": float(size), **_stamps()}

    @staticmethod
    def generate_vault_asset(
        user_id: str | None = None,
        asset: str | None = None,
        amount: Any = None,
        status: str | None = None,
        chain: str | None = None,
        address: str | None = None,
        vault_id: str | None = None,
    ) -> dict[str, Any]:
        """Return a lot of a vault, locked unless it is said otherwise."""
        owner = _owner(user_id, asset)
        size = _messages.amount() if amount is None else Decimal(to_amount(amount))
        now = DataGenerator.generate_timestamp()
        status = status or "locked"
        return {
            "vault_id": vault_id or DataGenerator.generate_id("vault-"),
            **owner,
            "amount": float(size),
            "chain": chain or CHAINS.get(owner["asset"], owner["asset"]),
            "address": address or _messages.address(),
            "status": status,
            "timestamp": now,
            "unlock_timestamp": now if status == "unlocked" else None,
            "pledge_request_id": DataGenerator.generate_id("pr-"),
        }


class DataGenerators(DataGenerator, CreditRequestGenerator, SettlementGenerator, EventGenerator, AccountGenerator):
    """All generators by one name; `to_wire` is here of whichever message."""

    @staticmethod
    def to_wire(message: Mapping[str, Any]) -> dict[str, str]:
        """Return a credit request, its answer, a report or a confirmation as a stream's entry holds it."""
        generator = SettlementGenerator if "type" in message else CreditRequestGenerator
        return generator.to_wire(message)


def _to_wire(kind: str, message: Mapping[str, Any]) -> dict[str, str]:
    wire = {name: to_text(message[name], name) for name in _WIRE[kind] if message.get(name) is not None}
    if isinstance(message["timestamp"], int):
        wire["timestamp"] = str(message["timestamp"] // 1000)
    if "status" in wire:
        wire["status"] = _WORDS[kind].get(wire["status"], wire["status"])
    if kind == "credit_request" and wire["c_change"].startswith("-"):
        wire = {name: text for name, text in wire.items() if name not in ("chain", "address")}
    return wire


def _exact(trade: Mapping[str, Any]) -> Trade:
    return Trade(
        trade["trade_id"],
        trade["buy_asset"],
        trade["sell_asset"],
        Decimal(fixed(to_amount(trade["buy_amount"], "buy_amount"))),
        Decimal(fixed(to_amount(trade["sell_amount"], "sell_amount"))),
    )


def _owner(user_id: str | None, asset: str | None) -> dict[str, str]:
    return {"user_id": user_id or DataGenerator.generate_user_id(), "asset": asset or DataGenerator.generate_asset()}


def _stamps() -> dict[str, Any]:
    now = DataGenerator.generate_timestamp()
    return {"timestamp": now, "last_updated": now, "transaction_id": DataGenerator.generate_id("tx-")}
