"""A market's instruments, from as many pages as the venue spreads them over."""

from typing import Final

from heliograph.connect.rest import Client
from heliograph.errors import DecodeError
from heliograph.model.instrument import Instrument
from heliograph.venues.contract import Market, Request

PAGES_MAX: Final = 100


async def list_instruments(client: Client, market: Market) -> list[Instrument]:
    """Return all the instruments that a venue lists for a market.

    Raises:
        VenueRejected: the venue will not say.
        VenueUnreachable: it cannot be asked at present.
        DecodeError: what it says is no such list, or one without an end.

    """
    found: list[Instrument] = []
    request: Request | None = market.instruments_request()
    for _ in range(PAGES_MAX):
        assert request is not None
        body = await client.fetch(market, request)
        found += market.parse_instruments(body)
        request = None if market.next_instruments is None else market.next_instruments(request, body)
        if request is None:
            return found
    raise DecodeError(f"{market.venue} {market.market} has more than {PAGES_MAX} pages of instruments")
