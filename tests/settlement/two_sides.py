"""Both sides of a link at once: credit, trades, reports, disputes, outcomes, in any order that the sequences allow."""

import random
from collections import deque
from collections.abc import Callable
from decimal import Decimal

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heliograph.errors import SettlementError
from heliograph.model.settlement import Confirmation, OrderKind, Report
from heliograph.settlement import cycle as cycles
from heliograph.settlement import trading
from heliograph.settlement.credit import Request
from heliograph.settlement.cycle import Cycle, Place, Step
from heliograph.settlement.ledger import ACCOUNTS, CONTRAS, Books, Position, Transfer, within
from heliograph.settlement.link import custodian, exchange
from heliograph.settlement.netting import Change, Flow, imbalance, net, report
from heliograph.settlement.reconcile import CustodianBooks, ExchangeBooks, Holding, Trader, reconciled
from heliograph.settlement.verification import Terms

D = Decimal
USERS = ("ann", "bob", "cid", "house")
ASSETS = ("BTC", "USD")
AMOUNTS = st.integers(min_value=1, max_value=9).map(lambda n: D(n) + n * D("1E-18"))
PLACES = st.tuples(st.sampled_from(USERS), st.sampled_from(ASSETS))
WINDOW = 10


class Ask(msgspec.Struct, frozen=True):
    """A request at the custodian, with what its coins left and where they go."""

    id: str
    place: Place
    amount: Decimal
    increase: bool


def request(ask: Ask) -> Request:
    kind: OrderKind = "increase" if ask.increase else "decrease"
    return Request(ask.id, kind, *ask.place, ask.amount, "", "held", 0)


def row(ask: Ask, state: exchange.RowState) -> exchange.Row:
    kind: OrderKind = "increase" if ask.increase else "decrease"
    return exchange.Row(ask.id, "", kind, *ask.place, ask.amount, 0, state, 0)


