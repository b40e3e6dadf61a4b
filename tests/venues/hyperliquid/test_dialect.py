"""The shapes follow https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions."""

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.model.interval import Interval
from heliograph.sim.world import World
from heliograph.venues.dialect import Ask, Reply
from heliograph.venues.hyperliquid.dialect import (
    BLOCK_NS,
    CUT,
    INTERVALS,
    MESSAGES_MAX,
    SUBSCRIPTIONS_MAX,
    Dialect,
    Session,
    Stream,
    groups,
    pair_index,
    summed,
    text,
    tid,
)
from heliograph.venues.hyperliquid.layout import LAYOUT
from heliograph.venues.scene import Scene

EPOCH_NS = 1_795_000_000 * NS_PER_S
MINUTE_NS = 60 * NS_PER_S
WORLD = World(5, 2, EPOCH_NS, listers=LAYOUT.listers)
DIALECT = Dialect(WORLD.markets)
PERPS = WORLD.markets[MarketId("usdm")]
SPOT = WORLD.markets[MarketId("spot")]


def session_of() -> Session:
    session = DIALECT.session(Ask("/ws"))
    assert session is not None
    return session


def order(method: str, **subscription: object) -> str:
    return json.dumps({"method": method, "subscription": subscription})


def told(reply: Reply) -> dict[str, Any]:
    (payload,) = reply.payloads
    content = json.loads(payload)
    assert isinstance(content, dict)
    assert reply.close_code is None
    return content


def refusal(message: str) -> str:
    content = told(session_of().received(message))
    assert content["channel"] == "error"
    return str(content["data"])


def said(stream: Stream, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in DIALECT.frames(stream, from_ns, to_ns)]


def opened(stream: Stream, now_ns: int = EPOCH_NS) -> Any:
    (frame,) = DIALECT.opening(stream, now_ns)
    return json.loads(frame)["data"]


def test_the_first_frame_is_a_banner_that_is_no_json() -> None:
    assert session_of().greeting(EPOCH_NS) == (b"Websocket connection established.",)


def test_there_is_one_place() -> None:
    assert [DIALECT.session(Ask(path)) for path in ("/", "/ws/", "/info")] == [None] * 3


def test_a_ping_gets_a_pong_that_has_no_data() -> None:
    assert session_of().received('{"method":"ping"}').payloads == (b'{"channel":"pong"}',)


@pytest.mark.parametrize(
    ("asked", "echo"),
    [
        ({"type": "candle", "coin": "BTC", "interval": "1m"}, '{"type":"candle","interval":"1m","coin":"BTC"}'),
        (
            {"coin": "kPEPE", "type": "l2Book", "more": 1},
            '{"type":"l2Book","coin":"kPEPE","nSigFigs":null,"mantissa":null,"fast":false}',
        ),
        (
            {"type": "l2Book", "coin": "BTC", "nSigFigs": 5, "mantissa": 2, "fast": True},
            '{"type":"l2Book","coin":"BTC","nSigFigs":5,"mantissa":2,"fast":true}',
        ),
        ({"type": "trades", "coin": "PURR/USDC"}, '{"type":"trades","coin":"PURR/USDC"}'),
        ({"type": "bbo", "coin": "@107"}, '{"type":"bbo","coin":"@107"}'),
        ({"type": "activeAssetCtx", "coin": "xyz:XYZ100"}, '{"type":"activeAssetCtx","coin":"xyz:XYZ100"}'),
        ({"type": "allMids"}, '{"type":"allMids"}'),
        ({"type": "allMids", "dex": "xyz"}, '{"type":"allMids","dex":"xyz"}'),
    ],
)
def test_a_subscription_is_repeated_in_the_venues_own_words(asked: dict[str, object], echo: str) -> None:
    session = session_of()
    reply = session.received(order("subscribe", **asked))
    assert reply.payloads[0].decode() == (
        f'{{"channel":"subscriptionResponse","data":{{"method":"subscribe","subscription":{echo}}}}}'
    )
    again = told(session.received(order("subscribe", **asked)))
    assert again == {"channel": "error", "data": f"Already subscribed: {echo}"}
    assert len(session.streams) == 1
    left = told(session.received(order("unsubscribe", **asked)))
    assert left["data"] == {"method": "unsubscribe", "subscription": json.loads(echo)}
    assert session.streams == {}
    assert told(session.received(order("unsubscribe", **asked)))["data"] == f"Already unsubscribed: {echo}"


