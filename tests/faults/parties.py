"""A custodian and an exchange, each in a process of its own, which kills itself at a point of its maker's choosing.

Both play one small story, whose every step has an id of its own: credit is granted, given back and refused, trades are
settled, coins leave. A party that is started again finds out by itself what is done and does the rest.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec

from heliograph.bus.endpoint import parse_url
from heliograph.clock import SystemClock
from heliograph.errors import SettlementError
from heliograph.model.settlement import CreditOrder
from heliograph.settlement.custodian import Custodian, CustodianSettings
from heliograph.settlement.exchange import Exchange, ExchangeSettings
from heliograph.settlement.exchange_journal import Choice, Policy
from heliograph.settlement.keyring import PublicKey, Signer
from heliograph.settlement.ledger import Position
from heliograph.settlement.link.exchange import Row
from heliograph.settlement.netting import Change
from heliograph.settlement.passage import Passage
from heliograph.settlement.reconcile import reconciled
from tests.settlement.byhand import eventually

REQUESTS = {
    "increase": CreditOrder("increase", "alice", "BTC", "5", "Bitcoin", "bc1q"),
    "house": CreditOrder("increase", "house", "USDT", "1000", "Ethereum", "0x"),
    "refused": CreditOrder("increase", "alice", "BTC", "0.5", "Bitcoin", "bc1q"),
    "decrease": CreditOrder("decrease", "alice", "BTC", "1.25"),
}
TRADE = (("alice", "BTC", "-0.5"), ("house", "BTC", "0.5"), ("alice", "USDT", "300"), ("house", "USDT", "-300"))
WAIT_S = 30.0


class Place(msgspec.Struct, frozen=True):
    """Where everything of one run is.

    Args:
        link: the link.
        primary: URL.
        replica: URL.
        siblings: URLs.
        directory: of the exchange's journal, and of what a run leaves for its tester.
        custodian: PEM of the key.
        exchange: PEM of the key.

    """

    link: str
    primary: str
    replica: str
    siblings: tuple[str, ...]
    directory: Path
    custodian: bytes
    exchange: bytes

    def keys(self) -> tuple[Signer, Signer]:
        """Return the custodian's and the exchange's."""
        return Signer.from_pem("c", self.custodian), Signer.from_pem("e", self.exchange)

    def custodian_settings(self) -> CustodianSettings:
        """Return the custodian's settings."""
        ours, theirs = self.keys()
        return CustodianSettings(
            link=self.link,
            primary=parse_url(self.primary),
            replica=parse_url(self.replica),
            siblings=tuple(parse_url(url) for url in self.siblings),
            signer=ours,
            keys=(theirs.public(),),
            window_ns=0,
            quiet_s=0.05,
        )

    def exchange_settings(self) -> ExchangeSettings:
        """Return the exchange's settings."""
        ours, theirs = self.keys()
        keys: tuple[PublicKey, ...] = (ours.public(),)
        return ExchangeSettings(
            link=self.link,
            replica=parse_url(self.replica),
            journal=self.directory / "exchange.sqlite",
            signer=theirs,
            keys=keys,
            policy=Policy("house"),
        )


class Fuse:
    """Kills the process when a point is reached for the n-th time, and counts all points.

    Args:
        point: where; empty for nowhere.
        count: at which time, from 1.

    """

    def __init__(self, point: str, count: int) -> None:
        self.reached: Counter[str] = Counter()
        self._point = point
        self._count = count

    def __call__(self, point: str) -> None:
        self.reached[point] += 1
        if point == self._point and self.reached[point] == self._count:
            os.kill(os.getpid(), signal.SIGKILL)


def play_custodian(place: Place, point: str, count: int) -> None:
    """Play the custodian's part to its end, and leave a file with the points that were reached."""
    fuse = Fuse(point, count)
    asyncio.run(_custodian(place, fuse))
    (place.directory / "custodian.points").write_bytes(msgspec.json.encode(fuse.reached))


def play_exchange(place: Place, point: str, count: int) -> None:
    """Play the exchange's part to its end, and leave a file with the points that were reached."""
    fuse = Fuse(point, count)
    asyncio.run(_exchange(place, fuse))
    (place.directory / "exchange.points").write_bytes(msgspec.json.encode(fuse.reached))


async def _custodian(place: Place, fuse: Callable[[str], None]) -> None:
    async def pay(passage: Passage) -> None:
        with (place.directory / "paid").open("a") as paid:  # The outside world, which takes a reference once.
            paid.write(f"{passage.reference}\n")

    async with Custodian(place.custodian_settings(), payer=pay, at=fuse) as custodian:
        await custodian.deposit("alice", "BTC", Decimal(10), "wire-1")
        await custodian.deposit("house", "USDT", Decimal(1000), "wire-2")
        for name in ("increase", "house", "refused"):
            await custodian.request(name, REQUESTS[name])
        for name in ("increase", "house", "refused"):
            await custodian.final(name, WAIT_S)
        await custodian.request("decrease", REQUESTS["decrease"])
        await custodian.final("decrease", WAIT_S)
        await custodian.withdraw("alice", "BTC", Decimal(2), "out-1")
        await eventually(lambda: _left(custodian), WAIT_S)
        await eventually(lambda: _settled(custodian), WAIT_S)

        async def done() -> bool:  # The exchange, which waits for our last acknowledgement.
            return (place.directory / "exchange.points").exists()

        await eventually(done, WAIT_S)


