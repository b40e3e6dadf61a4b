"""What `stream` and `capture` are asked for."""

import asyncio

import msgspec
import pytest

from heliograph.app import Where
from heliograph.cli.wish import Wish, check, check_channels, open_wish, subscriptions_of
from heliograph.config import ConnectorSettings
from heliograph.errors import ConfigError, VenueUnreachable
from heliograph.marketdata.tap import Tap
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel
from heliograph.venues import find_market, find_venue
from heliograph.venues.contract import Subscription

BITCOIN = Instrument(VenueId("binance"), SPOT, "BTCUSDT")


def wish(venue: str = "binance", market: str | None = "spot", *symbols: str, where: Where | None = None) -> Wish:
    return Wish(venue, market, symbols or ("BTCUSDT",), ["candles"], "1m", where or Where(simulated=True))


def test_every_channel_of_every_instrument_is_wanted_and_only_candles_have_an_interval() -> None:
    assert subscriptions_of([BITCOIN], ["candles", "book"], "5m") == [
        Subscription(Channel.CANDLES, BITCOIN, Interval.M5),
        Subscription(Channel.BOOK, BITCOIN),
    ]


@pytest.mark.parametrize(("channel", "interval"), [("candels", "1m"), ("candles", "7m")])
def test_what_there_is_not_is_refused(channel: str, interval: str) -> None:
    with pytest.raises(ConfigError, match="unknown"):
        subscriptions_of([BITCOIN], [channel], interval)


@pytest.mark.parametrize(
    "refused", [wish("mtgox"), wish("binance", None), wish("binance", "margin"), wish("okx", "banana", "BTC-USDT")]
)
def test_a_wish_is_checked_before_anything_is_opened(refused: Wish) -> None:
    with pytest.raises(ConfigError):
        check(refused)


async def test_a_wish_is_supplied() -> None:
    tap = Tap()
    async with open_wish(wish(), ConnectorSettings(), tap):
        events = await tap.take()
    assert all(isinstance(event, Candle) for event in events)
    assert {event.instrument.symbol for event in events} == {"BTC/USDT"}


async def test_t17_symbols_of_several_markets_are_supplied_side_by_side() -> None:
    tap = Tap()
    several = wish("okx", None, "BTC-USDT", "BTC/USDT:USDT", where=Where(simulated=True, speed=60.0))
    async with asyncio.timeout(20), open_wish(several, ConnectorSettings(), tap):
        told: set[str] = set()
        while told != {"okx:spot:BTC-USDT", "okx:swap:BTC-USDT-SWAP"}:
            told |= {event.instrument.id for event in await tap.take()}


def test_a_channel_or_interval_must_be_one_of_every_market_that_is_asked_for() -> None:
    check(msgspec.structs.replace(wish("binance", None, "BTC/USDT"), interval="1s"))
    with pytest.raises(ConfigError, match="binance usdm has no interval '1s'"):
        check(msgspec.structs.replace(wish("binance", None, "BTC/USDT", "BTC/USDT:USDT"), interval="1s"))


def test_a_length_that_only_the_past_has_cannot_be_streamed() -> None:
    market = find_market(find_venue("coinbase"), "spot")
    check_channels(market, ["candles"], "5m")
    check_channels(market, ["candles"], "1m", past=True)
    check_channels(market, ["trades"], "1m")
    with pytest.raises(ConfigError, match="coinbase spot has no interval '1m', but of the past; accepted: 5m"):
        check_channels(market, ["candles"], "1m")


async def test_a_venue_that_is_away_is_said_to_be_away() -> None:
    nowhere = wish(where=Where(endpoint="http://127.0.0.1:9"))
    with pytest.raises(VenueUnreachable):
        async with open_wish(nowhere, ConnectorSettings(rest_timeout=1.0), Tap()):
            pytest.fail("opened a feed of a venue that is away")
