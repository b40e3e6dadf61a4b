"""Whatever is wrong with a ledger is found, with the account and the entry."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.bus import link_keys
from heliograph.settlement import audit as audit_module
from heliograph.settlement.audit import Audit, Auditor, End, Finding, Item, Seen, Unreadable, audit
from heliograph.settlement.chain import Entry, follow
from heliograph.settlement.ledger import Transfer, within
from heliograph.settlement.records import Body, Cause, body_text, read_body, transfers_of
from tests.settlement.custody import ASSET, LINK, USER, Primary, answer, day, deposit, order, record

POSITION = link_keys.position(LINK, USER, ASSET)
CREDIT = link_keys.credit(USER, ASSET)
CONTRA = link_keys.contra(LINK, ASSET)
CURSOR = link_keys.cursor(LINK)
DAY = day()


def judged(items: list[Item]) -> Audit:
    return audit(LINK, items)


def kinds(items: list[Item]) -> list[tuple[str, int, str]]:
    return [(finding.kind, finding.n, finding.account) for finding in judged(items).findings]


def test_a_day_as_it_was_is_clean() -> None:
    found = judged(DAY.items())
    assert found.clean, found.findings
    assert (found.entries, found.head, found.more) == (len(DAY.entries), DAY.copy.head, 0)
    assert found.keys == len(DAY.hashes) - 2
    auditor = Auditor(LINK)
    for entry in DAY.entries:
        auditor.take(entry)
    assert set(auditor.keys()) == set(DAY.hashes) - {link_keys.head(LINK), link_keys.outbox(LINK)}
    assert set(auditor.books.sums().values()) == {0}
    assert auditor.books.positions[USER, ASSET].credit == 3


def changed(key: str, name: str, text: str | None) -> list[Item]:
    items = DAY.items()
    at = next(i for i, item in enumerate(items) if isinstance(item, Seen) and item.key == key)
    seen = items[at]
    assert isinstance(seen, Seen)
    fields = {**seen.fields, name: text} if text is not None else {k: v for k, v in seen.fields.items() if k != name}
    items[at] = Seen(seen.n, key, {k: v for k, v in fields.items() if v is not None})
    return items


@pytest.mark.parametrize(
    ("key", "name", "text", "kind", "n", "account"),
    [
        (POSITION, "available", "6.000000000000000001", "differs", 15, f"{POSITION} available"),
        (POSITION, "granted", "4", "differs", 15, f"{POSITION} granted"),
        (POSITION, "held", "-1", "differs", 15, f"{POSITION} held"),
        (POSITION, "held", "NaN", "corrupt", 15, POSITION),
        (POSITION, "held", None, "corrupt", 15, POSITION),
        (CONTRA, "outside", "-10", "differs", 17, f"{CONTRA} outside"),
        (CONTRA, "clearing", "1", "differs", 17, f"{CONTRA} clearing"),
        (CREDIT, "amount", "4", "differs", 15, f"{CREDIT} amount"),
        (CREDIT, "user_id", "bob", "differs", 15, f"{CREDIT} user_id"),
        (CREDIT, "answer_seq", "7", "differs", 15, f"{CREDIT} answer_seq"),
        (link_keys.request(LINK, "b"), "state", "posted", "differs", 9, f"{link_keys.request(LINK, 'b')} state"),
        (link_keys.request(LINK, "b"), "amount", "30", "differs", 9, f"{link_keys.request(LINK, 'b')} amount"),
        (link_keys.request(LINK, "b"), "more", "x", "differs", 9, f"{link_keys.request(LINK, 'b')} more"),
        (link_keys.cycle(LINK, "y"), "version", "2", "differs", 15, f"{link_keys.cycle(LINK, 'y')} version"),
        (CURSOR, "recorded", "6", "differs", 17, f"{CURSOR} recorded"),
        (CURSOR, "recorded_digest", "ab", "differs", 17, f"{CURSOR} recorded_digest"),
        (CURSOR, "applied", "7", "differs", 17, f"{CURSOR} applied"),
        (CURSOR, "applied_digest", "ab", "differs", 17, f"{CURSOR} applied_digest"),
        (CURSOR, "published", "8", "differs", 17, CURSOR),
        (CURSOR, "trimmed", None, "corrupt", 17, CURSOR),
    ],
)
def test_what_a_key_holds_is_compared_field_by_field(
    key: str, name: str, text: str | None, kind: str, n: int, account: str
) -> None:
    assert kinds(changed(key, name, text)) == [(kind, n, account)]


def test_both_figures_are_told() -> None:
    [finding] = judged(changed(POSITION, "available", "7")).findings
    assert (finding.expected, finding.found, finding.what) == ("5", "7", "since entry 15 it must be 5")


def test_every_difference_is_told() -> None:
    items = changed(POSITION, "available", "7")
    other = changed(CREDIT, "amount", "9")
    items = [b if isinstance(b, Seen) and b.key == CREDIT else a for a, b in zip(items, other, strict=True)]
    assert [account for _, _, account in kinds(items)] == [f"{POSITION} available", f"{CREDIT} amount"]


def test_a_key_that_is_missing_and_one_that_nobody_made() -> None:
    items = [Seen(i.n, i.key, {}) if isinstance(i, Seen) and i.key == POSITION else i for i in DAY.items()]
    forged = Seen(16, link_keys.credit("eve", ASSET), {"amount": "1000"})
    absent = Seen(16, link_keys.credit("dan", ASSET), {})
    assert kinds([*items[:-1], forged, absent, items[-1]]) == [
        ("missing", 15, POSITION),
        ("unknown", 17, link_keys.credit("eve", ASSET)),
    ]
    assert kinds([*DAY.items()[:-1], Unreadable(POSITION, "no hash"), DAY.items()[-1]]) == [("corrupt", 18, POSITION)]


def retold(change: Callable[[int, Body], Body | None]) -> list[Item]:
    """The day with other bodies, by somebody who can make the whole chain anew."""
    head, entries = DAY.entries[0].head.__class__(0, ""), []
    for entry in DAY.entries:
        body = change(entry.n, read_body(entry.body))
        if body is None:
            continue
        text = body_text(body.cause, body.applied, tuple(transfers_of(body)), body.records)
        made = follow(head, entry.at_ns, text)
        entries.append(made)
        head = made.head
    seen = [item for item in DAY.items() if isinstance(item, Seen)]
    return [*entries, *seen, End(head.n, head.hash)]


def swapped(n: int, **fields: Any) -> Callable[[int, Body], Body]:
    return lambda at, body: msgspec.structs.replace(body, **fields) if at == n else body


def test_the_day_told_again_is_the_same() -> None:
    assert judged(retold(lambda _, body: body)).clean
    assert retold(lambda _, body: body) == DAY.items()


def test_a_chain_made_anew_over_other_movements_does_not_stand() -> None:
    movements = read_body(DAY.entries[0].body).transfers
    more = (msgspec.structs.replace(movements[0], amount="11"),)
    assert kinds(retold(swapped(1, transfers=more))) == [
        ("differs", 15, f"{POSITION} available"),
        ("differs", 17, f"{CONTRA} outside"),
    ]


@pytest.mark.parametrize(
    ("n", "debit", "credit", "expected"),
    [
        (1, "available", "granted", "unwarranted"),
        (1, "available", "held", "unwarranted"),
        (1, "available", "settling", "unwarranted"),
        (1, "outside", "granted", "unwarranted"),
        (1, "clearing", "granted", "unwarranted"),
    ],
)
def test_credit_comes_from_an_answer_and_from_nothing_else(n: int, debit: Any, credit: Any, expected: str) -> None:
    first = transfers_of(read_body(DAY.entries[0].body))
    move = Transfer(
        ASSET,
        Decimal(1),
        debit,
        USER if debit == "available" else "",
        credit,
        USER,
    )

    def change(at: int, body: Body) -> Body:
        if at != n:
            return body
        text = body_text(body.cause, body.applied, (*first, move), body.records)
        return read_body(text)

    assert (expected, n, "") in kinds(retold(change))


def test_an_overdraft_is_found_where_it_was() -> None:
    found = kinds(retold(swapped(1, transfers=())))
    assert ("insufficient_available", 3, "") in found


@pytest.mark.parametrize(
    ("name", "text", "n"),
    [
        ("state", "posted", 3),
        ("version", "2", 3),
        ("amount", "3", 3),
        ("user", "bob", 3),
        ("kind", "decrease", 3),
        ("state", "posted", 9),
        ("state", "held", 9),
        ("amount", "5", 9),
        ("digest", "ab", 8),
        ("version", "3", 8),
        ("answer_seq", "0", 8),
        ("request_seq", "9", 8),
    ],
)
def test_a_request_goes_the_way_of_its_machine(name: str, text: str, n: int) -> None:
    def change(at: int, body: Body) -> Body:
        records = {key: {**fields, name: text} for key, fields in body.records.items()}
        return msgspec.structs.replace(body, records=records) if at == n else body

    assert [finding for finding in kinds(retold(change)) if finding[:2] == ("unwarranted", n)]


def test_a_request_without_its_movement_and_a_movement_without_its_request() -> None:
    assert ("unwarranted", 8, "") in kinds(retold(swapped(8, transfers=())))
    assert ("unwarranted", 8, "") in kinds(retold(swapped(8, records={})))


@pytest.mark.parametrize(("n", "seq"), [(3, 2), (4, 1), (5, 4), (8, 2), (14, 5), (15, 8), (15, 6)])
def test_a_message_out_of_its_turn_is_found(n: int, seq: int) -> None:
    cause = read_body(DAY.entries[n - 1].body).cause
    assert ("sequence", n, "") in kinds(retold(swapped(n, cause=msgspec.structs.replace(cause, seq=seq))))


@pytest.mark.parametrize(("n", "applied"), [(8, 2), (9, 1), (9, 3), (8, 0), (1, 1)])
def test_an_answer_out_of_its_turn_is_found(n: int, applied: int) -> None:
    found = kinds(retold(swapped(n, applied=applied)))
    assert {("sequence", n, ""), ("sequence", n + 1, "")} & set(found)


def test_an_answer_that_took_effect_twice_is_found() -> None:
    primary = Primary()
    with primary.batch("a", "b") as batch:
        deposit(batch, "10")
        record(batch, "a", order("4"))
        record(batch, "b", order("4"))
        batch.publish(2)
        answer(batch, "a")
    entry = primary.entries[-1]
    body = read_body(entry.body)
    again = follow(entry.head, 0, body_text(body.cause, 1, tuple(transfers_of(body)), body.records))
    items = [*primary.entries, again, *primary.items()[len(primary.entries) : -1], End(again.n, again.hash)]
    assert ("sequence", 5, "") in kinds(items)
    assert ("unwarranted", 5, link_keys.request(LINK, "a")) in kinds(items)


def test_what_the_chain_says_is_told() -> None:
    items = DAY.items()
    assert kinds([*items[:4], *items[5:]])[:2] == [("dropped", 5, ""), ("sequence", 6, "")]
    assert ("truncated", 17, "") in kinds([*items[:16], *items[17:]])
    assert kinds(items[:-1]) == [("truncated", 18, "")]
    old = DAY.entries[6]
    assert kinds([*items[:6], msgspec.structs.replace(old, body="{}"), *items[7:]])[:2] == [
        ("changed", 7, ""),
        ("corrupt", 7, ""),
    ]


def test_findings_are_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "FINDINGS_MAX", 3)
    found = judged([*(Unreadable(f"line {n}", "x") for n in range(10)), *DAY.items()])
    assert (len(found.findings), found.more) == (3, 7)
    assert not found.clean
    assert found.findings[0] == Finding("corrupt", 1, "line 0", "x")


@given(st.data())
def test_a_change_of_any_field_of_any_key_is_found_but_for_what_only_tells_the_time(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from([item.key for item in DAY.items() if isinstance(item, Seen)]))
    name = data.draw(st.sampled_from(sorted(DAY.hashes[key])))
    text = data.draw(st.none() | st.text(max_size=5) | st.integers().map(str))
    same = DAY.hashes[key][name] == text
    untold = (name in ("timestamp", "last_updated") and text is not None) or (
        name == "version" and key in (POSITION, CONTRA, link_keys.position(LINK, "bob", ASSET))
    )
    within_bounds = key == CURSOR and name in ("published", "trimmed")
    found = judged(changed(key, name, text))
    assert not found.clean or same or untold or within_bounds


@given(st.data())
def test_a_change_of_any_entry_is_found(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(DAY.entries) - 1))
    old = DAY.entries[at]
    name = data.draw(st.sampled_from(["n", "at_ns", "prev", "hash", "body"]))
    value: Any = data.draw(st.integers(0, 20) if name in ("n", "at_ns") else st.text(max_size=9))
    items = DAY.items()
    new = Entry(**{**{f: getattr(old, f) for f in old.__struct_fields__}, name: value})
    items[at] = new
    assert judged(items).clean == (new == old)


def test_settling_needs_no_request_but_its_own_way() -> None:
    primary = Primary()
    with primary.batch() as batch:
        deposit(batch, "1")
        batch.post(Cause("payout", "w"), [within(USER, ASSET, Decimal(1), "available", "leaving")])
        batch.post(Cause("failed", "w"), [within(USER, ASSET, Decimal(1), "leaving", "available")])
    assert judged(primary.items()).clean
