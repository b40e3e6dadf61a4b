"""Who of the feed workers is alive, and who serves which shard: leases on the bus.

A worker says in every beat that it is alive, and asks for its shards. A shard is given to one worker at a time, until a
time that only the server's own clock decides. Each change of hands has a number, the shard's epoch, so that a worker
can tell whether it has had the shard all the time.

What a lease alone cannot do is stop a worker that sleeps through its end and then finishes a write that it had begun.
That is the publisher's part (`Hold`).
"""

import contextlib
import os
import secrets
import socket
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from heliograph.bus import keys
from heliograph.bus.endpoint import Endpoint, parse_url
from heliograph.bus.routes import Routes
from heliograph.clock import NS_PER_MS, Clock
from heliograph.errors import BusError, ConfigError

USABLE: Final = 2 / 3
"""The part of a lease, counted from when it was asked for, in which its holder writes."""
SKEW: Final = (1 - USABLE) / 2
"""The part of a lease by which our clock may differ from the server's. The ids of entries are times, and a taker's must
be above the loser's: two workers' clocks, wrong in opposite directions, may eat up what is left of a lease."""

REPLICA_MS_MAX: Final = 200
"""How long a cluster's replica may take to hear of a shard that changes hands; longer, and it is taken all the same."""

# The server's own time, so that no two workers need agree on one.
_NOW: Final = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "

