"""The codec of one socket: frames in, events and effects out."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Gap, Side, Source, Trade, TradeCause
from heliograph.venues.contract import (
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
from heliograph.venues.okx.instruments import any_instrument
from heliograph.venues.okx.market import PING_NS, Feed
from heliograph.venues.okx.rest import RECENT, candle_request, trade_request
from heliograph.venues.okx.streams import BUSINESS, PUBLIC, REQUESTS_PER_HOUR_MAX
from heliograph.venues.subscribing import ACKNOWLEDGED_NS_MAX

NOW_NS = 1_786_600_000 * NS_PER_S
BTC = any_instrument("BTC-USDT")
SWAP = any_instrument("BTC-USDT-SWAP")
BAR = ["1786540440000", "63913.0", "63951.8", "63913.0", "63951.8", "1803.61", "18.0361", "1153203.99426000", "0"]
TRADE = {
    "instId": "BTC-USDT", "tradeId": "130639474", "px": "42219.90", "sz": "0.12060306", "side": "buy",
    "source": "0", "ts": "1630048897897",
}  # fmt: skip


def wants(channel: Channel, symbol: str = "BTC-USDT", interval: Interval | None = None) -> Subscription:
    return Subscription(channel, any_instrument(symbol), interval)


def feed(*subscriptions: Subscription, path: str = PUBLIC, sequenced: bool = True) -> Feed:
    return Feed(Connection(path, subscriptions, sequenced))


def opened(*subscriptions: Subscription, path: str = PUBLIC) -> Feed:
    codec = feed(*subscriptions, path=path)
    codec.opened(NOW_NS, [])
    return codec


def data(channel: str, *rows: Any, symbol: str = "BTC-USDT", **fields: str) -> bytes:
    frame = {"arg": {"channel": channel, "instId": symbol}, **fields, "data": rows}
    return json.dumps(frame, separators=(",", ":")).encode()


def event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"event": kind, **fields, "connId": "a4d3ae55"}).encode()


def book(action: str, number: int, previous: int, symbol: str = "BTC-USDT") -> bytes:
    levels = [["8476.98", str(number), "0", "13"]]
    row = {
        "asks": [], "bids": levels, "ts": "1786540440000", "checksum": 0, "prevSeqId": previous, "seqId": number
    }  # fmt: skip
    return data("books", row, symbol=symbol, action=action)


def decode(codec: Feed, *frames: bytes, received_ns: int = NOW_NS) -> tuple[list[VenueEvent], list[Effect]]:
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    codec.decode(frames, received_ns, events, effects)
    return events, effects


def tick(codec: Feed, now_ns: int) -> list[Effect]:
    effects: list[Effect] = []
    codec.ticked(now_ns, effects)
    return effects


def said(effects: list[Effect]) -> list[tuple[str, list[tuple[str, str]]]]:
    found = []
    for effect in effects:
        if isinstance(effect, Send) and effect.payload != b"ping":
            raw = json.loads(effect.payload)
            found.append((raw["op"], [(arg["channel"], arg["instId"]) for arg in raw["args"]]))
    return found


def one(codec: Feed, frame: bytes) -> VenueEvent:
    events, effects = decode(codec, frame)
    assert effects == []
    (told,) = events
    return told


def test_t12_a_candle_of_a_swap_has_contracts_base_and_quote() -> None:
    assert one(feed(), data("candle1m", BAR, symbol="BTC-USDT-SWAP")) == Candle(
        SWAP, Interval.M1, 1_786_540_440 * NS_PER_S, 1_786_540_500 * NS_PER_S,
        Decimal("63913.0"), Decimal("63951.8"), Decimal("63913.0"), Decimal("63951.8"),
        Decimal("18.0361"), Decimal("1153203.99426000"), Decimal("1803.61"), None, False, None, NOW_NS, Source.STREAM,
    )  # fmt: skip


def test_m17_a_candle_of_spot_has_base_and_quote_and_no_contracts() -> None:
    candle = one(feed(), data("candle1m", BAR))
    assert isinstance(candle, Candle)
    assert (candle.base_volume, candle.quote_volume) == (Decimal("1803.61"), Decimal("1153203.99426000"))
    assert (candle.contracts, candle.trade_count) == (None, None)


def test_m16_a_candle_has_no_event_time_since_the_venue_gives_none() -> None:
    candle = one(feed(), data("candle1m", BAR))
    assert isinstance(candle, Candle)
    assert candle.event_ns is None


def test_t9_a_candle_is_closed_when_the_venue_says_so_only() -> None:
    codec = feed()
    events, _ = decode(codec, data("candle1m", BAR), data("candle1m", [*BAR[:8], "1"]))
    assert [e.closed for e in events if isinstance(e, Candle)] == [False, True]


def test_t16_digits_stay_as_the_venue_sent_them() -> None:
    candle = one(feed(), data("candle1m", BAR))
    assert isinstance(candle, Candle)
    assert (str(candle.open), str(candle.quote_volume)) == ("63913.0", "1153203.99426000")


@pytest.mark.parametrize(("name", "ok_ms", "off_ms"), [
    ("1m", 60_000, 60_001), ("1H", 3_600_000, 60_000), ("6Hutc", 21_600_000, 3_600_000),
    ("1Dutc", 86_400_000, 57_600_000), ("1Wutc", 4 * 86_400_000, 86_400_000), ("1Mutc", 31 * 86_400_000, 86_400_000),
    ("3Mutc", 90 * 86_400_000, 31 * 86_400_000), ("2Dutc", 86_400_000, 3_600_000),
])  # fmt: skip
def test_t31_a_candle_off_its_grid_is_refused(name: str, ok_ms: int, off_ms: int) -> None:
    codec = feed()
    events, effects = decode(
        codec, data(f"candle{name}", [str(off_ms), *BAR[1:]]), data(f"candle{name}", [str(ok_ms), *BAR[1:]])
    )
    assert [type(effect) for effect in effects] == [Refused]
    (candle,) = events
    assert isinstance(candle, Candle)
    assert candle.open_ns == ok_ms * NS_PER_MS
    assert candle.close_ns == candle.interval.next_open(candle.open_ns)


def test_a_short_row_is_refused_and_costs_no_other() -> None:
    events, effects = decode(feed(), data("candle1m", BAR[:8]), data("candle1m", BAR))
    assert [type(e) for e in events] == [Candle]
    assert [effect.index for effect in effects if isinstance(effect, Refused)] == [0]


def test_a_frame_with_one_bad_row_tells_nothing() -> None:
    events, effects = decode(feed(), data("candle1m", BAR, [*BAR[:5], "-1", *BAR[6:]]))
    assert events == []
    assert [type(effect) for effect in effects] == [Refused]


def test_a_trade_of_all_is_numbered() -> None:
    assert one(feed(), data("trades-all", TRADE)) == Trade(
        BTC, "130639474", 130_639_474, Decimal("42219.90"), Decimal("0.12060306"), Side.BUY, TradeCause.MARKET,
        1_630_048_897_897 * NS_PER_MS, NOW_NS,
    )  # fmt: skip


def test_an_aggregate_of_trades_is_not_numbered() -> None:
    told = one(feed(), data("trades", TRADE | {"count": "3", "seqId": 1234, "side": "sell"}))
    assert isinstance(told, Trade)
    assert (told.sequence, told.trade_id, told.side) == (None, "130639474", Side.SELL)


def test_a_ticker_is_the_day_and_the_top() -> None:
    row = {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "last": "10", "lastSz": "1", "askPx": "11", "askSz": "3",
        "bidPx": "9", "bidSz": "4", "open24h": "8", "high24h": "12", "low24h": "7", "sodUtc0": "", "sodUtc8": "",
        "volCcy24h": "5", "vol24h": "500", "ts": "1652459223003",
    }  # fmt: skip
    events, effects = decode(feed(), data("tickers", row, symbol="BTC-USDT-SWAP"))
    assert effects == []
    assert [type(e) for e in events] == [DayStatistics, BookTop]
    assert {e.event_ns for e in events if not isinstance(e, Gap)} == {1_652_459_223_003 * NS_PER_MS}


def test_a_top_by_tick_and_five_levels_are_whole_each_time() -> None:
    row = {"asks": [["111.06", "55154", "0", "2"]], "bids": [], "ts": "1670324386802", "seqId": 363996337}
    top, five = one(feed(), data("bbo-tbt", row)), one(feed(), data("books5", row))
    assert isinstance(top, BookTop)
    assert (top.bid, top.ask, top.sequence) == (None, Decimal("111.06"), 363_996_337)
    assert isinstance(five, BookSnapshot)
    assert (five.asks, five.sequence) == ([(Decimal("111.06"), Decimal(55154))], 363_996_337)


def test_a_book_is_its_snapshot_and_linked_changes() -> None:
    codec = opened(wants(Channel.BOOK))
    events, effects = decode(codec, book("snapshot", 10, -1), book("update", 15, 10), book("update", 15, 15))
    assert effects == []
    assert [type(e) for e in events] == [BookSnapshot, BookDelta, BookDelta]
    delta = events[1]
    assert isinstance(delta, BookDelta)
    assert (delta.first_sequence, delta.sequence) == (11, 15)
    assert codec.book_counters() == {"BTC-USDT": {"applied": 3, "checksum_ok": 0, "checksum_bad": 0}}


def test_a_broken_book_is_subscribed_to_again() -> None:
    codec = opened(wants(Channel.BOOK), wants(Channel.BOOK, "ETH-USDT"))
    later_ns = NOW_NS + 60 * NS_PER_S
    tick(codec, NOW_NS + NS_PER_S)
    decode(codec, book("snapshot", 10, -1), book("snapshot", 10, -1, "ETH-USDT"))
    events, effects = decode(codec, book("update", 30, 20), received_ns=later_ns)
    assert [type(e) for e in events] == [Gap]
    assert said(effects) == [("unsubscribe", [("books", "BTC-USDT")]), ("subscribe", [("books", "BTC-USDT")])]
    events, effects = decode(codec, book("update", 40, 30), received_ns=later_ns)
    assert (events, effects) == ([], [])
    events, _ = decode(codec, book("snapshot", 50, -1), received_ns=later_ns)
    assert [type(e) for e in events] == [BookSnapshot]


def test_t6_control_messages_of_an_hour_have_the_venues_bound() -> None:
    symbols = [f"A{number}-USDT" for number in range(29)]
    codec = opened(*[wants(Channel.BOOK, symbol) for symbol in symbols])
    count = 1
    for second in range(1, 3600):
        now_ns = NOW_NS + second * NS_PER_S
        frames = [book("snapshot", 9, -1, symbol) for symbol in symbols]
        frames += [book("update", 20, 15, symbol) for symbol in symbols]
        frames += [event("subscribe", arg={"channel": "books", "instId": symbol}) for symbol in symbols]
        _, effects = decode(codec, *frames, received_ns=now_ns)
        count += len(said(effects)) + len(said(tick(codec, now_ns)))
    assert 29 < count <= REQUESTS_PER_HOUR_MAX


def test_without_sequence_each_frame_is_told_as_it_comes() -> None:
    codec = feed(sequenced=False)
    events, _ = decode(codec, book("update", 30, 20), book("update", 90, 80))
    assert [type(e) for e in events] == [BookDelta, BookDelta]


def test_what_was_not_subscribed_to_is_ignored() -> None:
    codec = opened(wants(Channel.TRADES), path=BUSINESS)
    events, effects = decode(codec, data("trades-all", TRADE, symbol="ETH-USDT"), data("trades-all", TRADE))
    assert [e.instrument.venue_symbol for e in events] == ["BTC-USDT"]
    assert (effects, codec.ignored) == ([], 1)


def test_frames_whose_keys_are_in_another_order_mean_the_same() -> None:
    frame = json.dumps({"data": [TRADE], "arg": {"instId": "BTC-USDT", "channel": "trades-all"}}).encode()
    codec = feed()
    assert one(codec, frame) == one(codec, data("trades-all", TRADE)) == one(codec, frame)


def test_opening_subscribes_to_what_this_path_serves() -> None:
    codec = feed(wants(Channel.TICKER), wants(Channel.BOOK), wants(Channel.TRADES))
    effects: list[Effect] = []
    codec.opened(NOW_NS, effects)
    assert said(effects) == [("subscribe", [("tickers", "BTC-USDT"), ("books", "BTC-USDT")])]


def test_t30_many_messages_leave_over_some_seconds() -> None:
    codec = feed(*[wants(Channel.TICKER, f"A{n}-USDT") for n in range(500)])
    effects: list[Effect] = []
    codec.opened(NOW_NS, effects)
    assert len(said(effects)) == 2
    left = [len(said(tick(codec, NOW_NS + second * NS_PER_S))) for second in (1, 2, 3)]
    assert left == [2, 1, 0]


def test_a_change_says_the_difference() -> None:
    codec = opened(wants(Channel.TICKER), wants(Channel.TICKER, "ETH-USDT"))
    tick(codec, NOW_NS + NS_PER_S)
    effects: list[Effect] = []
    codec.change([wants(Channel.TICKER, "ETH-USDT"), wants(Channel.TICKER, "SOL-USDT")], effects)
    assert said(effects) == [("unsubscribe", [("tickers", "BTC-USDT")]), ("subscribe", [("tickers", "SOL-USDT")])]


def test_t27_a_quiet_market_of_ten_minutes_is_kept_alive() -> None:
    codec = opened(wants(Channel.TICKER))
    decode(codec, event("subscribe", arg={"channel": "tickers", "instId": "BTC-USDT"}))
    heard_ns, pings = NOW_NS, 0
    for second in range(1, 601):
        now_ns = NOW_NS + second * NS_PER_S
        effects = tick(codec, now_ns)
        assert not [effect for effect in effects if isinstance(effect, Reconnect)]
        if Send(b"ping", heartbeat=True) in effects:
            pings += 1
            assert now_ns - heard_ns < 30 * NS_PER_S
            heard_ns = now_ns
            assert decode(codec, b"pong", received_ns=now_ns) == ([], [])
        assert now_ns - heard_ns < 30 * NS_PER_S
    assert pings == 600 * NS_PER_S // PING_NS


def test_t27_a_clock_that_was_set_back_keeps_the_socket_alive() -> None:
    codec = opened(wants(Channel.TICKER))
    assert Send(b"ping", heartbeat=True) in tick(codec, NOW_NS - 3600 * NS_PER_S)


def test_m12_a_busy_socket_is_not_pinged_and_a_ping_is_answered() -> None:
    codec = feed()
    codec.opened(NOW_NS, [])
    for second in range(100):
        assert decode(codec, data("trades-all", TRADE), received_ns=NOW_NS + second * NS_PER_S)[1] == []
        assert tick(codec, NOW_NS + second * NS_PER_S) == []
    assert decode(codec, b"ping")[1] == [Send(b"pong")]


def test_t2_a_subscription_that_is_not_acknowledged_costs_the_connection() -> None:
    codec = opened(wants(Channel.TICKER), wants(Channel.TICKER, "ETH-USDT"))
    decode(codec, event("subscribe", arg={"channel": "tickers", "instId": "BTC-USDT"}))
    assert tick(codec, NOW_NS + ACKNOWLEDGED_NS_MAX - 1) == []
    assert Reconnect("a subscription was not acknowledged") in tick(codec, NOW_NS + ACKNOWLEDGED_NS_MAX)


def test_t29_a_notice_of_an_upgrade_is_a_planned_move_once() -> None:
    codec = opened(wants(Channel.TICKER))
    notice = event("notice", code="64008", msg="The connection will soon be closed for a service upgrade.")
    _, effects = decode(codec, notice, notice)
    (move,) = effects
    assert isinstance(move, Reconnect)
    assert move.planned
    assert "service upgrade" in move.reason


def test_m11_an_error_says_which_subscription_it_refuses() -> None:
    nope = wants(Channel.BOOK, "NOPE-USDT")
    codec = opened(wants(Channel.BOOK), nope)
    decode(codec, event("subscribe", arg={"channel": "books", "instId": "BTC-USDT"}))
    text = "Wrong URL or channel:books,instId:NOPE-USDT doesn't exist. Please use the correct URL"
    assert decode(codec, event("error", code="60018", msg=text))[1] == [VenueError("60018", text, (nope,))]
    assert not [e for e in tick(codec, NOW_NS + ACKNOWLEDGED_NS_MAX) if isinstance(e, Reconnect)]


def test_m11_an_error_with_an_id_refuses_that_message() -> None:
    codec = opened(wants(Channel.TICKER))
    effects: list[Effect] = []
    second = wants(Channel.TICKER, "ETH-USDT")
    codec.change([wants(Channel.TICKER), second], effects)
    refusal = event("error", id="2", code="60012", msg="Invalid request: {}")
    assert decode(codec, refusal)[1] == [VenueError("60012", "Invalid request: {}", (second,))]
    assert decode(codec, event("error", code="60012", msg="x"))[1] == [VenueError("60012", "x", ())]


def test_a_passing_error_is_a_new_connection() -> None:
    _, effects = decode(opened(wants(Channel.TICKER)), event("error", code="60014", msg="Requests too frequent."))
    assert effects == [Reconnect("Requests too frequent. (code 60014)")]


def test_an_error_of_what_was_given_up_is_no_news() -> None:
    codec = opened(wants(Channel.TICKER))
    text = "Wrong URL or channel:tickers,instId:ETH-USDT doesn't exist"
    assert decode(codec, event("error", code="60018", msg=text))[1] == []


def test_an_error_of_what_was_to_be_left_refuses_nothing() -> None:
    codec = opened(wants(Channel.TICKER))
    codec.change([], [])
    codec.change([wants(Channel.TICKER)], [])
    text = "Wrong URL or channel:tickers,instId:BTC-USDT doesn't exist"
    assert decode(codec, event("error", id="2", code="60018", msg=text))[1] == []


def test_too_many_connections_refuse_the_channel() -> None:
    mine = wants(Channel.TICKER)
    codec = opened(mine, wants(Channel.BOOK))
    (refusal,) = decode(codec, event("channel-conn-count-error", channel="tickers", connCount="30"))[1]
    assert isinstance(refusal, VenueError)
    assert refusal.subscriptions == (mine,)


@pytest.mark.parametrize(
    "frame",
    [
        event("login", code="0", msg=""),
        event("unsubscribe", arg={"channel": "tickers", "instId": "BTC-USDT"}),
        event("channel-conn-count", channel="orders", connCount="2"),
        event("notice", code="99999", msg="something else"),
        b'{"arg":{"channel":"account"},"data":[{}]}',
        b'{"id":"1","op":"order","data":[],"code":"0","msg":"","inTime":"1695190491421339"}',
    ],
)
def test_control_and_private_frames_tell_nothing(frame: bytes) -> None:
    assert decode(opened(wants(Channel.TICKER)), frame) == ([], [])


@pytest.mark.parametrize(
    "frame",
    [b"", b"{}", b"[]", b"null", b"Pong", b'{"event":"unheard"}', b'{"arg":{"channel":"unheard"},"data":[]}',
     b'{"op":"unheard"}', b"\xff\xfe", b"[" * 100_000, data("books", {"bids": [], "asks": [], "ts": "1"}),
     data("trades-all", TRADE | {"px": "NaN"}), data("trades-all", TRADE | {"sz": "-1"}),
     data("trades-all", TRADE | {"side": "both"}), data("trades-all", TRADE | {"ts": "1695190491421339"}),
     data("candle1m", [*BAR[:1], "9" * 60, *BAR[2:]]), data("tickers", {"last": "1"}),
     data("trades-all", TRADE, symbol="nonsense")],
)  # fmt: skip
def test_what_is_not_documented_is_refused_with_a_reason(frame: bytes) -> None:
    events, effects = decode(feed(), frame)
    assert events == []
    (refusal,) = effects
    assert isinstance(refusal, Refused)
    assert 0 < len(refusal.reason) <= 250


GOOD = [
    data("candle1m", BAR), data("candle1Mutc", ["0", *BAR[1:]]), data("trades-all", TRADE), data("trades", TRADE),
    book("snapshot", 10, -1), book("update", 15, 10), book("update", 99, 98), event("subscribe"), b"pong",
    event("error", code="60018", msg="channel:a,instId:b"), event("notice", code="64008"),
]  # fmt: skip


@given(
    frame=st.sampled_from(GOOD),
    position=st.integers(0, 400),
    width=st.integers(0, 12),
    junk=st.binary(max_size=12) | st.sampled_from([b'"', b"}", b"null", b"1e400", b'"NaN"', b"[]", b"-1", b'""']),
    subscribed=st.booleans(),
)
@example(frame=GOOD[0], position=0, width=0, junk=b"[" * 5000, subscribed=False)
def test_no_mutation_of_a_frame_makes_it_raise(
    frame: bytes, position: int, width: int, junk: bytes, subscribed: bool
) -> None:
    codec = opened(wants(Channel.BOOK)) if subscribed else feed()
    mutated = frame[:position] + junk + frame[position + width :]
    decode(codec, frame, mutated, frame)
    tick(codec, NOW_NS + 100 * NS_PER_S)


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_no_bytes_make_it_raise(frames: list[bytes]) -> None:
    decode(feed(), *frames)
    codec = opened(wants(Channel.CANDLES, interval=Interval.M1), path=BUSINESS)
    page = CandlePage(BTC, Interval.M1, 0, 0)
    for body in frames:
        codec.fetched(candle_request(page), body, NOW_NS, [], [])
        codec.fetched(trade_request(TradePage(BTC, 1, 2)), body, NOW_NS, [], [])


def answered(codec: Feed, request: Request, body: dict[str, Any]) -> tuple[list[VenueEvent], list[Effect]]:
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    codec.fetched(request, json.dumps(body).encode(), NOW_NS, events, effects)
    return events, effects


def test_an_answer_is_told_and_the_next_page_asked_for() -> None:
    codec = opened(wants(Channel.CANDLES, interval=Interval.M1), path=BUSINESS)
    opens_ms = range(1_786_540_440_000, 1_786_540_440_000 + 300 * 60_000, 60_000)
    rows = [[str(ts), *BAR[1:8], "1"] for ts in reversed(opens_ms)]
    page = CandlePage(BTC, Interval.M1, opens_ms[0] * NS_PER_MS, None)
    events, effects = answered(codec, candle_request(page), {"code": "0", "msg": "", "data": rows})
    assert len(events) == 300
    (following,) = effects
    assert isinstance(following, Fetch)
    assert following.request.path == RECENT
    assert dict(following.request.query)["before"] == str(opens_ms[-1] + 60_000 - 1)


def test_past_trades_are_told_and_the_next_page_asked_for() -> None:
    codec = opened(wants(Channel.TRADES), path=BUSINESS)
    rows = [TRADE | {"tradeId": str(number)} for number in range(100, 0, -1)]
    request = trade_request(TradePage(BTC, 1, 150))
    events, effects = answered(codec, request, {"code": "0", "msg": "", "data": rows})
    assert [e.sequence for e in events if isinstance(e, Trade)] == list(range(1, 101))
    assert effects == [Fetch(trade_request(TradePage(BTC, 101, 150)))]


def test_t20_a_no_with_http_200_is_a_no() -> None:
    mine = wants(Channel.CANDLES, interval=Interval.M1)
    codec = opened(mine, path=BUSINESS)
    request = candle_request(CandlePage(BTC, Interval.M1, 0, 0))
    events, effects = answered(codec, request, {"code": "51001", "msg": "Instrument ID does not exist", "data": []})
    assert events == []
    assert effects == [
        VenueError("51001", "Instrument ID does not exist", (mine,)),
        Refused(-1, f"{RECENT}: Instrument ID does not exist (code 51001)"),
    ]


def test_t20_a_busy_venue_with_http_200_may_be_asked_again() -> None:
    codec = opened(wants(Channel.CANDLES, interval=Interval.M1), path=BUSINESS)
    request = candle_request(CandlePage(BTC, Interval.M1, 0, 0))
    _, effects = answered(codec, request, {"code": "50013", "msg": "System is busy", "data": []})
    assert [type(effect) for effect in effects] == [Refused]


def test_rows_of_a_page_that_failed_are_forgotten() -> None:
    codec = opened(wants(Channel.CANDLES, interval=Interval.M1), path=BUSINESS)
    request = candle_request(CandlePage(BTC, Interval.M1, 0, 60 * NS_PER_S))
    body = {"code": "0", "msg": "", "data": [["60000", *BAR[1:8], "1"]]}
    assert [type(e) for e in answered(codec, request, body)[1]] == [Fetch]
    codec.failed(request, "status 503", NOW_NS, [])
    again = {"code": "0", "msg": "", "data": [["0", *BAR[1:8], "1"]]}
    events, _ = answered(codec, request, again)
    assert [e.open_ns for e in events if isinstance(e, Candle)] == [0]
