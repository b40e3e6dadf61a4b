"""The codec of one socket: frames in, events and effects out."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.marketdata.capture import read_lines
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, Gap, Trade
from heliograph.venues.contract import (
    BookPage,
    CandlePage,
    Connection,
    Effect,
    Fetch,
    Market,
    Reconnect,
    Refused,
    Request,
    Send,
    Subscription,
    VenueError,
)
from heliograph.venues.gateio import VENUE
from heliograph.venues.gateio.market import MESSAGES_PER_TICK, PING_NS, Feed
from heliograph.venues.subscribing import ACKNOWLEDGED_NS_MAX

NAMES = ("spot", "usdm", "coinm")
NOW_NS = 1_790_000_000 * NS_PER_S
FIXTURES = Path(__file__).parent / "fixtures"


def market(name: str) -> Market:
    return next(m for n, m in VENUE.markets.items() if n == name)


def instrument(name: str, symbol: str | None = None) -> Instrument:
    return market(name).instrument(symbol or ("BTC_USD" if name == "coinm" else "BTC_USDT"))


def feed(name: str, *subscriptions: Subscription, sequenced: bool = True) -> Feed:
    made = market(name).feed(Connection("", subscriptions, sequenced))
    assert isinstance(made, Feed)
    return made


def wants(name: str, channel: Channel, interval: Interval | None = None, symbol: str | None = None) -> Subscription:
    return Subscription(channel, instrument(name, symbol), interval)


def decode(codec: Feed, *frames: bytes, received_ns: int = NOW_NS) -> tuple[list[VenueEvent], list[Effect]]:
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    codec.decode(frames, received_ns, events, effects)
    return events, effects


def opened(codec: Feed, now_ns: int = NOW_NS) -> list[Effect]:
    effects: list[Effect] = []
    codec.opened(now_ns, effects)
    return effects


def ticked(codec: Feed, now_ns: int) -> list[Effect]:
    effects: list[Effect] = []
    codec.ticked(now_ns, effects)
    return effects


def messages(effects: list[Effect]) -> list[dict[str, Any]]:
    return [json.loads(e.payload) for e in effects if isinstance(e, Send)]


def depth(first: int, last: int, symbol: str = "BTC_USDT", **more: object) -> bytes:
    result = {"t": last, "s": symbol, "U": first, "u": last, "b": [["10.0", str(last)]], "a": [], **more}
    return json.dumps({"channel": "spot.order_book_update", "event": "update", "result": result}).encode()


def book_answer(number: int) -> bytes:
    return b'{"id":%d,"update":5,"bids":[["10.0","1"]],"asks":[["11.0","1"]]}' % number


def answered(number: int, status: str = "success", error: object = None) -> bytes:
    return json.dumps(
        {"id": number, "channel": "spot.trades", "event": "subscribe", "error": error, "result": {"status": status}}
    ).encode()


@pytest.mark.parametrize(
    ("name", "file", "kind", "count"),
    [
        ("spot", "candle_spot", Candle, 1),
        ("usdm", "candles_usdm", Candle, 2),
        ("coinm", "candles_coinm", Candle, 1),
        ("spot", "trade_spot", Trade, 1),
        ("usdm", "trades_usdm", Trade, 2),
        ("spot", "top_spot", BookTop, 1),
        ("spot", "book_full_spot", BookSnapshot, 1),
    ],
)
def test_documented_frames_become_events(
    name: str, file: str, kind: type, count: int, fixture: Callable[[str], bytes]
) -> None:
    channel = Channel.BOOK if kind is BookSnapshot else Channel.TICKER
    for codec in (feed(name), feed(name, wants(name, channel))):
        events, effects = decode(codec, fixture(f"{file}.json"))
        assert [type(e) for e in events] == [kind] * count
        assert effects == []


def test_t15_the_size_of_an_empty_side_may_be_empty_text(fixture: Callable[[str], bytes]) -> None:
    ((top,), _) = decode(feed("spot"), fixture("top_spot.json"))
    assert isinstance(top, BookTop)
    assert (top.bid, top.bid_quantity) == (Decimal("83790.9"), Decimal("0.497321"))
    assert (top.ask, top.ask_quantity) == (None, None)
    codec = feed("spot", wants("spot", Channel.TICKER, symbol="ETH_USDT"))
    assert decode(codec, fixture("top_spot.json")) == ([], [])
    assert codec.ignored == 1


def test_empty_text_excuses_nothing_but_a_book_top(fixture: Callable[[str], bytes]) -> None:
    frame = fixture("candle_spot.json").replace(b'"n": "1m_', b'"B": "", "n": "7d_')
    events, effects = decode(feed("spot"), frame)
    assert events == []
    assert [type(e) for e in effects] == [Refused]


def test_t1_data_before_its_acknowledgement_is_told_once_and_the_acknowledgement_resets_nothing(
    fixture: Callable[[str], bytes],
) -> None:
    codec = feed("spot", wants("spot", Channel.TRADES))
    opened(codec)
    events, effects = decode(codec, fixture("trade_spot.json"), fixture("ack.json"))
    assert ([type(e) for e in events], effects) == ([Trade], [])


def test_m17_a_candle_has_no_count_of_trades(fixture: Callable[[str], bytes]) -> None:
    ((candle,), _) = decode(feed("spot"), fixture("candle_spot.json"))
    assert isinstance(candle, Candle)
    assert candle.trade_count is None


def test_m6_a_candle_is_closed_only_where_w_says_so(fixture: Callable[[str], bytes]) -> None:
    raw = json.loads(fixture("candle_spot.json"))
    for flag, closed in ((True, True), (False, False), (None, False)):
        raw["result"].pop("w", None)
        if flag is not None:
            raw["result"]["w"] = flag
        ((candle,), _) = decode(feed("spot"), json.dumps(raw).encode())
        assert isinstance(candle, Candle)
        assert candle.closed is closed


def test_an_array_inside_an_array_is_refused_explicitly(fixture: Callable[[str], bytes]) -> None:
    raw = json.loads(fixture("tickers_usdm.json"))
    raw["result"] = [raw["result"]]
    events, effects = decode(feed("usdm"), json.dumps(raw).encode())
    assert events == []
    assert [type(e) for e in effects] == [Refused]


def test_a_trade_that_was_truncated_to_no_contract_is_refused_and_the_others_are_told(
    fixture: Callable[[str], bytes],
) -> None:
    raw = json.loads(fixture("trades_usdm.json"))
    raw["result"][0]["size"] = 0
    events, effects = decode(feed("usdm"), json.dumps(raw).encode())
    assert len(events) == 1
    assert isinstance(effects[0], Refused)
    assert "truncated" in effects[0].reason


@pytest.mark.parametrize("frame", [b"pong", b'""', b"", b"null", b'{"channel":"spot.unheard"}', b"\xff"])
def test_t18_what_is_not_documented_is_refused_and_costs_no_other_frame(
    frame: bytes, fixture: Callable[[str], bytes]
) -> None:
    events, effects = decode(feed("spot"), frame, fixture("trade_spot.json"))
    assert [type(e) for e in events] == [Trade]
    assert [(type(e), e.index) for e in effects if isinstance(e, Refused)] == [(Refused, 0)]


def test_m12_pongs_and_private_events_are_silent(fixture: Callable[[str], bytes]) -> None:
    private = b'{"time":1,"channel":"futures.balances","event":"update","result":[{"balance":9.9}]}'
    api = b'{"request_id":"1","header":{"status":"200","channel":"spot.order_place","event":"api"},"data":{}}'
    assert decode(feed("usdm"), fixture("pong.json"), private, api) == ([], [])


def test_each_subscription_is_asked_for_by_a_message_of_its_own() -> None:
    codec = feed("spot", wants("spot", Channel.CANDLES, Interval.M1), wants("spot", Channel.TICKER))
    assert messages(opened(codec)) == [
        {"time": 1_790_000_000, "id": i + 1, "channel": channel, "event": "subscribe", "payload": payload}
        for i, (channel, payload) in enumerate(
            [
                ("spot.candlesticks", ["1m", "BTC_USDT"]),
                ("spot.book_ticker", ["BTC_USDT"]),
                ("spot.tickers", ["BTC_USDT"]),
            ]
        )
    ]


@pytest.mark.parametrize("count", [MESSAGES_PER_TICK, MESSAGES_PER_TICK + 1])
def test_t30_many_subscriptions_leave_over_several_seconds(count: int) -> None:
    wanted = [wants("spot", Channel.TRADES, symbol=f"S{i}_USDT") for i in range(count)]
    codec = feed("spot", *wanted)
    first = messages(opened(codec))
    codec.change(wanted, [])
    then = messages(ticked(codec, NOW_NS + NS_PER_S))
    assert (len(first), len(then)) == (MESSAGES_PER_TICK, count - MESSAGES_PER_TICK)
    assert len(first) <= market("spot").limits.messages_per_s_max
    assert sorted(m["payload"][0] for m in first + then) == sorted(w.instrument.venue_symbol for w in wanted)


def test_a_change_says_the_difference_and_nothing_else() -> None:
    kept, left, added = (wants("spot", Channel.TRADES, symbol=s) for s in ("A_USDT", "B_USDT", "C_USDT"))
    codec = feed("spot", kept, left)
    effects: list[Effect] = []
    codec.change([kept, left], effects)
    assert effects == [], "the socket is not open yet"
    opened(codec)
    codec.change([kept, added], effects)
    assert [(m["event"], m["payload"]) for m in messages(effects)] == [
        ("unsubscribe", ["B_USDT"]),
        ("subscribe", ["C_USDT"]),
    ]
    effects.clear()
    codec.change([added, kept], effects)
    assert effects == []


def test_changes_within_one_second_share_its_messages() -> None:
    codec = feed("spot", wants("spot", Channel.TRADES))
    opened(codec)
    effects: list[Effect] = []
    for i in range(2 * MESSAGES_PER_TICK):
        codec.change([wants("spot", Channel.TRADES), wants("spot", Channel.TRADES, symbol=f"S{i}_USDT")], effects)
    assert len(effects) == MESSAGES_PER_TICK - 1


def test_m11_a_refused_subscription_is_told_with_what_was_refused(fixture: Callable[[str], bytes]) -> None:
    wanted = [wants("spot", Channel.TRADES, symbol=s) for s in ("GIBBERISH_USDT", "BTC_USDT")]
    codec = feed("spot", *wanted)
    opened(codec)
    _, effects = decode(codec, fixture("refused.json"), answered(2))
    assert effects == [VenueError("2", "unknown currency pair GIBBERISH_USDT", (wanted[0],))]
    assert ticked(codec, NOW_NS + NS_PER_S) == []


def test_m11_an_error_that_nobody_asked_for_is_told_of_the_whole_connection() -> None:
    error = {"code": 1, "message": "request payload does not follow json schema"}
    _, effects = decode(feed("spot"), answered(77, "fail", error))
    assert effects == [VenueError("1", "request payload does not follow json schema")]


def test_a_book_that_was_refused_asks_for_no_snapshots() -> None:
    codec = feed("spot", wants("spot", Channel.BOOK))
    opened(codec)
    decode(codec, answered(1, "fail", {"code": 2, "message": "unknown"}))
    assert ticked(codec, NOW_NS + NS_PER_S) == []


def test_a_fault_of_the_servers_is_tried_on_another_connection() -> None:
    codec = feed("spot", wants("spot", Channel.TRADES))
    opened(codec)
    _, effects = decode(codec, answered(1, "fail", {"code": 3, "message": "internal"}))
    assert effects == [Reconnect("the venue could not subscribe: internal")]


def test_what_could_not_be_left_is_no_error_of_what_is_carried() -> None:
    codec = feed("spot", wants("spot", Channel.TRADES), wants("spot", Channel.TICKER))
    opened(codec)
    codec.change([wants("spot", Channel.TICKER)], [])
    assert decode(codec, answered(4, "fail", {"code": 2, "message": "not subscribed"})) == ([], [])


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_subscription_that_nobody_answers_is_tried_on_another_connection(is_answered: bool) -> None:
    codec = feed("spot", wants("spot", Channel.TRADES))
    opened(codec)
    if is_answered:
        decode(codec, answered(1))
    lost = [e for e in ticked(codec, NOW_NS + ACKNOWLEDGED_NS_MAX - 1) if isinstance(e, Reconnect)]
    assert lost == []
    lost = [e for e in ticked(codec, NOW_NS + ACKNOWLEDGED_NS_MAX) if isinstance(e, Reconnect)]
    assert lost == ([] if is_answered else [Reconnect("a subscription was not acknowledged")])


@pytest.mark.parametrize(("name", "channel"), [("spot", "spot.ping"), ("usdm", "futures.ping")])
def test_t27_a_quiet_market_is_kept_alive_for_ten_minutes(
    name: str, channel: str, fixture: Callable[[str], bytes]
) -> None:
    codec = feed(name, wants(name, Channel.TRADES))
    opened(codec)
    decode(codec, answered(1))
    said: list[int] = []
    for second in range(1, 601):
        effects = ticked(codec, NOW_NS + second * NS_PER_S)
        for message in messages(effects):
            assert message == {"time": 1_790_000_000 + second, "channel": channel}
            said.append(second)
            assert decode(codec, fixture("pong.json")) == ([], [])
        assert all(isinstance(e, Send) for e in effects), "a quiet market is no reason to reconnect"
    assert said == list(range(10, 601, PING_NS // NS_PER_S))
    assert market(name).limits.silence_s_max * NS_PER_S == 3 * PING_NS


def test_a_socket_that_is_not_open_yet_is_not_pinged() -> None:
    assert ticked(feed("spot", wants("spot", Channel.TRADES)), NOW_NS) == []


@pytest.mark.parametrize("name", ["spot", "usdm"])
def test_t29_an_announced_upgrade_asks_to_move_once(name: str, fixture: Callable[[str], bytes]) -> None:
    notice = fixture("upgrade_futures.json").replace(b"futures.", b"spot." if name == "spot" else b"futures.")
    _, effects = decode(feed(name), notice, notice)
    assert effects == [Reconnect("the venue announced an upgrade", planned=True)]


def test_a_book_asks_for_its_snapshot_and_is_told_from_there() -> None:
    codec = feed("spot", wants("spot", Channel.BOOK))
    events, effects = decode(codec, depth(5, 6), depth(7, 8))
    assert events == []
    (fetch,) = effects
    assert isinstance(fetch, Fetch)
    assert fetch.request.purpose == BookPage(instrument("spot"))
    codec.fetched(fetch.request, book_answer(6), NOW_NS, events, effects)
    assert [type(e) for e in events] == [BookSnapshot, BookDelta]
    assert codec.book_counters() == {"BTC_USDT": {"dropped": 1, "applied": 1, "gaps": 0, "resyncs": 0}}


def test_a_lost_update_is_a_gap_and_a_new_snapshot_soon() -> None:
    codec = feed("spot", wants("spot", Channel.BOOK))
    events, effects = decode(codec, depth(5, 6))
    assert isinstance(effects[0], Fetch)
    codec.fetched(effects[0].request, book_answer(6), NOW_NS, events, effects)
    events, effects = decode(codec, depth(20, 22))
    assert [type(e) for e in events] == [Gap]
    assert effects == [], "the last snapshot was asked for just now"
    assert [type(e) for e in ticked(codec, NOW_NS + NS_PER_S)] == [Fetch]


def test_t3_a_whole_book_needs_no_snapshot_and_mends_a_gap() -> None:
    codec = feed("spot", wants("spot", Channel.BOOK))
    events, effects = decode(codec, depth(1, 6, full=True), depth(7, 8), depth(20, 22), depth(1, 30, full=True))
    assert [type(e) for e in events] == [BookSnapshot, BookDelta, Gap, BookSnapshot]
    assert [type(e) for e in effects] == [Fetch]
    assert codec.book_counters()["BTC_USDT"]["resyncs"] == 2
    events, effects = decode(codec, depth(31, 31))
    assert ([type(e) for e in events], effects) == ([BookDelta], [])


@pytest.mark.parametrize("body", [b"<html>", b'{"bids":[],"asks":[],"update":5}'])
def test_a_snapshot_that_fails_or_has_no_id_is_asked_for_again(body: bytes) -> None:
    codec = feed("spot", wants("spot", Channel.BOOK))
    events, effects = decode(codec, depth(5, 6))
    (fetch,) = effects
    assert isinstance(fetch, Fetch)
    codec.fetched(fetch.request, body, NOW_NS, events, effects)
    assert isinstance(effects[-1], Refused)
    assert effects[-1].index == -1
    for second in (2, 6):
        assert [type(e) for e in ticked(codec, NOW_NS + second * NS_PER_S)] == [Fetch]
        codec.failed(fetch.request, "timed out", NOW_NS, effects)
    assert events == []


def test_a_book_that_is_no_longer_wanted_is_forgotten() -> None:
    codec = feed("spot", wants("spot", Channel.BOOK), wants("spot", Channel.TRADES))
    events, effects = decode(codec, depth(5, 6))
    (fetch,) = effects
    assert isinstance(fetch, Fetch)
    codec.change([wants("spot", Channel.TRADES)], effects)
    codec.fetched(fetch.request, book_answer(6), NOW_NS, events, effects)
    codec.failed(fetch.request, "late", NOW_NS, effects)
    assert decode(codec, depth(7, 8)) == ([], [])
    assert (events, codec.book_counters(), codec.ignored) == ([], {}, 1)


def test_unsequenced_updates_are_told_as_they_come() -> None:
    events, effects = decode(feed("spot", sequenced=False), depth(5, 6), depth(50, 60), depth(1, 70, full=True))
    assert [(type(e), getattr(e, "sequence", None)) for e in events] == [
        (BookDelta, 6), (BookDelta, 60), (BookSnapshot, 70)
    ]  # fmt: skip
    assert effects == []


def test_pages_ask_for_the_next_page() -> None:
    codec = feed("usdm")
    coin = instrument("usdm")
    page = CandlePage(coin, Interval.M1, 0, 1_000_000 * NS_PER_S)
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    codec.fetched(market("usdm").candle_request(page), b"[]", NOW_NS, events, effects)
    purposes = [e.request.purpose for e in effects if isinstance(e, Fetch)]
    assert purposes == [CandlePage(coin, Interval.M1, 1999 * 60 * NS_PER_S, 1_000_000 * NS_PER_S)]


def test_t9_the_venues_time_on_the_stream_closes_a_last_row(fixture: Callable[[str], bytes]) -> None:
    page = CandlePage(instrument("usdm"), Interval.M1, 1_790_349_840 * NS_PER_S, None)
    body = b'[{"o":"1","v":5,"t":1790349840,"c":"1","l":"1","h":"1","sum":"0"}]'
    for heard in (True, False):
        codec = feed("usdm")
        if heard:
            decode(codec, fixture("candles_usdm.json"))  # sent 61 s after the bar's end
        events: list[VenueEvent] = []
        codec.fetched(market("usdm").candle_request(page), body, 2**62, events, [])
        assert [e.closed for e in events if isinstance(e, Candle)] == [heard]


@pytest.mark.captures
def test_t33_recorded_controls_cause_nothing(captures: Path) -> None:
    for _, line in read_lines(captures / "gate/ws_control.jsonl"):
        for name in NAMES:
            assert decode(feed(name), line) == ([], [])


FRAMES = st.sampled_from(
    [p.read_bytes() for p in sorted(FIXTURES.glob("*.json"))]
    + [depth(1, 2), depth(3, 4), depth(9, 9, full=True), answered(1), answered(1, "fail", {"code": 2, "message": "x"})]
)


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
    st.sampled_from(NAMES),
    st.booleans(),
    st.booleans(),
    st.lists(st.binary(max_size=200) | mutated() | FRAMES, min_size=1, max_size=5),
)
@example("spot", True, True, [b'{"channel":"spot.book_ticker","event":"update","result":{"B":""'])
@example("usdm", True, True, [b"[" * 100_000])
def test_no_bytes_make_it_raise(name: str, all_welcome: bool, sequenced: bool, frames: list[bytes]) -> None:
    """Whatever arrives: each frame is told, ignored, refused at its index, or acted on; never an exception."""
    subscriptions = () if all_welcome else (wants(name, Channel.BOOK), wants(name, Channel.TRADES))
    codec = feed(name, *subscriptions, sequenced=sequenced)
    opened(codec)
    events, effects = decode(codec, *frames)
    assert all(0 <= e.index < len(frames) for e in effects if isinstance(e, Refused))
    for event in events:
        for value in (getattr(event, field) for field in event.__struct_fields__):
            if isinstance(value, Decimal):
                assert value.is_finite()
                assert len(value.as_tuple().digits) <= 38


@given(st.sampled_from(NAMES), st.binary(max_size=200))
def test_no_answer_makes_it_raise(name: str, body: bytes) -> None:
    codec = feed(name, wants(name, Channel.BOOK))
    coin = instrument(name)
    for purpose in (CandlePage(coin, Interval.M1, 0, None), BookPage(coin)):
        events: list[VenueEvent] = []
        effects: list[Effect] = []
        codec.fetched(Request("/x", (), 1, purpose), body, NOW_NS, events, effects)
        assert all(isinstance(e, Fetch) or (isinstance(e, Refused) and e.index == -1) for e in effects)
