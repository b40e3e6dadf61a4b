"""The commands of `heliograph settle` that change the exchange's journal, which any number of processes may work on."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, Final

import msgspec

from heliograph.cli.settle_parties import Party
from heliograph.cli.settle_show import print_cycle, print_requests
from heliograph.cli.settle_table import moment, print_json
from heliograph.errors import ConfigError, HeliographError, SettlementError
from heliograph.model.settlement import Verdict
from heliograph.settlement.exchange_journal import Choice, ExchangeJournal
from heliograph.settlement.netting import Change

VERDICTS: Final[tuple[Verdict, ...]] = ("accepted", "rejected")
_TOGETHER: Final = 500
"""Trades of one transaction."""

_trades: Final = msgspec.json.Decoder(tuple[Change, ...])


class Booked(msgspec.Struct):
    """What became of a file of trades."""

    booked: int = 0
    known: int = 0
    """Booked before."""
    refused: int = 0


def decide(party: Party, request_id: str, verdict: str, code: str, reason: str, *, as_json: bool) -> int:
    """Decide a request, and print it; the same verdict again changes nothing.

    Args:
        party: the exchange.
        request_id: which.
        verdict: one of `VERDICTS`.
        code: why not, as a code.
        reason: the same in words.
        as_json: one JSON object instead of a table.

    Raises:
        ConfigError: there is no such verdict, or no journal.
        SettlementError: `unknown_request`, `decided`, `insufficient_limit`, and so on.

    """
    if verdict not in VERDICTS:
        raise ConfigError(f"unknown verdict {verdict!r}", VERDICTS)
    with party.journal_to_sign() as journal:
        (row,) = journal.decide([Choice(request_id, verdict, code, reason)], time.time_ns())
    if isinstance(row, SettlementError):
        raise row
    if as_json:
        print_json(row)
    else:
        print_requests([row])
    return 0


def report(party: Party, cycle_id: str, cut_off: str, *, as_json: bool) -> int:
    """Propose the net of all trades up to an instant, and print the cycle.

    Args:
        party: the exchange.
        cycle_id: a new name; the same again is the same cycle.
        cut_off: the last instant, in ISO 8601; empty: now.
        as_json: one JSON object instead of tables.

    Raises:
        ConfigError: the instant is none, or there is no journal.
        SettlementError: `nothing_to_settle`, `house_short`, and so on.

    """
    now_ns, until_ns = time.time_ns(), moment(cut_off)
    with party.journal_to_sign() as journal:
        cycle = journal.report(cycle_id, now_ns if until_ns is None else until_ns, now_ns, party.policy)
    if as_json:
        print_json(cycle)
    else:
        print_cycle(cycle)
    return 0


def book(party: Party, file: str, *, as_json: bool) -> int:
    """Book the trades of a file, a line each; tell on the standard error which were refused, and return 1 if any was.

    Args:
        party: the exchange.
        file: its path; `-`: the standard input.
        as_json: the summary as JSON.

    Raises:
        ConfigError: the file or the journal cannot be read.
        SettlementError: `journal_away`: what was not booked can be given again.

    """
    booked = Booked()
    with _opened(file) as lines, party.journal_to_sign() as journal:
        numbered = iter(enumerate(lines, 1))
        while part := list(islice(numbered, _TOGETHER)):
            for number, result in _book(journal, part):
                if isinstance(result, HeliographError | msgspec.DecodeError):
                    booked.refused += 1
                    print(f"line {number}: {result}", file=sys.stderr)
                elif result:
                    booked.booked += 1
                else:
                    booked.known += 1
    if as_json:
        print_json(booked)
    else:
        print(f"{booked.booked} trades booked, {booked.known} known before, {booked.refused} refused")
    return 1 if booked.refused else 0


def _book(
    journal: ExchangeJournal, lines: Iterable[tuple[int, bytes]]
) -> Iterator[tuple[int, bool | SettlementError | msgspec.DecodeError]]:
    trades: list[tuple[int, tuple[Change, ...]]] = []
    for number, line in lines:
        if not line.strip():
            continue
        try:
            changes = _trades.decode(line)
        except msgspec.DecodeError as e:
            yield number, e
            continue
        if changes:
            trades.append((number, changes))
        else:
            yield number, SettlementError("no_changes", "a trade without changes")
    results = journal.trade([changes for _, changes in trades])
    yield from ((number, result) for (number, _), result in zip(trades, results, strict=True))


def _opened(file: str) -> "IO[bytes] | nullcontext[IO[bytes]]":
    if file == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(file).open("rb")
    except OSError as e:
        raise ConfigError(f"{file} cannot be read: {e.strerror}") from e
