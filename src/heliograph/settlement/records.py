"""What the custodian keeps on its primary, as the text of hash fields, and what its journal says of each step.

A *record* is a hash that has a `version`: 1 when it is made, and one more at each change. Amounts are plain decimal
text, what has several parts is JSON, and what is None has no field.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import astuple

from heliograph.bus import link_keys
from heliograph.clock import NS_PER_S
from heliograph.errors import SettlementError
from heliograph.model.numbers import parse
from heliograph.model.settlement import amount_text
from heliograph.settlement.ledger import ZERO, Account, Transfer

T = TypeVar("T", bound=msgspec.Struct)
Fields = dict[str, str]
Text = Callable[[Any], str | None]

VERSION: Final = "version"


class Contra(msgspec.Struct, frozen=True):
    """One asset's contra accounts."""

    outside: Decimal = ZERO
    clearing: Decimal = ZERO


class Credit(msgspec.Struct, frozen=True):
    """A user's credit inventory in one asset, as the exchange reads it; the fields are the seeds', but for the last.

    Args:
        user_id: whose.
        asset: in which asset.
        amount: how much.
        timestamp: when it changed last, in seconds.
        last_updated: the same.
        answer_seq: the exchange's last answer that had taken effect then.

    """

    user_id: str
    asset: str
    amount: Decimal
    timestamp: int
    last_updated: int
    answer_seq: int


class Cause(msgspec.Struct, frozen=True, gc=False):
    """Why something changed.

    Args:
        kind: what happened: `order`, `cancel`, `decision`, `deposit`, and so on.
        id: of the request, cycle or movement.
        seq: the message's place in its sequence; 0 if it was no message.
        digest: of the message, in hexadecimal; empty if it was none.

    """

    kind: str
    id: str
    seq: int = 0
    digest: str = ""


class Movement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A transfer in the journal: the fields of `Transfer`, the amount as text."""

    asset: str
    amount: str
    debit: Account
    debit_user: str
    credit: Account
    credit_user: str


class Body(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a journal entry says.

    Args:
        cause: why.
        applied: the exchange's last answer that had taken effect after this step.
        transfers: what moved, in order.
        records: by its key, the fields that each record was made with or that changed, null for one that went. Balances
            are not among them, since they follow from the transfers.

    """

    cause: Cause
    applied: int
    transfers: tuple[Movement, ...] = ()
    records: Mapping[str, Mapping[str, str | None]] = {}


_bodies: Final = msgspec.json.Decoder(Body)
_encoder: Final = msgspec.json.Encoder()


def body_text(
    cause: Cause, applied: int, transfers: Sequence[Transfer], records: Mapping[str, Mapping[str, str | None]]
) -> str:
    """Return an entry's body: the same for the same step, to the byte."""
    moves = tuple(
        Movement(t.asset, amount_text(t.amount), t.debit, t.debit_user, t.credit, t.credit_user) for t in transfers
    )
    return _encoder.encode(Body(cause, applied, moves, records)).decode()


def read_body(text: str) -> Body:
    """Read an entry's body.

    Raises:
        SettlementError: `corrupt`.

    """
    try:
        return _bodies.decode(text)
    except (msgspec.DecodeError, UnicodeError) as e:
        raise SettlementError("corrupt", f"a journal entry's body: {e}") from None


def transfers_of(body: Body) -> list[Transfer]:
    """Return what moved.

    Raises:
        SettlementError: `corrupt`: an amount is none.

    """
    return [
        Transfer(m.asset, _decimal(m.amount), m.debit, m.debit_user, m.credit, m.credit_user) for m in body.transfers
    ]


def fields_of(value: msgspec.Struct) -> Fields:
    """Return a struct as the fields of a hash."""
    names, texts = _shape(type(value))
    pairs = zip(names, texts, astuple(value), strict=True)
    return {name: text for name, write, item in pairs if (text := write(item)) is not None}


def changes_of(old: msgspec.Struct | None, new: msgspec.Struct) -> dict[str, str | None]:
    """Return the fields that differ from those of the content before; None for one that goes."""
    if old is None:
        return dict(fields_of(new))
    assert type(old) is type(new)
    names, texts = _shape(type(new))
    pairs = zip(names, texts, astuple(old), astuple(new), strict=True)
    return {name: write(item) for name, write, was, item in pairs if was is not item and was != item}


def record_of(kind: type[T], fields: Mapping[str, str], key: str = "") -> T:
    """Read a struct from the fields of a hash; fields that it does not know are left alone, none has a default.

    Args:
        kind: which struct.
        fields: the hash.
        key: its name, for the error.

    Raises:
        SettlementError: `corrupt`: a field is missing, or is not what the struct wants.

    """
    plain = _plain(kind)
    if lacking := [name for name, sort in plain.items() if sort and name not in fields]:
        raise SettlementError("corrupt", f"{key or kind.__name__} lacks {', '.join(lacking)}")
    try:
        values: dict[str, Any] = {
            name: _decimal(text) if plain[name] is Decimal else text if plain[name] else msgspec.json.decode(text)
            for name, text in fields.items()
            if name in plain
        }
        values |= {name: None for name in plain if name not in fields}
        return msgspec.convert(values, kind, strict=False)
    except (msgspec.DecodeError, msgspec.ValidationError, SettlementError) as e:
        raise SettlementError("corrupt", f"{key or kind.__name__}: {e}") from None


@cache
def _plain(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return, by field: Decimal for an amount, True for a text or a number, False for what is JSON."""
    scalars = (msgspec.inspect.StrType, msgspec.inspect.IntType, msgspec.inspect.LiteralType)
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    return {
        field.encode_name: Decimal
        if isinstance(field.type, msgspec.inspect.DecimalType)
        else isinstance(field.type, scalars)
        for field in info.fields
    }


@cache
def _shape(kind: type[msgspec.Struct]) -> tuple[tuple[str, ...], tuple[Text, ...]]:
    """Return the names of a struct's fields, and what renders each."""
    plain = _plain(kind)
    return tuple(plain), tuple(amount_text if sort is Decimal else str if sort else _json for sort in plain.values())


def _json(item: Any) -> str | None:
    return None if item is None else _encoder.encode(item).decode()


def _decimal(text: str) -> Decimal:
    try:
        value = parse(text)
    except ValueError:
        raise SettlementError("corrupt", f"not an amount: {text[:60]!r}") from None
    if amount_text(value) != text:
        raise SettlementError("corrupt", f"not an amount in its one spelling: {text[:60]!r}")
    return value


def credit_of(user: str, asset: str, amount: Decimal, answer_seq: int, at_ns: int) -> Credit:
    """Return a credit inventory as it is written at a change."""
    second = at_ns // NS_PER_S
    return Credit(user, asset, amount, second, second, answer_seq)


def owner_of(link: str, key: str) -> tuple[str, ...] | None:
    """Return whose balance a key holds: (user, asset) of a position, (asset,) of contra accounts, None otherwise."""
    prefix = f"ledger:{link_keys.part(link)}:"
    parts = key.removeprefix(prefix).split(":") if key.startswith(prefix) else []
    match parts:
        case ["position", user, asset]:
            return link_keys.unpart(user), link_keys.unpart(asset)
        case ["contra", asset]:
            return (link_keys.unpart(asset),)
    return None
