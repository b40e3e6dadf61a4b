"""The codec of one socket: frames in, events and effects out."""

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Gap, Side, Trade, TradeCause
from heliograph.venues.bybit import VENUE
from heliograph.venues.bybit.market import MESSAGES_PER_TICK, PING_NS, Feed
from heliograph.venues.bybit.streams import INTERVALS, PING
from heliograph.venues.contract import (
    BookPage,
    CandlePage,
    Connection,
    Effect,
    Fetch,
    Reconnect,
    Refused,
    Request,
    Send,
    Subscription,
    VenueError,
)
from heliograph.venues.subscribing import ACKNOWLEDGED_NS_MAX

MARKETS = ("spot", "linear", "inverse")
NOW_NS = 1_770_000_000 * NS_PER_S


def market(name: str) -> Any:
    return VENUE.markets[MarketId(name)]


def instrument(name: str, symbol: str) -> Instrument:
    made: Instrument = market(name).instrument(symbol)
    return made


def feed(name: str, *subscriptions: Subscription, sequenced: bool = True) -> Feed:
    made: Feed = market(name).feed(Connection(f"/v5/public/{name}", subscriptions, sequenced))
    return made


def wants(name: str, symbol: str, channel: Channel, interval: Interval | None = None) -> Subscription:
    return Subscription(channel, instrument(name, symbol), interval)


def decode(codec: Feed, *frames: bytes) -> tuple[list[VenueEvent], list[Effect]]:
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    codec.decode(frames, NOW_NS, events, effects)
    return events, effects


def one(codec: Feed, frame: bytes) -> VenueEvent:
    events, effects = decode(codec, frame)
    assert effects == []
    (event,) = events
    return event


def opened(codec: Feed) -> list[Any]:
    effects: list[Effect] = []
    codec.opened(NOW_NS, effects)
    return sent(effects)


def ticked(codec: Feed, now_ns: int) -> list[Effect]:
    effects: list[Effect] = []
    codec.ticked(now_ns, effects)
    return effects


def sent(effects: Iterable[Effect]) -> list[Any]:
    return [msgspec.json.decode(e.payload) for e in effects if isinstance(e, Send)]


def asked(messages: Iterable[Any]) -> list[tuple[str, list[str]]]:
    return [(m["op"], m["args"]) for m in messages]


def ack(request_id: str, reason: str = "", *, success: bool = True) -> bytes:
    return json.dumps(
        {"success": success, "ret_msg": reason, "conn_id": "x", "req_id": request_id, "op": "subscribe"}
    ).encode()


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def book(
    kind: str, number: int, *, symbol: str = "BTCUSDT", depth: int = 200, bids: list[list[str]] | None = None
) -> bytes:
    data = {"s": symbol, "b": bids or [["10.0", str(number)]], "a": [], "u": number, "seq": 5 * number}
    return compact({"topic": f"orderbook.{depth}.{symbol}", "type": kind, "ts": number, "data": data, "cts": number})


def kline(symbol: str = "BTCUSDT", interval: str = "1", **changed: object) -> bytes:
    bar = {
        "start": 1_786_540_380_000, "end": 1_786_540_439_999, "interval": interval, "open": "3", "close": "2.50",
        "high": "4", "low": "2", "volume": "10", "turnover": "30.0", "confirm": False, "timestamp": 1_786_540_381_441,
    }  # fmt: skip
    frame = {
        "topic": f"kline.{interval}.{symbol}",
        "data": [bar | changed],
        "ts": 1_786_540_381_441,
        "type": "snapshot",
    }
    return compact(frame)


def fills(*ids: str, symbol: str = "BTCUSDT", **changed: object) -> bytes:
    data = [{"T": 9, "s": symbol, "S": "Buy", "v": "0.5", "p": "7", "i": i, "BT": False} | changed for i in ids]
    return compact({"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": 10, "data": data})


TICKER = compact(
    {"topic": "tickers.BTCUSDT", "type": "snapshot", "ts": 8, "cs": 5, "data": {
        "symbol": "BTCUSDT", "lastPrice": "2", "bid1Price": "1", "bid1Size": "4", "ask1Price": "3", "ask1Size": "5"}}
)  # fmt: skip


