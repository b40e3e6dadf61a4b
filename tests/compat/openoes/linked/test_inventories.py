"""Inventories: by hand, under transaction ids, in memory and on a server."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from openoes_core import Configuration, ConfigurationError, ValidationError, create_redis_client
from openoes_exchange import (
    CreditInventory,
    CreditInventoryEntry,
    CreditInventoryManager,
    CreditInventoryProcessor,
    CreditValidator,
)

from heliograph.bus.embedded_pair import Pair
from tests.compat.openoes.parties import connected, no_thread_left

D = Decimal


def test_d16_both_classes_see_and_change_the_one_inventory(together: Configuration) -> None:
    with no_thread_left(), connected(together) as manager:
        by_hand = CreditInventoryManager(manager.get_wsp_client(), together)
        processor = CreditInventoryProcessor(manager, together)
        assert by_hand.get_inventory("u", "BTC") is None
        assert by_hand.update_inventory(CreditInventory("u", "BTC", 10))
        assert processor.increase_credit_inventory("u", "BTC", "0.5").amount == D("10.5")
        decreased = by_hand.decrease_inventory("u", "BTC", 3)
        assert decreased is not None
        assert decreased.amount == D("7.5")
        assert by_hand.decrease_inventory("u", "BTC", "7.6") is None
        found = processor.get_credit_inventory("u", "BTC", refresh=True)
        assert found is not None
        assert (found.amount, found.user_id) == (D("7.5"), "u")
        assert by_hand.update_inventory(CreditInventory("u", "BTC", 2))
        assert processor.get_inventory("u", "BTC").amount == 2  # type: ignore[union-attr]


def test_d16_over_a_link_only_the_custodian_changes_it(apart: Configuration) -> None:
    with connected(apart) as manager:
        with pytest.raises(ConfigurationError) as refused:
            CreditInventoryProcessor(manager, apart).increase_credit_inventory("u", "BTC", 1)
        assert refused.value.code == "custodian_only"
        assert manager.get_wsp_client().keys("CI:*") == []


@pytest.mark.parametrize("decoded", [True, False])
def test_d17_a_balance_is_read_whether_replies_are_decoded_or_not(
    decoded: bool, pair: Pair, together: Configuration
) -> None:
    with connected(together) as manager:
        CreditInventoryProcessor(manager, together).set_credit_inventory("u", "BTC", 100)
    client = create_redis_client("127.0.0.1", pair.primary.port, decode_responses=decoded)
    by_hand = CreditInventoryManager(client, together)
    assert by_hand.get_inventory("u", "BTC").amount == 100  # type: ignore[union-attr]
    assert by_hand.increase_inventory("u", "BTC", 1).amount == 101
    client.close()


def test_d19_concurrent_changes_are_all_there(together: Configuration) -> None:
    with connected(together) as manager, ThreadPoolExecutor(4) as threads:
        processors = [CreditInventoryProcessor(manager, together) for _ in range(2)]
        processors[0].set_credit_inventory("u", "BTC", 100)
        done = [
            threads.submit(processors[n % 2].increase_credit_inventory, "u", "BTC", "1.00000001") for n in range(60)
        ]
        for each in done:
            each.result()
        assert processors[0].get_inventory("u", "BTC").amount == D("160.0000006")  # type: ignore[union-attr]


def test_d28_a_decrease_beyond_what_is_there_changes_nothing(together: Configuration) -> None:
    with connected(together) as manager:
        processor = CreditInventoryProcessor(manager, together)
        processor.set_credit_inventory("u", "BTC", 5)
        for call in (
            lambda: processor.decrease_credit_inventory("u", "BTC", "5.1", "t1"),
            lambda: processor.process_settlement_decrease("u", "BTC", 6, "s1"),
            lambda: processor.set_credit_inventory("u", "BTC", -1),
            lambda: processor.decrease_credit_inventory("v", "BTC", 1),
        ):
            with pytest.raises(ValidationError):
                call()
        assert processor.get_all_credit_inventory("u")["BTC"].amount == 5
        processor.increase_credit_inventory("u", "a:b*", 1)
        assert set(processor.get_all_credit_inventory("u")) == {"BTC", "a:b*"}
        assert set(processor.get_credit_inventory_for_assets("u", ["BTC", "ETH"])) == {"BTC"}


def test_d29_double_entry_is_true_exactly_when_both_legs_are_booked(together: Configuration) -> None:
    with connected(together) as manager:
        processor = CreditInventoryProcessor(manager, together)
        processor.set_credit_inventory("a", "BTC", 10)

        def verified(amount: object = 4, first: str = "a", second: str = "b", asset: str = "BTC") -> bool:
            return processor.verify_double_entry("t1", first, second, asset, amount)

        assert not verified()
        processor.decrease_credit_inventory("a", "BTC", 4, "t1")
        assert not verified()
        processor.increase_credit_inventory("b", "BTC", 4, "t1")
        assert verified()
        assert not verified(amount=5)
        assert not verified(first="b", second="a")
        assert not verified(asset="ETH")
        for _ in range(2):
            assert processor.decrease_credit_inventory("a", "BTC", 4, "t1").amount == 6
            assert processor.increase_credit_inventory("b", "BTC", 4, "t1").amount == 4
        with pytest.raises(ValidationError):
            processor.increase_credit_inventory("b", "BTC", 5, "t1")


def test_inventories_in_memory_need_no_server() -> None:
    kept = CreditInventoryManager()
    assert kept.get_inventory("u", "BTC") is None
    assert kept.increase_inventory("u", "BTC", 1.5).amount == 1.5
    assert kept.update_inventory(CreditInventory("u", "BTC", "2"))
    assert kept.decrease_inventory("u", "BTC", 3) is None
    assert kept.decrease_inventory("u", "BTC", 2).amount == 0  # type: ignore[union-attr]


def test_d19_many_threads_in_memory() -> None:
    kept = CreditInventoryManager()
    kept.update_inventory(CreditInventory("u", "BTC", 100))
    with ThreadPoolExecutor(2) as threads:
        for _ in range(2):
            threads.submit(lambda: [kept.increase_inventory("u", "BTC", 1) for _ in range(200)])
    assert kept.get_inventory("u", "BTC").amount == 500  # type: ignore[union-attr]


def test_d18_d22_the_validators_order_of_checks() -> None:
    kept = CreditInventoryManager()
    rules = CreditValidator(["ledger"], ["BTC"])

    def increase(**changed: object) -> tuple[bool, str]:
        asked: dict[str, object] = {"custodian": "ledger", "user_id": "u", "asset": "BTC", "amount": 5, "ci": 5}
        asked |= {"chain": "Bitcoin", "address": "bc1q", "inventory_manager": kept, **changed}
        return rules.validate_increase(**asked)  # type: ignore[arg-type]

    assert increase() == (True, "")
    assert "custodian other" in increase(custodian="other", asset="ETH")[1]
    assert "asset ETH" in increase(asset="ETH", amount="nan")[1]
    for bad in ("inf", "nan", "-1", 0, True):
        assert not increase(amount=bad, ci=None)[0]
    assert "chain" in increase(chain=None, address=None)[1]
    assert "address" in increase(address="")[1]
    assert "would be 5, not 5.0001" in increase(ci="5.0001")[1]
    assert kept.get_inventory("u", "BTC") is None, "validation has no side effect"
    assert "no credit" in rules.validate_decrease("ledger", "u", "BTC", -1, 0, kept)[1]
    kept.update_inventory(CreditInventory("u", "BTC", 5))
    assert "negative" in rules.validate_decrease("ledger", "u", "BTC", 1, 0, kept)[1]
    assert "less than 6" in rules.validate_decrease("ledger", "u", "BTC", -6, -1, kept)[1]
    assert rules.validate_decrease("ledger", "u", "BTC", "-2", "3.0", kept) == (True, "")
    assert CreditValidator([]).validate_increase("ledger", "u", "BTC", 1, 1, "c", "a")[0] is False
    assert CreditValidator().validate_increase("any", "u", "ANY", 1, 1, "c", "a")[0] is True


def test_the_value_classes_are_exact_and_refuse_what_cannot_be() -> None:
    for kind in (CreditInventory, CreditInventoryEntry):
        made = kind("u", "BTC", "0.1")
        made.increase(0.2)
        assert made.amount == D("0.3")
        for bad in (1, "nan", "inf", -1, 0):
            with pytest.raises(ValidationError):
                made.decrease(bad)
        with pytest.raises(ValidationError):
            kind("u", "BTC", -1)
        assert kind.from_dict(made.to_dict()).amount == made.amount
        raw = {str(k).encode(): str(v).encode() for k, v in made.to_dict().items() if v is not None}
        assert kind.from_dict(raw).amount == D("0.3")
