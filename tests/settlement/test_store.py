import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.embedded import Server
from heliograph.bus.link import Link, open_link
from heliograph.errors import BusError, OutcomeUnknown, SettlementError
from heliograph.settlement import store as store_module
from heliograph.settlement.batch import Batch
from heliograph.settlement.census import audit_primary
from heliograph.settlement.credit import Request
from heliograph.settlement.ledger import Position
from heliograph.settlement.link.custodian import Cursor
from heliograph.settlement.records import Cause
from heliograph.settlement.store import Store
from tests.settlement.custody import ASSET, USER, answer, deposit, order, record

NOW_NS = 1_700_000_000_000_000_000


@pytest.fixture
async def link(shared_valkey: Server) -> AsyncIterator[Link]:
    link = await open_link(shared_valkey.endpoint, name="test", timeout_s=5)
    await link.request("FLUSHALL")
    yield link
    link.abort("done")


@pytest.fixture
async def store(shared_valkey: Server, link: Link) -> AsyncIterator[Store]:
    async with Store(shared_valkey.url, "acme") as store:
        await store.take_over()
        yield store


async def ready(store: Store, *requests: str) -> Batch:
    await store.read(requests=requests, positions=[(USER, ASSET)], assets=[ASSET])
    return store.batch(NOW_NS)


async def deposited(store: Store, amount: str = "100") -> None:
    batch = await ready(store)
    deposit(batch, amount)
    await store.commit(batch)


async def fields(link: Link, key: str) -> dict[str, str]:
    flat = [item.decode() for item in await link.request("HGETALL", key)]
    return dict(zip(flat[::2], flat[1::2], strict=True))


async def dump(link: Link) -> dict[bytes, Any]:
    return {key: await link.request("DUMP", key) for key in await link.request("KEYS", "*")}


async def test_the_whole_way_of_a_request_on_every_server(matrix_server: Server) -> None:
    async with Store(matrix_server.url, "acme") as store:
        link = await open_link(matrix_server.endpoint, name="test", timeout_s=5)
        await link.request("FLUSHALL")
        writer = await store.take_over()
        assert (writer.epoch, len(writer.owner)) == (1, 32)
        await deposited(store)
        batch = await ready(store, "r", "s")
        record(batch, "r", order("4", expires_ns=7_000_000))
        record(batch, "s", order("5"))
        await store.commit(batch)
        assert await store.open_requests() == [("s", 0), ("r", 7)]
        assert await store.open_requests(due_ns=7_000_000) == [("r", 7)]
        assert await store.open_requests(due_ns=6_000_000) == []
        batch = store.batch(NOW_NS)
        batch.publish(2)
        await store.commit(batch)
        assert [entry[0] for entry in await link.request("XRANGE", link_keys.out("acme"), "-", "+")] == [b"1-0", b"2-0"]
        batch = store.batch(NOW_NS)
        answer(batch, "r", ack=1)
        answer(batch, "s", "rejected", ack=2)
        await store.commit(batch)
        batch = store.batch(NOW_NS)
        batch.acknowledge(2)
        await store.commit(batch)
        assert await link.request("GET", link_keys.acked("acme")) == b"2"
        assert await fields(link, link_keys.credit(USER, ASSET)) == {
            "user_id": USER, "asset": ASSET, "amount": "4", "answer_seq": "1",
            "timestamp": "1700000000", "last_updated": "1700000000",
        }  # fmt: skip
        assert await link.request("HLEN", link_keys.outbox("acme")) == 0
        assert await link.request("XLEN", link_keys.journal("acme")) == 5
        assert await store.open_requests() == []
        cursor, head = store.cursor, store.head
        await store.load()
        assert (store.cursor, store.head, store.acked) == (cursor, head, 2)
        batch = await ready(store, "r", "s")
        assert batch.position(USER, ASSET) == Position(Decimal(96), granted=Decimal(4))
        assert [request.state for name in "rs" if (request := batch.request(name))] == ["posted", "void"]
        link.abort("done")


async def test_batches_in_flight_are_each_decided_upon_the_one_before(store: Store, link: Link) -> None:
    await deposited(store)
    names = [f"r{n}" for n in range(60)]
    await store.read(requests=names)
    sent = []
    for name in names:
        batch = store.batch(NOW_NS)
        record(batch, name, order("1"))
        batch.publish(batch.cursor.recorded)
        sent.append(store.submit(batch))
    batch = store.batch(NOW_NS)
    for name in names:
        answer(batch, name)
    sent.append(store.submit(batch))
    await asyncio.gather(*sent)
    cursor = store.cursor
    assert (cursor.recorded, cursor.published, cursor.applied, cursor.trimmed) == (60, 60, 60, 60)
    await store.load()
    assert store.cursor == cursor
    assert (await ready(store)).position(USER, ASSET) == Position(Decimal(40), granted=Decimal(60))
    assert await link.request("XLEN", link_keys.journal("acme")) == 121


