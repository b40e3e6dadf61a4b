"""The streams that the seeds' documents name, as faces of the link: the same messages in the seeds' own fields.

The link is the truth; a face is for readers of the seeds' wire, appended by the message's owner on the owner's node.
Times are seconds since the Unix epoch, amounts decimal text. A report of many users has one entry a user, as there.
"""

import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, Literal

import msgspec

from heliograph.bus import link_keys
from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.numbers import parse
from heliograph.model.settlement import (
    BadValue,
    Confirmation,
    CreditOrder,
    Decision,
    Leg,
    LegOutcome,
    Report,
    amount_text,
    name,
    positive,
)

Fields = dict[str, str]


class Face(msgspec.Struct, frozen=True):
    """An entry of a face.

    Args:
        stream: where it belongs.
        fields: what it says.

    """

    stream: str
    fields: Fields


def of_order(custodian: str, request_id: str, order: CreditOrder, credit: Decimal, at_ns: int) -> Face:
    """Return the face of a request.

    Args:
        custodian: who asks.
        request_id: the request.
        order: what it asks for.
        credit: the user's credit inventory before the change.
        at_ns: when it was recorded.

    """
    second = str(at_ns // NS_PER_S)
    if order.kind == "pledge":
        fields = {
            "type": "pledge_request",
            "request_id": request_id,
            "user_id": order.user,
            "asset": order.asset,
            "amount": order.amount,
            "custodian_id": custodian,
            "chain": order.chain,
            "address": order.address,
            "timestamp": second,
        }
        return Face(link_keys.PLEDGE_REQUESTS, fields)
    change = positive(order.amount) * (1 if order.kind == "increase" else -1)
    fields = {
        "custodian": custodian,
        "request_id": request_id,
        "uid": order.user,
        "timestamp": second,
        "asset": order.asset,
        "c_change": signed(change),
        "ci": amount_text(credit + change),
    }
    optional = (("chain", order.chain), ("address", order.address))
    return Face(link_keys.CREDIT_REQUESTS, fields | {key: value for key, value in optional if value})


def of_decision(
    custodian: str, request_id: str, order: CreditOrder, decision: Decision, credit: Decimal, vault_id: str = ""
) -> Face:
    """Return the face of an answer.

    Args:
        custodian: who asked.
        request_id: the request.
        order: what it asked for.
        decision: the answer.
        credit: the user's credit inventory after it.
        vault_id: where the coins of an approved pledge lie, if anybody said so.

    """
    second, accepted = str(decision.decided_ns // NS_PER_S), decision.verdict == "accepted"
    reason = "" if accepted else decision.reason or decision.code
    if order.kind == "pledge":
        fields = {
            "type": "pledge_response",
            "request_id": request_id,
            "user_id": order.user,
            "asset": order.asset,
            "amount": order.amount,
            "status": "approved" if accepted else "rejected",
            "timestamp": second,
        }
        optional = (("vault_id", vault_id), ("reject_reason", reason))
        return Face(link_keys.PLEDGE_RESPONSES, fields | {key: value for key, value in optional if value})
    change = positive(order.amount) * (1 if order.kind == "increase" else -1)
    fields = {
        "custodian": custodian,
        "request_id": request_id,
        "uid": order.user,
        "timestamp": second,
        "asset": order.asset,
        "c_change": signed(change),
        "ci": amount_text(credit),
        "status": decision.verdict,
        "reject_reason": reason,
    }
    return Face(link_keys.CREDIT_RESPONSES, fields)


def of_report(custodian: str, cycle_id: str, report: Report, eod_time: str) -> list[Face]:
    """Return the faces of a report, one a user.

    Args:
        custodian: whose report it is.
        cycle_id: the cycle.
        report: the exchange's calculation.
        eod_time: the cut-off as ISO 8601.

    """
    users: dict[str, list[Leg]] = {}
    for leg in report.legs:
        users.setdefault(leg.user, []).append(leg)
    faces = []
    for user, legs in users.items():
        nets = {leg.asset: Decimal(leg.net) for leg in legs}
        data = {
            "user_id": user,
            "custodian": custodian,
            "eod_time": eod_time,
            "assets": {
                "bought": [{"asset_id": asset, "amount": amount_text(net)} for asset, net in nets.items() if net > 0],
                "sold": [{"asset_id": asset, "amount": amount_text(-net)} for asset, net in nets.items() if net < 0],
            },
            "net_position": {asset: signed(net) for asset, net in nets.items()},
            "settlement_instructions": {},
        }
        fields = {
            "type": "settlement",
            "report_id": report_id(cycle_id, user),
            "timestamp": str(report.cut_off_ns // NS_PER_S),
            "data": msgspec.json.encode(data).decode(),
        }
        faces.append(Face(link_keys.SETTLEMENT_REPORTS, fields))
    return faces


def of_confirmation(cycle_id: str, legs: Iterable[Leg], confirmation: Confirmation, at_ns: int) -> list[Face]:
    """Return the faces of a confirmation, one a user of the report.

    Args:
        cycle_id: the cycle.
        legs: what is confirmed.
        confirmation: the custodian's word on it.
        at_ns: when it was given.

    """
    outcomes = {outcome.leg_id: outcome for outcome in confirmation.outcomes}
    users: dict[str, list[tuple[Leg, LegOutcome]]] = {}
    for leg in legs:
        users.setdefault(leg.user, []).append((leg, outcomes[leg.leg_id]))
    second = str(at_ns // NS_PER_S)
    faces = []
    for user, theirs in users.items():
        failed = [outcome for _, outcome in theirs if outcome.outcome != "settled"]
        moved = [
            {"asset_id": leg.asset, "amount": amount_text(abs(Decimal(leg.net)))}
            for leg, outcome in theirs
            if outcome.outcome == "settled"
        ]
        details = {"assets_transferred": moved, "timestamp": second}
        if failed:
            details["failure_reason"] = failed[0].reason or failed[0].code or failed[0].outcome
        fields = {
            "type": "confirmation",
            "settlement_id": report_id(cycle_id, user),
            "user_id": user,
            "timestamp": second,
            "status": "failed" if failed else "completed",
            "details": msgspec.json.encode(details).decode(),
        }
        faces.append(Face(link_keys.SETTLEMENT_CONFIRMATIONS, fields))
    return faces


def notification(link: str, source: str, event_type: str, about: str, data: Mapping[str, str], at_ns: int) -> Face:
    """Return an event for onlookers, whose id is the same each time that it is told.

    Args:
        link: on which link.
        source: who tells.
        event_type: as the seeds' events have it, such as `credit:response`.
        about: the request or cycle.
        data: what is told.
        at_ns: when it happened.

    """
    fields = {
        "event_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{link}/{event_type}/{about}")),
        "event_type": event_type,
        "source": source,
        "timestamp": str(at_ns // NS_PER_MS),
        "data": msgspec.json.encode(data).decode(),
        "metadata": msgspec.json.encode({"link": link}).decode(),
    }
    return Face(link_keys.notifications(link), fields)


def report_id(cycle_id: str, user: str) -> str:
    """Return the id that the seeds give to one user's part of a cycle."""
    return f"settlement-{cycle_id}-{user}"


def signed(value: Decimal) -> str:
    """Render a change with its sign, as in `+10.5`."""
    return f"+{amount_text(value)}" if value > 0 else amount_text(value)


def to_order(fields: Mapping[str, str]) -> tuple[str, CreditOrder]:
    """Read a credit request in the seeds' fields, as the development profile takes it, with its id.

    Raises:
        BadValue: `bad_name`, `bad_amount`, or `bad_body`: a field is missing.

    """
    try:
        request_id, user, asset = fields["request_id"], fields["uid"], fields["asset"]
        change = parse(fields["c_change"])
    except KeyError as e:
        raise BadValue("bad_body", f"no field {e.args[0]!r} in a credit request") from None
    except ValueError:
        raise BadValue("bad_amount", f"not an amount: {fields['c_change'][:60]!r}") from None
    kind: Literal["increase", "decrease"] = "increase" if change > 0 else "decrease"
    amount = amount_text(abs(change))
    positive(amount)
    order = CreditOrder(
        kind,
        name(user, "user"),
        name(asset, "asset"),
        amount,
        fields.get("chain", ""),
        fields.get("address", ""),
    )
    return name(request_id, "request"), order


DEVELOPMENT_INPUTS: Final = (link_keys.CREDIT_REQUESTS,)
"""Faces that are also read where both sides hold one server."""
