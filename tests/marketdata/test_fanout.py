from collections.abc import Callable

from heliograph.marketdata.fanout import FanOut
from heliograph.model.market import Candle
from tests.marketdata.field import Collector


def test_two_sinks_at_once_go_at_the_pace_of_the_slower(candle: Callable[..., Candle]) -> None:
    one, other = Collector(), Collector()
    both = FanOut(one, other)
    woken: list[str] = []
    both.when_ready(lambda: woken.append("woken"))
    assert both.ready()
    both.push([candle(0)])
    assert one.events == other.events == [candle(0)]
    one.open = other.open = False
    assert not both.ready()
    one.resume()
    assert (both.ready(), woken) == (False, [])
    other.resume()
    assert (both.ready(), woken) == (True, ["woken"])
