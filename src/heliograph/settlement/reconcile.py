"""Both sides' books beside one another: per account and asset every figure, the difference, and what explains it.

A difference is explained by what is on its way: a request, an answer, a settlement, trades that no report has taken.
Each such thing is looked up by its id on both sides, so it explains exactly its own amount; what is left is
`unexplained`, and nothing else is. The two snapshots are of two instants, so what moved between them may be unexplained
for that once: read both again before you raise an alarm.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Literal

import msgspec

from heliograph.settlement.credit import OPEN, Request
from heliograph.settlement.cycle import ANSWERED, Cycle, Place
from heliograph.settlement.ledger import EXACT, ZERO, Position, total
from heliograph.settlement.link import custodian, exchange
from heliograph.settlement.netting import Flow
from heliograph.settlement.trading import Account

Figure = Literal["held", "returning", "credit", "settling", "arriving", "unreported"]
Code = Literal[
    "in_flight_request", "unapplied_answer", "unacknowledged", "in_settlement", "unsettled_change", "unexplained"
]  # fmt: skip


class Holding(msgspec.Struct, frozen=True):
    """One user's position in one asset at the custodian."""

    user: str
    asset: str
    position: Position


class Trader(msgspec.Struct, frozen=True):
    """One user's account in one asset at the exchange."""

    user: str
    asset: str
    account: Account


class CustodianBooks(msgspec.Struct, frozen=True):
    """What the custodian has at one instant.

    Args:
        holdings: every position.
        requests: those that are open, at least.
        cycles: those that the exchange has not closed, at least.
        cursor: how far its link is.

    """

    holdings: tuple[Holding, ...]
    requests: tuple[Request, ...]
    cycles: tuple[Cycle, ...]
    cursor: custodian.Cursor


class ExchangeBooks(msgspec.Struct, frozen=True):
    """What the exchange has at one instant.

    Args:
        traders: every account.
        requests: those that are open at the custodian, at least: all above `pruned` and all that are pending.
        cycles: those that are not closed, at least.
        cursor: how far its link is.
        unreported: the sums of the trades that no report has taken, to check the accounts by; None takes their word.

    """

    traders: tuple[Trader, ...]
    requests: tuple[exchange.Row, ...]
    cycles: tuple[Cycle, ...]
    cursor: exchange.Cursor
    unreported: tuple[Flow, ...] | None = None


class Cause(msgspec.Struct, frozen=True):
    """What explains a part of a difference.

    Args:
        code: what it is.
        id: of the request or cycle; empty where there is none.
        amount: the part.

    """

    code: Code
    id: str
    amount: Decimal


class Line(msgspec.Struct, frozen=True):
    """One figure of one account in one asset.

    Args:
        user: whose.
        asset: in which asset.
        figure: `credit` is the credit inventory against the limit; `settling` what both hold of sales; `held` and
            `returning` are the custodian's alone, `arriving` and `unreported` the exchange's.
        custodian: the custodian's.
        exchange: the exchange's.
        difference: custodian - exchange.
        causes: what sums to the difference.

    """

    user: str
    asset: str
    figure: Figure
    custodian: Decimal
    exchange: Decimal
    difference: Decimal
    causes: tuple[Cause, ...]


class Lag(msgspec.Struct, frozen=True):
    """How far apart the two ends of a sequence are.

    Args:
        sequence: requests recorded and taken, answers decided and applied, answers applied and forgotten.
        ahead: the end that goes first.
        behind: the end that follows.
        code: why they differ; empty if they do not.

    """

    sequence: Literal["requests", "answers", "acknowledgements"]
    ahead: int
    behind: int
    code: Code | Literal[""]


class Reconciliation(msgspec.Struct, frozen=True):
    """The comparison: every line in which either side has something, and the three sequences."""

    lines: tuple[Line, ...]
    lags: tuple[Lag, ...]

    @property
    def agreed(self) -> bool:
        """Whether both sides have the same in every line, and nothing is on its way."""
        return not any(line.causes for line in self.lines) and not any(lag.code for lag in self.lags)

    @property
    def unexplained(self) -> int:
        """How many lines and sequences differ without a cause."""
        lines = sum(any(cause.code == "unexplained" for cause in line.causes) for line in self.lines)
        return lines + sum(lag.code == "unexplained" for lag in self.lags)


_Effect = tuple[Place, Figure, Cause]


