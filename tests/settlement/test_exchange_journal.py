import multiprocessing
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heliograph.errors import OutcomeUnknown, SettlementError
from heliograph.model.settlement import BadValue, Cancel, CreditOrder, Decision, Report
from heliograph.settlement import cycle as cycles
from heliograph.settlement.envelope import Opened, opened, seal
from heliograph.settlement.exchange_journal import POINTS, Choice, ExchangeJournal, Policy
from heliograph.settlement.keyring import Signer
from heliograph.settlement.link.exchange import Cursor, Row
from heliograph.settlement.netting import Change
from heliograph.settlement.trading import Account
from tests.settlement.exchange_days import (
    EXCHANGE,
    EXCHANGE_KEYS,
    HOUSE,
    KEYS,
    LINK,
    POLICY,
    Sender,
    confirmation,
    day,
    decide_all,
    dump,
    opened_journal,
    outcomes,
    trade,
)

ROOT = Path(__file__).parents[2]
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["heliograph.settlement.exchange_journal"])


@pytest.fixture
def processes_find_this(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another process import what it is to run."""
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[ExchangeJournal]:
    with opened_journal(path) as journal:
        yield journal


@pytest.fixture
def custodian() -> Sender:
    return Sender()


def answers(journal: ExchangeJournal) -> list[Opened]:
    """All unacknowledged answers, verified as the custodian would."""
    cursor = journal.cursor()
    sent = journal.outgoing([range(cursor.pruned + 1, cursor.last + 1)])
    read = [opened(raw, LINK, "answer", EXCHANGE_KEYS) for _, raw in sent]
    assert [answer.envelope.seq for answer in read] == [seq for seq, _ in sent]
    for before, after in pairwise(read):
        assert after.envelope.prev == before.digest
    return read


def granted(journal: ExchangeJournal, custodian: Sender, **amounts: str) -> None:
    """Give users credit in BTC."""
    for user, amount in amounts.items():
        journal.take([custodian.order(f"credit-{user}", user, "BTC", amount)], 1)
        journal.decide([Choice(f"credit-{user}", "accepted")], 1)


def code_of(result: object) -> str:
    assert isinstance(result, SettlementError)
    return result.code


def test_what_is_taken_is_there_when_the_file_is_opened_again(path: Path, custodian: Sender) -> None:
    with opened_journal(path) as journal:
        assert outcomes(journal.take([custodian.order("q1", "alice", "BTC", "2.5")], 7)) == ["taken"]
    with opened_journal(path) as journal:
        (row,) = journal.requests("pending")
        assert (row.id, row.user, row.amount, row.request_seq) == ("q1", "alice", Decimal("2.5"), 1)
        assert journal.order("q1") == CreditOrder("increase", "alice", "BTC", "2.5")
        assert journal.cursor().inbox == 1


def test_messages_are_taken_in_their_order_and_once(journal: ExchangeJournal, custodian: Sender) -> None:
    first, second, third = (custodian.order(f"q{n}", "alice", "BTC", "1") for n in (1, 2, 3))
    assert outcomes(journal.take([second, first, first, third], 1)) == ["wait", "taken", "duplicate", "wait"]
    assert outcomes(journal.take([second, third], 2)) == ["taken", "taken"]
    assert [row.id for row in journal.requests()] == ["q1", "q2", "q3"]
    assert [row.id for row in journal.requests(after_seq=1, limit=1)] == ["q2"]


def test_a_message_of_somebody_else_is_kept_apart_once_and_costs_no_other(
    journal: ExchangeJournal, custodian: Sender
) -> None:
    order = CreditOrder("increase", "eve", "BTC", "9")
    forged = seal(Signer.generate("custodian-1"), LINK, "request", 1, "q1", order, 0, "")
    right = custodian.order("q1", "alice", "BTC", "1")
    receipts = journal.take([forged.raw, b"junk", right], 7) + journal.take([forged.raw], 8)
    assert outcomes(receipts) == ["bad_signature", "malformed", "taken", "bad_signature"]
    assert [receipt.first for receipt in receipts] == [True, True, True, False]
    assert [(q.code, q.at_ns, q.raw) for q in journal.quarantined()] == [
        ("bad_signature", 7, forged.raw),
        ("malformed", 7, b"junk"),
    ]
    row = journal.request("q1")
    assert row is not None
    assert row.user == "alice"


def test_an_id_with_other_content_is_refused_and_the_next_message_taken(
    journal: ExchangeJournal, custodian: Sender
) -> None:
    raws = [
        custodian.order("q1", "alice", "BTC", "1"),
        custodian.order("q1", "alice", "BTC", "1"),
        custodian.order("q1", "alice", "BTC", "2"),
        custodian.say("q9", Cancel()),
        custodian.order("q2", "alice", "BTC", "3"),
    ]
    assert outcomes(journal.take(raws, 1)) == ["taken", "taken", "conflict", "unknown_request", "taken"]
    assert [(row.id, row.amount) for row in journal.requests()] == [("q1", Decimal(1)), ("q2", Decimal(3))]
    assert len(journal.quarantined()) == 2


def test_a_message_of_another_history_moves_nothing(journal: ExchangeJournal) -> None:
    journal.take([Sender().order("q1", "alice", "BTC", "1")], 1)
    other = Sender()
    other.order("q1", "alice", "BTC", "2")
    (receipt,) = journal.take([other.order("q2", "alice", "BTC", "1")], 2)
    assert (receipt.outcome, receipt.code) == ("refused", "broken_chain")
    assert journal.cursor().inbox == 1


def test_a_decision_its_limit_and_its_answer_come_together(journal: ExchangeJournal, custodian: Sender) -> None:
    journal.take([custodian.order("q1", "alice", "BTC", "2.5"), custodian.order("q2", "alice", "BTC", "9")], 1)
    results = journal.decide([Choice("q1", "accepted"), Choice("q2", "rejected", "over_limit", "too much")], 7)
    assert [row.state for row in results if isinstance(row, Row)] == ["accepted", "rejected"]
    assert journal.account("alice", "BTC") == Account(limit=Decimal("2.5"))
    first, second = answers(journal)
    assert (first.envelope.id, first.envelope.ack, first.body) == ("q1", 2, Decision("accepted", "", "", 7))
    assert second.body == Decision("rejected", "over_limit", "too much", 7)


def test_a_decision_is_made_once_and_told_again(journal: ExchangeJournal, custodian: Sender) -> None:
    journal.take([custodian.order("q1", "alice", "BTC", "2.5")], 1)
    journal.decide([Choice("q1", "accepted")], 7)
    choices = [Choice("q1", "accepted"), Choice("q1", "rejected"), Choice("q2", "accepted")]
    again, other, unknown = journal.decide(choices, 8)
    assert isinstance(again, Row)
    assert (again.state, again.decided_ns) == ("accepted", 7)
    assert (code_of(other), code_of(unknown)) == ("decided", "unknown_request")
    assert len(answers(journal)) == 1
    assert journal.account("alice", "BTC").limit == Decimal("2.5")


def test_requests_are_told_in_the_order_in_which_they_came(journal: ExchangeJournal, custodian: Sender) -> None:
    ids = ["q2", "q10", "q1", "a", "z"]
    journal.take([custodian.order(request_id, "alice", "BTC", "1") for request_id in ids], 1)
    assert [row.id for row in journal.requests()] == [row.id for row in journal.requests("pending")] == ids


def test_a_step_that_fails_in_the_middle_leaves_nothing(path: Path, custodian: Sender) -> None:
    failing = ""

    def at(point: str) -> None:
        if point == failing:
            raise RuntimeError(point)

    with opened_journal(path, at) as journal:
        granted(journal, custodian, alice="5", bob="1")
        journal.trade([trade("t1", "alice", "bob", "BTC", "1", 10)])
        journal.take([custodian.order("q1", "alice", "BTC", "1")], 11)
        raw = custodian.order("q2", "alice", "BTC", "1")
        before = dump(journal)
        steps = {
            "take": lambda: journal.take([raw], 12),
            "decide": lambda: journal.decide([Choice("q1", "accepted")], 12),
            "prune": lambda: journal.prune(1),
            "trade": lambda: journal.trade([trade("t2", "alice", "bob", "BTC", "1", 10)]),
            "report": lambda: journal.report("c1", 20, 25, POLICY),
        }
        for step, act in steps.items():
            for moment in ("begun", "changed", "written"):
                failing = f"{step}:{moment}"
                with pytest.raises(RuntimeError):
                    act()
                failing = ""
                assert dump(journal) == before, f"{step}:{moment}"


def test_what_the_custodian_could_not_read_is_not_said(journal: ExchangeJournal, custodian: Sender) -> None:
    journal.take([custodian.order("q1", "alice", "BTC", "1"), custodian.order("q2", "alice", "BTC", "1")], 1)
    bad, long = journal.decide([Choice("q1", "rejected", "Not A Code"), Choice("q2", "rejected", "no", "x" * 9999)], 2)
    assert code_of(bad) == "bad_code"
    assert isinstance(long, Row)
    (answer,) = answers(journal)
    assert isinstance(answer.body, Decision)
    assert len(answer.body.reason) == 512


def test_a_cancel_decides_what_is_pending_and_nothing_else(journal: ExchangeJournal, custodian: Sender) -> None:
    journal.take([custodian.order("q1", "alice", "BTC", "1"), custodian.order("q2", "alice", "BTC", "1")], 1)
    journal.decide([Choice("q2", "accepted")], 2)
    journal.take([custodian.say("q1", Cancel("late")), custodian.say("q2", Cancel())], 3)
    assert [(row.state, row.code) for row in journal.requests()] == [("rejected", "cancelled"), ("accepted", "")]
    assert [answer.envelope.id for answer in answers(journal)] == ["q2", "q1"]


def test_past_its_deadline_a_request_is_rejected_whatever_is_decided(
    journal: ExchangeJournal, custodian: Sender
) -> None:
    journal.take([custodian.order("q1", "alice", "BTC", "1", expires_ns=100)], 1)
    (row,) = journal.decide([Choice("q1", "accepted")], 101)
    assert isinstance(row, Row)
    assert (row.state, row.code) == ("rejected", "expired")
    assert journal.account("alice", "BTC") == Account()


def test_credit_that_was_sold_is_not_given_back(journal: ExchangeJournal, custodian: Sender) -> None:
    granted(journal, custodian, alice="5", bob="1")
    journal.trade([trade("t1", "alice", "bob", "BTC", "3", 10)])
    journal.take([custodian.order("q1", "alice", "BTC", "2.5", kind="decrease")], 11)
    (refused,) = journal.decide([Choice("q1", "accepted")], 12)
    assert code_of(refused) == "insufficient_limit"
    assert [row.id for row in journal.requests("pending")] == ["q1"]
    assert journal.account("alice", "BTC").limit == Decimal(5)


def test_an_answer_is_sent_again_to_the_byte_until_it_is_acknowledged(path: Path, custodian: Sender) -> None:
    with opened_journal(path) as journal:
        granted(journal, custodian, alice="5", bob="1", carol="2")
        sent = journal.outgoing([range(1, 4)])
    with opened_journal(path) as journal:
        assert journal.outgoing([range(1, 2), range(2, 4)]) == sent
        assert journal.prune(2) == journal.cursor()
        assert journal.cursor().pruned == 2
        assert journal.outgoing([range(1, 9)]) == sent[2:]
        assert journal.prune(1).pruned == 2


def test_the_wrong_journal_freezes(journal: ExchangeJournal, custodian: Sender) -> None:
    granted(journal, custodian, alice="5")
    assert journal.start(acked=1, first=2) == journal.cursor()
    for acked, first in ((2, None), (1, 3)):
        with pytest.raises(SettlementError) as refused:
            journal.start(acked, first)
        assert code_of(refused.value) == "foreign_journal"
    with pytest.raises(SettlementError) as refused:
        journal.prune(2)
    assert code_of(refused.value) == "foreign_journal"
    assert journal.cursor().pruned == 0


def test_a_journal_of_another_link_or_version_is_not_opened(path: Path) -> None:
    with opened_journal(path):
        pass
    with pytest.raises(SettlementError) as refused, ExchangeJournal(path, "other", EXCHANGE, KEYS):
        pass
    assert code_of(refused.value) == "foreign_journal"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SettlementError) as refused, opened_journal(path):
        pass
    assert code_of(refused.value) == "foreign_journal"


def test_a_file_that_is_no_journal_or_cannot_be_made_is_told(tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"not a database at all" * 100)
    for wrong in (junk, tmp_path / "no such folder" / "journal"):
        with pytest.raises(SettlementError) as refused, opened_journal(wrong):
            pass
        assert code_of(refused.value) == "journal_away"
    with pytest.raises(SettlementError) as refused:
        opened_journal(tmp_path / "closed").cursor()
    assert code_of(refused.value) == "journal_away"


def test_a_trade_is_booked_whole_and_once(journal: ExchangeJournal, custodian: Sender) -> None:
    granted(journal, custodian, alice="5", bob="1")
    sale = trade("t1", "alice", "bob", "BTC", "3", 10)
    assert journal.trade([sale, sale]) == [True, False]
    assert journal.account("alice", "BTC") == Account(limit=Decimal(5), unreported=Decimal(-3))
    assert journal.account("bob", "BTC").usable == Decimal(4)
    assert len(journal.unreported()) == 2


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (trade("t2", "alice", "bob", "BTC", "5.1", 10), "insufficient_usable"),
        (trade("t1", "alice", "bob", "BTC", "2", 10), "conflict"),
        ((*trade("t1", "alice", "bob", "BTC", "1", 10), *trade("t2", "bob", "alice", "BTC", "1", 10)), "conflict"),
        (trade("t2", "alice", "bob", "BTC", "1", 10)[:1], "unbalanced"),
        ((Change("t2", "alice", "BTC", Decimal("NaN"), 1),), "bad_amount"),
        ((Change("t2", "alice", "BTC", Decimal("Infinity"), 1),), "bad_amount"),
        ((Change("t2", "alice", "BTC", Decimal(0), 1),), "bad_amount"),
        ((Change("t2", "alice", "BTC", Decimal("1E-19"), 1),), "too_large"),
        ((Change("t 2", "alice", "BTC", Decimal(1), 1),), "bad_name"),
        ((Change("t2", "", "BTC", Decimal(1), 1),), "bad_name"),
        ((Change("t2", "alice", "BTC", Decimal(1), -1),), "bad_time"),
        (
            (Change("t2", "alice", "BTC", Decimal(1), 1), Change("t3", "bob", "BTC", Decimal(-1), 2)),
            "bad_time",
        ),
        (
            (Change("t2", "alice", "BTC", Decimal(1), 1), Change("t2", "bob", "BTC", Decimal(-1), 1)),
            "duplicate_change",
        ),
    ],
)
def test_a_wrong_trade_is_refused_with_a_code_and_the_next_is_booked(
    journal: ExchangeJournal, custodian: Sender, wrong: tuple[Change, ...], code: str
) -> None:
    granted(journal, custodian, alice="5", bob="1")
    journal.trade([trade("t1", "alice", "bob", "BTC", "1", 10)])
    before = dump(journal)
    (refused,) = journal.trade([wrong])
    assert code_of(refused) == code
    assert dump(journal) == before
    refused, booked = journal.trade([wrong, trade("t4", "bob", "alice", "BTC", "1", 10)])
    assert (code_of(refused), booked) == (code, True)


def test_a_report_takes_the_trades_up_to_the_cut_off_and_proposes_their_net(
    journal: ExchangeJournal, custodian: Sender
) -> None:
    granted(journal, custodian, alice="5", bob="1")
    journal.trade([trade("t1", "alice", "bob", "BTC", "3", 10), trade("t2", "bob", "alice", "BTC", "1", 20)])
    journal.trade([trade("t3", "alice", "bob", "BTC", "0.5", 21)])
    cycle = journal.report("c1", 20, 25, POLICY)
    assert cycle.state == "proposed"
    assert {leg.user: leg.net for leg in cycle.legs} == {"alice": Decimal(-2), "bob": Decimal(2)}
    assert journal.account("alice", "BTC") == Account(Decimal(3), Decimal(2), Decimal(0), Decimal("-0.5"))
    assert journal.account("bob", "BTC") == Account(Decimal(1), Decimal(0), Decimal(2), Decimal("0.5"))
    report = answers(journal)[-1]
    assert isinstance(report.body, Report)
    assert (report.envelope.id, report.body.cut_off_ns) == ("c1", 20)
    assert journal.report("c1", 20, 26, POLICY) == cycle
    assert len(answers(journal)) == 3


def test_a_settled_leg_is_gone_and_an_excluded_one_rolls_on(journal: ExchangeJournal, custodian: Sender) -> None:
    granted(journal, custodian, alice="5", bob="1", carol="5", dave="1")
    journal.trade([trade("t1", "alice", "bob", "BTC", "3", 10), trade("t2", "carol", "dave", "BTC", "1", 10)])
    cycle = journal.report("c1", 20, 25, POLICY)
    raw = custodian.say("c1", confirmation(cycle, excluded=("carol", "dave")))
    assert outcomes(journal.take([raw], 30)) == ["taken"]
    assert journal.account("alice", "BTC") == Account(limit=Decimal(2))
    assert journal.account("bob", "BTC") == Account(limit=Decimal(1))
    assert journal.account("carol", "BTC") == Account(limit=Decimal(5), unreported=Decimal(-1))
    assert journal.account("dave", "BTC") == Account(limit=Decimal(1), unreported=Decimal(1))
    assert {change.ref for change in journal.unreported()} == {"t2-s", "t2-b"}
    following = journal.report("c2", 40, 45, POLICY)
    assert {leg.user: leg.net for leg in following.legs} == {"carol": Decimal(-1), "dave": Decimal(1)}


def test_a_refused_cycle_is_calculated_again(journal: ExchangeJournal, custodian: Sender) -> None:
    granted(journal, custodian, alice="5", bob="1")
    journal.trade([trade("t1", "alice", "bob", "BTC", "3", 10)])
    first = journal.report("c1", 20, 25, POLICY)
    journal.take([custodian.say("c1", confirmation(first, excluded=("alice", "bob")))], 30)
    assert [cycle.id for cycle in journal.cycles("refused")] == ["c1"]
    second = journal.report("c1", 20, 35, POLICY)
    assert (second.attempt, second.state, {leg.net for leg in second.legs}) == (
        2,
        "proposed",
        {Decimal(3), Decimal(-3)},
    )
    late = custodian.say("c1", confirmation(first))
    assert outcomes(journal.take([late, custodian.say("c1", confirmation(second))], 40)) == ["wrong_attempt", "taken"]
    assert journal.unreported() == []
    assert journal.advance("c1", lambda cycle: cycles.reconciled(cycle, 0)).state == "reconciled"


def test_a_confirmation_that_does_not_match_changes_nothing(journal: ExchangeJournal, custodian: Sender) -> None:
    granted(journal, custodian, alice="5", bob="1")
    journal.trade([trade("t1", "alice", "bob", "BTC", "3", 10)])
    cycle = journal.report("c1", 20, 25, POLICY)
    right = confirmation(cycle)
    before = journal.accounts()
    wrong = [
        ("c9", right, "unknown_cycle"),
        ("c1", msgspec.structs.replace(right, report="0" * 64), "wrong_report"),
        ("c1", msgspec.structs.replace(right, outcomes=right.outcomes[:1]), "wrong_legs"),
        ("c1", confirmation(cycle, excluded=("bob",)), "unbalanced"),
    ]
    receipts = journal.take([custodian.say(about, body) for about, body, _ in wrong], 30)
    assert outcomes(receipts) == [code for _, _, code in wrong]
    assert journal.accounts() == before
    twice = [custodian.say("c1", right), custodian.say("c1", right)]
    assert outcomes(journal.take(twice, 31)) == ["taken", "repeated"]


def test_who_sold_again_what_was_bought_before_the_cut_off_is_held_back(
    journal: ExchangeJournal, custodian: Sender
) -> None:
    granted(journal, custodian, alice="5", carol="1", house="9")
    journal.trade([trade("t1", "alice", "bob", "BTC", "3", 10), trade("t2", "bob", "carol", "BTC", "3", 21)])
    cycle = journal.report("c1", 20, 25, POLICY)
    assert {leg.user: leg.net for leg in cycle.legs} == {"alice": Decimal(-3), HOUSE: Decimal(3)}
    sums: dict[str, Decimal] = {}
    for change in journal.unreported():
        sums[change.user] = sums.get(change.user, Decimal(0)) + change.amount
    assert sums == {"bob": Decimal(0), "carol": Decimal(3), HOUSE: Decimal(-3)}
    for user, total in sums.items():
        assert journal.account(user, "BTC").unreported == total


def test_trades_whose_net_is_zero_are_done_with(journal: ExchangeJournal, custodian: Sender) -> None:
    granted(journal, custodian, alice="5", bob="5", carol="5")
    journal.trade([trade("t1", "alice", "bob", "BTC", "1", 1), trade("t2", "bob", "carol", "BTC", "1", 2)])
    cycle = journal.report("c1", 20, 25, POLICY)
    assert {leg.user for leg in cycle.legs} == {"alice", "carol"}
    journal.take([custodian.say("c1", confirmation(cycle, excluded=("alice", "carol")))], 30)
    assert {change.user for change in journal.unreported()} == {"alice", "carol"}


def test_nothing_to_settle_writes_nothing(journal: ExchangeJournal) -> None:
    before = dump(journal)
    with pytest.raises(SettlementError) as refused:
        journal.report("c1", 20, 25, POLICY)
    assert code_of(refused.value) == "nothing_to_settle"
    with pytest.raises(BadValue):
        journal.report("c 1", 20, 25, Policy(HOUSE))
    with pytest.raises(SettlementError) as refused:
        journal.advance("c1", cycles.closed)
    assert code_of(refused.value) == "unknown_cycle"
    assert dump(journal) == before


def test_a_disk_that_fails_is_told_and_nothing_is_half_done(path: Path, custodian: Sender) -> None:
    with opened_journal(path) as journal:
        granted(journal, custodian, alice="5")
        before = dump(journal)
        # No page more than there is: the journal's own way to a full disk.
        journal._connection.execute("PRAGMA max_page_count = 1")  # type: ignore[union-attr]
        raws = [custodian.order(f"q{n}", "alice", "BTC", "1") for n in range(200)]
        with pytest.raises((SettlementError, OutcomeUnknown)):
            journal.take(raws, 1)
        assert dump(journal) == before
    with opened_journal(path) as journal:
        assert dump(journal) == before
        assert outcomes(journal.take(raws, 1)) == ["taken"] * 200


def test_a_process_killed_at_any_point_of_its_day_has_lost_and_doubled_nothing(tmp_path: Path) -> None:
    passed: list[str] = []
    with opened_journal(tmp_path / "undisturbed", passed.append) as journal:
        day(journal)
        expected, moments = dump(journal), tuple(passed)
        # A day that was lived may be lived again.
        day(journal)
        assert dump(journal) == expected
    assert set(moments) == set(POINTS)
    killing = [sys.executable, "-m", "tests.settlement.exchange_days", str(tmp_path), str(len(moments))]
    ends = subprocess.run(killing, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert ends == [str(-signal.SIGKILL)] * len(moments)
    for hit, point in enumerate(moments):
        with opened_journal(tmp_path / f"killed-{hit}") as journal:
            day(journal)
            assert dump(journal) == expected, f"killed at {point}, moment {hit}"
    print(f"killed at each of {len(moments)} moments, which are passings of {len(POINTS)} points")


@pytest.mark.usefixtures("processes_find_this")
def test_two_processes_on_one_journal_decide_each_request_once(path: Path, custodian: Sender) -> None:
    ids = [f"q{n}" for n in range(60)]
    with opened_journal(path) as journal:
        journal.take([custodian.order(request_id, "alice", "BTC", "1") for request_id in ids], 1)
        start, results = PROCESSES.Barrier(2), PROCESSES.Queue()
        deciders = [
            PROCESSES.Process(target=decide_all, args=(path, order, verdict, start, results))
            for verdict, order in (("accepted", ids), ("rejected", ids))
        ]
        for process in deciders:
            process.start()
        won: dict[str, list[str]] = dict(results.get(timeout=60) for _ in deciders)
        for process in deciders:
            process.join(30)
            assert process.exitcode == 0
        assert sorted(won["accepted"] + won["rejected"]) == sorted(ids)
        print(f"decided at once: {len(won['accepted'])} by one process, {len(won['rejected'])} by the other")
        said: list[Any] = [(answer.envelope.id, answer.body.verdict) for answer in answers(journal)]  # type: ignore[union-attr]
        assert sorted(said) == sorted((q, verdict) for verdict, wins in won.items() for q in wins)
        assert journal.account("alice", "BTC").limit == len(won["accepted"])
        assert journal.cursor() == msgspec.structs.replace(journal.cursor(), inbox=60, last=60)
        assert isinstance(journal.cursor(), Cursor)


def test_books_are_all_that_the_journal_knows_at_one_instant(journal: ExchangeJournal, custodian: Sender) -> None:
    journal.take([custodian.order(f"q{n}", "alice", "BTC", "1") for n in range(3)], 1)
    journal.decide([Choice(f"q{n}", "accepted") for n in range(3)], 1)
    for n in (1, 2):
        journal.trade(
            [[Change(f"t{n}/{user}", user, "BTC", Decimal(amount), n) for user, amount in (("alice", -1), ("bob", 1))]]
        )
    books = journal.books()
    assert [row.id for row in books.requests] == ["q0", "q1", "q2"]
    assert {(each.user, each.account.limit, each.account.unreported) for each in books.traders} == {
        ("alice", Decimal(3), Decimal(-2)),
        ("bob", Decimal(0), Decimal(2)),
    }
    assert books.unreported is not None
    assert {(flow.user, flow.net) for flow in books.unreported} == {("alice", Decimal(-2)), ("bob", Decimal(2))}
    assert books.cursor == journal.cursor()
    assert journal.decide([Choice("q0", "accepted")], 2)  # The journal goes on.