class Settlement(RuleBasedStateMachine):
    """The custodian's books and the exchange's accounts, with two queues between that keep their order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.requests: deque[Ask | tuple[str, Confirmation]] = deque()
        self.answers: deque[tuple[Ask, bool] | tuple[str, Report]] = deque()
        self.books = Books()
        self.held: dict[str, Cycle] = {}
        self.accounts: dict[Place, trading.Account] = {}
        self.changes: dict[str, Change] = {}
        self.taken: dict[str, str] = {}
        """The cycle of a change that a report took."""
        self.cycles: dict[str, Cycle] = {}
        self.made = 0
        self.open: dict[str, Ask] = {}
        """Not answered, as the custodian knows."""
        self.rows: dict[str, exchange.Row] = {}

    @initialize(granted=st.lists(st.integers(min_value=0, max_value=20), min_size=8, max_size=8))
    def start(self, granted: list[int]) -> None:
        """Most have credit, so that trades and reports happen soon."""
        places = [(user, asset) for user in USERS for asset in ASSETS]
        for place, amount in zip(places, granted, strict=True):
            if amount:
                self.deposit(place, D(amount), traded=True)
        while self.requests:
            self.take(willing=True)
        while self.answers:
            self.apply("")

    def position(self, place: Place) -> Position:
        return self.books.positions.get(place, Position())

    def account(self, place: Place) -> trading.Account:
        return self.accounts.get(place, trading.Account())

    def number(self) -> int:
        self.made += 1
        return self.made

    # The custodian.

    @rule(place=PLACES, amount=AMOUNTS, traded=st.booleans())
    def deposit(self, place: Place, amount: Decimal, *, traded: bool) -> None:
        self.books.post([Transfer(place[1], amount, "outside", "", "available", place[0])])
        if traded:
            self.ask(place, amount, increase=True)

    @rule(place=PLACES, amount=AMOUNTS, increase=st.booleans())
    def ask(self, place: Place, amount: Decimal, *, increase: bool) -> None:
        debit, credit = ("available", "held") if increase else ("granted", "returning")
        if getattr(self.position(place), debit) >= amount:
            self.books.post([within(*place, amount, debit, credit)])
            ask = Ask(f"r{self.number()}", place, amount, increase)
            self.open[ask.id] = ask
            self.requests.append(ask)

    @precondition(lambda self: self.answers)
    @rule(unknown=st.sampled_from(["", "", "ann", "house"]))
    def apply(self, unknown: str) -> None:
        """Apply the next answer of the exchange's, whatever it is."""
        first, second = self.answers.popleft()
        if isinstance(first, Ask):
            self.finish(first, accepted=bool(second))
            return
        assert isinstance(second, Report)
        terms = Terms(set(USERS) - {unknown}, set(ASSETS))
        digest = f"{first}.{second.attempt}"
        self.step(
            cycles.received(self.held.get(first), first, second, digest, self.now + WINDOW, terms, self.books.positions)
        )

    def finish(self, ask: Ask, *, accepted: bool) -> None:
        del self.open[ask.id]
        if ask.increase:
            move = ("held", "granted") if accepted else ("held", "available")
        else:
            move = ("returning", "available") if accepted else ("returning", "granted")
        self.books.post([within(*ask.place, ask.amount, *move)])
        for cycle in list(self.held.values()):
            if cycle.state in cycles.UNDECIDED:
                self.step(cycles.retried(cycle, self.books.positions))

    def step(self, step: Step) -> None:
        """Commit a step: what it says of positions is what its movements say."""
        self.books.post(step.transfers)
        for place, position in step.positions.items():
            assert self.books.positions[place] == position
        self.held[step.cycle.id] = step.cycle

    @precondition(lambda self: any(cycle.state in cycles.UNDECIDED for cycle in self.held.values()))
    @rule(which=st.integers(min_value=0, max_value=99), back=st.booleans())
    def dispute(self, which: int, *, back: bool) -> None:
        undecided = [each for each in self.held.values() if each.state in cycles.UNDECIDED]
        cycle = undecided[which % len(undecided)]
        leg = cycle.legs[which % len(cycle.legs)]
        try:
            if back:
                cycle = cycles.retracted(cycle, leg.leg_id, self.now)
            else:
                cycle = cycles.disputed(cycle, leg.leg_id, "mine", "not my trade", self.now)
        except SettlementError:
            return
        self.step(cycles.retried(cycle, self.books.positions))

    @precondition(lambda self: any(cycle.state in cycles.UNDECIDED for cycle in self.held.values()))
    @rule()
    def window_ends(self) -> None:
        self.now += WINDOW
        for cycle in list(self.held.values()):
            if cycle.state in cycles.UNDECIDED and self.now >= cycle.until_ns:
                self.step(cycles.concluded(cycle, self.books.positions, self.now))
                self.requests.append((cycle.id, cycles.confirmation(self.held[cycle.id])))

    # The exchange.

    @precondition(lambda self: self.requests)
    @rule(willing=st.sampled_from([True, True, True, False]))
    def take(self, *, willing: bool) -> None:
        """Take the next message of the custodian's and decide it."""
        message = self.requests.popleft()
        if isinstance(message, Ask):
            change = trading.increased if message.increase else trading.decreased
            accepted = willing and self.book(message.place, lambda account: change(account, message.amount))
            self.answers.append((message, accepted))
            self.rows[message.id] = row(message, "accepted" if accepted else "rejected")
            return
        cycle = cycles.answered(self.cycles[message[0]], message[1])
        self.cycles[cycle.id] = cycle
        settled = set()
        for leg in cycle.legs:
            self.accounts[leg.place] = cycles.booked(self.account(leg.place), leg)
            if leg.state == "settled":
                settled.add(leg.place)
        for ref in [ref for ref, taken in self.taken.items() if taken == cycle.id]:
            del self.taken[ref]
            if (self.changes[ref].user, self.changes[ref].asset) in settled:
                del self.changes[ref]

    def book(self, place: Place, change: Callable[[trading.Account], trading.Account]) -> bool:
        try:
            self.accounts[place] = change(self.account(place))
        except SettlementError:
            return False
        return True

    @rule(
        buyer=st.sampled_from(USERS), seller=st.sampled_from(USERS), amount=AMOUNTS, price=st.integers(1, 3),
    )  # fmt: skip
    def trade(self, buyer: str, seller: str, amount: Decimal, price: int) -> None:
        paid = amount * price
        legs = [(seller, "BTC", -amount), (buyer, "USD", -paid), (buyer, "BTC", amount), (seller, "USD", paid)]
        before = dict(self.accounts)
        for user, asset, change in legs:
            place = (user, asset)
            if not self.book(place, lambda account, change=change: trading.traded(account, change)):
                self.accounts = before
                return
        number = self.number()
        for index, (user, asset, change) in enumerate(legs):
            self.changes[f"{number}.{index}"] = Change(f"{number}.{index}", user, asset, change, self.now)

    @rule(
        held_back=st.frozensets(st.sampled_from(["ann", "bob"]), max_size=1),
        threshold=st.sampled_from([D(0), D(0), D(1), D(20)]),
    )
    def cut_off(self, held_back: frozenset[str], threshold: Decimal) -> None:
        again = [cycle for cycle in self.cycles.values() if cycle.state == "refused"]
        cycle = again[0] if again else cycles.cut(cycles.opened(f"c{self.number()}"), self.now)
        run = f"{cycle.id}.{cycle.attempt + 1}"
        limits = {asset: self.account(("house", asset)).limit for asset in ASSETS}
        free = [change for ref, change in self.changes.items() if ref not in self.taken]
        try:
            netting = net(free, run, self.now, "house", limits, dict.fromkeys(ASSETS, threshold), held_back)
            proposal = report(netting, self.now, cycle.attempt + 1)
        except SettlementError as refused:
            why = refused.code
            netting = None
        if netting is None:
            assert why in ("nothing_to_settle", "house_short")
            return
        for change in netting.advances:
            place = (change.user, change.asset)
            self.accounts[place] = trading.traded(self.account(place), change.amount)
            self.changes[change.ref] = change
        for each in netting.nets:
            place = (each.user, each.asset)
            self.accounts[place] = trading.reported(self.account(place), each.amount)
            self.taken.update(dict.fromkeys(each.refs, cycle.id))
        self.cycles[cycle.id] = cycles.proposed(cycles.calculated(cycle, proposal, run))
        self.answers.append((cycle.id, proposal))

    # What holds at every instant.

    @invariant()
    def nothing_is_below_zero_and_nothing_appears_or_vanishes(self) -> None:
        assert not any(self.books.sums().values())
        assert not any(amount for (account, _), amount in self.books.contras.items() if account == CONTRAS[1])
        for position in self.books.positions.values():
            assert min(getattr(position, account) for account in ACCOUNTS) >= 0
        for account in self.accounts.values():
            assert min(account.limit, account.settling, account.arriving, account.usable, account.returnable) >= 0

    @invariant()
    def what_trades_is_pledged_and_what_settles_is_pledged_or_paid(self) -> None:
        paid: dict[Place, Decimal] = {}
        for message in self.requests:
            if not isinstance(message, Ask):
                for leg in self.held[message[0]].legs:
                    if leg.state == "settled" and leg.net < 0:
                        paid[leg.place] = paid.get(leg.place, D(0)) - leg.net
        for place, account in self.accounts.items():
            position = self.position(place)
            assert account.limit <= position.pledged - position.settling
            assert account.limit + account.settling <= position.pledged + paid.get(place, 0)

    @invariant()
    def every_trade_balances_and_is_unreported_or_taken(self) -> None:
        assert not imbalance(self.changes.values())
        sums: dict[Place, Decimal] = {}
        for ref, change in self.changes.items():
            if ref not in self.taken:
                place = (change.user, change.asset)
                sums[place] = sums.get(place, D(0)) + change.amount
        for place, account in self.accounts.items():
            assert account.unreported == sums.get(place, 0)

    # What a reconciliation sees.

    def custodian_books(self) -> CustodianBooks:
        return CustodianBooks(
            holdings=tuple(Holding(*place, position) for place, position in self.books.positions.items()),
            requests=tuple(request(ask) for ask in self.open.values()),
            cycles=tuple(self.held.values()),
            cursor=custodian.Cursor(recorded=len(self.requests)),
        )

    def exchange_books(self) -> ExchangeBooks:
        free = [change for ref, change in self.changes.items() if ref not in self.taken]
        sums: dict[Place, Decimal] = {}
        for change in free:
            place = (change.user, change.asset)
            sums[place] = sums.get(place, D(0)) + change.amount
        return ExchangeBooks(
            traders=tuple(Trader(*place, account) for place, account in self.accounts.items()),
            requests=(*self.rows.values(), *(row(ask, "pending") for ask in self.requests if isinstance(ask, Ask))),
            cycles=tuple(self.cycles.values()),
            cursor=exchange.Cursor(last=len(self.answers)),
            unreported=tuple(Flow(*place, amount) for place, amount in sums.items()),
        )

    @invariant()
    def every_difference_is_explained(self) -> None:
        assert reconciled(self.custodian_books(), self.exchange_books()).unexplained == 0

    def check(self) -> None:
        """Check all that holds at every instant."""
        self.nothing_is_below_zero_and_nothing_appears_or_vanishes()
        self.what_trades_is_pledged_and_what_settles_is_pledged_or_paid()
        self.every_trade_balances_and_is_unreported_or_taken()
        self.every_difference_is_explained()

    def teardown(self) -> None:
        """Let everything in flight arrive: both sides then agree to the last digit."""
        while self.requests or self.answers or any(c.state in cycles.UNDECIDED for c in self.held.values()):
            if self.requests:
                self.take(willing=True)
            elif self.answers:
                self.apply("")
            else:
                self.window_ends()
        for place in {*self.books.positions, *self.accounts}:
            position, account = self.position(place), self.account(place)
            assert (position.credit, position.settling) == (account.limit, account.settling)
            assert (position.held, position.returning, account.arriving) == (0, 0, 0)
        assert not self.taken
        assert {
            line.figure for line in reconciled(self.custodian_books(), self.exchange_books()).lines if line.causes
        } <= {"unreported"}


