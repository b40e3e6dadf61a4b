import asyncio
from collections.abc import Sequence

import msgspec

from heliograph.marketdata.capture import Direction
from heliograph.model.event import Event
from heliograph.model.market import Candle, Channel
from heliograph.sim import Fault, FaultKind
from heliograph.venues.contract import Subscription
from tests.marketdata.field import Collector, field


async def test_a_frame_that_is_not_documented_costs_no_other() -> None:
    async with field() as here:
        here.feed.add([*here.candles("BTCUSDT"), Subscription(Channel.TRADES, here.instrument("BTCUSDT"))])
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.WRONG_JSON, count=3, match="@"))
        await here.sink.until(lambda: here.metrics.frames_refused >= 3)
        await here.more_candles("BTCUSDT", 2)
        here.check_candles("BTCUSDT")
        here.check_trades("BTCUSDT")
        assert here.metrics.reconnections == 0


async def test_frames_that_are_not_documented_again_and_again_cost_the_connection() -> None:
    async with field() as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.WRONG_JSON, count=25, match="@kline"))
        await here.sink.until(lambda: here.metrics.reconnections >= 1)
        await here.more_candles("BTCUSDT", 3)
        here.check_candles("BTCUSDT")


async def test_m13_silence_is_answered_by_rest_not_by_a_reconnect() -> None:
    async with field() as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        asked = here.metrics.backfills_succeeded
        await here.sim.fault(Fault(FaultKind.SILENCE, duration_s=1.6))
        await here.more_candles("BTCUSDT", 2)
        assert here.metrics.backfills_succeeded > asked
        await here.more_candles("BTCUSDT", 3)
        here.check_candles("BTCUSDT")
        here.check_order()
        assert (here.metrics.reconnections, here.sim.listeners["spot"].connects) == (0, 1)
        assert sum(here.metrics.connection_errors.values()) == 0


class Faulty(Collector):
    """A consumer with a bug that shows once."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 1

    def push(self, events: Sequence[Event]) -> None:
        if self.left and any(isinstance(e, Candle) and e.closed for e in events):
            self.left -= 1
            raise ZeroDivisionError
        super().push(events)


async def test_a_fault_of_ours_costs_a_connection_and_not_the_feed() -> None:
    faulty = Faulty()
    async with field(sink=faulty) as here:
        here.feed.add(here.candles("BTCUSDT"))
        instrument = here.instrument("BTCUSDT")
        await faulty.until(lambda: len(faulty.closed(instrument)) >= 3)
        assert faulty.left == 0
        assert here.metrics.reconnections == 1
        assert here.metrics.connection_errors == {"closed": 1}


async def test_control_messages_leave_in_the_order_in_which_they_were_made() -> None:
    """Else an UNSUBSCRIBE that waits for its turn ends what a later SUBSCRIBE has begun, for good."""
    said: list[int] = []

    def capture(direction: Direction, url: str, frames: Sequence[bytes], at_ns: int) -> None:
        if direction is Direction.OUT:
            said.extend(msgspec.json.decode(frame)["id"] for frame in frames)

    async with field(capture=capture) as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        wanted = here.candles("ETHUSDT")
        for _ in range(6):
            here.feed.add(wanted)
            for _ in range(10):
                await asyncio.sleep(0)  # until it is admitted
            here.feed.remove(wanted)
        here.feed.add(wanted)
        await here.sink.until(lambda: len(said) == 14)
        assert said == sorted(said)
        await here.more_candles("ETHUSDT", 1)
