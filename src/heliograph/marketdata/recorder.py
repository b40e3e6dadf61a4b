"""A feed's frames into a capture file."""

from collections.abc import Sequence

from heliograph.clock import NS_PER_S
from heliograph.marketdata.capture import Direction, Line, Writer
from heliograph.marketdata.session import Capture


def recorder(writer: Writer) -> Capture:
    """Return what writes every frame and answer of a feed to a capture.

    Bytes that are not UTF-8 are written with the replacement character: a capture is text.
    """

    def capture(direction: Direction, url: str, frames: Sequence[bytes], now_ns: int) -> None:
        for frame in frames:
            writer.write(Line(now_ns / NS_PER_S, direction, url, frame.decode("utf-8", "replace")))

    return capture
