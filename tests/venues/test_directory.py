import msgspec
import pytest

from heliograph.errors import ConfigError
from heliograph.model.instrument import SPOT, Instrument, Kind, MarketId, VenueId
from heliograph.venues import VENUES, bybit, find_market, find_venue, gateio, hyperliquid, okx
from heliograph.venues.contract import Venue
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
PERPS = hyperliquid.VENUE.markets[MarketId("usdm")]
PAIRS = hyperliquid.VENUE.markets[SPOT]


def perp(name: str) -> Instrument:
    return Instrument(hyperliquid.VENUE.name, PERPS.market, name, name, "USDC", "USDC", Kind.PERPETUAL)


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


NAMED = Directory(PERPS, [perp(name) for name in ("BTC", "kPEPE", "KPEPE", "kBONK", "xyz:XYZ100", "XYZ100")])


@pytest.mark.parametrize("name", ["BTC", "kPEPE", "KPEPE", "kBONK", "xyz:XYZ100", "XYZ100"])
def test_m19_a_venues_own_name_is_taken_to_the_letter(name: str) -> None:
    assert [i.venue_symbol for i in NAMED.find([name])] == [name]
    assert [i.venue_symbol for i in Directory(PERPS).find([name])] == [name]


@pytest.mark.parametrize(
    ("symbol", "name"),
    [("btc", "BTC"), ("KBONK", "kBONK"), ("kbonk/usdc:usdc", "kBONK"), ("BTC/USDC", "BTC"),
     ("XYZ:xyz100", "xyz:XYZ100"), ("xyz:XYZ100/USDC:USDC", "xyz:XYZ100")],
)  # fmt: skip
def test_m19_looser_forms_are_read_in_any_case(symbol: str, name: str) -> None:
    assert [i.venue_symbol for i in NAMED.find([symbol])] == [name]


@pytest.mark.parametrize("symbol", ["kpepe", "Kpepe", "KPEPE/USDC:USDC", "kPEPE/USDC"])
def test_m19_a_loose_name_that_two_instruments_share_is_refused_with_both(symbol: str) -> None:
    with pytest.raises(ConfigError, match=f"Ambiguous symbol at hyperliquid usdm: {symbol}; accepted: KPEPE, kPEPE"):
        NAMED.find([symbol])


def test_m19_pairs_that_are_numbered_are_found_by_their_tokens_too() -> None:
    hype = Instrument(hyperliquid.VENUE.name, SPOT, "@107", "HYPE", "USDC", kind=Kind.SPOT)
    purr = Instrument(hyperliquid.VENUE.name, SPOT, "PURR/USDC", "PURR", "USDC", kind=Kind.SPOT)
    listed = Directory(PAIRS, [purr, hype])
    assert listed.find(["@107", "purr/usdc"]) == [hype, purr]
    assert listed.find(["HYPE/USDC"]) == [hype]
    with pytest.raises(ConfigError, match="Unknown symbol"):
        listed.find(["107"])
    assert [i.venue_symbol for i in Directory(PAIRS).find(["@107", "PURR/USDC"])] == ["@107", "PURR/USDC"]


def test_t17_two_instruments_that_would_share_their_streams_are_refused() -> None:
    """No venue has such names; if one ever does, neither must write into the other's stream."""
    listed = Directory(PERPS, [perp("A-USDT"), perp("AUSDT"), perp("BTC")])
    for name in ("A-USDT", "AUSDT"):
        with pytest.raises(ConfigError, match="A-USDT and AUSDT of hyperliquid usdm would share the streams of AUSDT"):
            listed.find([name])
    assert listed.find(["BTC"]) == [perp("BTC")]


def test_an_option_is_found_by_the_unified_form_though_its_list_has_names_only() -> None:
    option = Instrument(okx.VENUE.name, MarketId("option"), "BTC-USD-261225-100000-C", kind=Kind.OPTION)
    market = okx.VENUE.markets[option.market]
    assert Directory(market, [option]).find(["BTC/USD:BTC-261225-100000-C"]) == [option]
    with pytest.raises(ConfigError, match="Unknown symbol at okx option"):
        Directory(market, [option]).find(["BTC/USD:BTC-261225"])


