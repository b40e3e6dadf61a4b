"""A settlement cycle, as each side keeps it.

::

    the exchange:   open ─▶ cut_off ─▶ calculated ─▶ proposed ─▶ confirmed ─▶ reconciled ─▶ closed
                                           ▲             └─▶ refused ─▶ closed
                                           └──────────────────┘
    the custodian:  proposed ⇄ verified ⇄ disputed ─▶ executing ─▶ confirmed ─▶ reconciled ─▶ closed
                        ▲                                 └─▶ refused ─▶ closed
                        └─────────────────────────────────────────┘

The exchange cuts off, calculates and proposes a report. The custodian holds what was sold (granted to settling) as soon
as the report is applied. A leg whose coins a decrease still holds, which the exchange has not answered, *waits*: the
answer comes after the report, and the exchange's remaining credit covers the leg whatever it says. Until the window
ends, legs can be disputed and disputes retracted. Then everything is decided at once: what waits, is refused or
disputed is left out with whatever must be left out for each asset to sum to zero; the rest settles, sellers paying
buyers through `clearing`; the coins of what is left out are granted again, and its trades roll on at the exchange.

A cycle of which nothing settled is refused: the exchange may calculate it again, as the next attempt.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, Literal

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.settlement import Confirmation, Leg, LegOutcome, Report, name
from heliograph.settlement import trading
from heliograph.settlement.ledger import Account, Position, Transfer, credited, debited, moved, within
from heliograph.settlement.netting import Flow, excluded, imbalance, signed
from heliograph.settlement.verification import Terms, fault, judged

Side = Literal["custodian", "exchange"]
State = Literal[
    "open", "cut_off", "calculated", "proposed", "verified", "disputed", "executing", "confirmed", "refused",
    "reconciled", "closed",
]  # fmt: skip
LegState = Literal["proposed", "waiting", "ready", "settled", "excluded", "disputed"]
Place = tuple[str, str]
"""A user and an asset."""

NEXT: Final[dict[Side, dict[State, tuple[State, ...]]]] = {
    "exchange": {
        "open": ("cut_off",),
        "cut_off": ("calculated", "closed"),
        "calculated": ("proposed",),
        "proposed": ("confirmed", "refused"),
        "refused": ("calculated", "closed"),
        "confirmed": ("reconciled",),
        "reconciled": ("closed",),
        "closed": (),
    },
    "custodian": {
        "proposed": ("proposed", "verified", "disputed", "executing"),
        "verified": ("disputed", "executing"),
        "disputed": ("disputed", "verified", "proposed", "executing"),
        "executing": ("confirmed", "refused"),
        "refused": ("proposed", "verified", "disputed", "closed"),
        "confirmed": ("reconciled",),
        "reconciled": ("closed",),
        "closed": (),
    },
}
"""Whatever can follow each state, at each side."""
UNDECIDED: Final[tuple[State, ...]] = ("proposed", "verified", "disputed")
ANSWERED: Final[tuple[State, ...]] = ("confirmed", "refused", "reconciled", "closed")

_TOGETHER: Final = "another leg of this user does not settle"
_BALANCE: Final = "with it the legs that settle would not sum to zero"
_RETURNING: Final = "the exchange has not answered a decrease that holds the coins"


class Entry(msgspec.Struct, frozen=True):
    """A leg and what became of it.

    Args:
        leg_id: unique in its report.
        user: whose account.
        asset: in which asset.
        net: sold if negative, bought if positive.
        trades: the digest of the trades.
        state: where it is; the exchange knows `proposed` and the outcomes alone.
        held: whether the custodian holds what was sold.
        code: why it does not settle, or not yet.
        reason: the same in words.

    """

    leg_id: str
    user: str
    asset: str
    net: Decimal
    trades: str = ""
    state: LegState = "proposed"
    held: bool = False
    code: str = ""
    reason: str = ""

    @property
    def place(self) -> Place:
        """Whose account, in which asset."""
        return self.user, self.asset


class Cycle(msgspec.Struct, frozen=True):
    """One cycle at one side.

    Args:
        id: the exchange's choice.
        side: whose this is.
        state: where it is.
        cut_off_ns: the last instant that is in it, by the exchange's clock; 0 before the cut-off.
        attempt: of the report; 0 before there is one.
        report: the digest of the report's content.
        until_ns: the end of the dispute window, by the custodian's clock.
        legs: in the report's order.
        version: 1, and one more at each change.

    """

    id: str
    side: Side
    state: State
    cut_off_ns: int = 0
    attempt: int = 0
    report: str = ""
    until_ns: int = 0
    legs: tuple[Entry, ...] = ()
    version: int = 1


class Step(msgspec.Struct, frozen=True):
    """What the custodian does: the cycle and the changed positions after it, and the movements between."""

    cycle: Cycle
    positions: dict[Place, Position]
    transfers: tuple[Transfer, ...]


def opened(cycle_id: str) -> Cycle:
    """Return a cycle of the exchange's that gathers trades."""
    return Cycle(name(cycle_id, "cycle"), "exchange", "open")


