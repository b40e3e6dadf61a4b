"""The codec of one socket: frames in, events and effects out."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Gap, Side, Source, Trade, TradeCause
from heliograph.venues import find_market, find_venue
from heliograph.venues.binance.market import LIFE_NS_MAX, Feed
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
    TradePage,
    VenueError,
)
from heliograph.venues.subscribing import ACKNOWLEDGED_NS_MAX

MARKETS = ("spot", "usdm", "coinm")
NOW_NS = 1_770_000_000 * NS_PER_S


def market(name: str) -> Any:
    return find_market(find_venue("binance"), name)


def instrument(name: str, symbol: str) -> Instrument:
    made: Instrument = market(name).instrument(symbol)
    return made


def feed(name: str, *subscriptions: Subscription, path: str = "/stream", sequenced: bool = True) -> Feed:
    made: Feed = market(name).feed(Connection(path, subscriptions, sequenced))
    return made


def wants(name: str, symbol: str, channel: Channel, interval: Interval | None = None) -> Subscription:
    return Subscription(channel, instrument(name, symbol), interval)


def decode(codec: Feed, *frames: bytes, received_ns: int = NOW_NS) -> tuple[list[VenueEvent], list[Effect]]:
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    codec.decode(frames, received_ns, events, effects)
    return events, effects


def one(codec: Feed, frame: bytes) -> VenueEvent:
    events, effects = decode(codec, frame)
    assert effects == []
    (event,) = events
    return event


def changed(frame: bytes, **fields: object) -> bytes:
    raw = json.loads(frame)
    raw["data"].update(fields)
    return json.dumps(raw).encode()


def bar_changed(frame: bytes, **fields: object) -> bytes:
    raw = json.loads(frame)
    raw["data"]["k"].update(fields)
    return json.dumps(raw).encode()


def depth(first: int, last: int, previous: int | None = None, symbol: str = "BTCUSDT") -> bytes:
    data = {"e": "depthUpdate", "E": last, "s": symbol, "U": first, "u": last, "b": [["10.0", str(last)]], "a": []}
    if previous is not None:
        data["pu"] = previous
    return json.dumps({"stream": f"{symbol.lower()}@depth@100ms", "data": data}).encode()


def book_answer(number: int) -> bytes:
    return b'{"lastUpdateId":%d,"bids":[["10.0","1"]],"asks":[["11.0","1"]]}' % number


TOP = (
    b'{"stream":"bnbusdt@bookTicker","data":{"u":400900217,"s":"BNBUSDT","b":"25.35","B":"31.21",'
    b'"a":"25.36","A":"40.66"}}'
)
AGG = (
    b'{"stream":"bnbbtc@aggTrade","data":{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.001",'
    b'"q":"100","f":100,"l":105,"T":1672515782130,"m":true,"M":true}}'
)


def test_a_candle_of_spot(fixture: Callable[[str], bytes]) -> None:
    codec = feed("spot", wants("spot", "BNBBTC", Channel.CANDLES, Interval.M1))
    assert one(codec, fixture("kline_spot.json")) == Candle(
        instrument("spot", "BNBBTC"),
        Interval.M1,
        1_672_515_780 * NS_PER_S,
        1_672_515_840 * NS_PER_S,
        Decimal("0.0010"),
        Decimal("0.0025"),
        Decimal("0.0009"),
        Decimal("0.0020"),
        Decimal(1000),
        Decimal("1.0000"),
        None,
        100,
        True,
        1_672_515_782_136 * NS_PER_MS,
        NOW_NS,
        Source.STREAM,
    )


def test_a_candle_of_coinm_has_contracts_and_base_volume_and_no_quote_volume(fixture: Callable[[str], bytes]) -> None:
    candle = one(feed("coinm"), fixture("kline_coinm.json"))
    assert isinstance(candle, Candle)
    assert (candle.contracts, candle.base_volume, candle.quote_volume) == (Decimal(156), Decimal("1.61836886"), None)
    assert candle.closed is False


def test_a_candle_without_trades_is_a_candle(fixture: Callable[[str], bytes]) -> None:
    candle = one(feed("spot"), fixture("kline_without_trades.json"))
    assert isinstance(candle, Candle)
    assert (candle.trade_count, candle.base_volume, candle.closed) == (0, Decimal(0), True)


def test_digits_stay_as_the_venue_sent_them(fixture: Callable[[str], bytes]) -> None:
    candle = one(feed("spot"), bar_changed(fixture("kline_spot.json"), c="0.00200", v="1000.000"))
    assert isinstance(candle, Candle)
    assert (str(candle.close), str(candle.base_volume)) == ("0.00200", "1000.000")


def test_a_month_is_not_a_minute(fixture: Callable[[str], bytes]) -> None:
    candle = one(
        feed("spot"), bar_changed(fixture("kline_spot.json"), i="1M", t=1_767_225_600_000, T=1_769_903_999_999)
    )
    assert isinstance(candle, Candle)
    assert (candle.interval, candle.close_ns) == (Interval.MO1, 1_769_904_000 * NS_PER_S)


def test_the_book_top_of_spot_has_no_name_and_no_time() -> None:
    top = one(feed("spot", wants("spot", "BNBUSDT", Channel.TICKER)), TOP)
    prices = (Decimal("25.35"), Decimal("31.21"), Decimal("25.36"), Decimal("40.66"))
    assert top == BookTop(instrument("spot", "BNBUSDT"), *prices, 400900217, None, NOW_NS)


def test_a_side_without_orders_is_none() -> None:
    top = one(feed("spot"), changed(TOP, b="0.00000000", B="0.00000000"))
    assert isinstance(top, BookTop)
    assert (top.bid, top.bid_quantity, top.ask) == (None, None, Decimal("25.36"))


def test_the_book_top_of_spot_is_read_in_any_order_of_fields() -> None:
    data = {"A": "1", "B": "2", "a": "4", "b": "3", "s": "BNBUSDT", "u": 5}
    top = one(feed("spot"), json.dumps({"data": data, "stream": "x"}).encode())
    assert isinstance(top, BookTop)
    assert (top.bid, top.ask, top.sequence) == (Decimal(3), Decimal(4), 5)


def test_an_aggregate_trade_is_numbered_and_dated_by_the_trade() -> None:
    trade = one(feed("spot"), AGG)
    assert trade == Trade(
        instrument("spot", "BNBBTC"), "12345", 12345, Decimal("0.001"), Decimal(100),
        Side.SELL, TradeCause.MARKET, 1_672_515_782_130 * NS_PER_MS, NOW_NS,
    )  # fmt: skip


def test_new_fields_at_the_end_of_a_spot_frame_cost_nothing() -> None:
    """A text at the very end makes a frame look like a book top; it is read as what it is."""
    for frame in (changed(AGG, zz="text"), changed(TOP, zz="text")):
        assert one(feed("spot"), frame.replace(b", ", b",").replace(b": ", b":")) is not None


@pytest.mark.parametrize(
    ("cause", "expected"), [("MARKET", TradeCause.MARKET), ("INSURANCE_FUND", TradeCause.LIQUIDATION),
                            ("ADL", TradeCause.DELEVERAGING)],
)  # fmt: skip
def test_a_single_trade_says_why_and_has_no_sequence(cause: str, expected: TradeCause) -> None:
    frame = b'{"e":"trade","E":9,"T":8,"s":"BTCUSDT","t":77,"p":"2","q":"3","X":"%s","m":false}' % cause.encode()
    trade = one(feed("usdm"), frame)
    assert isinstance(trade, Trade)
    assert (trade.cause, trade.trade_id, trade.sequence, trade.side) == (expected, "77", None, Side.BUY)


def test_a_trade_that_is_none_is_passed_over_and_an_unknown_cause_refused() -> None:
    frame = b'{"e":"trade","E":9,"T":8,"s":"BTCUSDT","t":77,"p":"0","q":"0","X":"%s","m":false}'
    assert decode(feed("usdm"), frame % b"NA") == ([], [])
    _, effects = decode(feed("usdm"), frame % b"WHIM")
    assert effects == [Refused(0, "an unknown cause of a trade: 'WHIM'")]


def test_streams_of_both_futures_markets_are_not_mixed(fixture: Callable[[str], bytes]) -> None:
    frame = fixture("tickers_both_markets.json")
    for name, symbol, contracts in (("usdm", "BTCUSDT", None), ("coinm", "BTCUSD_PERP", Decimal(2247374))):
        codec = feed(name)
        day = one(codec, frame)
        assert isinstance(day, DayStatistics)
        assert (day.instrument.id, day.contracts) == (f"binance:{name}:{symbol}", contracts)
        assert codec.ignored == 1


def test_a_symbol_of_another_market_is_refused_where_all_are_welcome(fixture: Callable[[str], bytes]) -> None:
    for name in ("spot", "usdm"):
        events, effects = decode(feed(name), fixture("kline_coinm.json"))
        assert events == []
        assert isinstance(effects[0], Refused)


def test_the_last_frames_of_a_stream_that_was_left_are_counted_not_told(fixture: Callable[[str], bytes]) -> None:
    codec = feed("spot", wants("spot", "ETHBTC", Channel.CANDLES, Interval.M1))
    assert decode(codec, fixture("kline_spot.json"), TOP, AGG, depth(1, 2)) == ([], [])
    assert codec.ignored == 4


def test_documented_frames_without_a_use_for_us_are_silent(fixture: Callable[[str], bytes]) -> None:
    frames = [
        fixture("ack.json"), b'{"result":["btcusdt@trade"],"id":3}',
        b'{"id":"abc","status":200,"result":{},"rateLimits":[]}',
        b'{"stream":"!markPrice@arr@1s","data":[{"e":"markPriceUpdate","s":"BTCUSDT","p":"1"}]}',
        b'{"e":"forceOrder","E":1,"o":{"s":"BTCUSDT"}}', b'[{"e":"24hrMiniTicker","s":"BTCUSDT"}]',
        b'{"subscriptionId":0,"event":{"e":"executionReport","s":"BTCUSDT","u":"x"}}', b"[]",
    ]  # fmt: skip
    for codec in (feed("usdm"), feed("usdm", wants("usdm", "BTCUSDT", Channel.TRADES), path="/market/stream")):
        assert decode(codec, *frames) == ([], [])


def test_the_venues_refusals_reach_whoever_asked(fixture: Callable[[str], bytes]) -> None:
    _, effects = decode(feed("spot"), fixture("error.json"), fixture("error_nested.json"))
    assert effects == [
        VenueError("2", "Invalid request: unknown variant"),
        VenueError("-1121", "Invalid symbol."),
    ]


def test_a_refused_message_costs_its_own_subscriptions_only() -> None:
    """Many clients share a socket: what the venue will not serve one of them, it goes on serving the others."""
    bitcoin, bnb = wants("spot", "BTCUSDT", Channel.TRADES), wants("spot", "BNBBTC", Channel.TRADES)
    codec = feed("spot", bitcoin)
    codec.opened(0, [])
    codec.change([bitcoin, bnb], [])
    codec.ticked(10**9, [])
    _, effects = decode(codec, b'{"id":1,"result":null}', b'{"id":2,"error":{"code":2,"msg":"unknown variant"}}')
    assert effects == [VenueError("2", "unknown variant", (bnb,))]


def test_a_refusal_to_leave_a_stream_refuses_no_subscription() -> None:
    bitcoin, bnb = wants("spot", "BTCUSDT", Channel.TRADES), wants("spot", "BNBBTC", Channel.TRADES)
    codec = feed("spot", bitcoin, bnb)
    codec.opened(0, [])
    codec.change([bitcoin], [])
    codec.ticked(10**9, [])
    _, effects = decode(codec, b'{"id":2,"error":{"code":2,"msg":"unknown variant"}}')
    assert effects == [Refused(0, "the venue refused: unknown variant (code 2)")]


def test_an_announced_shutdown_is_a_planned_reconnect(fixture: Callable[[str], bytes]) -> None:
    codec = feed("spot", wants("spot", "BNBBTC", Channel.TRADES))
    _, effects = decode(codec, *[fixture("server_shutdown.json")] * 2)
    assert effects == [Reconnect("the venue announced a shutdown", planned=True)]


def test_a_partial_book_is_told_where_all_is_welcome_and_never_mixed_into_a_kept_one(
    fixture: Callable[[str], bytes],
) -> None:
    snapshot = one(feed("spot"), fixture("partial_book.json"))
    assert isinstance(snapshot, BookSnapshot)
    assert (snapshot.instrument.venue_symbol, snapshot.sequence, snapshot.event_ns) == ("BTCUSDT", 160, None)
    assert decode(feed("spot", wants("spot", "BTCUSDT", Channel.BOOK)), fixture("partial_book.json")) == ([], [])


@pytest.mark.parametrize(
    "text", ["NaN", "sNaN", "Infinity", "-Infinity", "-1", "", "1" * 39, "1e99", "0E-99", "0e999999", "0x1", "--1"]
)
@pytest.mark.parametrize("field", ["o", "h", "l", "c", "v", "q"])
def test_a_number_that_is_no_amount_is_refused_and_costs_no_other_frame(
    fixture: Callable[[str], bytes], field: str, text: str
) -> None:
    good = fixture("kline_spot.json")
    events, effects = decode(feed("spot"), good, bar_changed(good, **{field: text}), good)
    assert len(events) == 2
    (refused,) = effects
    assert isinstance(refused, Refused)
    assert refused.index == 1
    assert refused.reason


@pytest.mark.parametrize("frame", [TOP, AGG, depth(1, 2)])
@pytest.mark.parametrize("bad", ["NaN", "-1", "1" * 39, "Infinity"])
def test_the_same_holds_for_every_kind(frame: bytes, bad: str) -> None:
    raw = json.loads(frame)["data"]
    for field, value in raw.items():
        if isinstance(value, str) and field not in ("e", "s"):
            _, effects = decode(feed("spot"), changed(frame, **{field: bad}))
            assert [type(e) for e in effects] == [Refused], field
    if "b" in raw and isinstance(raw["b"], list):
        for levels in ([[bad, "1"]], [["1", bad]], [["1"]], "1", [[1.5, "1"]]):
            _, effects = decode(feed("spot"), changed(frame, b=levels))
            assert [type(e) for e in effects] == [Refused]


@pytest.mark.parametrize("field", ["t", "T"])
def test_microseconds_are_refused(fixture: Callable[[str], bytes], field: str) -> None:
    frame = bar_changed(fixture("kline_spot.json"), **{field: 1_672_515_780_000_000})
    assert [type(e) for e in decode(feed("spot"), frame)[1]] == [Refused]


def test_a_candle_that_closes_before_it_opens_is_refused(fixture: Callable[[str], bytes]) -> None:
    frame = bar_changed(fixture("kline_spot.json"), T=0)
    assert [type(e) for e in decode(feed("spot"), frame)[1]] == [Refused]


@pytest.mark.parametrize(
    "frame",
    [b"pong", b'""', b"", b"{", b"[", b"null", b"7", b"{}", b"\xff\xfe", b"[1]", b'{"e":"whim"}', b'{"data":null}',
     b'{"stream":"x","data":7}', b'{"data":{"e":5}}', b"[" * 200_000, b'{"a":' * 200_000, b'{"event":{}}',
     b'{"e":"kline"}', b'{"stream":"x","data":{"e":"kline","s":"BTCUSDT"}}', b'{"lastUpdateId":-1}'],
)  # fmt: skip
def test_what_is_not_documented_is_refused_at_its_index(frame: bytes) -> None:
    events, effects = decode(feed("spot"), TOP, frame, AGG)
    assert len(events) == 2
    (refused,) = effects
    assert isinstance(refused, Refused)
    assert refused.index == 1
    assert refused.reason


def test_prices_are_read_once_and_memory_stays_bounded(fixture: Callable[[str], bytes]) -> None:
    codec = feed("spot")
    good = fixture("kline_spot.json")
    first, second = decode(codec, good, good)[0]
    assert isinstance(first, Candle)
    assert isinstance(second, Candle)
    assert first.open is second.open
    for number in range(20_000):
        decode(codec, changed(TOP, b=str(number)))
    assert len(codec._prices) <= 16_384


def messages(effects: list[Effect]) -> list[dict[str, Any]]:
    return [json.loads(e.payload) for e in effects if isinstance(e, Send)]


def test_opening_subscribes_to_the_streams_of_this_path_only() -> None:
    wanted = [wants("usdm", "BTCUSDT", Channel.TICKER), wants("usdm", "BTCUSDT", Channel.BOOK)]
    for path, names in (
        ("/public/stream", ["btcusdt@bookTicker", "btcusdt@depth@100ms"]),
        ("/market/stream", ["btcusdt@ticker"]),
    ):
        effects: list[Effect] = []
        feed("usdm", *wanted, path=path).opened(NOW_NS, effects)
        assert messages(effects) == [{"method": "SUBSCRIBE", "params": names, "id": 1}]


def test_many_subscriptions_leave_over_several_seconds_within_the_venues_pace() -> None:
    limit = market("spot").limits
    wanted = [wants("spot", f"S{i}USDT", Channel.TICKER) for i in range(500)]
    codec = feed("spot", *wanted)
    effects: list[Effect] = []
    codec.opened(NOW_NS, effects)
    params = [m["params"] for m in messages(effects)]
    rounds = [len(effects)]
    while rounds[-1]:
        effects = []
        codec.ticked(NOW_NS + len(rounds) * NS_PER_S, effects)
        params += [m["params"] for m in messages(effects)]
        rounds.append(len(effects))
    assert max(rounds) < limit.messages_per_s_max, "pongs count too"
    assert sum(map(len, params)) == 1000
    assert len({name for names in params for name in names}) == 1000


def test_a_change_says_the_difference_and_nothing_else() -> None:
    kept, left, added = (wants("spot", s, Channel.TRADES) for s in ("AUSDT", "BUSDT", "CUSDT"))
    codec = feed("spot", kept, left)
    effects: list[Effect] = []
    codec.opened(NOW_NS, effects)
    effects.clear()
    codec.change([kept, added], effects)
    assert messages(effects) == [
        {"method": "UNSUBSCRIBE", "params": ["busdt@aggTrade"], "id": 2},
        {"method": "SUBSCRIBE", "params": ["cusdt@aggTrade"], "id": 3},
    ]
    effects.clear()
    codec.change([added, kept], effects)
    assert effects == []


def test_a_change_before_the_socket_is_open_waits_for_it() -> None:
    codec = feed("spot", wants("spot", "AUSDT", Channel.TRADES))
    effects: list[Effect] = []
    codec.change([wants("spot", "BUSDT", Channel.TRADES)], effects)
    assert effects == []
    codec.opened(NOW_NS, effects)
    assert [m["params"] for m in messages(effects)] == [["busdt@aggTrade"]]


def test_a_subscription_that_nobody_answers_is_tried_on_another_connection(fixture: Callable[[str], bytes]) -> None:
    for answered in (True, False):
        codec = feed("spot", wants("spot", "AUSDT", Channel.TRADES))
        effects: list[Effect] = []
        codec.opened(NOW_NS, effects)
        if answered:
            decode(codec, fixture("ack.json"))
        effects.clear()
        codec.ticked(NOW_NS + ACKNOWLEDGED_NS_MAX - 1, effects)
        assert effects == []
        codec.ticked(NOW_NS + ACKNOWLEDGED_NS_MAX, effects)
        assert effects == ([] if answered else [Reconnect("a subscription was not acknowledged")])


def test_many_changes_in_a_row_leave_at_the_venues_pace_and_are_not_missed_before_they_left() -> None:
    """As when a gateway restarts, and a hundred clients come back one by one."""
    carried = [wants("spot", "AUSDT", Channel.TRADES)]
    codec = feed("spot", *carried)
    effects: list[Effect] = []
    codec.opened(NOW_NS, effects)
    for number in range(100):
        carried.append(wants("spot", f"B{number}USDT", Channel.TRADES))
        codec.change(carried, effects)
    said = messages(effects)
    assert len(said) == 4
    for second in range(1, 40):
        for message in said:
            decode(codec, json.dumps({"result": None, "id": message["id"]}).encode())
        effects.clear()
        codec.ticked(NOW_NS + second * NS_PER_S, effects)
        assert not any(isinstance(e, Reconnect) for e in effects)
        said = messages(effects)
        assert len(said) <= 4
    assert said == []


def test_it_moves_on_once_before_the_venue_cuts() -> None:
    codec = feed("spot")
    effects: list[Effect] = []
    codec.opened(NOW_NS, effects)
    codec.ticked(NOW_NS + LIFE_NS_MAX - 1, effects)
    assert effects == []
    for _ in range(2):
        codec.ticked(NOW_NS + LIFE_NS_MAX, effects)
    assert effects == [Reconnect("the venue cuts connections after 24 h", planned=True)]
    assert market("spot").limits.connection_life_s * NS_PER_S - LIFE_NS_MAX == 600 * NS_PER_S


def test_a_book_asks_for_its_snapshot_and_is_told_from_there() -> None:
    codec = feed("spot", wants("spot", "BTCUSDT", Channel.BOOK))
    events, effects = decode(codec, depth(5, 6), depth(7, 8))
    assert events == []
    (fetch,) = effects
    assert isinstance(fetch, Fetch)
    assert fetch.request.purpose == BookPage(instrument("spot", "BTCUSDT"))
    codec.fetched(fetch.request, book_answer(6), NOW_NS, events, effects)
    assert [type(e) for e in events] == [BookSnapshot, BookDelta]
    assert codec.book_counters() == {"BTCUSDT": {"dropped": 1, "applied": 1, "gaps": 0}}


def test_a_lost_delta_is_a_gap_and_a_new_snapshot_soon() -> None:
    codec = feed("usdm", wants("usdm", "BTCUSDT", Channel.BOOK), path="/public/stream")
    events, effects = decode(codec, depth(5, 6, 4))
    assert isinstance(effects[0], Fetch)
    codec.fetched(effects[0].request, book_answer(6), NOW_NS, events, effects)
    events, effects = decode(codec, depth(20, 22, 19))
    assert [type(e) for e in events] == [Gap]
    assert effects == [], "the last snapshot was asked for just now"
    codec.ticked(NOW_NS + NS_PER_S, effects)
    assert [type(e) for e in effects] == [Fetch]


def test_a_snapshot_that_fails_or_is_none_is_asked_for_again() -> None:
    codec = feed("spot", wants("spot", "BTCUSDT", Channel.BOOK))
    events, effects = decode(codec, depth(5, 6))
    (fetch,) = effects
    assert isinstance(fetch, Fetch)
    codec.fetched(fetch.request, b"<html>", NOW_NS, events, effects)
    assert isinstance(effects[-1], Refused)
    assert effects[-1].index == -1
    for second in (2, 6):
        effects.clear()
        codec.ticked(NOW_NS + second * NS_PER_S, effects)
        assert [type(e) for e in effects] == [Fetch]
        codec.failed(fetch.request, "timed out", NOW_NS, effects)
    assert events == []


def test_a_book_that_is_no_longer_wanted_is_forgotten() -> None:
    codec = feed("spot", wants("spot", "BTCUSDT", Channel.BOOK))
    events, effects = decode(codec, depth(5, 6))
    (fetch,) = effects
    assert isinstance(fetch, Fetch)
    codec.change([], effects)
    codec.fetched(fetch.request, book_answer(6), NOW_NS, events, effects)
    codec.failed(fetch.request, "late", NOW_NS, effects)
    assert events == []
    assert codec.book_counters() == {}


def test_unsequenced_deltas_are_told_as_they_come() -> None:
    events, effects = decode(feed("spot", sequenced=False), depth(5, 6), depth(50, 60))
    assert [e.sequence for e in events if isinstance(e, BookDelta)] == [6, 60]
    assert effects == []


def test_pages_ask_for_the_next_page() -> None:
    codec = feed("usdm")
    coin = instrument("usdm", "BTCUSDT")
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    candles = market("usdm").candle_request(CandlePage(coin, Interval.M1, 0, 1_000_000 * NS_PER_S))
    codec.fetched(candles, b"[]", NOW_NS, events, effects)
    trades = market("usdm").trade_request(TradePage(coin, 5, 2000))
    codec.fetched(trades, b'[{"a":5,"p":"1","q":"1","T":1,"m":true}]', NOW_NS, events, effects)
    purposes = [e.request.purpose for e in effects if isinstance(e, Fetch)]
    assert purposes == [
        CandlePage(coin, Interval.M1, 1499 * 60 * NS_PER_S, 1_000_000 * NS_PER_S),
        TradePage(coin, 6, 2000),
    ]
    assert [e.sequence for e in events if isinstance(e, Trade)] == [5]


def test_the_venues_time_on_the_stream_closes_a_last_row(fixture: Callable[[str], bytes]) -> None:
    request = market("spot").candle_request(
        CandlePage(instrument("spot", "BNBBTC"), Interval.M1, 1_672_515_720 * NS_PER_S, None)
    )
    body = b'[[1672515720000,"1","1","1","1","1",1672515779999,"1",1,"1","1","0"]]'
    for later_ms, closed in ((9_999, False), (10_000, True)):
        codec = feed("spot")
        decode(codec, changed(fixture("kline_spot.json"), E=1_672_515_780_000 + later_ms))
        events: list[VenueEvent] = []
        codec.fetched(request, body, 2**62, events, [])
        assert [e.closed for e in events if isinstance(e, Candle)] == [closed]


FRAMES = st.sampled_from([TOP, AGG, depth(1, 2), depth(3, 4, 2), b'{"result":null,"id":1}', b'{"e":"serverShutdown"}'])


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real frame with some bytes replaced, removed, doubled or inserted."""
    frame = bytearray(draw(FRAMES))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(frame)))
        end = min(len(frame), at + draw(st.integers(0, 8)))
        frame[at:end] = draw(
            st.binary(max_size=6) | st.sampled_from([b"NaN", b"null", b"[", b'"', b"1e9999", b"-", b"{}"])
        )
    return bytes(frame)