def test_what_is_paid_in_another_asset_is_another_contract() -> None:
    """Spelled, both are BTC-USD-SWAP; and BTCUSDT is not inverse though its list may not say so."""
    swap = okx.VENUE.markets[MarketId("swap")]
    inverse = Instrument(okx.VENUE.name, swap.market, "BTC-USD-SWAP", "BTC", "USD", "BTC", Kind.PERPETUAL)
    assert Directory(swap, [inverse]).find(["BTC/USD:BTC"]) == [inverse]
    with pytest.raises(ConfigError, match="Unknown symbol at okx swap: BTC/USD:USDC; accepted: BTC-USD-SWAP"):
        Directory(swap, [inverse]).find(["BTC/USD:USDC"])
    linear = bybit.VENUE.markets[MarketId("linear")]
    named = Directory(linear, [linear.instrument("BTCUSDT")])
    assert [i.venue_symbol for i in named.find(["BTC/USDT:USDT"])] == ["BTCUSDT"]
    with pytest.raises(ConfigError, match="Unknown symbol at bybit linear: BTC/USDT:BTC"):
        named.find(["BTC/USDT:BTC"])


@pytest.mark.parametrize(
    ("venue", "market", "symbol", "name"),
    [
        (find_venue("binance"), "spot", "btc/usdt", "BTCUSDT"),
        (find_venue("binance"), "usdm", "BTC/USDT", "BTCUSDT"),
        (find_venue("binance"), "usdm", "BTC/USDT:USDT-261225", "BTCUSDT_261225"),
        (find_venue("binance"), "coinm", "BTC/USD:BTC", "BTCUSD_PERP"),
        (find_venue("binance"), "coinm", "BTC/USD:BTC-261225", "BTCUSD_261225"),
        (okx.VENUE, "spot", "BTC/USDT", "BTC-USDT"),
        (okx.VENUE, "swap", "BTC/USDT:USDT", "BTC-USDT-SWAP"),
        (okx.VENUE, "futures", "BTC/USD:BTC-261225", "BTC-USD-261225"),
        (okx.VENUE, "option", "BTC/USD:BTC-261225-100000-C", "BTC-USD-261225-100000-C"),
        (bybit.VENUE, "spot", "BTC/USDT", "BTCUSDT"),
        (bybit.VENUE, "linear", "BTC/USDT:USDT", "BTCUSDT"),
        (bybit.VENUE, "linear", "BTC/USDT:USDT-261225", "BTCUSDT-25DEC26"),
        (bybit.VENUE, "inverse", "BTC/USD:BTC", "BTCUSD"),
        (gateio.VENUE, "spot", "BTC/USDT", "BTC_USDT"),
        (gateio.VENUE, "usdm", "BTC/USDT:USDT", "BTC_USDT"),
        (gateio.VENUE, "coinm", "BTC/USD:BTC", "BTC_USD"),
        (hyperliquid.VENUE, "spot", "PURR/USDC", "PURR/USDC"),
        (hyperliquid.VENUE, "usdm", "BTC/USDC:USDC", "BTC"),
        (hyperliquid.VENUE, "usdm", "kPEPE/USDC", "kPEPE"),
        (hyperliquid.VENUE, "usdm", "xyz:XYZ100/USDC:USDC", "xyz:XYZ100"),
        (bybit.VENUE, "linear", "BTC/USDC:USDC", "BTCPERP"),
    ],
)
def test_m18_without_the_list_a_unified_symbol_is_spelled_as_the_market_spells(
    venue: Venue, market: str, symbol: str, name: str
) -> None:
    assert [i.venue_symbol for i in Directory(find_market(venue, market)).find([symbol])] == [name]


@pytest.mark.parametrize(
    ("venue", "market", "symbol"),
    [
        (find_venue("binance"), "spot", "BTC/USDT:USDT"),
        (find_venue("binance"), "usdm", "BTC/USD:BTC"),
        (bybit.VENUE, "inverse", "BTC/USDT:USDT"),
        (gateio.VENUE, "coinm", "BTC/USDT:USDT"),
        (gateio.VENUE, "coinm", "ETH/BTC:ETH"),
        (okx.VENUE, "futures", "BTC/USDT:USDT"),
        (hyperliquid.VENUE, "usdm", "BTC/USDT:USDT"),
        (hyperliquid.VENUE, "usdm", "BTC/USD:BTC"),
    ],
)
def test_m18_without_the_list_nothing_is_guessed(venue: Venue, market: str, symbol: str) -> None:
    """The first version made BTCUSDT of BTC/USDT:USDT at spot, and of a future the perpetual."""
    with pytest.raises(ConfigError, match="Unknown symbol at") as refused:
        Directory(find_market(venue, market)).find([symbol])
    assert refused.value.accepted