async def _left(custodian: Custodian) -> bool:
    return not (await custodian.position("alice", "BTC")).leaving


async def _settled(custodian: Custodian) -> bool:
    cycle = await custodian.cycle("c1")
    return cycle is not None and cycle.state == "confirmed"


async def decide(row: Row, order: CreditOrder) -> Choice | None:
    """Refuse what is called so, and accept everything else."""
    del order
    return Choice(row.id, "rejected", "policy") if row.id == "refused" else Choice(row.id, "accepted")


async def _exchange(place: Place, fuse: Callable[[str], None]) -> None:
    clock = SystemClock()
    async with Exchange(place.exchange_settings(), decide, at=fuse) as exchange:

        async def accepted() -> bool:
            return {row.id for row in await exchange.requests("accepted")} >= {"increase", "house", "decrease"}

        await eventually(accepted, WAIT_S)
        if not await exchange.cycles():
            now_ns = 1
            changes = [Change(f"t/{user}/{asset}", user, asset, Decimal(net), now_ns) for user, asset, net in TRADE]
            await exchange.trade(changes)
            await exchange.report("c1", clock.now_ns())
        await eventually(lambda: _confirmed(exchange), WAIT_S)
        await eventually(lambda: _forgotten(exchange), WAIT_S)


async def _confirmed(exchange: Exchange) -> bool:
    cycle = await exchange.cycle("c1")
    return cycle is not None and cycle.state == "confirmed"


async def _forgotten(exchange: Exchange) -> bool:
    cursor = (await exchange.books()).cursor
    return cursor.pruned == cursor.last


def flood_custodian(place: Place, count: int) -> None:
    """Ask for credit so many times at once, and wait for every answer."""
    asyncio.run(_flood_custodian(place, count))


def flood_exchange(place: Place, count: int) -> None:
    """Answer so many requests: every seventh is refused."""
    asyncio.run(_flood_exchange(place, count))


async def _flood_custodian(place: Place, count: int) -> None:
    async with Custodian(place.custodian_settings()) as custodian:
        await custodian.deposit("alice", "BTC", Decimal(count), "wire-1")
        order = CreditOrder("increase", "alice", "BTC", "0.25")
        await asyncio.gather(*(custodian.request(f"r{n}", order) for n in range(count)))
        await asyncio.gather(*(custodian.final(f"r{n}", WAIT_S) for n in range(count)))

        async def done() -> bool:
            return (place.directory / "exchange.done").exists()

        await eventually(done, WAIT_S)


async def _flood_exchange(place: Place, count: int) -> None:
    async def sevenths(row: Row, order: CreditOrder) -> Choice:
        del order
        return Choice(row.id, "accepted") if int(row.id[1:]) % 7 else Choice(row.id, "rejected", "policy")

    async with Exchange(place.exchange_settings(), sevenths) as exchange:

        async def forgotten() -> bool:
            cursor = (await exchange.books()).cursor
            return cursor.pruned == cursor.last == count

        await eventually(forgotten, WAIT_S * 2)
    (place.directory / "exchange.done").touch()


async def flooded(place: Place, count: int) -> None:
    """Hold both sides against one another after the flood.

    Raises:
        AssertionError: something was lost, doubled or invented.

    """
    async with (
        Custodian(place.custodian_settings()) as custodian,
        Exchange(place.exchange_settings(), decide) as exchange,
    ):
        assert (await exchange.books()).cursor.last == count
        books = reconciled(await custodian.books(), await exchange.books())
        assert books.agreed, books
        audit = await custodian.audit()
        assert audit.clean, audit.findings[:3]
        requests = await custodian.requests()
        assert {int(request.id[1:]): request.state for request in requests} == {
            n: "posted" if n % 7 else "void" for n in range(count)
        }
        assert sorted(request.answer_seq for request in requests) == list(range(1, count + 1))
        refused = len(range(0, count, 7))
        assert (await custodian.position("alice", "BTC")).granted == Decimal("0.25") * (count - refused)


async def verdict(place: Place) -> None:
    """Hold both sides against one another, and against what the story comes to.

    Raises:
        AssertionError: something was lost, doubled or invented.
        SettlementError: the state cannot even be read.

    """
    async with (
        Custodian(place.custodian_settings()) as custodian,
        Exchange(place.exchange_settings(), decide) as exchange,
    ):
        books = reconciled(await custodian.books(), await exchange.books())
        assert books.agreed, books
        audit = await custodian.audit()
        assert audit.clean, audit.findings[:3]
        assert await custodian.positions() == {
            ("alice", "BTC"): Position(available=Decimal("4.25"), granted=Decimal("3.25")),
            ("alice", "USDT"): Position(available=Decimal(300)),
            ("house", "BTC"): Position(available=Decimal("0.5")),
            ("house", "USDT"): Position(granted=Decimal(700)),
        }
        states = {request.id: request.state for request in await custodian.requests()}
        assert states == {"increase": "posted", "house": "posted", "refused": "void", "decrease": "posted"}
        assert set((place.directory / "paid").read_text().split()) == {"out-1"}
        assert not custodian.halted
        assert not exchange.halted
        if custodian.refused or exchange.refused:
            raise SettlementError("refused", "an honest message was refused")
