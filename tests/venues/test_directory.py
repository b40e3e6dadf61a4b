import msgspec
import pytest

from heliograph.errors import ConfigError
from heliograph.model.instrument import Instrument, Kind, MarketId, VenueId
from heliograph.venues import VENUES, find_market, find_venue
from heliograph.venues.directory import Directory

BINANCE = VenueId("binance")
USDM = VENUES[BINANCE].markets[MarketId("usdm")]
COINM = VENUES[BINANCE].markets[MarketId("coinm")]
PERPETUAL = Instrument(
    BINANCE, MarketId("usdm"), "BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind=Kind.PERPETUAL
)
FUTURE = msgspec.structs.replace(
    PERPETUAL, venue_symbol="BTCUSDT_261225", kind=Kind.FUTURE, expiry_ns=1_798_185_600_000_000_000
)
LISTED = Directory(USDM, [FUTURE, PERPETUAL])


@pytest.mark.parametrize(
    ("exchange", "contract_type", "market"),
    [("binance", "spot", "spot"), ("Binance", "UM", "usdm"), ("BINANCE", "cm", "coinm"), ("binance", "coinm", "coinm")],
)
def test_a_market_has_a_name_and_aliases_in_any_case(exchange: str, contract_type: str, market: str) -> None:
    assert find_market(find_venue(exchange, VENUES), contract_type).market == market


def test_a_venues_default_market_is_meant_where_none_is_named() -> None:
    venue = msgspec.structs.replace(VENUES[BINANCE], default_market=MarketId("spot"))
    assert find_market(find_venue("binance", {BINANCE: venue}), None).market == "spot"


@pytest.mark.parametrize("symbol", ["BTCUSDT", "btcusdt", "BTC/USDT", "btc/usdt", "BTC/USDT:USDT"])
def test_every_form_of_a_symbol_means_the_same_instrument(symbol: str) -> None:
    assert LISTED.find([symbol]) == [PERPETUAL]


@pytest.mark.parametrize("symbol", ["BTCUSDT_261225", "btcusdt_261225", "BTC/USDT:USDT-261225"])
def test_a_dated_future_is_never_taken_for_the_perpetual(symbol: str) -> None:
    assert LISTED.find([symbol]) == [FUTURE]


def test_two_forms_of_one_symbol_are_a_duplicate() -> None:
    with pytest.raises(ConfigError, match="Duplicate symbol: BTC/USDT; accepted: each symbol once"):
        LISTED.find(["BTCUSDT", "BTC/USDT"])


def test_an_unknown_symbol_is_told_with_those_that_begin_alike() -> None:
    with pytest.raises(ConfigError, match="Unknown symbol at binance usdm: BTCUSDX; accepted: BTCUSDT, BTCUSDT_261225"):
        LISTED.find(["BTCUSDX"])


def test_a_strangers_text_is_repeated_only_so_far() -> None:
    with pytest.raises(ConfigError) as refused:
        LISTED.find(["Z" * 10_000])
    assert len(str(refused.value)) < 200


def test_without_the_venues_list_a_well_formed_symbol_is_taken_at_its_word() -> None:
    assert [i.venue_symbol for i in Directory(COINM).find(["btcusd_perp", "ETH/USD_PERP"])] == [
        "BTCUSD_PERP",
        "ETHUSD_PERP",
    ]
    assert not Directory(COINM).known
    with pytest.raises(ConfigError):
        Directory(COINM).find(["no such thing!"])
