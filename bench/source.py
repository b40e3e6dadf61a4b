"""The process that plays the venue: upgrades one socket, sends every frame flat out, waits for the client to leave.

It parses nothing that the client sends, so that both sides of a pair face exactly the same bytes at the same pace. For
each client it prints when it began to send, on the clock that all processes of a machine share.
"""

import argparse
import base64
import hashlib
import os
import socket
import time

from bench.frames import KINDS

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
CHUNK_BYTES = 256 * 1024


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


def main() -> None:
    """Print the port, then serve one client after another until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("count", type=int)
    parser.add_argument("--cpu", type=int, default=None)
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    blob = b"".join(_framed(f) for f in KINDS[arguments.kind](arguments.count))
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _upgrade(client)
            view = memoryview(blob)
            print(time.perf_counter(), flush=True)
            try:
                for start in range(0, len(blob), CHUNK_BYTES):
                    client.sendall(view[start : start + CHUNK_BYTES])
                while client.recv(65536):  # The client hangs up when it has counted them all.
                    pass
            except ConnectionError:
                continue


if __name__ == "__main__":
    main()
