from collections.abc import Sequence

import msgspec
import pytest
from aiohttp import web

from heliograph.connect.listing import PAGES_MAX, list_instruments
from heliograph.errors import DecodeError, VenueRejected
from heliograph.model.instrument import MarketId
from heliograph.venues import binance, bybit
from heliograph.venues.contract import Market
from tests.connect.test_rest import client, serving


def body(symbols: Sequence[str], cursor: str) -> bytes:
    """A page as Bybit documents it, with what is read of it."""
    rows = [
        {
            "symbol": symbol, "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": symbol[:-4],
            "quoteCoin": "USDT", "settleCoin": "USDT", "deliveryTime": "0", "priceFilter": {"tickSize": "0.1"},
            "lotSizeFilter": {"qtyStep": "0.1"},
        }
        for symbol in symbols
    ]  # fmt: skip
    result = {"category": "linear", "list": rows, "nextPageCursor": cursor}
    return msgspec.json.encode({"retCode": 0, "retMsg": "OK", "result": result, "time": 1})


def linear(here: Market) -> Market:
    return msgspec.structs.replace(bybit.VENUE.markets[MarketId("linear")], rest_url=here.rest_url)


async def test_all_pages_are_followed() -> None:
    pages = {None: (["AUSDT", "BUSDT"], "b"), "b": (["CUSDT"], "c%3D"), "c%3D": (["DUSDT"], "")}

    async def answer(asked: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body(*pages[asked.query.get("cursor")]))

    async with serving(answer) as (here, desk), client() as rest:
        listed = await list_instruments(rest, linear(here))
    assert [instrument.venue_symbol for instrument in listed] == ["AUSDT", "BUSDT", "CUSDT", "DUSDT"]
    assert len(desk.asked) == 3


async def test_a_list_without_pages_is_asked_for_once() -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b'{"symbols":[]}')

    async with serving(answer) as (here, desk), client() as rest:
        spot = msgspec.structs.replace(binance.VENUE.markets[MarketId("spot")], rest_url=here.rest_url)
        assert await list_instruments(rest, spot) == []
    assert len(desk.asked) == 1


async def test_a_list_without_an_end_is_given_up() -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body([], "again"))

    async with serving(answer) as (here, desk), client() as rest:
        with pytest.raises(DecodeError, match="more than 100 pages"):
            await list_instruments(rest, linear(here))
    assert len(desk.asked) == PAGES_MAX


async def test_t20_a_no_with_status_200_is_a_no() -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b'{"retCode":10001,"retMsg":"params error","result":{}}')

    async with serving(answer) as (here, _), client() as rest:
        with pytest.raises(VenueRejected, match="params error"):
            await list_instruments(rest, linear(here))
