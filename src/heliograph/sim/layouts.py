"""Which venues can be played: those whose folder has a `layout`."""

import pkgutil
from functools import cache
from importlib import import_module

from heliograph import venues
from heliograph.errors import ConfigError
from heliograph.venues.dialect import Layout


@cache
def played() -> tuple[str, ...]:
    """Return the names of the venues that can be simulated, in the order of the alphabet."""
    folders = (folder.name for folder in pkgutil.iter_modules(venues.__path__) if folder.ispkg)
    return tuple(sorted(name for name in folders if _has_layout(name)))


def layout_of(venue: str) -> Layout:
    """Return how a venue is laid out. What one venue alone needs is imported for that venue alone.

    Raises:
        ConfigError: there is no such venue.

    """
    if venue not in played():
        raise ConfigError(f"cannot simulate {venue!r}", played())
    layout = import_module(f"{venues.__name__}.{venue}.layout").LAYOUT
    assert isinstance(layout, Layout)  # Each folder's `layout` has one.
    return layout


def _has_layout(venue: str) -> bool:
    paths = [f"{path}/{venue}" for path in venues.__path__]
    return any(module.name == "layout" for module in pkgutil.iter_modules(paths))