@pytest.mark.parametrize(
    "message",
    [
        "ping",
        "[]",
        '{"method":"subscribe"}',
        '{"method":"subscribed","subscription":{"type":"trades","coin":"BTC"}}',
        order("subscribe", type="liquidations", coin="BTC"),
        order("subscribe", type="trades"),
        order("subscribe", type="trades", coin=1),
        order("subscribe", type=["trades"], coin="BTC"),
        order("subscribe", type="candle", coin="BTC", interval="7m"),
        order("subscribe", type="candle", coin="BTC", interval="6h"),
        order("subscribe", type="candle", coin="BTC", interval=["1m"]),
        order("subscribe", type="l2Book", coin="BTC", nSigFigs="5"),
        order("subscribe", type="l2Book", coin="BTC", fast=1),
        order("subscribe", type="allMids", dex=1),
    ],
)
def test_what_is_no_request_is_given_back_as_it_was_sent(message: str) -> None:
    assert refusal(message) == f"Error parsing JSON into valid websocket request: {message}"


def test_a_grouping_that_does_not_exist_is_refused_with_the_subscription() -> None:
    echo = '{"type":"l2Book","coin":"BTC","nSigFigs":4,"mantissa":2,"fast":false}'
    message = order("subscribe", type="l2Book", coin="BTC", nSigFigs=4, mantissa=2)
    assert refusal(message) == f"Invalid subscription: {echo}"


@pytest.mark.parametrize("coin", ["btc", "KPEPE", "XYZ100", "xyz:BTC", "@1", "PURR", ""])
def test_a_coin_that_is_not_there_cuts_the_connection_without_a_word(coin: str) -> None:
    session = session_of()
    assert session.received(order("subscribe", type="trades", coin=coin)) == Reply((), CUT)
    assert session.received(order("subscribe", type="allMids", dex="abc")) == Reply((), CUT)
    assert session.streams == {}


def test_a_connection_has_a_thousand_subscriptions_and_no_more() -> None:
    session = session_of()
    full = {str(number): Stream("trades", str(number)) for number in range(SUBSCRIPTIONS_MAX - 1)}
    session.streams = dict(full)
    assert told(session.received(order("subscribe", type="trades", coin="BTC")))["channel"] == "subscriptionResponse"
    assert told(session.received(order("subscribe", type="trades", coin="ETH")))["channel"] == "error"
    session.received(order("unsubscribe", type="trades", coin="BTC"))
    assert told(session.received(order("subscribe", type="trades", coin="ETH")))["channel"] == "subscriptionResponse"


def test_more_messages_than_a_minute_allows_end_the_connection() -> None:
    session = session_of()
    for number in range(MESSAGES_MAX):
        assert session.received('{"method":"ping"}', now_s=number * 0.02).payloads
    assert session.received('{"method":"ping"}', now_s=59.9) == Reply((), CUT)
    assert session.received('{"method":"ping"}', now_s=60.0).payloads


@given(st.text())
def test_no_text_makes_a_session_raise(message: str) -> None:
    session_of().received(message)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_subscription_makes_a_session_raise(value: object) -> None:
    for kind in ("l2Book", "candle", "allMids", value):
        fields = {"type": kind, "coin": "BTC", "interval": value, "nSigFigs": value, "fast": value, "dex": value}
        session_of().received(json.dumps({"method": "subscribe", "subscription": fields}))


