"""The process that plays the venue: upgrades one socket, sends every frame, waits for the client to leave.

It sends flat out, or (`--rate`) each frame by itself when it is due, by a schedule that waits for nobody.

It parses nothing that the client sends, so that both sides of a pair face exactly the same bytes at the same pace. For
each client it prints when it began to send, or when the first frame is due, on the clock that all processes of a
machine share; at a rate it prints as well how late frames left, in microseconds: the median and the 99th percentile.
"""

import argparse
import base64
import ctypes
import hashlib
import os
import socket
import sys
import time
from collections.abc import Sequence

from bench.frames import KINDS

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
CHUNK_BYTES = 256 * 1024
SETTLE_S = 1.0
"""From the upgrade to the first frame at a rate: what a client does when it opens is over by then."""
_PR_SET_TIMERSLACK = 29  # <linux/prctl.h>


def _framed(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    return bytes((0x81, 126)) + size.to_bytes(2, "big") + payload


def _upgrade(client: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += client.recv(4096)
    key = next(
        line.split(b":", 1)[1].strip()
        for line in request.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key")
    )
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\n\r\n"
    )


def _sleep_exactly() -> None:
    """Let the kernel wake us when we asked for, and not up to 50 us later, as it does to save power."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def _flat_out(client: socket.socket, blob: bytes) -> None:
    view = memoryview(blob)
    print(time.perf_counter(), flush=True)
    for start in range(0, len(blob), CHUNK_BYTES):
        client.sendall(view[start : start + CHUNK_BYTES])


def _paced(client: socket.socket, frames: Sequence[bytes], rate: float) -> None:
    clock, sleep, late = time.perf_counter, time.sleep, []
    first_s = clock() + SETTLE_S
    print(first_s, flush=True)
    for index, frame in enumerate(frames):
        due_s = first_s + index / rate
        wait_s = due_s - clock()
        if wait_s > 0:
            sleep(wait_s)
        client.sendall(frame)
        late.append(clock() - due_s)
    late.sort()
    print(late[len(late) // 2] * 1e6, late[len(late) * 99 // 100] * 1e6, flush=True)


def main() -> None:
    """Print the port, then serve one client after another until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("count", type=int)
    parser.add_argument("--rate", type=float, default=0, help="frames a second; 0: flat out")
    parser.add_argument("--cpu", type=int, default=None)
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    _sleep_exactly()
    frames = [_framed(frame) for frame in KINDS[arguments.kind](arguments.count)]
    blob = b"".join(frames)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _upgrade(client)
            try:
                if arguments.rate:
                    _paced(client, frames, arguments.rate)
                else:
                    _flat_out(client, blob)
                while client.recv(65536):  # The client hangs up when it has counted them all.
                    pass
            except ConnectionError:
                continue


if __name__ == "__main__":
    main()