def cut(cycle: Cycle, cut_off_ns: int) -> Cycle:
    """Return the exchange's cycle after its cut-off.

    Raises:
        SettlementError: `<state>`: it is not open.

    """
    return _entered(cycle, "cut_off", cut_off_ns=cut_off_ns)


def calculated(cycle: Cycle, report: Report, digest: str) -> Cycle:
    """Return the exchange's cycle with its report, the first or the next attempt.

    Args:
        cycle: cut off, or refused.
        report: what to propose.
        digest: of the report's content, in hexadecimal.

    Raises:
        SettlementError: `wrong_attempt`, `wrong_cut_off`, those of `verification.fault`, `<state>`.

    """
    if report.attempt != cycle.attempt + 1:
        raise SettlementError("wrong_attempt", f"attempt {report.attempt} after {cycle.attempt} of {cycle.id}")
    if report.cut_off_ns < cycle.cut_off_ns:
        raise SettlementError("wrong_cut_off", f"the report ends before the cut-off of {cycle.id}")
    if wrong := fault(report):
        raise SettlementError(wrong.code, wrong.reason)
    legs = tuple(map(_entry, report.legs))
    return _entered(cycle, "calculated", cut_off_ns=report.cut_off_ns, attempt=report.attempt, report=digest, legs=legs)


def proposed(cycle: Cycle) -> Cycle:
    """Return the exchange's cycle after its report was recorded for sending.

    Raises:
        SettlementError: `<state>`: it is not calculated.

    """
    return _entered(cycle, "proposed")


def answered(cycle: Cycle, confirmation: Confirmation) -> Cycle:
    """Return the exchange's cycle after the custodian's word; what each leg then does to its account: `booked`.

    Raises:
        SettlementError: `repeated`: it has this answer already; `conflict`: it has another; `wrong_attempt`: the
            answer to an earlier or a future attempt; `wrong_report`, `wrong_legs`: the answer to something else;
            `unbalanced`: what is said to be settled does not sum to zero; `<state>`: no answer was due.

    """
    if confirmation.attempt != cycle.attempt:
        raise SettlementError("wrong_attempt", f"{cycle.id} is at attempt {cycle.attempt}, not {confirmation.attempt}")
    if confirmation.report != cycle.report:
        raise SettlementError("wrong_report", f"not the report of {cycle.id}")
    if [outcome.leg_id for outcome in confirmation.outcomes] != [leg.leg_id for leg in cycle.legs]:
        raise SettlementError("wrong_legs", f"not the legs of {cycle.id} in their order")
    legs = tuple(
        msgspec.structs.replace(leg, state=said.outcome, code=said.code, reason=said.reason)
        for leg, said in zip(cycle.legs, confirmation.outcomes, strict=True)
    )
    if cycle.state in ANSWERED:
        code = "repeated" if legs == cycle.legs else "conflict"
        raise SettlementError(code, f"{cycle.id} has an answer")
    if imbalance(_flows(leg for leg in legs if leg.state == "settled")):
        raise SettlementError("unbalanced", f"what settled of {cycle.id} does not sum to zero")
    return _entered(cycle, _outcome(legs), legs=legs)


def booked(account: trading.Account, leg: Entry) -> trading.Account:
    """Return the exchange's account of a leg's user and asset after the custodian's word on it.

    Raises:
        SettlementError: as `trading.settled` and `trading.rolled` say; `undecided`: there was no word on it.

    """
    if leg.state not in ("settled", "excluded", "disputed"):
        raise SettlementError("undecided", f"leg {leg.leg_id} is {leg.state}")
    return (trading.settled if leg.state == "settled" else trading.rolled)(account, leg.net)


