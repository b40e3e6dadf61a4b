from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.bus import link_keys
from heliograph.bus.commit import (
    Absent,
    Append,
    Commit,
    DropFields,
    FieldsAre,
    PutFields,
    PutText,
    Rank,
    TrimBelow,
    Unrank,
    Write,
    arguments,
)
from heliograph.errors import SettlementError
from heliograph.model.settlement import Decision, amount_text
from heliograph.settlement.audit import audit
from heliograph.settlement.batch import NOTHING, STEPS_MAX, Batch, Copy, Held, entry_fields
from heliograph.settlement.chain import GENESIS, faults
from heliograph.settlement.credit import Request
from heliograph.settlement.envelope import Sealed
from heliograph.settlement.faces import Face
from heliograph.settlement.ledger import Position, Transfer, within
from heliograph.settlement.link.custodian import Cursor, Writer
from heliograph.settlement.link.sequence import Arrival, Slot
from heliograph.settlement.records import Body, Cause, fields_of, read_body
from tests.settlement.custody import (
    ASSET,
    LINK,
    USER,
    Primary,
    answer,
    arrival,
    deposit,
    order,
    order_digest,
    record,
    seal,
)

WRITER = Writer(3, "ab")
POSITION = link_keys.position(LINK, USER, ASSET)
CREDIT = link_keys.credit(USER, ASSET)
CONTRA = link_keys.contra(LINK, ASSET)
OUTBOX = link_keys.outbox(LINK)
NOW_NS = 1_700_000_000_123_456_789


def key(request_id: str) -> str:
    return link_keys.request(LINK, request_id)


def fresh(*request_ids: str) -> Copy:
    copy = Copy(LINK, WRITER, Cursor(), GENESIS, 0, {})
    copy.records = dict.fromkeys((POSITION, CONTRA, *map(key, request_ids)), NOTHING)
    return copy


def filled(*request_ids: str) -> Copy:
    """A copy with 10 coins in the vault."""
    copy = fresh(*request_ids)
    batch = Batch(copy, NOW_NS)
    deposit(batch, "10")
    batch.settle()
    return copy


def put(commit: Commit, name: str) -> dict[str, str | bytes]:
    """All that a commit writes into one hash, each field once."""
    fields: dict[str, str | bytes] = {}
    for write in commit.writes:
        if isinstance(write, PutFields) and write.key == name:
            assert not fields.keys() & write.fields.keys()
            fields.update(write.fields)
    return fields


def of_kind(commit: Commit, kind: type[Write], name: str) -> list[Write]:
    return [write for write in commit.writes if isinstance(write, kind) and write.key == name]


def bodies(batch: Batch) -> list[Body]:
    return [read_body(entry.body) for entry in batch.entries]


def test_a_commit_expects_all_that_it_was_decided_from() -> None:
    batch = Batch(filled("r"), NOW_NS)
    record(batch, "r", order("4"))
    assert batch.commit().expectations == [
        FieldsAre(link_keys.writer(LINK), {"epoch": "3", "owner": "ab"}),
        FieldsAre(link_keys.cursor(LINK), fields_of(Cursor())),
        FieldsAre(link_keys.head(LINK), {"n": "1", "hash": batch.copy.head.hash}),
        FieldsAre(POSITION, {"version": "1"}),
        Absent(key("r")),
    ]


def test_an_order_is_one_commit_of_hold_message_cursor_journal_and_deadline() -> None:
    batch = Batch(filled("r"), NOW_NS)
    asked = order("4.50", expires_ns=5_000_000)
    request, new = batch.record("r", asked, order_digest(asked), seal("r"))
    assert new
    commit = batch.commit()
    assert put(commit, key("r")) == fields_of(request) | {"version": "1"}
    assert put(commit, POSITION) == {"available": "5.5", "held": "4.5", "version": "2"}, "what changed, and no more"
    assert put(commit, OUTBOX) == {"1": seal("r")(Slot(1, 0, "")).raw}
    assert put(commit, link_keys.cursor(LINK)) == {"recorded": "1", "recorded_digest": seal("r")(Slot(1, 0, "")).digest}
    [entry] = batch.entries
    assert of_kind(commit, Append, link_keys.journal(LINK)) == [
        Append(link_keys.journal(LINK), entry_fields(entry), "2-0")
    ]
    assert put(commit, link_keys.head(LINK)) == {"n": "2", "hash": entry.hash}
    assert of_kind(commit, Rank, link_keys.open_requests(LINK)) == [Rank(link_keys.open_requests(LINK), {"r": 5})]
    assert not put(commit, CREDIT), "nothing is granted yet"
    [body] = bodies(batch)
    assert body.cause == Cause("order", "r", 1, seal("r")(Slot(1, 0, "")).digest)
    assert body.records == {key("r"): fields_of(request) | {"version": "1"}}
    assert [tuple(move) for move in map(msgspec.structs.astuple, body.transfers)] == [
        (ASSET, "4.5", "available", USER, "held", USER)
    ]


