"""The stories of the testing package, played by both parties' clients."""

import pytest
from openoes_core import Configuration
from openoes_testing import (
    CreditRequestScenario,
    CreditRequestValidator,
    IntegrationScenario,
    SettlementScenario,
    SettlementValidator,
)

from tests.compat.openoes.parties import exchange, no_thread_left, wsp


@pytest.mark.parametrize("approve", [True, False])
def test_credit_is_asked_for_and_answered(approve: bool, config: Configuration) -> None:
    with no_thread_left(), exchange(config) as party, wsp(config) as custodian:
        played = CreditRequestScenario(custodian, party, party.connection_manager, approve=approve).execute()
        assert played["success"], played["errors"]
        assert played["response"]["status"] == ("accepted" if approve else "rejected")
        assert CreditRequestValidator.validate_credit_response(played["response"])


def test_a_sale_settles(config: Configuration) -> None:
    with exchange(config) as party, wsp(config) as custodian:
        played = SettlementScenario(custodian, party, party.connection_manager).execute()
        assert played["success"], played["errors"]
        assert SettlementValidator.validate_settlement_report(played["report"])
        assert SettlementValidator.validate_settlement_confirmation(played["confirmation"])


def test_all_of_them(config: Configuration) -> None:
    with exchange(config) as party, wsp(config) as custodian:
        played = IntegrationScenario(custodian, party, party.connection_manager).execute()
        assert played["success"], played["errors"]
        assert {"request", "events", "report"} <= set(played)


def test_a_story_that_goes_otherwise_says_so(config: Configuration) -> None:
    with exchange(config, auto_start_processors=False) as party, wsp(config) as custodian:
        story = CreditRequestScenario(custodian, party, party.connection_manager)
        party.start_credit_request_processor()
        party.credit_manager.start_request_processor(lambda _: False)
        story.approve = True
        party.start_credit_request_processor = lambda _: None  # type: ignore[assignment, method-assign]
        played = story.execute()
        assert not played["success"]
        assert "the answer is rejected" in played["errors"][0]
