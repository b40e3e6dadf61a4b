"""The custodian asks for credit."""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from openoes_core.amount import Amount, amount
from openoes_core.configuration import Configuration
from openoes_core.connection import RedisConnectionManager
from openoes_core.custody import Custody
from openoes_core.errors import (
    OpenOESError,
    SettlementError,
    TimeoutError,  # noqa: A004 - the seeds' name
    ValidationError,
)
from openoes_core.listening import Listening
from openoes_core.places import sdk_errors

from heliograph.model.settlement import CreditOrder, amount_text, positive
from heliograph.settlement.credit import Request
from heliograph.settlement.cycle import Cycle
from openoes_wsp.credit_request import CreditRequest
from openoes_wsp.custodies import Custodies

Callback = Callable[[CreditRequest], Any]
RESPONSE_TIMEOUT_S: Final = 30


class CreditRequestManager:
    """Sends requests for credit over the custodian's link, and keeps them up to date.

    Args:
        connection_manager: where the two servers are.
        custodian_id: who asks, or the settings, which may say so (`custodian_id`); a call can say it too.
        response_timeout: how long a call waits for an answer, in seconds.
        auto_start_processor: whether callbacks are called from now on.
        config: the settings, where the second argument is the custodian.
        custodies: the custodian's ends of the links, where they are somebody else's to close.

    """

    def __init__(
        self,
        connection_manager: RedisConnectionManager,
        custodian_id: str | Configuration | None = None,
        response_timeout: float = RESPONSE_TIMEOUT_S,
        auto_start_processor: bool = True,
        *,
        config: Configuration | None = None,
        custodies: Custodies | None = None,
    ) -> None:
        self.connection_manager = connection_manager
        self.response_timeout = response_timeout
        self._custodies = custodies or Custodies(connection_manager, custodian_id, config)
        self._owned = custodies is None
        self._requests: dict[str, CreditRequest] = {}
        self._changing = threading.Lock()
        self._callbacks: list[Callback] = []
        self._changed: Listening[CreditRequest] = Listening("credit responses", self._call_back)
        self._custodies.listen(self._told)
        connection_manager.before_close(self.close)
        if auto_start_processor:
            self.start_response_processor()

    @property
    def custodian_id(self) -> str:
        """Who asks where a call does not say."""
        return self._custodies.custodian(None)

    @property
    def failures(self) -> list[Exception]:
        """What callbacks raised lately."""
        return self._changed.failures

    def create_credit_request(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        ci: Any = None,
        chain: str | None = None,
        address: str | None = None,
        *,
        custodian_id: str | None = None,
        request_id: str | None = None,
    ) -> CreditRequest:
        """Make a request that has not been sent; without `ci`, that is computed from what the server has.

        Raises:
            ValidationError: a value cannot be used.

        """
        custodian = self._custodies.custodian(custodian_id)
        change = _read(amount)
        if ci is None:
            ci = self._custodies.of(custodian).position(user_id, asset).credit + change
        return CreditRequest(custodian, user_id, asset, change, ci, chain, address, request_id)

    def send_credit_request(
        self,
        request: CreditRequest,
        wait_for_response: bool = False,
        timeout: float | None = None,
        *,
        check: bool = True,
    ) -> CreditRequest:
        """Send a request; what is not possible is rejected at once, with the reason.

        Args:
            request: what to ask.
            wait_for_response: whether to wait for the answer.
            timeout: how long, in seconds; None: `response_timeout`.
            check: whether the stated inventory must be the one that comes of it.

        Raises:
            TimeoutError: no answer came in time. The request is taken back; it holds what it holds until the exchange
                has answered, and `late_status` will tell how.
            OpenOESError: the server refused, or is away.

        """
        custody = self._custodies.of(request.custodian_id)
        order = CreditOrder(
            "increase" if request.is_increase() else "decrease",
            request.user_id,
            request.asset,
            amount_text(request.amount),
            request.chain or "",
            request.address or "",
        )
        with self._changing:
            known = self._requests.setdefault(request.request_id, request)
        try:
            if check and known is request and not custody.told_of(request.request_id):
                self._check(custody, request)
            found = custody.request(request.request_id, order, arrived=True)
        except (ValidationError, SettlementError) as e:
            if isinstance(e, SettlementError) and e.code in ("outcome_unknown", "ended", "fenced"):
                raise
            if e.code == "conflict" and known is not request:
                raise
            self._finished(request, "rejected", e.message, custody)
            return request
        if found.state in ("posted", "void"):
            self._told(request.custodian_id, found)
        return self._waited(known, custody, timeout) if wait_for_response else known

    def request_credit_increase(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        ci: Any = None,
        chain: str | None = None,
        address: str | None = None,
        wait_for_response: bool = True,
        timeout: float | None = None,
        *,
        custodian_id: str | None = None,
        request_id: str | None = None,
    ) -> CreditRequest:
        """Ask for more credit on coins that lie at an address; what the vault lacks of them is booked as arrived.

        Raises:
            ValidationError: a value cannot be used, or the chain or address is missing.
            TimeoutError: no answer came in time; see `send_credit_request`.
            OpenOESError: the server refused, or is away.

        """
        change = _positive(amount)
        for field, value in (("chain", chain), ("address", address)):
            if not value:
                raise ValidationError("an increase names where the coins lie", field=field)
        request = self.create_credit_request(
            user_id, asset, change, ci, chain, address, custodian_id=custodian_id, request_id=request_id
        )
        return self.send_credit_request(request, wait_for_response, timeout, check=ci is not None)

    def request_credit_decrease(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        ci: Any = None,
        wait_for_response: bool = True,
        timeout: float | None = None,
        *,
        custodian_id: str | None = None,
        request_id: str | None = None,
    ) -> CreditRequest:
        """Give credit back: the magnitude of the amount, whichever its sign.

        Raises:
            ValidationError: a value cannot be used.
            TimeoutError: no answer came in time; see `send_credit_request`.
            OpenOESError: the server refused, or is away.

        """
        change = -_positive(abs(_read(amount)))
        request = self.create_credit_request(
            user_id, asset, change, ci, custodian_id=custodian_id, request_id=request_id
        )
        return self.send_credit_request(request, wait_for_response, timeout, check=ci is not None)

    def get_pending_requests(self) -> list[CreditRequest]:
        """Return the requests without an answer, oldest first."""
        with self._changing:
            return [request for request in self._requests.values() if request.is_pending()]

    def get_request(self, request_id: str) -> CreditRequest | None:
        """Return a request that was sent here, None if there is none of this id."""
        return self._requests.get(request_id)

    def add_response_callback(self, callback: Callback) -> None:
        """Call it with each request whose status changed; what it raises is logged and kept in `failures`."""
        self._callbacks.append(callback)

    def start_response_processor(self) -> None:
        """Call the callbacks from now on, in a thread."""
        self._changed.start()

    def stop_response_processor(self) -> None:
        """Call them no more; the thread has ended when this returns."""
        self._changed.stop()

    def close(self) -> None:
        """End, and leave no thread; a second time does nothing."""
        self.stop_response_processor()
        self._custodies.unlisten(self._told)
        if self._owned:
            self._custodies.close()

    def _check(self, custody: Custody, request: CreditRequest) -> None:
        position = custody.position(request.user_id, request.asset)
        stated = amount(request.ci, "ci")
        # What is asked and not answered may be counted by the caller, or not.
        possible = (position.credit, position.granted + position.held, position.granted)
        if stated not in [Amount(credit) + request.change for credit in possible]:
            raise ValidationError(
                f"the credit inventory would be {Amount(position.credit) + request.change}, not {stated}",
                field="ci",
                value=request.ci,
                code="ci_mismatch",
            )

    def _waited(self, request: CreditRequest, custody: Custody, timeout: float | None) -> CreditRequest:
        limit_s = self.response_timeout if timeout is None else timeout
        try:
            found = custody.final(request.request_id, limit_s)
        except TimeoutError:
            with self._changing:
                late = request.answered("timeout", request.ci, "", request.timestamp)
                request.new_balance = None
            if late:
                self._changed.put(request)
            try:
                custody.call(lambda custodian: custodian.cancel(request.request_id, "timeout"))
            except OpenOESError as e:
                if e.code != "final":
                    raise
            raise TimeoutError(
                f"no answer to {request.request_id}", operation="credit request", timeout=limit_s
            ) from None
        self._told(request.custodian_id, found)
        return request

    def _told(self, custodian: str, item: Request | Cycle) -> None:
        if not isinstance(item, Request) or item.state not in ("posted", "void"):
            return
        request = self._requests.get(item.id)
        if request is None or request.custodian_id != custodian:
            return
        status = "accepted" if item.state == "posted" else "rejected"
        # What the answer itself says: a later one may have changed the inventory already.
        ci = request.ci if status == "accepted" else amount(request.ci) - request.change
        self._change(request, status, ci, item.reason or item.code)

    def _finished(self, request: CreditRequest, status: str, reason: str, custody: Custody) -> None:
        credit = custody.position(request.user_id, request.asset).credit if request.user_id.isprintable() else 0
        self._change(request, status, credit, reason)

    def _change(self, request: CreditRequest, status: str, ci: Any, reason: str) -> None:
        with self._changing:
            changed = request.answered(status, ci, "" if status == "accepted" else reason, _now_s())
        if changed:
            self._changed.put(request)

    def _call_back(self, request: CreditRequest) -> None:
        for callback in list(self._callbacks):
            self._changed.guarded(callback, request)


def _now_s() -> int:
    return int(time.time())


def _read(value: Any) -> Amount:
    return amount(value)


def _positive(value: Any) -> Amount:
    found = _read(value)
    if found <= 0:
        raise ValidationError("an amount is positive", field="amount", value=value, code="bad_amount")
    with sdk_errors():
        positive(amount_text(found))
    return found
