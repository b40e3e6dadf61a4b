"""What the exchange says, as the custodian reads it off the mailbox: verified, in turn, and nothing else.

A reading position saves work and proves nothing: after a wipe the same ids may come again, or lower ones. So the keys'
newest ids are looked at whenever nothing came for a while, a key that went back is read whole, and all of them are read
whole at every reconnect and every now and then.
"""

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import Callable, Collection
from itertools import islice
from typing import Final

import msgspec
import structlog

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.endpoint import Endpoint
from heliograph.bus.ids import parse_id
from heliograph.bus.link import pause_s
from heliograph.bus.reader import Reader
from heliograph.errors import BusError, SettlementError
from heliograph.settlement import mailbox
from heliograph.settlement.envelope import Opened, digest, opened
from heliograph.settlement.keyring import Keyring
from heliograph.settlement.link.pace import WINDOW

AHEAD_MAX: Final = 2 * WINDOW
"""How far beyond the next answer one is kept. The exchange has no more than its window on the way."""
JUNK_MAX: Final = 1_024
"""Messages that wait for quarantine; beyond, they are only counted."""
JUNK_BYTES_MAX: Final = 4_096
"""What is kept of such a message: the primary, which it is kept on, has better use for its memory."""
JUNK_REMEMBERED_MAX: Final = 8 * mailbox.SCANNED_MAX
"""Digests of what was not accepted, so that reading the mailbox again costs no signature and tells nothing again."""
SLICE: Final = 64
"""Messages between which others have their turn: a signature takes a tenth of a millisecond to check."""
WHOLE_S: Final = 15.0
"""The mailbox is read whole at least so often, in seconds."""

_log = structlog.get_logger(__name__)


class Junk(msgspec.Struct, frozen=True):
    """A message that was not accepted.

    Args:
        raw: its bytes, or the first of them.
        code: why not.
        reason: the same in words.
        size: how many bytes there were.

    """

    raw: bytes
    code: str
    reason: str
    size: int


class _Peek(msgspec.Struct, frozen=True):
    seq: int


_peek: Final = msgspec.json.Decoder(_Peek)


