import pytest

from heliograph.model.instrument import SPOT
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Effect, Send, Subscription, VenueError
from heliograph.venues.kraken.control import answered, market_of
from heliograph.venues.kraken.frames import decode_answer
from heliograph.venues.kraken.instruments import instrument_of_symbol
from heliograph.venues.kraken.streams import Stream, chunk, encode, streams_of
from heliograph.venues.subscribing import Subscriber, carried_by

WANTED = [Subscription(Channel.CANDLES, instrument_of_symbol(s), Interval.M1) for s in ("BTC/USD", "NO/PE")]


def opened() -> Subscriber[Stream]:
    control = Subscriber(chunk, encode, per_tick_max=5)
    effects: list[Effect] = []
    control.carry(carried_by(WANTED, streams_of), effects)
    control.opened(0, effects)
    assert [type(effect) for effect in effects] == [Send]
    return control


def take(control: Subscriber[Stream], text: str) -> list[Effect]:
    raw = decode_answer(text.encode())
    assert raw is not None
    effects: list[Effect] = []
    answered(raw, control, effects)
    return effects


def test_each_symbol_of_a_request_is_answered_on_its_own() -> None:
    control = opened()
    yes = '{"method":"subscribe","result":{"channel":"ohlc","symbol":"BTC/USD"},"success":true,"req_id":1}'
    assert take(control, yes) == []
    assert control.unanswered() == (Stream("ohlc", "NO/PE", 1),)
    no = (
        '{"error":"Currency pair not supported NO/PE","method":"subscribe","success":false,"symbol":"NO/PE","req_id":1}'
    )
    assert take(control, no) == [VenueError("refused", "Currency pair not supported NO/PE", (WANTED[1],))]
    assert control.unanswered() == ()
    assert set(control.carried) == {Stream("ohlc", "BTC/USD", 1)}


def test_a_refusal_without_a_symbol_is_one_to_all_of_the_request() -> None:
    (refusal,) = take(opened(), '{"error":"Unsupported channel","method":"subscribe","success":false,"req_id":1}')
    assert isinstance(refusal, VenueError)
    assert refusal.subscriptions == tuple(WANTED)


def test_what_cannot_be_left_was_not_served() -> None:
    control = opened()
    control.carry({}, [])
    assert take(control, '{"error":"Subscription Not Found","method":"unsubscribe","success":false,"req_id":2}') == []


def test_a_pong_and_a_late_yes_need_nothing() -> None:
    assert take(opened(), '{"method":"pong","req_id":9}') == []
    assert take(opened(), '{"method":"subscribe","success":true,"req_id":9,"result":{"symbol":"BTC/USD"}}') == []


@pytest.mark.parametrize(
    "text",
    [
        '{"method":"subscribe","success":false,"error":"no","req_id":9}',
        '{"method":"add_order","success":true}',
        '{"method":"subscribe"}',
        '{"error":"Malformed request"}',
    ],
)
def test_what_was_not_asked_is_not_understood(text: str) -> None:
    with pytest.raises(ValueError, match=r"refusal of nothing|not documented"):
        take(opened(), text)


def test_there_is_one_market() -> None:
    assert market_of("https://api.kraken.com/0/public/OHLC", b"") == market_of(None, b"{}") == SPOT
