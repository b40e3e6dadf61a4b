"""What is searched: cases in which the protocol holds, and variants that must be refuted."""

from decimal import Decimal

from tests.settlement.link.model.world import EVERY, MAILBOX, PROCESSES, Case, Order

UP, DOWN = Order(0, "increase"), Order(0, "decrease")
ONE = (UP,)
UP_DOWN = (UP, DOWN)
TWO_USERS = (UP, Order(1, "increase"))
THREE = (UP, Order(1, "increase"), DOWN)
ONE_USER = (UP, UP, DOWN)

HOLDS = (
    Case("no fault, 3 requests", THREE, 2, (), 0),
    Case("crashes", UP_DOWN, 1, ("crash",), 3),
    Case("stale processes", UP_DOWN, 1, ("stale",), 2),
    Case("stale processes and crashes", UP_DOWN, 1, PROCESSES, 3),
    Case("wipes", UP_DOWN, 1, ("wipe",), 3),
    Case("rollbacks", UP_DOWN, 1, ("rollback",), 3),
    Case("emptied and exhausted mailbox", UP_DOWN, 1, ("empty", "brick"), 3),
    Case("fail-overs", UP_DOWN, 1, ("failover",), 2),
    Case("fail-overs, stale processes and crashes, 1 request", ONE, 1, (*PROCESSES, "failover"), 3),
    Case("every kind, 1 request", ONE, 1, EVERY, 3),
    Case("every kind but fail-over, increase and decrease", UP_DOWN, 1, (*PROCESSES, *MAILBOX), 2),
    Case("every kind, increase and decrease, no cancel", UP_DOWN, 0, EVERY, 2),
    Case("every kind, increase and decrease", UP_DOWN, 1, EVERY, 1),
    Case("every kind but fail-over, 3 requests of 1 user, no cancel", ONE_USER, 0, (*PROCESSES, *MAILBOX), 1),
    Case("the old primary runs on, 2 users", TWO_USERS, 0, ("split",), 1),
    Case("the old primary runs on, 1 request", ONE, 1, ("split", "failover"), 2),
    Case("2 siblings, fail-overs, 1 request", ONE, 1, ("failover",), 2, siblings=2),
)
"""Where the protocol must hold."""
FIRST = Order(0, "increase", Decimal("2.5"))
PARTS = (FIRST, Order(0, "decrease", Decimal("1.25")), Order(0, "decrease", Decimal("0.75")))
BACK = (FIRST, Order(0, "decrease", Decimal("1.5")))
SOLD = Decimal("1.5")
SETTLES = (
    Case("amounts with digits, crashes", PARTS, 0, ("crash",), 1),
    Case("a sale", (FIRST,), 0, (), 0, SOLD),
    Case("a sale, disputed and reported again", (FIRST,), 0, (), 0, SOLD, attempts=2, disputes=1),
    Case("the same, every kind of fault", (FIRST,), 0, EVERY, 1, SOLD, attempts=2, disputes=1),
    Case("a sale while credit is given back", BACK, 0, (), 0, SOLD, attempts=2, disputes=1),
)
"""With settlement in the same sequences: a report among the answers, its confirmation among the requests."""
LARGE = (
    Case("every kind, 2 users", TWO_USERS, 1, EVERY, 1),
    Case("the old primary runs on, every kind, 1 request", ONE, 1, (*EVERY, "split"), 2),
    Case("every kind but fail-over, increase and decrease, 3 faults", UP_DOWN, 1, (*PROCESSES, *MAILBOX), 3),
    Case("every kind, increase and decrease, 2 faults", UP_DOWN, 1, EVERY, 2),
    Case("every kind but fail-over, 3 requests", THREE, 1, (*PROCESSES, *MAILBOX), 1),
    Case("fail-over, 3 requests, no cancel", THREE, 0, ("failover",), 1),
    Case("the old primary runs on, fail-overs, 2 users", TWO_USERS, 0, ("split", "failover"), 2),
    Case("the old primary runs on, every kind, increase and decrease", UP_DOWN, 1, (*EVERY, "split"), 1),
    Case("2 siblings, fail-overs, 2 users", TWO_USERS, 0, ("failover",), 2, siblings=2),
    Case("a sale, every kind, 2 faults", (FIRST,), 0, EVERY, 2, SOLD, attempts=2, disputes=1),
    Case("a sale while credit is given back, every kind", BACK, 0, EVERY, 1, SOLD),
    Case("a sale while credit is given back, a cancel", BACK, 1, (), 0, SOLD, attempts=2, disputes=1),
)
"""The same, minutes each."""
