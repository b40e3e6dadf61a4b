"""The exchange answers requests for credit."""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any, Final

from openoes_core.amount import Amount, amount
from openoes_core.booking import WAIT_S, Booking
from openoes_core.configuration import Configuration
from openoes_core.connection import RedisConnectionManager
from openoes_core.custody import Custody
from openoes_core.dealing import Asked, Dealing
from openoes_core.errors import OpenOESError, SettlementError, ValidationError
from openoes_core.fields import text, to_fields
from openoes_core.keys import KeyManager
from openoes_core.places import configuration_of, place_of
from openoes_core.publisher import StreamPublisher
from openoes_core.replies import Entry
from openoes_core.tailing import Tail

from heliograph.bus import link_keys
from heliograph.bus.link_keys import part
from heliograph.model.settlement import BadValue, CreditOrder
from heliograph.settlement import faces
from heliograph.settlement.exchange_journal import Choice
from heliograph.settlement.link.exchange import Row
from openoes_exchange.inventory import CreditInventory, CreditInventoryManager, CreditValidator, mirrored

Handler = Callable[["Request"], Any]
Listener = Callable[["Request", "Response"], Any]
FAILURES_MAX: Final = 100
_log: Final = logging.getLogger(__name__)
_ATTRIBUTES: Final = {"user_id": "uid", "custodian_id": "custodian"}


