import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from heliograph.bus.commit import SHA, Append, Commit, FieldsAre, PutFields, PutText, Refusal, TextIs
from heliograph.bus.committer import IN_FLIGHT_MAX, Committer
from heliograph.bus.embedded import Server
from heliograph.bus.endpoint import parse_url
from heliograph.errors import BusError, OutcomeUnknown

PROBE = "probe"


@pytest.fixture
async def committer(matrix_server: Server) -> AsyncIterator[Committer]:
    async with Committer(matrix_server.url, probe=PROBE) as committer:
        await committer.ask(("FLUSHALL",))
        yield committer


def step(n: int) -> Commit:
    """The n-th of a chain: each expects what the one before it wrote."""
    head = FieldsAre("head", {"n": str(n - 1) if n > 1 else None})
    return Commit([head], [Append("journal", {"n": str(n)}, f"{n}-0"), PutFields("head", {"n": str(n)})])


async def test_many_in_flight_are_done_in_order(committer: Committer) -> None:
    answers = [committer.submit(step(n)) for n in range(1, 101)]
    assert committer.in_flight == 100
    [length] = await committer.ask(("XLEN", "journal"))
    assert length == 100, "a question is answered after every commit before it"
    assert await asyncio.gather(*answers) == [None] * 100
    assert committer.in_flight == 0


async def test_after_one_that_is_refused_so_are_all_in_flight(committer: Committer) -> None:
    answers = [committer.submit(step(n)) for n in (1, 2, 4, 5, 6)]
    done = await asyncio.gather(*answers)
    assert done[:2] == [None, None]
    assert done[2:] == [Refusal("field", "head", "n", "2")] * 3
    assert await committer.ask(("XLEN", "journal")) == [2]
    assert "found 2" in str(done[2])


async def test_a_script_that_the_server_has_forgotten_is_loaded_again_in_order(committer: Committer) -> None:
    await committer.ask(("SCRIPT", "FLUSH"))
    answers = [committer.submit(step(n)) for n in range(1, 51)]
    assert await asyncio.gather(*answers) == [None] * 50
    assert await committer.ask(("SCRIPT", "EXISTS", SHA), ("XLEN", "journal")) == [[1], 50]


async def test_what_was_never_sent_is_not_unknown(committer: Committer) -> None:
    with pytest.raises(ValueError, match="two types"):
        committer.submit(Commit((), [PutText("k", "v"), PutFields("k", {"f": "v"})]))
    answers = [committer.submit(step(n)) for n in range(1, IN_FLIGHT_MAX + 1)]
    with pytest.raises(BusError, match="in flight"):
        committer.submit(step(IN_FLIGHT_MAX + 1))
    await committer.ready()
    answers.append(committer.submit(step(IN_FLIGHT_MAX + 1)))
    assert await asyncio.gather(*answers) == [None] * (IN_FLIGHT_MAX + 1)
    committer.close()
    assert not committer.connected
    with pytest.raises(BusError, match="not connected"):
        committer.submit(step(1))
    with pytest.raises(BusError, match="not connected"):
        await committer.ask(("PING",))
    await committer.open()
    assert await committer.ask(("XLEN", "journal")) == [IN_FLIGHT_MAX + 1]


async def test_what_is_in_flight_when_the_server_dies_is_unknown(valkey: Server) -> None:
    async with Committer(valkey.url, probe=PROBE) as committer:
        os.kill(valkey.pid, signal.SIGSTOP)
        answers = [committer.submit(step(n)) for n in (1, 2)]
        await asyncio.to_thread(valkey.kill)
        for answer in answers:
            with pytest.raises(OutcomeUnknown, match="not known"):
                await answer
        assert not committer.connected
        with pytest.raises(BusError):
            committer.submit(step(3))
        await valkey.restart()
        await committer.open()
        assert await committer.commit(step(1)) is None, "it is for the caller to read what is there, and to go on"


