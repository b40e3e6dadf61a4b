"""Requests, cycles and freezes as tables."""

from collections.abc import Iterable

from heliograph.cli.settle_table import instant, print_table
from heliograph.settlement.credit import Request
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.freeze import Freezes
from heliograph.settlement.link.exchange import Row

_REQUEST = ("request", "kind", "user", "asset", "amount", "state", "code", "reason")


def print_request(request: Request) -> None:
    """Print one request of the custodian's."""
    print_requests([request])


def print_requests(requests: Iterable[Request | Row]) -> None:
    """Print requests, of either party."""
    print_table(_REQUEST, [(r.id, r.kind, r.user, r.asset, r.amount, r.state, r.code, r.reason) for r in requests])


def print_cycle(cycle: Cycle) -> None:
    """Print a cycle and its legs."""
    print_cycles([cycle])
    print_table(
        ("leg", "user", "asset", "net", "state", "code", "reason"),
        [(leg.leg_id, leg.user, leg.asset, leg.net, leg.state, leg.code, leg.reason) for leg in cycle.legs],
    )


def print_cycles(cycles: Iterable[Cycle]) -> None:
    """Print cycles, a line each."""
    print_table(
        ("cycle", "side", "state", "cut-off", "attempt", "legs", "disputable until"),
        [(c.id, c.side, c.state, instant(c.cut_off_ns), c.attempt, len(c.legs), instant(c.until_ns)) for c in cycles],
    )


def print_freezes(freezes: Freezes) -> None:
    """Print all that is frozen."""
    print_table(
        ("place", "direction", "what", "who", "why", "since", "until"),
        [
            (f.place, f.direction, "credit" if f.delegation else "all", f.who, f.why, instant(f.since_ns),
             instant(f.until_ns))
            for f in freezes.orders
        ],
    )  # fmt: skip
