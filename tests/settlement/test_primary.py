"""The custodian's books as a reader finds them on the primary, with and without the right to list keys."""

from collections.abc import AsyncIterator
from decimal import Decimal

import msgspec
import pytest

from heliograph.bus.asker import Asker
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.errors import BusError, SettlementError
from heliograph.model.settlement import CreditOrder
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.freeze import Freeze
from heliograph.settlement.primary import Primary
from tests.settlement.byhand import FIVE, TEN, settings

LINK = "read*[me]"
STRANGE = "al:ice%*"
READER = ("reader", "on", ">reader", "~*", "+hgetall", "+hget", "+hmget", "+xrange", "+multi", "+exec", "+hello")


@pytest.fixture
async def custodian(shared_pair: Pair) -> AsyncIterator[Custodian]:
    shared_pair.primary.ask("FLUSHALL")
    async with Custodian(settings(shared_pair, LINK)) as custodian:
        await custodian.deposit("alice", "BTC", TEN, "wire-1")
        await custodian.deposit(STRANGE, "USD:T", Decimal("0.5"), "wire-2")
        await custodian.request("r1", FIVE)
        await custodian.request("r2", CreditOrder("increase", "alice", "BTC", "1"))
        yield custodian


async def test_a_reader_finds_what_the_custodian_knows(shared_pair: Pair, custodian: Custodian) -> None:
    freeze = Freeze("party", "all", "court", "officer", "why", 1, user="alice")
    await custodian.freeze(freeze)
    # What the pattern would find if the name's own characters meant something in it.
    shared_pair.primary.ask("HSET", "ledger:readXm:position:eve:BTC", "available", "1")
    async with Asker(parse_url(shared_pair.primary.url)) as asker:
        primary = Primary(asker, LINK)
        assert set(await primary.positions()) == {("alice", "BTC"), (STRANGE, "USD:T")}
        assert (await primary.positions())[STRANGE, "USD:T"].available == Decimal("0.5")
        assert [request.id for request in await primary.requests()] == ["r1", "r2"]
        assert (await primary.freezes()).orders == (freeze,)
        books = await primary.books()
        assert books == await custodian.books()
        assert len(books.holdings) == 2
        assert [request.id for request in books.requests] == ["r1", "r2"]
        assert (books.cursor.recorded, books.cursor.applied) == (2, 0)


async def test_who_may_not_list_keys_finds_them_by_the_journal(shared_pair: Pair, custodian: Custodian) -> None:
    shared_pair.primary.ask("ACL", "SETUSER", *READER)
    reader = msgspec.structs.replace(parse_url(shared_pair.primary.url), username="reader", password="reader")
    async with Asker(reader) as asker:
        with pytest.raises(BusError, match="NOPERM"):
            await asker.ask("SCAN", 0)
        primary = Primary(asker, LINK)
        assert await primary.positions() == await custodian.positions()
        assert [request.id for request in await primary.requests()] == ["r1", "r2"]


async def test_a_link_that_is_not_there_and_a_record_that_is_none_are_told(shared_pair: Pair) -> None:
    async with Asker(parse_url(shared_pair.primary.url)) as asker:
        with pytest.raises(SettlementError) as unknown:
            await Primary(asker, "nothing").books()
        assert unknown.value.code == "unknown_link"
        await asker.ask("HSET", "ledger:odd:position:eve:BTC", "available", "1e3")
        with pytest.raises(SettlementError) as corrupt:
            await Primary(asker, "odd").positions()
        assert corrupt.value.code == "corrupt"
        await asker.ask("SET", "ledger:odder:position:eve:BTC", "1")
        with pytest.raises(BusError, match="WRONGTYPE"):
            await Primary(asker, "odder").positions()