async def test_after_a_refusal_all_memory_is_gone_and_all_on_its_way_fails(store: Store, link: Link) -> None:
    await deposited(store)
    await store.read(requests=["a", "b", "c"])
    await link.request("HSET", link_keys.position("acme", USER, ASSET), "version", "9")
    before = await dump(link)
    sent = []
    for name in "abc":
        batch = store.batch(NOW_NS)
        record(batch, name, order("1"))
        sent.append(store.submit(batch))
    for done in sent:
        with pytest.raises(SettlementError) as caught:
            await done
        assert caught.value.code == "stale"
    assert await dump(link) == before
    assert not store.loaded
    for use in (lambda: store.cursor, lambda: store.head, lambda: store.acked, lambda: store.batch(0)):
        with pytest.raises(SettlementError) as caught:
            use()
        assert caught.value.code == "not_loaded"
    with pytest.raises(SettlementError, match="not_loaded"):
        await store.read(requests=["a"])
    with pytest.raises(SettlementError, match="stale"):
        store.submit(batch)
    await store.load()
    again = await ready(store, "a")
    record(again, "a", order("1"))
    await store.commit(again)
    assert (await fields(link, link_keys.position("acme", USER, ASSET)))["version"] == "10"


Tamper = Callable[[Link], Any]


@pytest.mark.parametrize(
    ("key", "name", "text"),
    [
        (link_keys.cursor("acme"), "recorded", "5"),
        (link_keys.cursor("acme"), "applied", "5"),
        (link_keys.cursor("acme"), "published", "5"),
        (link_keys.cursor("acme"), "trimmed", "5"),
        (link_keys.cursor("acme"), "applied_digest", "ab"),
        (link_keys.head("acme"), "n", "5"),
        (link_keys.head("acme"), "hash", "ab"),
        (link_keys.position("acme", USER, ASSET), "version", "5"),
        (link_keys.request("acme", "r"), "version", "5"),
    ],
)
async def test_whatever_differs_from_what_was_believed_refuses_the_commit(
    store: Store, link: Link, key: str, name: str, text: str
) -> None:
    await deposited(store)
    batch = await ready(store, "r")
    record(batch, "r", order("1"))
    await link.request("HSET", key, name, text)
    before = await dump(link)
    with pytest.raises(SettlementError) as caught:
        await store.commit(batch)
    assert caught.value.code == "stale"
    assert await dump(link) == before


async def test_a_second_writer_ends_the_first(store: Store, link: Link, shared_valkey: Server) -> None:
    await deposited(store)
    batch = await ready(store, "r")
    record(batch, "r", order("1"))
    async with Store(shared_valkey.url, "acme") as other:
        assert (await other.take_over()).epoch == 2
        before = await dump(link)
        with pytest.raises(SettlementError) as caught:
            await store.commit(batch)
        assert caught.value.code == "fenced"
        with pytest.raises(SettlementError) as caught:
            await store.load()
        assert caught.value.code == "fenced"
        assert await dump(link) == before
        # The same epoch with another owner is another writer: a number alone can come again after a fail-over.
        await link.request("HSET", link_keys.writer("acme"), "owner", "ab")
        with pytest.raises(SettlementError) as caught:
            await other.load()
        assert caught.value.code == "fenced"


async def test_of_two_who_take_over_at_once_one_does(link: Link, shared_valkey: Server) -> None:
    for epoch in range(1, 6):
        async with Store(shared_valkey.url, "acme") as one, Store(shared_valkey.url, "acme") as other:
            done = await asyncio.gather(one.take_over(), other.take_over(), return_exceptions=True)
            lost = [result for result in done if isinstance(result, SettlementError)]
            assert {error.code for error in lost} <= {"fenced"}
            assert len(lost) <= 1
            now = await fields(link, link_keys.writer("acme"))
            held = [s for s in (one, other) if s.writer is not None and s.writer.owner == now["owner"]]
            assert len(held) == 1
        assert int(now["epoch"]) >= epoch


async def test_links_do_not_touch_each_other(store: Store, link: Link, shared_valkey: Server) -> None:
    await deposited(store)
    async with Store(shared_valkey.url, "ac") as other:
        await other.take_over()
        await deposited(other, "1")
        assert other.head.n == 1
        assert (await ready(other)).position(USER, ASSET).vault == 1
    assert (await ready(store)).position(USER, ASSET).vault == 100
    batch = await ready(store)
    deposit(batch, "1")
    await store.commit(batch)


