"""The custodian's word on one user's part of a settlement."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.clock import NS_PER_S
from heliograph.errors import SettlementError
from heliograph.model.settlement import CreditOrder
from heliograph.settlement.confirming import say
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.declared import acquainted
from heliograph.settlement.exchange import Exchange, ExchangeSettings, accept
from heliograph.settlement.ledger import Position
from heliograph.settlement.netting import Change
from tests.settlement.byhand import CUSTODIAN_KEY, EXCHANGE_KEY, eventually, settings

D = Decimal
_numbers = itertools.count()


@asynccontextmanager
async def _reported(pair: Pair, directory: Path) -> AsyncIterator[tuple[Custodian, Exchange]]:
    """Alice and bob sold a BTC each to the house, and the custodian has the report c1, with an hour to say so."""
    link = f"words-{next(_numbers)}"
    exchange_settings = ExchangeSettings(
        link=link,
        replica=parse_url(pair.replica.url),
        journal=directory / "journal.sqlite",
        signer=EXCHANGE_KEY,
        keys=(CUSTODIAN_KEY.public(),),
    )
    async with (
        Custodian(settings(pair, link, window_ns=3600 * NS_PER_S)) as custodian,
        Exchange(exchange_settings, accept) as exchange,
    ):
        await acquainted(custodian, "house", "BTC")
        for user in ("alice", "bob"):
            await custodian.deposit(user, "BTC", D(5), f"wire-{user}")
            await custodian.request(user, CreditOrder("increase", user, "BTC", "5", "Bitcoin", "bc1q"))
            await custodian.final(user, 10)
            sold = Change(f"t/{user}/u", user, "BTC", D(-1), 1)
            await exchange.trade([sold, Change(f"t/{user}/h", "house", "BTC", D(1), 1)])
        await exchange.report("c1")

        async def here() -> bool:
            return await custodian.cycle("c1") is not None

        await eventually(here)
        yield custodian, exchange


async def _say(custodian: Custodian, user: str, *, completed: bool = True) -> None:
    await say(custodian, "c1", user, completed=completed, reason="not mine", without=("house",))


async def _ended(custodian: Custodian) -> None:
    async def ended() -> bool:
        cycle = await custodian.cycle("c1")
        return cycle is not None and cycle.state in ("confirmed", "refused")

    await eventually(ended)


async def test_the_last_word_ends_the_window_and_the_words_decide(shared_pair: Pair, tmp_path: Path) -> None:
    async with _reported(shared_pair, tmp_path) as (custodian, _):
        await _say(custodian, "alice")
        cycle = await custodian.cycle("c1")
        assert cycle is not None
        assert cycle.state in ("proposed", "verified")
        await _say(custodian, "bob")
        await _say(custodian, "alice")
        await _ended(custodian)
        for user in ("alice", "bob"):
            assert await custodian.position(user, "BTC") == Position(granted=D(4))
        assert await custodian.position("house", "BTC") == Position(available=D(2))
        await _say(custodian, "bob")
        assert (await custodian.audit()).clean


async def test_what_is_refused_takes_its_counterparts_with_it(shared_pair: Pair, tmp_path: Path) -> None:
    """The house bought from both in one leg: without bob's coins it cannot be paid, nor alice therefore sell."""
    async with _reported(shared_pair, tmp_path) as (custodian, exchange):
        await _say(custodian, "alice")
        await _say(custodian, "bob", completed=False)
        await _ended(custodian)
        for user in ("alice", "bob"):
            assert await custodian.position(user, "BTC") == Position(granted=D(5))

        async def rolled() -> bool:
            return (await exchange.account("bob", "BTC")).unreported == -1

        await eventually(rolled)
        await _say(custodian, "bob", completed=False)
        assert (await custodian.audit()).clean


async def test_d25_a_word_is_not_taken_back_and_strangers_have_none(shared_pair: Pair, tmp_path: Path) -> None:
    async with _reported(shared_pair, tmp_path) as (custodian, _):
        await _say(custodian, "alice")
        for user, completed, code in (("alice", False, "final"), ("carol", True, "unknown_user")):
            with pytest.raises(SettlementError) as refused:
                await _say(custodian, user, completed=completed)
            assert refused.value.code == code
        with pytest.raises(SettlementError) as refused:
            await say(custodian, "c9", "alice", completed=True, reason="", without=())
        assert refused.value.code == "unknown_cycle"
