"""The process that plays five venues at once for figure d: every stream in turn, so many frames a second in all.

A socket that is not read from is left out while it is, since a real venue would not remember for it either.
"""

import argparse
import asyncio
import itertools
import json
import os
import time
from typing import Final

import picows

from bench.crowd_words import WORDS, Stream, Words

TICK_S: Final = 0.005
UNSENT_BYTES_MAX: Final = 256 * 1024


class Socket(picows.WSListener):
    """A client's socket."""

    def __init__(self, words: Words, streams: "list[tuple[Socket, Stream]]") -> None:
        self._words = words
        self._streams = streams
        self._transport: picows.WSTransport | None = None

    @property
    def keeps_up(self) -> bool:
        """Whether the client reads."""
        transport = self._transport
        return transport is not None and (transport.underlying_transport.get_write_buffer_size() < UNSENT_BYTES_MAX)

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        """Begin."""
        self._transport = transport

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        """Forget what it wanted."""
        self._transport = None
        self._streams[:] = [pair for pair in self._streams if pair[0] is not self]

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """Take a control message."""
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.disconnect()
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        text = frame.get_payload_as_bytes()
        if text == b"ping":
            transport.send(picows.WSMsgType.TEXT, b"pong")
            return
        said = self._words.hear(json.loads(text))
        for answer in said.answers:
            transport.send(picows.WSMsgType.TEXT, answer)
        self._streams += [(self, Stream(self._words, topic)) for topic in said.topics]

    def say(self, text: str) -> None:
        """Send a frame."""
        if self._transport is not None:
            self._transport.send(picows.WSMsgType.TEXT, text.encode())


async def _serve(rate: float) -> None:
    streams: list[tuple[Socket, Stream]] = []

    def accept(request: picows.WSUpgradeRequest) -> Socket:
        venue = request.path.decode().split("/")[1]
        return Socket(WORDS[venue], streams)

    server = await picows.ws_create_server(accept, "127.0.0.1", 0, enable_auto_pong=True)
    print(server.sockets[0].getsockname()[1], flush=True)
    begun_s, sent, told, turn = time.perf_counter(), 0, 0, 0
    for _ in itertools.count():
        await asyncio.sleep(TICK_S)
        now_s = time.perf_counter()
        due = int((now_s - begun_s) * rate) - sent
        sent += due
        now_ms = time.time_ns() // 1_000_000
        for _ in range(due if streams else 0):
            turn = (turn + 1) % len(streams)
            socket, stream = streams[turn]
            if socket.keeps_up:
                for text in stream.frames(now_ms):
                    socket.say(text)
        if len(streams) != told:
            told = len(streams)
            print(told, flush=True)


def main() -> None:
    """Print the port, and how many streams are carried whenever that changes; serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rate", type=float)
    parser.add_argument("--cpu", type=int, default=None)
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    asyncio.run(_serve(arguments.rate))


if __name__ == "__main__":
    main()
