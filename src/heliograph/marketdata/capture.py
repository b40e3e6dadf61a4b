"""Recording raw frames with the time of their receipt, and reading them back.

One JSON object a line: `{"t": seconds since the epoch, "dir": …, "url": …, "raw": "…"}`, compressed with Zstandard
where the file's name ends in `.zst`. `dir` is `connect` (a socket was opened to `url`), `in` and `out` (a text frame),
`http` (an answer; `raw` is its body). What was flushed stays readable if the process dies right after: lines are whole,
and a compressed file is a row of frames, one a flush, that can be read without each other.
"""

import enum
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Annotated, BinaryIO, Final, Self

import msgspec
import zstandard

from heliograph.clock import NS_PER_S, NS_PER_US
from heliograph.errors import ConfigError, DecodeError

LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Longer lines are not read: the largest answers (lists of instruments) are some 10 MB."""
BUFFER_BYTES_MAX: Final = 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_ZST: Final = ".zst"


class Direction(enum.StrEnum):
    """Which way a line went."""

    CONNECT = "connect"
    OUT = "out"
    IN = "in"
    HTTP = "http"


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a capture."""

    t: Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799)] | None = None
    """Seconds since the epoch, where it was recorded; a microsecond is the least that a float holds today."""
    dir: Direction = msgspec.field(default_factory=lambda: Direction.IN)  # A default proper would not be written.
    url: str | None = None
    raw: str = ""

    @property
    def received_ns(self) -> int | None:
        """The time of receipt in nanoseconds since the epoch, in whole microseconds."""
        return None if self.t is None else round(self.t * (NS_PER_S // NS_PER_US)) * NS_PER_US


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Line)


def decode_line(text: bytes) -> Line:
    """Read one line.

    Raises:
        DecodeError: it is not a line of a capture.

    """
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as e:
        raise DecodeError(f"not a line of a capture: {e}") from e


class Writer:
    """Appends lines to a capture file; a context manager.

    `write` never blocks on more than the operating system's own buffer: lines gather until `BUFFER_BYTES_MAX`, or until
    `flush`, which whoever records calls about once a second.

    Args:
        path: the file; it is continued if it exists.

    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self.lines_written = 0

    def __enter__(self) -> Self:
        if self._path.exists():
            try:
                (_cut_torn_frame if self._path.name.endswith(_ZST) else _end_torn_line)(self._path)
            except zstandard.ZstdError as e:
                raise ConfigError(f"cannot continue {self._path}, which is not a Zstandard file: {e}") from e
        self._file = self._path.open("ab")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        assert self._file is not None
        self._file.close()
        self._file = None

    def write(self, line: Line) -> None:
        """Append a line."""
        data = _encoder.encode(line) + b"\n"
        self._pending.append(data)
        self._pending_bytes += len(data)
        self.lines_written += 1
        if self._pending_bytes >= BUFFER_BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        """Hand all lines to the operating system, so that they outlive this process."""
        assert self._file is not None
        if not self._pending:
            return
        data = b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        if self._path.name.endswith(_ZST):
            data = zstandard.compress(data)
        self._file.write(data)
        self._file.flush()


def _end_torn_line(path: Path) -> None:
    """End the line that a death in the middle of writing has left open, lest the next one be lost with it."""
    if path.stat().st_size:
        with path.open("rb+") as file:
            file.seek(-1, io.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")


def _cut_torn_frame(path: Path) -> None:
    """Cut off the frame that a death in the middle of writing has left open: what follows it could not be read."""
    with path.open("rb+") as file:
        whole = 0
        for end, _ in _decompressed(file):
            whole = end
        file.truncate(whole)


def _decompressed(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield what is in the frames of a file, each time with the end of the last whole frame so far."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    end = offset = 0
    while data := file.read(_CHUNK_BYTES):
        offset += len(data)
        while data:
            plain = frame.decompress(data)
            data = b""
            if frame.eof:
                data = frame.unused_data
                end = offset - len(data)
                frame = zstandard.ZstdDecompressor().decompressobj()
            yield end, plain


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, compressed or not, with their numbers from 1, blank ones left out.

    Raises:
        ConfigError: the file cannot be read.
        DecodeError: a line is longer than `LINE_BYTES_MAX`, or the compression is broken.

    """
    try:
        with path.open("rb") as file:
            yield from _compressed_lines(file) if path.name.endswith(_ZST) else split_lines(file)
    except OSError as e:
        raise ConfigError(f"cannot read {path}: {e.strerror or e}") from e
    except zstandard.ZstdError as e:
        raise DecodeError(f"{path} is not a Zstandard file: {e}") from e


def _compressed_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    rest = b""
    number = whole = 0
    for end, plain in _decompressed(file):
        whole = end
        *lines, rest = (rest + plain).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise DecodeError(f"line {number + len(lines) + 1} is longer than {LINE_BYTES_MAX} bytes")
        for line in lines:
            number += 1
            if stripped := line.strip():
                yield number, stripped
    if stripped := rest.strip():
        yield number + 1, stripped
    if whole != file.tell():
        raise DecodeError(f"the file is cut short in a Zstandard frame, after line {number}")


def split_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of an open file with their numbers from 1, blank ones left out.

    Raises:
        DecodeError: a line is longer than `LINE_BYTES_MAX`.

    """
    number = 0
    while data := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(data) > LINE_BYTES_MAX:
            raise DecodeError(f"line {number} is longer than {LINE_BYTES_MAX} bytes")
        if stripped := data.strip():
            yield number, stripped


def paced(
    lines: Iterable[tuple[int, Line]], speed: float, sleep: Callable[[float], None]
) -> Iterator[tuple[int, Line]]:
    """Yield numbered lines as far apart as they were received, divided by `speed`.

    Args:
        lines: the lines of a capture.
        speed: how many recorded seconds pass in one; 0 for no waiting at all.
        sleep: waits for so many seconds.

    """
    before_s: float | None = None
    for number, line in lines:
        if speed and line.t is not None:
            if before_s is not None and line.t > before_s:
                sleep((line.t - before_s) / speed)
            before_s = line.t
        yield number, line
