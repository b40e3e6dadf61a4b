"""The shapes follow https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels ."""

import json
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import SPOT
from heliograph.sim.world import World
from heliograph.venues.coinbase.dialect import BUCKET, Dialect, Session, Stream, book_of, rfc3339, text
from heliograph.venues.coinbase.layout import LAYOUT
from heliograph.venues.dialect import Ask, Numbering

EPOCH_NS = 1_795_000_000 * NS_PER_S
WORLD = World(5, 3, EPOCH_NS, history_minutes=600, listers=LAYOUT.listers)
SCENE = WORLD.markets[SPOT]
DIALECT = Dialect(WORLD.markets)
BTC = "BTC-USD"


def session() -> Session:
    opened = DIALECT.session(Ask("/"))
    assert opened is not None
    return opened


def ask(here: Session, kind: str, channel: str, *products: str) -> dict[str, Any]:
    reply = here.received(json.dumps({"type": kind, "channel": channel, "product_ids": products}), EPOCH_NS)
    assert reply.after_data or b"error" in reply.payloads[0]
    (payload,) = reply.payloads
    told: dict[str, Any] = json.loads(payload)
    return told


def events(frames: list[bytes], channel: str) -> list[dict[str, Any]]:
    told = [json.loads(frame) for frame in frames]
    assert all(frame["channel"] == channel and frame["client_id"] == "" for frame in told)
    return [event for frame in told for event in frame["events"]]


def test_there_is_one_place_to_connect_to() -> None:
    assert DIALECT.session(Ask("")) is not None
    assert DIALECT.session(Ask("/ws")) is None


def test_an_answer_lists_all_that_is_subscribed_to_and_leaves_out_what_does_not_exist() -> None:
    here = session()
    assert ask(here, "subscribe", "level2", BTC, "NOPE-USD")["events"] == [{"subscriptions": {"level2": [BTC]}}]
    told = ask(here, "subscribe", "heartbeats")
    assert told["channel"] == "subscriptions"
    assert told["events"] == [{"subscriptions": {"heartbeats": ["heartbeats"], "level2": [BTC]}}]
    assert set(here.streams) == {"level2:BTC-USD", "heartbeats"}
    assert ask(here, "unsubscribe", "level2")["events"] == [{"subscriptions": {"heartbeats": ["heartbeats"]}}]
    assert ask(here, "unsubscribe", "heartbeats")["events"] == [{"subscriptions": {}}]
    assert here.streams == {}


def test_one_product_can_be_left() -> None:
    here = session()
    ask(here, "subscribe", "ticker", BTC, "ETH-USD")
    assert ask(here, "unsubscribe", "ticker", BTC)["events"] == [{"subscriptions": {"ticker": ["ETH-USD"]}}]


def test_what_cannot_be_is_an_error_without_a_number() -> None:
    here = session()
    for channel in ("user", "level3", "heartbeat"):
        assert ask(here, "subscribe", channel, BTC) == {"type": "error", "message": "authentication failure"}
    for text_frame in ("", "[]", "{", '{"type":"ping"}', '{"type":"subscribe","channel":"ticker","product_ids":7}'):
        (payload,) = here.received(text_frame).payloads
        assert json.loads(payload)["type"] == "error"
        assert here.numbered(payload) == payload
    assert here.streams == {}


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner)).map(json.dumps))
def test_no_text_makes_it_raise(text_frame: str) -> None:
    session().received(text_frame)


def test_all_frames_of_a_connection_are_numbered_together_from_nought() -> None:
    here, other = session(), session()
    assert isinstance(here, Numbering)
    frames = [*DIALECT.opening(Stream("level2", BTC), EPOCH_NS), *DIALECT.opening(Stream("ticker", BTC), EPOCH_NS)]
    frames += DIALECT.frames(Stream("heartbeats"), EPOCH_NS, EPOCH_NS + 2 * NS_PER_S)
    assert [json.loads(here.numbered(frame))["sequence_num"] for frame in frames] == [0, 1, 2, 3]
    assert json.loads(other.numbered(frames[2]))["sequence_num"] == 0


def test_a_book_begins_with_all_levels_in_no_order_and_goes_on_with_what_changed() -> None:
    stream = Stream("level2", BTC)
    (snapshot,) = events(DIALECT.opening(stream, EPOCH_NS), "l2_data")
    assert (snapshot["type"], snapshot["product_id"]) == ("snapshot", BTC)
    prices = [Decimal(level["price_level"]) for level in snapshot["updates"]]
    assert prices not in (sorted(prices), sorted(prices, reverse=True))
    sides: dict[str, dict[Decimal, Decimal]] = {"bid": {}, "offer": {}}
    now_ns = EPOCH_NS
    told = [snapshot]
    for _ in range(50):
        told += events(DIALECT.frames(stream, now_ns, now_ns + 700 * NS_PER_MS), "l2_data")
        now_ns += 700 * NS_PER_MS
    assert {event["type"] for event in told[1:]} == {"update"}
    for event in told:
        for level in event["updates"]:
            assert set(level) == {"side", "event_time", "price_level", "new_quantity"}
            sides[level["side"]][Decimal(level["price_level"])] = Decimal(level["new_quantity"])
    book = SCENE.book(BTC, 1000, now_ns)
    bids, asks = ({p: q for p, q in sides[side].items() if q} for side in ("bid", "offer"))
    assert bids == dict(book.bids)
    assert asks == dict(book.asks)


