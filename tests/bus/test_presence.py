import pytest

from heliograph.bus.embedded import Server
from heliograph.bus.endpoint import parse_url
from heliograph.bus.entries import Half, Stream
from heliograph.bus.link import open_link
from heliograph.bus.presence import missing


@pytest.mark.parametrize(
    ("maxlen", "held", "lacking"),
    [
        (None, [5, 6, 7], []),  # All of the transaction is there.
        (None, [6], [5, 7]),
        (None, [9], [5, 6, 7]),  # Another writer was ahead; an untrimmed stream lacks what it never took.
        (100, [9], [5, 6, 7]),
        (2, [8, 9], []),  # A full stream has trimmed it away again.
        (2, [6, 9], [7]),
        (None, [], [5, 6, 7]),
    ],
)
async def test_what_a_stream_never_took_is_told_from_what_it_holds_or_held(
    valkey: Server, maxlen: int | None, held: list[int], lacking: list[int]
) -> None:
    link = await open_link(parse_url(valkey.url), name="test", timeout_s=5)
    stream = Stream("s", maxlen, None)
    for number in held:
        await link.request("XADD", "s", f"1-{number}", "data", "x")
    halves = [Half(number, stream, b"x", on_feed=False, id=(1, number)) for number in (5, 6, 7)]
    assert [half.id[1] for half in await missing(link, stream, halves)] == lacking
    link.abort("done")
