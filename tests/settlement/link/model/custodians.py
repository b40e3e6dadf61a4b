"""What a custodian's process can do next: every step is one commit on P, one read of R, or one payment."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.settlement import Confirmation, Decision, Report
from heliograph.settlement import credit
from heliograph.settlement import cycle as cycles
from heliograph.settlement.ledger import Position
from heliograph.settlement.link import custodian
from heliograph.settlement.link.sequence import Arrival
from heliograph.settlement.verification import Terms
from tests.settlement.link.model.world import (
    CYCLE,
    Answer,
    Case,
    CustodianProcess,
    Message,
    Primary,
    Rules,
    Step,
    World,
    put,
    some,
    view_of,
    without,
)

VOIDED = Decision("rejected", "voided")
CONTENT = ("unknown_request", "final")


def reads(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """Read an answer from the mailbox on R."""
    for index, me in enumerate(w.custodians):
        if me.deaf and w.mailbox.bricked == 0:
            continue
        for answer in w.mailbox.answers:
            seq = answer.arrival.seq
            wanted = rules.next_answer(_mine(w, me).cursor, seq) == "next" or _follows_memory(me, seq)
            if wanted and answer != me.read:
                deaf = me.deaf or (rules.reader == "after last id" and w.mailbox.bricked > 0)
                after = me._replace(read=answer, deaf=deaf)
                yield f"custodian {_name(me)} reads answer {seq} on R", {"custodians": put(w.custodians, index, after)}


def acts(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """Commit on P, or pay."""
    for index, me in enumerate(w.custodians):
        if me.at == "old":
            # The promoted sibling is still on its list of those to ask.
            there = w._replace(primary=_mine(w, me), sibling=w.primary)
            for what, changes in _acts(there, index, me, case, rules):
                yield f"old {what}", {"old" if part == "primary" else part: value for part, value in changes.items()}
        else:
            yield from _acts(w, index, me, case, rules)


def _mine(w: World, me: CustodianProcess) -> Primary:
    if me.at == "new":
        return w.primary
    assert w.old is not None
    return w.old


def _acts(w: World, index: int, me: CustodianProcess, case: Case, rules: Rules) -> Iterator[Step]:
    who = f"custodian {_name(me)}"
    if rules.fenced(me.writer, w.primary.writer):
        yield f"{who} is refused by the fence and exits", {"custodians": without(w.custodians, index)}
        return
    for what, primary in (*_records(w, case, rules), *_tells(w, rules), *_settles(w.primary, case)):
        yield f"{who} {what}", {"primary": primary}
    yield from _pays(w, rules, who)
    if me.read is not None:
        for what, primary, after in _applies(w.primary, me, me.read, case, rules):
            yield f"{who} {what}", {"primary": primary, "custodians": put(w.custodians, index, after)}


def _name(me: CustodianProcess) -> str:
    return f"{me.writer.epoch}{me.writer.owner}"


def _follows_memory(me: CustodianProcess, seq: int) -> bool:
    return isinstance(me.memory, int) and seq == me.memory + 1


def _sent(
    primary: Primary,
    kind: Literal["order", "cancel", "confirmation"],
    about: int,
    confirmation: Confirmation | None = None,
) -> Primary:
    """Put the next message into the outbox."""
    slot = custodian.slot(primary.cursor)
    # The exchange only checks `ack` of a request for being possible, and nothing depends on which value it has.
    arrival = Arrival(slot.seq, 0, slot.prev, f"{slot.seq}{kind}{about}{confirmation or ''}")
    message = Message(kind, about, arrival, confirmation)
    return primary._replace(
        cursor=custodian.recorded(primary.cursor, arrival.digest), outbox=(*primary.outbox, message)
    )


def _records(w: World, case: Case, rules: Rules) -> Iterator[tuple[str, Primary]]:
    """Rules 1 and 7."""
    p = w.primary
    absent = [about for about, request in enumerate(p.requests) if request is None]
    # Whose request comes next is the world's choice, where what is recorded may be forgotten or doubled.
    for about in absent if "split" in case.faults or case.siblings > 1 else absent[:1]:
        user = case.orders[about].user
        try:
            change = custodian.record(p.cursor, None, p.positions[user], str(about), case.order(about), str(about))
        except SettlementError:
            continue
        if change is not None:
            recorded = _committed(_sent(p, "order", about), about, change, case, rules)
            yield f"reserves and records request {about}", recorded
    cancelled = sum(message.kind == "cancel" for message in p.outbox)
    for about, request in enumerate(p.requests):
        if request is None or request.state != "held":
            continue
        if rules.expiry != "release" and cancelled < case.cancels:
            asked = custodian.cancel(p.cursor, request)
            after = _sent(p, "cancel", about)._replace(requests=put(p.requests, about, asked))
            yield f"records a cancel of request {about}", after
        if rules.expiry == "release" or (
            rules.expiry == "void unpublished" and request.request_seq > p.cursor.published
        ):
            yield f"lets request {about} expire and releases it", _voided(p, about, case, rules)


def _voided(p: Primary, about: int, case: Case, rules: Rules) -> Primary:
    """End a request without asking, as two variants do."""
    request = p.requests[about]
    assert request is not None
    change = credit.finish(request, p.positions[case.orders[about].user], VOIDED, 0)
    after = _committed(p, about, change, case, rules)
    if rules.expiry == "void unpublished":
        at = request.request_seq - 1
        after = after._replace(outbox=put(p.outbox, at, p.outbox[at]._replace(kind="void")))
    return after


def _committed(p: Primary, about: int, change: credit.Change, case: Case, rules: Rules) -> Primary:
    """Write a change. What it releases, the user withdraws in the same commit: it may never be released again."""
    position, request, amount = change.position, change.request, change.request.amount
    if request.state == "held" and request.kind == "decrease" and rules.decrease == "on send":
        position = credit.moved(
            credit.moved(position, "returning", "available", amount), "available", "leaving", amount
        )
    elif credit.releases(request) and not (request.kind == "decrease" and rules.decrease == "on send"):
        position = credit.moved(position, "available", "leaving", amount)
    user = case.orders[about].user
    return p._replace(requests=put(p.requests, about, request), positions=put(p.positions, user, position))


def _asked(w: World, rules: Rules) -> list[Primary | None]:
    """Rule 9: every sibling of the list, None for one that proves nothing."""
    there = [w.sibling, *some([w.third])]
    return [each if rules.of_ours(w.primary.writer, each.writer) else None for each in there]


def _tells(w: World, rules: Rules) -> Iterator[tuple[str, Primary]]:
    """Rules 2 and 5."""
    p, cursor = w.primary, w.primary.cursor
    siblings = [there and there.cursor for there in _asked(w, rules)]
    if rules.witness == "also R" and w.view == view_of(p, rules):
        siblings = [cursor]
    seq = cursor.published + 1
    if rules.publishable(cursor, siblings) >= seq:
        shown = custodian.publish(cursor, seq)
        if rules.trim == "by length":
            shown = msgspec.structs.replace(shown, trimmed=cursor.published)
        yield f"publishes message {seq}", p._replace(cursor=shown)
    acked = rules.acknowledgeable(cursor, p.acked, siblings)
    if acked > p.acked:
        yield f"acknowledges up to {acked}", p._replace(acked=acked)


def _pays(w: World, rules: Rules, who: str) -> Iterator[Step]:
    """Rule 6."""
    for about, request in enumerate(w.primary.requests):
        if request is None or w.paid[about]:
            continue
        on_send = rules.decrease == "on send" and request.kind == "decrease"
        if on_send or rules.payable(request, [there and there.requests[about] for there in _asked(w, rules)]):
            yield f"{who} pays out request {about}", {"paid": put(w.paid, about, value=True)}


TERMS = Terms(users=("0", "1"), assets=("BTC",))


def _reported(p: Primary, answer: Answer, report: Report) -> Primary:
    """Take a report: what was sold is held, in the commit that takes the answer."""
    cursor = custodian.advance(p.cursor, answer.arrival)
    step = cycles.received(p.cycle, CYCLE, report, f"{report.attempt}", 0, TERMS, _by_place(p))
    return _stepped(p, step)._replace(cursor=cursor)


def _settles(p: Primary, case: Case) -> Iterator[tuple[str, Primary]]:
    """Try again to hold what waits, dispute, or decide and execute; the confirmation is recorded in the same commit."""
    if p.cycle is None or p.cycle.state not in cycles.UNDECIDED:
        return
    retried = cycles.retried(p.cycle, _by_place(p))
    if retried.cycle != p.cycle:
        yield "holds what waited", _stepped(p, retried)
    for leg in p.cycle.legs:
        if case.disputes and p.cycle.attempt == 1 and p.cycle.state != "disputed" and leg.state in ("ready", "waiting"):
            yield f"disputes leg {leg.leg_id}", p._replace(cycle=cycles.disputed(p.cycle, leg.leg_id, "no", "", -1))
    step = cycles.executed(cycles.decided(p.cycle, 1), _by_place(p))
    yield f"executes: {step.cycle.state}", _sent(_stepped(p, step), "confirmation", -1, cycles.confirmation(step.cycle))


def _by_place(p: Primary) -> dict[tuple[str, str], Position]:
    return {(str(user), "BTC"): position for user, position in enumerate(p.positions)}


def _stepped(p: Primary, step: cycles.Step) -> Primary:
    positions = p.positions
    for (user, _), position in step.positions.items():
        positions = put(positions, int(user), position)
    return p._replace(cycle=step.cycle, positions=positions)


def _applies(
    p: Primary, me: CustodianProcess, answer: Answer, case: Case, rules: Rules
) -> Iterator[tuple[str, Primary, CustodianProcess]]:
    """Rule 4."""
    seq, about = answer.arrival.seq, answer.about
    done = me._replace(read=None, memory=None)
    cursor = p.cursor
    if isinstance(me.memory, int):
        cursor = msgspec.structs.replace(cursor, applied=me.memory)
    if me.memory != "half" and rules.next_answer(cursor, seq) != "next":
        yield f"drops answer {seq}, not the next", p, me._replace(read=None)
        return
    if isinstance(answer.body, Report):
        yield f"applies report {answer.body.attempt}", _reported(p, answer, answer.body), done
        return
    request = p.requests[about]
    if request is not None and request.state == "void" and rules.expiry != "ask":
        dropped = p._replace(cursor=custodian.advance(cursor, answer.arrival))
        yield f"drops late answer {seq} of an expired request", dropped, done
        return
    try:
        position = p.positions[case.orders[about].user]
        applied = rules.apply(cursor, request, position, answer.body, answer.arrival)
    except SettlementError as e:
        if e.code in CONTENT:
            passed = p._replace(cursor=custodian.advance(p.cursor, answer.arrival))
            yield f"quarantines answer {seq}: {e.code}", passed, done
        else:
            yield f"refuses answer {seq}: {e.code}", p, me._replace(read=None)
        return
    effect = _committed(p, about, applied.change, case, rules)
    effect = effect._replace(effects=put(p.effects, about, p.effects[about] + 1))
    if me.memory == "half":
        half = p._replace(cursor=applied.cursor) if rules.cursor == "after effect" else effect
        yield f"does the other half of answer {seq}", half, done
    elif rules.cursor == "after effect":
        yield f"applies answer {seq}, cursor to follow", effect, me._replace(memory="half")
    elif rules.cursor == "before effect":
        yield f"advances to {seq}, effect to follow", p._replace(cursor=applied.cursor), me._replace(memory="half")
    else:
        memory = seq if rules.cursor == "memory" else None
        both = effect._replace(cursor=applied.cursor)
        yield f"applies answer {seq} and its cursor", both, done._replace(memory=memory)
