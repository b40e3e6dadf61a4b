"""What a look becomes, however it ends."""

import asyncio

from heliograph.cli.finding import Finding, Verdict, fail, look, ok, warn
from heliograph.errors import BusError


async def test_what_a_look_found_is_told() -> None:
    async def work() -> list[Finding]:
        return [ok("a", "x"), warn("b", "y", "do"), fail("c", "z", "do")]

    assert [finding.verdict for finding in await look("a", work(), "")] == [Verdict.OK, Verdict.WARN, Verdict.FAIL]


async def test_a_look_without_end_is_ended_and_said_to_be() -> None:
    async def work() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    (finding,) = await look("server", work(), "look there", look_s_max=0.01)
    assert finding == fail("server", "no answer within 0.01 s", "look there")


async def test_an_error_of_ours_is_what_was_found() -> None:
    async def work() -> list[Finding]:
        raise BusError("the server is away")

    assert await look("server", work(), "start it") == [fail("server", "the server is away", "start it")]