def walk(seed: int, steps: int) -> Settlement:
    """Take random steps with all invariants checked after each; far more a second than hypothesis draws."""
    draw = random.Random(seed)
    both = Settlement()
    both.start(granted=[draw.randrange(60) for _ in range(8)])

    def amount() -> Decimal:
        return D(draw.randrange(1, 9)) + D("1E-18") * draw.randrange(3)

    def place() -> Place:
        return draw.choice(USERS), draw.choice(ASSETS)

    for _ in range(steps):
        undecided = any(cycle.state in cycles.UNDECIDED for cycle in both.held.values())
        match draw.choice(
            ["deposit", "ask", "ask", "apply", "apply", "dispute", "end", "take", "take", "trade", "trade", "cut"]
        ):
            case "deposit":
                both.deposit(place(), amount(), traded=draw.random() < 0.8)
            case "ask":
                both.ask(place(), amount(), increase=draw.random() < 0.4)
            case "apply" if both.answers:
                both.apply(draw.choice(["", "", "", "", "cid", "house"]))
            case "dispute" if undecided:
                both.dispute(draw.randrange(99), back=draw.random() < 0.4)
            case "end" if undecided:
                both.window_ends()
            case "take" if both.requests:
                both.take(willing=draw.random() < 0.9)
            case "trade":
                both.trade(draw.choice(USERS), draw.choice(USERS), amount(), draw.randrange(1, 3))
            case "cut":
                held_back = frozenset(draw.sample(["ann", "bob"], draw.choice([0, 0, 1])))
                both.cut_off(held_back, draw.choice([D(0), D(0), D(1), D(20)]))
        both.check()
    both.teardown()
    return both