def test_trades_come_newest_first_with_the_maker_s_side_and_each_once() -> None:
    stream = Stream("market_trades", BTC)
    (snapshot,) = events(DIALECT.opening(stream, EPOCH_NS), "market_trades")
    assert snapshot["type"] == "snapshot"
    last = SCENE.last_ids(BTC, EPOCH_NS)[1]
    assert [int(trade["trade_id"]) for trade in snapshot["trades"]] == list(range(last, last - 100, -1))
    now_ns, told = EPOCH_NS, []
    for step in (1, 3, 40, 200):
        until_ns = now_ns + step * 250 * NS_PER_MS
        told += events(DIALECT.frames(stream, now_ns, until_ns), "market_trades")
        now_ns = until_ns
    batches = [[int(trade["trade_id"]) for trade in event["trades"]] for event in told]
    assert all(batch == sorted(batch, reverse=True) for batch in batches)
    fills = SCENE.fills(BTC, EPOCH_NS, now_ns)
    assert sorted(number for batch in batches for number in batch) == [fill.id for fill in fills]
    by_id = {int(trade["trade_id"]): trade for event in told for trade in event["trades"]}
    for fill in fills:
        trade = by_id[fill.id]
        assert trade["side"] == ("SELL" if fill.taker_buys else "BUY")
        assert (Decimal(trade["price"]), Decimal(trade["size"])) == (fill.price, fill.quantity)
        assert trade["time"] == rfc3339(fill.time_ns)


def test_candles_are_of_five_minutes_and_tell_the_present_one_only() -> None:
    stream = Stream("candles", BTC)
    open_ns = BUCKET.next_open(BUCKET.open_of(EPOCH_NS))
    end_ns = BUCKET.next_open(open_ns)
    (event,) = events(DIALECT.frames(stream, end_ns - 30 * NS_PER_S, end_ns - NS_PER_S), "candles")
    (candle,) = event["candles"]
    bar = SCENE.bar(BTC, open_ns, end_ns, end_ns - NS_PER_S)
    assert candle == {
        "start": str(open_ns // NS_PER_S),
        "high": text(bar.high),
        "low": text(bar.low),
        "open": text(bar.open),
        "close": text(bar.close),
        "volume": text(bar.volume),
        "product_id": BTC,
    }
    for event in events(DIALECT.frames(stream, end_ns - NS_PER_S, end_ns + 5 * NS_PER_S), "candles"):
        assert {candle["start"] for candle in event["candles"]} == {str(end_ns // NS_PER_S)}


def test_a_ticker_tells_the_day_and_the_best_prices_and_the_batched_one_no_prices() -> None:
    (event,) = events(DIALECT.opening(Stream("ticker", BTC), EPOCH_NS), "ticker")
    (ticker,) = event["tickers"]
    book, day = SCENE.book(BTC, 1, EPOCH_NS), DIALECT.day(BTC, EPOCH_NS)
    assert (ticker["best_bid"], ticker["best_ask_quantity"]) == (text(book.bids[0][0]), text(book.asks[0][1]))
    assert (ticker["price"], ticker["volume_24_h"]) == (text(day.close), text(day.volume))
    (event,) = events(DIALECT.opening(Stream("ticker_batch", BTC), EPOCH_NS), "ticker_batch")
    assert "best_bid" not in event["tickers"][0]
    assert DIALECT.frames(Stream("ticker", BTC), EPOCH_NS, EPOCH_NS) == []


def test_a_heart_beats_every_second() -> None:
    told = DIALECT.frames(Stream("heartbeats"), EPOCH_NS, EPOCH_NS + 3 * NS_PER_S)
    counters = [event["heartbeat_counter"] for event in events(told, "heartbeats")]
    assert counters == list(range(counters[0], counters[0] + 3))
    assert json.loads(told[0])["timestamp"] == rfc3339(EPOCH_NS + NS_PER_S)


def test_products_in_usdc_are_told_as_those_in_dollars() -> None:
    assert [book_of(p) for p in ("BTC-USDC", "BTC-USD", "USDT-USDC")] == ["BTC-USD", "BTC-USD", "USDT-USDC"]
    here = session()
    ask(here, "subscribe", "ticker", "BTC-USDC", "USDT-USDC")
    assert {stream.symbol for stream in here.streams.values()} == {"BTC-USD", "USDT-USDC"}


def test_times_and_numbers_are_written_without_zeros_at_their_end() -> None:
    assert rfc3339(EPOCH_NS) == "2026-11-18T11:06:40Z"
    assert rfc3339(EPOCH_NS + 12_500_000) == "2026-11-18T11:06:40.0125Z"
    assert [text(Decimal(number)) for number in ("100", "1.50", "0.00", "1E+2")] == ["100", "1.5", "0", "100"]