def received(
    before: Cycle | None,
    cycle_id: str,
    report: Report,
    digest: str,
    until_ns: int,
    terms: Terms,
    positions: Mapping[Place, Position],
) -> Step:
    """Take a report at the custodian: judge it, and hold what was sold.

    Args:
        before: the cycle as the custodian has it; None if it is new.
        cycle_id: the envelope's id.
        report: what the exchange proposes.
        digest: of the report's content, in hexadecimal.
        until_ns: the end of the dispute window; a report that is at fault as a whole has none.
        terms: what to judge it by.
        positions: of every leg's user and asset, where there is one.

    Raises:
        SettlementError: `repeated`, `conflict`: this attempt is here already, the same or other content;
            `wrong_attempt`: not the attempt that is due; `<state>`: the cycle is not refused.

    """
    if before is not None and report.attempt == before.attempt:
        code = "repeated" if digest == before.report else "conflict"
        raise SettlementError(code, f"attempt {report.attempt} of {cycle_id} is here already")
    due = before.attempt + 1 if before is not None else 1
    if report.attempt != due:
        raise SettlementError("wrong_attempt", f"attempt {report.attempt} of {cycle_id}, {due} is due")
    if before is not None and before.state != "refused":
        raise _misplaced(before, "proposed")
    cycle = Cycle(
        id=name(cycle_id, "cycle"),
        side="custodian",
        state="proposed",
        cut_off_ns=report.cut_off_ns,
        attempt=report.attempt,
        report=digest,
        until_ns=until_ns,
        version=1 if before is None else before.version + 1,
    )
    if wrong := fault(report):
        legs = tuple(
            Entry(leg.leg_id, leg.user, leg.asset, Decimal(0), leg.trades, "disputed", False, wrong.code, wrong.reason)
            for leg in report.legs
        )
        return Step(msgspec.structs.replace(cycle, state="disputed", until_ns=0, legs=legs), {}, ())
    return _held(msgspec.structs.replace(cycle, legs=tuple(_judged(leg, terms) for leg in report.legs)), positions)


def retried(cycle: Cycle, positions: Mapping[Place, Position]) -> Step:
    """Try again to hold what waits, after the exchange answered a decrease.

    Raises:
        SettlementError: `<state>`: it is decided.

    """
    if cycle.state not in UNDECIDED:
        raise _misplaced(cycle, "verified")
    step = _held(cycle, positions)
    if step.cycle == cycle:
        return step
    return msgspec.structs.replace(step, cycle=msgspec.structs.replace(step.cycle, version=cycle.version + 1))


def disputed(cycle: Cycle, leg_id: str, code: str, reason: str, now_ns: int) -> Cycle:
    """Return the custodian's cycle with a leg disputed, by its user or an operator.

    Raises:
        SettlementError: `window_closed`; `unknown_leg`; `excluded`, `disputed`: the leg does not settle anyway;
            `<state>`: it is decided.

    """
    leg = _open_leg(cycle, leg_id, now_ns)
    if leg.state not in ("ready", "waiting"):
        raise SettlementError(leg.state, f"leg {leg_id} does not settle anyway: {leg.code}")
    return _judgement(cycle, _replaced(cycle, msgspec.structs.replace(leg, state="disputed", code=code, reason=reason)))


def retracted(cycle: Cycle, leg_id: str, now_ns: int) -> Cycle:
    """Return the custodian's cycle with a dispute taken back; a leg that is not held waits until `retried`.

    Raises:
        SettlementError: `window_closed`; `unknown_leg`; `not_disputed`; `final`: the custodian's own finding, which is
            not anybody's to take back; `<state>`: it is decided.

    """
    leg = _open_leg(cycle, leg_id, now_ns)
    if leg.state != "disputed":
        raise SettlementError("not_disputed", f"leg {leg_id} is {leg.state}")
    if leg.code in ("wrong_net", "wrong_digest"):
        raise SettlementError("final", f"leg {leg_id} is disputed by the custodian: {leg.code}")
    state: LegState = "ready" if leg.held or leg.net > 0 else "waiting"
    return _judgement(cycle, _replaced(cycle, msgspec.structs.replace(leg, state=state, code="", reason="")))


