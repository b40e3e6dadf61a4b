"""What a look at something found, and what to do about it."""

import asyncio
import enum
from collections.abc import Awaitable
from typing import Final

import msgspec

from heliograph.errors import HeliographError

LOOK_S_MAX: Final = 2.0
"""How long one look may take."""


class Verdict(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """It works, and may not always."""
    FAIL = "FAIL"
    """Something that was asked about cannot work."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""
    """What to do; empty where nothing is to be done."""


def ok(check: str, found: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Verdict.OK, found)


def warn(check: str, found: str, advice: str) -> Finding:
    """Return that something could be better."""
    return Finding(check, Verdict.WARN, found, advice)


def fail(check: str, found: str, advice: str) -> Finding:
    """Return that something cannot work."""
    return Finding(check, Verdict.FAIL, found, advice)


async def look(
    check: str, work: Awaitable[list[Finding]], advice: str, *, look_s_max: float = LOOK_S_MAX
) -> list[Finding]:
    """Return what a look found; one that takes too long, or ends in an error, found that.

    Args:
        check: what is looked at.
        work: the look.
        advice: what to do where it takes too long.
        look_s_max: how long it may take, in seconds.

    """
    try:
        async with asyncio.timeout(look_s_max):
            return await work
    except TimeoutError:
        return [fail(check, f"no answer within {look_s_max:g} s", advice)]
    except HeliographError as e:
        return [fail(check, str(e), advice)]
