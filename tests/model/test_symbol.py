"""Symbols that mean the same at every venue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import from_iso
from heliograph.model.instrument import SPOT, Instrument, Kind, VenueId
from heliograph.model.symbol import Symbol


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("BTC/USDT", Symbol("BTC", "USDT")),
        ("btc/usdt", Symbol("btc", "usdt")),
        ("BTC/USDT:USDT", Symbol("BTC", "USDT", "USDT")),
        ("BTC/USD:BTC-261225", Symbol("BTC", "USD", "BTC", "261225")),
        ("BTC/USD:BTC-261225-100000.5-C", Symbol("BTC", "USD", "BTC", "261225", "100000.5", "C")),
        ("xyz:XYZ100/USDC:USDC", Symbol("xyz:XYZ100", "USDC", "USDC")),
    ],
)
def test_every_form_is_read(text: str, symbol: Symbol) -> None:
    assert Symbol.parse(text) == symbol


@pytest.mark.parametrize(
    "text",
    ["", "BTCUSDT", "BTC-USDT-SWAP", "@107", "xyz:XYZ100", "/", "BTC/", "/USDT", "BTC/USDT/X", "BTC/USDT:", "BTC /USDT",
     "BTC/USDT:USDT-2612", "BTC/USDT:USDT-261225-1", "BTC/USDT\n"],
)  # fmt: skip
def test_what_has_another_form_may_be_a_venues_own_name(text: str) -> None:
    assert Symbol.parse(text) is None


@pytest.mark.parametrize(
    ("text", "linear"),
    [("BTC/USDT", False), ("BTC/USDT:USDT", True), ("btc/usdt:USDT", True), ("BTC/USD:BTC", False)],
)
def test_profit_is_paid_in_the_quote_asset_or_not(text: str, linear: bool) -> None:
    symbol = Symbol.parse(text)
    assert symbol is not None
    assert symbol.linear is linear


@given(
    st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True),
    st.from_regex(r"[A-Z]{3,4}", fullmatch=True),
    st.none() | st.just("BTC"),
    st.booleans(),
)
def test_what_an_instrument_calls_itself_is_read_back(base: str, quote: str, settle: str | None, ends: bool) -> None:
    expires = ends and settle is not None
    expiry_ns = from_iso("2026-12-25T08:00Z") if expires else None
    made = Instrument(VenueId("v"), SPOT, "X", base, quote, settle, Kind.FUTURE, expiry_ns)
    assert Symbol.parse(made.symbol) == Symbol(base, quote, settle, "261225" if expires else None)


@given(st.text())
def test_no_text_makes_it_raise(text: str) -> None:
    Symbol.parse(text)