def test_each_step_is_decided_upon_the_one_before_and_each_record_written_once() -> None:
    batch = Batch(filled("a", "b", "c"), NOW_NS)
    record(batch, "a", order("4"))
    record(batch, "b", order("6"))
    with pytest.raises(SettlementError) as caught:
        record(batch, "c", order("0.000000000000000001"))
    assert caught.value.code == "insufficient_available"
    batch.publish(2)
    answer(batch, "a", ack=1)
    answer(batch, "b", "rejected", ack=2)
    record(batch, "c", order("1", "decrease"))
    commit = batch.commit()
    final = Position(Decimal(6), Decimal(0), Decimal(3), Decimal(1))
    assert put(commit, POSITION) == {"available": "6", "granted": "3", "returning": "1", "version": "6"}
    assert batch.position(USER, ASSET) == final
    assert put(commit, key("a"))["version"] == "2"
    assert put(commit, CREDIT) == {
        "user_id": USER, "asset": ASSET, "amount": "4", "timestamp": "1700000000", "last_updated": "1700000000",
        "answer_seq": "1",
    }, "of the answer that changed it, which is not the last"  # fmt: skip
    assert [body.cause.kind for body in bodies(batch)] == ["order", "order", "decision", "decision", "order"]
    assert list(faults(batch.entries, batch.head, batch.copy.head)) == []
    assert batch.cursor == Cursor(3, batch.cursor.recorded_digest, 2, 2, 2, f"{2:064x}")
    assert arguments(commit)


def test_a_step_that_is_refused_leaves_no_trace() -> None:
    batch = Batch(filled("a", "b", "none"), NOW_NS)
    record(batch, "a", order("4"))
    batch.publish(1)
    before = (batch.commit(), batch.cursor, batch.head)

    def oversized(slot: Slot) -> Sealed:
        raise SettlementError("oversized", "too much")

    steps = {
        "conflict": lambda: record(batch, "a", order("5")),
        "insufficient_available": lambda: record(batch, "b", order("7")),
        "insufficient_granted": lambda: record(batch, "b", order("1", "decrease")),
        "oversized": lambda: batch.record("b", order("1"), "d", oversized),
        "unknown_request": lambda: batch.apply("none", Decision("accepted"), arrival(batch)),
        "duplicate": lambda: batch.apply("a", Decision("accepted"), Arrival(0, 0, "", "")),
        "too_early": lambda: batch.apply("a", Decision("accepted"), Arrival(2, 0, "", "")),
        "broken_chain": lambda: batch.apply("a", Decision("accepted"), Arrival(1, 0, "ab", "")),
        "foreign_ack": lambda: batch.apply("a", Decision("accepted"), Arrival(1, 2, "", "")),
        "insufficient_granted ": lambda: batch.post(
            Cause("k", "i"), [within(USER, ASSET, Decimal(1), "granted", "settling")]
        ),
        "insufficient_leaving": lambda: batch.message(
            "k", "i", seal(), [Transfer(ASSET, Decimal(1), "leaving", USER, "outside", "")]
        ),
        "insufficient_settling": lambda: batch.advance(
            "k", "i", arrival(batch), [Transfer(ASSET, Decimal(1), "settling", USER, "clearing", "")]
        ),
        "too_early ": lambda: batch.publish(2),
        "too_early  ": lambda: batch.acknowledge(1),
        "not_read": lambda: record(batch, "unread", order("1")),
        "not_read ": lambda: record(batch, "b", order("1", user="bob")),
        "not_read  ": lambda: batch.post(Cause("k", "i"), (), {"unread": Position()}),
        "not_read   ": lambda: batch.message("k", "i", seal(), (), {"unread": Position()}),
        "not_read    ": lambda: batch.advance("k", "i", arrival(batch), (), {"unread": Position()}),
        "unknown_request ": lambda: batch.cancel("none", seal()),
    }
    for code, step in steps.items():
        with pytest.raises(SettlementError) as caught:
            step()
        assert caught.value.code == code.strip()
        assert (batch.commit(), batch.cursor, batch.head) == before


