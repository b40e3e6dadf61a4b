"""Which of a market's shards a feed worker serves. Pure.

With a list of workers that all of them see, rendezvous hashing gives each shard to one of them without a word between
them: every worker has a weight for every shard, and the heaviest serves it. When a worker goes, only its own shards
move, each to the worker that was next; when one comes, it takes from each of the others what it is heavier for.
Source: https://en.wikipedia.org/wiki/Rendezvous_hashing
"""

import hashlib
from collections.abc import Collection
from typing import Final

import msgspec

from heliograph.bus import keys
from heliograph.errors import ConfigError

SLICE_FORM: Final = ("I/N with 1 <= I <= N, such as 2/3 for the second of three workers",)


class Slice(msgspec.Struct, frozen=True):
    """A fixed part of every market: that of worker `number` of `count`."""

    number: int
    """From 1 to `count`."""
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def shards(self, wanted: Collection[int]) -> set[int]:
        """Return those of the wanted shards that are this part's."""
        return {shard for shard in wanted if shard % self.count == self.number - 1}


def parse_slice(text: str) -> Slice:
    """Read a fixed part, such as `2/3`.

    Raises:
        ConfigError: it is none, or there are more parts than shards.

    """
    number, slash, count = text.partition("/")
    if not (slash and all(part.isascii() and part.isdigit() and len(part) < 6 for part in (number, count))):
        raise ConfigError(f"not a shard: {text[:40]!r}", SLICE_FORM)
    part = Slice(int(number), int(count))
    if not 1 <= part.number <= part.count:
        raise ConfigError(f"there is no shard {text!r}: shards count from 1 to N", SLICE_FORM)
    if part.count > keys.SHARDS:
        raise ConfigError(f"a market has {keys.SHARDS} shards, so that {part.count} workers cannot all have one")
    return part


def owner(workers: Collection[str], venue: str, market: str, shard: int) -> str | None:
    """Return who of the workers serves a shard; None where there is no worker."""
    if not workers:
        return None
    place = f"{venue}:{market}:{shard}"
    return max(workers, key=lambda worker: (_weight(worker, place), worker))


def share(workers: Collection[str], own: str, venue: str, market: str, wanted: Collection[int]) -> set[int]:
    """Return those of a market's wanted shards that one of the workers serves.

    Args:
        workers: all that are alive.
        own: the worker in question.
        venue: the market's venue.
        market: the market.
        wanted: the shards in which somebody wants an instrument.

    """
    return {shard for shard in wanted if owner(workers, venue, market, shard) == own}


def _weight(worker: str, place: str) -> bytes:
    return hashlib.blake2b(f"{worker} {place}".encode(), digest_size=16).digest()
