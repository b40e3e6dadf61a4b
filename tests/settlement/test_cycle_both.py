"""Both sides of a cycle at once, over two ordered queues."""

from hypothesis import settings

from tests.settlement.two_sides import Settlement, walk

TestSettlement = Settlement.TestCase
TestSettlement.settings = settings(max_examples=25, stateful_step_count=40)


def test_both_sides_agree_in_the_end_whatever_happened_between() -> None:
    """And the walks go where the rules matter, or they would prove little: every reason for an outcome is seen."""
    seen: set[str] = set()
    for seed in range(24):
        try:
            both = walk(seed, 180)
        except AssertionError as e:
            raise AssertionError(f"walk({seed}, 200)") from e
        seen.update(cycle.state for cycle in both.cycles.values())
        seen.update(leg.code or leg.state for cycle in both.held.values() for leg in cycle.legs)
    assert seen >= {
        "confirmed", "refused", "settled", "mine", "unknown_user", "user_excluded", "counterpart_excluded", "returning",
    }  # fmt: skip
    assert "insufficient_credit" not in seen, "the exchange never sells what was not granted"
