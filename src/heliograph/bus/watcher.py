"""The parent of an embedded server: a small process that ends the server when whoever started it is gone.

Run as a script (`python -I -S watcher.py DIRECTORY REMOVE`), never imported for what it does. It reads lines from its
standard input and writes lines to its standard output:

    start ARGUMENT NUL ARGUMENT…  starts the server; answers `pid N`, and `exit N` when it has ended (minus a signal)
    kill, stop                    sends it SIGKILL or SIGTERM; the answer is the `exit N` above
    end of file                   the starter is gone: SIGKILL the server, remove the directory if asked to, end

The kernel closes the pipe however the starter ends, SIGKILL included, on Linux and macOS alike. `PR_SET_PDEATHSIG`
would not do: it follows the *thread* that started the child, and exists on Linux alone. As the server's parent the
watcher is also the only one that may signal it without the risk that its process id now belongs to somebody else.
"""

import contextlib
import os
import select
import signal
import sys

NOTHING_RUNS = 0


def main(directory: str, *, remove: bool) -> None:
    """Serve commands until the end of the standard input.

    Args:
        directory: the server's working directory, where its output goes to `server.log`.
        remove: whether the directory goes at the end.

    """
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    pid = NOTHING_RUNS
    pending = b""
    while True:
        readable, _, _ = select.select([0, wake_read], [], [])
        if wake_read in readable:
            os.read(wake_read, 512)
            pid = _reap(pid, os.WNOHANG)
        if 0 in readable:
            data = os.read(0, 65536)
            if not data:
                break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                pid = _obey(line, pid, directory)
    if pid:
        os.kill(pid, signal.SIGKILL)
        _reap(pid, 0)
    if remove:
        import shutil  # Only here: it would double the time that a start takes.

        shutil.rmtree(directory, ignore_errors=True)


def _obey(line: bytes, pid: int, directory: str) -> int:
    command, _, rest = line.partition(b" ")
    if command == b"start":
        return _spawn(rest.split(b"\0"), directory)
    if pid:
        os.kill(pid, signal.SIGKILL if command == b"kill" else signal.SIGTERM)
    return pid


def _spawn(arguments: list[bytes], directory: str) -> int:
    log = os.path.join(directory, "server.log").encode()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        pid = os.posix_spawn(
            arguments[0],
            arguments,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, b"/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )
    except OSError as e:
        _say(f"failed {e.strerror}")
        return NOTHING_RUNS
    _say(f"pid {pid}")
    return pid


def _reap(pid: int, flags: int) -> int:
    if not pid:
        return NOTHING_RUNS
    ended, status = os.waitpid(pid, flags)
    if not ended:
        return pid
    _say(f"exit {os.waitstatus_to_exitcode(status)}")
    return NOTHING_RUNS


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # Nobody listens any more; the end of the standard input says the same.
        os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1], remove=sys.argv[2] == "remove")
