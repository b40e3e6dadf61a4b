"""The custodian's end of a link, running in this process: shared by all objects of the SDK that act for it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import redis

from heliograph.blocking import Bridge
from heliograph.bus import link_keys
from heliograph.clock import NS_PER_S
from heliograph.model.settlement import CreditOrder
from heliograph.settlement.credit import Request
from heliograph.settlement.custodian import Custodian, CustodianSettings
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.declared import acquainted, declared
from heliograph.settlement.ledger import Position
from openoes_core.configuration import Configuration
from openoes_core.places import HOUSE, Place, custodian_keys, introduced
from openoes_core.running import Running, Shared

T = TypeVar("T")
WINDOW_S: Final = 86_400
"""How long a settlement report waits for `confirm_settlement`; after that it settles without."""
QUIET_S: Final = 0.1


class Custody(Shared):
    """One custodian's end of its link, running.

    Args:
        place: the two servers.
        client: a client of the primary.
        custodian: its name, which is the link's.
        config: the settings.

    """

    def __init__(self, place: Place, client: redis.Redis, custodian: str, config: Configuration) -> None:
        super().__init__()
        self.place = place
        self.custodian = custodian
        self._client = client
        self._config = config
        self._bridge = Bridge()
        self._listeners: list[Callable[[Request | Cycle], None]] = []
        self._listening = threading.Lock()
        self._running: Running[Custodian] | None = None
        self._declaring: asyncio.Lock | None = None
        self._known_assets: set[str] = set()
        self.house = str(config.get("settlement.house", HOUSE))
        """The exchange's own account, which takes part in settlements."""

    @classmethod
    def of(cls, place: Place, client: redis.Redis, custodian: str, config: Configuration) -> "Custody":
        """Return the process's one of that custodian, begun; `release` it in the end.

        Raises:
            OpenOESError: it cannot be begun.

        """
        key = (str(place.primary), custodian)
        return cls.held(key, lambda: cls(place, client, custodian, config))

    def begin(self) -> None:
        """Take the writer's place on the primary."""
        identity = introduced(self._client, self.custodian, self._config)
        signer, theirs = custodian_keys(self._config, identity)
        settings = CustodianSettings(
            link=identity.link,
            name=self.custodian,
            primary=self.place.primary,
            replica=self.place.replica,
            signer=signer,
            keys=(theirs,),
            window_ns=int(self._config.get("settlement.window_s", WINDOW_S) * NS_PER_S),
            quiet_s=QUIET_S,
        )

        def made() -> Custodian:
            custodian = Custodian(settings)
            custodian.subscribe(self._told)
            return custodian

        # On one server the other side's classes commit here too, each time as the newest writer.
        self._running = Running(self._bridge, made, lambda _: self.place.one)
        self._running.start()

    def end(self) -> None:
        """End, and leave no thread."""
        running = self._running
        if running is not None:
            self._running = None
            self._bridge.call(running.close)
        self._bridge.close()

    def listen(self, listener: Callable[[Request | Cycle], None]) -> None:
        """Be told of what answers changed; in the loop's own thread, so take note and return."""
        with self._listening:
            self._listeners.append(listener)

    def unlisten(self, listener: Callable[[Request | Cycle], None]) -> None:
        """Be told no more."""
        with self._listening:
            self._listeners.remove(listener)

    def call(self, function: Callable[[Custodian], Awaitable[T]]) -> T:
        """Call a method of the custodian, which is safe to be called twice.

        Raises:
            OpenOESError: it refused.

        """
        assert self._running is not None
        return self._running.call(function)

    def request(self, request_id: str, order: CreditOrder, *, arrived: bool) -> Request:
        """Record a request, whose answer comes later.

        Args:
            request_id: for ever this order.
            order: what to ask.
            arrived: whether what the vault lacks of an increase has come, at the order's own address.

        Raises:
            OpenOESError: it was refused.

        """

        async def ask(custodian: Custodian) -> Request:
            if order.asset not in self._known_assets:
                await acquainted(custodian, self.house, order.asset)
                self._known_assets.add(order.asset)
            if not (arrived and order.kind == "increase"):
                return await custodian.request(request_id, order)
            if self._declaring is None:
                self._declaring = asyncio.Lock()
            async with self._declaring:
                await declared(custodian, request_id, order)
                return await custodian.request(request_id, order)

        return self.call(ask)

    def final(self, request_id: str, timeout_s: float) -> Request:
        """Wait until a request is decided, and return it.

        Raises:
            TimeoutError: it is not; `SettlementError`: there is none.

        """
        return self.call(lambda custodian: custodian.final(request_id, timeout_s))

    def position(self, user: str, asset: str) -> Position:
        """Return a user's accounts in one asset."""
        return self.call(lambda custodian: custodian.position(user, asset))

    def told_of(self, request_id: str) -> bool:
        """Tell whether the primary has a request of this id, without taking a turn."""
        return bool(self._client.exists(link_keys.request(self.custodian, request_id)))

    def _told(self, item: Request | Cycle) -> None:
        with self._listening:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(item)