@given(
    st.sampled_from(MARKETS),
    st.booleans(),
    st.booleans(),
    st.lists(st.binary(max_size=200) | mutated() | FRAMES, min_size=1, max_size=5),
)
@example("spot", True, True, [b'{"data":{"e":"bookTicker"'])
def test_no_bytes_make_it_raise(name: str, all_welcome: bool, sequenced: bool, frames: list[bytes]) -> None:
    """Whatever arrives: each frame is told, ignored, refused at its index, or acted on; never an exception."""
    symbol = "BTCUSD_PERP" if name == "coinm" else "BTCUSDT"
    subscriptions = () if all_welcome else (wants(name, symbol, Channel.BOOK),)
    codec = feed(name, *subscriptions, sequenced=sequenced)
    events, effects = decode(codec, *frames)
    assert all(0 <= e.index < len(frames) for e in effects if isinstance(e, Refused))
    assert codec._again_index is None
    for event in events:
        for value in (getattr(event, field) for field in event.__struct_fields__):
            if isinstance(value, Decimal):
                assert value.is_finite()
                assert len(value.as_tuple().digits) <= 38


@given(st.sampled_from(MARKETS), st.binary(max_size=200))
def test_no_answer_makes_it_raise(name: str, body: bytes) -> None:
    symbol = "BTCUSD_PERP" if name == "coinm" else "BTCUSDT"
    codec = feed(name, wants(name, symbol, Channel.BOOK), path="/public/stream" if name == "usdm" else "/stream")
    coin = instrument(name, symbol)
    decode(codec, depth(5, 6, 4, symbol))
    for purpose in (CandlePage(coin, Interval.M1, 0, None), TradePage(coin, 1, 2), BookPage(coin)):
        events: list[VenueEvent] = []
        effects: list[Effect] = []
        codec.fetched(Request("/x", (), 1, purpose), body, NOW_NS, events, effects)
        assert all(isinstance(e, Fetch) or (isinstance(e, Refused) and e.index == -1) for e in effects)


def test_t33_a_trades_number_above_what_a_float_counts_to_stays_exact() -> None:
    (trade,), effects = decode(feed("spot"), changed(AGG, a=2**53 + 1))
    assert isinstance(trade, Trade)
    assert (trade.sequence, trade.trade_id, effects) == (9_007_199_254_740_993, "9007199254740993", [])
