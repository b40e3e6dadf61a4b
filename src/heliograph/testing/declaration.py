"""A venue's declaration of itself: whether it makes sense before anything is sent."""

import re
from collections.abc import Iterable
from itertools import combinations
from typing import Final
from urllib.parse import urlsplit

from heliograph.errors import ConfigError
from heliograph.model.market import Channel
from heliograph.testing.claim import require
from heliograph.testing.stage import Stage
from heliograph.venues.contract import InstrumentPage, Limits, Market, Rate, Venue

_NAME: Final = re.compile(r"[a-z][a-z0-9]*")
_ALIAS: Final = re.compile(r"[a-z][a-z0-9-]*")
NONSENSE: Final = ("", " ", "\x00", "BTC USDT", "../BTCUSDT", "BTC?USDT", "-", "\N{COLLISION SYMBOL}", "A" * 10_000)
"""What is no instrument's name anywhere."""

_WEIGHT: Final = ("weight_max", "weight_window_s", "weight_header")
_SOCKETS: Final = ("connects_max", "connects_window_s", "connections_max", "address_messages")


def check_declaration(stage: Stage) -> None:
    """The venue's names, places, limits and markets make sense, and all its markets are played.

    Raises:
        Nonconforming: something does not.

    """
    venue = stage.venue
    require(_NAME.fullmatch(venue.name), venue.name, "a venue's name is small letters and digits")
    require(venue.markets, venue.name, "a venue has markets")
    require(
        venue.documentation.startswith("https://"), venue.name, "a venue names its documentation", venue.documentation
    )
    default = venue.default_market
    require(default is None or default in venue.markets, venue.name, "the default market is one of them", default)
    unplayed = set(venue.markets) - {market.market for market in stage.markets}
    require(not unplayed, venue.name, "every market is in the layout, so that it can be played", unplayed)
    words = [word for market in venue.markets.values() for word in (market.market, *market.aliases)]
    require(len(set(words)) == len(words), venue.name, "each name or alias means one market", words)
    for name, market in venue.markets.items():
        require((market.venue, market.market) == (venue.name, name), market, "a market says of which venue it is", name)
        _check_market(market)
    _check_pools(venue)
    _check_keys(stage)


def _check_market(market: Market) -> None:
    bad = [word for word in (market.market, *market.aliases) if not _ALIAS.fullmatch(word)]
    require(not bad, market, "names of markets are small letters, digits and hyphens", bad)
    for scheme, url in (("wss", market.socket_url), ("https", market.rest_url)):
        parts = urlsplit(url)
        plain = not (parts.query or parts.fragment or url.endswith("/"))
        good = parts.scheme == scheme and parts.hostname and plain
        require(good, market, f"its URL is {scheme}://host, without a slash at its end, a query or a fragment", url)
    require(_distinct(market.channels), market, "its channels are some, each once", market.channels)
    candles = Channel.CANDLES in market.channels
    require(_distinct(market.intervals) or not candles, market, "its intervals are some, each once", market.intervals)
    extra = set(market.past_only) - set(market.intervals)
    require(not extra, market, "intervals of past candles only are among its intervals", extra)
    _check_limits(market, market.limits)
    request = market.instruments_request()
    good = request.path.startswith("/") and request.weight > 0 and request.purpose == InstrumentPage(market.market)
    require(good, market, "its list of instruments is asked for by a path, at a price, for itself", request)
    for name in NONSENSE:
        try:
            found = market.instrument(name)
        except ConfigError:
            continue
        require(False, market, "what is no instrument's name is refused with `ConfigError`", (name[:20], found.id[:80]))


def _check_limits(market: Market, limits: Limits) -> None:
    bounds = {
        "streams_per_connection_max": limits.streams_per_connection_max,
        "connects_max": limits.connects_max,
        "connects_window_s": limits.connects_window_s,
        "messages_per_s_max": limits.messages_per_s_max,
        "connection_life_s": limits.connection_life_s,
        "silence_s_max": limits.silence_s_max,
        "weight_max": limits.weight_max,
        "weight_window_s": limits.weight_window_s,
        "stream_silence_s_max": 1 if limits.stream_silence_s_max is None else limits.stream_silence_s_max,
        "connections_max": 1 if limits.connections_max is None else limits.connections_max,
    }
    wrong = {name: bound for name, bound in bounds.items() if not bound > 0}
    require(not wrong, market, "limits are positive", wrong)
    rates = [*limits.endpoints.values(), limits.connection_messages, limits.address_messages]
    bad = [rate for rate in rates if rate is not None and not _sane(rate)]
    require(not bad, market, "rates are positive", bad)
    relative = [path for path in limits.endpoints if not path.startswith("/")]
    require(not relative, market, "endpoints are named by their paths", relative)


def _check_pools(venue: Venue) -> None:
    """A pool is made by whichever market comes first, so that it must not matter which."""
    for one, two in combinations([market.limits for market in venue.markets.values()], 2):
        shared = [*(_WEIGHT if one.weight_pool and one.weight_pool == two.weight_pool else ())]
        shared += _SOCKETS if one.connect_pool and one.connect_pool == two.connect_pool else ()
        unlike = [name for name in shared if getattr(one, name) != getattr(two, name)]
        require(not unlike, venue.name, "markets that share a pool declare it alike", unlike)
        paths = [
            path for path in one.endpoints.keys() & two.endpoints.keys() if one.endpoints[path] != two.endpoints[path]
        ]
        require(not paths, venue.name, "markets that share an endpoint declare its rate alike", paths)


def _check_keys(stage: Stage) -> None:
    """Where a key is needed one can be given, and lists are told without."""
    for name, market in stage.declared.markets.items():
        if market.needs_credentials:
            given = stage.venue.markets[name]
            claim = "a market that needs a key takes what `with_credentials` is given for one"
            require(not given.needs_credentials, market, claim)
            stage.listed(market)


def _sane(rate: Rate) -> bool:
    return rate.count_max > 0 and rate.window_s > 0


def _distinct(items: Iterable[object]) -> bool:
    listed = list(items)
    return bool(listed) and len(set(listed)) == len(listed)
