from decimal import Decimal

import pytest

from heliograph.model.settlement import Leg, LegOutcome, Report
from heliograph.settlement.netting import Change, changes_digest
from heliograph.settlement.verification import Fault, Terms, fault, judged

TRADES = (Change("1", "ann", "BTC", Decimal(3), 5), Change("2", "ann", "BTC", Decimal(-1), 6))
LEG = Leg("1-1", "ann", "BTC", "2", changes_digest(TRADES))
OTHER = Leg("1-2", "bob", "BTC", "-2")
TERMS = Terms(users={"ann", "bob"}, assets={"BTC"})


def test_a_report_whose_legs_sum_to_zero_has_no_fault() -> None:
    assert fault(Report(1, (LEG, OTHER))) is None


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (Report(1, ()), "no_legs"),
        (Report(1, (LEG, OTHER), attempt=0), "bad_attempt"),
        (Report(1, (LEG, Leg("1-1", "bob", "BTC", "-2"))), "duplicate_leg"),
        (Report(1, (LEG, Leg("1-2", "bob", "BTC", "-1"), Leg("1-3", "bob", "BTC", "-1"))), "duplicate_account"),
        (Report(1, (LEG, Leg("1-2", "bob", "BTC", "-2.000000000000000001"))), "unbalanced"),
        (Report(1, (LEG, Leg("1-2", "bob", "ETH", "-2"))), "unbalanced"),
        (Report(1, (LEG, Leg("1-2", "bob", "BTC", "0"))), "bad_amount"),
        (Report(1, (LEG, Leg("1-2", "bob", "BTC", "NaN"))), "bad_amount"),
        (Report(1, (LEG, Leg("1-2", "bob smith", "BTC", "-2"))), "bad_name"),
        (Report(1, (LEG, Leg("", "bob", "BTC", "-2"))), "bad_name"),
        (Report(1, (LEG, Leg("1-2", "bob", "", "-2"))), "bad_name"),
    ],
)
def test_a_report_at_fault_is_refused_with_a_code(report: Report, code: str) -> None:
    found = fault(report)
    assert found is not None
    assert found.code == code


def test_a_leg_of_known_user_and_asset_can_settle() -> None:
    assert judged(LEG, TERMS) is None


@pytest.mark.parametrize(
    ("terms", "outcome", "code"),
    [
        (Terms({"bob"}, {"BTC"}), "excluded", "unknown_user"),
        (Terms({"ann"}, {"ETH"}), "excluded", "unknown_asset"),
        (Terms({"ann"}, {"BTC"}, {("ann", "BTC"): Fault("court", "an order")}), "excluded", "court"),
        (Terms({"ann"}, {"BTC"}, {}, {}), "disputed", "wrong_net"),
        (Terms({"ann"}, {"BTC"}, {}, {("ann", "BTC"): TRADES[:1]}), "disputed", "wrong_net"),
        (
            Terms({"ann"}, {"BTC"}, {}, {("ann", "BTC"): (Change("3", "ann", "BTC", Decimal(2), 5),)}),
            "disputed",
            "wrong_digest",
        ),
    ],
)
def test_a_leg_that_cannot_settle_says_why(terms: Terms, outcome: str, code: str) -> None:
    found = judged(LEG, terms)
    assert isinstance(found, LegOutcome)
    assert (found.leg_id, found.outcome, found.code) == ("1-1", outcome, code)
    assert found.reason


def test_a_leg_that_was_recomputed_can_settle() -> None:
    assert judged(LEG, Terms({"ann"}, {"BTC"}, {}, {("ann", "BTC"): TRADES[::-1]})) is None
    barred = {("ann", "ETH"): Fault("court", "an order"), ("bob", "BTC"): Fault("court", "an order")}
    assert judged(LEG, Terms({"ann"}, {"BTC"}, barred)) is None
