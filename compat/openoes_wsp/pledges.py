"""The custodian pledges coins to the exchange."""

import threading
import uuid
from collections.abc import Callable
from typing import Any

from openoes_core.configuration import Configuration
from openoes_core.connection import RedisConnectionManager
from openoes_core.errors import OpenOESError, SettlementError, ValidationError
from openoes_core.keys import KeyManager
from openoes_core.listening import Listening
from openoes_core.places import place_of
from openoes_core.replies import Entry
from openoes_core.tailing import Tail

from heliograph.model.settlement import CreditOrder, amount_text
from heliograph.settlement.credit import Request
from heliograph.settlement.cycle import Cycle
from openoes_wsp.custodies import Custodies
from openoes_wsp.pledge_request import PledgeRequest, PledgeResponse

Callback = Callable[[PledgeResponse], Any]


class PledgeManager:
    """Sends pledges over the custodian's link, and keeps them up to date.

    Args:
        connection_manager: where the two servers are.
        custodian_id: who pledges, or the settings, which may say so; a call can say it too.
        auto_start_processor: whether answers are processed from now on.
        config: the settings, where the second argument is the custodian.
        custodies: the custodian's ends of the links, where they are somebody else's to close.

    """

    def __init__(
        self,
        connection_manager: RedisConnectionManager,
        custodian_id: str | Configuration | None = None,
        auto_start_processor: bool = True,
        *,
        config: Configuration | None = None,
        custodies: Custodies | None = None,
    ) -> None:
        self.connection_manager = connection_manager
        self._custodies = custodies or Custodies(connection_manager, custodian_id, config)
        self._owned = custodies is None
        self._requests: dict[str, PledgeRequest] = {}
        self._responses: dict[str, PledgeResponse] = {}
        self._refused: list[tuple[str, str]] = []
        self._changing = threading.Lock()
        self._callbacks: list[Callback] = []
        self._waiting: list[PledgeResponse] = []
        self._answered = threading.Condition()
        self._changed: Listening[PledgeResponse] = Listening("pledge responses", self._hand_out)
        self._running = False
        self._tail: Tail | None = None
        self._custodies.listen(self._told)
        connection_manager.before_close(self.close)
        if auto_start_processor:
            self.start_response_processor()

    @property
    def failures(self) -> list[Exception]:
        """What callbacks raised lately."""
        return self._changed.failures

    @property
    def refusals(self) -> list[tuple[str, str]]:
        """Answers that were not taken: the id that they name, and why."""
        return list(self._refused)

    def create_pledge_request(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        chain: str,
        address: str,
        request_id: str | None = None,
        publish: bool = True,
        *,
        custodian_id: str | None = None,
    ) -> PledgeRequest:
        """Make a pledge and send it; the same id is the same pledge.

        Raises:
            ValidationError: a value cannot be used.
            OpenOESError: the server refused, or is away; the pledge is `failed` then, unless it may have left.

        """
        custodian = self._custodies.custodian(custodian_id)
        request = PledgeRequest(
            request_id or f"pledge-{uuid.uuid4()}", user_id, asset, amount, custodian, chain, address
        )
        with self._changing:
            known = self._requests.setdefault(request.request_id, request)
        if publish:
            self._send(known, request)
        return known

    def create_pledge(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        chain: str,
        address: str,
        request_id: str | None = None,
        *,
        custodian_id: str | None = None,
        wait_for_response: bool = False,
        timeout: float | None = None,
    ) -> PledgeRequest:
        """Make a pledge and send it, and wait for its answer if that is wanted.

        Raises:
            ValidationError: a value cannot be used.
            TimeoutError: no answer came in time; the pledge stays submitted.
            OpenOESError: the server refused, or is away.

        """
        request = self.create_pledge_request(
            user_id, asset, amount, chain, address, request_id, custodian_id=custodian_id
        )
        if wait_for_response and request.is_submitted():
            custody = self._custodies.of(request.custodian_id)
            self._told(request.custodian_id, custody.final(request.request_id, 30 if timeout is None else timeout))
        return request

    def process_pledge_responses(
        self, callback: Callback | None = None, run_once: bool = False
    ) -> list[PledgeResponse]:
        """Hand out the answers that have come since the last time, and return them.

        Args:
            callback: called with each.
            run_once: whether one pass is enough; else the first answer is waited for, until the processor is stopped.

        Raises:
            OpenOESError: the server is away.

        """
        if place_of(self.connection_manager).one:
            self._face().once()
        taken: list[PledgeResponse] = []
        with self._answered:
            if not run_once and callback is not None and not self._waiting:
                self._running = True
                self._answered.wait_for(lambda: self._waiting or not self._running)
            taken, self._waiting = self._waiting, []
        for response in taken:
            if callback is not None:
                self._changed.guarded(callback, response)
        return taken

    def add_response_callback(self, callback: Callback) -> None:
        """Call it with each answer; what it raises is logged and kept in `failures`."""
        self._callbacks.append(callback)

    def start_response_processor(self) -> None:
        """Process answers from now on, in a thread."""
        self._changed.start()

    def stop_response_processor(self) -> None:
        """Process them no more; the threads have ended when this returns."""
        with self._answered:
            self._running = False
            self._answered.notify_all()
        if self._tail is not None:
            self._tail.stop()
        self._changed.stop()

    def get_pledge_request(self, request_id: str) -> PledgeRequest | None:
        """Return a pledge that was made here, None if there is none of this id."""
        return self._requests.get(request_id)

    def get_pledge_requests(
        self, user_id: str | None = None, asset: str | None = None, status: str | None = None
    ) -> list[PledgeRequest]:
        """Return the pledges of a user, an asset and a status, as far as these are said."""
        return [each for each in list(self._requests.values()) if _matches(each, user_id, asset, status)]

    def get_pledge_response(self, request_id: str) -> PledgeResponse | None:
        """Return the answer to a pledge, None while there is none."""
        return self._responses.get(request_id)

    def get_pledge_responses(
        self, user_id: str | None = None, asset: str | None = None, status: str | None = None
    ) -> list[PledgeResponse]:
        """Return the answers of a user, an asset and a status, as far as these are said."""
        return [each for each in list(self._responses.values()) if _matches(each, user_id, asset, status)]

    def get_pending_pledge_requests(self, user_id: str | None = None) -> list[PledgeRequest]:
        """Return the pledges that were sent and not answered."""
        return self.get_pledge_requests(user_id, status="submitted")

    def get_approved_pledge_requests(self, user_id: str | None = None) -> list[PledgeRequest]:
        """Return the pledges that the exchange took."""
        return self.get_pledge_requests(user_id, status="approved")

    def get_rejected_pledge_requests(self, user_id: str | None = None) -> list[PledgeRequest]:
        """Return the pledges that the exchange refused."""
        return self.get_pledge_requests(user_id, status="rejected")

    def close(self) -> None:
        """End, and leave no thread; a second time does nothing."""
        self.stop_response_processor()
        self._custodies.unlisten(self._told)
        if self._owned:
            self._custodies.close()

    def _send(self, known: PledgeRequest, asked: PledgeRequest) -> None:
        order = CreditOrder("pledge", asked.user_id, asked.asset, amount_text(asked.amount), asked.chain, asked.address)
        try:
            found = self._custodies.of(asked.custodian_id).request(asked.request_id, order, arrived=False)
        except OpenOESError as e:
            if known is asked and isinstance(e, SettlementError | ValidationError) and e.code != "outcome_unknown":
                known.mark_failed(e.message)
            raise
        with self._changing:
            if known.is_pending():
                known.mark_submitted()
        self._told(asked.custodian_id, found)
        if place_of(self.connection_manager).one and self._changed.running:
            self._face().start()

    def _told(self, custodian: str, item: Request | Cycle) -> None:
        if not isinstance(item, Request) or item.kind != "pledge" or item.state not in ("posted", "void"):
            return
        approved = item.state == "posted"
        response = PledgeResponse(
            item.id,
            item.user,
            item.asset,
            item.amount,
            "approved" if approved else "rejected",
            None,
            f"vault-{item.id}" if approved else None,
            None if approved else item.reason or item.code,
        )
        self._take(custodian, response)

    def _face(self) -> Tail:
        """On one server, answers in the seeds' own fields are taken as well."""
        if self._tail is None:
            client = self.connection_manager.get_replica_client()
            self._tail = Tail(client, KeyManager.pledge_response_stream(), self._read)
        return self._tail

    def _read(self, entry: Entry) -> None:
        if not place_of(self.connection_manager).one:
            return
        try:
            response = PledgeResponse.from_stream_data(entry[1])
        except ValidationError as e:
            self._refused.append((entry[1].get("request_id", ""), e.message))
            return
        request = self._requests.get(response.request_id)
        if request is not None:
            self._take(request.custodian_id, response)

    def _take(self, custodian: str, response: PledgeResponse) -> None:
        request = self._requests.get(response.request_id)
        if request is None:
            return
        named = (response.user_id, response.asset, response.amount, custodian)
        with self._changing:
            if named != (request.user_id, request.asset, request.amount, request.custodian_id):
                self._refused.append((response.request_id, "the answer is about something else"))
                return
            if request.is_completed():
                return
            if request.is_pending():
                request.mark_submitted()
            if response.is_approved():
                request.mark_approved(response.vault_id, response.timestamp)
            else:
                request.mark_rejected(response.reject_reason or "", response.timestamp)
            self._responses[response.request_id] = response
        with self._answered:
            self._waiting.append(response)
            self._answered.notify_all()
        self._changed.put(response)

    def _hand_out(self, response: PledgeResponse) -> None:
        for callback in list(self._callbacks):
            self._changed.guarded(callback, response)


def _matches(each: PledgeRequest | PledgeResponse, user_id: str | None, asset: str | None, status: str | None) -> bool:
    return user_id in (None, each.user_id) and asset in (None, each.asset) and status in (None, each.status)