def test_a_candle_has_its_symbol_from_the_topic_and_its_time_from_the_frame(fixture: Callable[[str], bytes]) -> None:
    """T31: the interval is the topic's too; M16: the time at which the frame was made is not the time of the bar."""
    codec = feed("linear", wants("linear", "BTCUSDT", Channel.CANDLES, Interval.M5))
    assert one(codec, fixture("kline.json")) == Candle(
        instrument("linear", "BTCUSDT"), Interval.M5, 1_672_324_800 * NS_PER_S, 1_672_325_100 * NS_PER_S,
        Decimal("16649.5"), Decimal(16677), Decimal(16608), Decimal(16677), Decimal("2.081"), Decimal("34666.4005"),
        None, None, False, 1_672_324_988_882 * NS_PER_MS, NOW_NS,
    )  # fmt: skip


def test_t12_m17_volumes_of_inverse_contracts_are_contracts_and_base() -> None:
    candle = one(feed("inverse"), kline("BTCUSD", volume="268611", turnover="15.7"))
    assert isinstance(candle, Candle)
    volumes = (candle.base_volume, candle.quote_volume, candle.contracts)
    assert volumes == (Decimal("15.7"), Decimal(268611), Decimal(268611))
    assert candle.trade_count is None, "M17: not zero where the venue does not say"


def test_t16_digits_stay_as_the_venue_sent_them() -> None:
    candle = one(feed("spot"), kline())
    assert isinstance(candle, Candle)
    assert (str(candle.close), str(candle.quote_volume)) == ("2.50", "30.0")


def test_a_candle_is_closed_where_the_venue_confirms_it() -> None:
    codec = feed("spot")
    assert [getattr(one(codec, kline(confirm=flag)), "closed", None) for flag in (False, True)] == [False, True]


