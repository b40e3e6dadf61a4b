"""The exchange's side changes the credit inventory by itself: only where it holds the custodian's server as well.

A change is what it always is, a request of the custodian's that the exchange accepts, and is on the primary, in the
journals of both sides, when the call returns. Its id is made of the caller's, so asking again changes nothing.
"""

import hashlib
import threading
import uuid
from decimal import Decimal
from typing import Final

import redis

from heliograph.model.settlement import CreditOrder, amount_text
from heliograph.settlement.credit import Request
from heliograph.settlement.exchange_journal import Choice
from openoes_core.configuration import Configuration
from openoes_core.custody import Custody
from openoes_core.dealing import Dealing
from openoes_core.errors import ConfigurationError, SettlementError, ValidationError
from openoes_core.places import CUSTODIAN, Place

WAIT_S: Final = 30.0
INTERNAL: Final = "internal"
"""The address of coins that came in by a hand-made change."""


class Booking:
    """Both ends of one custodian's link, for changes from the exchange's side.

    Args:
        place: the servers, which must be one.
        client: a client of it.
        config: the settings.

    """

    def __init__(self, place: Place, client: redis.Redis, config: Configuration) -> None:
        self._place = place
        self._client = client
        self._config = config
        self._opening = threading.Lock()
        self._custodies: dict[str, Custody] = {}
        self._dealing: Dealing | None = None

    def custodian(self) -> str:
        """Return for whom changes are that name nobody: the settings' custodian, else the only one there is."""
        named = self._config.get("custodian_id")
        known = self.dealing().custodians
        return str(named or (known[0] if len(known) == 1 else CUSTODIAN))

    def dealing(self) -> Dealing:
        """Return the exchange's end."""
        with self._opening:
            if self._dealing is None:
                self._dealing = Dealing.of(self._place, self._config)
            return self._dealing

    def custody(self, custodian: str) -> Custody:
        """Return the custodian's end.

        Raises:
            ConfigurationError: `custodian_only`: it is not ours.

        """
        if not self._place.one:
            raise ConfigurationError(
                "only the custodian changes the credit inventory: it asks for it by a request", code="custodian_only"
            )
        self.dealing()
        with self._opening:
            if custodian not in self._custodies:
                self._custodies[custodian] = Custody.of(self._place, self._client, custodian, self._config)
        return self._custodies[custodian]

    def change(
        self, user: str, asset: str, by: Decimal, reference: str | None = None, custodian: str | None = None
    ) -> Decimal:
        """Change a credit inventory, and return what it is then.

        Args:
            user: whose.
            asset: in which asset.
            by: how much more, or less if negative.
            reference: the change's own; None for one that is made once more each time.
            custodian: whose link.

        Raises:
            ValidationError: there is not so much.
            OpenOESError: the server refused, or is away.

        """
        named = custodian or self.custodian()
        custody = self.custody(named)
        if not by:
            return custody.position(user, asset).credit
        order = order_of(user, asset, by)
        request_id = reference_id(reference or uuid.uuid4().hex, user, asset, by)
        found = self.asked(named, request_id, order)
        if found.state != "posted":
            raise ValidationError(found.reason or found.code, field="amount", value=by, code=found.code)
        return custody.position(user, asset).credit

    def asked(self, custodian: str, request_id: str, order: CreditOrder, choice: Choice | None = None) -> Request:
        """Record a request, decide it, and return it once that is on the primary.

        Raises:
            ValidationError: there is not so much.
            OpenOESError: the server refused, or is away.

        """
        custody, dealing = self.custody(custodian), self.dealing()
        dealing.claim(custodian, request_id)
        try:
            try:
                found = custody.request(request_id, order, arrived=True)
            except SettlementError as e:
                if e.code.startswith("insufficient") or e.code in ("conflict", "too_large"):
                    raise ValidationError(e.message, code=e.code) from e
                raise
            if found.state in ("held", "asked"):
                row = dealing.arrival(custodian, request_id, WAIT_S)
                if row.state == "pending":
                    _decided(dealing, custodian, choice or Choice(request_id, "accepted"))
                found = custody.final(request_id, WAIT_S)
            return found
        finally:
            dealing.unclaim(custodian, request_id)

    def find(self, custodian: str, reference: str, user: str, asset: str, by: Decimal) -> Request | None:
        """Return a change that was made under a reference, None if none was."""
        request_id = reference_id(reference, user, asset, by)
        return self.custody(custodian).call(lambda service: service.find(request_id))

    def close(self) -> None:
        """Let go of both ends; a second time does nothing."""
        with self._opening:
            custodies, self._custodies = self._custodies, {}
            dealing, self._dealing = self._dealing, None
        for custody in custodies.values():
            custody.release()
        if dealing is not None:
            dealing.release()


def order_of(user: str, asset: str, by: Decimal, chain: str = INTERNAL, address: str = INTERNAL) -> CreditOrder:
    """Return what to ask of the exchange for a change."""
    if by > 0:
        return CreditOrder("increase", user, asset, amount_text(by), chain, address)
    return CreditOrder("decrease", user, asset, amount_text(-by))


def reference_id(reference: str, user: str, asset: str, by: Decimal) -> str:
    """Return the id of a change's request: one for a reference, user, asset and direction, whatever these are."""
    direction = "increase" if by > 0 else "decrease"
    text = f"{reference}\0{user}\0{asset}\0{direction}"
    return f"change-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def _decided(dealing: Dealing, custodian: str, choice: Choice) -> None:
    try:
        dealing.decide(custodian, choice)
    except SettlementError as e:
        if e.code in ("insufficient_limit", "in_use"):
            dealing.decide(custodian, Choice(choice.id, "rejected", e.code, e.message))
        elif e.code != "decided":
            raise
