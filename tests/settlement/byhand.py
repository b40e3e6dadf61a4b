"""An exchange by hand: it reads what the custodian published and says whatever a test wants it to say."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.model.settlement import Body, CreditOrder
from heliograph.settlement.custodian import CustodianSettings
from heliograph.settlement.envelope import Opened, Sealed, opened, seal
from heliograph.settlement.keyring import Keyring, Signer
from heliograph.settlement.mailbox import Outgoing, payload

CUSTODIAN_KEY = Signer.generate("custodian-1")
EXCHANGE_KEY = Signer.generate("exchange-1")
FIVE = CreditOrder("increase", "alice", "BTC", "5", "Bitcoin", "bc1q")
TEN = Decimal(10)


def settings(pair: Pair, link: str, **changes: object) -> CustodianSettings:
    """Return a custodian's settings for a pair."""
    known: dict[str, object] = {
        "link": link,
        "primary": parse_url(pair.primary.url),
        "replica": parse_url(pair.replica.url),
        "signer": CUSTODIAN_KEY,
        "keys": (EXCHANGE_KEY.public(),),
        "siblings": tuple(parse_url(sibling.url) for sibling in pair.siblings),
        "quiet_s": 0.05,
        "window_ns": 0,
    }
    return CustodianSettings(**(known | changes))  # type: ignore[arg-type]


async def eventually(true: Callable[[], Awaitable[object]], timeout_s: float = 5) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(timeout_s):
        while True:
            if await true():
                return
            await asyncio.sleep(0.002)


class ByHand:
    """The exchange's end of a link.

    Args:
        asker: to the replica.
        link: which link.

    """

    def __init__(self, asker: Asker, link: str) -> None:
        self.asker = asker
        self.link = link
        self.outgoing = Outgoing(asker, link_keys.ring(link))
        self.seq = 0
        self.prev = ""
        self.inbox = 0

    async def read(self) -> list[Opened]:
        """Return all that the custodian has published and not trimmed."""
        entries = await self.asker.ask("XRANGE", link_keys.out(self.link), "-", "+")
        keyring = Keyring([CUSTODIAN_KEY.public()])
        return [opened(payload(fields), self.link, "request", keyring) for _, fields in entries]

    async def read_until(self, count: int) -> list[Opened]:
        """Return what is published once the last of it has this number."""
        while True:
            messages = await self.read()
            if messages and messages[-1].envelope.seq >= count:
                return messages
            await self.asker.ask("XREAD", "BLOCK", 1000, "STREAMS", link_keys.out(self.link), "$")

    def sealed(self, message_id: str, body: Body, ack: int | None = None) -> Sealed:
        """Return the next answer."""
        made = seal(
            EXCHANGE_KEY,
            self.link,
            "answer",
            self.seq + 1,
            message_id,
            body,
            self.inbox if ack is None else ack,
            self.prev,
        )
        self.seq, self.prev = made.seq, made.digest
        return made

    async def say(self, message_id: str, body: Body, ack: int | None = None) -> Sealed:
        """Append the next answer to the mailbox."""
        made = self.sealed(message_id, body, ack)
        await self.outgoing.append([made.raw])
        return made
