"""The link under whatever happens: two halves made of the project's functions, and a world that loses things.

What the exhaustive search does to the end for a few requests of one unit, this does at random for many: several users
and assets, amounts with all their digits, deadlines, ids used again, an outbox that is really deleted, and a pace of
sending.
"""

from collections.abc import Callable  # noqa: TC003 - it is an annotation inside a function
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from heliograph.errors import SettlementError
from heliograph.model.settlement import Cancel, CreditOrder, Decision, Verdict
from heliograph.settlement import credit
from heliograph.settlement.credit import OPEN, Request
from heliograph.settlement.ledger import ACCOUNTS, Books, Position, Transfer, within
from heliograph.settlement.link import custodian, exchange
from heliograph.settlement.link.pace import AGAIN_NS_MAX, Pace, renewed, to_send
from heliograph.settlement.link.sequence import Arrival

USERS, ASSETS = ("alice", "bob", "carol"), ("BTC", "USD")
PLACES = tuple((user, asset) for user in USERS for asset in ASSETS)
DEPOSIT = Decimal(10)
ROUNDS_MAX = 40
amounts = st.decimals(Decimal("0.000000000000000001"), Decimal(7), places=18).map(lambda d: format(d, "f"))
picks = st.integers(0, 10**6)
verdicts: st.SearchStrategy[Verdict] = st.sampled_from(["accepted", "accepted", "rejected"])
orders = st.tuples(
    st.sampled_from(PLACES),
    st.sampled_from(["increase", "increase", "decrease", "pledge"]),
    amounts,
    st.sampled_from([0, 5, 10**12]),
)
ORDINARY = (
    "sibling",
    "publish",
    "replica",
    "take",
    "decide",
    "send",
    "apply",
    "pay",
    "acknowledge",
    "replica",
    "prune",
    "promote",
)


class Sent(NamedTuple):
    """A message of either side."""

    about: str
    body: CreditOrder | Cancel | Decision
    arrival: Arrival


class Primary(NamedTuple):
    """What P holds, never changed in place: whoever has a copy has it as it was."""

    cursor: custodian.Cursor
    acked: int
    outbox: dict[int, Sent]
    requests: dict[str, Request]
    positions: dict[tuple[str, str], Position]


class View(NamedTuple):
    """What R shows of P."""

    out: dict[int, Sent]
    acked: int


class Journal(NamedTuple):
    """What the exchange's file holds."""

    cursor: exchange.Cursor
    rows: dict[str, exchange.Row]
    outbox: dict[int, Sent]
    limits: dict[tuple[str, str], Decimal]


