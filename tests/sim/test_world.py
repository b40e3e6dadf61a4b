import itertools
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.errors import ConfigError
from heliograph.model.instrument import MarketId
from heliograph.model.interval import Interval
from heliograph.sim.ladder import STEP_NS
from heliograph.sim.world import MarketWorld, World
from heliograph.venues.okx.layout import LAYOUT

EPOCH_NS = 1_795_000_000 * NS_PER_S
HOUR_NS = 3600 * NS_PER_S
WORLD = World(5, 12, EPOCH_NS)
MARKETS = sorted(WORLD.markets)
symbols = st.sampled_from([(market, symbol) for market in MARKETS for symbol in WORLD.markets[market].listings])
instants = st.integers(EPOCH_NS - 2 * HOUR_NS, EPOCH_NS + 10 * HOUR_NS)


def scene_of(market: str) -> MarketWorld:
    return WORLD.markets[MarketId(market)]


@given(symbols, instants)
@settings(max_examples=30, deadline=None)
def test_two_worlds_of_one_seed_are_the_same_whatever_was_asked_before(where: tuple[str, str], now_ns: int) -> None:
    market, symbol = where
    fresh = World(5, 12, EPOCH_NS).markets[MarketId(market)]
    used = scene_of(market)
    assert fresh.book(symbol, 100, now_ns) == used.book(symbol, 100, now_ns)
    assert fresh.fills(symbol, now_ns - 90 * NS_PER_S, now_ns) == used.fills(symbol, now_ns - 90 * NS_PER_S, now_ns)
    assert fresh.last_ids(symbol, now_ns) == used.last_ids(symbol, now_ns)


