"""The names of instruments: the venue's own, the unified one, and those of the streams, there and back."""

from collections import defaultdict

from heliograph.bus import keys
from heliograph.errors import ConfigError
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Trade
from heliograph.testing.claim import require
from heliograph.testing.stage import Stage
from heliograph.venues.contract import Market
from heliograph.venues.directory import Directory
from heliograph.venues.scene import Listing


def check_names(stage: Stage, market: Market) -> None:
    """Every listed instrument is what the scene lists, and is found by each of its names, with a list and without.

    Raises:
        Nonconforming: one is not.

    """
    listed = stage.listed(market)
    listings = stage.scene(market).listings
    directory = Directory(market, listed)
    for instrument in listed:
        symbol = instrument.venue_symbol
        require(symbol in listings, market, "what is listed is an instrument of the market", symbol)
        _check_rules(market, instrument, listings[symbol])
        own = (instrument.venue, instrument.market) == (market.venue, market.market)
        require(own, market, "what is listed is said to be of this market", instrument.id)
        alone = market.instrument(symbol)
        require(
            alone.id == instrument.id, market, "an instrument is the same without the list (T17)", (symbol, alone.id)
        )
        for name in dict.fromkeys((symbol, instrument.symbol)):
            try:
                found: object = directory.find([name])[0].id
            except ConfigError as e:
                found = e
            require(found == instrument.id, market, "an instrument is found by each of its names", (name, found))
        if stage.venue.market_of_symbol is not None:
            told = stage.venue.market_of_symbol(symbol)
            require(told == market.market, market, "a symbol that tells its market tells the right one", (symbol, told))


def _check_rules(market: Market, instrument: Instrument, listing: Listing) -> None:
    for name in ("base", "quote", "settle", "kind", "expiry_ns", "lot_size", "contract_size"):
        told, truth = getattr(instrument, name), getattr(listing, name)
        # What a venue does not tell is None; but whoever tells the base tells what it is settled in, by None too.
        silent = told is None and (instrument.base is None or name == "lot_size")
        require(silent or told == truth, market, f"`{name}` is what the venue lists", (listing.symbol, told, truth))
    tick = instrument.tick_size
    fine = tick is None or (tick > 0 and listing.tick_size % tick == 0)
    require(fine, market, "`tick_size` is a step of prices", (listing.symbol, tick))


def check_streams(stage: Stage) -> None:
    """No two instruments of a venue share a stream (T17).

    Raises:
        Nonconforming: two do.

    """
    holders: dict[str, set[str]] = defaultdict(set)
    for market in stage.markets:
        for instrument in stage.listed(market):
            for key in (keys.candles(instrument, Interval.M1), keys.of_kind(instrument, Trade)):
                holders[key].add(f"{market.market} {instrument.id}")
    shared = {key: ids for key, ids in holders.items() if len(ids) > 1}
    require(not shared, stage.venue.name, "each instrument has streams of its own", shared)
