from typing import Any

import msgspec
import pytest

from heliograph.errors import ConfigError
from heliograph.marketdata.demand import LEASE_S_MAX, Table
from heliograph.model.demand import Demand
from heliograph.model.instrument import MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues import VENUES

WISH = Demand(
    "g1", VenueId("binance"), MarketId("spot"), ("BTCUSDT", "ETHUSDT"), Channel.CANDLES, Interval.M1, until_ms=31_000
)


def changed(**changes: Any) -> Demand:
    return msgspec.structs.replace(WISH, **changes)


def wanted(table: Table, now_ms: int) -> list[str]:
    return [s.instrument.venue_symbol for s in table.wanted(now_ms)]


def test_a_demand_lasts_until_its_time_and_a_dead_gateway_is_forgotten() -> None:
    table = Table(VENUES)
    table.take(WISH, 1_000)
    assert wanted(table, 30_999) == ["BTCUSDT", "ETHUSDT"]
    assert wanted(table, 31_000) == []


def test_a_renewal_replaces_what_the_gateway_asked_before() -> None:
    table = Table(VENUES)
    table.take(WISH, 1_000)
    table.take(changed(symbols=("ETHUSDT",), until_ms=41_000), 11_000)
    assert wanted(table, 12_000) == ["ETHUSDT"]
    table.take(changed(symbols=()), 13_000)
    assert wanted(table, 13_000) == []


def test_what_two_gateways_want_is_wanted_once_and_until_both_have_left() -> None:
    table = Table(VENUES)
    table.take(WISH, 1_000)
    table.take(changed(gateway="g2", symbols=("ETHUSDT",)), 1_000)
    assert wanted(table, 1_000) == ["BTCUSDT", "ETHUSDT"]
    table.take(changed(symbols=()), 2_000)
    assert wanted(table, 2_000) == ["ETHUSDT"]


def test_parts_add_up() -> None:
    table = Table(VENUES)
    table.take(WISH, 1_000)
    table.take(changed(symbols=("BNBUSDT",), part=1), 1_000)
    assert wanted(table, 1_000) == ["BTCUSDT", "ETHUSDT", "BNBUSDT"]


def test_no_demand_lasts_longer_than_the_longest_lease() -> None:
    table = Table(VENUES)
    table.take(changed(until_ms=10**15), 1_000)
    assert wanted(table, 1_000 + int(LEASE_S_MAX * 1000) - 1)
    assert not wanted(table, 1_000 + int(LEASE_S_MAX * 1000))


@pytest.mark.parametrize(
    "wish",
    [
        changed(exchange=VenueId("nowhere")),
        changed(market=MarketId("banana")),
        changed(interval=Interval.D2),
        changed(symbols=("no such thing!",)),
    ],
)
def test_what_there_is_not_is_refused_and_changes_nothing(wish: Demand) -> None:
    table = Table(VENUES)
    with pytest.raises(ConfigError):
        table.take(wish, 1_000)
    assert wanted(table, 1_000) == []
