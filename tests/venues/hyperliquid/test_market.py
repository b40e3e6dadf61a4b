"""The codec of one socket: frames in, events and effects out."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.errors import ConfigError
from heliograph.marketdata.dedupe import TradeWindow
from heliograph.model.book import BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, Channel, DayStatistics, Side, Source, Trade, TradeCause
from heliograph.venues import find_market
from heliograph.venues.contract import (
    CandlePage,
    Connection,
    Effect,
    Fetch,
    InstrumentPage,
    Reconnect,
    Refused,
    Request,
    Send,
    Subscription,
    VenueError,
)
from heliograph.venues.hyperliquid import VENUE
from heliograph.venues.hyperliquid.candles import OVERDUE_NS, SLACK_NS
from heliograph.venues.hyperliquid.instruments import USDM
from heliograph.venues.hyperliquid.market import MESSAGES_PER_TICK, PING, PING_NS, Feed

NOW_NS = 1_770_000_000 * NS_PER_S
FRAMES = ("book.json", "top.json", "candle.json", "trades.json", "context.json", "subscribed.json", "already.json",
          "refused.json")  # fmt: skip


def instrument(name: str, market: MarketId = USDM) -> Instrument:
    return VENUE.markets[market].instrument(name)


def wants(name: str, channel: Channel, interval: Interval | None = None, market: MarketId = USDM) -> Subscription:
    return Subscription(channel, instrument(name, market), interval)


ALL = (
    wants("BTC", Channel.CANDLES, Interval.M1),
    wants("BTC", Channel.TICKER),
    wants("BTC", Channel.TRADES),
    wants("BTC", Channel.BOOK),
)


def feed(*subscriptions: Subscription, market: MarketId = USDM, sequenced: bool = True) -> Feed:
    made = VENUE.markets[market].feed(Connection("/ws", subscriptions, sequenced))
    assert isinstance(made, Feed)
    return made


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


def opened(codec: Feed, now_ns: int = NOW_NS) -> list[Effect]:
    effects: list[Effect] = []
    codec.opened(now_ns, effects)
    return effects


def ticked(codec: Feed, now_ns: int) -> list[Effect]:
    effects: list[Effect] = []
    codec.ticked(now_ns, effects)
    return effects


def said(effects: list[Effect]) -> list[tuple[str, str, str]]:
    raws = [json.loads(e.payload) for e in effects if isinstance(e, Send)]
    return [(raw["method"], raw["subscription"]["type"], raw["subscription"]["coin"]) for raw in raws]


def changed(frame: bytes, **fields: object) -> bytes:
    raw = json.loads(frame)
    raw["data"].update(fields)
    return json.dumps(raw).encode()


def bar(minute: int, count: int, coin: str = "BTC") -> bytes:
    t = NOW_NS // NS_PER_MS + minute * 60_000
    data = {"t": t, "T": t + 59_999, "s": coin, "i": "1m", "o": "1", "c": "1", "h": "1", "l": "1", "v": "1", "n": count}
    return json.dumps({"channel": "candle", "data": data}).encode()


def confirmed(kind: str, coin: str) -> bytes:
    data = {"method": "subscribe", "subscription": {"type": kind, "coin": coin}}
    return json.dumps({"channel": "subscriptionResponse", "data": data}).encode()


def test_a_candle_is_open_has_no_event_time_and_counts_the_base(fixture: Callable[[str], bytes]) -> None:
    assert one(feed(*ALL), fixture("candle.json")) == Candle(
        instrument("BTC"), Interval.M1, NOW_NS, NOW_NS + 60 * NS_PER_S,
        Decimal("64082.0"), Decimal("64100.0"), Decimal("64081.0"), Decimal("64099.0"),
        Decimal("3495670.8399999999"), None, None, 124, False, None, NOW_NS, Source.STREAM,
    )  # fmt: skip


def test_t16_float_noise_is_kept_as_text(fixture: Callable[[str], bytes]) -> None:
    candle = one(feed(*ALL), fixture("candle.json"))
    assert isinstance(candle, Candle)
    assert (str(candle.base_volume), str(candle.open)) == ("3495670.8399999999", "64082.0")


def test_m17_volumes_that_the_venue_does_not_tell_are_none(fixture: Callable[[str], bytes]) -> None:
    candle = one(feed(*ALL), fixture("candle.json"))
    assert isinstance(candle, Candle)
    assert (candle.quote_volume, candle.contracts, candle.trade_count) == (None, None, 124)


def test_candles_may_come_as_a_list(fixture: Callable[[str], bytes]) -> None:
    raw = json.loads(fixture("candle.json"))
    listed = json.dumps({"channel": "candle", "data": [raw["data"]]}).encode()
    assert one(feed(*ALL), listed) == one(feed(*ALL), fixture("candle.json"))


def test_t9_the_successor_closes_a_candle() -> None:
    events, _ = decode(feed(*ALL), bar(0, 1), bar(0, 2), bar(1, 1))
    assert [(c.trade_count, c.closed, c.source) for c in events if isinstance(c, Candle)] == [
        (1, False, Source.STREAM), (2, False, Source.STREAM), (2, True, Source.STREAM), (1, False, Source.STREAM),
    ]  # fmt: skip


@pytest.mark.parametrize(("quiet_ns", "closes"), [(SLACK_NS, True), (SLACK_NS + 1, False)])
def test_t9_after_a_silence_of_the_socket_the_successor_closes_nothing(quiet_ns: int, closes: bool) -> None:
    codec = feed(*ALL)
    codec.opened(NOW_NS, [])
    for _ in range(1000):  # A socket that never rests.
        decode(codec, bar(0, 1))
    events, _ = decode(codec, bar(1, 1), received_ns=NOW_NS + quiet_ns)
    assert [e.closed for e in events if isinstance(e, Candle)] == ([True, False] if closes else [False])
    events, _ = decode(codec, bar(2, 1), received_ns=NOW_NS + quiet_ns + 1)
    assert [e.closed for e in events if isinstance(e, Candle)] == [True, False]


def test_t9_each_interval_and_instrument_is_closed_by_its_own_successor() -> None:
    codec = feed(wants("BTC", Channel.CANDLES, Interval.M1), wants("ETH", Channel.CANDLES, Interval.M1))
    events, _ = decode(codec, bar(0, 1), bar(1, 1, "ETH"), bar(2, 1, "ETH"))
    assert [(c.instrument.venue_symbol, c.closed) for c in events if isinstance(c, Candle)] == [
        ("BTC", False), ("ETH", False), ("ETH", True), ("ETH", False),
    ]  # fmt: skip


def test_lines_that_are_read_by_themselves_close_nothing() -> None:
    events, _ = decode(feed(sequenced=False), bar(0, 1), bar(1, 1))
    assert [c.closed for c in events if isinstance(c, Candle)] == [False, False]


def test_t9_an_overdue_candle_is_read_again_by_rest_and_says_so() -> None:
    codec = feed(*ALL)
    opened(codec)
    decode(codec, bar(0, 3), *(confirmed(kind, "BTC") for kind in ("bbo", "activeAssetCtx", "trades", "l2Book")))
    overdue_ns = NOW_NS + 60 * NS_PER_S + OVERDUE_NS
    assert not [e for e in ticked(codec, overdue_ns - 1) if isinstance(e, Fetch)]
    (request,) = [e.request for e in ticked(codec, overdue_ns) if isinstance(e, Fetch)]
    assert request.purpose == CandlePage(instrument("BTC"), Interval.M1, NOW_NS, None)
    row = json.loads(bar(0, 4))["data"]

    def answer() -> list[VenueEvent]:
        events: list[VenueEvent] = []
        effects: list[Effect] = []
        codec.fetched(request, json.dumps([row]).encode(), overdue_ns, events, effects)
        assert effects == []
        return events

    (unproven,) = answer()  # Our own clock says that it is over. The venue has not said so.
    assert isinstance(unproven, Candle)
    assert (unproven.closed, unproven.trade_count) == (False, 4)
    book = {"coin": "BTC", "time": (NOW_NS + 70 * NS_PER_S) // NS_PER_MS, "levels": [[], []]}
    decode(codec, json.dumps({"channel": "l2Book", "data": book}).encode())
    (proven,) = answer()
    assert isinstance(proven, Candle)
    assert (proven.closed, proven.source, proven.trade_count) == (True, Source.REST, 4)
    assert not [e for e in ticked(codec, overdue_ns + 3600 * NS_PER_S) if isinstance(e, Fetch)]


@pytest.mark.parametrize(
    "told",
    [
        bar(2, 1, "ETH"),
        b'{"channel":"bbo","data":{"coin":"ETH","time":1770000070000,"bbo":[null,null]}}',
        b'{"channel":"trades","data":[{"coin":"ETH","side":"B","px":"1","sz":"1","time":1770000070000,"tid":1}]}',
    ],
)
def test_t7_whatever_tells_the_venues_time_proves_that_a_candle_is_over(told: bytes) -> None:
    codec = feed(*(wants("ETH", s.channel, s.interval) for s in ALL))
    request = VENUE.markets[USDM].candle_request(CandlePage(instrument("BTC"), Interval.M1, NOW_NS, None))
    for closed in (False, True):
        events: list[VenueEvent] = []
        codec.fetched(request, b"[%s]" % json.dumps(json.loads(bar(0, 4))["data"]).encode(), NOW_NS, events, [])
        assert [c.closed for c in events if isinstance(c, Candle)] == [closed]
        decode(codec, told)


def test_a_stream_that_was_left_and_wanted_again_closes_nothing_of_before() -> None:
    codec = feed(*ALL)
    opened(codec)
    decode(codec, bar(0, 1))
    codec.change(ALL[1:], [])
    codec.change(ALL, [])
    events, _ = decode(codec, bar(7, 1))
    assert [c.closed for c in events if isinstance(c, Candle)] == [False]


def test_a_page_is_followed_by_the_next_one() -> None:
    codec = feed(*ALL)
    market = VENUE.markets[USDM]
    request = market.candle_request(CandlePage(instrument("BTC"), Interval.M1, NOW_NS, NOW_NS + 10**6 * NS_PER_S))
    effects: list[Effect] = []
    codec.fetched(request, b"[]", NOW_NS, [], effects)
    (following,) = effects
    assert isinstance(following, Fetch)
    assert isinstance(following.request.purpose, CandlePage)
    assert following.request.purpose.from_ns == NOW_NS + 499 * 60 * NS_PER_S


def test_an_answer_that_is_not_documented_is_refused_and_another_ones_is_left_alone() -> None:
    codec = feed(*ALL)
    request = VENUE.markets[USDM].candle_request(CandlePage(instrument("BTC"), Interval.M1, NOW_NS, None))
    effects: list[Effect] = []
    codec.fetched(request, b"null", NOW_NS, [], effects)
    codec.fetched(Request("/info", (), 1, InstrumentPage(USDM)), b"null", NOW_NS, [], effects)
    codec.failed(request, "status 500", NOW_NS, effects)
    (refused,) = effects
    assert isinstance(refused, Refused)
    assert refused.index == -1


def test_a_top_of_one_side(fixture: Callable[[str], bytes]) -> None:
    assert one(feed(*ALL), fixture("top.json")) == BookTop(
        instrument("BTC"), Decimal("64082.0"), Decimal("1.5"), None, None, None, 1_770_000_000_456 * NS_PER_MS, NOW_NS
    )
    ask = changed(fixture("top.json"), bbo=[None, {"px": "2", "sz": "1", "n": 1}])
    top = one(feed(*ALL), ask)
    assert isinstance(top, BookTop)
    assert (top.bid, top.bid_quantity, top.ask, top.ask_quantity) == (None, None, Decimal(2), Decimal(1))


def test_a_top_that_does_not_tell_its_sides_apart_is_refused(fixture: Callable[[str], bytes]) -> None:
    events, effects = decode(feed(*ALL), changed(fixture("top.json"), bbo=[{"px": "2", "sz": "1", "n": 1}]))
    assert events == []
    assert [type(e) for e in effects] == [Refused]


def test_trades_carry_the_takers_side_and_their_own_time(fixture: Callable[[str], bytes]) -> None:
    events, effects = decode(feed(*ALL), fixture("trades.json"))
    assert effects == []
    assert events[0] == Trade(
        instrument("BTC"), "1016375172059570", None, Decimal("64082.0"), Decimal("0.38111"), Side.BUY,
        TradeCause.MARKET, 1_770_000_000_192 * NS_PER_MS, NOW_NS, Source.STREAM,
    )  # fmt: skip
    assert isinstance(events[1], Trade)
    assert events[1].side is Side.SELL


def test_trades_that_are_repeated_can_be_told_by_their_number_and_dust_has_none(
    fixture: Callable[[str], bytes],
) -> None:
    events, _ = decode(feed(*ALL), fixture("trades.json"), fixture("trades.json"))
    known = TradeWindow(120 * NS_PER_S, 100).open(instrument("BTC").id)
    ids = [e.trade_id for e in events if isinstance(e, Trade)]
    assert ids == ["1016375172059570", None, "1016375172059570", None]
    assert [known.is_new(i, 0) for i in ids if i is not None] == [True, False]


def test_t33_a_trades_number_beyond_two_to_the_53_is_exact(fixture: Callable[[str], bytes]) -> None:
    big = fixture("trades.json").replace(b"1016375172059570", b"9007199254740993")
    events, _ = decode(feed(*ALL), big)
    assert isinstance(events[0], Trade)
    assert events[0].trade_id == "9007199254740993"


def test_t3_every_book_is_a_whole_one_and_none_a_gap(fixture: Callable[[str], bytes]) -> None:
    codec = feed(*ALL)
    later = changed(fixture("book.json"), levels=[[], [{"px": "5", "sz": "1", "n": 1}]], time=1_770_000_001_000)
    events, effects = decode(codec, fixture("book.json"), later, fixture("book.json"))
    assert effects == []
    assert [(type(e), e.sequence) for e in events if isinstance(e, BookSnapshot)] == [(BookSnapshot, None)] * 3
    assert isinstance(events[1], BookSnapshot)
    assert (events[1].bids, events[1].asks) == ([], [(Decimal(5), Decimal(1))])
    assert codec.book_counters() == {"BTC": {"dropped": 0, "applied": 3, "gaps": 0}}


def test_the_day_has_no_last_price_before_a_trade_has_one(fixture: Callable[[str], bytes]) -> None:
    codec = feed(*ALL)
    assert decode(codec, fixture("context.json")) == ([], [])  # Mark and mid prices are not the last one.
    decode(codec, fixture("trades.json"))
    assert one(codec, fixture("context.json")) == DayStatistics(
        instrument("BTC"), Decimal("64081.0"), Decimal("63000.5"), None, None,
        Decimal("18.25"), Decimal("1169046.29406"), None, None, None, NOW_NS,
    )  # fmt: skip


def test_a_price_of_nothing_the_day_before_is_none(fixture: Callable[[str], bytes]) -> None:
    codec = feed(*ALL)
    decode(codec, fixture("trades.json"))
    day = one(codec, fixture("context.json").replace(b'"63000.5"', b'"0.0"'))
    assert isinstance(day, DayStatistics)
    assert day.open is None


def test_the_newest_trade_is_the_last_one_in_whatever_order_they_come(fixture: Callable[[str], bytes]) -> None:
    raw = json.loads(fixture("trades.json"))
    raw["data"].reverse()
    codec = feed(*ALL)
    decode(codec, json.dumps(raw).encode())
    day = one(codec, fixture("context.json"))
    assert isinstance(day, DayStatistics)
    assert day.last == Decimal("64081.0")


def test_a_spot_pairs_context_comes_under_another_name(fixture: Callable[[str], bytes]) -> None:
    codec = feed(wants("@107", Channel.TICKER, market=SPOT), market=SPOT)
    assert ("subscribe", "activeAssetCtx", "@107") in said(opened(codec))
    decode(codec, fixture("trades.json").replace(b'"BTC"', b'"@107"'))
    day = one(codec, fixture("context_spot.json"))
    assert isinstance(day, DayStatistics)
    assert (day.instrument.id, day.base_volume) == ("hyperliquid:spot:@107", Decimal("690824.1400000008"))


def test_m19_names_keep_their_case_and_their_dex(fixture: Callable[[str], bytes]) -> None:
    codec = feed(wants("kPEPE", Channel.BOOK), wants("xyz:XYZ100", Channel.BOOK))
    assert said(opened(codec)) == [("subscribe", "l2Book", "kPEPE"), ("subscribe", "l2Book", "xyz:XYZ100")]
    for name in ("kPEPE", "xyz:XYZ100"):
        book = one(codec, changed(fixture("book.json"), coin=name))
        assert book.instrument.venue_symbol == name
    decode(codec, changed(fixture("book.json"), coin="KPEPE"), changed(fixture("book.json"), coin="xyz"))
    assert codec.ignored == 2


def test_m19_there_are_two_markets_and_perpetuals_are_meant_where_none_is_named() -> None:
    assert [*VENUE.markets] == ["usdm", "spot"]
    assert find_market(VENUE, None).market == "usdm"
    assert [find_market(VENUE, name).market for name in ("um", "PERP", "Spot")] == ["usdm", "usdm", "spot"]
    with pytest.raises(ConfigError, match="coinm"):
        find_market(VENUE, "coinm")


def test_t17_a_feed_of_all_instruments_tells_those_of_its_market(fixture: Callable[[str], bytes]) -> None:
    perpetuals, spot = feed(), feed(market=SPOT)
    pair = changed(fixture("book.json"), coin="@107")
    for codec, own, other in ((perpetuals, fixture("book.json"), pair), (spot, pair, fixture("book.json"))):
        events, effects = decode(codec, own, other)
        assert (len(events), effects, codec.ignored) == (1, [], 1)
    _, effects = decode(perpetuals, changed(fixture("book.json"), coin="#330"))
    assert [type(e) for e in effects] == [Refused]


def test_frames_of_what_was_left_or_never_wanted_are_passed_over(fixture: Callable[[str], bytes]) -> None:
    codec = feed(wants("BTC", Channel.CANDLES, Interval.H1))
    assert decode(codec, fixture("candle.json"), changed(fixture("book.json"), coin="ETH")) == ([], [])
    assert codec.ignored == 2


def test_t18_the_banner_the_pong_and_accounts_are_control() -> None:
    codec = feed(*ALL)
    silent = [b'{"channel":"%s","data":{}}' % name for name in (b"orderUpdates", b"webData2", b"allMids", b"user")]
    assert decode(codec, b"Websocket connection established.", b'{"channel":"pong"}', *silent) == ([], [])


@pytest.mark.parametrize(
    "frame",
    [b"", b'""', b"pong", b"{}", b"[]", b"null", b'{"channel":"news","data":1}', b'{"channel":"candle"}',
     b"Websocket connection established", b'{"channel":"l2Book","data":null}', b"[" * 100_000],
)  # fmt: skip
def test_what_is_not_documented_is_refused(frame: bytes) -> None:
    events, effects = decode(feed(*ALL), b'{"channel":"pong"}', frame)
    assert events == []
    (refused,) = effects
    assert isinstance(refused, Refused)
    assert (refused.index, bool(refused.reason)) == (1, True)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("candle.json", {"v": "NaN"}),
        ("candle.json", {"v": "-1"}),
        ("candle.json", {"o": "Infinity"}),
        ("candle.json", {"h": "1" * 100_000}),
        ("candle.json", {"T": 1_770_000_060_000}),
        ("candle.json", {"t": 1_770_000_000_001}),
        ("candle.json", {"i": "7m"}),
        ("top.json", {"bbo": [{"px": "1", "sz": "-1"}, None]}),
        ("top.json", {"bbo": [None, {"px": "1", "sz": "NaN"}]}),
        ("top.json", {"time": -1}),
        ("book.json", {"levels": [[]]}),
        ("book.json", {"levels": [[], [], []]}),
        ("book.json", {"time": 1_770_000_000_000_000}),
        ("context.json", {"ctx": {"dayNtlVlm": "-1", "prevDayPx": "1"}}),
    ],
)
def test_one_bad_frame_costs_no_other(fixture: Callable[[str], bytes], name: str, fields: dict[str, object]) -> None:
    events, effects = decode(feed(*ALL), fixture("top.json"), changed(fixture(name), **fields), fixture("book.json"))
    assert [type(e) for e in events] == [BookTop, BookSnapshot]
    assert [e.index for e in effects if isinstance(e, Refused)] == [1]


def test_a_trade_that_cannot_be_takes_its_frame_with_it(fixture: Callable[[str], bytes]) -> None:
    for bad in (b'"sz":"-1"', b'"sz":"NaN"'):
        events, effects = decode(feed(*ALL), fixture("trades.json").replace(b'"sz":"0.1"', bad))
        assert (events, [type(e) for e in effects]) == ([], [Refused])


def test_opening_asks_for_every_stream_once() -> None:
    assert said(opened(feed(*ALL))) == [
        ("subscribe", "candle", "BTC"), ("subscribe", "bbo", "BTC"), ("subscribe", "activeAssetCtx", "BTC"),
        ("subscribe", "trades", "BTC"), ("subscribe", "l2Book", "BTC"),
    ]  # fmt: skip


def test_t30_messages_leave_a_bounded_number_a_second() -> None:
    assert MESSAGES_PER_TICK * 60 <= 2000
    for count, left in ((MESSAGES_PER_TICK, []), (MESSAGES_PER_TICK + 1, [1])):
        codec = feed(*(wants(f"C{i}", Channel.TRADES) for i in range(count)))
        sent = [len(said(opened(codec)))]
        while said(effects := ticked(codec, NOW_NS + len(sent) * NS_PER_S)):
            sent.append(len(said(effects)))
        assert sent == [MESSAGES_PER_TICK, *left]


def test_t30_changes_in_a_row_share_the_bound() -> None:
    codec = feed(*(wants(f"C{i}", Channel.TRADES) for i in range(MESSAGES_PER_TICK)))
    opened(codec)
    effects: list[Effect] = []
    codec.change([wants("BTC", Channel.TRADES)], effects)
    assert effects == []
    assert len(said(ticked(codec, NOW_NS + NS_PER_S))) == MESSAGES_PER_TICK


def test_a_change_ends_what_is_unwanted_and_begins_what_is_new() -> None:
    codec = feed(*ALL)
    opened(codec)
    effects: list[Effect] = []
    codec.change([wants("BTC", Channel.TICKER), wants("ETH", Channel.TRADES)], effects)
    assert said(effects) == [  # The ticker still needs the trades.
        ("unsubscribe", "candle", "BTC"), ("unsubscribe", "l2Book", "BTC"), ("subscribe", "trades", "ETH"),
    ]  # fmt: skip


def test_a_change_before_the_opening_is_said_at_the_opening() -> None:
    codec = feed(*ALL)
    effects: list[Effect] = []
    codec.change([wants("ETH", Channel.TRADES)], effects)
    assert effects == []
    assert said(opened(codec)) == [("subscribe", "trades", "ETH")]


def test_t27_ten_quiet_minutes_bring_pings_and_nothing_else() -> None:
    codec = feed(wants("BTC", Channel.BOOK))
    opened(codec)
    decode(codec, confirmed("l2Book", "BTC"))
    heard_ns = NOW_NS
    pings = 0
    for second in range(1, 601):
        now_ns = NOW_NS + second * NS_PER_S
        for effect in ticked(codec, now_ns):
            assert effect == Send(PING, heartbeat=True)
            pings += 1
            decode(codec, b'{"channel":"pong"}', received_ns=now_ns)
            heard_ns = now_ns
        assert now_ns - heard_ns <= PING_NS < 60 * NS_PER_S
    assert pings == 20


def test_t27_a_venue_that_speaks_is_not_pinged_and_a_clock_set_back_is_no_excuse(
    fixture: Callable[[str], bytes],
) -> None:
    codec = feed(wants("BTC", Channel.BOOK))
    opened(codec)
    decode(codec, confirmed("l2Book", "BTC"))
    for second in range(1, 200):
        decode(codec, fixture("book.json"), received_ns=NOW_NS + second * NS_PER_S)
        assert ticked(codec, NOW_NS + second * NS_PER_S) == []
    assert ticked(codec, NOW_NS - 3600 * NS_PER_S) == [Send(PING, heartbeat=True)]
    assert ticked(codec, NOW_NS - 3599 * NS_PER_S) == []


def test_m12_a_pong_is_no_ping_and_no_text_kills_the_codec() -> None:
    codec = feed(*ALL)
    _, effects = decode(codec, b'{"channel":"pong"}', b"pong")
    assert not [e for e in effects if isinstance(e, Send)]


def test_a_subscription_that_is_not_acknowledged_costs_the_connection() -> None:
    codec = feed(wants("BTC", Channel.TRADES), wants("BTC", Channel.BOOK))
    opened(codec)
    decode(codec, confirmed("trades", "BTC"))
    assert ticked(codec, NOW_NS + 14 * NS_PER_S) == []
    assert ticked(codec, NOW_NS + 15 * NS_PER_S) == [Reconnect("a subscription was not acknowledged")]


def test_a_stream_that_was_left_needs_no_acknowledgement() -> None:
    codec = feed(wants("BTC", Channel.TRADES))
    opened(codec)
    codec.change([], [])
    assert ticked(codec, NOW_NS + 20 * NS_PER_S) == []


def test_t1_data_before_the_acknowledgement_is_taken_once_and_the_acknowledgement_resets_nothing(
    fixture: Callable[[str], bytes],
) -> None:
    codec = feed(wants("BTC", Channel.CANDLES, Interval.M1))
    opened(codec)
    acknowledged = json.loads(confirmed("candle", "BTC"))
    acknowledged["data"]["subscription"]["interval"] = "1m"
    events, effects = decode(codec, bar(0, 1), json.dumps(acknowledged).encode(), bar(1, 1))
    assert [c.closed for c in events if isinstance(c, Candle)] == [False, True, False]
    assert effects == []
    assert ticked(codec, NOW_NS + 20 * NS_PER_S) == []


def test_m11_a_refusal_names_all_that_needed_the_stream(fixture: Callable[[str], bytes]) -> None:
    ticker, trades = wants("NOPE", Channel.TICKER), wants("NOPE", Channel.TRADES)
    codec = feed(ticker, trades)
    opened(codec)
    _, effects = decode(codec, fixture("refused.json"))
    text = 'Invalid subscription {"type":"trades","coin":"NOPE"}'
    assert effects == [VenueError("error", text, (ticker, trades))]


def test_an_acknowledgement_with_more_fields_than_we_sent_counts(fixture: Callable[[str], bytes]) -> None:
    codec = feed(wants("BTC", Channel.BOOK))
    opened(codec)
    assert decode(codec, fixture("subscribed.json")) == ([], [])
    assert ticked(codec, NOW_NS + 20 * NS_PER_S) == []


def corpus(fixture: Callable[[str], bytes]) -> list[bytes]:
    return [fixture(name) for name in FRAMES]


MUTATIONS = st.lists(
    st.tuples(st.sampled_from(["cut", "insert", "replace", "double"]), st.integers(0, 1000), st.binary(max_size=6)),
    max_size=4,
)


def mutated(frame: bytes, mutations: list[tuple[str, int, bytes]]) -> bytes:
    for kind, at, data in mutations:
        at %= len(frame) + 1
        match kind:
            case "cut":
                frame = frame[:at]
            case "insert":
                frame = frame[:at] + data + frame[at:]
            case "replace":
                frame = frame[:at] + data + frame[at + len(data) :]
            case _:
                frame = frame[:at] + frame[at // 2 :]
    return frame


@given(
    st.lists(st.tuples(st.integers(0, len(FRAMES) - 1), MUTATIONS), max_size=4), st.binary(max_size=50), st.booleans()
)
@example([(2, []), (2, [])], b"", True)
def test_no_bytes_make_it_raise(
    fixture: Callable[[str], bytes], picks: list[tuple[int, Any]], noise: bytes, open_to_all: bool
) -> None:
    codec = feed() if open_to_all else feed(*ALL)
    frames = [mutated(corpus(fixture)[i], mutations) for i, mutations in picks] + [noise]
    _, effects = decode(codec, *frames)
    indices = [e.index for e in effects if isinstance(e, Refused)]
    assert indices == sorted(set(indices))
    assert all(0 <= index < len(frames) for index in indices)
    ticked(codec, NOW_NS + 20 * NS_PER_S)