class Message(dict[str, Any]):
    """A message in the wire's fields, which are its attributes as well."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[_ATTRIBUTES.get(name, name)]
        except KeyError:
            raise AttributeError(f"no {name} in this message") from None

    @property
    def amount(self) -> Amount:
        """What is asked for, negative for a decrease."""
        return amount(self["c_change"] if "c_change" in self else self["amount"])


class Request(Message):
    """A request for credit."""

    @property
    def is_pledge(self) -> bool:
        """Whether it offers collateral, and changes no credit."""
        return self.get("type") == "pledge_request"


class Response(Message):
    """The answer to one."""


class CreditManager:
    """Answers the requests of all custodians that are linked.

    A request is decided by the handler of `start_request_processor`, or by the validator. What a handler raises is
    logged and kept in `failures`; the request is not answered, and handled again after a pause, a bounded number of
    times, and after that with the next start.

    Args:
        connection_manager: where the two servers are; its `close` ends this as well.
        inventory_manager: the settings, or a manager of inventories in memory to take into account.
        validator: the rules.
        approved_custodians: who may ask, if there is no validator.
        approved_assets: in which assets, if there is no validator.
        auto_start_processor: whether requests are answered from now on; False with settings alone.
        config: the settings, where the second argument is a manager of inventories.

    """

    def __init__(
        self,
        connection_manager: RedisConnectionManager,
        inventory_manager: CreditInventoryManager | Configuration | Mapping[str, Any] | None = None,
        validator: CreditValidator | None = None,
        approved_custodians: Collection[str] | None = None,
        approved_assets: Collection[str] | None = None,
        auto_start_processor: bool = True,
        *,
        config: Configuration | Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(inventory_manager, Configuration | Mapping):
            inventory_manager, config = None, inventory_manager
        self.connection_manager = connection_manager
        self.config = configuration_of(config)
        self.validator = validator or CreditValidator(approved_custodians, approved_assets)
        self.inventory_manager = inventory_manager or Inventories(self)
        self.request_stream = KeyManager.credit_request_stream()
        self.response_stream = KeyManager.credit_response_stream()
        self.failures: deque[Exception] = deque(maxlen=FAILURES_MAX)
        """What handlers and callbacks raised lately."""
        self._place = place_of(connection_manager)
        self._booking = Booking(self._place, connection_manager.get_wsp_client(), self.config)
        self._handler: Handler | None = None
        self._listeners: list[Listener] = []
        self._staged = threading.local()
        self._answering = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._left: list[Asked] = []
        self._tail: Tail | None = None
        connection_manager.before_close(self.close)
        if auto_start_processor:
            self.start_request_processor()

    @property
    def booking(self) -> Booking:
        """Both ends of the links, as far as they are ours."""
        return self._booking

    def start_request_processor(self, callback: Handler | None = None) -> None:
        """Answer requests from now on, in a thread.

        Args:
            callback: decides each: by `approve_credit_request` or `reject_credit_request`, or by what it returns, True,
                False or an answer. One that does nothing of this leaves it to the validator.

        """
        if callback is not None:
            self._handler = callback
        if self._thread is None:
            dealing = self._booking.dealing()
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, args=(dealing,), name="credit requests", daemon=True)
            self._thread.start()
            if self._place.one:
                client = self.connection_manager.get_replica_client()
                self._tail = Tail(client, self.request_stream, self._raw)
                self._tail.start()

    def start_processor(self, callback: Handler | None = None) -> None:
        """Do as `start_request_processor` does."""
        self.start_request_processor(callback)

    def stop_request_processor(self) -> None:
        """Answer no more; the threads have ended when this returns, and what is not answered waits."""
        thread, self._thread = self._thread, None
        if self._tail is not None:
            self._tail.stop()
            self._tail = None
        if thread is not None:
            self._stopping.set()
            self._booking.dealing().asked.wake()
            if thread is not threading.current_thread():
                thread.join()

    def stop_processor(self) -> None:
        """Do as `stop_request_processor` does."""
        self.stop_request_processor()

    def add_request_callback(self, callback: Listener) -> None:
        """Call it with each request and its answer, accepted or rejected."""
        self._listeners.append(callback)

    def process_credit_request(self, request: Mapping[str, Any]) -> Response:
        """Answer a request in the wire's fields, and return the answer; the same id is answered the same.

        Over a link of two servers only what the custodian has sent can be answered; on one server of both sides the
        request is also recorded here.

        Raises:
            OpenOESError: a server refused, or is away.

        """
        try:
            asked = Request(to_fields(request))
        except ValidationError as e:
            return self._said(Request(request), _rejection(request, e.message))
        try:
            request_id, order = faces.to_order(asked)
            custodian = asked["custodian"]
        except (BadValue, KeyError) as e:
            return self._said(asked, _rejection(asked, str(e)))
        if (known := self._remembered(custodian, request_id)) is not None:
            same = all(known.get(name) == _spelt(asked).get(name) for name in ("uid", "asset", "c_change"))
            return known if same else _rejection(asked, f"{request_id} is another request's id")
        try:
            if self._place.one:
                return self._recorded(asked, custodian, request_id, order)
            return self._sent(asked, custodian, request_id)
        except ValidationError as e:
            return self._refused(custodian, asked, e.message)

    def send_credit_response(self, response: Mapping[str, Any]) -> str:
        """Append an answer to the seeds' stream, and return its entry's id; the link's own answers are there already.

        Raises:
            OpenOESError: the server refused, or is away.

        """
        return StreamPublisher(self.connection_manager.get_replica_client(), self.response_stream).publish(response)

    def approve_credit_request(self, request: Mapping[str, Any]) -> Response:
        """Accept a request, and return the answer; once more changes nothing.

        Raises:
            OpenOESError: it is rejected already, or unknown; a server is away.

        """
        return self._decided(request, "accepted", "")

    def reject_credit_request(self, request: Mapping[str, Any], reason: str = "") -> Response:
        """Reject a request, and return the answer; once more changes nothing.

        Raises:
            OpenOESError: it is accepted already, or unknown; a server is away.

        """
        return self._decided(request, "rejected", reason)

    def validate_credit_request(
        self,
        custodian: str,
        user_id: str,
        asset: str,
        amount: Any,
        ci: Any = None,
        chain: str | None = None,
        address: str | None = None,
    ) -> tuple[bool, str]:
        """Tell whether a request would be accepted, and why not; nothing changes."""
        increase = not str(amount).strip().startswith("-")
        if increase:
            return self.validator.validate_increase(
                custodian, user_id, asset, amount, ci, chain, address, self.inventory_manager
            )
        return self.validator.validate_decrease(custodian, user_id, asset, amount, ci, self.inventory_manager)

    def get_credit_inventory(self, user_id: str, asset: str) -> CreditInventory | None:
        """Return a user's credit, with what a handler has staged of it; None if there is none."""
        found = self.inventory(user_id, asset)
        staged = sum(
            (by for place, by in getattr(self._staged, "changes", ()) if place == (user_id, asset)), Decimal(0)
        )
        if not staged:
            return found
        return CreditInventory(user_id, asset, (Amount(0) if found is None else found.amount) + staged)

    def inventory(self, user_id: str, asset: str) -> CreditInventory | None:
        """Return what the exchange has granted, which its journals know, else what the custodian's server says."""
        accounts = self._booking.dealing().account(user_id, asset).values()
        granted = [each.limit for each in accounts if each != type(each)()]
        if granted:
            return CreditInventory(user_id, asset, sum(granted, Decimal(0)))
        return mirrored(self.connection_manager.get_replica_client(), user_id, asset)

    def update_credit_inventory(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        is_increase: bool = True,
    ) -> CreditInventory:
        """Change a user's credit: within a handler with the approval of its request, else at once.

        Raises:
            ValidationError: the amount is none, or more than there is.
            OpenOESError: it is not ours to change; a server is away.

        """
        by = _amount(amount) if is_increase else -_amount(amount)
        if not by:
            raise ValidationError("a change is not zero", field="amount", value=amount, code="bad_amount")
        changes = getattr(self._staged, "changes", None)
        if changes is not None:
            changes.append(((user_id, asset), Decimal(by)))
            found = self.get_credit_inventory(user_id, asset)
            assert found is not None
            return found
        return CreditInventory(user_id, asset, self._booking.change(user_id, asset, Decimal(by)))

    def close(self) -> None:
        """End, and leave no thread; a second time does nothing."""
        self.stop_request_processor()
        self._booking.close()

    # Requests as they come.

    def _run(self, dealing: Dealing) -> None:
        again: list[tuple[float, int, Asked]] = [(0.0, 0, asked) for asked in self._left]
        self._left = []
        streams = self.config.get_streams_config()
        tries_max, pause_s = int(streams["max_retry_count"]), int(streams["retry_delay_ms"]) / 1000
        while not self._stopping.is_set():
            again.sort(key=lambda item: item[0])
            due = again.pop(0) if again and again[0][0] <= time.monotonic() else None
            if due is None:
                wait_s = max(0.0, again[0][0] - time.monotonic()) if again else None
                asked = dealing.asked.take(self._stopping.is_set, wait_s)
                if asked is None:
                    continue
                due = (0.0, 0, asked)
            _, tries, asked = due
            try:
                self._answer(asked)
            except Exception as e:  # The handler is the application's: the request stays, and others go on.
                _log.exception("the request %s was not answered, attempt %d", asked.row.id, tries + 1)
                self.failures.append(e)
                if tries < tries_max:
                    again.append((time.monotonic() + pause_s, tries + 1, asked))
                else:
                    self._left.append(asked)
        self._left += [asked for _, _, asked in again]

    def _answer(self, asked: Asked) -> None:
        row = self._booking.dealing().row(asked.custodian, asked.row.id)
        if row is None or row.state != "pending":
            return
        request = self._request(asked)
        if self._handler is None or request.is_pledge:
            self._by_rule(asked, request)
            return
        self._staged.changes = []
        self._staged.done = None
        try:
            result = self._handler(request)
            response = self._staged.done or self._by_result(asked, request, result)
            changes = self._staged.changes
        finally:
            self._staged.changes = self._staged.done = None
        if response["status"] == "accepted":
            self._commit(asked, changes)

    def _by_result(self, asked: Asked, request: Request, result: Any) -> Response:
        status = result.get("status") if isinstance(result, Mapping) else getattr(result, "status", None)
        if result is True or status in ("accepted", "approved"):
            return self.approve_credit_request(request)
        if result is False or status == "rejected":
            reason = result.get("reject_reason", "") if isinstance(result, Mapping) else ""
            return self.reject_credit_request(request, str(reason or "the handler refused it"))
        return self._by_rule(asked, request)

    def _by_rule(self, asked: Asked, request: Request) -> Response:
        order = asked.order
        if order.kind == "pledge":
            reason = self.validator.refuses(asked.custodian, order.asset) or ""
            return self._decided(request, "rejected" if reason else "accepted", reason)
        ok, reason = self.validate_credit_request(
            asked.custodian, order.user, order.asset, request.amount, None, order.chain, order.address
        )
        return self._decided(request, "accepted" if ok else "rejected", reason)

    def _commit(self, asked: Asked, changes: list[tuple[tuple[str, str], Decimal]]) -> None:
        """The change of the request itself went with its approval; what else was staged follows, once."""
        mine = ((asked.row.user, asked.row.asset), _signed(asked.order))
        for number, change in enumerate(changes):
            if change == mine:
                mine = ((), Decimal(0))  # type: ignore[assignment]
                continue
            (user, asset), by = change
            self._booking.change(user, asset, by, f"staged:{asked.row.id}:{number}")

    def _request(self, asked: Asked) -> Request:
        credit = self.inventory(asked.row.user, asked.row.asset)
        before = Decimal(0) if credit is None else Decimal(credit.amount)
        face = faces.of_order(asked.custodian, asked.row.id, asked.order, before, time.time_ns())
        request = Request(face.fields)
        if request.is_pledge:
            request["uid"], request["custodian"] = asked.row.user, asked.custodian
        return request

    def _decided(self, request: Mapping[str, Any], status: str, reason: str) -> Response:
        custodian, request_id = text(request["custodian"]), text(request["request_id"])
        dealing = self._booking.dealing()
        choice = Choice(request_id, "accepted" if status == "accepted" else "rejected", "", reason)
        if status == "rejected":
            choice = Choice(request_id, "rejected", "policy", reason)
        try:
            row = dealing.decide(custodian, choice)
        except SettlementError as e:
            if status != "accepted" or e.code not in ("insufficient_limit", "in_use"):
                raise
            row = dealing.decide(custodian, Choice(request_id, "rejected", e.code, e.message))
        response = self._response(request, row)
        if getattr(self._staged, "changes", None) is not None:
            self._staged.done = response
        return self._said(Request(request), response)

    def _response(self, request: Mapping[str, Any], row: Row) -> Response:
        credit = self.inventory(row.user, row.asset)
        kept = self.inventory_manager
        if isinstance(kept, CreditInventoryManager) and kept.client is None and credit is not None:
            kept.update_inventory(credit)
        return Response(
            {
                "custodian": text(request["custodian"]),
                "request_id": row.id,
                "uid": row.user,
                "timestamp": str(row.decided_ns // 1_000_000_000),
                "asset": row.asset,
                "c_change": text(request.get("c_change", "0")),
                "ci": "0" if credit is None else format(credit.amount, "f"),
                "status": "accepted" if row.state == "accepted" else "rejected",
                "reject_reason": "" if row.state == "accepted" else row.reason or row.code,
            }
        )

    def _said(self, request: Request, response: Response) -> Response:
        for listener in list(self._listeners):
            try:
                listener(request, response)
            except Exception as e:  # The callback is the application's: the others are called all the same.
                _log.exception("a callback for %s failed", request.get("request_id"))
                self.failures.append(e)
        return response

    # Requests that are handed in.

    def _recorded(self, asked: Request, custodian: str, request_id: str, order: CreditOrder) -> Response:
        custody = self._booking.custody(custodian)
        if not custody.told_of(request_id):
            ok, reason = self.validate_credit_request(
                custodian, order.user, order.asset, _signed(order), asked.get("ci"), order.chain, order.address
            )
            if not ok:
                raise ValidationError(reason)
        dealing = self._booking.dealing()
        dealing.claim(custodian, request_id)
        try:
            found = self._asked(custody, request_id, order)
            row = dealing.arrival(custodian, request_id, WAIT_S)
            response = self.approve_credit_request(asked) if row.state == "pending" else self._response(asked, row)
            if found.state in ("held", "asked"):
                custody.final(request_id, WAIT_S)
        finally:
            dealing.unclaim(custodian, request_id)
        return response

    def _asked(self, custody: Custody, request_id: str, order: CreditOrder) -> Any:
        try:
            return custody.request(request_id, order, arrived=True)
        except SettlementError as e:
            if e.code in ("outcome_unknown", "ended", "fenced"):
                raise
            raise ValidationError(e.message, code=e.code) from e

    def _sent(self, asked: Request, custodian: str, request_id: str) -> Response:
        dealing = self._booking.dealing()
        row = dealing.row(custodian, request_id) if custodian in dealing.custodians else None
        if row is None:
            raise ValidationError("the custodian has not sent this request", code="unknown_request")
        if row.state != "pending":
            return self._response(asked, row)
        ok, reason = self.validate_credit_request(
            custodian, row.user, row.asset, asked["c_change"], None, asked.get("chain"), asked.get("address")
        )
        return self._decided(asked, "accepted" if ok else "rejected", reason)

    def _raw(self, entry: Entry) -> None:
        """On one server, requests in the seeds' own fields are taken as well; the link's own are there already."""
        fields = entry[1]
        request_id, custodian = fields.get("request_id", ""), fields.get("custodian", "")
        if not request_id or not custodian:
            self._said(Request(fields), _rejection(Request(fields), "no request_id or custodian"))
            return
        client = self.connection_manager.get_wsp_client()
        if client.exists(link_keys.request(custodian, request_id)) or self._remembered(custodian, request_id):
            return
        try:
            response = self.process_credit_request(fields)
            if response["status"] == "rejected":
                self.send_credit_response(response)
        except OpenOESError as e:
            _log.exception("the request %s was not answered", request_id)
            self.failures.append(e)

    def _refused(self, custodian: str, asked: Request, reason: str) -> Response:
        """Refuse what was never recorded, and remember that: the same request is refused for ever."""
        response = _rejection(asked, reason, self.inventory(asked["uid"], asked["asset"]))
        if not self._place.one:
            return self._said(asked, response)
        client = self.connection_manager.get_wsp_client()
        client.hsetnx(_refusals(custodian), asked["request_id"], json.dumps(response))
        return self._said(asked, self._remembered(custodian, asked["request_id"]) or response)

    def _remembered(self, custodian: str, request_id: str) -> Response | None:
        if not self._place.one:
            return None
        found: Any = self.connection_manager.get_wsp_client().hget(_refusals(custodian), request_id)
        return None if found is None else Response(json.loads(found))


class Inventories:
    """What the exchange has granted, for the validator."""

    def __init__(self, manager: CreditManager) -> None:
        self._manager = manager

    def get_inventory(self, user_id: str, asset: str) -> CreditInventory | None:
        """Return a user's credit, None if there is none."""
        return self._manager.inventory(user_id, asset)


def _refusals(custodian: str) -> str:
    return f"link:{part(custodian)}:refused"


def _rejection(asked: Mapping[str, Any], reason: str, credit: CreditInventory | None = None) -> Response:
    echoed = {name: asked.get(name, "") for name in ("custodian", "request_id", "uid", "asset", "c_change", "ci")}
    if credit is not None:
        echoed["ci"] = format(credit.amount, "f")
    spelt = {**echoed, "c_change": _spelt(asked).get("c_change", "")}
    return Response(
        {**spelt, "timestamp": str(int(time.time())), "status": "rejected", "reject_reason": reason or "rejected"}
    )


def _spelt(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request with its change in the one spelling of the wire, where it is an amount."""
    try:
        return {**asked, "c_change": faces.signed(amount(asked.get("c_change")))}
    except ValidationError:
        return dict(asked)


def _signed(order: CreditOrder) -> Decimal:
    return Decimal(order.amount) * (-1 if order.kind == "decrease" else 1)


def _amount(value: Any) -> Amount:
    return amount(value)
