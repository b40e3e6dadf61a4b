import pytest

from heliograph.errors import ConfigError
from heliograph.sim.layouts import layout_of, played


def test_what_has_a_layout_can_be_played() -> None:
    assert {"binance", "okx"} <= set(played())
    for venue in played():
        assert layout_of(venue).listers


def test_a_folder_that_is_no_venue_is_refused() -> None:
    for name in ("contract", "..", "binance.layout", ""):
        with pytest.raises(ConfigError, match=r"accepted: .*binance"):
            layout_of(name)