def test_a_repeated_order_is_the_request_that_there_is() -> None:
    batch = Batch(filled("a"), NOW_NS)
    record(batch, "a", order("4"))
    before = batch.commit()
    asked = order("4")
    request, new = batch.record("a", asked, order_digest(asked), seal())
    assert (request, new) == (batch.request("a"), False)
    assert batch.commit() == before


def test_a_cancel_asks_and_releases_nothing() -> None:
    batch = Batch(filled("a"), NOW_NS)
    record(batch, "a", order("4"))
    asked = batch.cancel("a", seal("cancel"))
    assert (asked.state, asked.cancel_seq, asked.version) == ("asked", 2, 2)
    assert batch.position(USER, ASSET).held == 4
    assert bodies(batch)[1].transfers == ()
    batch.publish(2)
    answer(batch, "a", "rejected")
    assert batch.position(USER, ASSET) == Position(Decimal(10))
    assert of_kind(batch.commit(), Unrank, link_keys.open_requests(LINK)) == [
        Unrank(link_keys.open_requests(LINK), ["a"])
    ]
    assert not of_kind(batch.commit(), Rank, link_keys.open_requests(LINK))


def test_what_is_published_is_what_was_recorded_and_goes_when_the_exchange_has_it() -> None:
    copy = filled("a", "b", "c")
    first = Batch(copy, NOW_NS)
    for name in "abc":
        record(first, name, order("1"))
    first.settle()
    assert list(copy.outbox) == [1, 2, 3]
    second = Batch(copy, NOW_NS)
    second.publish(2)
    second.publish(1)
    raws = [copy.outbox[1], copy.outbox[2]]
    out = link_keys.out(LINK)
    assert of_kind(second.commit(), Append, out) == [
        Append(out, {"data": raw}, f"{seq}-0") for seq, raw in enumerate(raws, 1)
    ]
    assert put(second.commit(), link_keys.cursor(LINK)) == {"published": "2"}
    assert not second.entries
    assert not second.empty
    second.settle()
    assert list(copy.outbox) == [3]
    third = Batch(copy, NOW_NS)
    answer(third, "a", ack=2)
    assert of_kind(third.commit(), DropFields, OUTBOX) == [DropFields(OUTBOX, ["1", "2"])]
    assert of_kind(third.commit(), TrimBelow, out) == [TrimBelow(out, "2-0")]
    # After a fail-over that forgot the publishing of 3: whoever answers it has it, and it is not shown again.
    answer(third, "b", ack=3)
    assert third.cursor.published == 3
    third.settle()
    assert copy.outbox == {}


def test_an_envelope_that_is_not_at_hand_is_not_published() -> None:
    copy = Copy(LINK, WRITER, Cursor(recorded=2), GENESIS, 0, {1: b"one"})
    with pytest.raises(SettlementError) as caught:
        Batch(copy, NOW_NS).publish(2)
    assert caught.value.code == "not_read"


def test_an_acknowledgement_is_what_took_effect_and_never_goes_back() -> None:
    copy = Copy(LINK, WRITER, Cursor(applied=5), GENESIS, 3, {})
    batch = Batch(copy, NOW_NS)
    batch.acknowledge(2)
    assert batch.empty
    batch.acknowledge(5)
    assert batch.commit().writes == [PutText(link_keys.acked(LINK), "5")]
    batch.settle()
    assert copy.acked == 5


