"""What servers do by themselves, who starts again, and what goes wrong."""

from collections.abc import Callable, Iterator
from itertools import combinations

import msgspec

from heliograph.settlement.link import custodian
from tests.settlement.link.model.world import (
    Case,
    Changes,
    CustodianProcess,
    ExchangeProcess,
    Fault,
    Mailbox,
    Part,
    Primary,
    Rules,
    Step,
    World,
    start,
    view_of,
    without,
)


def replica(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """R gets all of the primary that it follows."""
    current = view_of(_followed(w), rules)
    if current != w.view:
        yield "R catches up with P", {"view": current}


def sibling(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """The sibling gets all of P."""
    if w.sibling != w.primary:
        yield "the sibling catches up with P", {"sibling": w.primary}
    if w.third is not None and w.third != w.primary:
        yield "the other sibling catches up with P", {"third": w.primary}


def exchange_start(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """An exchange's process starts where there is none."""
    if not w.exchanges:
        yield "the exchange starts", {"exchanges": (_fresh_exchange(w, rules),)}


def custodian_start(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """A custodian's process takes over where there is none that may write (rule 8)."""
    if all(c.at == "old" or rules.fenced(c.writer, w.primary.writer) for c in w.custodians):
        yield "a custodian takes over", _take_over(w, rules)


def crash(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """One process dies, and what it remembers with it."""
    for index in range(len(w.exchanges)):
        yield f"FAULT exchange {index} crashes", {"exchanges": without(w.exchanges, index)}
    for index, process in enumerate(w.custodians):
        yield f"FAULT custodian {process.writer.epoch} crashes", {"custodians": without(w.custodians, index)}


def stale(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """A second process starts while the first lives."""
    if len(w.exchanges) == 1:
        both = sorted((*w.exchanges, _fresh_exchange(w, rules)), key=repr)
        yield "FAULT a second exchange process starts", {"exchanges": tuple(both)}
    if len(w.custodians) == 1:
        yield "FAULT a second custodian takes over, the first lives on", _take_over(w, rules)


def wipe(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """A full resync: R has all of P and nothing of its own."""
    changes: Changes = {"view": view_of(_followed(w), rules), "mailbox": Mailbox()}
    if rules.inbox == "group on R":
        forgot = msgspec.structs.replace(w.journal.cursor, inbox=0, inbox_digest="")
        changes["journal"] = w.journal._replace(cursor=forgot)
    yield "FAULT a full resync wipes R", changes


def empty(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """Somebody appends with MAXLEN 0."""
    if w.mailbox.answers:
        yield "FAULT MAXLEN 0 empties the mailbox", {"mailbox": w.mailbox._replace(answers=())}


def brick(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """Somebody appends with the largest id."""
    bricked = w.mailbox._replace(bricked=w.mailbox.bricked + 1)
    yield "FAULT the largest id exhausts a key of the mailbox", {"mailbox": bricked}


def rollback(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """R is killed and back from an old dump: any part of its mailbox, its view of now or of the beginning."""
    answers = w.mailbox.answers
    for view in {start(case, rules).view, w.view}:
        for size in range(len(answers) + 1):
            for kept in combinations(answers, size):
                if view != w.view or kept != answers:
                    left = [a.arrival.seq for a in kept]
                    changes = {"view": view, "mailbox": w.mailbox._replace(answers=kept)}
                    yield f"FAULT R rolls back, its mailbox keeps {left}", changes


def failover(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """The sibling is promoted, and what it had not got is forgotten."""
    promoted = {"the sibling": w.sibling, "the other sibling": w.third}
    for name, there in promoted.items():
        if there is None or there == w.primary:
            continue
        for kept in {w.mailbox.answers, ()}:
            changes: Changes = {"primary": there, "mailbox": w.mailbox._replace(answers=kept)}
            if case.siblings > 1 and rules.reconnect == "takes over":
                # Whoever loses the connection goes on only by a take-over; who does, is a process that starts.
                changes["custodians"] = ()
            yield f"FAULT {name} is promoted without P's last writes", changes


def split(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """The sibling is promoted while P, and whoever writes there, runs on; R still follows P."""
    if w.old is None:
        stay = tuple(process._replace(at="old") for process in w.custodians)
        changes = {"old": w.primary, "primary": w.sibling, "source": "old", "custodians": stay}
        yield "FAULT the sibling is promoted, and the old primary runs on", changes


def healing(w: World, case: Case, rules: Rules) -> Iterator[Step]:
    """R is made to follow the promoted one, and then the old primary is stopped."""
    if w.source == "old":
        for kept in {w.mailbox.answers, ()}:
            yield "R is made to follow the promoted sibling", {
                "source": "new", "view": view_of(w.primary, rules), "mailbox": w.mailbox._replace(answers=kept)
            }  # fmt: skip
    elif w.old is not None:
        left = tuple(process for process in w.custodians if process.at == "new")
        yield "the old primary is stopped", {"old": None, "custodians": left}


FAULTS: dict[Fault, tuple[Callable[[World, Case, Rules], Iterator[Step]], tuple[Part, ...]]] = {
    "crash": (crash, ("exchanges", "custodians")),
    "stale": (stale, ("exchanges", "custodians", "primary", "sibling", "third", "old", "journal")),
    "wipe": (wipe, ("primary", "old", "source", "journal")),
    "empty": (empty, ("mailbox",)),
    "brick": (brick, ("mailbox",)),
    "rollback": (rollback, ("view", "mailbox")),
    "failover": (failover, ("primary", "sibling", "third", "mailbox")),
    "split": (split, ("primary", "sibling", "old", "custodians")),
}
"""Each fault, and the parts that it depends on."""


def _followed(w: World) -> Primary:
    if w.source == "new":
        return w.primary
    assert w.old is not None
    return w.old


def _fresh_exchange(w: World, rules: Rules) -> ExchangeProcess:
    memory = w.journal if rules.pending == "memory" else None
    return ExchangeProcess(memory=memory, sent=w.journal.cursor.pruned if rules.resend != "unacknowledged" else 0)


def _take_over(w: World, rules: Rules) -> Changes:
    writers = {w.primary.writer, w.sibling.writer, *(c.writer for c in w.custodians)}
    writers |= {there.writer for there in (w.old, w.third) if there is not None}
    # An owner is fresh if nobody who still counts has it; who is gone can be mistaken for nobody.
    owners = ("", "b", "c", "d") if rules.owner == "fresh" else ("",)
    candidates = [custodian.take_over(w.primary.writer, owner) for owner in owners]
    mine = next((writer for writer in candidates if writer not in writers), candidates[-1])
    process = CustodianProcess(mine, memory=w.primary.cursor.applied if rules.cursor == "memory" else None)
    return {"primary": w.primary._replace(writer=mine), "custodians": (*w.custodians, process)}
