"""The custodian's durable state: read from the primary, kept in memory by its one writer, written in fenced commits.

::

    async with Store(url, "acme") as store:
        await store.take_over()
        await store.read(requests=["r-1"], positions=[("alice", "BTC")])
        batch = store.batch(clock.now_ns())
        batch.record("r-1", order, digest, seal)
        await store.submit(batch)

Several batches may be in flight, each decided upon the one before. After a refusal, a lost connection or an unknown
outcome all memory is gone, every batch on its way fails, and `load` reads the primary again.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any, Final, Self, TypeVar

import msgspec

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.commit import Absent, Commit, Expectation, FieldsAre, PutFields, Refusal, Write
from heliograph.bus.committer import Committer
from heliograph.bus.endpoint import Endpoint, refusal
from heliograph.errors import BusError, HeliographError, SettlementError
from heliograph.settlement.batch import NOTHING, Batch, Copy, Held
from heliograph.settlement.chain import GENESIS, Head
from heliograph.settlement.credit import Request
from heliograph.settlement.ledger import Position
from heliograph.settlement.link import custodian
from heliograph.settlement.link.custodian import Cursor, Writer
from heliograph.settlement.records import VERSION, Contra, fields_of, record_of

T = TypeVar("T", bound=msgspec.Struct)

RECORDS_MAX: Final = 100_000
"""Records that are kept in memory; what is forgotten is read again when it is asked for."""
_PAGE: Final = 500


class Store:
    """One link's state on the primary; an async context manager, for one task at a time.

    Args:
        url: the primary.
        link: which custodian and exchange.
        timeout_s: how long the server may take for an answer, in seconds.

    """

    def __init__(self, url: str | Endpoint, link: str, *, timeout_s: float = 5.0) -> None:
        self.link = link
        self.writer: Writer | None = None
        """Who we are, since the take-over."""
        self._committer = Committer(
            url, probe=link_keys.probe(link), name=f"heliograph-custodian:{link}", timeout_s=timeout_s
        )
        # Questions have a connection of their own: on the other they would wait for every commit on its way.
        self._asker = Asker(
            self._committer.endpoint,
            name=f"heliograph-custodian-reads:{link}",
            connect_timeout_s=timeout_s,
            reply_timeout_s=timeout_s,
        )
        self._copy: Copy | None = None
        self._elsewhere = False
        self._renewed: Writer | None = None

    async def __aenter__(self) -> Self:
        await self._committer.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._copy = None
        self._asker.drop("closed by us")
        self._committer.close()

    @property
    def loaded(self) -> bool:
        """Whether there is a copy to decide from, and a connection to commit on; if not, `load`."""
        return self._copy is not None and self._committer.connected

    @property
    def cursor(self) -> Cursor:
        """How far the custodian is, all batches on their way included.

        Raises:
            SettlementError: `not_loaded`.

        """
        return self._loaded().cursor

    @property
    def acked(self) -> int:
        """The last answer that the exchange was told to forget.

        Raises:
            SettlementError: `not_loaded`.

        """
        return self._loaded().acked

    @property
    def head(self) -> Head:
        """The journal's newest entry, all batches on their way included.

        Raises:
            SettlementError: `not_loaded`.

        """
        return self._loaded().head

    async def take_over(self) -> Writer:
        """Become the one who writes, and read what there is (rule 8 of the link).

        Raises:
            SettlementError: `fenced`: somebody else took over at the same moment; `corrupt`, `other_head`.
            OutcomeUnknown: the answer did not come: take over again.
            BusError: the primary is away or refuses.

        """
        self._copy = None
        if not self._committer.connected:
            await self._committer.open()
        names = [link_keys.writer(self.link), link_keys.cursor(self.link), link_keys.head(self.link)]
        writer, cursor, head = [_fields(r) for r in await self._committer.ask(*(("HGETALL", name) for name in names))]
        found = record_of(Writer, writer, names[0]) if writer else None
        mine = custodian.take_over(found, secrets.token_hex(16))
        if bool(cursor) != bool(head):
            raise SettlementError("corrupt", f"link {self.link}: of cursor and head only one is there: audit")
        expectations: list[Expectation] = [FieldsAre(names[0], writer) if writer else Absent(names[0])]
        writes: list[Write] = [PutFields(names[0], fields_of(mine))]
        for name, there, zero in ((names[1], cursor, Cursor()), (names[2], head, GENESIS)):
            if not there:
                expectations.append(Absent(name))
                writes.append(PutFields(name, fields_of(zero)))
        if not head:
            expectations.append(Absent(link_keys.journal(self.link)))
        refused = await self._committer.commit(Commit(expectations, writes))
        if refused is not None:
            raise self._refused(refused)
        self.writer, self._renewed, self._elsewhere = mine, None, False
        await self.load()
        return mine

    async def load(self) -> None:
        """Drop all memory and read the primary, connecting again if need be.

        Raises:
            SettlementError: `fenced`: somebody else took over, so this process must end; `not_taken_over`: nobody of
                this process ever did; `corrupt`; `other_head`: the journal's newest entry is not the one that its head
                means: freeze the link and audit.
            BusError: the primary is away or refuses.

        """
        self._copy = None
        self._asker.drop("the state is read anew")
        if self.writer is None:
            raise SettlementError("not_taken_over", f"link {self.link}: take over first")
        if not self._committer.connected:
            await self._committer.open()
            self._elsewhere = True
        link = self.link
        names = [link_keys.writer(link), link_keys.cursor(link), link_keys.head(link)]
        writer, cursor, head, acked, newest = await self._committer.ask(
            *(("HGETALL", name) for name in names),
            ("GET", link_keys.acked(link)),
            ("XREVRANGE", link_keys.journal(link), "+", "-", "COUNT", 1),
        )
        mine = await self._kept(record_of(Writer, _fields(writer), names[0]) if writer else None)
        copy = Copy(
            link,
            mine,
            record_of(Cursor, _fields(cursor), names[1]),
            record_of(Head, _fields(head), names[2]),
            _count(acked, link_keys.acked(link)),
            {},
        )
        last = _fields(newest[0][1]) if newest else {"n": "0", "hash": ""}
        if (last.get("n"), last.get("hash")) != (str(copy.head.n), copy.head.hash):
            raise SettlementError("other_head", f"link {link}: the head means another entry than the journal's newest")
        await self._read_outbox(copy)
        self._copy = copy

    async def _kept(self, found: Writer | None) -> Writer:
        """Make sure that we write still, and return who we are.

        A connection that was made anew may lead to another server, which was promoted. So it is taken over again: what
        a sibling says under our new name it says of this server's history (rules 8 and 9 of the link).
        """
        assert self.writer is not None
        if self._renewed is not None and found == self._renewed:
            self.writer, self._renewed, self._elsewhere = self._renewed, None, False
        if custodian.fenced(self.writer, found):
            raise SettlementError("fenced", f"link {self.link} has another writer: this process must end")
        if not self._elsewhere:
            return self.writer
        key = link_keys.writer(self.link)
        self._renewed = custodian.take_over(found, secrets.token_hex(16))
        commit = Commit([FieldsAre(key, fields_of(self.writer))], [PutFields(key, fields_of(self._renewed))])
        refused = await self._committer.commit(commit)
        if refused is not None:
            raise self._refused(refused)
        self.writer, self._renewed, self._elsewhere = self._renewed, None, False
        return self.writer

    async def _read_outbox(self, copy: Copy) -> None:
        key = link_keys.outbox(self.link)
        waiting = range(copy.cursor.published + 1, copy.cursor.recorded + 1)
        for at in range(0, len(waiting), _PAGE):
            part = waiting[at : at + _PAGE]
            [raws] = await self._committer.ask(("HMGET", key, *part))
            for seq, raw in zip(part, raws, strict=True):
                if raw is None:
                    raise SettlementError("corrupt", f"{key} lacks message {seq}, which is not published")
                copy.outbox[seq] = raw

    async def read(
        self,
        *,
        requests: Collection[str] = (),
        positions: Collection[tuple[str, str]] = (),
        assets: Collection[str] = (),
        records: Mapping[str, type[msgspec.Struct]] | None = None,
    ) -> None:
        """Read what steps to come will look at, as far as it is not in memory.

        Args:
            requests: ids.
            positions: (user, asset).
            assets: whose contra accounts.
            records: other records, by key, and what each is read as.

        Raises:
            SettlementError: `not_loaded`; `corrupt`; `stale`: all memory is gone.
            BusError: the primary is away or refuses.

        """
        copy = self._loaded()
        wanted: dict[str, type[msgspec.Struct]] = dict(records or {})
        wanted.update((link_keys.request(self.link, name), Request) for name in requests)
        wanted.update((link_keys.position(self.link, user, asset), Position) for user, asset in positions)
        wanted.update((link_keys.contra(self.link, asset), Contra) for asset in assets)
        head_key = link_keys.head(self.link)
        missing = [key for key in wanted if key not in copy.records]
        for at in range(0, len(missing), _PAGE):
            part = missing[at : at + _PAGE]
            confirmed = copy.confirmed
            *replies, head = await self._asked([*(("HGETALL", key) for key in part), ("HGET", head_key, "hash")])
            # What no batch on its way writes is the same before and after it, so reading need not wait for any; but it
            # must be our history that is read, not that of a server which has been replaced.
            if not copy.since((head or b"").decode(errors="replace"), confirmed):
                self._drop(copy)
                raise SettlementError("stale", f"link {self.link}: what was read is of another history than ours")
            for key, reply in zip(part, replies, strict=True):
                # A batch of another task may have made it while we read, and is right.
                copy.records.setdefault(key, _held(wanted[key], key, _fields(reply)))

    def tidy(self) -> None:
        """Forget what was read if it is too much; not between a reading and the batch that it was for."""
        if self._copy is not None and len(self._copy.records) > RECORDS_MAX:
            self._copy.forget()

    async def _asked(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        replies = await self._asker.ask_all(commands)
        for reply in replies:
            if isinstance(reply, BusError):
                raise reply
        return replies

    async def check(self) -> None:
        """Make sure that we write still: who has nothing to write would else not hear of a take-over.

        Raises:
            SettlementError: `fenced`: somebody else took over, so this process must end.
            BusError: the primary is away or refuses.

        """
        key = link_keys.writer(self.link)
        [flat] = await self._asked([("HGETALL", key)])
        if self.writer is not None and custodian.fenced(
            self.writer, record_of(Writer, _fields(flat), key) if flat else None
        ):
            raise SettlementError("fenced", f"link {self.link} has another writer: this process must end")

    async def open_requests(self, *, due_ns: int | None = None, count_max: int = -1) -> list[tuple[str, int]]:
        """Return the requests without an answer, and their deadlines in milliseconds, 0 for none; the earliest first.

        Args:
            due_ns: only those whose deadline is not later, and which nobody has asked back yet.
            count_max: how many at most; -1 for all.

        Raises:
            BusError: the primary is away or refuses.

        """
        key = link_keys.open_requests(self.link)
        bounds: tuple[str | int, str | int] = ("-inf", "+inf") if due_ns is None else (1, due_ns // 1_000_000)
        [flat] = await self._asked([("ZRANGEBYSCORE", key, *bounds, "WITHSCORES", "LIMIT", 0, count_max)])
        return [(name.decode(), int(score)) for name, score in zip(flat[::2], flat[1::2], strict=True)]

    def batch(self, now_ns: int) -> Batch:
        """Begin steps upon what is believed, all batches on their way included.

        Raises:
            SettlementError: `not_loaded`.

        """
        return Batch(self._loaded(), now_ns)

    async def ready(self) -> None:
        """Wait until another batch may be sent."""
        await self._committer.ready()

    def submit(self, batch: Batch) -> Awaitable[None]:
        """Send a batch; the next one may begin at once, upon it.

        Returns:
            What to await: it raises `SettlementError` `fenced` (somebody else took over: this process must end),
            `stale` (the primary is not what was believed) or `corrupt` (nor what it can be), `OutcomeUnknown`, or
            `BusError`. After any of them, and after nothing else, all memory is gone: `load`, and decide again.

        Raises:
            SettlementError: `stale`: another batch was sent since this one began, or memory was dropped. Nothing was
                sent.
            BusError: there is no connection, or too many batches are in flight. Nothing was sent.

        """
        copy = self._copy
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if copy is None or batch.copy is not copy or batch.base != (copy.cursor, copy.head, copy.acked):
            raise SettlementError("stale", "the batch was decided upon what is no longer believed")
        if batch.empty:
            done.set_result(None)
            return done
        answer = self._committer.submit(batch.commit())
        batch.settle()

        def answered(answer: "asyncio.Future[Refusal | None]") -> None:
            error = answer.exception()
            refused = None if error is not None else answer.result()
            if refused is not None:
                error = self._refused(refused)
            if error is None:
                copy.confirmed, _ = copy.flying.popleft()
                if not done.done():
                    done.set_result(None)
                return
            self._drop(copy)
            if isinstance(error, BusError) and error.code == "READONLY":
                self._committer.close()  # It is no primary any more: whoever is has the address now, or will.
            if not done.done():
                done.set_exception(error)
                done.exception()  # Whoever does not await it learns of it by `loaded`.

        answer.add_done_callback(answered)
        return done

    async def commit(self, batch: Batch) -> None:
        """Send a batch and wait until it is done; raises as `submit` does."""
        await self.submit(batch)

    def _drop(self, copy: Copy) -> None:
        if self._copy is copy:
            self._copy = None

    def _loaded(self) -> Copy:
        if self._copy is None:
            raise SettlementError("not_loaded", f"link {self.link}: memory was dropped: load first")
        return self._copy

    def _refused(self, refused: Refusal) -> HeliographError:
        if refused.reason == "server":
            return refusal(self._committer.endpoint, (refused.found or "").lstrip("-"))
        if refused.key == link_keys.writer(self.link):
            return SettlementError("fenced", f"link {self.link} has another writer: this process must end")
        if refused.reason in ("type", "id", "shape"):
            return SettlementError("corrupt", f"link {self.link}: the primary cannot take a commit: {refused}")
        return SettlementError("stale", f"link {self.link}: the primary is not what was believed: {refused}")


def _held(kind: type[T], key: str, fields: Mapping[str, str]) -> Held:
    if not fields:
        return NOTHING
    version = fields.get(VERSION, "")
    if not version.isdigit():
        raise SettlementError("corrupt", f"{key} has no version")
    return Held(int(version), record_of(kind, fields, key))


def _count(text: bytes | None, key: str) -> int:
    if text is not None and not text.isdigit():
        raise SettlementError("corrupt", f"{key} holds no number")
    return int(text or 0)


def _fields(flat: Sequence[Any]) -> dict[str, str]:
    """Return a hash's or an entry's fields; bytes that are no text become what no reader takes for one."""
    texts = [item.decode(errors="replace") for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
