"""A ledger as a file of JSON lines, for an audit anywhere and at any later time.

The first line names the format and the link, the last is the head; between them stand the entries of the journal and
what each key held, in the order in which they were read. A file without its last line was cut off; an audit says so.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from heliograph.errors import DecodeError
from heliograph.settlement.audit import End, Item, Seen, Unreadable, Unseen
from heliograph.settlement.chain import Entry

FORMAT: Final = "heliograph-ledger"
VERSION: Final = 1


class Opening(msgspec.Struct, frozen=True):
    """The first line."""

    format: str
    version: int
    link: str


class _Entry(msgspec.Struct, frozen=True, tag_field="item", tag="entry"):
    n: int
    at_ns: int
    prev: str
    hash: str
    body: str


_openings: Final = msgspec.json.Decoder(Opening)
_lines: Final = msgspec.json.Decoder(_Entry | Seen | End | Unreadable | Unseen)
_encode: Final = msgspec.json.Encoder().encode


def opening(link: str) -> bytes:
    """Return the first line."""
    return _encode(Opening(FORMAT, VERSION, link)) + b"\n"


def line(item: Item) -> bytes:
    """Return one line."""
    if isinstance(item, Entry):
        return _encode(_Entry(item.n, item.at_ns, item.prev, item.hash, item.body)) + b"\n"
    return _encode(item) + b"\n"


def read_opening(first: bytes) -> str:
    """Return which link an export is of.

    Raises:
        DecodeError: it is no export of ours.

    """
    try:
        said = _openings.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise DecodeError(f"line 1 is no opening of a {FORMAT} file: {e}") from e
    if (said.format, said.version) != (FORMAT, VERSION):
        raise DecodeError(f"format {said.format!r} version {said.version}, not {FORMAT!r} version {VERSION}")
    return said.link


def read(lines: Iterable[bytes]) -> Iterator[Item]:
    """Yield the items of the lines after the first; one that cannot be read costs no other."""
    ended = 0
    for number, raw in enumerate(lines, 2):
        if ended:
            yield Unreadable(f"line {number}", f"something follows the end, which is line {ended}")
            return
        try:
            item = _lines.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            yield Unreadable(f"line {number}", str(e))
            continue
        if isinstance(item, _Entry):
            yield Entry(item.n, item.at_ns, item.prev, item.hash, item.body)
        else:
            yield item
            ended = number if isinstance(item, End) else 0
