"""The commands of `heliograph settle` that change the custodian's books: each asks the custodian that runs."""

import getpass
import sys
import time
import uuid
from typing import Final

import msgspec

from heliograph.cli import settle_control as control
from heliograph.cli.serve_custodian import Told
from heliograph.cli.settle_parties import Party
from heliograph.cli.settle_show import print_cycle, print_freezes, print_request
from heliograph.cli.settle_table import moment, print_json, print_table
from heliograph.clock import NS_PER_S
from heliograph.errors import ConfigError
from heliograph.model.settlement import CreditOrder, OrderKind, amount_text, positive
from heliograph.settlement.credit import Request
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.freeze import Direction, Freeze, Freezes, Level
from heliograph.settlement.ledger import ACCOUNTS, Position

LEVELS: Final[tuple[Level, ...]] = ("link", "party", "asset", "account")
WAYS: Final[tuple[Direction, ...]] = ("all", "inbound", "outbound")


class Coins(msgspec.Struct, frozen=True):
    """Whose coins, which, how many, and where they lie."""

    user: str
    asset: str
    amount: str
    chain: str = ""
    address: str = ""


class Order(msgspec.Struct, frozen=True):
    """How a request is made.

    Args:
        id: for ever this request; empty: a new one is chosen, and told.
        wait_s: how long to wait for the exchange's answer.
        expires_s: after how long it is taken back; 0: never.

    """

    id: str = ""
    wait_s: float = 10.0
    expires_s: float = 0.0


def deposit(party: Party, coins: Coins, reference: str, *, as_json: bool) -> int:
    """Book coins that have come into custody, and print the user's accounts.

    Args:
        party: the custodian.
        coins: what came.
        reference: of the movement outside; the same again books nothing.
        as_json: one JSON object instead of a table.

    Raises:
        SettlementError: it was refused, and nothing changed; `no_service`.
        OutcomeUnknown: give the same command again.

    """
    amount = amount_text(positive(coins.amount))
    asked = control.Deposit(coins.user, coins.asset, amount, reference, coins.chain, coins.address)
    return _accounts(control.ask(party.control, asked), coins, as_json=as_json)


def withdraw(party: Party, coins: Coins, reference: str, *, as_json: bool) -> int:
    """Begin to pay coins out, and print the user's accounts; as `deposit`."""
    amount = amount_text(positive(coins.amount))
    asked = control.Withdraw(coins.user, coins.asset, amount, reference, coins.chain, coins.address)
    return _accounts(control.ask(party.control, asked), coins, as_json=as_json)


def _accounts(raw: bytes, coins: Coins, *, as_json: bool) -> int:
    position = msgspec.json.decode(raw, type=Position)
    if as_json:
        print_json({"user": coins.user, "asset": coins.asset, "position": position})
    else:
        figures = [getattr(position, account) for account in ACCOUNTS]
        print_table(("user", "asset", *ACCOUNTS), [(coins.user, coins.asset, *figures)])
    return 0


def order(party: Party, kind: OrderKind, coins: Coins, how: Order, *, as_json: bool) -> int:
    """Ask the exchange for more credit or less, wait for its answer, and print the request.

    Args:
        party: the custodian.
        kind: `increase` pledges coins, `decrease` takes them back.
        coins: which.
        how: the request's id, and how long to wait.
        as_json: one JSON object instead of a table.

    Returns:
        0 if it was accepted, or if nobody waited; 1 if it was rejected, or not answered in time.

    Raises:
        SettlementError: it was refused, and nothing changed; `no_service`.
        OutcomeUnknown: give the same command again, with the same id.

    """
    request_id = how.id
    if not request_id:
        request_id = f"cli-{uuid.uuid4().hex}"
        print(f"request {request_id}", file=sys.stderr)
    expires_ns = time.time_ns() + round(how.expires_s * NS_PER_S) if how.expires_s else 0
    asked = CreditOrder(
        kind, coins.user, coins.asset, amount_text(positive(coins.amount)), coins.chain, coins.address, expires_ns
    )
    return _answered(
        control.ask(party.control, control.Ask(request_id, asked, how.wait_s), how.wait_s), how, as_json=as_json
    )