async def test_only_the_newest_batch_may_be_sent_and_an_empty_one_costs_nothing(store: Store, link: Link) -> None:
    await store.commit(store.batch(NOW_NS))
    first, second = await ready(store), await ready(store)
    deposit(first, "1")
    deposit(second, "2")
    await store.commit(second)
    with pytest.raises(SettlementError) as caught:
        store.submit(first)
    assert caught.value.code == "stale"
    assert store.loaded, "nothing was sent, and what is believed is right"
    assert await link.request("XLEN", link_keys.journal("acme")) == 1


async def test_what_is_forgotten_is_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await deposited(store)
    batch = await ready(store, "r")
    record(batch, "r", order("1"))
    sent = store.submit(batch)
    monkeypatch.setattr(store_module, "RECORDS_MAX", 0)
    store.tidy()
    again = await ready(store, "r")
    await sent
    assert again.position(USER, ASSET).held == 1, "reading comes after what is on its way"
    with pytest.raises(SettlementError, match="not_read"):
        store.batch(NOW_NS).request("s")
    assert isinstance(again.request("r"), Request)


async def test_reading_waits_for_nothing_that_is_on_its_way(store: Store, shared_valkey: Server) -> None:
    await deposited(store)
    await store.read(requests=[f"r{n}" for n in range(100)])
    sent = []
    for n in range(100):
        batch = store.batch(NOW_NS)
        record(batch, f"r{n}", order("1"))
        sent.append(asyncio.ensure_future(store.submit(batch)))
        if n % 10 == 0:
            await store.read(requests=[f"s{n}"])
            assert store.batch(NOW_NS).request(f"s{n}") is None
    assert not all(answer.done() for answer in sent)
    await asyncio.gather(*sent)
    assert store.loaded


async def test_another_history_than_ours_is_not_read(store: Store, link: Link, shared_valkey: Server) -> None:
    await deposited(store)
    old = store.head.hash
    await deposited(store)
    # A server that was replaced, and that a connection of ours has come back to.
    await link.request("HSET", link_keys.head("acme"), "hash", old)
    with pytest.raises(SettlementError) as caught:
        await store.read(requests=["r"])
    assert caught.value.code == "stale"
    assert not store.loaded


async def test_what_was_read_late_does_not_replace_what_was_decided_meanwhile(store: Store) -> None:
    await deposited(store)

    async def decided() -> None:
        await store.read(requests=["x"])
        batch = store.batch(NOW_NS)
        record(batch, "x", order("1"))
        await store.submit(batch)

    await asyncio.gather(decided(), store.read(requests=["x"]))
    request = store.batch(NOW_NS).request("x")
    assert request is not None
    assert request.state == "held"


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (("HDEL", link_keys.cursor("acme"), "applied"), "corrupt"),
        (("HSET", link_keys.cursor("acme"), "applied", "x"), "corrupt"),
        (("DEL", link_keys.cursor("acme")), "corrupt"),
        (("DEL", link_keys.head("acme")), "corrupt"),
        (("HSET", link_keys.head("acme"), "hash", "ab"), "other_head"),
        (("HSET", link_keys.head("acme"), "n", "3"), "other_head"),
        (("XTRIM", link_keys.journal("acme"), "MAXLEN", "0"), "other_head"),
        (("XADD", link_keys.journal("acme"), "9-0", "n", "9"), "other_head"),
        (("SET", link_keys.acked("acme"), "x"), "corrupt"),
        (("HDEL", link_keys.outbox("acme"), "1"), "corrupt"),
    ],
    ids=lambda damage: " ".join(damage) if isinstance(damage, tuple) else damage,
)
async def test_damage_is_found_when_the_state_is_read(
    store: Store, link: Link, damage: tuple[str, ...], code: str
) -> None:
    await deposited(store)
    batch = await ready(store, "r")
    record(batch, "r", order("1"))
    await store.commit(batch)
    await link.request(*damage)
    for read in (store.load, store.take_over):
        with pytest.raises(SettlementError) as caught:
            await read()
        assert caught.value.code == code
        assert not store.loaded


