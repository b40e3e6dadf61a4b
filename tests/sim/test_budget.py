from heliograph.clock import NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim.budget import BAN_AFTER, BAN_S, Budget
from heliograph.sim.world import World
from heliograph.venues.binance.dialect import Dialect
from heliograph.venues.binance.dialect_rest import Rest
from heliograph.venues.dialect import Ask

EPOCH_NS = 1_795_000_000 * NS_PER_S


def test_the_weight_of_a_minute_is_forgotten_and_a_ban_ends() -> None:
    market = MarketId("usdm")
    budget = Budget(Rest(Dialect(market, World(5, 1, EPOCH_NS).markets[market])))
    assert budget.refusal(Ask("/"), 600.0) is None
    budget.used["weight"] = 2401
    refused = budget.refusal(Ask("/"), 630.0)
    assert refused is not None
    assert (refused.status, refused.retry_after_s) == (429, 31)
    assert budget.refusal(Ask("/"), 660.0) is None
    budget.used["weight"] = 2401
    statuses = []
    for _ in range(BAN_AFTER + 2):
        refused = budget.refusal(Ask("/"), 661.0)
        assert refused is not None
        statuses.append(refused.status)
    assert statuses[-1] == 418
    assert budget.refusal(Ask("/"), 661.0 + BAN_S - 1) is not None
    assert budget.refusal(Ask("/"), 661.0 + BAN_S) is None


def test_what_was_used_is_told_in_the_answer() -> None:
    market = MarketId("usdm")
    budget = Budget(Rest(Dialect(market, World(5, 1, EPOCH_NS).markets[market])))
    assert budget.spend(Ask("/fapi/v1/klines"), 5, 600.0) == {"X-MBX-USED-WEIGHT-1M": "5"}
    assert budget.spend(Ask("/fapi/v1/time"), 1, 601.0) == {"X-MBX-USED-WEIGHT-1M": "6"}
