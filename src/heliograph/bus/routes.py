"""Requests about single keys, each sent to the node that holds the key.

On one server that is simple. On a cluster the slots' places are asked for once, and again whenever a node says that it
no longer has a slot, or is gone.
"""

import asyncio
import binascii
import random
from collections.abc import Callable, Sequence
from typing import Final, Self

import msgspec

from heliograph.bus import resp
from heliograph.bus.endpoint import Endpoint
from heliograph.bus.link import Link, Reply, open_link
from heliograph.errors import BusError

SLOTS: Final = 16_384
ATTEMPTS_MAX: Final = 5
PAUSE_S: Final = 0.05

ELSEWHERE_CODES: Final = frozenset({"MOVED", "ASK", "TRYAGAIN", "READONLY"})
"""Refusals of a node that does not serve the key, or not now; nothing was done."""
AWAY_CODES: Final = ELSEWHERE_CODES | {"CLUSTERDOWN", "LOADING", "MASTERDOWN"}
"""Refusals that pass by themselves; nothing was done."""


def slot_of(key: str) -> int:
    """Return a key's hash slot.

    Source: https://valkey.io/topics/cluster-spec/ ("Key distribution model", "Hash tags")
    """
    start = key.find("{")
    if start >= 0 and (end := key.find("}", start + 1)) > start + 1:
        key = key[start + 1 : end]
    return binascii.crc_hqx(key.encode(), 0) % SLOTS


def parse_slots(reply: Reply, asked: Endpoint) -> dict[int, Endpoint]:
    """Return the primary of every slot that has one, from the answer to CLUSTER SLOTS.

    Args:
        reply: the answer.
        asked: who gave it; a node that does not know its own address is at the address where it was asked.

    """
    primaries: dict[int, Endpoint] = {}
    for first, last, primary, *_ in reply:
        host = (primary[0] or b"").decode()
        endpoint = msgspec.structs.replace(asked, host=asked.host if host in ("", "?") else host, port=primary[1])
        primaries.update(dict.fromkeys(range(first, last + 1), endpoint))
    return primaries


