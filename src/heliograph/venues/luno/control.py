"""What tells whose frame one is: the path of its socket, and nothing in it.

Source: https://www.luno.com/en/developers/api#tag/Streaming-API
"""

from heliograph.errors import ConfigError
from heliograph.model.instrument import SPOT, Instrument, MarketId
from heliograph.venues.luno.instruments import instrument_of_symbol
from heliograph.venues.luno.streams import PATH


def market_of(_url: str | None, _frame: bytes) -> MarketId | None:
    """Return the one market that there is."""
    return SPOT


def pair_of_path(path: str) -> Instrument | None:
    """Return the pair of a socket's path; None where it is no such path."""
    _, found, pair = path.partition(PATH)
    try:
        return instrument_of_symbol(pair) if found else None
    except ConfigError:
        return None
