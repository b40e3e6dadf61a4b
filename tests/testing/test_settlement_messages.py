"""Settlement messages that are made up."""

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from heliograph.testing.settlement_messages import Messages, net_of


def messages(seed: int) -> Messages:
    return Messages(seed, now_ns=lambda: 1_700_000_000_123_456_789)


def everything(made: Messages) -> list[dict[str, str]]:
    credit, pledge, report = made.credit_request(), made.pledge_request(), made.settlement_report()
    return [
        credit,
        made.credit_response(credit),
        made.credit_response(credit, "no"),
        pledge,
        made.pledge_response(pledge),
        made.pledge_response(pledge, "no"),
        report,
        made.settlement_confirmation(report),
        made.settlement_confirmation(report, "no"),
    ]


@given(st.integers(0, 2**32))
def test_a_seed_is_repeated_and_all_values_are_texts(seed: int) -> None:
    first = everything(messages(seed))
    assert first == everything(messages(seed))
    assert first != everything(messages(seed + 1))
    for message in first:
        assert all(isinstance(value, str) for value in message.values())
        assert message["timestamp"] == "1700000000"
        assert not any("E" in message.get(name, "") for name in ("c_change", "ci", "amount"))


@given(st.integers(0, 2**32), st.decimals(-100, 100, places=8).filter(bool), st.none() | st.just(Decimal(500)))
def test_a_credit_request_states_the_inventory_after_it(seed: int, change: Decimal, before: Decimal | None) -> None:
    made = messages(seed)
    request = made.credit_request(user="u", asset="BTC", change=change, custodian="c", inventory=before)
    assert (request["uid"], request["asset"], request["custodian"]) == ("u", "BTC", "c")
    assert Decimal(request["c_change"]) == change
    assert request["c_change"][0] in "+-"
    assert Decimal(request["ci"]) == (before + change if before is not None else max(change, Decimal(0)))
    assert ("chain" in request, "address" in request) == (change > 0, change > 0)
    answer = made.credit_response(request)
    assert (answer["status"], answer["reject_reason"], answer["request_id"]) == ("accepted", "", request["request_id"])
    assert made.credit_response(request, "why")["status"] == "rejected"


@given(st.integers(0, 2**32))
def test_a_report_and_its_confirmation_tell_of_the_same_legs(seed: int) -> None:
    made = messages(seed)
    trades = [made.trade() for _ in range(3)]
    assert all(trade.buy_asset != trade.sell_asset for trade in trades)
    report = made.settlement_report(user="u", trades=trades)
    data = json.loads(report["data"])
    assert {asset: Decimal(net) for asset, net in data["net_position"].items()} == net_of(trades)
    assert data["eod_time"] == "2023-11-14T22:13:20Z"
    confirmation = made.settlement_confirmation(report)
    legs = json.loads(confirmation["details"])["assets_transferred"]
    assert [(leg["asset_id"], leg["amount"]) for leg in legs] == [
        (leg["asset_id"], leg["amount"]) for leg in [*data["assets"]["bought"], *data["assets"]["sold"]]
    ]
    assert (confirmation["settlement_id"], confirmation["user_id"]) == (report["report_id"], "u")
    assert made.settlement_confirmation(report, "no")["status"] == "failed"


@given(st.integers(0, 2**32))
def test_an_amount_is_within_its_bounds(seed: int) -> None:
    made = messages(seed)
    assert Decimal("0.1") <= made.amount() <= 100
    assert made.amount(Decimal(5), Decimal(5)) == 5
