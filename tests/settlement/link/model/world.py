"""Everything that exists at an instant of the link: the parts of a world, each a value that can be hashed.

The durable parts hold the project's own values. What the search adds to them are ghosts, which no party reads: how
often a request took effect, and which released funds have left custody in the real world.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypeVar

from heliograph.model.settlement import Confirmation, CreditOrder, Decision, Report
from heliograph.settlement.credit import Request
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.ledger import Position
from heliograph.settlement.link import custodian, exchange
from heliograph.settlement.link.custodian import Applied, Writer
from heliograph.settlement.link.sequence import Arrival, Place
from heliograph.settlement.trading import Account

CYCLE = "c"
Fault = Literal["crash", "stale", "wipe", "empty", "brick", "rollback", "failover", "split"]
PROCESSES: tuple[Fault, ...] = ("crash", "stale")
MAILBOX: tuple[Fault, ...] = ("wipe", "empty", "brick", "rollback")
EVERY: tuple[Fault, ...] = (*PROCESSES, *MAILBOX, "failover")
Side = Literal["new", "old"]
T = TypeVar("T")


class Order(NamedTuple):
    """One request of a case: the user is a number, and so is each of a user's assets."""

    user: int
    kind: Literal["increase", "decrease"]
    amount: Decimal = Decimal(1)


class Case(NamedTuple):
    """What is explored: requests in order, how many cancels, which faults, how many of them in all; and a sale."""

    name: str
    orders: tuple[Order, ...]
    cancels: int
    faults: tuple[Fault, ...]
    budget: int
    sale: Decimal = Decimal(0)
    """What user 0 sells to user 1 at the exchange, once, if the credit allows it."""
    attempts: int = 1
    """How often it may be reported."""
    disputes: int = 0
    """How many legs may be disputed."""
    siblings: int = 1
    """How many replicas of P may be promoted."""

    def vault(self, user: int) -> Decimal:
        """Return what the user has in custody: what the increases need, and the same for every user."""
        needs = [sum(o.amount for o in self.orders if (o.user, o.kind) == (u, "increase")) for u in range(self.users)]
        return Decimal(max(needs))

    @property
    def users(self) -> int:
        """How many users there are."""
        return max(1 + max(order.user for order in self.orders), 2 if self.sale else 1)

    def order(self, about: int) -> CreditOrder:
        """Return a request as the project's value."""
        order = self.orders[about]
        return CreditOrder(order.kind, str(order.user), "BTC", format(order.amount, "f"))


class Message(NamedTuple):
    """What the custodian's outbox holds; `void` is only in a variant."""

    kind: Literal["order", "cancel", "confirmation", "void"]
    about: int
    arrival: Arrival
    confirmation: Confirmation | None = None


class Answer(NamedTuple):
    """What the exchange's outbox holds: a decision about a request, or a report."""

    about: int
    body: Decision | Report
    arrival: Arrival


class Primary(NamedTuple):
    """What is durable on P, or on its sibling. `effects` is a ghost."""

    writer: Writer
    cursor: custodian.Cursor
    acked: int
    outbox: tuple[Message, ...]
    requests: tuple[Request | None, ...]
    positions: tuple[Position, ...]
    effects: tuple[int, ...]
    cycle: Cycle | None = None


class View(NamedTuple):
    """What R shows of P. `mirrored` only where a variant reads it."""

    out: tuple[Message, ...]
    trimmed: int
    acked: int
    mirrored: tuple[Decimal, ...] | None


class Mailbox(NamedTuple):
    """The exchange's ring on R: the answers in it, sorted, and how many of its keys are exhausted."""

    answers: tuple[Answer, ...] = ()
    bricked: int = 0


class Journal(NamedTuple):
    """The exchange's SQLite file."""

    cursor: exchange.Cursor
    rows: tuple[exchange.Row | None, ...]
    outbox: tuple[Answer, ...]
    accounts: tuple[Account, ...]
    traded: bool = False
    cycle: Cycle | None = None


class ExchangeProcess(NamedTuple):
    """What one process of the exchange remembers: what it read, and what a variant relies on."""

    read: Message | None = None
    memory: Journal | Answer | None = None
    sent: int = 0


class CustodianProcess(NamedTuple):
    """What one process of the custodian remembers."""

    writer: Writer
    read: Answer | None = None
    memory: int | Literal["half"] | None = None
    deaf: bool = False
    at: Side = "new"


