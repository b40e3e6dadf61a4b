import asyncio
from collections.abc import AsyncIterator

import pytest

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.embedded import Server
from heliograph.bus.endpoint import parse_url
from heliograph.errors import BusError
from heliograph.settlement import census, export
from heliograph.settlement.audit import Auditor, Seen, audit
from heliograph.settlement.census import audit_primary, walk
from heliograph.settlement.chain import Entry
from heliograph.settlement.link.custodian import Cursor
from heliograph.settlement.records import Cause
from heliograph.settlement.store import Store
from tests.settlement.custody import ASSET, USER, answer, deposit, order, record

LINK = "ac*me:1"
POSITION = link_keys.position(LINK, USER, ASSET)


async def fill(server: Server, requests: int) -> None:
    server.ask("FLUSHALL")
    async with Store(server.url, LINK) as store:
        await store.take_over()
        await run(store, 0, requests)


async def run(store: Store, first: int, last: int) -> None:
    """Requests of every outcome, a few in each batch."""
    await store.read(positions=[(USER, ASSET)], assets=[ASSET])
    for at in range(first, last, 10):
        names = [f"r{n}" for n in range(at, at + 10)]
        await store.read(requests=names)
        batch = store.batch(at)
        deposit(batch, "10")
        for name in names:
            record(batch, name, order("1"))
        batch.publish(batch.cursor.recorded)
        for n, name in enumerate(names):
            answer(batch, name, "accepted" if n % 2 else "rejected")
        batch.acknowledge(batch.cursor.applied)
        await store.commit(batch)


@pytest.fixture
async def asker(matrix_server: Server) -> AsyncIterator[Asker]:
    async with Asker(matrix_server.endpoint) as asker:
        yield asker


async def test_a_primary_is_audited_and_what_was_touched_is_told(matrix_server: Server, asker: Asker) -> None:
    await fill(matrix_server, 20)
    found = await audit_primary(asker, LINK)
    assert found.clean, found.findings
    assert (found.entries, found.keys, found.head.n) == (42, 24, 42)
    credit, request = link_keys.credit(USER, ASSET), link_keys.request(LINK, "r3")
    await asker.ask("HSET", credit, "amount", "11")
    await asker.ask("HSET", request, "state", "void")
    await asker.ask("HSET", POSITION, "granted", "11")
    await asker.ask("HSET", link_keys.credit("eve", ASSET), "amount", "1000", "version", "1")
    await asker.ask("HSET", link_keys.request(LINK, "forged"), "state", "posted")
    for other in ("other", "acxme:1", "ac*me"):
        await asker.ask("HSET", link_keys.request(other, "theirs"), "state", "posted")
    await asker.ask("HSET", link_keys.position(LINK, "eve", ASSET), "available", "5")
    await asker.ask("HSET", link_keys.cycle(LINK, "forged"), "state", "closed")
    await asker.ask("DEL", link_keys.request(LINK, "r4"))
    found = await audit_primary(asker, LINK)
    told = {(finding.kind, finding.account, finding.expected, finding.found) for finding in found.findings}
    assert told >= {
        ("differs", f"{credit} amount", "10", "11"),
        ("differs", f"{request} state", "posted", "void"),
        ("differs", f"{POSITION} granted", "10", "11"),
        ("missing", link_keys.request(LINK, "r4"), "", ""),
    }
    assert {(finding.kind, finding.account) for finding in found.findings if finding.kind == "unknown"} == {
        ("unknown", link_keys.credit("eve", ASSET)),
        ("unknown", link_keys.request(LINK, "forged")),
        ("unknown", link_keys.position(LINK, "eve", ASSET)),
        ("unknown", link_keys.cycle(LINK, "forged")),
    }
    assert len(found.findings) == 8


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ([("XDEL", "journal", "7-0")], ("dropped", 7)),
        ([("XDEL", "journal", "42-0")], ("truncated", 42)),
        ([("XADD", "journal", "43-0", "n", "43")], ("corrupt", 43)),
        (
            [("XADD", "journal", "43-0", "n", "44", "at_ns", "1", "prev", "a", "hash", "b", "body", "{}")],
            ("corrupt", 43),
        ),
        ([("HSET", "head", "hash", "ab")], ("other_head", 42)),
        ([("HSET", "head", "n", "41")], ("beyond_head", 42)),
        ([("DEL", "head")], ("beyond_head", 1)),
        ([("DEL", POSITION), ("SET", POSITION, "x")], ("corrupt", 43)),
        ([("DEL", "cursor")], ("corrupt", 42)),
    ],
    ids=str,
)
async def test_damage_of_the_journal_is_told_with_its_place(
    shared_valkey: Server, damage: list[tuple[str, ...]], expected: tuple[str, int]
) -> None:
    names = {
        "journal": link_keys.journal(LINK),
        "head": link_keys.head(LINK),
        "cursor": link_keys.cursor(LINK),
    }
    await fill(shared_valkey, 20)
    async with Asker(shared_valkey.endpoint) as asker:
        for command in damage:
            await asker.ask(*(names.get(word, word) for word in command))
        found = await audit_primary(asker, LINK)
    told = [(finding.kind, finding.n) for finding in found.findings]
    assert expected in told