def reconciled(ours: CustodianBooks, theirs: ExchangeBooks) -> Reconciliation:
    """Compare the books of both sides."""
    causes: dict[tuple[Place, Figure], list[Cause]] = {}
    for effects in (
        _requests(ours.requests, theirs.requests),
        _cycles(ours.cycles, theirs.cycles),
        _trades(theirs),
    ):
        for place, figure, cause in effects:
            causes.setdefault((place, figure), []).append(cause)
    positions = {(each.user, each.asset): each.position for each in ours.holdings}
    accounts = {(each.user, each.asset): each.account for each in theirs.traders}
    lines: list[Line] = []
    for place in sorted({*positions, *accounts, *(place for place, _ in causes)}):
        for figure, here, there in _figures(positions.get(place, Position()), accounts.get(place, Account())):
            found = causes.get((place, figure), [])
            if here or there or found:
                lines.append(_line(place, figure, here, there, found))
    return Reconciliation(tuple(lines), _lags(ours.cursor, theirs.cursor))


def _figures(position: Position, account: Account) -> Iterator[tuple[Figure, Decimal, Decimal]]:
    yield "held", position.held, ZERO
    yield "returning", position.returning, ZERO
    yield "credit", position.credit, account.limit
    yield "settling", position.settling, account.settling
    yield "arriving", ZERO, account.arriving
    yield "unreported", ZERO, account.unreported


def _line(place: Place, figure: Figure, here: Decimal, there: Decimal, causes: list[Cause]) -> Line:
    difference = EXACT.subtract(here, there)
    left = EXACT.subtract(difference, total(cause.amount for cause in causes))
    if left:
        causes = [*causes, Cause("unexplained", "", left)]
    return Line(*place, figure, here, there, difference, tuple(causes))


def _requests(ours: Iterable[Request], theirs: Iterable[exchange.Row]) -> Iterator[_Effect]:
    """What open requests do: the coins that they hold, and the answers that are decided and not yet applied."""
    rows = {row.id: row for row in theirs}
    for request in ours:
        if request.state not in OPEN or request.kind == "pledge":
            continue
        place = (request.user, request.asset)
        row = rows.get(request.id)
        answered = row is not None and row.state != "pending"
        code: Code = "unapplied_answer" if answered else "in_flight_request"
        increase = request.kind == "increase"
        yield place, "held" if increase else "returning", Cause(code, request.id, request.amount)
        if row is not None and row.state == "accepted":
            # The exchange lets the user trade on more already, or on less; the custodian does not know it yet.
            amount = request.amount.copy_negate() if increase else request.amount
            yield place, "credit", Cause(code, request.id, amount)


def _cycles(ours: Iterable[Cycle], theirs: Iterable[Cycle]) -> Iterator[_Effect]:
    """What a report does that the exchange has sent, and whose answer it has not taken."""
    kept = {(cycle.id, cycle.attempt): cycle for cycle in ours}
    for cycle in theirs:
        if cycle.state != "proposed":
            continue
        mine = kept.get((cycle.id, cycle.attempt))
        code: Code = "in_settlement" if mine is not None else "unapplied_answer"
        legs = {leg.leg_id: leg for leg in mine.legs} if mine is not None else {}
        for leg in cycle.legs:
            if leg.net > 0:
                yield leg.place, "arriving", Cause("in_settlement", cycle.id, leg.net.copy_negate())
                continue
            here = legs.get(leg.leg_id)
            if here is not None and here.held:
                continue
            yield leg.place, "settling", Cause(code, cycle.id, leg.net)
            paid = mine is not None and mine.state in ANSWERED and here is not None and here.state == "settled"
            if not paid:
                yield leg.place, "credit", Cause(code, cycle.id, leg.net.copy_negate())


def _trades(theirs: ExchangeBooks) -> Iterator[_Effect]:
    if theirs.unreported is None:
        flows: Iterable[Flow] = (Flow(each.user, each.asset, each.account.unreported) for each in theirs.traders)
    else:
        flows = theirs.unreported
    for flow in flows:
        if flow.net:
            yield (flow.user, flow.asset), "unreported", Cause("unsettled_change", "", flow.net.copy_negate())


def _lags(ours: custodian.Cursor, theirs: exchange.Cursor) -> tuple[Lag, ...]:
    requests = _lag(ours.recorded, theirs.inbox, "in_flight_request", same=ours.recorded_digest == theirs.inbox_digest)
    answers = _lag(theirs.last, ours.applied, "unapplied_answer", same=theirs.last_digest == ours.applied_digest)
    return (
        Lag("requests", ours.recorded, theirs.inbox, requests),
        Lag("answers", theirs.last, ours.applied, answers),
        Lag(
            "acknowledgements",
            ours.applied,
            theirs.pruned,
            _lag(ours.applied, theirs.pruned, "unacknowledged", same=True),
        ),
    )


def _lag(ahead: int, behind: int, code: Code, *, same: bool) -> Code | Literal[""]:
    if ahead > behind:
        return code
    return "" if ahead == behind and same else "unexplained"
