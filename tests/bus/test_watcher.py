import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

STARTER = """
import sys, time
from pathlib import Path
from heliograph.bus.embedded import Server
with Server(binary=Path(sys.argv[1])) as server:
    print(server.pid, server.port, server.directory, flush=True)
    time.sleep(600)
"""


def test_the_server_is_gone_when_its_starter_is_killed_with_9(any_binary: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, any_binary], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    with starter:
        pid_text, port_text, directory = starter.stdout.readline().split()
        watched = os.pidfd_open(int(pid_text))
        starter.kill()
        starter.wait()
        ended = select.select([watched], [], [], 10)[0]
        os.close(watched)
    assert ended, "the server survived its starter by 10 s"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port_text)), 1)
    _await_absence(Path(directory))


def _await_absence(directory: Path) -> None:
    """The watcher removes it after the server's end, which is all that we can wait for by an event."""
    for _ in range(1000):
        if not directory.exists():
            return
        select.select([], [], [], 0.01)
    raise AssertionError(f"{directory} is still there after 10 s")
