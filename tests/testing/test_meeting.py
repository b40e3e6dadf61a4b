import msgspec
import pytest

from heliograph.clock import NS_PER_S
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Trade
from heliograph.testing.meeting import Meeting
from heliograph.testing.stage import START_NS, Stage
from heliograph.venues import luno
from heliograph.venues.contract import CandlePage, Effect, Reconnect, Send, Subscription
from tests.testing.breaking import BINANCE, BYBIT, LUNO, Meddler, altered, meddled


def test_time_passes_and_both_sides_talk() -> None:
    stage = Stage(BYBIT)
    market = stage.markets[0]
    instrument = stage.listed(market)[0]
    meeting = Meeting(stage, market, [Subscription(Channel.TRADES, instrument)])
    meeting.go(10)
    assert meeting.now_ns == START_NS + 10 * NS_PER_S
    assert {type(event) for event in meeting.events} == {Trade}
    assert meeting.complaints == []
    count = len(meeting.events)
    meeting.quiet = True
    meeting.go(10)
    assert len(meeting.events) == count


def test_frames_can_be_spoilt_on_their_way() -> None:
    stage = Stage(BYBIT)
    market = stage.markets[0]
    meeting = Meeting(stage, market, [Subscription(Channel.TRADES, stage.listed(market)[0])])
    meeting.go(10, lambda _name, _frame: [])
    assert meeting.events == []


def test_answers_are_taken_page_by_page() -> None:
    stage = Stage(BINANCE, minutes=2500)
    market = stage.markets[0]
    instrument = stage.listed(market)[0]
    meeting = Meeting(stage, market, [Subscription(Channel.TRADES, instrument)])
    meeting.ask(market.candle_request(CandlePage(instrument, Interval.M1, START_NS - 2000 * 60 * NS_PER_S, None)))
    assert len(meeting.answers) == 3
    assert sum(isinstance(event, Candle) for event in meeting.events) >= 1999


def test_an_answer_that_is_a_no_is_a_complaint() -> None:
    stage = Stage(BINANCE)
    market = stage.markets[0]
    instrument = stage.listed(market)[0]
    meeting = Meeting(stage, market, [Subscription(Channel.TRADES, instrument)])
    request = market.candle_request(CandlePage(instrument, Interval.M1, START_NS, None))
    meeting.ask(msgspec.structs.replace(request, query=(("symbol", "NOPE"), ("interval", "1m"))))
    assert [getattr(effect, "code", None) for effect in meeting.complaints] == ["-1121"]


def test_a_path_that_the_venue_has_not_and_a_message_that_makes_it_hang_up_are_told() -> None:
    def astray(market):  # type: ignore[no-untyped-def]
        return lambda wanted, most: [msgspec.structs.replace(c, path="/no") for c in market.plan(wanted, most)]

    stage = Stage(altered(plan=astray))
    market = stage.markets[0]
    wanted = [Subscription(Channel.TRADES, stage.listed(market)[0])]
    with pytest.raises(AssertionError, match="its plan's paths exist"):
        Meeting(stage, market, wanted)

    def shout(_events: list[object], effects: list[Effect]) -> None:
        effects += [Send(b"nonsense") for effect in effects if isinstance(effect, Send)]

    stage = Stage(meddled(shout))
    with pytest.raises(AssertionError, match="the venue does not hang up"):
        Meeting(stage, stage.markets[0], wanted)


def test_what_a_feed_wants_besides_is_kept() -> None:
    def restless(_events: list[object], effects: list[Effect]) -> None:
        effects.append(Reconnect("bored"))

    stage = Stage(meddled(restless))
    market = stage.markets[0]
    meeting = Meeting(stage, market, [Subscription(Channel.TRADES, stage.listed(market)[0])])
    assert set(meeting.complaints) == {Reconnect("bored")}


def test_a_socket_that_is_for_one_instrument_is_closed_with_it_and_others_are_not() -> None:
    for venue, left in ((LUNO, 1), (BYBIT, 0)):
        stage = Stage(venue)
        market = stage.markets[0]
        one, other = [Subscription(Channel.TRADES, instrument) for instrument in stage.listed(market)[:2]]
        meeting = Meeting(stage, market, [one])
        (first,) = meeting.lines
        meeting.change([other])
        assert (len(meeting.left), first in meeting.lines) == (left, not left)
        meeting.change([one])
        (last,) = meeting.lines
        assert (last is first) is not left
        meeting.go(1)
        (stream,) = last.session.streams.values()
        assert stream.symbol.endswith(one.instrument.venue_symbol)


def test_a_key_that_would_be_recorded_is_found() -> None:
    def talkative(_events: list[object], effects: list[Effect]) -> None:
        effects[:] = [Send(effect.payload) if isinstance(effect, Send) else effect for effect in effects]

    market = Stage(luno.VENUE).markets[0]
    shown = msgspec.structs.replace(market, feed=lambda connection: Meddler(market.feed(connection), talkative))
    stage = Stage(altered(luno.VENUE, with_credentials=lambda _market: lambda _key: shown))
    with pytest.raises(AssertionError, match="a message that shows the key is marked as secret"):
        Meeting(stage, stage.markets[0], [Subscription(Channel.TRADES, stage.listed(market)[0])])