def decided(cycle: Cycle, now_ns: int) -> Cycle:
    """Return the custodian's cycle with the outcome of every leg, after its window.

    Raises:
        SettlementError: `window_open`; `<state>`: it is decided already.

    """
    if cycle.state in UNDECIDED and now_ns < cycle.until_ns:
        raise SettlementError("window_open", f"{cycle.id} may be disputed until {cycle.until_ns} ns")
    refused = {leg.user for leg in cycle.legs if leg.state != "ready"}
    out = excluded(_flows(cycle.legs), refused)
    legs: list[Entry] = []
    for leg in cycle.legs:
        if leg.state == "ready":
            if leg.user not in out:
                after = msgspec.structs.replace(leg, state="settled")
            elif leg.user in refused:
                after = msgspec.structs.replace(leg, state="excluded", code="user_excluded", reason=_TOGETHER)
            else:
                after = msgspec.structs.replace(leg, state="excluded", code="counterpart_excluded", reason=_BALANCE)
        else:
            after = msgspec.structs.replace(leg, state="disputed" if leg.state == "disputed" else "excluded")
        legs.append(after)
    return _entered(cycle, "executing", legs=tuple(legs))


def executed(cycle: Cycle, positions: Mapping[Place, Position]) -> Step:
    """Move the coins of a decided cycle: sellers pay buyers, and what is left out is granted again.

    Raises:
        SettlementError: `<state>`: it is not decided, or executed; `too_large`.

    """
    after = _entered(
        cycle, _outcome(cycle.legs), legs=tuple(msgspec.structs.replace(leg, held=False) for leg in cycle.legs)
    )
    changed: dict[Place, Position] = {}
    transfers: list[Transfer] = []
    # Sales first, so that clearing never owes what it has not received.
    for leg in sorted(cycle.legs, key=lambda leg: leg.net > 0):
        position = changed.get(leg.place) or positions.get(leg.place) or Position()
        amount = leg.net.copy_abs()
        if leg.state == "settled":
            sold = leg.net < 0
            account: Account = "settling" if sold else "available"
            changed[leg.place] = (debited if sold else credited)(position, account, amount)
            transfers.append(
                Transfer(leg.asset, amount, account, leg.user, "clearing", "")
                if sold
                else Transfer(leg.asset, amount, "clearing", "", account, leg.user)
            )
        elif leg.held:
            changed[leg.place] = moved(position, "settling", "granted", amount)
            transfers.append(within(leg.user, leg.asset, amount, "settling", "granted"))
    return Step(after, changed, tuple(transfers))


def concluded(cycle: Cycle, positions: Mapping[Place, Position], now_ns: int) -> Step:
    """End a cycle after its window in one commit: hold what can be held at last, decide, and move the coins.

    Raises:
        SettlementError: `window_open`; `<state>`: it is decided already; `too_large`.

    """
    last = retried(cycle, positions)
    step = executed(decided(last.cycle, now_ns), {**positions, **last.positions})
    return Step(step.cycle, {**last.positions, **step.positions}, (*last.transfers, *step.transfers))


def confirmation(cycle: Cycle) -> Confirmation:
    """Return the custodian's word on a cycle's report.

    Raises:
        SettlementError: `<state>`: it is not executed.

    """
    if cycle.side != "custodian" or cycle.state not in ANSWERED:
        raise _misplaced(cycle, "confirmed")
    return Confirmation(cycle.report, cycle.attempt, tuple(_said(leg) for leg in cycle.legs))


def refusal(report: Report, digest: str, code: str, reason: str) -> Confirmation:
    """Return the custodian's word on a report that it could not take at all: every leg disputed."""
    outcomes = tuple(LegOutcome(leg.leg_id, "disputed", code, reason) for leg in report.legs)
    return Confirmation(digest, report.attempt, outcomes)


def reconciled(cycle: Cycle, unexplained: int) -> Cycle:
    """Return a cycle after both sides' books were compared.

    Args:
        cycle: confirmed.
        unexplained: how many differences have no cause.

    Raises:
        SettlementError: `unreconciled`: there are some; `<state>`: it is not confirmed.

    """
    if unexplained:
        raise SettlementError("unreconciled", f"{unexplained} differences have no cause")
    return _entered(cycle, "reconciled")


