"""Questions over a connection that opens itself again."""

import asyncio

import pytest

from heliograph.bus.asker import Asker
from heliograph.bus.embedded import Server
from heliograph.bus.endpoint import parse_url
from heliograph.errors import BusError


async def test_answers_come_in_the_order_of_the_questions(shared_valkey: Server) -> None:
    async with Asker(parse_url(shared_valkey.url)) as asker:
        assert await asker.ask_all([("SET", "asker", "1"), ("INCR", "asker"), ("GET", "asker")]) == [b"OK", 2, b"2"]
        assert await asker.ask_all([]) == []
        echoed = await asyncio.gather(*(asker.ask("ECHO", number) for number in range(20)))
        assert echoed == [str(number).encode() for number in range(20)]
        assert asker.connections == 1


async def test_a_refused_command_costs_no_other(shared_valkey: Server) -> None:
    async with Asker(parse_url(shared_valkey.url)) as asker:
        first, second, third = await asker.ask_all([("ECHO", "a"), ("NONSENSE",), ("ECHO", "b")])
        assert (first, third) == (b"a", b"b")
        assert isinstance(second, BusError)
        with pytest.raises(BusError, match="unknown command"):
            await asker.ask("NONSENSE")


async def test_after_a_restart_it_connects_again(valkey: Server) -> None:
    async with Asker(parse_url(valkey.url), connect_timeout_s=1) as asker:
        await asker.ask("PING")
        valkey.stop()
        with pytest.raises(BusError):
            await asker.ask("PING")
        valkey.start()
        assert await asker.ask("PING") == b"PONG"
        assert asker.connections == 2


async def test_no_answer_in_time_is_an_error_and_ends_the_connection(shared_valkey: Server) -> None:
    async with Asker(parse_url(shared_valkey.url), reply_timeout_s=0.05) as asker:
        with pytest.raises(BusError, match="no reply"):
            await asker.ask("BLPOP", "nothing", 5)
        assert await asker.ask("PING") == b"PONG"
