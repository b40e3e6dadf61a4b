"""Requests for credit at random: whatever is asked, taken back and answered in whatever order, the accounts hold."""

from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from heliograph.errors import SettlementError
from heliograph.model.settlement import CreditOrder, Decision, OrderKind, Verdict, amount_text
from heliograph.settlement import credit
from heliograph.settlement.ledger import ACCOUNTS, Books, Position, Transfer

AMOUNTS = st.decimals(min_value="0.000000000000000001", max_value="12", places=18)
KINDS = st.sampled_from(("increase", "decrease", "pledge"))
VERDICTS = st.sampled_from(("accepted", "rejected"))
DEPOSIT = Decimal(20)


class Credit(RuleBasedStateMachine):
    """One user's coins, any number of requests about them, and the books of every movement."""

    @initialize()
    def deposit(self) -> None:
        self.requests: dict[str, credit.Request] = {}
        self.books = Books()
        self.books.post([Transfer("BTC", DEPOSIT, "outside", "", "available", "alice")])
        self.position = self.books.positions["alice", "BTC"]
        self.seq = 0

    def _take(self, change: credit.Change) -> None:
        self.books.post(change.transfers)
        self.requests[change.request.id] = change.request
        self.position = change.position

    @rule(kind=KINDS, amount=AMOUNTS)
    def ask_for(self, kind: OrderKind, amount: Decimal) -> None:
        self.seq += 1
        order = CreditOrder(kind, "alice", "BTC", amount_text(amount))
        needs = {"increase": self.position.available, "decrease": self.position.granted, "pledge": amount}[kind]
        if amount > needs:
            with pytest.raises(SettlementError, match="insufficient"):
                credit.hold(self.position, f"r{self.seq}", order, "", self.seq)
        else:
            self._take(credit.hold(self.position, f"r{self.seq}", order, "", self.seq))

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.requests.values(), key=lambda r: r.id)))
        if request.state == "held":
            self.seq += 1
            before = self.position
            self.requests[request.id] = credit.ask(request, self.seq)
            assert self.position == before
        else:
            with pytest.raises(SettlementError):
                credit.ask(request, self.seq + 1)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), verdict=VERDICTS)
    def answer(self, data: st.DataObject, verdict: Verdict) -> None:
        request = data.draw(st.sampled_from(sorted(self.requests.values(), key=lambda r: r.id)))
        decision = Decision(verdict, "" if verdict == "accepted" else "policy")
        if request.state in credit.OPEN:
            self._take(credit.finish(request, self.position, decision, 1))
        else:
            with pytest.raises(SettlementError):
                credit.finish(request, self.position, decision, 2)

    @invariant()
    def no_account_is_below_zero_and_credit_is_pledged_and_in_the_vault(self) -> None:
        assert all(getattr(self.position, account) >= 0 for account in ACCOUNTS)
        assert self.position.credit <= self.position.pledged <= self.position.vault == DEPOSIT

    @invariant()
    def the_accounts_are_the_sum_of_the_movements(self) -> None:
        assert self.books.positions["alice", "BTC"] == self.position
        assert not any(self.books.sums().values())

    @invariant()
    def what_is_held_is_what_open_requests_ask_for(self) -> None:
        waiting = {"increase": Decimal(0), "decrease": Decimal(0), "pledge": Decimal(0)}
        for request in self.requests.values():
            if request.state in credit.OPEN:
                waiting[request.kind] += request.amount
        assert (self.position.held, self.position.returning) == (waiting["increase"], waiting["decrease"])
        posted = [r for r in self.requests.values() if r.state == "posted" and r.kind != "pledge"]
        assert self.position.credit == sum(r.amount if r.kind == "increase" else -r.amount for r in posted)
        assert self.position == Position(
            available=self.position.available,
            held=waiting["increase"],
            granted=self.position.granted,
            returning=waiting["decrease"],
        )


def test_whatever_is_asked_and_answered_the_accounts_hold() -> None:
    run_state_machine_as_test(Credit, settings=settings(max_examples=40, stateful_step_count=40))
