import os
import signal

import pytest

from heliograph.bus import link_keys
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_pair import Pair
from heliograph.settlement.link.custodian import Cursor
from heliograph.settlement.siblings import Siblings
from heliograph.settlement.store import Store
from tests.settlement.custody import ASSET, USER, answer, deposit, order, record


async def test_each_sibling_tells_what_it_has_and_one_that_is_away_holds_back() -> None:
    async with Pair(siblings=2) as pair:
        endpoints = [server.endpoint for server in pair.siblings]
        async with Store(pair.primary.url, "acme") as store, Siblings(endpoints, "acme", timeout_s=0.3) as siblings:
            assert await siblings.cursors(store.writer) == [None, None], "nothing is there yet"
            await store.take_over()
            await store.read(requests=["r"], positions=[(USER, ASSET)], assets=[ASSET])
            batch = store.batch(1)
            deposit(batch, "2")
            record(batch, "r", order("1"))
            batch.publish(1)
            answer(batch, "r", "rejected")
            await store.commit(batch)
            await pair.linked()
            assert await siblings.cursors(store.writer) == [store.cursor, store.cursor]
            assert await siblings.requests("r", store.writer) == [batch.request("r")] * 2
            assert await siblings.requests("s", store.writer) == [None, None]
            os.kill(pair.siblings[0].pid, signal.SIGSTOP)
            try:
                assert await siblings.cursors(store.writer) == [None, store.cursor]
            finally:
                os.kill(pair.siblings[0].pid, signal.SIGCONT)
            pair.siblings[1].kill()
            assert await siblings.cursors(store.writer) == [store.cursor, None]
            await pair.siblings[1].restart()
            await pair.linked()
            assert await siblings.cursors(store.writer) == [store.cursor, store.cursor]


async def test_one_that_was_promoted_while_the_old_primary_runs_on_proves_nothing() -> None:
    """It has a message of its own under the same number, which is not the one that is asked for."""
    async with Pair(siblings=1) as pair:
        (promoted,) = pair.siblings
        async with Store(pair.primary.url, "acme") as old, Siblings([promoted.endpoint], "acme") as siblings:
            await old.take_over()
            await pair.linked()
            promoted.ask("REPLICAOF", "NO", "ONE")
            async with Store(promoted.url, "acme") as new:
                await new.take_over()
                for store, request_id in ((old, "r"), (new, "s")):
                    await store.read(requests=[request_id], positions=[(USER, ASSET)], assets=[ASSET])
                    batch = store.batch(1)
                    deposit(batch, "2")
                    record(batch, request_id, order("1"))
                    await store.commit(batch)
                assert new.cursor.recorded == old.cursor.recorded == 1
                assert await siblings.cursors(new.writer) == [new.cursor]
                assert await siblings.heads(new.writer) == [new.head.n]
                assert await siblings.cursors(old.writer) == await siblings.heads(old.writer) == [None]
                assert await siblings.requests("s", old.writer) == [None]


@pytest.mark.parametrize("text", ["x", "-", ""])
async def test_what_cannot_be_read_is_as_good_as_away(valkey: Server, text: str) -> None:

    async with Store(valkey.url, "acme") as store, Siblings([valkey.endpoint], "acme") as siblings:
        await store.take_over()
        assert await siblings.cursors(store.writer) == [Cursor()]
        valkey.ask("HSET", link_keys.cursor("acme"), "applied", text)
        valkey.ask("HSET", link_keys.request("acme", "r"), "version", text)
        assert await siblings.cursors(store.writer) == [None]
        assert await siblings.requests("r", store.writer) == [None]
        valkey.ask("SET", link_keys.cursor("acme"), "x")
        assert await siblings.cursors(store.writer) == [None]