@pytest.mark.parametrize(
    "damage",
    [
        ("HDEL", link_keys.position("acme", USER, ASSET), "version"),
        ("HSET", link_keys.position("acme", USER, ASSET), "held", "1e3"),
        ("HDEL", link_keys.request("acme", "r"), "state"),
        ("HSET", link_keys.request("acme", "r"), "state", "gone"),
    ],
    ids=" ".join,
)
async def test_a_damaged_record_is_not_believed(store: Store, link: Link, damage: tuple[str, ...]) -> None:
    await deposited(store)
    batch = await ready(store, "r")
    record(batch, "r", order("1"))
    await store.commit(batch)
    await store.load()
    await link.request(*damage)
    with pytest.raises(SettlementError) as caught:
        await ready(store, "r")
    assert caught.value.code == "corrupt"


async def test_a_primary_that_cannot_take_a_commit_is_corrupt(store: Store, link: Link) -> None:
    await deposited(store)
    batch = await ready(store, "r")
    record(batch, "r", order("1"))
    await link.request("SET", link_keys.open_requests("acme"), "x")
    before = await dump(link)
    with pytest.raises(SettlementError) as caught:
        await store.commit(batch)
    assert caught.value.code == "corrupt"
    assert await dump(link) == before


async def test_a_full_primary_is_the_servers_refusal(store: Store, link: Link) -> None:
    await deposited(store)
    batch = await ready(store, "r")
    record(batch, "r", order("1"))
    await link.request("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(BusError, match="raise it or trim") as caught:
            await store.commit(batch)
        assert caught.value.code == "OOM"
    finally:
        await link.request("CONFIG", "SET", "maxmemory", "0")
    await store.load()
    assert (await ready(store, "r")).request("r") is None


async def test_nobody_loads_before_the_take_over(shared_valkey: Server) -> None:
    async with Store(shared_valkey.url, "new") as store:
        with pytest.raises(SettlementError) as caught:
            await store.load()
        assert caught.value.code == "not_taken_over"


async def test_an_unknown_outcome_is_read_from_the_primary(valkey: Server) -> None:
    async with Store(valkey.url, "acme", timeout_s=0.3) as store:
        await store.take_over()
        await deposited(store)
        first, lost = await ready(store, "r"), []
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            record(first, "r", order("1"))
            lost.append(store.submit(first))
            second = store.batch(NOW_NS)
            second.post(Cause("note", "n"))
            lost.append(store.submit(second))
            for done in lost:
                with pytest.raises(OutcomeUnknown):
                    await done
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        assert not store.loaded
        await store.load()
        # It was done, as it happens; what matters is that memory agrees with the primary.
        batch = await ready(store, "r")
        assert store.cursor == Cursor(1, store.cursor.recorded_digest)
        assert batch.position(USER, ASSET).held == 1
        assert store.head.n == 3
        await asyncio.to_thread(valkey.kill)
        batch.publish(1)
        with pytest.raises((BusError, OutcomeUnknown)):  # The end of the connection is noticed or not, so soon.
            await store.commit(batch)
        with pytest.raises(BusError):
            await store.load()
        await valkey.restart()
        await store.load()
        batch = store.batch(NOW_NS)
        batch.publish(1)
        await store.commit(batch)


async def test_a_primary_that_is_killed_under_load_has_all_that_it_told_and_nothing_by_halves(tmp_path: Path) -> None:
    with Server(directory=tmp_path, appendfsync="always") as server:
        async with Store(server.url, "acme") as store:
            await store.take_over()
            await deposited(store, "10000")
            told = unknown = 0
            for round_ in range(6):
                names = [f"{round_}-{n}" for n in range(300)]
                await store.read(requests=names, positions=[(USER, ASSET)])
                sent = []
                for at in range(0, len(names), 6):
                    batch = store.batch(NOW_NS)
                    for name in names[at : at + 6]:
                        record(batch, name, order("1"))
                    batch.publish(batch.cursor.recorded)
                    sent.append((batch.head.n, asyncio.ensure_future(store.submit(batch))))
                await sent[round_ * 5][1]
                os.kill(server.pid, signal.SIGKILL)
                await asyncio.to_thread(server.kill)
                done = await asyncio.gather(*(answer for _, answer in sent), return_exceptions=True)
                told = max([told, *(n for (n, _), result in zip(sent, done, strict=True) if result is None)])
                assert {type(result) for result in done} <= {type(None), OutcomeUnknown}
                unknown += sum(result is not None for result in done)
                await server.restart()
                await store.load()
                assert store.head.n >= told
                assert (store.head.n - 1) % 6 == 0, "no batch is done by halves"
                assert store.cursor.published == store.cursor.recorded == store.head.n - 1
        async with Asker(server.endpoint) as asker:
            found = await audit_primary(asker, "acme")
        assert found.clean, found.findings
        assert found.entries == found.head.n >= told
        assert unknown, "it was under load"
