"""The link's protocol, searched exhaustively: every order in which its atomic steps and a few faults can happen.

What runs in each step is the project's own function. The numbers of worlds are exact: a rule that changes, changes
them. They were compared with those of the model that the protocol was designed with, which had its own copy of every
rule, and are equal once what differs on purpose is put back: there a process remembered where it sent last, a roll-back
that changed nothing was counted, a writer had a number and no owner, a sibling counted whoever wrote there, nothing was
acknowledged in part, and what an answer acknowledges did not count as published. `make model` searches more.
"""

import pytest

from tests.settlement.link.model.cases import HOLDS, SETTLES
from tests.settlement.link.model.search import Result, Search
from tests.settlement.link.model.variants import CONTROLS, REFUTED
from tests.settlement.link.model.world import Case, Rules

WORLDS = {
    "no fault, 3 requests": 655_947,
    "crashes": 23_477,
    "stale processes": 23_372,
    "stale processes and crashes": 152_329,
    "wipes": 8_561,
    "rollbacks": 11_693,
    "emptied and exhausted mailbox": 19_064,
    "fail-overs": 115_943,
    "fail-overs, stale processes and crashes, 1 request": 462_712,
    "every kind, 1 request": 559_518,
    "every kind but fail-over, increase and decrease": 92_088,
    "every kind, increase and decrease, no cancel": 100_016,
    "every kind, increase and decrease": 106_350,
    "every kind but fail-over, 3 requests of 1 user, no cancel": 235_210,
    "the old primary runs on, 2 users": 484_352,
    "the old primary runs on, 1 request": 263_514,
    "2 siblings, fail-overs, 1 request": 125_705,
    "amounts with digits, crashes": 18_579,
    "a sale": 155,
    "a sale, disputed and reported again": 909,
    "the same, every kind of fault": 93_893,
    "a sale while credit is given back": 47_226,
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", [*HOLDS, *SETTLES], ids=lambda case: case.name)
def test_the_protocol_holds_in_every_world(case: Case) -> None:
    result = Search(case, Rules()).run()
    assert (result.verdict, result.trace) == ("holds", ())
    assert result.states == WORLDS[case.name]


@pytest.mark.parametrize(("rules", "case"), [c[1:] for c in CONTROLS], ids=[c[0] for c in CONTROLS])
def test_one_guard_less_holds_within_these_bounds(rules: Rules, case: Case) -> None:
    assert Search(case, rules).run().verdict == "holds"


def refuted(name: str, *, holds: bool = True) -> Result:
    """Search with the changed rule, which must break, and with the specified one, which must hold in the same case."""
    variant = REFUTED[name]
    result = Search(variant.case, variant.rules).run()
    assert (result.verdict, result.breach) == (variant.verdict, variant.breach)
    if holds:
        assert Search(variant.case, Rules()).run().verdict == "holds"
    return result


def test_every_variant_of_the_protocol_is_tested_by_its_name() -> None:
    assert {f"test_refuted_{name}" for name in REFUTED} == {
        name for name in globals() if name.startswith("test_refuted_")
    }
    assert len(REFUTED) == 22 + 2


def test_the_shortest_way_to_a_breach_is_told() -> None:
    assert refuted("inbox_cursor_in_replica_group").trace == (
        "custodian 1 reserves and records request 0",
        "custodian 1 publishes message 1",
        "R catches up with P",
        "exchange 0 reads message 1 on R",
        "exchange 0 takes message 1",
        "exchange 0 decides request 0: accepted",
        "FAULT a full resync wipes R",
        "exchange 0 reads message 1 on R",
        "exchange 0 takes message 1",
        "exchange 0 decides request 0: accepted",
    )


def test_refuted_expiry_releases_without_asking() -> None:
    """The custodian voids at its deadline, and the answer is on its way: no margin of clocks helps."""
    refuted("expiry_releases_without_asking")


def test_refuted_expiry_voids_unpublished_after_failover() -> None:
    """Whether a request was published is what a fail-over forgets."""
    refuted("expiry_voids_unpublished_after_failover")


def test_refuted_decrease_releases_on_send() -> None:
    """The exchange trades on the credit until it agreed to give it back."""
    refuted("decrease_releases_on_send")


def test_refuted_credit_read_from_lagging_replica() -> None:
    """After a decrease R still shows the old credit; no fault is needed."""
    refuted("credit_read_from_lagging_replica")


def test_refuted_effect_then_cursor() -> None:
    """A crash between the two commits, and the answer takes effect again."""
    refuted("effect_then_cursor")


def test_refuted_cursor_then_effect() -> None:
    """A crash between the two commits, and the answer never takes effect."""
    refuted("cursor_then_effect")


def test_refuted_gap_is_skipped() -> None:
    """Answer 2 is appended first; answer 1 is never applied."""
    refuted("gap_is_skipped")


def test_refuted_stale_custodian_unfenced() -> None:
    """Two custodians that trust their memory have read the same answer."""
    refuted("stale_custodian_unfenced")


def test_refuted_custodian_memory_survives_failover() -> None:
    """The promoted sibling lacks an answer that the custodian remembers as applied."""
    refuted("custodian_memory_survives_failover")


def test_refuted_epoch_number_reused_after_failover() -> None:
    """A bare number is given out twice, and an old process passes the fence."""
    refuted("epoch_number_reused_after_failover")


def test_refuted_stale_exchange_decides_from_memory() -> None:
    """Two processes on one journal decide one request."""
    refuted("stale_exchange_decides_from_memory")


def test_refuted_decision_and_outbox_apart() -> None:
    """A crash between the two transactions, and the custodian never hears."""
    refuted("decision_and_outbox_apart")


def test_refuted_inbox_cursor_in_replica_group() -> None:
    """A full resync wipes the group, and requests are taken again."""
    refuted("inbox_cursor_in_replica_group")


def test_refuted_wipe_noticed_only_at_next_write() -> None:
    """After a wipe the exchange has nothing more to say, and never finds out."""
    refuted("wipe_noticed_only_at_next_write")


def test_refuted_rollback_keeps_key_so_no_nil() -> None:
    """R comes back from an old dump: the key is there, the last answer is not."""
    refuted("rollback_keeps_key_so_no_nil")


def test_refuted_single_key_exhausted() -> None:
    """After the largest id every append fails."""
    refuted("single_key_exhausted")


def test_refuted_reader_follows_last_id() -> None:
    """After an exhausted key and a wipe nothing is ever later than the last id."""
    refuted("reader_follows_last_id")


def test_refuted_requests_trimmed_by_length() -> None:
    """A request is cut before the exchange took it."""
    refuted("requests_trimmed_by_length")


def test_refuted_publish_before_sibling_has_it() -> None:
    """The exchange holds a request that the promoted sibling never heard of."""
    refuted("publish_before_sibling_has_it")


def test_refuted_wait_satisfied_by_the_exchange_replica() -> None:
    """R answers the WAIT; the sibling has nothing."""
    refuted("wait_satisfied_by_the_exchange_replica")


def test_refuted_prune_on_applied_before_failover() -> None:
    """Nobody has an answer that was applied on the primary that is gone."""
    refuted("prune_on_applied_before_failover")


def test_refuted_payout_before_sibling_has_it() -> None:
    """Funds have left, and the promoted sibling's ledger still counts them."""
    refuted("payout_before_sibling_has_it")


def test_refuted_promoted_sibling_vouches_for_the_old_primary() -> None:
    """It has the number that the old primary asks for, and another message under it."""
    refuted("promoted_sibling_vouches_for_the_old_primary")


def test_refuted_writer_goes_on_after_reconnect() -> None:
    """One of two siblings was promoted, and the other has, by the same writer, what the promoted one never got.

    That the rule holds in the same case is for `make model`: two million worlds.
    """
    refuted("writer_goes_on_after_reconnect", holds=False)
