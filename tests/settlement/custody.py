"""A custodian's day in a few words, for the tests of its state: orders, answers, messages that are not signed."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

from heliograph.bus import link_keys
from heliograph.bus.commit import PutFields
from heliograph.model.settlement import CreditOrder, Decision, OrderKind, Verdict
from heliograph.settlement.audit import End, Item, Seen
from heliograph.settlement.batch import NOTHING, Batch, Copy
from heliograph.settlement.chain import GENESIS, Entry
from heliograph.settlement.envelope import Sealed, content, digest
from heliograph.settlement.ledger import Position, Transfer, within
from heliograph.settlement.link.custodian import Cursor, Writer
from heliograph.settlement.link.sequence import Arrival, Slot
from heliograph.settlement.records import Cause, fields_of

LINK = "acme"
USER, ASSET = "alice", "BTC"


def order(
    amount: str = "1", kind: OrderKind = "increase", user: str = USER, asset: str = ASSET, expires_ns: int = 0
) -> CreditOrder:
    return CreditOrder(kind, user, asset, amount, expires_ns=expires_ns)


def order_digest(asked: CreditOrder) -> str:
    return digest(content(asked).encode())


def seal(text: str = "") -> Callable[[Slot], Sealed]:
    def sealed(slot: Slot) -> Sealed:
        raw = f"message {slot.seq} ack {slot.ack} prev {slot.prev} {text}".encode()
        return Sealed(slot.seq, raw, hashlib.sha256(raw).hexdigest())

    return sealed


def record(batch: Batch, request_id: str, asked: CreditOrder) -> None:
    batch.record(request_id, asked, order_digest(asked), seal(request_id))


def deposit(batch: Batch, amount: str, user: str = USER, asset: str = ASSET) -> None:
    moved = Transfer(asset, Decimal(amount), "outside", "", "available", user)
    batch.post(Cause("deposit", f"{user}-{asset}-{batch.head.n}"), [moved])


def arrival(batch: Batch, ack: int | None = None) -> Arrival:
    """The exchange's next answer, which has all that was published."""
    cursor = batch.cursor
    seq = cursor.applied + 1
    return Arrival(seq, cursor.published if ack is None else ack, cursor.applied_digest, f"{seq:064x}")


def answer(batch: Batch, request_id: str, verdict: Verdict = "accepted", ack: int | None = None) -> None:
    code = "" if verdict == "accepted" else "policy"
    batch.apply(request_id, Decision(verdict, code), arrival(batch, ack))


class Primary:
    """What a primary would hold after some batches, as an auditor sees it."""

    def __init__(self) -> None:
        self.copy = Copy(LINK, Writer(1, "ab"), Cursor(), GENESIS, 0, {})
        self.entries: list[Entry] = []
        self.hashes: dict[str, dict[str, str]] = {link_keys.cursor(LINK): fields_of(Cursor())}

    @contextmanager
    def batch(self, *request_ids: str, users: tuple[str, ...] = (USER,)) -> Iterator[Batch]:
        read = [link_keys.request(LINK, name) for name in request_ids]
        read += [link_keys.position(LINK, user, ASSET) for user in users]
        for key in (*read, link_keys.contra(LINK, ASSET)):
            self.copy.records.setdefault(key, NOTHING)
        batch = Batch(self.copy, 1_000_000_000)
        yield batch
        for write in batch.commit().writes:
            if isinstance(write, PutFields):
                texts = {k: v if isinstance(v, str) else v.decode() for k, v in write.fields.items()}
                self.hashes.setdefault(write.key, {}).update(texts)
        self.entries += batch.entries
        batch.settle()

    def items(self) -> list[Item]:
        n = self.copy.head.n
        aside = (link_keys.head(LINK), link_keys.outbox(LINK))
        seen = [Seen(n, key, dict(fields)) for key, fields in self.hashes.items() if key not in aside]
        return [*self.entries, *seen, End(n, self.copy.head.hash)]


def day() -> Primary:
    """Deposits, requests of every outcome, a settlement, a payout."""
    primary = Primary()
    with primary.batch(users=(USER, "bob")) as batch:
        deposit(batch, "10")
        deposit(batch, "0.000000000000000001", "bob")
    with primary.batch("a", "b", "c", "p") as batch:
        record(batch, "a", order("4"))
        record(batch, "b", order("3"))
        record(batch, "c", order("2", expires_ns=5))
        record(batch, "p", order("1", "pledge"))
        batch.cancel("c", seal("c"))
        batch.publish(5)
    with primary.batch() as batch:
        answer(batch, "a")
        answer(batch, "b", "rejected")
        answer(batch, "c")
        answer(batch, "p")
        batch.acknowledge(4)
    with primary.batch("d") as batch:
        record(batch, "d", order("1", "decrease"))
        batch.publish(6)
        answer(batch, "d")
        batch.advance("report", "y", arrival(batch), [within(USER, ASSET, Decimal(3), "granted", "settling")])
    with primary.batch(users=(USER, "bob")) as batch:
        moves = [
            Transfer(ASSET, Decimal(2), "settling", USER, "clearing", ""),
            Transfer(ASSET, Decimal(2), "clearing", "", "available", "bob"),
            within(USER, ASSET, Decimal(1), "settling", "granted"),
        ]
        primary.copy.records[link_keys.cycle(LINK, "y")] = NOTHING
        batch.message("confirmation", "y", seal("y"), moves, {link_keys.cycle(LINK, "y"): Position()})
        batch.post(Cause("payout", "w"), [within("bob", ASSET, Decimal(1), "available", "leaving")])
        batch.post(Cause("paid", "w"), [Transfer(ASSET, Decimal(1), "leaving", "bob", "outside", "")])
    return primary
