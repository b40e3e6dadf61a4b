"""The shapes follow https://www.luno.com/en/developers/api#tag/Streaming-API and frames recorded on 2026-09-22."""

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim.world import World
from heliograph.venues.dialect import Ask
from heliograph.venues.luno.dialect import (
    BUDGET,
    KEEP_ALIVE,
    LEVELS,
    REVOKED,
    Dialect,
    Session,
    Stream,
    order_id,
    text,
)
from heliograph.venues.luno.layout import LAYOUT

EPOCH_NS = 1_795_000_000 * NS_PER_S
SPOT = MarketId("spot")
WORLD = World(5, 3, EPOCH_NS, listers=LAYOUT.listers)
SCENE = WORLD.markets[SPOT]
DIALECT = Dialect(WORLD.markets)
KEY = '{"api_key_id":"abcdef","api_key_secret":"api_key_secret_goes_here"}'


def session_of(pair: str = "XBTUSDT") -> Session:
    session = DIALECT.session(Ask(f"/api/1/stream/{pair}"))
    assert session is not None
    return session


def said(pair: str, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in DIALECT.frames(Stream(pair), from_ns, to_ns) if frame != KEEP_ALIVE]


class Copy:
    """The book as the documentation says to keep it; what breaks a rule of it fails."""

    def __init__(self, pair: str, now_ns: int) -> None:
        (opening,) = DIALECT.opening(Stream(pair), now_ns)
        book = json.loads(opening)
        assert set(book) == {"sequence", "asks", "bids", "status", "timestamp"}
        self.sequence, self.timestamp = int(book["sequence"]), book["timestamp"]
        self.sides = {"BID": self._read(book["bids"]), "ASK": self._read(book["asks"])}
        self.trades: list[dict[str, Any]] = []
        self.kinds: Counter[tuple[str, ...]] = Counter()

    def _read(self, orders: list[dict[str, str]]) -> dict[str, list[Decimal]]:
        assert len({order["id"] for order in orders}) == len(orders)
        return {order["id"]: [Decimal(order["price"]), Decimal(order["volume"])] for order in orders}

    def apply(self, update: dict[str, Any]) -> None:
        assert int(update["sequence"]) == self.sequence + 1
        assert update["timestamp"] >= self.timestamp
        self.sequence, self.timestamp = self.sequence + 1, update["timestamp"]
        kinds = ("trade_updates", "create_update", "delete_update", "status_update")
        self.kinds[tuple(kind.removesuffix("_update") for kind in kinds if update[kind])] += 1
        for trade in update["trade_updates"]:
            self._trade(trade, update["timestamp"])
        if create := update["create_update"]:
            assert not any(create["order_id"] in orders for orders in self.sides.values())
            self.sides[create["type"]][create["order_id"]] = [Decimal(create["price"]), Decimal(create["volume"])]
        if delete := update["delete_update"]:
            assert sum(orders.pop(delete["order_id"], None) is not None for orders in self.sides.values()) == 1
        if status := update["status_update"]:
            assert status == {"status": "ACTIVE"}
        bids, asks = ([price for price, _ in orders.values()] for orders in self.sides.values())
        assert not bids or not asks or max(bids) < min(asks)

    def _trade(self, trade: dict[str, Any], timestamp: int) -> None:
        (side,) = (side for side, orders in self.sides.items() if trade["maker_order_id"] in orders)
        order = self.sides[side][trade["maker_order_id"]]
        base = Decimal(trade["base"])
        assert Decimal(trade["counter"]) == base * order[0]
        prices = [price for price, _ in self.sides[side].values()]
        assert order[0] == (min if side == "ASK" else max)(prices)
        order[1] -= base
        assert base > 0
        assert order[1] >= 0
        if not order[1]:
            del self.sides[side][trade["maker_order_id"]]
        self.trades.append(trade | {"price": order[0], "timestamp": timestamp, "is_buy": side == "ASK"})

    def levels(self, side: str) -> list[tuple[Decimal, Decimal]]:
        sums: dict[Decimal, Decimal] = {}
        for price, volume in self.sides[side].values():
            sums[price] = sums.get(price, Decimal(0)) + volume
        return sorted(sums.items(), reverse=side == "BID")


@pytest.mark.parametrize("pair", ["XBTUSDT", "ETHUSDT", "XBTZAR", "ETHXBT"])
def test_updates_lead_from_book_to_book_by_the_documented_rules(pair: str) -> None:
    copy = Copy(pair, EPOCH_NS)
    for second in range(90):
        now_ns = EPOCH_NS + (second + 1) * NS_PER_S
        for update in said(pair, now_ns - NS_PER_S, now_ns):
            copy.apply(update)
        truth = SCENE.book(pair, LEVELS, now_ns)
        assert (copy.levels("BID"), copy.levels("ASK")) == (list(truth.bids), list(truth.asks))
        assert copy.sequence == DIALECT.sequence(pair, now_ns)
    fills = SCENE.fills(pair, EPOCH_NS, EPOCH_NS + 90 * NS_PER_S)
    assert [(trade["sequence"], trade["price"], Decimal(trade["base"])) for trade in copy.trades] == [
        (fill.id, fill.price, fill.quantity) for fill in fills
    ]
    assert [(trade["timestamp"] * NS_PER_MS, trade["is_buy"]) for trade in copy.trades] == [
        (fill.time_ns, fill.taker_buys) for fill in fills
    ]


