"""A statement is believed if the other party signed all of it, and not otherwise."""

from decimal import Decimal

import msgspec
import pytest

from heliograph.errors import DecodeError, SettlementError
from heliograph.settlement.cycle import Cycle, Entry
from heliograph.settlement.keyring import Keyring, Signer
from heliograph.settlement.ledger import Position
from heliograph.settlement.link import custodian, exchange
from heliograph.settlement.netting import Flow
from heliograph.settlement.reconcile import CustodianBooks, ExchangeBooks, Holding, Trader
from heliograph.settlement.statement import Books, Statement, read, stated
from heliograph.settlement.trading import Account
from tests.settlement.byhand import EXCHANGE_KEY

KEYRING = Keyring([EXCHANGE_KEY.public()])
LEG = Entry("l1", "alice", "BTC", Decimal("-0.000000000000000001"), state="settled")
THEIRS = ExchangeBooks(
    (Trader("alice", "BTC", Account(limit=Decimal("1E+3"))),),
    (exchange.Row("r1", "d", "increase", "alice", "BTC", Decimal(5), 0, "accepted", 1, 1),),
    (Cycle("c1", "exchange", "confirmed", legs=(LEG,)),),
    exchange.Cursor(last=7),
    (Flow("alice", "BTC", Decimal(-1)),),
)
OURS = CustodianBooks((Holding("alice", "BTC", Position(granted=Decimal(5))),), (), (), custodian.Cursor(recorded=3))


@pytest.mark.parametrize("books", [THEIRS, OURS, msgspec.structs.replace(THEIRS, unreported=None)])
def test_what_was_stated_is_read(books: Books) -> None:
    assert read(stated(EXCHANGE_KEY, "acme", books, 42), "acme", KEYRING) == (books, 42)


def _changed(**fields: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(stated(EXCHANGE_KEY, "acme", THEIRS, 42)) | fields)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (_changed(at_ns=43), "bad_signature"),
        (_changed(seq=1), "bad_signature"),
        (_changed(side="custodian"), "bad_signature"),
        (_changed(books="{}"), "bad_signature"),
        (_changed(sig=""), "bad_signature"),
        (_changed(key="other"), "unknown_key"),
        (_changed(link="other"), "wrong_link"),
        (stated(Signer.generate(EXCHANGE_KEY.name), "acme", THEIRS, 42), "bad_signature"),
    ],
)
def test_what_was_changed_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(SettlementError) as refused:
        read(raw, "acme", KEYRING)
    assert refused.value.code == code


@pytest.mark.parametrize("raw", [b"", b"\xff", b"{}", _changed(format="x"), _changed(version=2), _changed(more=1)])
def test_what_is_no_statement_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        read(raw, "acme", KEYRING)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1E+999999", "1" * 100])
def test_an_amount_that_is_none_is_refused_whoever_signed_it(amount: str) -> None:
    strange = msgspec.structs.replace(THEIRS, unreported=(Flow("alice", "BTC", Decimal(amount)),))
    with pytest.raises(DecodeError, match="is no amount"):
        read(stated(EXCHANGE_KEY, "acme", strange, 42), "acme", KEYRING)


def test_a_key_makes_no_statement_of_what_came_after_its_revocation() -> None:
    revoked = Keyring([msgspec.structs.replace(EXCHANGE_KEY.public(), until_seq=6)])
    with pytest.raises(SettlementError) as refused:
        read(stated(EXCHANGE_KEY, "acme", THEIRS, 42), "acme", revoked)
    assert refused.value.code == "revoked_key"
    until = Keyring([msgspec.structs.replace(EXCHANGE_KEY.public(), until_seq=7)])
    assert read(stated(EXCHANGE_KEY, "acme", THEIRS, 42), "acme", until)[0] == THEIRS


def test_a_revoked_key_cannot_pretend_to_be_of_earlier_days() -> None:
    said = msgspec.json.decode(stated(EXCHANGE_KEY, "acme", THEIRS, 42), type=Statement)
    bare = msgspec.structs.replace(said, seq=6, sig="")
    signed = msgspec.structs.replace(bare, sig=EXCHANGE_KEY.sign(msgspec.json.encode(bare)))
    revoked = Keyring([msgspec.structs.replace(EXCHANGE_KEY.public(), until_seq=6)])
    with pytest.raises(SettlementError) as refused:
        read(msgspec.json.encode(signed), "acme", revoked)
    assert refused.value.code == "revoked_key"
