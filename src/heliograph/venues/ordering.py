"""What is alike wherever orders are told: numbers that may be absent, and answers that prove nothing.

An order is rejected only where the venue proves that it is not at work. Whatever else is no clear yes leaves it
unknown: no answer, a fault of the server, a body that cannot be read.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.errors import ConfigError
from heliograph.model.numbers import amount, parse
from heliograph.model.orders import (
    ClientId,
    OrderKind,
    OrderRequest,
    Outcome,
    Unknown,
    all_rejected,
    all_unknown,
)

_SERVER_FAULT: Final = 500
_TURNED_AWAY: Final = frozenset({400, 401, 403, 404, 405, 411, 413, 414, 415, 418, 429, 431})
"""Statuses by which a server says that it did not act on the request; 408, for one, is not among them."""


def number_of(text: str | None) -> Decimal | None:
    """Read a number of either sign; None where the venue says nothing. Raises one of `FAULTS`."""
    return parse(text) if text else None


def amount_of(text: str | None) -> Decimal | None:
    """Read a number that is not negative; None where the venue says nothing. Raises one of `FAULTS`."""
    return amount(parse(text)) if text else None


def positive_of(text: str | None) -> Decimal | None:
    """Read an amount of which zero means none, such as the price of a market order. Raises one of `FAULTS`."""
    return amount_of(text) or None


def undecided(status: int | None) -> str | None:
    """Return why an answer with this status proves nothing whatever it says; None where its body decides.

    Args:
        status: HTTP's, 200 for an answer on a socket, or None where none came: a timeout, or a cut.

    """
    if status is None:
        return "no answer came"
    return f"the server failed (status {status})" if status >= _SERVER_FAULT else None


def of_status(status: int, client_ids: Sequence[ClientId | None]) -> list[Outcome]:
    """Return the outcomes of a request whose answer is not the venue's own: only its status speaks."""
    if status in _TURNED_AWAY:
        return all_rejected(str(status), "turned away before the venue answered", client_ids)
    return all_unknown(f"an answer that cannot be read (status {status})", client_ids)


def matched(client_ids: Sequence[ClientId | None], found: Sequence[Outcome]) -> list[Outcome]:
    """Give each outcome its order's client id; where the answer is about other orders, nothing is proven.

    Args:
        client_ids: of the orders that were asked for, in that order.
        found: what the answer says, with the client ids that it names, if any.

    """
    if len(found) != len(client_ids):
        return all_unknown(f"{len(found)} answers to {len(client_ids)} orders", client_ids)
    return [_matched(client_id, outcome) for client_id, outcome in zip(client_ids, found, strict=True)]


def _matched(client_id: ClientId | None, outcome: Outcome) -> Outcome:
    if outcome.client_id is None or outcome.client_id == client_id:
        return msgspec.structs.replace(outcome, client_id=client_id)
    if client_id is None:
        return outcome
    return Unknown(f"the answer is about another order: {outcome.client_id[:50]!r}", client_id)


def check_no_bound(request: OrderRequest) -> None:
    """Refuse a market order with a price, where a venue would pass the bound over in silence.

    Raises:
        ConfigError: it has one.

    """
    if request.kind is OrderKind.MARKET and request.price is not None:
        venue = request.instrument.venue
        raise ConfigError(f"a market order at {venue} has no price", ("no price", "a limit order, ioc"))