def test_one_message_may_hold_several_kinds_of_update_or_none() -> None:
    copy = Copy("XBTUSDT", EPOCH_NS)
    for update in said("XBTUSDT", EPOCH_NS, EPOCH_NS + 60 * NS_PER_S):
        copy.apply(update)
    assert {("trades",), ("trades", "create"), ("trades", "delete", "status")} <= {
        tuple("trades" if kind == "trade_updates" else kind for kind in kinds) for kinds in copy.kinds
    }
    assert {("create",), ("delete",), ()} <= set(copy.kinds)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 3_000), st.integers(1, 20))
def test_who_comes_later_joins_the_same_numbers(offset: int, seconds: int) -> None:
    start_ns = EPOCH_NS + offset * NS_PER_S
    late = Copy("ETHUSDT", start_ns)
    updates = said("ETHUSDT", EPOCH_NS + (offset - 1) * NS_PER_S, start_ns + seconds * NS_PER_S)
    for update in updates:
        if int(update["sequence"]) > late.sequence:
            late.apply(update)
    assert late.sequence == DIALECT.sequence("ETHUSDT", start_ns + seconds * NS_PER_S)


def test_a_second_takes_so_many_numbers_and_each_market_order_two_or_three() -> None:
    taken = SCENE.aggregates("XBTUSDT", EPOCH_NS, EPOCH_NS + 60 * NS_PER_S)
    thirds = sum(taker.id % 8 == 0 for taker in taken)
    numbers = DIALECT.sequence("XBTUSDT", EPOCH_NS + 60 * NS_PER_S) - DIALECT.sequence("XBTUSDT", EPOCH_NS)
    assert numbers == 60 * BUDGET + 2 * len(taken) + thirds


def test_frames_look_as_recorded() -> None:
    frames = DIALECT.frames(Stream("XBTUSDT"), EPOCH_NS, EPOCH_NS + 20 * NS_PER_S)
    first = json.loads(frames[0])
    assert list(first) == [
        "sequence", "trade_updates", "create_update", "delete_update", "status_update", "timestamp"
    ]  # fmt: skip
    assert (type(first["sequence"]), type(first["timestamp"])) == (str, int)
    trade = next(json.loads(frame) for frame in frames if b'"base"' in frame)["trade_updates"][0]
    assert list(trade) == ["sequence", "base", "counter", "maker_order_id", "taker_order_id", "order_id"]
    assert type(trade["sequence"]) is int
    assert trade["order_id"] == trade["maker_order_id"]
    assert next(json.loads(frame) for frame in frames if b'"create_update":{' in frame)["create_update"].keys() == {
        "order_id", "type", "price", "volume"
    }  # fmt: skip
    assert frames.count(b'""') == 1


def test_a_client_that_has_shown_its_key_hears_the_pair_of_its_path() -> None:
    session = session_of("XBTZAR")
    assert session.greeting(EPOCH_NS) == ()
    reply = session.received(KEY)
    assert (reply.payloads, reply.close_code) == ((), None)
    assert session.streams == {"stream/XBTZAR": Stream("XBTZAR")}
    for alive in ("", '""', "hello"):
        reply = session.received(alive)
        assert (reply.payloads, reply.close_code) == ((), None)


@pytest.mark.parametrize(
    "message",
    [
        "hello",
        '""',
        "[]",
        "{}",
        '{"api_key_id":"abcdef"}',
        '{"api_key_id":"","api_key_secret":"x"}',
        '{"api_key_id":1,"api_key_secret":"x"}',
        json.dumps({"api_key_id": REVOKED, "api_key_secret": "x"}),
    ],
)
def test_no_key_is_refused_and_hung_up_on(message: str) -> None:
    session = session_of()
    reply = session.received(message)
    assert reply.payloads == (
        b'{"error_code":"invalid_credentials","error":"you provided an invalid credentials message"}',
    )
    assert (reply.close_code, session.streams) == (1000, {})


@pytest.mark.parametrize("pair", ["NOPEUSDT", "xbtusdt", "BTCUSDT"])
def test_a_pair_that_does_not_exist_is_named_after_the_key_was_shown(pair: str) -> None:
    reply = session_of(pair).received(KEY)
    assert json.loads(reply.payloads[0]) == {"error_code": "invalid_market", "error": pair}
    assert reply.close_code == 1000


def test_there_is_one_kind_of_place() -> None:
    paths = ("/", "/api/1/stream", "/api/1/stream/", "/api/1/stream/XBT/USDT", "/api/1/userstream")
    assert [DIALECT.session(Ask(path)) for path in paths] == [None] * len(paths)


@pytest.mark.parametrize(
    ("number", "told"),
    [("92655", "92655.00"), ("0.30", "0.30"), ("0.026792", "0.026792"), ("2.5E+2", "250.00"), ("0", "0.00")],
)
def test_numbers_keep_two_decimals_and_what_they_need(number: str, told: str) -> None:
    assert text(Decimal(number)) == told


def test_ids_look_like_the_venues() -> None:
    ids = {order_id("XBTUSDT", "taker", number) for number in range(1_000)}
    assert len(ids) == 1_000
    assert all(len(one) == 15 and one.startswith("BX") and one.isupper() for one in ids)
    assert order_id("a", 1) == order_id("a", 1)


def test_there_is_one_market() -> None:
    assert DIALECT.market_of("anything") == SPOT
    assert DIALECT.wrapped("stream/XBTZAR", b"{}") == b"{}"
    assert Stream("XBTZAR").kind == "stream"
