"""How commands reach a running custodian: a Unix socket that its owner alone may open.

A connection carries one command and its answer, each a line of JSON. One process writes a link's books, so a command
never writes beside it: it asks the one that runs, and where none runs it says so.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import structlog

from heliograph.errors import ConfigError, HeliographError, OutcomeUnknown, SettlementError
from heliograph.model.settlement import CreditOrder
from heliograph.settlement.freeze import Freeze

DRAIN_S: Final = 5.0
"""How long a service that stops waits for commands that are under way."""
ANSWER_S: Final = 30.0
"""How long an answer may take, beside what the command itself waits for."""
UNKNOWN: Final = "outcome_unknown"

_log = structlog.get_logger(__name__)


class Deposit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="deposit"):
    """Coins have come into custody."""

    user: str
    asset: str
    amount: str
    reference: str
    chain: str = ""
    address: str = ""


class Withdraw(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="withdraw"):
    """Coins shall leave custody."""

    user: str
    asset: str
    amount: str
    reference: str
    chain: str = ""
    address: str = ""


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="ask"):
    """The exchange shall be asked, and its answer waited for so long."""

    id: str
    order: CreditOrder
    wait_s: float = 0.0


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="cancel"):
    """A request shall be taken back."""

    id: str
    reason: str = ""
    wait_s: float = 0.0


class Dispute(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="dispute"):
    """A leg of a report is disputed."""

    cycle: str
    leg: str
    code: str
    reason: str = ""


class Retract(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="retract"):
    """A dispute is taken back."""

    cycle: str
    leg: str


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="stop"):
    """Something is to be frozen."""

    freeze: Freeze


class Lift(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="lift"):
    """A freeze ends."""

    place: str


class Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="status"):
    """How the custodian is, is asked."""


Command = Deposit | Withdraw | Ask | Cancel | Dispute | Retract | Stop | Lift | Status


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of a command: a result, or a code and a sentence."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    code: str = ""
    error: str = ""


_commands: Final = msgspec.json.Decoder(Command)
_answers: Final = msgspec.json.Decoder(Answer)


class Control:
    """The socket of a running custodian, which is the lock against a second one too; an async context manager.

    Args:
        path: of the socket.
        obey: does a command, and returns what is to be told.

    """

    def __init__(self, path: Path, obey: Callable[[Command], Awaitable[Any]]) -> None:
        self._path = path
        self._obey = obey
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Take the socket; who connects waits until `open`.

        Raises:
            ConfigError: another service listens there, or nobody can.

        """
        self._socket = _bound(self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._socket is not None
        self._path.unlink(missing_ok=True)
        self._socket.close()

    async def open(self) -> None:
        """Begin to do commands."""
        self._server = await asyncio.start_unix_server(self._connected, sock=self._socket)

    async def drain(self) -> None:
        """Take no more commands, and finish those that are under way; one that waits for long is left."""
        if self._server is not None:
            self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_S)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                line = await reader.readline()
            writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
            await writer.drain()
        except (OSError, TimeoutError, ValueError) as e:  # ValueError: a line that does not end.
            _log.info("command not read", error=str(e))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> Answer:
        try:
            result = await self._obey(_commands.decode(line))
        except msgspec.DecodeError as e:
            return Answer(code="bad_command", error=str(e))
        except SettlementError as e:
            return Answer(code=e.code, error=str(e).removesuffix(f" ({e.code})"))
        except OutcomeUnknown as e:
            return Answer(code=UNKNOWN, error=str(e))
        except HeliographError as e:
            return Answer(code="failed", error=str(e))
        return Answer(msgspec.Raw(msgspec.json.encode(result)))


def ask(path: Path, command: Command, wait_s: float = 0.0) -> bytes:
    """Let a running custodian do a command, and return what it tells, as JSON.

    Args:
        path: of its socket.
        command: what to do.
        wait_s: how long the command itself waits, in seconds.

    Raises:
        SettlementError: it was refused: nothing changed; `no_service`: none runs.
        OutcomeUnknown: the answer did not come; the same command again is safe.

    """
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        try:
            connection.settimeout(ANSWER_S + wait_s)
            connection.connect(os.fspath(path))
        except OSError as e:
            what = f"no custodian takes commands at {path} ({e.strerror or e}): start `heliograph serve custodian`"
            raise SettlementError("no_service", what) from e
        line = b""
        try:
            connection.sendall(msgspec.json.encode(command) + b"\n")
            while not line.endswith(b"\n") and (part := connection.recv(65_536)):
                line += part
            answer = _answers.decode(line)
        except (OSError, msgspec.DecodeError) as e:
            raise OutcomeUnknown(f"the custodian did not answer ({e}): give the same command again") from e
    if answer.code == UNKNOWN:
        raise OutcomeUnknown(f"{answer.error}: give the same command again")
    if answer.code:
        raise SettlementError(answer.code, answer.error)
    return bytes(answer.result)


def _bound(path: Path) -> socket.socket:
    """Return a socket that listens, readable for its owner alone from the first moment on."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        try:
            bound.bind(os.fspath(path))
        except OSError:
            if not path.is_socket() or _alive(path):
                raise
            path.unlink()  # What a killed service left behind.
            bound.bind(os.fspath(path))
        bound.listen()
    except OSError as e:
        bound.close()
        if path.is_socket():
            raise ConfigError(f"a custodian runs already, and takes commands at {path}") from e
        raise ConfigError(f"cannot listen at {path}: {e.strerror or e}") from e
    finally:
        os.umask(before)
    return bound


def _alive(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
        return True
