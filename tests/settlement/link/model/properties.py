"""What must hold in every world, and what the end looks like."""

from decimal import Decimal

from heliograph.model.settlement import Decision
from heliograph.settlement.credit import OPEN, releases
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.ledger import ACCOUNTS
from heliograph.settlement.link import exchange
from heliograph.settlement.trading import Account
from tests.settlement.link.model.world import Case, Rules, World, some


def breach(w: World, case: Case, rules: Rules) -> str | None:
    """Name the safety property that this world breaks."""
    if any(count > 1 for count in w.primary.effects):
        return "a request took effect twice"
    for user in range(case.users):
        if (broken := _funds(w, user, case, rules)) is not None:
            return broken
    cursor, outbox = w.primary.cursor, w.journal.outbox
    if cursor.applied > len(outbox) or cursor.applied_digest != (
        outbox[cursor.applied - 1].arrival.digest if cursor.applied else ""
    ):
        return "the applied messages are not a prefix of the exchange's journal"
    if w.journal.cursor.pruned > cursor.applied:
        return "the exchange pruned a message that is not applied"
    decided = [answer.about for answer in outbox if isinstance(answer.body, Decision)]
    if len(set(decided)) < len(decided):
        return "two decisions for one request"
    for about in range(len(case.orders)):
        if (broken := _pair(w, about, rules)) is not None:
            return broken
    return None


def _funds(w: World, user: int, case: Case, rules: Rules) -> str | None:
    """0 <= credit <= pledged <= vault <= what is really in custody, and nobody trades on more than is pledged."""
    position = w.primary.positions[user]
    if any(getattr(position, account) < 0 for account in ACCOUNTS):
        return "an account is below zero"
    if not 0 <= position.credit <= position.pledged <= position.vault:
        return "credit <= pledged <= vault is broken in the ledger"
    left = sum((o.amount for q, o in enumerate(case.orders) if w.paid[q] and o.user == user), Decimal(0))
    real = case.vault(user) - left
    account = w.journal.accounts[user]
    if case.sale:
        return _settlement(w, user, account, case)
    if position.vault - position.leaving > real:
        return "the ledger claims funds that have left custody"
    if rules.limit == "R":
        assert w.view.mirrored is not None
        usable = w.view.mirrored[user]
    else:
        usable = exchange.usable(account.limit, None)
    if usable > real or (rules.limit == "journal" and usable > position.pledged):
        return "the exchange lets a user trade on credit that is not pledged"
    return None


def _settlement(w: World, user: int, account: Account, case: Case) -> str | None:
    """Coins change hands, and none appears or vanishes; nobody trades on what is not pledged, or is settling."""
    position = w.primary.positions[user]
    if min(account.limit, account.settling, account.arriving, account.usable) < 0:
        return "an account at the exchange is below zero"
    if account.limit > position.pledged - position.settling:
        return "the exchange lets a user trade on credit that is not pledged"
    if sum(p.vault for p in w.primary.positions) != sum(case.vault(u) for u in range(case.users)):
        return "coins have appeared or vanished"
    paid = sum(o.amount for q, o in enumerate(case.orders) if w.paid[q])
    if sum(p.leaving for p in w.primary.positions) < paid:
        return "the ledger claims funds that have left custody"
    ours, theirs = w.primary.cycle, w.journal.cycle
    if ours is not None and (theirs is None or theirs.attempt < ours.attempt):
        return "the custodian settles what the exchange never reported"
    if theirs is not None and theirs.state in ("confirmed", "refused") and (ours is None or _behind(ours, theirs)):
        return "the exchange has a confirmation that the custodian does not know"
    return None


def _behind(ours: Cycle, theirs: Cycle) -> bool:
    return ours.attempt < theirs.attempt or (ours.attempt == theirs.attempt and ours.state != theirs.state)


def _pair(w: World, about: int, rules: Rules) -> str | None:
    """The two sides' views of one request that may exist together."""
    request, row = w.primary.requests[about], w.journal.rows[about]
    state, decision = request.state if request else "absent", row.state if row else "unseen"
    if state == "void" and decision in ("unseen", "pending") and rules.expiry != "ask":
        # What such a variant means to do; the harm comes later.
        return None
    if (state == "posted" and decision != "accepted") or (state == "void" and decision != "rejected"):
        return f"the custodian has {state}, the exchange {decision}"
    if state == "absent" and decision != "unseen":
        return "the exchange holds a request that the custodian does not know"
    return None


def settled(w: World, case: Case, rules: Rules) -> bool:
    """Whether every request is final on both sides, all is acknowledged, and every release is paid out."""
    p, journal = w.primary, w.journal
    if (
        w.old is not None
        or any(r.state in OPEN for r in some(p.requests))
        or any(r.state == "pending" for r in some(journal.rows))
    ):
        return False
    if not p.cursor.published == p.cursor.recorded == journal.cursor.inbox:
        return False
    if not p.cursor.applied == len(journal.outbox) == journal.cursor.pruned:
        return False
    if [account.limit for account in journal.accounts] != [position.credit for position in p.positions]:
        return False
    if any(account.settling or account.arriving for account in journal.accounts):
        return False
    cycles = [cycle and (cycle.attempt, cycle.state) for cycle in (p.cycle, journal.cycle)]
    if cycles[0] != cycles[1]:
        return False
    on_send = rules.decrease == "on send"
    owed = [r is not None and (releases(r) or (on_send and r.kind == "decrease")) for r in p.requests]
    return all(paid or not due for paid, due in zip(w.paid, owed, strict=True))
