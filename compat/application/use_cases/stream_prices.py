"""Streaming quotes."""

from collections.abc import AsyncIterator, Sequence

from application.quotes import PriceFeedRepository, PriceQuote


class StreamPrices:
    """Quotes of some symbols.

    Args:
        repository: where they come from; `interfaces.repository_factory` makes one.

    """

    def __init__(self, repository: PriceFeedRepository) -> None:
        self._repository = repository

    def execute(self, symbols: Sequence[str]) -> AsyncIterator[PriceQuote]:
        """Yield the last known quote of each symbol, then every one as it comes, until the consumer stops.

        Raises:
            ConfigError: a symbol is not one of the market's; at the first step of the iteration.
            VenueRejected: the venue will not serve what was asked for.

        """
        return self._repository.stream(symbols)
