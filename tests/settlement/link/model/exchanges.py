"""What an exchange's process can do next: every step is one transaction in the journal, one read of R or one append."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.settlement import Cancel, Confirmation, Decision, Leg, Report, amount_text
from heliograph.settlement import cycle as cycles
from heliograph.settlement import trading
from heliograph.settlement.link import exchange
from heliograph.settlement.link.sequence import Arrival
from tests.settlement.link.model.world import (
    CYCLE,
    Answer,
    Case,
    ExchangeProcess,
    Journal,
    Message,
    Rules,
    Step,
    World,
    put,
)


def reads(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """Read the next request on R, or what it acknowledges (rules 1 and 4)."""
    inbox, view = w.journal.cursor.inbox, w.view
    for index, me in enumerate(w.exchanges):
        if me.read is None and view.trimmed <= inbox < len(view.out):
            after = me._replace(read=view.out[inbox])
            yield f"exchange {index} reads message {inbox + 1} on R", _by(w, index, after)
        try:
            pruned = exchange.prune(w.journal.cursor, view.acked)
        except SettlementError:
            continue
        if pruned != w.journal.cursor:
            yield f"exchange {index} prunes up to {view.acked}", {"journal": w.journal._replace(cursor=pruned)}


def acts(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """Take what was read, or decide (rules 1 and 2); trade and report."""
    for index, me in enumerate(w.exchanges):
        who = f"exchange {index}"
        for what, traded in _trades(w.journal, case):
            yield f"{who} {what}", {"journal": traded}
        if me.read is not None:
            after = _taken(w.journal, me.read, case, rules)
            memory = after if rules.pending == "memory" else me.memory
            yield f"{who} takes message {me.read.arrival.seq}", {
                "journal": after, **_by(w, index, me._replace(read=None, memory=memory))
            }  # fmt: skip
        if rules.outbox == "apart" and isinstance(me.memory, Answer):
            yield f"{who} writes the answer to its outbox", {
                "journal": _answered(w.journal, me.memory), **_by(w, index, me._replace(memory=None))
            }  # fmt: skip
            continue
        known = me.memory if isinstance(me.memory, Journal) else w.journal
        for about, row in enumerate(known.rows):
            if row is not None and row.state == "pending":
                for verdict in ("accepted", "rejected"):
                    for what, changes in _decides(w, index, known, about, verdict, case, rules):
                        yield f"{who} {what}", changes


def appends(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """Append an answer to the mailbox (rule 3)."""
    journal, mailbox = w.journal, w.mailbox
    if mailbox.bricked >= rules.keys:
        return
    present = {answer.arrival.seq for answer in mailbox.answers}
    for index, me in enumerate(w.exchanges):
        for seq in _choices(journal, me, present, rules):
            kept = {a for a in mailbox.answers if a.arrival.seq > journal.cursor.pruned} | {journal.outbox[seq - 1]}
            answers = tuple(sorted(kept, key=lambda a: a.arrival.seq))
            sent = seq if rules.resend != "unacknowledged" else 0
            yield f"exchange {index} appends answer {seq} on R", {
                "mailbox": mailbox._replace(answers=answers), **_by(w, index, me._replace(sent=sent))
            }  # fmt: skip


def _by(w: World, index: int, me: ExchangeProcess) -> dict[str, tuple[ExchangeProcess, ...]]:
    # Two processes of one journal are alike: in one order, however they got there.
    return {"exchanges": tuple(sorted(put(w.exchanges, index, me), key=repr))}


def _choices(journal: Journal, me: ExchangeProcess, present: set[int], rules: Rules) -> list[int]:
    if rules.resend == "unacknowledged":
        return [seq for seq in rules.sendable(journal.cursor) if seq not in present]
    first, last = me.sent + 1, len(journal.outbox)
    if not present and (me.sent < last or rules.resend == "when nil"):
        first = journal.cursor.pruned + 1
    return [first] if first <= last else []


def _answer(cursor: exchange.Cursor, about: int, body: Decision | Report) -> Answer:
    slot = exchange.slot(cursor)
    said = body.verdict if isinstance(body, Decision) else f"report {body.attempt}"
    return Answer(about, body, Arrival(slot.seq, slot.ack, slot.prev, f"{slot.seq}{about}{said}{slot.ack}"))


def _answered(journal: Journal, answer: Answer) -> Journal:
    cursor = exchange.answered(journal.cursor, answer.arrival.digest)
    return journal._replace(cursor=cursor, outbox=(*journal.outbox, answer))


def _taken(journal: Journal, message: Message, case: Case, rules: Rules) -> Journal:
    if exchange.next_request(journal.cursor, message.arrival.seq) != "next":
        return journal
    if message.confirmation is not None:
        return _confirmed(journal, message, message.confirmation)
    about, row, arrival = message.about, journal.rows[message.about], message.arrival
    if message.kind == "void":
        assert row is None
        voided = exchange.take_order(journal.cursor, row, arrival, str(about), case.order(about), str(about))
        assert voided.row is not None
        rejected = msgspec.structs.replace(voided.row, state="rejected")
        return journal._replace(cursor=voided.cursor, rows=put(journal.rows, about, rejected))
    if rules.inbox == "group on R" and row is not None:
        row = msgspec.structs.replace(row, state="pending")
        cursor = exchange.advance(journal.cursor, arrival)
        return journal._replace(cursor=cursor, rows=put(journal.rows, about, row))
    try:
        if message.kind == "order":
            taken = exchange.take_order(journal.cursor, row, arrival, str(about), case.order(about), str(about))
        else:
            taken = exchange.take_cancel(journal.cursor, row, arrival, Cancel(), 0)
    except SettlementError:
        # An alarm: the exchange stands still, which the search for dead ends finds.
        return journal
    assert not taken.refused
    journal = journal._replace(cursor=taken.cursor)
    if taken.row is not None:
        journal = journal._replace(rows=put(journal.rows, about, taken.row))
    if taken.answer is not None:
        journal = _answered(journal, _answer(journal.cursor, about, taken.answer))
    return journal


def _trades(journal: Journal, case: Case) -> Iterator[tuple[str, Journal]]:
    """User 0 sells to user 1, if the credit allows it; what no report has taken is reported."""
    if not case.sale:
        return
    seller, buyer = journal.accounts[:2]
    if not journal.traded and seller.usable >= case.sale:
        after = (trading.traded(seller, case.sale.copy_negate()), trading.traded(buyer, case.sale))
        yield "sees a sale", journal._replace(traded=True, accounts=(*after, *journal.accounts[2:]))
    cycle = journal.cycle
    if buyer.unreported and (cycle is None or (cycle.state == "refused" and cycle.attempt < case.attempts)):
        net = amount_text(case.sale)
        cycle = cycle or cycles.cut(cycles.opened(CYCLE), 1)
        report = Report(1, (Leg("1", "0", "BTC", f"-{net}"), Leg("2", "1", "BTC", net)), cycle.attempt + 1)
        cycle = cycles.proposed(cycles.calculated(cycle, report, f"{report.attempt}"))
        after = (trading.reported(seller, case.sale.copy_negate()), trading.reported(buyer, case.sale))
        proposed = journal._replace(cycle=cycle, accounts=(*after, *journal.accounts[2:]))
        yield f"reports attempt {report.attempt}", _answered(proposed, _answer(journal.cursor, -1, report))


def _confirmed(journal: Journal, message: Message, confirmation: Confirmation) -> Journal:
    assert journal.cycle is not None
    cycle = cycles.answered(journal.cycle, confirmation)
    accounts = journal.accounts
    for leg in cycle.legs:
        user = int(leg.user)
        accounts = put(accounts, user, cycles.booked(accounts[user], leg))
    return journal._replace(cursor=exchange.advance(journal.cursor, message.arrival), accounts=accounts, cycle=cycle)


def _decides(
    w: World, index: int, known: Journal, about: int, verdict: Literal["accepted", "rejected"], case: Case, rules: Rules
) -> Iterator[Step]:
    journal, me, user = w.journal, w.exchanges[index], case.orders[about].user
    try:
        account = journal.accounts[user]
        decided = rules.decide(journal.cursor, known.rows[about], account.returnable, verdict, 0)
    except SettlementError:
        return
    answer = _answer(journal.cursor, about, decided.answer)
    if decided.granted > 0:
        account = trading.increased(account, decided.granted)
    elif decided.granted < 0:
        account = trading.decreased(account, decided.granted.copy_negate())
    after = journal._replace(rows=put(journal.rows, about, decided.row), accounts=put(journal.accounts, user, account))
    if rules.outbox == "apart":
        me = me._replace(memory=answer)
    else:
        after = _answered(after, answer)
    if rules.pending == "memory":
        me = me._replace(memory=known._replace(rows=put(known.rows, about, decided.row)))
    yield f"decides request {about}: {verdict}", {"journal": after, **_by(w, index, me)}