def cancel(party: Party, request_id: str, reason: str, wait_s: float, *, as_json: bool) -> int:
    """Ask for a request back, wait for the exchange's answer, and print the request; as `order`.

    It holds what it holds until the exchange has answered.
    """
    how = Order(request_id, wait_s)
    return _answered(
        control.ask(party.control, control.Cancel(request_id, reason, wait_s), wait_s), how, as_json=as_json
    )


def _answered(raw: bytes, how: Order, *, as_json: bool) -> int:
    request = msgspec.json.decode(raw, type=Request)
    if as_json:
        print_json(request)
    else:
        print_request(request)
    if request.state in ("held", "asked"):
        if how.wait_s:
            print(f"no answer after {how.wait_s:g} s: it holds what it holds", file=sys.stderr)
        return 1 if how.wait_s else 0
    return 0 if request.state == "posted" else 1


def dispute(party: Party, cycle_id: str, leg_id: str, code: str, reason: str, *, as_json: bool) -> int:
    """Dispute a leg of a report, or with an empty code take the dispute back, and print the cycle.

    Raises:
        SettlementError: it was refused; `no_service`.
        OutcomeUnknown: give the same command again.

    """
    asked: control.Command = control.Dispute(cycle_id, leg_id, code, reason)
    if not code:
        asked = control.Retract(cycle_id, leg_id)
    cycle = msgspec.json.decode(control.ask(party.control, asked), type=Cycle)
    if as_json:
        print_json(cycle)
    else:
        print_cycle(cycle)
    return 0


class Stopping(msgspec.Struct, frozen=True):
    """What shall be frozen, as the command line says it."""

    level: str
    user: str
    asset: str
    code: str
    why: str
    direction: str
    who: str
    until: str
    """An instant of ISO 8601; empty: until it is lifted."""
    delegation: bool


def freeze(party: Party, wanted: Stopping, *, as_json: bool) -> int:
    """Freeze something, and print all that is frozen.

    Raises:
        ConfigError: the level, the direction or the instant is none.
        SettlementError: `bad_freeze`, `no_service`.

    """
    if wanted.level not in LEVELS:
        raise ConfigError(f"unknown level {wanted.level!r}", LEVELS)
    if wanted.direction not in WAYS:
        raise ConfigError(f"unknown direction {wanted.direction!r}", WAYS)
    until_ns = moment(wanted.until)
    asked = Freeze(
        level=wanted.level,
        direction=wanted.direction,
        code=wanted.code,
        who=wanted.who or getpass.getuser(),
        why=wanted.why,
        since_ns=time.time_ns(),
        until_ns=0 if until_ns is None else max(1, until_ns),  # 0 would be for ever.
        user=wanted.user,
        asset=wanted.asset,
        delegation=wanted.delegation,
    )
    return _frozen(control.ask(party.control, control.Stop(asked)), as_json=as_json)


def unfreeze(party: Party, place: str, *, as_json: bool) -> int:
    """End a freeze, and print those that are left.

    Raises:
        SettlementError: `not_frozen`, `no_service`.

    """
    return _frozen(control.ask(party.control, control.Lift(place)), as_json=as_json)


def _frozen(raw: bytes, *, as_json: bool) -> int:
    freezes = msgspec.json.decode(raw, type=Freezes)
    if as_json:
        print_json(freezes.orders)
    else:
        print_freezes(freezes)
    return 0


def status(party: Party, *, as_json: bool) -> int:
    """Ask a running custodian how it is; 1 if it takes no more answers.

    Raises:
        SettlementError: `no_service`.

    """
    raw = control.ask(party.control, control.Status())
    told = msgspec.json.decode(raw, type=Told)
    if as_json:
        print_json(told)
    else:
        print_table(("link", "halted", "refused"), [(told.link, told.halted or "no", told.refused)])
    return 1 if told.halted else 0
