"""The socket of a running custodian, with commands in threads as they are in processes."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from heliograph.cli import settle_control
from heliograph.cli.settle_control import Command, Control, Status, Withdraw, ask
from heliograph.errors import ConfigError, OutcomeUnknown, SettlementError
from heliograph.model.settlement import BadValue


@asynccontextmanager
async def listening(path: Path, obey: Callable[[Command], Awaitable[Any]]) -> AsyncIterator[Control]:
    async with Control(path, obey) as control:
        await control.open()
        try:
            yield control
        finally:
            await control.drain()


async def _told(_: Command) -> dict[str, str]:
    return {"is": "well"}


async def test_a_command_gets_its_answer_and_its_owner_alone_may_ask(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    heard: list[Command] = []

    async def obey(command: Command) -> dict[str, str]:
        heard.append(command)
        return await _told(command)

    asked = Withdraw("alice", "BTC", "1", "out-1")
    async with listening(path, obey):
        assert path.stat().st_mode & 0o777 == 0o600
        assert await asyncio.to_thread(ask, path, asked) == b'{"is":"well"}'
    assert heard == [asked]
    assert not path.exists()


@pytest.mark.parametrize(
    ("error", "code"),
    [(SettlementError("conflict", "taken"), "conflict"), (BadValue("bad_amount", "zero"), "bad_amount")],
)
async def test_a_refusal_comes_with_its_code_and_is_said_once(tmp_path: Path, error: Exception, code: str) -> None:
    async def obey(_: Command) -> None:
        raise error

    async with listening(tmp_path / "s", obey):
        with pytest.raises(SettlementError) as refused:
            await asyncio.to_thread(ask, tmp_path / "s", Status())
    assert refused.value.code == code
    assert str(refused.value) == str(error)


async def test_what_is_no_command_is_refused_and_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "s"

    def say(junk: bytes) -> bytes:
        with closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.connect(str(path))
            connection.sendall(junk)
            return connection.recv(1000)

    async with listening(path, _told):
        for junk in (b"\xff\n", b'{"do":"rob"}\n', b'{"do":"status","x":1}\n'):
            assert b"bad_command" in await asyncio.to_thread(say, junk)
        assert await asyncio.to_thread(say, b"x" * 100_000 + b"\n") == b""
        assert await asyncio.to_thread(ask, path, Status()) == b'{"is":"well"}'


async def test_a_service_that_goes_away_leaves_the_outcome_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle_control, "DRAIN_S", 0.01)
    begun = asyncio.Event()

    async def obey(_: Command) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with listening(tmp_path / "s", obey):
        asking = asyncio.create_task(asyncio.to_thread(ask, tmp_path / "s", Status()))
        await begun.wait()
    with pytest.raises(OutcomeUnknown, match="give the same command again"):
        await asking


async def test_a_command_that_is_under_way_is_finished_at_the_end(tmp_path: Path) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def obey(_: Command) -> int:
        begun.set()
        await go.wait()
        return 7

    async with listening(tmp_path / "s", obey) as control:
        asking = asyncio.create_task(asyncio.to_thread(ask, tmp_path / "s", Status()))
        await begun.wait()
        draining = asyncio.create_task(control.drain())
        await asyncio.sleep(0)
        go.set()
        await draining
        assert await asking == b"7"


async def test_a_second_service_is_refused_and_a_dead_ones_socket_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with Control(path, _told):
        with pytest.raises(ConfigError, match="a custodian runs already"):
            await Control(path, _told).__aenter__()
        assert path.exists()
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(path))
    async with listening(path, _told):
        assert await asyncio.to_thread(ask, path, Status()) == b'{"is":"well"}'


def test_where_nobody_listens_it_says_what_to_start(tmp_path: Path) -> None:
    with pytest.raises(SettlementError, match="start `heliograph serve custodian`") as refused:
        ask(tmp_path / "none", Status())
    assert refused.value.code == "no_service"


async def test_a_place_where_nobody_can_listen_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot listen at"):
        await Control(tmp_path / "no" / "s", _told).__aenter__()
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ConfigError, match="cannot listen at"):
        await Control(tmp_path / "file", _told).__aenter__()
    assert (tmp_path / "file").read_text() == "precious"


def test_an_answer_that_breaks_off_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b'{"resu')
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(OutcomeUnknown):
            ask(path, Status())
        thread.join()
