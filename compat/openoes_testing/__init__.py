"""OpenOES testing: a client without a server, generated messages, validators and scenarios."""

from openoes_testing.generators import (
    AccountGenerator,
    CreditRequestGenerator,
    DataGenerator,
    DataGenerators,
    EventGenerator,
    SettlementGenerator,
)
from openoes_testing.mock_redis import MockRedisClient
from openoes_testing.scenarios import (
    CreditRequestScenario,
    EventHandlingScenario,
    IntegrationScenario,
    SettlementScenario,
    TestScenario,
    TestScenarios,
)
from openoes_testing.validators import (
    AccountValidator,
    CreditRequestValidator,
    EventValidator,
    ResponseValidators,
    SettlementValidator,
    Validator,
)

__all__ = [
    "AccountGenerator",
    "AccountValidator",
    "CreditRequestGenerator",
    "CreditRequestScenario",
    "CreditRequestValidator",
    "DataGenerator",
    "DataGenerators",
    "EventGenerator",
    "EventHandlingScenario",
    "EventValidator",
    "IntegrationScenario",
    "MockRedisClient",
    "ResponseValidators",
    "SettlementGenerator",
    "SettlementScenario",
    "SettlementValidator",
    "TestScenario",
    "TestScenarios",
    "Validator",
]