_BEAT: Final = (
    _NOW
    + """
for i = 3, #ARGV do redis.call('ZREM', KEYS[1], ARGV[i]) end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""
)
"""Arguments: the worker, how long it counts as alive in ms, and who is known to be dead. Answers who is alive."""

_HOLD: Final = (
    _NOW
    + """
local dead, said = {}, {}
for i = 4, 3 + ARGV[3] do dead[ARGV[i]] = true end
for i = 4 + ARGV[3], #ARGV do
  local record = redis.call('HGET', KEYS[1], ARGV[i])
  local epoch, ends, holder = 0, 0, ''
  if record then
    epoch, ends, holder = string.match(record, '^(%d+) (%d+) (.*)$')
    epoch, ends = tonumber(epoch), tonumber(ends)
  end
  if holder == ARGV[1] or ends <= now or dead[holder] then
    if holder ~= ARGV[1] then epoch = epoch + 1 end
    redis.call('HSET', KEYS[1], ARGV[i], string.format('%d %d %s', epoch, now + ARGV[2], ARGV[1]))
    table.insert(said, {epoch, ARGV[1]})
  else
    table.insert(said, {epoch, holder})
  end
end
return said
"""
)
"""Arguments: the worker, the lease in ms, how many are known to be dead and who, and the shards. Answers each shard's
epoch and holder. A record is the epoch, the end and the holder."""

_RELEASE: Final = """
for i = 2, #ARGV do
  local record = redis.call('HGET', KEYS[1], ARGV[i])
  if record then
    local epoch, holder = string.match(record, '^(%d+) %d+ (.*)$')
    if holder == ARGV[1] then redis.call('HSET', KEYS[1], ARGV[i], epoch .. ' 0 ') end
  end
end
return redis.status_reply('OK')
"""
"""Arguments: the worker, and the shards that it gives back."""


class Identity(msgspec.Struct, frozen=True):
    """Which process a worker is."""

    host: str
    """The machine's name, for people."""
    place: str
    """What tells apart machines, their boots, and containers: within one place a process id means one process."""
    pid: int
    nonce: str

    def __str__(self) -> str:
        return f"{self.host}/{self.place}/{self.pid}/{self.nonce}"

    @classmethod
    def own(cls) -> Self:
        """Return this process's identity."""
        return cls(socket.gethostname().replace("/", "-"), _place(), os.getpid(), secrets.token_hex(4))

    def knows_dead(self, worker: str) -> bool:
        """Tell whether a worker ran where we run, and does so no more; of others nothing is known."""
        parts = worker.split("/")
        if not self.place or worker == str(self) or len(parts) != 4 or parts[1] != self.place or not parts[2].isdigit():
            return False
        try:
            os.kill(int(parts[2]), 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


class Leases:
    """One worker's presence, and its shards; an async context manager that gives all of it back in the end.

    Args:
        url: the server, or a cluster.
        identity: which worker.
        lease_s: how long the worker counts as alive, and holds its shards, after it was last heard of, in seconds.
        clock: the time of day that the entries' ids are taken from.

    """

    def __init__(self, url: str | Endpoint, identity: Identity, *, lease_s: float, clock: Clock) -> None:
        endpoint = parse_url(url) if isinstance(url, str) else url
        self.worker = str(identity)
        self._identity = identity
        self._lease_ms = int(lease_s * 1000)
        self._usable_s = lease_s * USABLE
        self._skew_s_max = lease_s * SKEW
        self._clock = clock
        # A question that is answered late is worth nothing: the lease that it asks for counts from the asking.
        self._routes = Routes(endpoint, name="heliograph-leases", timeout_s=min(5.0, self._usable_s))
        self._held: dict[str, set[int]] = {}
        self._dead: set[str] = set()

    async def __aenter__(self) -> Self:
        await self._routes.__aenter__()
        try:
            await self._check_clock()
        except BaseException:
            await self._routes.__aexit__()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        # What is not given back runs out by itself, and must where something of it may still be on its way.
        if kind is None or not issubclass(kind, BusError):
            with contextlib.suppress(BusError):
                await self._leave()
        await self._routes.__aexit__()

    @property
    def usable_s(self) -> float:
        """How long after it was asked for a lease may be used, in seconds."""
        return self._usable_s

    async def _check_clock(self) -> None:
        asked_ns = self._clock.now_ns()
        seconds, micros = await self._routes.request(keys.FEED_WORKERS, "TIME")
        server_ms = int(seconds) * 1000 + int(micros) // 1000
        skew_s = ((asked_ns + self._clock.now_ns()) // 2 // NS_PER_MS - server_ms) / 1000
        if abs(skew_s) > self._skew_s_max:
            raise ConfigError(
                f"this machine's clock is {skew_s:+.1f} s off the server's: set both (NTP), or a worker that takes over"
                " could not tell its predecessor's entries from its own"
            )

    async def beat(self) -> tuple[str, ...]:
        """Say that we are alive, and return who is, ourselves included, in order.

        Raises:
            BusError: the server is away or refuses; nothing is known then.

        """
        workers = await self._beat(())
        dead = [worker for worker in workers if self._identity.knows_dead(worker)]
        if dead:
            self._dead.update(dead)
            workers = await self._beat(dead)
        return workers

    async def _beat(self, dead: Collection[str]) -> tuple[str, ...]:
        workers = await self._evaluate(keys.FEED_WORKERS, _BEAT, self.worker, self._lease_ms, *dead)
        return tuple(sorted(worker.decode() for worker in workers))

    async def hold(self, key: str, shards: Collection[int]) -> Mapping[int, int]:
        """Ask for shards, those included that are ours already, and return the epochs of those that we have.

        Each of them is ours until `usable_s` after this was called; with the epoch that it had before, it has been ours
        all the time.

        Args:
            key: the market's leases.
            shards: what we want of it.

        Raises:
            BusError: the server is away or refuses; nothing is known then.

        """
        wanted = sorted(shards)
        if not wanted:
            return {}
        said = await self._ask(key, wanted)
        holders = {holder for _, holder in said.values() if holder != self.worker}
        dead = {holder for holder in holders if self._identity.knows_dead(holder)} - self._dead
        if dead:
            self._dead |= dead
            said = await self._ask(key, wanted)
        ours = {shard: epoch for shard, (epoch, holder) in said.items() if holder == self.worker}
        if self._routes.clustered and not self._held.get(key, set()).issuperset(ours):
            # A replica that is promoted in the next moment should know whom it was given to.
            await self._routes.request(key, "WAIT", 1, REPLICA_MS_MAX)
        self._held.setdefault(key, set()).update(ours)
        return ours

    async def _ask(self, key: str, shards: Collection[int]) -> dict[int, tuple[int, str]]:
        reply = await self._evaluate(
            key, _HOLD, self.worker, self._lease_ms, len(self._dead), *sorted(self._dead), *shards
        )
        return {shard: (epoch, holder.decode()) for shard, (epoch, holder) in zip(shards, reply, strict=True)}

    async def release(self, key: str, shards: Collection[int]) -> None:
        """Give shards back, for others to take at once.

        Raises:
            BusError: the server is away or refuses; they run out by themselves.

        """
        if not shards:
            return
        self._held.get(key, set()).difference_update(shards)
        await self._evaluate(key, _RELEASE, self.worker, *sorted(shards))

    async def _leave(self) -> None:
        for key, shards in self._held.items():
            await self.release(key, tuple(shards))
        await self._routes.request(keys.FEED_WORKERS, "ZREM", keys.FEED_WORKERS, self.worker)

    async def _evaluate(self, key: str, script: str, *arguments: str | int) -> Any:
        return await self._routes.request(key, "EVAL", script, 1, key, *arguments)


def _place() -> str:
    """Return what tells this boot and this namespace of processes from all others; empty where that is not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}-{os.readlink('/proc/self/ns/pid').strip('pid:[]')}"
    except OSError:
        return ""
