"""One party's books as a file that the other party can believe: JSON, signed with the key that signs its messages.

The signature covers the file's whole content with an empty `sig`. A key may sign a statement if it may sign the last
message that the statement knows of, so that a revoked key makes no more of them.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import msgspec

from heliograph.errors import DecodeError, SettlementError
from heliograph.model.numbers import DIGITS_MAX
from heliograph.settlement.cycle import Side
from heliograph.settlement.keyring import Keyring, Signer
from heliograph.settlement.reconcile import CustodianBooks, ExchangeBooks

FORMAT: Final = "heliograph-statement"
VERSION: Final = 1

Books = CustodianBooks | ExchangeBooks


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in the file.

    Args:
        format: `FORMAT`.
        version: `VERSION`.
        link: which link.
        side: whose books.
        at_ns: when they were read, by that side's clock.
        seq: the last message that its signer had made then, or 1.
        books: them, as JSON.
        key: the name of the key.
        sig: the signature, in base64.

    """

    format: str
    version: int
    link: str
    side: Side
    at_ns: int
    seq: int
    books: str
    key: str
    sig: str


_statements: Final = msgspec.json.Decoder(Statement)


def stated(signer: Signer, link: str, books: Books, at_ns: int) -> bytes:
    """Return a statement of one's own books.

    Args:
        signer: one's own key.
        link: which link.
        books: as they were read.
        at_ns: when.

    """
    side: Side = "custodian" if isinstance(books, CustodianBooks) else "exchange"
    content = msgspec.json.encode(books).decode()
    bare = Statement(FORMAT, VERSION, link, side, at_ns, _seq(books), content, signer.name, "")
    return msgspec.json.encode(msgspec.structs.replace(bare, sig=signer.sign(msgspec.json.encode(bare)))) + b"\n"


def read(raw: bytes, link: str, keyring: Keyring) -> tuple[Books, int]:
    """Return the other party's books, and when it read them.

    Args:
        raw: the file.
        link: of which link it must be.
        keyring: the other party's keys.

    Raises:
        DecodeError: it is no statement.
        SettlementError: `wrong_link`, `unknown_key`, `revoked_key`, `bad_signature`.

    """
    try:
        said = _statements.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise DecodeError(f"no statement: {e}") from e
    if (said.format, said.version) != (FORMAT, VERSION):
        raise DecodeError(f"format {said.format!r} version {said.version}, not {FORMAT!r} version {VERSION}")
    if said.link != link:
        raise SettlementError("wrong_link", f"a statement of the link {said.link[:60]!r}, not of {link!r}")
    keyring.verify(said.key, said.seq, msgspec.json.encode(msgspec.structs.replace(said, sig="")), said.sig)
    kind: type[Books] = CustodianBooks if said.side == "custodian" else ExchangeBooks
    try:
        books: Books = msgspec.json.decode(said.books, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise DecodeError(f"no statement: {e}") from e
    if said.seq < _seq(books):
        raise SettlementError("revoked_key", f"signed as message {said.seq}, of books that know of {_seq(books)}")
    for amount in _amounts(msgspec.to_builtins(books, builtin_types=(Decimal,))):
        # The decoder takes NaN and numbers of any length, which no book of ours holds.
        exponent = amount.as_tuple().exponent
        if not isinstance(exponent, int) or len(amount.as_tuple().digits) + abs(exponent) > 2 * DIGITS_MAX:
            raise DecodeError(f"no statement: {str(amount)[:60]} is no amount")
    return books, said.at_ns


def _seq(books: Books) -> int:
    return max(1, books.cursor.recorded if isinstance(books, CustodianBooks) else books.cursor.last)


def _amounts(value: Any) -> Iterator[Decimal]:
    if isinstance(value, Decimal):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _amounts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _amounts(item)
