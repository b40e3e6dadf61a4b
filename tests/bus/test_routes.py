import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.bus.embedded import Server
from heliograph.bus.endpoint import Endpoint, parse_url
from heliograph.bus.routes import SLOTS, Routes, parse_slots, slot_of
from heliograph.errors import BusError


@pytest.mark.parametrize(
    ("key", "slot"),
    [("123456789", 0x31C3), ("foo", 12182), ("{user1000}.following", 3443), ("{user1000}.followers", 3443)],
)
def test_a_keys_slot_is_what_the_specification_says(key: str, slot: int) -> None:
    assert slot_of(key) == slot


def test_empty_braces_are_no_tag() -> None:
    assert slot_of("foo{}{bar}") != slot_of("foo{}{baz}")
    assert slot_of("foo{{bar}}zap") == slot_of("{bar")


@given(st.text())
def test_every_key_has_a_slot(key: str) -> None:
    assert 0 <= slot_of(key) < SLOTS


def test_slots_are_read_with_the_credentials_of_who_asked() -> None:
    asked = Endpoint(host="h", port=1, password="p")
    reply = [[0, 1, [b"10.0.0.1", 7000, b"id"], [b"10.0.0.2", 7001, b"id"]], [3, 3, [b"", 7002, b"id"]]]
    first = Endpoint(host="10.0.0.1", port=7000, password="p")
    assert parse_slots(reply, asked) == {0: first, 1: first, 3: Endpoint(host="h", port=7002, password="p")}


async def test_one_server_has_every_key(any_server: Server) -> None:
    async with Routes(parse_url(any_server.url), name="test") as routes:
        assert not routes.clustered
        replies = await asyncio.gather(*(routes.request(f"k{n}", "INCR", "k") for n in range(20)))
        assert sorted(replies) == list(range(1, 21))
        assert await routes.endpoint_of("x") == parse_url(any_server.url)


async def test_a_server_that_comes_back_is_used_again(any_server: Server) -> None:
    async with Routes(parse_url(any_server.url), name="test") as routes:
        await any_server.restart()
        with contextlib.suppress(BusError):  # where the loss has not been noticed yet
            await routes.request("k", "PING")
        assert await routes.request("k", "PING") == b"PONG"