def test_an_hour_of_candles_ends_as_the_truth_and_is_told_only_where_it_was_traded() -> None:
    """No flag says that a bar is complete: the next one does."""
    stream = Stream("candle", "@142", Interval.M1)
    newest: dict[int, dict[str, Any]] = {}
    for step in range(600):
        for frame in said(stream, EPOCH_NS + step * 6 * NS_PER_S, EPOCH_NS + (step + 1) * 6 * NS_PER_S):
            assert frame["channel"] == "candle"
            newest[frame["data"]["t"]] = frame["data"]
    bars = SPOT.bars("@142", Interval.M1, EPOCH_NS // MINUTE_NS * MINUTE_NS + MINUTE_NS, 59, EPOCH_NS + 3600 * NS_PER_S)
    for bar in bars:
        candle = newest[bar.open_ns // NS_PER_MS]
        assert (candle["T"], candle["s"], candle["i"]) == (bar.end_ns // NS_PER_MS - 1, "@142", "1m")
        prices = [Decimal(candle[name]) for name in "ohlc"]
        assert prices == [bar.open, bar.high, bar.low, bar.close]
        assert (Decimal(candle["v"]), candle["n"]) == (bar.volume, bar.fills)


def test_a_minute_without_a_trade_is_not_told() -> None:
    bars = SPOT.bars("PURR/USDC", Interval.M1, EPOCH_NS, 60, EPOCH_NS + 3600 * NS_PER_S)
    quiet = {bar.open_ns // NS_PER_MS for bar in bars if not bar.fills}
    heard = {
        frame["data"]["t"]
        for frame in said(Stream("candle", "PURR/USDC", Interval.M1), EPOCH_NS, EPOCH_NS + 3600 * NS_PER_S)
    }
    assert quiet
    assert heard
    assert not quiet & heard
    assert DIALECT.opening(Stream("candle", "PURR/USDC", Interval.M1), EPOCH_NS) == []


def test_volumes_show_the_noise_of_floats_and_round_to_the_truth() -> None:
    assert summed(Decimal("3495670.84")) == "3495670.8399999999"  # As recorded.
    frames = said(Stream("candle", "@26", Interval.M1), EPOCH_NS, EPOCH_NS + 600 * NS_PER_S)
    noisy = [frame["data"] for frame in frames if len(frame["data"]["v"].partition(".")[2]) > 2]
    assert len(noisy) > 2
    bars = {
        bar.open_ns // NS_PER_MS: bar for bar in SPOT.bars("@26", Interval.M1, EPOCH_NS, 10, EPOCH_NS + 600 * NS_PER_S)
    }
    for candle in (candle for candle in noisy if candle["t"] in bars):
        bar = bars[candle["t"]]
        assert Decimal(candle["v"]) != bar.volume
        assert Decimal(candle["v"]).quantize(Decimal("0.01")) == bar.volume


@given(st.integers(0, 10**13), st.integers(0, 6))
def test_any_sum_rounds_to_the_truth(lots: int, decimals: int) -> None:
    number = Decimal(lots).scaleb(-decimals)
    if number < 10**9:
        assert round(Decimal(summed(number)), decimals) == number


def test_numbers_have_a_decimal_and_no_zeros_at_their_end() -> None:
    assert [text(Decimal(number)) for number in ("64082", "6.39200", "0.10", "100", "0", "1E+2")] == [
        "64082.0", "6.392", "0.1", "100.0", "0.0", "100.0"
    ]  # fmt: skip


def test_a_new_subscriber_of_trades_is_told_thirty_again_and_then_all_that_follow() -> None:
    stream = Stream("trades", "BTC")
    replay = opened(stream)
    last = PERPS.last_ids("BTC", EPOCH_NS)[1]
    assert [trade["tid"] for trade in replay] == [tid("BTC", number) for number in range(last - 29, last + 1)]
    live = [trade for frame in said(stream, EPOCH_NS, EPOCH_NS + MINUTE_NS) for trade in frame["data"]]
    fills = PERPS.fills("BTC", EPOCH_NS, EPOCH_NS + MINUTE_NS)
    assert fills[0].id == last + 1
    for trade, fill in zip(live, fills, strict=True):
        assert (trade["tid"], Decimal(trade["px"]), Decimal(trade["sz"])) == (
            tid("BTC", fill.id),
            fill.price,
            fill.quantity,
        )
        assert (trade["coin"], trade["side"]) == ("BTC", "B" if fill.taker_buys else "A")
        assert trade["time"] == fill.time_ns // NS_PER_MS
        assert (len(trade["hash"]), [len(user) for user in trade["users"]]) == (66, [42, 42])
    assert any(earlier["hash"] == later["hash"] for earlier, later in pairwise(live))


def test_trades_of_one_block_share_a_frame_wherever_the_stretch_is_cut() -> None:
    stream = Stream("trades", "BTC")
    whole = said(stream, EPOCH_NS, EPOCH_NS + 30 * NS_PER_S)
    parts = [
        frame
        for step in range(300)
        for frame in said(stream, EPOCH_NS + step * BLOCK_NS, EPOCH_NS + (step + 1) * BLOCK_NS)
    ]
    assert whole == parts
    assert any(len(frame["data"]) > 1 for frame in whole)


def test_ids_of_trades_tell_neither_their_number_nor_their_order_and_never_repeat() -> None:
    ids = [tid("BTC", number) for number in range(1, 5_000)]
    assert len(set(ids)) == len(ids)
    assert all(0 <= number < 1 << 50 for number in ids)
    assert ids != sorted(ids)


def test_a_book_is_whole_each_time_and_has_twenty_levels_or_five() -> None:
    for fast, depth, cadence_ms in ((False, 20, 5_400), (True, 5, 540)):
        stream = Stream("l2Book", "@151", fast=fast)
        assert stream.cadence_ns == cadence_ms * NS_PER_MS
        data = opened(stream)
        truth = SPOT.book("@151", depth, EPOCH_NS)
        assert (data["coin"], data["time"], data.get("fast")) == ("@151", truth.time_ns // NS_PER_MS, fast or None)
        for told_side, side in zip(data["levels"], (truth.bids, truth.asks), strict=True):
            assert [(Decimal(level["px"]), Decimal(level["sz"])) for level in told_side] == list(side)
            assert all(isinstance(level["n"], int) and level["n"] > 0 for level in told_side)
        (frame,) = said(stream, EPOCH_NS, EPOCH_NS + 60 * NS_PER_S)
        assert frame["data"]["time"] == (EPOCH_NS + 60 * NS_PER_S) // NS_PER_MS


@pytest.mark.parametrize(
    ("figures", "mantissa", "step"), [(5, None, "1"), (5, 2, "2"), (5, 5, "5"), (4, None, "10"), (2, None, "1000")]
)
def test_levels_are_put_together_away_from_the_middle(figures: int, mantissa: int | None, step: str) -> None:
    data = opened(Stream("l2Book", "BTC", n_sig_figs=figures, mantissa=mantissa))
    truth = PERPS.book("BTC", 100, EPOCH_NS)
    (bids, asks) = ([(Decimal(level["px"]), Decimal(level["sz"])) for level in side] for side in data["levels"])
    assert all(price % Decimal(step) == 0 for price, _ in bids + asks)
    best = bids[0][0]
    assert bids[0][1] == sum(size for price, size in truth.bids if price >= best)
    best = asks[0][0]
    assert asks[0][1] == sum(size for price, size in truth.asks if price <= best)
    assert best >= truth.asks[0][0]
    assert (len(bids), len(asks)) <= (20, 20)
    assert Decimal(data["spread"]) == truth.asks[0][0] - truth.bids[0][0]


@pytest.mark.parametrize(
    ("figures", "mantissa", "good"),
    [
        (None, None, True),
        (2, None, True),
        (5, 1, True),
        (5, 3, False),
        (4, 5, False),
        (None, 2, False),
        (1, None, False),
        (6, None, False),
    ],
)
def test_a_mantissa_goes_with_five_figures_alone(figures: int | None, mantissa: int | None, good: bool) -> None:
    assert groups(figures, mantissa) is good


def test_the_best_prices_are_told_when_they_change() -> None:
    stream = Stream("bbo", "BTC")
    truth = PERPS.book("BTC", 1, EPOCH_NS)
    data = opened(stream)
    assert (data["coin"], data["time"]) == ("BTC", truth.time_ns // NS_PER_MS)
    assert [(Decimal(side["px"]), Decimal(side["sz"])) for side in data["bbo"]] == [truth.bids[0], truth.asks[0]]
    heard = [len(said(stream, EPOCH_NS + step * BLOCK_NS, EPOCH_NS + (step + 1) * BLOCK_NS)) for step in range(200)]
    assert set(heard) == {0, 1}


@pytest.mark.parametrize(
    ("coin", "scene", "channel"), [("BTC", PERPS, "activeAssetCtx"), ("@142", SPOT, "activeSpotAssetCtx")]
)
def test_the_last_day_of_spot_has_a_channel_of_its_own(coin: str, scene: Scene, channel: str) -> None:
    now_ns = EPOCH_NS + MINUTE_NS
    (frame,) = said(Stream("activeAssetCtx", coin), EPOCH_NS, now_ns)
    assert (frame["channel"], frame["data"]["coin"]) == (channel, coin)
    context = frame["data"]["ctx"]
    bar = scene.bar(coin, now_ns - 86_400 * NS_PER_S, now_ns + 1, now_ns)
    book = scene.book(coin, 1, now_ns)
    assert (Decimal(context["markPx"]), Decimal(context["prevDayPx"])) == (bar.close, bar.open)
    assert Decimal(context["midPx"]) == (book.bids[0][0] + book.asks[0][0]) / 2
    assert round(Decimal(context["dayBaseVlm"]), 5) == bar.volume
    assert round(Decimal(context["dayNtlVlm"]), 6) == pytest.approx(bar.counter)
    own = (
        {"funding", "openInterest", "premium", "oraclePx", "impactPxs"}
        if coin == "BTC"
        else {"circulatingSupply", "totalSupply", "coin"}
    )
    assert set(context) == own | {"prevDayPx", "dayNtlVlm", "markPx", "midPx", "dayBaseVlm"}


def test_mid_prices_are_those_of_one_exchange_and_spot_comes_with_the_first() -> None:
    mids = opened(Stream("allMids"))["mids"]
    assert set(mids) == {"BTC", "ETH", "kPEPE", "@142", "@151", "PURR/USDC", "@107", "@26"}
    assert Decimal(mids["BTC"]) == DIALECT.mid("BTC", EPOCH_NS)
    other = opened(Stream("allMids", dex="xyz"))
    assert (set(other["mids"]), other["dex"]) == ({"xyz:XYZ100"}, "xyz")


def test_every_stream_has_a_name_of_its_own() -> None:
    streams = [
        Stream("trades", "BTC"),
        Stream("l2Book", "BTC"),
        Stream("l2Book", "BTC", fast=True),
        Stream("l2Book", "BTC", n_sig_figs=5),
        Stream("l2Book", "BTC", n_sig_figs=5, mantissa=2),
        *(Stream("candle", "BTC", interval) for interval in INTERVALS.values()),
        Stream("allMids"),
        Stream("allMids", dex="xyz"),
    ]
    assert len({stream.name for stream in streams}) == len(streams)
    assert all(stream.name.startswith(stream.kind) for stream in streams)
    assert list(INTERVALS) == ["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d", "3d", "1w", "1M"]


def test_indices_of_pairs_follow_from_their_names() -> None:
    assert [pair_index(listing) for listing in DIALECT.spots()] == [0, 26, 107, 142, 151]
    assert [listing.symbol for listing in DIALECT.perpetuals("xyz")] == ["xyz:XYZ100"]
    assert DIALECT.market_of("@107") == MarketId("spot")
    assert DIALECT.market_of("") == MarketId("usdm")
