"""Stories of both parties, played from end to end on a mock or on real servers.

The two parties of a story are played here, on the wire and with the core's own publishers and processors: what the
custodian writes goes to the primary, what the exchange writes to its replica.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import redis
from openoes_core.amount import amount
from openoes_core.configuration import Configuration
from openoes_core.connection import RedisConnectionManager
from openoes_core.errors import ConfigurationError, OpenOESError
from openoes_core.event import Event, EventType
from openoes_core.event_publisher import EventPublisher
from openoes_core.event_routing import EventRouter
from openoes_core.event_subscriber import EventSubscriber
from openoes_core.keys import KeyManager
from openoes_core.processor import StreamProcessor
from openoes_core.publisher import StreamPublisher

from openoes_testing.generators import CreditRequestGenerator, DataGenerator, SettlementGenerator
from openoes_testing.mock_redis import MockRedisClient
from openoes_testing.validators import CreditRequestValidator, Result, SettlementValidator

WAIT_S: Final = 10.0
PAUSE_S: Final = 0.005


class TestScenario:
    """A story: `setup`, `run`, `teardown`; `execute` does the three and says how it went.

    Write one by overriding `run`, and raise where something is not as it should be. Of those below `run` alone will do:
    it sets up and clears away by itself.

    Args:
        wsp_client: the custodian's client; where both are given, credit and settlement are played by them.
        exchange_client: the exchange's client.
        connection_manager: where to play; None: on a mock, or where `config` says.
        config: settings of the servers.
        use_mock: whether to play on a mock where no connection manager is given.

    """

    __test__: ClassVar[bool] = False

    def __init__(
        self,
        wsp_client: Any = None,
        exchange_client: Any = None,
        connection_manager: RedisConnectionManager | None = None,
        config: Configuration | None = None,
        use_mock: bool = True,
    ) -> None:
        self.wsp_client = wsp_client
        self.exchange_client = exchange_client
        self.connection_manager = connection_manager
        self.config = config or Configuration()
        self.use_mock = use_mock
        self._given = connection_manager is not None
        self._ready = False
        self._name = DataGenerator.generate_id("scenario-")

    def setup(self) -> None:
        """Connect."""
        if not self._given:
            if self.use_mock:
                mock = MockRedisClient()
                self.connection_manager = RedisConnectionManager(wsp_client=mock, replica_client=mock)
            else:
                self.connection_manager = RedisConnectionManager(
                    self.config.get_wsp_redis_config(), self.config.get_replica_redis_config()
                )
        self._ready = True

    def run(self) -> Any:
        """Play; a story has its own."""
        raise NotImplementedError("a scenario of your own overrides run")

    def teardown(self) -> None:
        """Disconnect, unless the connection manager was given."""
        self._ready = False
        if not self._given and self.connection_manager is not None:
            self.connection_manager.close()
            self.connection_manager = None

    def execute(self) -> dict[str, Any]:
        """Set up, run and clear away; return `success`, `errors`, the scenario's name and what `run` returned."""
        errors: list[str] = []
        told: Any = None
        try:
            self.setup()
            told = self.run()
        except Exception as e:  # Whatever goes wrong in a story is what its caller wants to be told.
            errors.append(f"{type(e).__name__}: {e}")
        finally:
            try:
                self.teardown()
            except OpenOESError as e:
                errors.append(f"{type(e).__name__}: {e}")
        facts = dict(told) if isinstance(told, Mapping) else {}
        return {**facts, "scenario": type(self).__name__, "success": not errors, "errors": errors}

    @property
    def primary(self) -> redis.Redis:
        """The client of the custodian's primary."""
        return self._manager().get_wsp_client()

    @property
    def replica(self) -> redis.Redis:
        """The client of the exchange's replica."""
        return self._manager().get_replica_client()

    def _manager(self) -> RedisConnectionManager:
        if self.connection_manager is None:
            raise ConfigurationError("the scenario is not set up")
        return self.connection_manager

    def _played(self, story: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if self._ready:
            return story()
        self.setup()
        try:
            return story()
        finally:
            self.teardown()

    def _taken(self, client: redis.Redis, stream: str, name: str, value: str) -> dict[str, str]:
        """Read a stream, as a group of this scenario's own, until an entry has a value; return its fields."""
        found: list[dict[str, str]] = []

        def look(fields: dict[str, str]) -> bool:
            if fields.get(name) == value:
                found.append(fields)
            return True

        # What is there belongs to others: it is read by a group that goes again, and nothing is removed.
        group = f"{self._name}-{name}"
        processor = StreamProcessor(client, stream, group)
        ends_s = time.monotonic() + WAIT_S
        pause = threading.Event()
        try:
            while not found:
                processor.process_messages(look, run_once=True, process_pending=False)
                if not found and time.monotonic() > ends_s:
                    raise AssertionError(f"nothing with {name} {value} came to {stream} within {WAIT_S:g} s")
                if not found:
                    pause.wait(PAUSE_S)
        finally:
            client.xgroup_destroy(stream, group)
        return found[0]


class CreditRequestScenario(TestScenario):
    """The custodian asks for credit, the exchange answers, and the custodian has the answer.

    Args:
        approve: whether the exchange says yes.
        arguments: those of every scenario.

    """

    def __init__(self, *arguments: Any, approve: bool = True, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.approve = approve

    def run(self) -> dict[str, Any]:
        """Play it, and return the request and its answer."""
        return self._played(self._story)

    def _story(self) -> dict[str, Any]:
        if self.wsp_client is not None and self.exchange_client is not None:
            return self._over_clients()
        request = CreditRequestGenerator.generate_credit_request(is_increase=True)
        _expect(CreditRequestValidator.validate_credit_request(request))
        wire = CreditRequestGenerator.to_wire(request)
        StreamPublisher(self.primary, KeyManager.credit_request_stream()).publish(wire)
        heard = self._taken(self.replica, KeyManager.credit_request_stream(), "request_id", wire["request_id"])
        assert heard == wire, f"the exchange heard {heard}, and {wire} was said"
        answer = CreditRequestGenerator.generate_credit_response(
            heard, reject_reason=None if self.approve else "not today"
        )
        _expect(CreditRequestValidator.validate_credit_response(answer))
        StreamPublisher(self.replica, KeyManager.credit_response_stream()).publish(
            CreditRequestGenerator.to_wire(answer)
        )
        response = self._taken(self.replica, KeyManager.credit_response_stream(), "request_id", wire["request_id"])
        _expect(CreditRequestValidator.validate_credit_response(response))
        status = "accepted" if self.approve else "rejected"
        assert response["status"] == status, f"the answer is {response['status']}"
        assert amount(response["ci"]) == amount(wire["ci"]), "the answer is about another inventory"
        return {"request": wire, "response": response}

    def _over_clients(self) -> dict[str, Any]:
        """Play it with the two clients that were given, over whatever link they have."""
        self.exchange_client.start_credit_request_processor(lambda _: self.approve)
        wanted = CreditRequestGenerator.generate_credit_request(is_increase=True)
        names = ("user_id", "asset", "amount", "chain", "address")
        request = self.wsp_client.request_credit_increase(**{name: wanted[name] for name in names}, timeout=WAIT_S)
        assert request.is_accepted() == self.approve, f"the answer is {request.status}: {request.reject_reason}"
        granted = self.exchange_client.get_credit_inventory(wanted["user_id"], wanted["asset"])
        assert (granted is not None) == self.approve, f"the credit is {granted}"
        return {"request": request.to_stream_data(), "response": request.response.to_dict()}


class SettlementScenario(TestScenario):
    """The exchange reports, the custodian confirms leg by leg, and the exchange has the confirmation."""

    def run(self) -> dict[str, Any]:
        """Play it, and return the report and its confirmation."""
        return self._played(self._story)

    def _story(self) -> dict[str, Any]:
        if self.wsp_client is not None and self.exchange_client is not None:
            return self._over_clients()
        report = SettlementGenerator.generate_settlement_report()
        _expect(SettlementValidator.validate_settlement_report(report))
        wire = SettlementGenerator.to_wire(report)
        StreamPublisher(self.replica, KeyManager.settlement_report_stream()).publish(wire)
        heard = self._taken(self.replica, KeyManager.settlement_report_stream(), "report_id", wire["report_id"])
        _expect(SettlementValidator.validate_settlement_report(heard))
        confirmation = SettlementGenerator.generate_settlement_confirmation(heard)
        StreamPublisher(self.primary, KeyManager.settlement_confirmation_stream()).publish(
            SettlementGenerator.to_wire(confirmation)
        )
        stream = KeyManager.settlement_confirmation_stream()
        confirmed = self._taken(self.replica, stream, "settlement_id", wire["report_id"])
        _expect(SettlementValidator.validate_settlement_confirmation(confirmed))
        assert confirmed["status"] == "completed", f"the settlement is {confirmed['status']}"
        sides = json.loads(wire["data"])["assets"]
        legs = [(leg["asset_id"], leg["amount"]) for leg in [*sides["bought"], *sides["sold"]]]
        moved = [(leg["asset_id"], leg["amount"]) for leg in json.loads(confirmed["details"])["assets_transferred"]]
        assert moved == legs, "other legs were transferred than were reported"
        return {"report": wire, "confirmation": confirmed}

    def _over_clients(self) -> dict[str, Any]:
        """Play it with the two clients that were given: a user with credit sells some of it, and that settles."""
        exchange, wsp = self.exchange_client, self.wsp_client
        exchange.start_credit_request_processor(lambda _: True)
        user, asset = DataGenerator.generate_user_id(), DataGenerator.generate_asset()
        wsp.request_credit_increase(user, asset, 2, chain=DataGenerator.generate_chain(), address="any", timeout=WAIT_S)
        exchange.account_integration.set_account(user, asset, 2)
        exchange.update_account(user, asset, "0.5", "sell")
        made = next(each for each in exchange.generate_settlement_reports() if each.user_id == user)
        self._until(lambda: any(each.report_id == made.report_id for each in wsp.process_settlement_reports()))
        assert wsp.confirm_settlement(made.report_id), f"not confirmed: {wsp.settlement_client.refusals}"
        self._until(made.is_completed)
        confirmed = exchange.get_settlement_confirmation(made.report_id)
        return {"report": made.to_stream_data(), "confirmation": confirmed.to_stream_data()}

    @staticmethod
    def _until(holds: Callable[[], bool]) -> None:
        ends_s, pause = time.monotonic() + WAIT_S, threading.Event()
        while not holds():
            assert time.monotonic() < ends_s, f"it did not come to be within {WAIT_S:g} s"
            pause.wait(PAUSE_S)


class EventHandlingScenario(TestScenario):
    """Events are published, each reaches its handler once and in order, and the rest the default one."""

    def run(self) -> dict[str, Any]:
        """Play it, and return how many events there were."""
        return self._played(self._story)

    def _story(self) -> dict[str, Any]:
        handled: dict[str, list[int]] = {"credit": [], "settlement": [], "default": []}
        router, over = EventRouter(), threading.Event()
        router.register_handler(EventType.CREDIT_REQUEST, lambda e: handled["credit"].append(e.data["n"]))
        router.register_handler(EventType.SETTLEMENT_REPORT, lambda e: handled["settlement"].append(e.data["n"]))
        router.set_default_handler(lambda e: handled["default"].append(e.data["n"]))

        def take(event: Event) -> bool:
            routed = router.route(event)
            if event.data["n"] == 8:
                over.set()
            return routed

        stream = f"{self._name}:events"
        publisher = EventPublisher(self.primary, stream, source=self._name)
        subscriber = EventSubscriber(self.primary, stream, self._name)
        subscriber.subscribe_to_source(self._name, take)
        kinds = (EventType.CREDIT_REQUEST, EventType.SETTLEMENT_REPORT, "custom:event")
        try:
            subscriber.start()
            for n in range(9):
                publisher.publish_event(kinds[n % 3], {"n": n})
            assert over.wait(WAIT_S), f"within {WAIT_S:g} s only {handled} came"
        finally:
            subscriber.stop()
            self.primary.delete(stream)
        expected = {"credit": [0, 3, 6], "settlement": [1, 4, 7], "default": [2, 5, 8]}
        assert handled == expected, f"the handlers got {handled}"
        return {"events": 9}


class IntegrationScenario(TestScenario):
    """Credit, events and settlement, one after another at the same place."""

    def run(self) -> dict[str, Any]:
        """Play them, and return what each returned."""
        return self._played(self._story)

    def _story(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for kind in (CreditRequestScenario, EventHandlingScenario, SettlementScenario):
            told |= kind(self.wsp_client, self.exchange_client, self._manager()).run()
        return told


class TestScenarios:
    """The stories by their names."""

    __test__: ClassVar[bool] = False

    @staticmethod
    def credit_request_approval_scenario(**arguments: Any) -> CreditRequestScenario:
        """Return the story of a credit request that is granted."""
        return CreditRequestScenario(approve=True, **arguments)

    @staticmethod
    def credit_request_rejection_scenario(**arguments: Any) -> CreditRequestScenario:
        """Return the story of a credit request that is refused."""
        return CreditRequestScenario(approve=False, **arguments)

    @staticmethod
    def settlement_scenario(**arguments: Any) -> SettlementScenario:
        """Return the story of a settlement."""
        return SettlementScenario(**arguments)

    @staticmethod
    def event_handling_scenario(**arguments: Any) -> EventHandlingScenario:
        """Return the story of events."""
        return EventHandlingScenario(**arguments)

    @staticmethod
    def integration_scenario(**arguments: Any) -> IntegrationScenario:
        """Return all of them."""
        return IntegrationScenario(**arguments)


def _expect(result: Result) -> None:
    assert result, f"not valid: {'; '.join(result['errors'])}"