async def test_an_entry_whose_bytes_were_changed_is_told(shared_valkey: Server) -> None:
    await fill(shared_valkey, 10)
    async with Asker(shared_valkey.endpoint) as asker:
        key = link_keys.journal(LINK)
        entries = await asker.ask("XRANGE", key, "-", "+")
        await asker.ask("DEL", key)
        for n, (entry_id, flat) in enumerate(entries, 1):
            if n == 5:
                flat[flat.index(b"body") + 1] = flat[flat.index(b"body") + 1].replace(b'"1"', b'"2"', 1)
            if n == 6:
                flat[flat.index(b"body") + 1] += b"\xff"
            await asker.ask("XADD", key, entry_id, *flat)
        found = await audit_primary(asker, LINK)
    told = [(finding.kind, finding.n, finding.account) for finding in found.findings]
    assert told[0] == ("changed", 5, "")
    assert ("corrupt", 6, "journal entry 6-0") in told
    assert ("dropped", 6, "") in told


async def test_a_custodian_at_work_is_audited_all_the_same(
    shared_valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "PAGE", 50)
    monkeypatch.setattr(census, "CHUNK", 5)
    await fill(shared_valkey, 100)
    async with Store(shared_valkey.url, LINK) as store, Asker(shared_valkey.endpoint) as asker:
        await store.take_over()
        working = asyncio.ensure_future(run(store, 100, 1500))
        audits = []
        while not working.done():
            audits.append(await audit_primary(asker, LINK))
        await working
        audits.append(await audit_primary(asker, LINK))
    assert [found.findings for found in audits if not found.clean] == []
    assert len({found.head.n for found in audits}) > 1
    assert audits[-1].head.n == 1500 * 2 + 150


async def test_an_export_is_judged_as_the_primary_is(shared_valkey: Server) -> None:
    await fill(shared_valkey, 30)
    async with Asker(shared_valkey.endpoint) as asker:
        await asker.ask("HSET", POSITION, "held", "1")
        auditor = Auditor(LINK)
        lines = [export.opening(LINK)]
        lines += [export.line(item) async for item in walk(asker, auditor)]
    online = auditor.result()
    offline = audit(export.read_opening(lines[0]), export.read(lines[1:]))
    assert online == offline
    assert [(finding.kind, finding.account) for finding in online.findings] == [("differs", f"{POSITION} held")]


async def test_an_empty_primary_has_nothing_to_find_but_its_emptiness(shared_valkey: Server) -> None:
    shared_valkey.ask("FLUSHALL")
    async with Store(shared_valkey.url, LINK) as store, Asker(shared_valkey.endpoint) as asker:
        assert [finding.kind for finding in (await audit_primary(asker, LINK)).findings] == ["corrupt"], "no cursor"
        await store.take_over()
        assert (await audit_primary(asker, LINK)).clean
        batch = store.batch(0)
        batch.post(Cause("note", "n"))
        await store.commit(batch)
        items = [item async for item in walk(asker, Auditor(LINK))]
        assert [type(item) for item in items[:2]] == [Entry, Seen]


async def test_a_user_who_may_not_read_is_told(shared_valkey: Server) -> None:
    await fill(shared_valkey, 10)
    shared_valkey.ask("ACL", "SETUSER", "poor", "reset", "on", ">word", "~*", "+@all", "-hgetall")
    try:
        endpoint = parse_url(shared_valkey.url, username="poor", password="word")
        async with Asker(endpoint) as asker:
            with pytest.raises(BusError) as caught:
                await audit_primary(asker, LINK)
        assert caught.value.code == "NOPERM"
    finally:
        shared_valkey.ask("ACL", "DELUSER", "poor")


async def test_a_user_who_may_not_list_keys_is_told_what_nobody_looked_for(matrix_server: Server) -> None:
    await fill(matrix_server, 10)
    matrix_server.ask("HSET", POSITION, "held", "1")
    matrix_server.ask("HSET", link_keys.credit("eve", ASSET), "amount", "1000")
    matrix_server.ask("ACL", "SETUSER", "narrow", "reset", "on", ">word", "~*", "+@all", "-scan")
    try:
        async with Asker(parse_url(matrix_server.url, username="narrow", password="word")) as narrow:
            auditor = Auditor(LINK)
            lines = [export.opening(LINK), *[export.line(item) async for item in walk(narrow, auditor)]]
    finally:
        matrix_server.ask("ACL", "DELUSER", "narrow")
    found = auditor.result()
    assert [(finding.kind, finding.account) for finding in found.findings] == [("differs", f"{POSITION} held")]
    assert [unseen.place.replace("\\", "") for unseen in found.unseen] == [
        f"ledger:{link_keys.part(LINK)}:*",
        f"link:{link_keys.part(LINK)}:request:*",
        "CI:*",
    ]
    assert all("NOPERM" in unseen.why for unseen in found.unseen)
    assert audit(LINK, export.read(lines[1:])) == found


async def test_a_journal_that_speaks_of_somebody_elses_keys_is_told_and_they_are_not_read(
    shared_valkey: Server,
) -> None:
    await fill(shared_valkey, 10)
    async with Store(shared_valkey.url, LINK) as store, Asker(shared_valkey.endpoint) as asker:
        await store.take_over()
        await store.read(records={"secret": Cursor})
        batch = store.batch(0)
        batch.post(Cause("note", "n"), (), {"secret": Cursor()})
        await store.commit(batch)
        auditor = Auditor(LINK)
        seen = [item.key async for item in walk(asker, auditor) if isinstance(item, Seen)]
    assert "secret" not in seen
    assert [(finding.kind, finding.account) for finding in auditor.result().findings] == [("corrupt", "secret")]
