"""Reads a primary for the auditor, while the custodian is at work or not.

What a key holds and the number of the journal's newest entry are read in one transaction, and the journal is followed
up to that entry before the two are compared. So nothing has to stand still, and no difference is one of time.

Whoever audits need not have the right to list keys: then what the journal speaks of is compared all the same, and the
audit says that nobody looked for what it does not speak of.
"""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from typing import Any, Final

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.errors import BusError
from heliograph.settlement.audit import Audit, Auditor, End, Item, Seen, Unreadable, Unseen
from heliograph.settlement.chain import Entry

PAGE: Final = 1_000
"""Entries that are read at once."""
CHUNK: Final = 200
"""Keys that are read in one transaction, which holds the server up for less than a millisecond."""
FIELDS: Final = ("n", "at_ns", "prev", "hash", "body")


async def audit_primary(asker: Asker, link: str) -> Audit:
    """Return what an audit of a primary comes to.

    Raises:
        BusError: it is away or refuses.

    """
    auditor = Auditor(link)
    async for _ in walk(asker, auditor):
        pass
    return auditor.result()


async def walk(asker: Asker, auditor: Auditor) -> AsyncIterator[Item]:
    """Yield all that an audit of a primary looks at, each item after the auditor has taken it.

    Args:
        asker: to the primary, or to a replica of it that is read at rest.
        auditor: a new one; it knows from the journal which keys to look at.

    Raises:
        BusError: the server is away or refuses.

    """
    async for entry in _entries(asker, auditor, None):
        yield entry
    looked = {link_keys.journal(auditor.link), link_keys.head(auditor.link)}
    owned = _owned(link_keys.part(auditor.link))
    spoken_of = auditor.keys()
    strange = [key for key in spoken_of if not key.startswith(owned)]
    for key in strange:  # The auditor may not read them, and need not.
        foreign = Unreadable(key, "the journal speaks of a key that is none of its link's")
        auditor.take(foreign)
        yield foreign
    looked.update(strange)
    for chunk in _chunks([key for key in spoken_of if key.startswith(owned)]):
        looked.update(chunk)
        async for item in _look(asker, auditor, chunk):
            yield item
    for pattern in _patterns(auditor.link):
        try:
            async for found in _scan(asker, pattern):
                chunk = [key for key in found if key not in looked]
                looked.update(chunk)
                if chunk:
                    async for item in _look(asker, auditor, chunk):
                        yield item
        except BusError as e:
            if e.code != "NOPERM":
                raise
            unseen = Unseen(pattern, str(e))
            auditor.take(unseen)
            yield unseen
    n, newest = await _head(asker, auditor.link)
    async for entry in _entries(asker, auditor, n):
        yield entry
    end = End(n, newest)
    auditor.take(end)
    yield end


async def _entries(asker: Asker, auditor: Auditor, last: int | None) -> AsyncIterator[Item]:
    """Read the journal on from where the auditor is, up to an entry, or as far as it goes."""
    key = link_keys.journal(auditor.link)
    start = f"({auditor.newest}-0" if auditor.newest else "-"
    end = "+" if last is None else f"{last}-{2**64 - 1}"
    if last is not None and last <= auditor.newest:
        return
    while True:
        page = await asker.ask("XRANGE", key, start, end, "COUNT", PAGE)
        for entry_id, flat in page:
            item = _entry(entry_id.decode(), flat)
            auditor.take(item)
            yield item
        if len(page) < PAGE:
            return
        start = "(" + page[-1][0].decode()


def _entry(entry_id: str, flat: Sequence[bytes]) -> Entry | Unreadable:
    try:
        texts = [part.decode() for part in flat]
        fields = dict(zip(texts[::2], texts[1::2], strict=True))
        n, at_ns, prev, newest, body = (fields[name] for name in FIELDS)
        if len(fields) != len(FIELDS) or entry_id != f"{n}-0":
            raise ValueError(f"it says that it is entry {n} with {', '.join(fields)}")
        return Entry(int(n), int(at_ns), prev, newest, body)
    except (KeyError, ValueError) as e:
        return Unreadable(f"journal entry {entry_id}", f"{type(e).__name__}: {e}")


async def _look(asker: Asker, auditor: Auditor, chunk: Sequence[str]) -> AsyncIterator[Item]:
    """Read keys and the number of the newest entry at one instant, follow the journal to there, and compare."""
    reads = [("HGETALL", key) for key in chunk]
    said = await asker.ask_all([("MULTI",), ("HGET", link_keys.head(auditor.link), "n"), *reads, ("EXEC",)])
    for reply in said:
        if isinstance(reply, BusError):
            raise reply
    replies = said[-1]
    n = _number(replies[0])
    async for entry in _entries(asker, auditor, n):
        yield entry
    for key, flat in zip(chunk, replies[1:], strict=True):
        item: Item
        if isinstance(flat, list):
            texts = [part.decode(errors="replace") for part in flat]
            item = Seen(n, key, dict(zip(texts[::2], texts[1::2], strict=True)))
        else:
            item = Unreadable(key, f"it is no hash: {flat}")
        auditor.take(item)
        yield item


async def _head(asker: Asker, link: str) -> tuple[int, str]:
    n, newest = await asker.ask("HMGET", link_keys.head(link), "n", "hash")
    return _number(n), (newest or b"").decode(errors="replace")


def _number(text: Any) -> int:
    return int(text) if isinstance(text, bytes) and text.isdigit() else 0


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[at : at + CHUNK] for at in range(0, len(keys), CHUNK))


def _owned(part: str) -> tuple[str, ...]:
    """Return how the names begin of all that a custodian writes."""
    return (f"ledger:{part}:", f"link:{part}:", "CI:")


def _patterns(link: str) -> tuple[str, ...]:
    """Return what the names look like of which the journal must know every one."""
    name = link_keys.part(link)
    for special in "\\*?[]":
        name = name.replace(special, "\\" + special)
    return (f"ledger:{name}:*", f"link:{name}:request:*", "CI:*")


async def _scan(asker: Asker, pattern: str) -> AsyncIterator[Collection[str]]:
    cursor = b"0"
    while True:
        cursor, found = await asker.ask("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE)
        yield [key.decode(errors="replace") for key in found]
        if cursor == b"0":
            return