def closed(cycle: Cycle) -> Cycle:
    """Return a cycle to which nothing more can happen.

    Raises:
        SettlementError: `<state>`: it is neither reconciled, nor refused, nor cut off with nothing to settle.

    """
    return _entered(cycle, "closed")


def _entry(leg: Leg) -> Entry:
    return Entry(leg.leg_id, leg.user, leg.asset, signed(leg.net), leg.trades)


def _judged(leg: Leg, terms: Terms) -> Entry:
    entry = _entry(leg)
    if found := judged(leg, terms):
        return msgspec.structs.replace(entry, state=found.outcome, code=found.code, reason=found.reason)
    return entry


def _held(cycle: Cycle, positions: Mapping[Place, Position]) -> Step:
    """Hold what can be held; a report has one leg per user and asset, so no position is asked twice."""
    legs: list[Entry] = []
    changed: dict[Place, Position] = {}
    transfers: list[Transfer] = []
    for leg in cycle.legs:
        if leg.state not in ("proposed", "waiting"):
            legs.append(leg)
            continue
        position = positions.get(leg.place, Position())
        sold = leg.net.copy_abs()
        if leg.net > 0:
            legs.append(msgspec.structs.replace(leg, state="ready"))
        elif position.granted >= sold:
            changed[leg.place] = moved(position, "granted", "settling", sold)
            transfers.append(within(leg.user, leg.asset, sold, "granted", "settling"))
            legs.append(msgspec.structs.replace(leg, state="ready", held=True, code="", reason=""))
        elif position.credit >= sold:
            legs.append(msgspec.structs.replace(leg, state="waiting", code="returning", reason=_RETURNING))
        else:
            why = f"{sold:f} was sold on a credit of {position.credit:f}"
            legs.append(msgspec.structs.replace(leg, state="excluded", code="insufficient_credit", reason=why))
    return Step(_with(cycle, tuple(legs)), changed, tuple(transfers))


def _with(cycle: Cycle, legs: tuple[Entry, ...]) -> Cycle:
    states = {leg.state for leg in legs}
    state: State = "disputed" if "disputed" in states else "proposed" if "waiting" in states else "verified"
    return msgspec.structs.replace(cycle, legs=legs, state=state)


def _judgement(cycle: Cycle, legs: tuple[Entry, ...]) -> Cycle:
    return _entered(cycle, _with(cycle, legs).state, legs=legs)


def _open_leg(cycle: Cycle, leg_id: str, now_ns: int) -> Entry:
    if cycle.state not in UNDECIDED:
        raise _misplaced(cycle, "disputed")
    if now_ns >= cycle.until_ns:
        raise SettlementError("window_closed", f"{cycle.id} could be disputed until {cycle.until_ns} ns")
    for leg in cycle.legs:
        if leg.leg_id == leg_id:
            return leg
    raise SettlementError("unknown_leg", f"{cycle.id} has no leg {leg_id!r}")


def _replaced(cycle: Cycle, leg: Entry) -> tuple[Entry, ...]:
    return tuple(leg if each.leg_id == leg.leg_id else each for each in cycle.legs)


def _outcome(legs: Iterable[Entry]) -> State:
    return "confirmed" if any(leg.state == "settled" for leg in legs) else "refused"


def _said(leg: Entry) -> LegOutcome:
    assert leg.state in ("settled", "excluded", "disputed")
    return LegOutcome(leg.leg_id, leg.state, leg.code, leg.reason)


def _flows(legs: Iterable[Entry]) -> tuple[Flow, ...]:
    return tuple(Flow(leg.user, leg.asset, leg.net) for leg in legs)


def _entered(cycle: Cycle, state: State, **fields: object) -> Cycle:
    if state not in NEXT[cycle.side].get(cycle.state, ()):
        raise _misplaced(cycle, state)
    return msgspec.structs.replace(cycle, state=state, version=cycle.version + 1, **fields)


def _misplaced(cycle: Cycle, wanted: State) -> SettlementError:
    return SettlementError(
        cycle.state, f"{cycle.id} is {cycle.state} at the {cycle.side}, which {wanted} does not follow"
    )
