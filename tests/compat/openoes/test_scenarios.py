"""The stories, on a mock and on a real primary with its replica."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from openoes_core import KeyManager, RedisConnectionManager, StreamPublisher
from openoes_testing import (
    CreditRequestScenario,
    EventHandlingScenario,
    IntegrationScenario,
    SettlementScenario,
    TestScenario,
    TestScenarios,
)

from heliograph.bus.embedded_pair import Pair

STORIES = {
    "approval": TestScenarios.credit_request_approval_scenario,
    "rejection": TestScenarios.credit_request_rejection_scenario,
    "settlement": TestScenarios.settlement_scenario,
    "events": TestScenarios.event_handling_scenario,
    "integration": TestScenarios.integration_scenario,
}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture
def manager(pair: Pair) -> Iterator[RedisConnectionManager]:
    config = [{"host": "127.0.0.1", "port": server.port} for server in (pair.primary, pair.replica)]
    with RedisConnectionManager(*config) as manager:
        yield manager


@pytest.mark.parametrize(
    "kind", [CreditRequestScenario, SettlementScenario, EventHandlingScenario, IntegrationScenario]
)
def test_a_story_on_the_mock_needs_no_server_and_succeeds(kind: type[TestScenario]) -> None:
    before = threading.active_count()
    result = kind(use_mock=True).execute()
    assert result["success"], result["errors"]
    assert result["errors"] == []
    assert result["scenario"] == kind.__name__
    assert threading.active_count() == before


@pytest.mark.parametrize("name", sorted(STORIES))
def test_a_story_by_its_name_runs_by_itself(name: str) -> None:
    assert STORIES[name]().run()


@pytest.mark.parametrize("name", sorted(STORIES))
def test_a_story_on_a_primary_and_its_replica(name: str, manager: RedisConnectionManager) -> None:
    # Others have left something there before.
    StreamPublisher(manager.get_wsp_client(), KeyManager.credit_request_stream()).publish({"request_id": "old"})
    for _ in range(2):
        result = STORIES[name](connection_manager=manager).execute()
        assert result["success"], result["errors"]
    assert manager.get_wsp_client().ping(), "the connection manager stays its owner's"


def test_a_story_that_fails_says_why_and_clears_away() -> None:
    class Failing(TestScenario):
        def run(self) -> Any:
            assert self.primary.ping()
            raise ValueError("it went wrong")

    scenario = Failing()
    result = scenario.execute()
    assert result == {"scenario": "Failing", "success": False, "errors": ["ValueError: it went wrong"]}
    assert scenario.connection_manager is None
    assert TestScenario().execute()["success"] is False


def test_a_story_whose_answer_is_lost_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openoes_testing.scenarios.WAIT_S", 0.05)
    monkeypatch.setattr(KeyManager, "credit_response_stream", staticmethod(lambda: f"lost-{next(numbers)}"))
    numbers = iter(range(100))
    result = CreditRequestScenario().execute()
    assert "nothing with request_id" in result["errors"][0]


def test_a_story_leaves_no_group_and_no_stream_of_its_own(manager: RedisConnectionManager) -> None:
    replica: Any = manager.get_replica_client()
    CreditRequestScenario(connection_manager=manager).run()
    EventHandlingScenario(connection_manager=manager).run()
    for stream in (KeyManager.credit_request_stream(), KeyManager.credit_response_stream()):
        assert replica.xinfo_groups(stream) == []
    assert not list(manager.get_wsp_client().scan_iter("scenario-*"))
