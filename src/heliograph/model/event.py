"""The kinds of thing that a feed tells."""

from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.market import BookTop, Candle, DayStatistics, Gap, Ticker, Trade

VenueEvent = Candle | BookTop | DayStatistics | Trade | BookSnapshot | BookDelta | Gap
"""What a venue's codec makes of frames and answers."""

Event = Candle | Ticker | Trade | BookSnapshot | BookDelta | Gap
"""What a feed hands to its consumers."""