class Link(RuleBasedStateMachine):
    """One link; `history` is what P wrote since the sibling last caught up."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 1
        start = dict.fromkeys(PLACES, Position(available=DEPOSIT))
        self.p = Primary(custodian.Cursor(), 0, {}, {}, start)
        self.history = [self.p]
        self.r, self.past_views = View({}, 0), [View({}, 0)]
        self.mailbox: list[Sent] = []
        self.journal = Journal(exchange.Cursor(), {}, {}, dict.fromkeys(PLACES, Decimal(0)))
        self.pace = Pace()
        self.answered: dict[int, Sent] = {}
        self.paid: set[str] = set()
        self.final: dict[str, str] = {}
        self.made = 0

    # What the custodian does.

    def write(self, p: Primary) -> None:
        self.p = p
        self.history.append(p)

    def say(self, p: Primary, about: str, body: CreditOrder | Cancel) -> Primary:
        slot = custodian.slot(p.cursor)
        self.made += 1
        message = Sent(about, body, Arrival(slot.seq, slot.ack, slot.prev, f"m{self.made}"))
        return p._replace(
            cursor=custodian.recorded(p.cursor, message.arrival.digest), outbox={**p.outbox, slot.seq: message}
        )

    @rule(wanted=st.lists(orders, min_size=1, max_size=4))
    def record(self, wanted: list[Any]) -> None:
        self.record_all(wanted)

    def record_all(self, wanted: list[tuple[tuple[str, str], Any, str, int]]) -> None:
        for place, kind, amount, lasts_ns in wanted:
            self.record_one(place, CreditOrder(kind, *place, amount, expires_ns=lasts_ns and self.now_ns + lasts_ns))

    def record_one(self, place: tuple[str, str], order: CreditOrder) -> None:
        request_id = f"q{len(self.p.requests)}"
        try:
            change = custodian.record(self.p.cursor, None, self.p.positions[place], request_id, order, repr(order))
        except SettlementError as e:
            if not e.code.startswith("insufficient_"):
                raise
            return
        assert change is not None
        self.write(self.changed(self.say(self.p, request_id, order), change))

    @precondition(lambda self: self.p.requests)
    @rule(pick=picks, same=st.booleans())
    def record_again(self, pick: int, same: bool) -> None:
        known = list(self.p.requests.values())[pick % len(self.p.requests)]
        order = CreditOrder(known.kind, known.user, known.asset, "1")
        digest = known.digest if same else "another"
        if same:
            assert custodian.record(self.p.cursor, known, Position(), known.id, order, digest) is None
            return
        with pytest.raises(SettlementError) as refused:
            custodian.record(self.p.cursor, known, Position(), known.id, order, digest)
        assert refused.value.code == "conflict"

    def changed(self, p: Primary, change: credit.Change) -> Primary:
        """Commit a change; what it releases is on its way out of custody at once."""
        request, position = change.request, change.position
        if credit.releases(request):
            position = credit.moved(position, "available", "leaving", request.amount)
        return p._replace(
            requests={**p.requests, request.id: request},
            positions={**p.positions, (request.user, request.asset): position},
        )

    @precondition(lambda self: any(r.state == "held" for r in self.p.requests.values()))
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        held = [r for r in self.p.requests.values() if r.state == "held"]
        self.ask(held[pick % len(held)].id)

    def ask(self, request_id: str) -> None:
        asked = custodian.cancel(self.p.cursor, self.p.requests[request_id])
        p = self.say(self.p, request_id, Cancel())
        self.write(p._replace(requests={**p.requests, request_id: asked}))

    @rule(away=st.booleans())
    def publish(self, away: bool) -> None:
        sibling = None if away else self.history[0].cursor
        before = self.p.cursor.published
        upto = custodian.publishable(self.p.cursor, [sibling])
        if upto > before:
            assert not away
            # What is shown must still be there.
            assert self.p.outbox.keys() >= set(range(before + 1, upto + 1))
            self.write(self.p._replace(cursor=custodian.publish(self.p.cursor, upto)))

    @rule(away=st.booleans())
    def acknowledge(self, away: bool) -> None:
        sibling = None if away else self.history[0].cursor
        acked = custodian.acknowledgeable(self.p.cursor, self.p.acked, [sibling])
        assert not (away and acked > self.p.acked)
        self.write(self.p._replace(acked=acked))

    @rule()
    def pay(self) -> None:
        for request in self.p.requests.values():
            if request.id not in self.paid and custodian.payable(request, [self.history[0].requests.get(request.id)]):
                self.paid.add(request.id)

    @rule(random=st.randoms(use_true_random=False))
    def apply(self, random: Any) -> None:
        """Read the whole mailbox, in whichever order it comes."""
        answers = list(self.mailbox)
        random.shuffle(answers)
        for answer in answers:
            if custodian.next_answer(self.p.cursor, answer.arrival.seq) == "next":
                self.apply_one(answer)

    def apply_one(self, answer: Sent) -> None:
        request = self.p.requests.get(answer.about)
        assert request is not None
        assert isinstance(answer.body, Decision)
        position = self.p.positions[request.user, request.asset]
        applied = custodian.apply(self.p.cursor, request, position, answer.body, answer.arrival)
        p = self.changed(self.p, applied.change)
        outbox = {seq: message for seq, message in p.outbox.items() if seq > applied.cursor.trimmed}
        self.write(p._replace(cursor=applied.cursor, outbox=outbox))

    # What the exchange does.

    @rule(first=st.integers(-3, 1), count=st.integers(1, 6))
    def take(self, first: int, count: int) -> None:
        """Read some entries of `out` on R, from before the next one or after it."""
        begin = self.journal.cursor.inbox + 1 + first
        for seq in range(begin, begin + count):
            if seq in self.r.out and exchange.next_request(self.journal.cursor, seq) == "next":
                self.take_one(self.r.out[seq])

    def take_one(self, message: Sent) -> None:
        journal, row = self.journal, self.journal.rows.get(message.about)
        if isinstance(message.body, CreditOrder):
            digest = repr(message.body)
            taken = exchange.take_order(journal.cursor, row, message.arrival, message.about, message.body, digest)
        else:
            assert isinstance(message.body, Cancel)
            taken = exchange.take_cancel(journal.cursor, row, message.arrival, message.body, self.now_ns)
        assert not taken.refused
        journal = journal._replace(cursor=taken.cursor)
        if taken.row is not None:
            journal = journal._replace(rows={**journal.rows, message.about: taken.row})
        if taken.answer is not None:
            journal = self.answer(journal, message.about, taken.answer)
        self.journal = journal

    def answer(self, journal: Journal, about: str, decision: Decision) -> Journal:
        slot = exchange.slot(journal.cursor)
        sent = Sent(about, decision, Arrival(slot.seq, slot.ack, slot.prev, f"a{slot.seq}"))
        assert slot.seq not in self.answered, "an answer was made twice"
        self.answered[slot.seq] = sent
        cursor = exchange.answered(journal.cursor, sent.arrival.digest)
        return journal._replace(cursor=cursor, outbox={**journal.outbox, slot.seq: sent})

    @precondition(lambda self: any(row.state == "pending" for row in self.journal.rows.values()))
    @rule(pick=picks, verdict=verdicts)
    def decide(self, pick: int, verdict: Verdict) -> None:
        pending = [row for row in self.journal.rows.values() if row.state == "pending"]
        self.decide_one(pending[pick % len(pending)], verdict)

    def decide_one(self, row: exchange.Row, verdict: Verdict) -> None:
        journal, place = self.journal, (row.user, row.asset)
        try:
            decided = exchange.decide(journal.cursor, row, journal.limits[place], verdict, self.now_ns)
        except SettlementError as e:
            if e.code != "insufficient_limit":
                raise
            return
        if 0 < row.expires_ns < self.now_ns:
            assert (decided.row.state, decided.row.code) == ("rejected", "expired")
        journal = journal._replace(
            rows={**journal.rows, row.id: decided.row},
            limits={**journal.limits, place: journal.limits[place] + decided.granted},
        )
        self.journal = self.answer(journal, row.id, decided.answer)

    @rule(random=st.randoms(use_true_random=False), lost=st.booleans())
    def send(self, random: Any, lost: bool) -> None:
        """Append what is due; some of it may never arrive."""
        self.append(0.5 if lost else 1.0, random)

    @rule()
    def prune(self) -> None:
        cursor = exchange.prune(self.journal.cursor, self.r.acked)
        outbox = {seq: sent for seq, sent in self.journal.outbox.items() if seq > cursor.pruned}
        self.journal = self.journal._replace(cursor=cursor, outbox=outbox)

    @rule(
        wanted=st.lists(orders, max_size=3),
        dice=st.lists(st.integers(0, 9), min_size=len(ORDINARY), max_size=2 * len(ORDINARY)),
        verdict=verdicts,
    )
    def things_go_on(self, wanted: list[Any], dice: list[int], verdict: Verdict) -> None:
        """Take ordinary steps in their usual order, some left out: by single steps little would ever end."""
        self.record_all(wanted)
        for index, die in enumerate(dice):
            name = ORDINARY[index % len(ORDINARY)]
            if die < 3 if name == "promote" else die > 0:
                self.step(name, die, verdict)

    def step(self, name: str, die: int, verdict: Verdict) -> None:
        steps: dict[str, Callable[[], None]] = {
            "sibling": self.catch_up,
            "publish": lambda: self.publish(away=False),
            "replica": self.replica_catches_up,
            # Sometimes the next entry is overlooked.
            "take": lambda: self.take(int(die > 7), 3),
            "decide": lambda: self.decide_all(verdict),
            "send": lambda: self.append(1.0),
            "apply": self.apply_all,
            "pay": self.pay,
            "acknowledge": lambda: self.acknowledge(away=False),
            "prune": self.prune,
            "promote": self.sibling_is_promoted,
        }
        steps[name]()

    def catch_up(self) -> None:
        self.history = [self.p]

    def decide_all(self, verdict: Verdict) -> None:
        for row in list(self.journal.rows.values()):
            if row.state == "pending":
                self.decide_one(row, verdict)

    def append(self, share: float, random: Any = None) -> None:
        self.pace, ranges = to_send(self.pace, self.journal.cursor, self.now_ns)
        for seq in (seq for each in ranges for seq in each):
            if random is None or random.random() < share:
                self.mailbox.append(self.journal.outbox[seq])

    def apply_all(self) -> None:
        for answer in sorted(self.mailbox, key=lambda sent: sent.arrival.seq):
            if custodian.next_answer(self.p.cursor, answer.arrival.seq) == "next":
                self.apply_one(answer)

    # What happens to them.

    @rule(passed_ns=st.sampled_from([1, 10, 10**9, AGAIN_NS_MAX]))
    def time_passes(self, passed_ns: int) -> None:
        self.now_ns += passed_ns

    @rule(steps=picks)
    def sibling_catches_up(self, steps: int) -> None:
        self.history = self.history[steps % len(self.history) :]

    @rule()
    def replica_catches_up(self) -> None:
        cursor = self.p.cursor
        out = {seq: m for seq, m in self.p.outbox.items() if cursor.trimmed < seq <= cursor.published}
        self.r = View(out, self.p.acked)
        self.past_views.append(self.r)

    @rule(pick=picks, random=st.randoms(use_true_random=False))
    def replica_rolls_back(self, pick: int, random: Any) -> None:
        self.r = self.past_views[pick % len(self.past_views)]
        self.mailbox = [sent for sent in self.mailbox if random.random() < 0.5]

    @rule(told=st.booleans())
    def mailbox_is_wiped(self, told: bool) -> None:
        self.mailbox = []
        if told:
            self.pace = renewed(self.pace)

    @rule()
    def mailbox_holds_everything_twice(self) -> None:
        self.mailbox = (self.mailbox + self.mailbox)[-50:]

    @rule()
    def exchange_restarts(self) -> None:
        self.pace = Pace()
        exchange.start(self.journal.cursor, self.r.acked, min(self.r.out, default=None))

    @rule()
    def sibling_is_promoted(self) -> None:
        self.p = self.history[0]
        self.history = [self.p]

    # What must be so.

    @invariant()
    def nobody_trades_on_what_is_not_pledged(self) -> None:
        for place, limit in self.journal.limits.items():
            position = self.p.positions[place]
            real = DEPOSIT - sum(
                (r.amount for r in self.p.requests.values() if r.id in self.paid and (r.user, r.asset) == place),
                Decimal(0),
            )
            assert all(getattr(position, account) >= 0 for account in ACCOUNTS)
            assert 0 <= limit <= position.pledged <= position.vault == DEPOSIT
            assert position.vault - position.leaving <= real
            assert limit <= real

    @invariant()
    def both_sides_mean_the_same(self) -> None:
        for request_id, request in self.p.requests.items():
            row = self.journal.rows.get(request_id)
            decision = row.state if row else "unseen"
            assert request.state in OPEN or (request.state, decision) in (("posted", "accepted"), ("void", "rejected"))
        assert self.journal.rows.keys() <= self.p.requests.keys()
        assert self.paid <= self.p.requests.keys()

    @invariant()
    def what_is_decided_stays(self) -> None:
        for request_id, row in self.journal.rows.items():
            if row.state != "pending":
                assert self.final.setdefault(request_id, row.state) == row.state

    @invariant()
    def nothing_is_forgotten_too_early(self) -> None:
        ours, theirs = self.p.cursor, self.journal.cursor
        assert theirs.pruned <= min(ours.applied, self.history[0].cursor.applied)
        assert ours.trimmed <= theirs.inbox <= ours.recorded
        assert theirs.inbox <= self.history[0].cursor.recorded

    def teardown(self) -> None:
        """Once nothing goes wrong any more, everything is answered and both sides are equal."""
        for _ in range(ROUNDS_MAX):
            if self.settled():
                break
            self.now_ns += 2 * AGAIN_NS_MAX
            for request in list(self.p.requests.values()):
                if request.state == "held" and custodian.expire(self.p.cursor, request, 1, self.now_ns):
                    self.ask(request.id)
            self.catch_up()
            self.publish(away=False)
            self.replica_catches_up()
            self.take(0, len(self.r.out) + 1)
            self.decide_all("rejected")
            self.append(1.0)
            self.apply_all()
            self.catch_up()
            self.acknowledge(away=False)
            self.pay()
            self.replica_catches_up()
            self.prune()
        assert self.settled()
        self.nobody_trades_on_what_is_not_pledged()
        self.both_sides_mean_the_same()
        self.replay()

    def settled(self) -> bool:
        p, journal = self.p, self.journal
        return (
            all(r.state not in OPEN for r in p.requests.values())
            and all(row.state != "pending" for row in journal.rows.values())
            and p.cursor.published == p.cursor.recorded == journal.cursor.inbox
            and p.cursor.applied == journal.cursor.last == journal.cursor.pruned
            and all(p.positions[place].credit == limit for place, limit in journal.limits.items())
            and all(r.id in self.paid for r in p.requests.values() if credit.releases(r))
        )

    def replay(self) -> None:
        """The positions are what the final requests' movements add up to."""
        books = Books()
        for user, asset in PLACES:
            books.post([Transfer(asset, DEPOSIT, "outside", "", "available", user)])
        moved = [r for r in self.p.requests.values() if r.state == "posted" and r.kind != "pledge"]
        for request in sorted(moved, key=lambda r: r.kind == "decrease"):
            steps = [credit.MOVES[request.kind, "held"], credit.MOVES[request.kind, "posted"]]
            books.post([within(request.user, request.asset, request.amount, *step) for step in steps])
        for request in self.p.requests.values():
            if credit.releases(request):
                books.post([within(request.user, request.asset, request.amount, "available", "leaving")])
        assert self.p.positions == books.positions


def test_whatever_happens_in_whatever_order_the_link_holds() -> None:
    run_state_machine_as_test(Link, settings=settings(max_examples=60, stateful_step_count=60))
