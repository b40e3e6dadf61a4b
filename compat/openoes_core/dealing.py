"""The exchange's ends of its links, running in this process: shared by all objects of the SDK that act for it.

The exchange has one link for each custodian that is introduced on the replica, from then on. What is asked goes to
whoever takes it off `asked`; it stays pending in the journal until somebody decides.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from heliograph.blocking import Bridge
from heliograph.bus.asker import Asker
from heliograph.bus.link import pause_s
from heliograph.bus.reader import Reader
from heliograph.errors import BusError
from heliograph.errors import SettlementError as Refused
from heliograph.model.settlement import CreditOrder
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.exchange import Exchange, ExchangeSettings
from heliograph.settlement.exchange_journal import Choice, Policy
from heliograph.settlement.link.exchange import Row
from heliograph.settlement.trading import Account
from openoes_core.configuration import Configuration
from openoes_core.places import (
    HOUSE,
    REGISTRY,
    Identity,
    Place,
    exchange_keys,
    identity_of,
    journal_path,
    link_key,
    named,
    sdk_errors,
)
from openoes_core.running import Running, Shared

T = TypeVar("T")


class Asked(NamedTuple):
    """A request that waits for its decision."""

    custodian: str
    row: Row
    order: CreditOrder


class Inbox:
    """Requests that wait for a decision, taken by whichever thread comes first."""

    def __init__(self) -> None:
        self._items: deque[Asked] = deque()
        self._change = threading.Condition()

    def put(self, asked: Asked) -> None:
        """Have a request taken."""
        with self._change:
            self._items.append(asked)
            self._change.notify_all()

    def take(self, stopped: Callable[[], bool], timeout_s: float | None) -> Asked | None:
        """Wait for a request; None once it is stopped, or nothing came in time."""
        with self._change:
            self._change.wait_for(lambda: self._items or stopped(), timeout_s)
            return self._items.popleft() if self._items and not stopped() else None

    def wake(self) -> None:
        """Let everybody who waits look whether it is stopped."""
        with self._change:
            self._change.notify_all()


class Dealing(Shared):
    """The exchange's ends of all its links, running.

    Args:
        place: the two servers.
        config: the settings.

    """

    def __init__(self, place: Place, config: Configuration) -> None:
        super().__init__()
        self.place = place
        self.house = str(config.get("settlement.house", HOUSE))
        self.asked = Inbox()
        self._config = config
        self._bridge = Bridge()
        self._links: dict[str, Running[Exchange]] = {}
        self._born: dict[str, str] = {}
        self._known: asyncio.Condition | None = None
        self._watching: asyncio.Task[None] | None = None
        self._arrived: dict[tuple[str, str], asyncio.Event] = {}
        self._claimed: set[tuple[str, str]] = set()
        self._listeners: list[Callable[[str, Row | Cycle], None]] = []
        self._listening = threading.Lock()

    @classmethod
    def of(cls, place: Place, config: Configuration) -> "Dealing":
        """Return the process's one of these servers, begun; `release` it in the end."""
        return cls.held(str(place.replica), lambda: cls(place, config))

    def begin(self) -> None:
        """Look for links, from now on; those that are there already run when this returns.

        Raises:
            OpenOESError: the replica refused, or is away.

        """
        with sdk_errors():
            self._bridge.call(self._begin)

    def end(self) -> None:
        """End, and leave no thread."""
        if self._known is not None:
            self._bridge.call(self._end)
        self._bridge.close()

    @property
    def custodians(self) -> list[str]:
        """The custodians with which there is a link."""
        return list(self._links)

    def call(self, custodian: str, function: Callable[[Exchange], Awaitable[T]], wait_s: float = 10.0) -> T:
        """Call a method of the exchange's end of one link.

        Raises:
            OpenOESError: it refused, or the custodian is unknown even after a while.

        """
        with sdk_errors():
            return self._bridge.call(lambda: self._within(custodian, function, wait_s))

    def account(self, user: str, asset: str) -> dict[str, Account]:
        """Return a user's figures in one asset, by custodian."""
        return {name: self.call(name, lambda link: link.account(user, asset)) for name in self.custodians}

    def row(self, custodian: str, request_id: str) -> Row | None:
        """Return a request, None if it has not come."""
        return self.call(custodian, lambda link: link.request(request_id))

    def decide(self, custodian: str, choice: Choice) -> Row:
        """Decide a request that has come.

        Raises:
            OpenOESError: the decision is not possible.

        """
        return self.call(custodian, lambda link: link.decide(choice))

    def claim(self, custodian: str, request_id: str) -> None:
        """Keep a request, which is to come, from the queue: its decision is its caller's."""
        self._claimed.add((custodian, request_id))

    def unclaim(self, custodian: str, request_id: str) -> None:
        """Keep it no longer."""
        self._claimed.discard((custodian, request_id))

    def arrival(self, custodian: str, request_id: str, timeout_s: float) -> Row:
        """Wait until a request has come, and return it.

        Raises:
            TimeoutError: it has not.

        """

        async def arrived(link: Exchange) -> Row:
            event = self._arrived.setdefault((custodian, request_id), asyncio.Event())
            try:
                if (row := await link.request(request_id)) is not None:
                    return row
                async with asyncio.timeout(timeout_s):
                    await event.wait()
                row = await link.request(request_id)
            except TimeoutError:
                raise Refused("timeout", f"request {request_id} has not come after {timeout_s:g} s") from None
            finally:
                self._arrived.pop((custodian, request_id), None)
            assert row is not None
            return row

        return self.call(custodian, arrived)

    def listen(self, listener: Callable[[str, Row | Cycle], None]) -> None:
        """Be told, by custodian, of decisions and confirmed cycles; take note and return."""
        with self._listening:
            self._listeners.append(listener)

    def unlisten(self, listener: Callable[[str, Row | Cycle], None]) -> None:
        """Be told no more."""
        with self._listening:
            self._listeners.remove(listener)

    async def _within(self, custodian: str, function: Callable[[Exchange], Awaitable[T]], wait_s: float) -> T:
        assert self._known is not None
        try:
            async with asyncio.timeout(wait_s), self._known:
                await self._known.wait_for(lambda: custodian in self._links)
        except TimeoutError:
            raise Refused("unknown_custodian", f"there is no link with {custodian}") from None

        async def asked(link: Exchange) -> T:
            if link.halted:
                raise Refused(link.halted, f"the link with {custodian} is halted: a person must look")
            return await function(link)

        return await self._links[custodian].within(asked)

    async def _begin(self) -> None:
        self._known = asyncio.Condition()
        if (identities := named(self._config)) is not None:
            for identity in identities:
                await self._open(identity)
            return
        async with Asker(self.place.replica, name="openoes-links") as asker:
            entries = await asker.ask("XRANGE", REGISTRY, "-", "+")
            for _, fields in entries:
                await self._add(asker, fields[1].decode())
        after = entries[-1][0].decode() if entries else "0"
        self._watching = asyncio.create_task(self._watch(after))

    async def _end(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        for link in self._links.values():
            await link.close()

    async def _watch(self, after: str) -> None:
        attempt = 0
        while True:
            try:
                async with (
                    Asker(self.place.replica, name="openoes-links") as asker,
                    Reader(self.place.replica, {REGISTRY: after}, name="openoes-links") as reader,
                ):
                    async for batch in reader.batches():
                        for entry in batch:
                            await self._add(asker, entry.data.decode())
            except BusError:
                attempt += 1
                await asyncio.sleep(pause_s(attempt, 2.0))

    async def _add(self, asker: Asker, custodian: str) -> None:
        flat = [item.decode() for item in await asker.ask("HGETALL", link_key(custodian))]
        if not flat:
            return
        await self._open(identity_of(custodian, dict(zip(flat[::2], flat[1::2], strict=True))))

    async def _open(self, identity: Identity) -> None:
        custodian = identity.link
        if self._born.get(custodian) == identity.born:
            return
        if (before := self._links.pop(custodian, None)) is not None:
            # The custodian began anew with other data: what was remembered of the old is another link's.
            await before.close()
        settings = self._settings(identity)

        def made() -> Exchange:
            exchange = Exchange(settings, lambda row, order: self._ask(custodian, row, order))
            exchange.subscribe(lambda item: self._told(custodian, item))
            return exchange

        running = Running(self._bridge, made)
        await running.open()
        assert self._known is not None
        async with self._known:
            self._links[custodian], self._born[custodian] = running, identity.born
            self._known.notify_all()

    def _settings(self, identity: Identity) -> ExchangeSettings:
        signer, theirs = exchange_keys(self._config, identity)
        return ExchangeSettings(
            link=identity.link,
            replica=self.place.replica,
            journal=journal_path(self._config, identity),
            signer=signer,
            keys=(theirs,),
            custodian=identity.link,
            policy=Policy(self.house),
        )

    async def _ask(self, custodian: str, row: Row, order: CreditOrder) -> None:
        place = (custodian, row.id)
        if (event := self._arrived.get(place)) is not None:
            event.set()
        if place in self._claimed:
            self._claimed.discard(place)
        else:
            self.asked.put(Asked(custodian, row, order))

    def _told(self, custodian: str, item: Row | Cycle) -> None:
        with self._listening:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(custodian, item)