class World(NamedTuple):
    """All of it. The order is that of the fields in a packed key."""

    primary: Primary
    sibling: Primary
    view: View
    mailbox: Mailbox
    journal: Journal
    exchanges: tuple[ExchangeProcess, ...]
    custodians: tuple[CustodianProcess, ...]
    paid: tuple[bool, ...]
    faults_left: int
    old: Primary | None
    """The primary of before, which runs on though a sibling was promoted."""
    source: Side
    """Which of the two R follows."""
    third: Primary | None
    """What a second sibling has, where there is one."""


Part = Literal[
    "primary", "sibling", "view", "mailbox", "journal", "exchanges", "custodians", "paid", "faults_left",
    "old", "source", "third",
]  # fmt: skip
Changes = dict[str, Any]
"""What a step leaves behind, by part."""
Step = tuple[str, Changes]


@dataclass(frozen=True)
class Rules:
    """The protocol. The defaults are the project's functions; every other value is a variant to be refuted."""

    publishable: Callable[..., int] = custodian.publishable
    acknowledgeable: Callable[..., int] = custodian.acknowledgeable
    payable: Callable[..., bool] = custodian.payable
    of_ours: Callable[[Writer, Writer | None], bool] = custodian.of_ours
    next_answer: Callable[[custodian.Cursor, int], Place] = custodian.next_answer
    apply: Callable[..., Applied] = custodian.apply
    fenced: Callable[[Writer, Writer], bool] = custodian.fenced
    decide: Callable[..., exchange.Decided] = exchange.decide
    sendable: Callable[[exchange.Cursor], range] = exchange.sendable
    witness: Literal["sibling", "also R"] = "sibling"
    owner: Literal["fresh", "none"] = "fresh"
    cursor: Literal["P", "memory", "after effect", "before effect"] = "P"
    expiry: Literal["ask", "release", "void unpublished"] = "ask"
    decrease: Literal["on accept", "on send"] = "on accept"
    pending: Literal["journal", "memory"] = "journal"
    outbox: Literal["with the decision", "apart"] = "with the decision"
    inbox: Literal["journal", "group on R"] = "journal"
    resend: Literal["unacknowledged", "at next write", "when nil"] = "unacknowledged"
    limit: Literal["journal", "R"] = "journal"
    reconnect: Literal["takes over", "goes on"] = "takes over"
    reader: Literal["whole", "after last id"] = "whole"
    trim: Literal["acknowledged", "by length"] = "acknowledged"
    acked: Literal["acknowledged", "applied"] = "acknowledged"
    keys: int = 4


def put(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    """Return the tuple with one item changed."""
    return (*values[:index], value, *values[index + 1 :])


def without(values: tuple[T, ...], index: int) -> tuple[T, ...]:
    """Return the tuple with one item less."""
    return values[:index] + values[index + 1 :]


def some(values: Iterable[T | None]) -> list[T]:
    """Return those that are there."""
    return [value for value in values if value is not None]


def view_of(primary: Primary, rules: Rules) -> View:
    """Return what R shows once it has all of P."""
    cursor = primary.cursor
    acked = primary.acked if rules.acked == "acknowledged" else cursor.applied
    mirrored = tuple(p.credit for p in primary.positions) if rules.limit == "R" else None
    return View(primary.outbox[: cursor.published], cursor.trimmed, acked, mirrored)


def start(case: Case, rules: Rules) -> World:
    """Return the world before anything happened."""
    count, users = len(case.orders), range(case.users)
    writer = Writer(1, "")
    positions = tuple(Position(available=case.vault(user)) for user in users)
    primary = Primary(writer, custodian.Cursor(), 0, (), (None,) * count, positions, (0,) * count)
    journal = Journal(exchange.Cursor(), (None,) * count, (), (Account(),) * case.users)
    return World(
        primary=primary,
        sibling=primary,
        view=view_of(primary, rules),
        mailbox=Mailbox(),
        journal=journal,
        exchanges=(ExchangeProcess(memory=journal if rules.pending == "memory" else None),),
        custodians=(CustodianProcess(writer, memory=0 if rules.cursor == "memory" else None),),
        paid=(False,) * count,
        faults_left=case.budget,
        old=None,
        source="new",
        third=primary if case.siblings > 1 else None,
    )
