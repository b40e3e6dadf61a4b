"""The one way to write a symbol that means the same at every venue."""

import re
from typing import Final, Self

import msgspec

# The base may have a colon in it: Hyperliquid's `xyz:XYZ100` is a coin of the dex `xyz`.
_FORM: Final = re.compile(
    r"(?P<base>[^\s/]{1,40})/(?P<quote>[^\s/:]{1,40})"
    r"(?::(?P<settle>[^\s/:-]{1,40})(?:-(?P<expiry>[0-9]{6})(?:-(?P<strike>[0-9]+(?:\.[0-9]+)?)-(?P<right>[CPcp]))?)?)?"
)


class Symbol(msgspec.Struct, frozen=True):
    """What a unified symbol says, in the case in which it was written.

    `BTC/USDT` is spot, `BTC/USDT:USDT` a perpetual contract, `BTC/USD:BTC-261225` a future that ends on 25 December
    2026, and `BTC/USD:BTC-261225-100000-C` an option on the same day.
    """

    base: str
    quote: str
    settle: str | None = None
    """The asset that profit is paid in; None for spot."""
    expiry: str | None = None
    """Year, month and day, two digits each; None for what never ends."""
    strike: str | None = None
    """The price at which an option is exercised; None for what is none."""
    right: str | None = None
    """`C` to buy or `P` to sell, for an option."""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a text; None where it does not have this form, and may be a venue's own name."""
        found = _FORM.fullmatch(text)
        return None if found is None else cls(**found.groupdict())

    @property
    def linear(self) -> bool:
        """Whether profit is paid in what prices are quoted in; spot is not."""
        return self.settle is not None and self.settle.upper() == self.quote.upper()
