import pytest

from heliograph.errors import ConfigError
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.venues import known
from heliograph.venues.known import Known

BTC, ETH = (Instrument(VenueId("there"), SPOT, name) for name in ("BTC", "ETH"))


def make(symbol: str) -> Instrument:
    if not symbol.isalpha():
        raise ConfigError(f"{symbol} is no symbol", ())
    return Instrument(VenueId("there"), SPOT, symbol)


def test_where_instruments_are_named_others_are_not_carried() -> None:
    mine = Known(None)
    mine.carry([BTC, ETH])
    mine.carry([BTC])
    assert mine["BTC"] is BTC
    with pytest.raises(KeyError):
        mine["ETH"]


def test_where_all_are_welcome_each_is_made_once_and_carrying_changes_nothing() -> None:
    mine = Known(make)
    made = mine["BTC"]
    mine.carry([])
    assert mine["BTC"] is made
    with pytest.raises(ValueError, match="no symbol"):
        mine["!"]


def test_what_is_made_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "INSTRUMENTS_MAX", 3)
    mine = Known(make)
    for symbol in ("A", "B", "C", "D"):
        assert mine[symbol].venue_symbol == symbol
    assert [*mine] == ["D"]