class Routes:
    """The way to each key's node; an async context manager.

    Args:
        endpoint: the server, or any node of a cluster; which of both it is, it says itself.
        name: how the connections are called in the server's CLIENT LIST.
        timeout_s: how long a connect or a reply may take, in seconds.
        ended: called once a connection is gone.

    """

    def __init__(
        self, endpoint: Endpoint, *, name: str, timeout_s: float = 5.0, ended: Callable[[], None] = lambda: None
    ) -> None:
        self._ended = ended
        self._endpoint = endpoint
        self._name = name
        self._timeout_s = timeout_s
        self._primaries: dict[int, Endpoint] = {}
        self._links: dict[Endpoint, Link] = {}
        self._opening: dict[Endpoint, asyncio.Lock] = {}
        self._silent: set[Endpoint] = set()  # who did not answer when last asked
        self.clustered = False
        """Whether it is a cluster; known once it was asked."""

    async def __aenter__(self) -> Self:
        try:
            await self._learn()
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()

    @property
    def lost(self) -> str | None:
        """Why a connection is gone; None while all are there that were needed so far."""
        return next((link.lost for link in self._links.values() if link.lost is not None), None)

    async def request(self, key: str, *arguments: bytes | str | int) -> Reply:
        """Send one request about a key to the node that holds it, and return the reply.

        Raises:
            BusError: the node refused it, is away, or was gone before the reply; then nobody knows whether it was done.

        """
        return await self.exchange(key, resp.command(*arguments), 1)

    async def exchange(self, key: str, payload: bytes, replies: int) -> Reply:
        """Send requests about one key, and return the last reply.

        Raises:
            BusError: as `request`.

        """
        for attempt in range(ATTEMPTS_MAX):
            link = await self.link(key)
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await link.exchange(payload, replies)
            except TimeoutError:
                link.abort(f"no reply for {self._timeout_s:g} s")
                self._silent.add(link.endpoint)
                self.forget()
                raise BusError(f"{self._endpoint}: no reply for {self._timeout_s:g} s") from None
            except asyncio.CancelledError:
                link.abort("cancelled")  # Else the next request's reply would be behind this one's.
                raise
            except BusError as e:
                if not self.clustered or (link.lost is None and e.code not in ELSEWHERE_CODES):
                    raise
                self.forget()
                if link.lost is not None or attempt == ATTEMPTS_MAX - 1:
                    raise
            await asyncio.sleep(PAUSE_S)
        raise AssertionError("unreachable")

    async def endpoint_of(self, key: str) -> Endpoint:
        """Return the node that holds a key.

        Raises:
            BusError: no node answers, or none has the key's slot.

        """
        if not self._primaries:
            await self._learn()
        if not self.clustered:
            return self._endpoint
        primary = self._primaries.get(slot_of(key))
        if primary is None:
            self.forget()
            raise BusError(f"{self._endpoint}: no node of the cluster has the slot of {key}", "CLUSTERDOWN")
        return primary

    async def link(self, key: str) -> Link:
        """Return the connection to the node that holds a key.

        Raises:
            BusError: no node answers, or none has the key's slot.

        """
        try:
            return await self._open(await self.endpoint_of(key))
        except BusError:
            self.forget()
            raise

    def place(self, key: str) -> Endpoint | None:
        """Return the node that holds a key, as far as it is known without asking."""
        return self._primaries.get(slot_of(key) if self.clustered else 0)

    def forget(self) -> None:
        """Ask for the slots' places again before the next request: they have changed."""
        if self.clustered:
            self._seeds = self._known()
            self._primaries = {}

    async def nodes(self) -> Sequence[Endpoint]:
        """Return every primary, or the one server.

        Raises:
            BusError: no node answers.

        """
        if not self._primaries:
            await self._learn()
        return list(dict.fromkeys(self._primaries.values()))

    _seeds: Sequence[Endpoint] = ()

    def _known(self) -> list[Endpoint]:
        """Return every address at which the cluster may be asked, the given ones last."""
        return list(dict.fromkeys([*self._primaries.values(), *self._seeds, *self._endpoint.all()]))

    async def _learn(self) -> None:
        seeds = self._known()
        random.shuffle(seeds)
        # Who stands still accepts a connection, and costs a time-out each time that it is asked.
        seeds.sort(key=self._silent.__contains__)
        failure: BusError | None = None
        for seed in seeds:
            try:
                link = await self._open(seed)
                self.clustered = link.mode == "cluster"
                if not self.clustered:
                    self._primaries = dict.fromkeys((0,), seed)
                    self._endpoint = seed
                    return
                async with asyncio.timeout(self._timeout_s):
                    slots = parse_slots(await link.request("CLUSTER", "SLOTS"), seed)
            except BusError as e:
                failure = e if failure is None or e.code else failure
                continue
            except TimeoutError:
                link.abort("no reply")
                self._silent.add(seed)
                failure = failure or BusError(f"{seed}: no reply for {self._timeout_s:g} s")
                continue
            if slots:
                self._seeds = self._known()
                self._primaries = slots
                return
            failure = failure or BusError(f"{seed}: the cluster has no slots assigned", "CLUSTERDOWN")
        assert failure is not None
        raise failure

    async def _open(self, endpoint: Endpoint) -> Link:
        async with self._opening.setdefault(endpoint, asyncio.Lock()):
            link = self._links.get(endpoint)
            if link is None or link.lost is not None:
                self._silent.add(endpoint)
                link = await open_link(endpoint, name=self._name, timeout_s=self._timeout_s, ended=self._ended)
                self._links[endpoint] = link
                self._silent.discard(endpoint)
            return link

    def _close(self) -> None:
        for link in self._links.values():
            link.abort("closed by us")
        self._links.clear()