def test_the_counter_amount_of_a_contract_is_what_it_is_worth() -> None:
    scene = World(5, 1, EPOCH_NS, listers=LAYOUT.listers).markets[MarketId("swap")]
    linear, inverse = (scene.fills(symbol, EPOCH_NS, EPOCH_NS + HOUR_NS // 60) for symbol in scene.listings)
    assert linear
    assert all(fill.counter == fill.price * fill.quantity / 100 for fill in linear)
    assert inverse
    assert all(abs(fill.counter - 100 * fill.quantity / fill.price) < Decimal("1e-8") for fill in inverse)


def test_another_seed_is_another_world() -> None:
    other = World(6, 12, EPOCH_NS).markets[MarketId("spot")]
    assert other.book("BTCUSDT", 5, EPOCH_NS) != scene_of("spot").book("BTCUSDT", 5, EPOCH_NS)


@given(symbols, instants, st.sampled_from([Interval.M1, Interval.M5, Interval.S1, Interval.H1]))
@settings(max_examples=60, deadline=None)
def test_a_bar_is_the_fold_of_its_fills(where: tuple[str, str], now_ns: int, interval: Interval) -> None:
    market, symbol = where
    scene = scene_of(market)
    open_ns = interval.open_of(now_ns)
    end_ns = interval.next_open(open_ns)
    bar = scene.bar(symbol, open_ns, end_ns, now_ns)
    fills = scene.fills(symbol, max(open_ns, scene.listings[symbol].listed_ns) - 1, min(now_ns, end_ns - 1))
    assert bar.fills == len(fills)
    if not fills:
        assert (bar.first_fill, bar.last_fill, bar.volume) == (-1, -1, 0)
        assert bar.open == bar.high == bar.low == bar.close
        return
    prices = [fill.price for fill in fills]
    assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
    assert bar.volume == sum(fill.quantity for fill in fills)
    assert bar.counter == sum(fill.counter for fill in fills)
    assert bar.taker_volume == sum(fill.quantity for fill in fills if fill.taker_buys)
    assert bar.taker_counter == sum(fill.counter for fill in fills if fill.taker_buys)
    assert (bar.first_fill, bar.last_fill) == (fills[0].id, fills[-1].id)


@given(symbols, instants)
@settings(max_examples=30, deadline=None)
def test_aggregates_are_their_fills_and_ids_have_no_hole(where: tuple[str, str], now_ns: int) -> None:
    market, symbol = where
    scene = scene_of(market)
    from_ns = now_ns - 300 * NS_PER_S
    fills = {fill.id: fill for fill in scene.fills(symbol, from_ns, now_ns)}
    aggregates = scene.aggregates(symbol, from_ns, now_ns)
    assert list(fills) == list(range(min(fills, default=1), min(fills, default=1) + len(fills)))
    assert sum(item.last_fill - item.first_fill + 1 for item in aggregates) == len(fills)
    for item in aggregates:
        parts = [fills[fill_id] for fill_id in range(item.first_fill, item.last_fill + 1)]
        assert item.quantity == sum(part.quantity for part in parts)
        assert {(part.price, part.taker_buys, part.time_ns) for part in parts} == {
            (item.price, item.taker_buys, item.time_ns)
        }
    if aggregates:
        first = aggregates[0].id
        assert scene.aggregates_from(symbol, first, len(aggregates), now_ns) == aggregates
        assert scene.last_ids(symbol, now_ns) == (aggregates[-1].id, aggregates[-1].last_fill)
        some_fill = aggregates[-1].last_fill
        assert [fill.id for fill in scene.fills_from(symbol, some_fill, 3, now_ns)] == [some_fill]


def test_the_first_ids_are_one_and_nothing_happened_before_the_listing() -> None:
    scene = scene_of("spot")
    listed_ns = scene.listings["BTCUSDT"].listed_ns
    assert scene.fills("BTCUSDT", 0, listed_ns - 1) == []
    assert scene.last_ids("BTCUSDT", listed_ns - 1) == (0, 0)
    assert [fill.id for fill in scene.fills_from("BTCUSDT", 1, 3, EPOCH_NS)] == [1, 2, 3]
    assert scene.bars("BTCUSDT", Interval.M1, 0, 1, EPOCH_NS)[0].open_ns == listed_ns


def test_a_quiet_instrument_has_minutes_without_a_trade() -> None:
    bars = scene_of("spot").bars("TRXUSDT", Interval.M1, EPOCH_NS, 120, EPOCH_NS + 3 * HOUR_NS)
    assert {bar.fills == 0 for bar in bars} == {True, False}
    for before, bar in itertools.pairwise(bars):
        if not bar.fills:
            assert bar.open == before.close


@given(symbols, instants, st.lists(st.integers(1, 60), min_size=2, max_size=6), st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_depth_changes_lead_from_a_snapshot_taken_half_way_to_the_book(
    where: tuple[str, str], now_ns: int, steps: list[int], into: int
) -> None:
    """By both documented rules: spot's U == previous u + 1, and futures' pu == previous u."""
    market, symbol = where
    scene = scene_of(market)
    edges = [now_ns]
    for step in steps:
        edges.append(edges[-1] + step * STEP_NS)
    changes = [scene.book_change(symbol, a, b) for a, b in itertools.pairwise(edges)]
    snapshot = scene.book(symbol, 100, min(now_ns + (1 + into) * STEP_NS, edges[-1]))
    bids, asks = dict(snapshot.bids), dict(snapshot.asks)
    last = None
    for change in changes:
        assert change is not None
        if market == "spot":
            if change.last_id <= snapshot.update_id:
                continue
            joins = change.first_id <= snapshot.update_id + 1 if last is None else change.first_id == last + 1
        else:
            if change.last_id < snapshot.update_id:
                continue
            joins = change.first_id <= snapshot.update_id if last is None else change.previous_id == last
        assert joins
        last = change.last_id
        for side, levels in ((bids, change.bids), (asks, change.asks)):
            side.update(levels)
            for price, quantity in levels:
                if not quantity:
                    side.pop(price)
    book = scene.book(symbol, 100, edges[-1])
    assert dict(book.bids) == bids
    assert dict(book.asks) == asks
    assert book.update_id == (last or snapshot.update_id)


@given(symbols, instants)
@settings(max_examples=40, deadline=None)
def test_a_book_is_sorted_not_crossed_and_changes_every_step(where: tuple[str, str], now_ns: int) -> None:
    market, symbol = where
    scene = scene_of(market)
    book = scene.book(symbol, 100, now_ns)
    bids, asks = [price for price, _ in book.bids], [price for price, _ in book.asks]
    assert bids == sorted(set(bids), reverse=True)
    assert asks == sorted(set(asks))
    assert 0 < bids[-1] <= bids[0] < asks[0]
    assert all(quantity > 0 for _, quantity in book.bids + book.asks)
    change = scene.book_change(symbol, now_ns, now_ns + STEP_NS)
    assert change is not None
    assert change.bids + change.asks
    tick, lot = scene.listings[symbol].tick_size, scene.listings[symbol].lot_size
    assert all(price % tick == 0 and quantity % lot == 0 for price, quantity in book.bids + book.asks)


def test_markets_of_one_coin_stay_together() -> None:
    prices = [
        scene_of(market).book(symbol, 1, EPOCH_NS).asks[0][0]
        for market, symbol in (("spot", "BTCUSDT"), ("usdm", "BTCUSDT"), ("coinm", "BTCUSD_PERP"))
    ]
    assert max(prices) / min(prices) < Decimal("1.01")


def test_inverse_volume_is_contracts_and_its_worth_in_base() -> None:
    fill = scene_of("coinm").fills_from("BTCUSD_PERP", 1, 1, EPOCH_NS)[0]
    assert fill.quantity == int(fill.quantity)
    assert abs(fill.counter - fill.quantity * 100 / fill.price) <= Decimal("0.00000001")


def test_every_binance_interval_folds_and_months_open_on_the_first() -> None:
    scene = scene_of("spot")
    for interval in (Interval.W1, Interval.MO1, Interval.D3, Interval.H12):
        bar = scene.bars("ETHUSDT", interval, 0, 5, EPOCH_NS)[-1]
        assert bar.open_ns == interval.open_of(EPOCH_NS)
        assert bar.end_ns == interval.next_open(bar.open_ns)
    assert bar.open_ns % NS_PER_MS == 0


def test_a_thousand_symbols_are_listed_at_once_and_none_is_named_twice() -> None:
    world = World(1, 1000, EPOCH_NS)
    assert [len(world.markets[MarketId(name)].listings) for name in ("spot", "usdm", "coinm")] == [1000, 1001, 1001]
    with pytest.raises(ConfigError, match="1 to 1000"):
        World(1, 1001, EPOCH_NS)


def test_trading_that_would_have_begun_before_1970_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot begin 99999999999 minutes before "):
        World(1, 1, EPOCH_NS, 99_999_999_999)
    with pytest.raises(ConfigError, match="after 1970"):
        World(1, 1, -5, 1)


@pytest.mark.parametrize(("market", "symbol"), [("spot", "BTCUSDT"), ("coinm", "ETHUSD_PERP")])
def test_an_instant_of_a_trade_belongs_to_what_begins_with_it(market: str, symbol: str) -> None:
    scene = scene_of(market)
    fills = scene.fills(symbol, EPOCH_NS, EPOCH_NS + 120 * NS_PER_S)
    later_ns = fills[-1].time_ns + 1
    for fill in fills:
        others = [other for other in fills if other.time_ns == fill.time_ns]
        assert scene.bar(symbol, fill.time_ns, later_ns, later_ns).first_fill == others[0].id
        assert scene.bar(symbol, EPOCH_NS + 1, fill.time_ns, later_ns).last_fill in (others[0].id - 1, -1)
        assert scene.bar(symbol, EPOCH_NS + 1, later_ns, fill.time_ns).last_fill == others[-1].id
