from datetime import UTC, datetime

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Kind
from heliograph.venues.binance.layout import coinm, spot, usdm

LISTED_NS = 1_795_000_020 * NS_PER_S


def test_symbols_are_written_as_binance_writes_them() -> None:
    assert [rules.listing.symbol for rules in spot(2, LISTED_NS)] == ["BTCUSDT", "ETHUSDT"]
    assert [rules.listing.symbol for rules in coinm(2, LISTED_NS)][::2] == ["BTCUSD_PERP", "ETHUSD_PERP"]


def test_the_quarterly_contract_expires_on_a_friday_at_eight_and_says_so_in_its_name() -> None:
    for lister in (usdm, coinm):
        (quarterly,) = [rules.listing for rules in lister(2, LISTED_NS) if rules.listing.kind is Kind.FUTURE]
        assert quarterly.expiry_ns is not None
        expiry = datetime.fromtimestamp(quarterly.expiry_ns // NS_PER_S, UTC)
        assert (expiry.strftime("%A"), expiry.hour, expiry.minute) == ("Friday", 8, 0)
        assert quarterly.symbol == f"{quarterly.pair}_{expiry:%y%m%d}"
        assert quarterly.expiry_ns > LISTED_NS


def test_contracts_of_btc_are_a_hundred_dollars_and_of_others_ten() -> None:
    sizes = {rules.listing.base: rules.listing.contract_size for rules in coinm(3, LISTED_NS)}
    assert sizes == {"BTC": 100, "ETH": 10, "BNB": 10}
