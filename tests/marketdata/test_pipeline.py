from collections.abc import Callable
from decimal import Decimal

from heliograph.clock import NS_PER_S
from heliograph.marketdata.pipeline import REST, Pipeline
from heliograph.marketdata.settings import FeedSettings
from heliograph.metrics import FeedMetrics
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument, MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, Ticker, Trade
from heliograph.venues.contract import CandlePage, Subscription, TradePage

USDM = Instrument(VenueId("binance"), MarketId("usdm"), "BTCUSDT")


def _pipeline(*subscriptions: Subscription) -> Pipeline:
    pipeline = Pipeline(FeedSettings(), FeedMetrics("binance", "spot"), trades_by_request=True)
    for subscription in subscriptions:
        pipeline.want(subscription)
    return pipeline


def _take(pipeline: Pipeline, *events: Candle | Trade | BookTop, source: int = 1) -> list[Event]:
    out: list[Event] = []
    pipeline.take(events, source, 0, out)
    return out


def test_only_what_is_wanted_passes(
    candle: Callable[..., Candle], trade: Callable[..., Trade], btc: Instrument
) -> None:
    wanted = Subscription(Channel.CANDLES, btc, Interval.M1)
    pipeline = _pipeline(wanted)
    top = BookTop(btc, Decimal(1), Decimal(1), Decimal(2), Decimal(1), 1, None, 0)
    assert _take(pipeline, trade(1), top, candle(0)) == [candle(0)]
    pipeline.forget(wanted)
    assert _take(pipeline, candle(1)) == []


def test_t17_one_symbol_in_two_markets_is_two_streams(candle: Callable[..., Candle], btc: Instrument) -> None:
    pipeline = _pipeline(
        Subscription(Channel.CANDLES, btc, Interval.M1), Subscription(Channel.CANDLES, USDM, Interval.M1)
    )
    spot, usdm = candle(0, closed=True), candle(0, closed=True, close="101", instrument=USDM)
    assert _take(pipeline, spot, usdm) == [spot, usdm]
    assert pipeline.take_conflicts() == []


def test_m5_wanting_twice_changes_nothing(candle: Callable[..., Candle], btc: Instrument) -> None:
    wanted = Subscription(Channel.CANDLES, btc, Interval.M1)
    pipeline = _pipeline(wanted)
    _take(pipeline, candle(0, closed=True))
    pipeline.want(wanted)
    assert _take(pipeline, candle(0, closed=True)) == []


def test_t29_two_connections_of_one_stream_deliver_it_once(candle: Callable[..., Candle], btc: Instrument) -> None:
    pipeline = _pipeline(Subscription(Channel.CANDLES, btc, Interval.M1))
    said = [candle(0, event_s=s, count=s) for s in range(1, 10)] + [candle(0, closed=True), candle(1, event_s=1)]
    told: list[Event] = []
    for number, event in enumerate(said):
        told += _take(pipeline, event, source=1)
        if number >= 3:
            told += _take(pipeline, said[number - 3], source=2)
    assert told == said


def test_pages_are_asked_for_by_kind_and_answers_find_their_track(
    candle: Callable[..., Candle], trade: Callable[..., Trade], btc: Instrument
) -> None:
    pipeline = _pipeline(Subscription(Channel.CANDLES, btc, Interval.M1), Subscription(Channel.TRADES, btc))
    told = _take(pipeline, candle(0, closed=True), candle(2, closed=True), trade(1), trade(3))
    pages = pipeline.due(10 * NS_PER_S, 0, told)
    first_ns = candle(1).open_ns
    assert pages == [CandlePage(btc, Interval.M1, first_ns, first_ns), TradePage(btc, 2, 2)]
    pipeline.take([candle(1, closed=True), trade(2)], REST, 0, told)
    for page in pages:
        pipeline.answered(page, 0, 0, told)
    assert [e.open_ns for e in told if isinstance(e, Candle)] == [candle(n).open_ns for n in range(3)]
    assert [e.sequence for e in told if isinstance(e, Trade)] == [1, 2, 3]
    assert pipeline.due(100 * NS_PER_S, 0, told) == []


def test_t2_a_stream_that_never_spoke_is_told_from_one_that_did(candle: Callable[..., Candle], btc: Instrument) -> None:
    spoken, silent = Subscription(Channel.CANDLES, btc, Interval.M1), Subscription(Channel.CANDLES, USDM, Interval.M1)
    pipeline = _pipeline(spoken, silent)
    out: list[Event] = []
    pipeline.take([candle(0)], 1, 7, out)
    assert (pipeline.touched_ns(spoken), pipeline.touched_ns(silent)) == (7, None)


def test_a_conflict_is_told_once(candle: Callable[..., Candle], btc: Instrument) -> None:
    pipeline = _pipeline(Subscription(Channel.CANDLES, btc, Interval.M1))
    _take(pipeline, candle(0, closed=True), candle(0, closed=True, close="7"))
    assert pipeline.take_conflicts() == [(candle(0, closed=True, close="7"), candle(0, closed=True))]
    assert pipeline.take_conflicts() == []


def test_a_ticker_carries_the_last_trades_price(trade: Callable[..., Trade], btc: Instrument) -> None:
    pipeline = _pipeline(Subscription(Channel.TICKER, btc))
    top = BookTop(btc, Decimal(99), Decimal(1), Decimal(101), Decimal(1), 1, None, 0)
    told = _take(pipeline, trade(1), top)
    assert [(e.last, e.bid, e.ask) for e in told if isinstance(e, Ticker)] == [
        (Decimal(100), Decimal(99), Decimal(101))
    ]


def test_what_waits_for_rest_shows(candle: Callable[..., Candle], btc: Instrument) -> None:
    candles = Subscription(Channel.CANDLES, btc, Interval.M1)
    pipeline = _pipeline(candles, Subscription(Channel.TRADES, btc))
    _take(pipeline, candle(0, closed=True))
    assert (pipeline.held_since_ns(candles), pipeline.candles_held) == (None, 0)
    pipeline.take([candle(2, closed=True), candle(3, closed=True)], 1, 7, [])
    assert (pipeline.held_since_ns(candles), pipeline.candles_held) == (7, 2)
    assert pipeline.held_since_ns(Subscription(Channel.TRADES, btc)) is None
    _take(pipeline, candle(1, closed=True), source=REST)
    assert (pipeline.held_since_ns(candles), pipeline.candles_held) == (None, 0)


def test_what_a_connection_left_behind_is_told_when_it_ends(trade: Callable[..., Trade], btc: Instrument) -> None:
    pipeline = _pipeline(Subscription(Channel.TRADES, btc))
    first, second, third = (trade(None, trade_id=name, event_s=s) for s, name in enumerate("abc"))
    assert _take(pipeline, first) == [first]
    assert _take(pipeline, third, source=2) == []
    assert _take(pipeline, second) == [second]
    pipeline.relieved(1, 2)
    out: list[Event] = []
    pipeline.lost(1, 0, out)
    assert out == [third]
