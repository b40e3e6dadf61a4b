"""The names of settlement's keys, each with the node that owns it.

P is the custodian's primary, R the exchange's stream-writeable replica. A name that P writes is never written on R: a
local write to a replicated key silently blocks its replication.

A user or an asset may hold any character. Inside a key `%` and `:` are percent-encoded, so that no two pairs share one.
"""

from typing import Final, Literal
from urllib.parse import unquote

RING: Final = 8
"""How many keys the exchange's mailbox has: a key whose last id is exhausted is left for the next."""

Purpose = Literal["answer"]
"""What a ring of the exchange's carries."""

CREDIT_REQUESTS: Final = "mirror:credit:request"
"""The custodian's face, on P: credit requests in the seeds' fields."""
CREDIT_RESPONSES: Final = "mirror:credit:response"
"""The exchange's face, on R: answers in the seeds' fields."""
PLEDGE_REQUESTS: Final = "mirror:pledge:request"
"""The custodian's face, on P."""
PLEDGE_RESPONSES: Final = "mirror:pledge:response"
"""The exchange's face, on R."""
SETTLEMENT_REPORTS: Final = "mirror:settlement:report"
"""The exchange's face, on R."""
SETTLEMENT_CONFIRMATIONS: Final = "mirror:settlement:confirmation"
"""The custodian's face, on P."""


def part(text: str) -> str:
    """Return a name as a part of a key: `%` and `:` encoded, everything else to the letter."""
    return text.replace("%", "%25").replace(":", "%3A")


def unpart(text: str) -> str:
    """Return the name that a part of a key stands for."""
    return unquote(text)


def notifications(link: str) -> str:
    """Return the exchange's stream of events for onlookers, on R: what was decided, and what was settled."""
    return f"exchange:stream:notification:{part(link)}"


def writer(link: str) -> str:
    """Return P's hash of who may write: `epoch`, `owner`."""
    return f"link:{part(link)}:writer"


def cursor(link: str) -> str:
    """Return P's hash of how far the custodian is: `recorded`, `published`, `trimmed`, `applied`, `applied_digest`."""
    return f"link:{part(link)}:cursor"


def outbox(link: str) -> str:
    """Return P's hash of the custodian's envelopes by their seq."""
    return f"link:{part(link)}:outbox"


def request(link: str, request_id: str) -> str:
    """Return P's hash of one request, kept for ever."""
    return f"link:{part(link)}:request:{part(request_id)}"


def open_requests(link: str) -> str:
    """Return P's sorted set of the requests that have no answer, by their deadline in milliseconds; 0 for none."""
    return f"link:{part(link)}:open"


def probe(link: str) -> str:
    """Return a key that never exists on P, at which the custodian's rights are tried."""
    return f"link:{part(link)}:probe"


def out(link: str) -> str:
    """Return P's stream of published envelopes, entry id `<seq>-0`, which the exchange reads on R."""
    return f"link:{part(link)}:out"


def acked(link: str) -> str:
    """Return P's string of the last answer that the exchange may forget, which the exchange reads on R."""
    return f"link:{part(link)}:acked"


def quarantine(link: str) -> str:
    """Return P's stream of what the custodian could not accept, with the reason."""
    return f"link:{part(link)}:quarantine"


def credit(user: str, asset: str) -> str:
    """Return P's hash of a user's credit inventory, read by the exchange on R: `amount`, `answer_seq`, and so on."""
    return f"CI:{part(user)}:{part(asset)}"


def mailbox(link: str, purpose: Purpose, index: int) -> str:
    """Return one of the `RING` streams that the exchange alone appends to, on R; ids always `*`."""
    return f"exchange:stream:{part(link)}:{purpose}:{index}"


def ring(link: str, purpose: Purpose = "answer") -> tuple[str, ...]:
    """Return all the keys of a mailbox, in their order."""
    return tuple(mailbox(link, purpose, index) for index in range(RING))


def position(link: str, user: str, asset: str) -> str:
    """Return P's hash of one user's accounts in one asset: an amount per account, and `version`."""
    return f"ledger:{part(link)}:position:{part(user)}:{part(asset)}"


def contra(link: str, asset: str) -> str:
    """Return P's hash of one asset's contra accounts: `outside`, `clearing`, and `version`."""
    return f"ledger:{part(link)}:contra:{part(asset)}"


def journal(link: str) -> str:
    """Return P's stream of journal entries, entry id `<n>-0`, each with the hash of the one before."""
    return f"ledger:{part(link)}:journal"


def head(link: str) -> str:
    """Return P's hash of the journal's newest entry: `n`, `hash`."""
    return f"ledger:{part(link)}:head"


def lot(link: str, lot_id: str) -> str:
    """Return P's hash of one lot of a vault."""
    return f"ledger:{part(link)}:lot:{part(lot_id)}"


def lots(link: str, user: str, asset: str) -> str:
    """Return P's hash of all lots of a user in one asset."""
    return f"ledger:{part(link)}:lots:{part(user)}:{part(asset)}"


def cycle(link: str, cycle_id: str) -> str:
    """Return P's hash of one settlement cycle."""
    return f"ledger:{part(link)}:cycle:{part(cycle_id)}"


def words(link: str, cycle_id: str) -> str:
    """Return P's hash of whose part of a settlement cycle was confirmed or refused."""
    return f"ledger:{part(link)}:words:{part(cycle_id)}"


def docket(link: str) -> str:
    """Return P's hash of what is begun and not ended: cycles without an outcome, coins on their way out."""
    return f"ledger:{part(link)}:docket"


def passage(link: str, reference: str) -> str:
    """Return P's hash of one deposit or withdrawal."""
    return f"ledger:{part(link)}:passage:{part(reference)}"


def freezes(link: str) -> str:
    """Return P's hash of what is frozen, by its level and name."""
    return f"ledger:{part(link)}:freezes"