def test_a_settlement_moves_through_the_contra_accounts_and_its_message_tells() -> None:
    copy = filled("a")
    copy.records[link_keys.position(LINK, "bob", ASSET)] = NOTHING
    copy.records["cycle"] = Held(4, None)
    batch = Batch(copy, NOW_NS)
    record(batch, "a", order("4"))
    batch.publish(1)
    answer(batch, "a")
    batch.advance("report", "c", arrival(batch), [within(USER, ASSET, Decimal(3), "granted", "settling")])
    moves = [
        Transfer(ASSET, Decimal(3), "settling", USER, "clearing", ""),
        Transfer(ASSET, Decimal(3), "clearing", "", "available", "bob"),
    ]
    batch.message("confirmation", "c", seal("c"), moves, {"cycle": Position()})
    assert batch.position("bob", ASSET).available == 3
    assert (batch.contra(ASSET).clearing, batch.contra(ASSET).outside) == (0, -10)
    commit = batch.commit()
    assert put(commit, CREDIT)["amount"] == "1"
    assert put(commit, CREDIT)["answer_seq"] == "2"
    assert put(commit, "cycle")["version"] == "5"
    assert list(put(commit, OUTBOX)) == ["1", "2"]
    assert [body.cause.seq for body in bodies(batch)] == [1, 1, 2, 2]
    assert [body.applied for body in bodies(batch)] == [0, 1, 2, 2]


def test_faces_and_quarantine_are_appended_without_an_entry() -> None:
    batch = Batch(filled(), NOW_NS)
    assert batch.empty
    batch.show([Face("mirror:x", {"a": "b"})])
    batch.quarantine({"reason": "why", "data": b"\xff"})
    assert not batch.empty
    assert batch.commit().writes == [
        Append("mirror:x", {"a": "b"}),
        Append(link_keys.quarantine(LINK), {"reason": "why", "data": b"\xff"}),
    ]


def test_a_batch_says_when_it_is_full() -> None:
    batch = Batch(fresh(), NOW_NS)
    for _ in range(STEPS_MAX):
        assert not batch.full
        deposit(batch, "1")
    assert batch.full
    assert arguments(batch.commit())


def test_a_thousand_trimmed_envelopes_fit_in_one_commit() -> None:
    copy = Copy(LINK, WRITER, Cursor(recorded=9000, published=9000, applied=0), GENESIS, 0, {})
    copy.records[key("r")] = Held(1, Request("r", "increase", USER, ASSET, Decimal(1), "d", "held", 1))
    copy.records[POSITION] = Held(1, Position(held=Decimal(1)))
    batch = Batch(copy, NOW_NS)
    answer(batch, "r")
    dropped = of_kind(batch.commit(), DropFields, OUTBOX)
    assert sum(len(write.fields) for write in dropped if isinstance(write, DropFields)) == 9000
    assert arguments(batch.commit())


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["deposit", "increase", "decrease", "pledge", "cancel", "accepted", "rejected", "pay", "cut"]),
        st.integers(0, 5),
        st.decimals("0.000000000000000001", 5, places=18),
        st.sampled_from([USER, "bob"]),
    ),
    max_size=40,
)


def attempt(batch: Batch, what: str, n: int, amount: Decimal, user: str) -> None:
    request_id = f"r{n}"
    if what == "deposit":
        deposit(batch, amount_text(amount), user)
    elif what in ("increase", "decrease", "pledge"):
        record(batch, request_id, order(amount_text(amount), what, user))  # type: ignore[arg-type]
    elif what == "cancel":
        batch.cancel(request_id, seal(request_id))
    elif what in ("accepted", "rejected"):
        batch.publish(batch.cursor.recorded)
        answer(batch, request_id, what)  # type: ignore[arg-type]
    elif what == "pay":
        batch.post(Cause("payout", "w"), [within(user, ASSET, amount, "available", "leaving")])


@given(OPERATIONS)
@settings(max_examples=200)
def test_whatever_happens_in_whatever_batches_the_ledger_stands_an_audit(
    operations: list[tuple[str, int, Decimal, str]],
) -> None:
    primary = Primary()
    names = tuple(f"r{n}" for n in range(6))
    while operations:
        with primary.batch(*names, users=(USER, "bob")) as batch:
            for what, n, amount, user in operations:
                before = (batch.cursor, batch.head)
                try:
                    attempt(batch, what, n, amount, user)
                except SettlementError:
                    assert (batch.cursor.applied, batch.head) == (before[0].applied, before[1])
                if what == "cut":
                    break
            operations = operations[operations.index(("cut", n, amount, user)) + 1 :] if what == "cut" else []
    found = audit(LINK, primary.items())
    assert found.clean, found.findings
    assert found.entries == len(primary.entries)
