import msgspec
import pytest

from heliograph.model.instrument import MarketId
from heliograph.testing.stage import START_NS, Stage
from heliograph.venues import luno
from heliograph.venues.contract import InstrumentPage, Request
from tests.testing.breaking import BINANCE, BYBIT, altered


def test_a_stage_has_every_market_and_its_scene() -> None:
    stage = Stage(BYBIT)
    assert [market.market for market in stage.markets] == ["spot", "linear", "inverse"]
    for market in stage.markets:
        assert set(stage.scene(market).listings) == {i.venue_symbol for i in stage.listed(market)}
        assert market.market in stage.dialect(market).markets


def test_a_list_that_cannot_be_had_is_told() -> None:
    missing = Request("/nowhere", (), 1, InstrumentPage(MarketId("spot")))
    stage = Stage(altered(instruments_request=lambda _market: lambda: missing))
    with pytest.raises(AssertionError, match="its list of instruments is answered"):
        stage.listed(stage.markets[0])


def test_a_list_without_end_and_one_without_instruments_are_told() -> None:
    stage = Stage(altered(next_instruments=lambda _market: lambda request, _body: request))
    with pytest.raises(AssertionError, match="ends within 20 pages"):
        stage.listed(stage.markets[0])
    stage = Stage(altered(parse_instruments=lambda _market: lambda _body: []))
    with pytest.raises(AssertionError, match="names some"):
        stage.listed(stage.markets[0])


def test_requests_are_answered_as_of_the_time_that_is_given() -> None:
    stage = Stage(BINANCE)
    market = stage.markets[0]
    request = Request("/api/v3/time", (), 1, InstrumentPage(MarketId("spot")))
    answer = stage.answer(market, request, START_NS)
    assert msgspec.json.decode(answer.body) == {"serverTime": START_NS // 1_000_000}


def test_a_venue_that_wants_a_key_is_given_one_and_its_list_is_not() -> None:
    stage = Stage(luno.VENUE)
    (without,), (market,) = stage.declared.markets.values(), stage.markets
    assert (without.needs_credentials, market.needs_credentials) == (True, False)
    assert stage.listed(without) == stage.listed(market)
    assert Stage(BYBIT).venue == BYBIT