async def test_a_server_that_says_nothing_is_given_up(valkey: Server) -> None:
    async with Committer(valkey.url, probe=PROBE, timeout_s=0.2) as committer:
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.2 s"):
                await committer.commit(step(1))
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        await committer.open()
        # The server wakes, reads what waited in its socket, and does it: that is what unknown means.
        assert await committer.ask(("XLEN", "journal")) == [1]
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            with pytest.raises(BusError, match=r"no answer within 0\.2 s"):
                await committer.ask(("PING",))
            with pytest.raises(BusError, match=r"no answer within 0\.2 s"):
                await committer.open()
        finally:
            os.kill(valkey.pid, signal.SIGCONT)


async def test_a_commit_that_is_closed_away_is_unknown(committer: Committer) -> None:
    answer = committer.submit(step(1))
    committer.close()
    with pytest.raises(OutcomeUnknown, match="closed by us"):
        await answer


async def test_an_awaiter_that_gives_up_costs_the_others_nothing(committer: Committer) -> None:
    answers = [committer.submit(step(n)) for n in (1, 2, 3)]
    answers[1].cancel()
    assert await answers[2] is None
    assert await committer.ask(("XLEN", "journal")) == [3]


@pytest.mark.parametrize(
    "lacking", ["hdel", "set", "xadd", "xtrim", "zadd", "zrem", "type", "exists", "hmget", "get", "xinfo"]
)
async def test_a_right_that_is_missing_is_found_before_anything_is_written(
    matrix_server: Server, committer: Committer, lacking: str
) -> None:
    await committer.ask(("ACL", "SETUSER", "poor", "reset", "on", ">word", "~*", "+@all", f"-{lacking}"))
    endpoint = parse_url(matrix_server.url, username="poor", password="word")
    with pytest.raises(BusError) as caught:
        await Committer(endpoint, probe=PROBE).open()
    assert caught.value.code == "NOPERM"
    assert await committer.ask(("DBSIZE",)) == [0]


async def test_the_right_to_hset_is_missed_at_the_first_write(matrix_server: Server, committer: Committer) -> None:
    await committer.ask(("ACL", "SETUSER", "poor", "reset", "on", ">word", "~*", "+@all", "-hset"))
    endpoint = parse_url(matrix_server.url, username="poor", password="word")
    async with Committer(endpoint, probe=PROBE) as poor:
        refusal = await poor.commit(Commit((), [PutFields("writer", {"epoch": "1"})]))
        assert refusal is not None
        assert (refusal.reason, refusal.key, refusal.what) == ("server", "writer", "HSET")
        # A right that is taken away while we run is the one thing that can still tear a commit, and it is told.
        with pytest.raises(BusError, match="freeze the link and audit") as caught:
            await poor.commit(Commit((), [PutText("a", "1"), PutFields("writer", {"epoch": "1"})]))
        assert caught.value.code == "TORN"


async def test_a_key_that_is_not_ours_is_refused_whole(matrix_server: Server, committer: Committer) -> None:
    await committer.ask(("ACL", "SETUSER", "bound", "reset", "on", ">word", "~probe", "~ours:*", "+@all"))
    endpoint = parse_url(matrix_server.url, username="bound", password="word")
    async with Committer(endpoint, probe=PROBE) as bound:
        assert await bound.commit(Commit((), [PutText("ours:a", "1")])) is None
        with pytest.raises(BusError) as caught:
            await bound.commit(Commit((), [PutText("ours:b", "1"), PutText("theirs", "1")]))
        assert caught.value.code == "NOPERM"
    assert await committer.ask(("EXISTS", "ours:b", "theirs")) == [0]


async def test_a_read_only_replica_is_refused(matrix_server: Server, committer: Committer) -> None:
    await committer.ask(("SET", "k", "1"))
    with Server(replica_of=matrix_server, promotable=True) as replica:
        async with Committer(matrix_server.url, probe=PROBE):
            pass
        with pytest.raises(BusError) as caught:
            await Committer(replica.url, probe=PROBE).open()
    assert caught.value.code == "READONLY"
    assert await committer.commit(Commit([TextIs("k", "1")], [PutText("k", "2")])) is None
