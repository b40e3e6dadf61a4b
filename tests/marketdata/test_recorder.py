from pathlib import Path

from heliograph.marketdata.capture import Direction, Line, Writer, decode_line, read_lines
from heliograph.marketdata.recorder import recorder
from heliograph.model.event import Event, VenueEvent
from heliograph.model.interval import Interval
from heliograph.model.market import Candle
from heliograph.sim import Fault, FaultKind
from heliograph.venues.contract import Connection, Effect
from tests.marketdata.field import field


async def test_a_recorded_feed_says_the_same_again_through_the_same_codec(tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl.zst"
    with Writer(path) as writer:
        async with field(capture=recorder(writer)) as here:
            here.feed.add(here.candles("BTCUSDT"))
            await here.more_candles("BTCUSDT", 1)
            await here.sim.fault(Fault(FaultKind.DROP, match="kline", count=40))
            await here.sink.until(lambda: here.metrics.gaps_filled >= 1)
    lines: list[Line] = [decode_line(text) for _, text in read_lines(path)]
    assert {line.dir for line in lines} == set(Direction)
    assert all("/api/v3/klines?symbol=BTCUSDT" in (line.url or "") for line in lines if line.dir is Direction.HTTP)
    frames = [line for line in lines if line.dir is Direction.IN]
    codec = here.market.feed(Connection("/stream", tuple(here.candles("BTCUSDT"))))
    again: list[VenueEvent] = []
    effects: list[Effect] = []
    for line in frames:
        codec.decode([line.raw.encode()], line.received_ns or 0, again, effects)
    finals = _finals(again)
    told = _finals(here.sink.events)
    assert finals
    assert finals.items() <= told.items(), "what the stream said is what was told; REST has filled the rest"


def _finals(events: list[VenueEvent] | list[Event]) -> dict[int, object]:
    return {
        e.open_ns: (e.close, e.base_volume, e.trade_count)
        for e in events
        if isinstance(e, Candle) and e.closed and e.interval is Interval.M1
    }


def test_bytes_that_are_not_text_are_kept_as_far_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl"
    with Writer(path) as writer:
        recorder(writer)(Direction.IN, "ws://venue/stream", [b"\xff{}", b"{}"], 1_500_000_000)
    assert [decode_line(text).raw for _, text in read_lines(path)] == ["\ufffd{}", "{}"]
    assert decode_line(next(read_lines(path))[1]).received_ns == 1_500_000_000
