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
            assert await siblings.cursors() == [None, None], "nothing is there yet"
            await store.take_over()
            await store.read(requests=["r"], positions=[(USER, ASSET)], assets=[ASSET])
            batch = store.batch(1)
            deposit(batch, "2")
            record(batch, "r", order("1"))
            batch.publish(1)
            answer(batch, "r", "rejected")
            await store.commit(batch)
            await pair.linked()
            assert await siblings.cursors() == [store.cursor, store.cursor]
            assert await siblings.requests("r") == [batch.request("r")] * 2
            assert await siblings.requests("s") == [None, None]
            os.kill(pair.siblings[0].pid, signal.SIGSTOP)
            try:
                assert await siblings.cursors() == [None, store.cursor]
            finally:
                os.kill(pair.siblings[0].pid, signal.SIGCONT)
            pair.siblings[1].kill()
            assert await siblings.cursors() == [store.cursor, None]
            await pair.siblings[1].restart()
            await pair.linked()
            assert await siblings.cursors() == [store.cursor, store.cursor]


@pytest.mark.parametrize("text", ["x", "-", ""])
async def test_what_cannot_be_read_is_as_good_as_away(valkey: Server, text: str) -> None:

    async with Store(valkey.url, "acme") as store, Siblings([valkey.endpoint], "acme") as siblings:
        await store.take_over()
        assert await siblings.cursors() == [Cursor()]
        valkey.ask("HSET", link_keys.cursor("acme"), "applied", text)
        valkey.ask("HSET", link_keys.request("acme", "r"), "version", text)
        assert await siblings.cursors() == [None]
        assert await siblings.requests("r") == [None]
        valkey.ask("SET", link_keys.cursor("acme"), "x")
        assert await siblings.cursors() == [None]
