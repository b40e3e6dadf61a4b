"""What `connector-cli` runs, called as it calls it; the program itself is in `test_connector_cli.py`."""

import pytest
import structlog

from heliograph.app import Where
from heliograph.cli.quotes import Wish, quotes
from heliograph.errors import ConfigError


@pytest.fixture(autouse=True)
def logging_as_it_was() -> object:
    yield
    structlog.reset_defaults()


def test_as_many_quotes_as_asked_for_are_printed(capfd: pytest.CaptureFixture[str]) -> None:
    wish = Wish("binance", "coinm", ("BTCUSD_PERP",), limit=2)
    assert quotes(wish, Where(simulated=True, speed=60.0), None) == 0
    printed = capfd.readouterr()
    assert [line.split()[0:2] for line in printed.out.splitlines()] == [["[binance::coinm]", "BTCUSD_PERP"]] * 2
    assert printed.err == ""


def test_what_there_is_not_is_refused_before_anything_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="accepted: "):
        quotes(Wish("binance", "spot", ("NOPE",), limit=1), Where(simulated=True), None)
    assert capfd.readouterr().out == ""