@pytest.mark.parametrize(("name", "interval"), INTERVALS.items())
def test_t31_candles_lie_on_the_grid_of_their_interval(name: str, interval: Interval) -> None:
    open_ns = interval.open_of(NOW_NS)
    candle = one(feed("spot"), kline(interval=name, start=open_ns // NS_PER_MS))
    assert isinstance(candle, Candle)
    assert (candle.interval, candle.open_ns, candle.close_ns) == (interval, open_ns, interval.next_open(open_ns))
    events, effects = decode(feed("spot"), kline(interval=name, start=open_ns // NS_PER_MS + 1))
    assert events == []
    assert isinstance(effects[0], Refused)


def test_t1_a_candle_before_the_acknowledgement_is_told_and_the_acknowledgement_resets_nothing() -> None:
    codec = feed("linear", wants("linear", "BTCUSDT", Channel.CANDLES, Interval.M1))
    (message,) = opened(codec)
    events, effects = decode(codec, kline(), ack(message["req_id"]), kline(close="3"))
    assert [type(e) for e in events] == [Candle, Candle]
    assert effects == []


def test_t17_the_market_comes_from_the_connection() -> None:
    assert [one(feed(name), kline()).instrument.id for name in ("spot", "linear")] == [
        "bybit:spot:BTCUSDT",
        "bybit:linear:BTCUSDT",
    ]
    events, effects = decode(feed("inverse"), kline())
    assert events == []
    assert isinstance(effects[0], Refused)


def test_trades_have_ids_without_numbers_and_the_time_of_the_fill() -> None:
    codec = feed("linear", wants("linear", "BTCUSDT", Channel.TRADES))
    events, effects = decode(codec, fills("0cbf2330-952d", "2290000001190010739", S="Sell"))
    assert effects == []
    assert events == [
        Trade(
            instrument("linear", "BTCUSDT"), name, None, Decimal(7), Decimal("0.5"), Side.SELL, TradeCause.MARKET,
            9 * NS_PER_MS, NOW_NS,
        )
        for name in ("0cbf2330-952d", "2290000001190010739")
    ]  # fmt: skip
    assert market("linear").trade_request is None


@pytest.mark.parametrize("changed", [{"v": "-1"}, {"v": "NaN"}, {"p": "x"}, {"S": "Both"}, {"T": -1}, {"s": "OTHER"}])
def test_a_frame_with_one_bad_trade_is_refused_whole_and_costs_no_other(changed: dict[str, object]) -> None:
    frame = json.loads(fills("a", "b"))
    frame["data"][1] |= changed
    codec = feed("linear", wants("linear", "BTCUSDT", Channel.TRADES))
    events, effects = decode(codec, compact(frame), fills("c"))
    assert [e.trade_id for e in events if isinstance(e, Trade)] == ["c"]
    assert [type(e) for e in effects] == [Refused]
    assert isinstance(effects[0], Refused)
    assert effects[0].index == 0


def test_the_ticker_of_spot_comes_from_two_topics_and_that_of_contracts_from_one() -> None:
    spot = feed("spot", wants("spot", "BTCUSDT", Channel.TICKER))
    assert asked(opened(spot)) == [("subscribe", ["tickers.BTCUSDT", "orderbook.1.BTCUSDT"])]
    top = one(spot, book("snapshot", 7, depth=1, bids=[["9", "1"]]))
    assert top == BookTop(instrument("spot", "BTCUSDT"), Decimal(9), Decimal(1), None, None, 35, 7 * NS_PER_MS, NOW_NS)
    linear = feed("linear", wants("linear", "BTCUSDT", Channel.TICKER))
    assert asked(opened(linear)) == [("subscribe", ["tickers.BTCUSDT"])]
    events, _ = decode(linear, TICKER)
    assert [type(e) for e in events] == [BookTop, DayStatistics]


def test_t19_deltas_of_one_instrument_do_not_change_another() -> None:
    codec = feed("linear", *(wants("linear", s, Channel.TICKER) for s in ("BTCUSDT", "ETHUSDT")))
    decode(codec, TICKER)
    delta = (
        b'{"topic":"tickers.ETHUSDT","type":"delta","ts":9,"data":{"symbol":"ETHUSDT","bid1Price":"1","bid1Size":"1"}}'
    )
    assert decode(codec, delta) == ([], [])


def test_a_book_is_a_snapshot_and_the_deltas_that_follow() -> None:
    codec = feed("linear", wants("linear", "BTCUSDT", Channel.BOOK))
    assert asked(opened(codec)) == [("subscribe", ["orderbook.200.BTCUSDT"])]
    events, effects = decode(codec, book("snapshot", 10), book("delta", 11))
    coin = instrument("linear", "BTCUSDT")
    levels = [[(Decimal("10.0"), Decimal(number))] for number in (10, 11)]
    assert events == [
        BookSnapshot(coin, levels[0], [], 10, 10 * NS_PER_MS, NOW_NS),
        BookDelta(coin, levels[1], [], 11, 11, 11 * NS_PER_MS, NOW_NS),
    ]
    assert effects == []


def test_after_a_gap_the_topic_is_given_up_and_asked_for_again() -> None:
    codec = feed("linear", wants("linear", "BTCUSDT", Channel.BOOK))
    opened(codec)
    events, effects = decode(codec, book("snapshot", 10), book("delta", 12), book("delta", 13), book("snapshot", 20))
    assert [type(e) for e in events] == [BookSnapshot, Gap, BookSnapshot]
    assert asked(sent(effects)) == [
        ("unsubscribe", ["orderbook.200.BTCUSDT"]),
        ("subscribe", ["orderbook.200.BTCUSDT"]),
    ]
    assert codec.book_counters() == {"BTCUSDT": {"dropped": 2, "applied": 0, "gaps": 1, "resyncs": 0, "restarts": 0}}


def test_t5_number_one_is_a_whole_book_whatever_the_frame_calls_it() -> None:
    codec = feed("spot", wants("spot", "BTCUSDT", Channel.BOOK))
    events, effects = decode(codec, book("snapshot", 10), book("delta", 1), book("delta", 2))
    assert [type(e) for e in events] == [BookSnapshot, BookSnapshot, BookDelta]
    assert effects == []
    assert codec.book_counters()["BTCUSDT"]["restarts"] == 1


def test_a_book_whose_snapshot_does_not_come_is_asked_for_again() -> None:
    codec = feed("linear", wants("linear", "BTCUSDT", Channel.BOOK))
    (message,) = opened(codec)
    decode(codec, ack(message["req_id"]))
    said = [asked(m for m in sent(ticked(codec, NOW_NS + s * NS_PER_S)) if m["op"] != "ping") for s in range(12)]
    assert [i for i, messages in enumerate(said) if messages] == [5, 10]


def test_books_of_two_depths_are_not_mixed() -> None:
    codec = feed("spot")
    events, _ = decode(
        codec, book("snapshot", 10, depth=50), book("snapshot", 90, depth=200), book("delta", 11, depth=50)
    )
    assert [e.sequence for e in events if isinstance(e, BookSnapshot | BookDelta)] == [10, 11]
    assert codec.ignored == 1


def test_unsequenced_deltas_are_told_as_they_come() -> None:
    events, effects = decode(feed("spot", sequenced=False), book("delta", 5), book("delta", 60))
    assert [e.sequence for e in events if isinstance(e, BookDelta)] == [5, 60]
    assert effects == []


def test_m13_m12_t27_a_quiet_socket_pings_within_twenty_seconds_and_nothing_else() -> None:
    codec = feed("spot", wants("spot", "BTCUSDT", Channel.TRADES))
    (message,) = opened(codec)
    decode(codec, ack(message["req_id"]))
    pings = []
    for second in range(1, 601):
        effects = ticked(codec, NOW_NS + second * NS_PER_S)
        if effects:
            assert effects == [Send(PING, heartbeat=True)]
            pings.append(second)
            assert decode(codec, b'{"success":true,"ret_msg":"pong","conn_id":"x","op":"ping"}') == ([], [])
    assert pings == list(range(19, 601, 19))
    assert PING_NS < 20 * NS_PER_S


def test_a_clock_set_back_does_not_silence_the_heartbeat() -> None:
    codec = feed("spot", wants("spot", "BTCUSDT", Channel.TRADES))
    opened(codec)
    assert Send(PING, heartbeat=True) in ticked(codec, NOW_NS - 3600 * NS_PER_S)


def test_before_it_is_open_a_feed_says_nothing() -> None:
    codec = feed("spot", wants("spot", "BTCUSDT", Channel.BOOK))
    effects: list[Effect] = []
    codec.change([wants("spot", "ETHUSDT", Channel.BOOK)], effects)
    assert effects == []
    assert ticked(codec, NOW_NS) == []
    assert asked(opened(codec)) == [("subscribe", ["orderbook.200.ETHUSDT"])]


@pytest.mark.parametrize(("count", "messages"), [(10, 1), (11, 2), (80, 8), (81, 9)])
def test_m14_t30_spot_asks_for_ten_topics_a_request_and_a_few_requests_a_second(count: int, messages: int) -> None:
    codec = feed("spot", *(wants("spot", f"S{i}USDT", Channel.TRADES) for i in range(count)))
    first = opened(codec)
    second = sent(ticked(codec, NOW_NS + NS_PER_S))
    assert len(first) == min(messages, MESSAGES_PER_TICK)
    assert len(first) + len(second) == messages
    assert all(len(m["args"]) <= 10 for m in first + second)
    assert sum(len(m["args"]) for m in first + second) == count


def test_t30_contracts_are_asked_for_all_at_once() -> None:
    codec = feed("linear", *(wants("linear", f"S{i}USDT", Channel.TRADES) for i in range(500)))
    assert [len(m["args"]) for m in opened(codec)] == [500]


def test_changes_in_a_row_leave_no_faster_than_the_budget() -> None:
    codec = feed("linear", wants("linear", "BTCUSDT", Channel.TRADES))
    opened(codec)
    effects: list[Effect] = []
    for i in range(20):
        codec.change([wants("linear", f"S{i}USDT", Channel.TRADES)], effects)
    assert len(effects) == MESSAGES_PER_TICK - 1
    assert len(ticked(codec, NOW_NS + NS_PER_S)) == MESSAGES_PER_TICK


def test_a_change_gives_up_and_asks_for_what_differs() -> None:
    trades = wants("spot", "BTCUSDT", Channel.TRADES)
    codec = feed("spot", trades, wants("spot", "BTCUSDT", Channel.BOOK))
    opened(codec)
    effects: list[Effect] = []
    codec.change([trades, wants("spot", "ETHUSDT", Channel.CANDLES, Interval.D1)], effects)
    assert asked(sent(effects)) == [("unsubscribe", ["orderbook.200.BTCUSDT"]), ("subscribe", ["kline.D.ETHUSDT"])]
    assert decode(codec, book("snapshot", 5)) == ([], [])
    assert (codec.ignored, codec.book_counters()) == (1, {})
    assert isinstance(one(codec, fills("a")), Trade)


def test_a_topic_that_was_left_and_is_wanted_again_starts_afresh() -> None:
    ticker = wants("linear", "BTCUSDT", Channel.TICKER)
    codec = feed("linear", ticker)
    opened(codec)
    decode(codec, TICKER)
    for wanted in ([], [ticker]):
        codec.change(wanted, [])
    delta = (
        b'{"topic":"tickers.BTCUSDT","type":"delta","ts":9,"data":{"symbol":"BTCUSDT","bid1Price":"9","bid1Size":"1"}}'
    )
    assert decode(codec, delta) == ([], []), "the ask of before is not known any more"


def test_m11_a_refused_topic_is_told_as_its_subscription_and_the_others_are_asked_for_again() -> None:
    good, bad = wants("linear", "BTCUSDT", Channel.TRADES), wants("linear", "NOPEUSDT", Channel.TRADES)
    codec = feed("linear", good, bad)
    (message,) = opened(codec)
    reason = "error:handler not found,topic:publicTrade.NOPEUSDT"
    _, effects = decode(codec, ack(message["req_id"], reason, success=False))
    assert VenueError("subscribe", reason, (bad,)) in effects
    assert asked(sent(effects)) == [("subscribe", ["publicTrade.BTCUSDT"])]
    effects.clear()
    codec.change([good], effects)
    assert effects == [], "what was refused need not be given up"


def test_m11_a_refusal_that_names_nothing_is_narrowed_down() -> None:
    wanted = [wants("linear", f"S{i}USDT", Channel.TRADES) for i in range(5)]
    codec = feed("linear", *wanted)
    waiting = opened(codec)
    refused: list[VenueError] = []
    carried: set[str] = set()
    now_ns = NOW_NS
    while waiting:
        message = waiting.pop()
        fails = "publicTrade.S3USDT" in message["args"]
        if not fails:
            carried.update(message["args"])
        _, effects = decode(codec, ack(message["req_id"], "args error" if fails else "", success=not fails))
        now_ns += NS_PER_S
        effects += ticked(codec, now_ns)
        refused += [e for e in effects if isinstance(e, VenueError)]
        waiting += [m for m in sent(effects) if m["op"] != "ping"]
    assert refused == [VenueError("subscribe", "args error", (wanted[3],))]
    assert carried == {f"publicTrade.S{i}USDT" for i in (0, 1, 2, 4)}


def test_what_is_served_already_is_no_error() -> None:
    codec = feed("linear", *(wants("linear", s, Channel.TRADES) for s in ("AUSDT", "BUSDT")))
    (message,) = opened(codec)
    _, effects = decode(
        codec, ack(message["req_id"], "error:already subscribed,topic:publicTrade.AUSDT", success=False)
    )
    assert asked(sent(effects)) == [("subscribe", ["publicTrade.BUSDT"])]
    assert [e for e in effects if isinstance(e, VenueError)] == []


def test_a_refusal_of_giving_up_is_nothing_to_tell() -> None:
    codec = feed("linear", wants("linear", "BTCUSDT", Channel.TRADES))
    opened(codec)
    effects: list[Effect] = []
    codec.change([], effects)
    (message,) = sent(effects)
    assert decode(codec, ack(message["req_id"], "error:not subscribed", success=False)) == ([], [])


def test_a_refusal_of_nothing_that_was_asked_is_told_where_nothing_was() -> None:
    frame = ack("77", "error:invalid op", success=False)
    assert decode(feed("spot"), frame) == ([], [VenueError("subscribe", "error:invalid op")])
    _, effects = decode(feed("spot", wants("spot", "BTCUSDT", Channel.TRADES)), frame)
    assert effects == [Refused(0, "a refusal of nothing that was asked: error:invalid op")]


def test_a_message_without_an_answer_costs_the_connection() -> None:
    codec = feed("spot", *(wants("spot", f"S{i}USDT", Channel.TRADES) for i in range(11)))
    first, second = opened(codec)
    decode(codec, ack(first["req_id"]))
    assert ticked(codec, NOW_NS + ACKNOWLEDGED_NS_MAX - 1) == []
    assert ticked(codec, NOW_NS + ACKNOWLEDGED_NS_MAX) == [Reconnect("a subscription was not acknowledged")]
    assert second["args"] == ["publicTrade.S10USDT"]


def test_documented_frames_without_a_use_for_us_are_silent(fixture: Callable[[str], bytes]) -> None:
    frames = [
        fixture("pong.json"), fixture("pong_option.json"), fixture("pong_private.json"), fixture("ack.json"),
        b'{"topic":"priceLimit.BTCUSDT","ts":1,"data":{"symbol":"BTCUSDT","buyLmt":"1","sellLmt":"2"}}',
        b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1,"data":[{"T":1,"s":"BTCUSDT","S":"Sell"}]}',
        b'{"topic":"orderbook.rpi.BTCUSDT","type":"snapshot","ts":1,"data":{"s":"BTCUSDT","b":[],"a":[],"u":1}}',
        b'{"topic":"tickers_lt.EOS3LUSDT","type":"snapshot","ts":1,"data":{"symbol":"EOS3LUSDT","lastPrice":"1"}}',
        b'{"topic":"execution.fast","creationTime":1,"data":[]}',
        b'{"success":true,"conn_id":"x","data":{"failTopics":[],"successTopics":["a"]},"type":"COMMAND_RESP"}',
    ]  # fmt: skip
    assert decode(feed("linear"), *frames) == ([], [])
    closed = feed("linear", wants("linear", "BTCUSDT", Channel.TRADES))
    assert decode(closed, *frames) == ([], [])
    assert closed.ignored == 5


@pytest.mark.parametrize(
    "frame",
    [b"pong", b"", b'""', b"[]", b"{}", b"{", b'{"topic":1}', b'{"topic":"weather.BTCUSDT","data":{}}', b"\xff",
     b'{"topic":"kline.7.BTCUSDT","ts":1,"data":[]}', b"[" * 10_000,
     b'{"topic":"publicTrade.BTCUSDT.X","data":[]}', b'{"topic":"orderbook.200.BTC/USDT","type":"snapshot"}'],
)  # fmt: skip
def test_t18_what_is_not_documented_is_refused_at_its_index(frame: bytes) -> None:
    events, effects = decode(feed("spot"), fills("a"), frame, fills("b"))
    assert len(events) == 2
    (refused,) = effects
    assert isinstance(refused, Refused)
    assert refused.index == 1
    assert refused.reason


def test_the_order_of_fields_does_not_matter() -> None:
    for frame in (kline(), fills("a"), TICKER, book("snapshot", 7), book("snapshot", 7, depth=1)):
        backwards = compact(dict(reversed(json.loads(frame).items())))
        spaced = json.dumps(json.loads(frame)).encode()
        codecs = [feed("linear") for _ in range(3)]
        expected, first, second = (decode(c, f) for c, f in zip(codecs, (frame, backwards, spaced), strict=True))
        assert expected[0]
        assert expected == first == second


def test_a_topic_whose_data_is_of_another_kind_is_refused() -> None:
    for topic, frame in ((b"tickers.BTCUSDT", fills("a")), (b"publicTrade.BTCUSDT", TICKER)):
        frame = compact(json.loads(frame) | {"topic": topic.decode()})
        events, effects = decode(feed("linear"), frame)
        assert events == []
        assert isinstance(effects[0], Refused)


def test_pages_ask_for_the_next_page_and_the_streams_time_closes_a_last_row() -> None:
    codec = feed("spot")
    coin = instrument("spot", "BTCUSDT")
    open_ns = 1_786_540_320 * NS_PER_S
    request = market("spot").candle_request(CandlePage(coin, Interval.M1, open_ns, None))
    result = {"category": "spot", "symbol": "BTCUSDT", "list": [[str(open_ns // NS_PER_MS), *"111111"]]}
    body = json.dumps({"retCode": 0, "result": result}).encode()
    decode(codec, kline())  # made 1.4 s after the row's end
    for later_ms, closed in ((0, False), (9_000, True)):
        frame = json.loads(kline())
        frame["ts"] += later_ms
        decode(codec, compact(frame))
        events: list[VenueEvent] = []
        effects: list[Effect] = []
        codec.fetched(request, body, NOW_NS, events, effects)
        assert [e.closed for e in events if isinstance(e, Candle)] == [closed]
        assert effects == []
    page = CandlePage(coin, Interval.M1, open_ns, open_ns + 10**15)
    codec.fetched(market("spot").candle_request(page), body, NOW_NS, [], effects)
    following = CandlePage(coin, Interval.M1, open_ns + 999 * 60 * NS_PER_S, open_ns + 10**15)
    assert [e.request.purpose for e in effects if isinstance(e, Fetch)] == [following]


def test_t20_an_answer_that_is_a_refusal_is_refused() -> None:
    codec = feed("spot")
    request = market("spot").candle_request(CandlePage(instrument("spot", "BTCUSDT"), Interval.M1, 0, None))
    effects: list[Effect] = []
    codec.fetched(request, b'{"retCode":10006,"retMsg":"Too many visits!","result":{}}', NOW_NS, [], effects)
    assert effects == [Refused(-1, "/v5/market/kline: Too many visits! (code 10006)")]
    codec.failed(request, "late", NOW_NS, effects)
    assert len(effects) == 1


def test_the_venue_declares_itself_whole() -> None:
    assert VENUE.default_market == "spot"
    assert {name: m.aliases for name, m in VENUE.markets.items()} == {
        "spot": (),
        "linear": ("um", "usd-m", "perp"),
        "inverse": ("cm", "coin-m"),
    }
    for name, declared in VENUE.markets.items():
        assert (declared.venue, declared.market) == ("bybit", name)
        limits = declared.limits
        assert limits.connects_max <= 500, "of one address, in 5 minutes, all markets together"
        assert limits.weight_max <= 600, "of one address, in 5 s, all markets together"
        assert limits.weight_pool == limits.connect_pool != ""
        assert (limits.connects_window_s, limits.weight_window_s) == (300, 5)
        assert dict(declared.instruments_request().query) == {"category": name, "limit": "1000"}
        assert declared.intervals == tuple(INTERVALS.values())


FRAMES = st.sampled_from(
    [TICKER, kline(), kline("BTCUSD"), fills("a", "b"), book("snapshot", 1), book("delta", 2),
     book("snapshot", 1, depth=1), ack("1"), ack("1", "x", success=False),
     ack("1", "error:handler not found,topic:orderbook.200.BTCUSDT", success=False)]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real frame with some bytes replaced, removed, doubled or inserted."""
    frame = bytearray(draw(FRAMES))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(frame)))
        end = min(len(frame), at + draw(st.integers(0, 8)))
        frame[at:end] = draw(
            st.binary(max_size=6) | st.sampled_from([b"NaN", b"null", b"[", b'"', b"1e9999", b"-", b"{}", b'""'])
        )
    return bytes(frame)


@given(
    st.sampled_from(MARKETS),
    st.booleans(),
    st.booleans(),
    st.lists(st.binary(max_size=200) | mutated() | FRAMES, min_size=1, max_size=5),
)
def test_no_bytes_make_it_raise(name: str, all_welcome: bool, sequenced: bool, frames: list[bytes]) -> None:
    """Whatever arrives: each frame is told, ignored, refused at its index, or acted on; never an exception."""
    symbol = "BTCUSD" if name == "inverse" else "BTCUSDT"
    channels = (Channel.BOOK, Channel.TICKER, Channel.TRADES)
    subscriptions = () if all_welcome else tuple(wants(name, symbol, channel) for channel in channels)
    codec = feed(name, *subscriptions, sequenced=sequenced)
    opened(codec)
    events, effects = decode(codec, *frames)
    ticked(codec, NOW_NS + NS_PER_S)
    assert all(0 <= e.index < len(frames) for e in effects if isinstance(e, Refused))
    for event in events:
        for value in (getattr(event, field) for field in event.__struct_fields__):
            if isinstance(value, Decimal):
                assert value.is_finite()
                assert value >= 0
                assert len(value.as_tuple().digits) <= 38


@given(st.sampled_from(MARKETS), st.binary(max_size=200))
def test_no_answer_makes_it_raise(name: str, body: bytes) -> None:
    codec = feed(name)
    coin = instrument(name, "BTCUSD" if name == "inverse" else "BTCUSDT")
    for purpose in (CandlePage(coin, Interval.M1, 0, None), BookPage(coin)):
        events: list[VenueEvent] = []
        effects: list[Effect] = []
        codec.fetched(Request("/x", (), 1, purpose), body, NOW_NS, events, effects)
        assert all(isinstance(e, Refused) and e.index == -1 for e in effects)