class Answers:
    """The custodian's end of the mailbox; `run` it in a task group.

    Args:
        replica: the exchange's replica, as a user that may read the mailbox.
        link: which custodian and exchange.
        keyring: the exchange's keys.
        arrived: called when there is something to do.
        quiet_s: after how long without news to look whether a key went back, in seconds.

    """

    def __init__(
        self, replica: Endpoint, link: str, keyring: Keyring, arrived: Callable[[], None], *, quiet_s: float = 0.5
    ) -> None:
        self._replica = replica
        self._link = link
        self._keyring = keyring
        self._arrived = arrived
        self._quiet_s = quiet_s
        self._keys = link_keys.ring(link)
        self._waiting: dict[int, Opened] = {}
        self._known_junk: dict[bytes, None] = {}
        self._applied = 0
        self._again = asyncio.Event()
        self.junk: deque[Junk] = deque()
        """What goes to quarantine next."""
        self.refused: Counter[str] = Counter()
        """How many messages were not accepted, by their code."""
        self.forked = 0
        """The answer of which the exchange has signed two; 0 as long as it keeps its word."""
        self.scans = 0
        """How often the mailbox was read whole."""

    @property
    def waiting(self) -> int:
        """How many answers are here and have not taken effect."""
        return len(self._waiting)

    def after(self, applied: int, count: int) -> list[Opened]:
        """Return the answers that follow `applied` without a hole, `count` of them at most."""
        found: list[Opened] = []
        while len(found) < count and (message := self._waiting.get(applied + 1 + len(found))) is not None:
            found.append(message)
        return found

    def applied(self, seq: int) -> None:
        """Forget all up to `seq`, which have taken effect."""
        for done in range(self._applied + 1, seq + 1):
            self._waiting.pop(done, None)
        self._applied = max(self._applied, seq)

    def drop(self, seq: int) -> None:
        """Forget an answer that cannot be the one meant; the exchange sends it again."""
        self._waiting.pop(seq, None)

    def rewind(self, applied: int) -> None:
        """Begin after `applied`, which is what the primary says: another primary may know of less than the one before.

        The mailbox is read whole, since what was forgotten here has gone by already.
        """
        if applied < self._applied:
            self._again.set()
        self._applied = applied
        for done in [seq for seq in self._waiting if seq <= applied]:
            del self._waiting[done]

    def take(self, raws: Collection[bytes]) -> None:
        """Take messages as they came off the mailbox, in any order, any number of times."""
        before = len(self._waiting), self.forked
        for raw in raws:
            self._take(raw)
        if (len(self._waiting), self.forked) != before:
            self._arrived()

    async def _take_all(self, raws: Collection[bytes]) -> None:
        """Do as `take` does, and let others have their turns in between."""
        rest = iter(raws)
        while part := list(islice(rest, SLICE)):
            self.take(part)
            await asyncio.sleep(0)

    def _take(self, raw: bytes) -> None:
        try:
            # Most of what a scan reads is old, and a signature takes longer to check than all else.
            seq = _peek.decode(raw).seq
        except (msgspec.DecodeError, RecursionError):
            seq = None
        if seq is not None and seq <= self._applied:
            return
        if seq is not None and seq > self._applied + AHEAD_MAX:
            # It may be right in its time, and then it comes again.
            self.refused["far_ahead"] += 1
            return
        known = None if seq is None else self._waiting.get(seq)
        if known is not None and known.digest == digest(raw):
            return
        key = hashlib.sha256(raw).digest()[:16]
        if key in self._known_junk:
            return
        try:
            message = opened(raw, self._link, "answer", self._keyring)
        except SettlementError as e:
            self._refuse(raw, key, e)
            return
        if known is not None:
            # Whoever signs two answers of one number runs on two journals. Neither may count.
            self.forked = self.forked or message.envelope.seq
        else:
            self._waiting[message.envelope.seq] = message

    def _refuse(self, raw: bytes, key: bytes, error: SettlementError) -> None:
        if len(self._known_junk) >= JUNK_REMEMBERED_MAX:
            del self._known_junk[next(iter(self._known_junk))]
        self._known_junk[key] = None
        self.refused[error.code] += 1
        if (count := self.refused[error.code]).bit_count() == 1:
            # A flood of junk is not to become a flood of lines: the first, the second, the fourth, and so on.
            _log.warning("answer refused", link=self._link, code=error.code, reason=str(error), count=count)
        if len(self.junk) < JUNK_MAX:
            self.junk.append(Junk(raw[:JUNK_BYTES_MAX], error.code, str(error), len(raw)))

    async def run(self) -> None:
        """Read the mailbox for ever."""
        attempt = 0
        while True:
            try:
                await self._follow()
                attempt = 0
            except BusError as e:
                attempt += 1
                _log.warning("replica away", link=self._link, error=str(e), attempt=attempt)
                await asyncio.sleep(pause_s(attempt, 2.0))

    async def _follow(self) -> None:
        """Read everything and then what comes, until a key went back: then a reading position means nothing."""
        name = f"heliograph-answers:{self._link}"
        async with (
            Asker(self._replica, name=name) as asker,
            Reader(
                self._replica,
                dict.fromkeys(self._keys, "0"),
                name=name,
                block_s=1.0,
                count_max=mailbox.PAGE,
                tells_gaps=False,
            ) as reader,
        ):
            self.scans += 1
            news = asyncio.Event()
            tail = asyncio.create_task(self._tail(reader, news))
            try:
                while not await self._went_back(asker, reader, tail, news):
                    pass
            finally:
                tail.cancel()
                await asyncio.wait({tail})

    async def _tail(self, reader: Reader, news: asyncio.Event) -> None:
        async for batch in reader.batches():
            news.set()
            await self._take_all([entry.data for entry in batch])

    async def _went_back(self, asker: Asker, reader: Reader, tail: "asyncio.Task[None]", news: asyncio.Event) -> bool:
        """Wait until nothing has come for a while, and look whether what is there is behind what was read."""
        loop = asyncio.get_running_loop()
        whole_at_s, reconnects = loop.time() + WHOLE_S, reader.reconnects
        while loop.time() < whole_at_s and reader.reconnects == reconnects and not self._again.is_set():
            news.clear()
            await asyncio.wait({tail}, timeout=self._quiet_s)
            if tail.done():
                tail.result()
            if news.is_set():
                continue
            newest = await mailbox.last_ids(asker, self._keys)
            positions = reader.positions
            if any(parse_id(last) < parse_id(positions[key]) for key, last in newest.items()):
                return True
        self.scans += 1
        self._again.clear()
        async for page in mailbox.scan(asker, self._keys):
            await self._take_all(page)
        return False
