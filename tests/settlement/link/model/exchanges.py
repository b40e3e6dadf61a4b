"""What an exchange's process can do next: every step is one transaction in the journal, one read of R or one append."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.settlement import Cancel, Decision
from heliograph.settlement.link import exchange
from heliograph.settlement.link.sequence import Arrival
from tests.settlement.link.model.world import (
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
    """Take what was read, or decide (rules 1 and 2)."""
    for index, me in enumerate(w.exchanges):
        who = f"exchange {index}"
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


def _answer(cursor: exchange.Cursor, about: int, decision: Decision) -> Answer:
    slot = exchange.slot(cursor)
    digest = f"{slot.seq}{about}{decision.verdict}{slot.ack}"
    return Answer(about, decision, Arrival(slot.seq, slot.ack, slot.prev, digest))


def _answered(journal: Journal, answer: Answer) -> Journal:
    cursor = exchange.answered(journal.cursor, answer.arrival.digest)
    return journal._replace(cursor=cursor, outbox=(*journal.outbox, answer))


def _taken(journal: Journal, message: Message, case: Case, rules: Rules) -> Journal:
    if exchange.next_request(journal.cursor, message.arrival.seq) != "next":
        return journal
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


def _decides(
    w: World, index: int, known: Journal, about: int, verdict: Literal["accepted", "rejected"], case: Case, rules: Rules
) -> Iterator[Step]:
    journal, me, user = w.journal, w.exchanges[index], case.orders[about].user
    try:
        decided = rules.decide(journal.cursor, known.rows[about], journal.limits[user], verdict, 0)
    except SettlementError:
        return
    answer = _answer(journal.cursor, about, decided.answer)
    after = journal._replace(
        rows=put(journal.rows, about, decided.row),
        limits=put(journal.limits, user, journal.limits[user] + decided.granted),
    )
    if rules.outbox == "apart":
        me = me._replace(memory=answer)
    else:
        after = _answered(after, answer)
    if rules.pending == "memory":
        me = me._replace(memory=known._replace(rows=put(known.rows, about, decided.row)))
    yield f"decides request {about}: {verdict}", {"journal": after, **_by(w, index, me)}
