"""What a venue promises, and what may be asked of it.

A venue is a value: URLs, limits and names, and factories for pure objects. It does no I/O; what it wants done in the
world it returns as effects, and the shells in `connect` do it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument, MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.model.symbol import Symbol


class Subscription(msgspec.Struct, frozen=True):
    """One channel of one instrument; candles also say their interval."""

    channel: Channel
    instrument: Instrument
    interval: Interval | None = None


class Request(msgspec.Struct, frozen=True):
    """One question to the venue's REST interface, and why it is asked; asking it again does no harm."""

    path: str
    query: tuple[tuple[str, str], ...]
    weight: int
    """What the venue counts it as, in the venue's units."""
    purpose: "Purpose"
    body: bytes | None = None
    """JSON to be sent as a POST, for venues that are asked that way; None is a GET."""


class CandlePage(msgspec.Struct, frozen=True):
    """Wants the candles that open from `from_ns` up to and including `to_ns` (None: up to the present).

    Who names an end has seen the venue pass it, and has waited since for revisions that come late.
    """

    instrument: Instrument
    interval: Interval
    from_ns: int
    to_ns: int | None


class TradePage(msgspec.Struct, frozen=True):
    """Wants the trades numbered from `from_sequence` up to and including `to_sequence`."""

    instrument: Instrument
    from_sequence: int
    to_sequence: int


class BookPage(msgspec.Struct, frozen=True):
    """Wants a snapshot of the book."""

    instrument: Instrument


class InstrumentPage(msgspec.Struct, frozen=True):
    """Wants the list of instruments."""

    market: MarketId


class TickerPage(msgspec.Struct, frozen=True):
    """Wants the last price and the day's volumes, at a venue whose streams do not tell them."""

    instrument: Instrument


Purpose = CandlePage | TradePage | BookPage | InstrumentPage | TickerPage


class Send(msgspec.Struct, frozen=True):
    """Send this text frame."""

    payload: bytes
    heartbeat: bool = False
    """A sign of life: it waits behind no other message, and does not count against `Limits.connection_messages`."""
    secret: bool = False
    """Not to be recorded."""


class Fetch(msgspec.Struct, frozen=True):
    """Make this request; its answer comes back to the feed's `fetched`, or its failure to `failed`."""

    request: Request


class Reconnect(msgspec.Struct, frozen=True):
    """Give this connection up and make another.

    `planned` means that the venue announced it: open the next connection before this one closes.
    """

    reason: str
    planned: bool = False


class Refused(msgspec.Struct, frozen=True):
    """A frame (by its index in the batch) or an answer (index -1) that is not what the venue documents."""

    index: int
    reason: str


class VenueError(msgspec.Struct, frozen=True):
    """The venue said no to something that we asked for; repeating it will not help."""

    code: str
    reason: str
    subscriptions: tuple[Subscription, ...] = ()
    """What it said no to; empty where it does not say.

    Then a frame's no is one to all that the connection carries, and an answer's costs its request and nothing else.
    """


Effect = Send | Fetch | Reconnect | Refused | VenueError


class Connection(msgspec.Struct, frozen=True):
    """One socket to open: where, and what it is to carry."""

    path: str
    """Path and query, to be put behind the market's socket URL."""
    subscriptions: tuple[Subscription, ...]
    """None at all: whatever comes is welcome, and instruments are made of the symbols that turn up."""
    sequenced: bool = True
    """Whether book deltas are held to the venue's sequence; if not, each is told as it comes, unchecked."""


class Feed(Protocol):
    """The codec of one socket: remembers what the protocol needs, and nothing else.

    All methods append to the caller's lists. None raises on what a venue sends.
    """

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        """The socket is open."""

    def decode(
        self, frames: Sequence[bytes], received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Take the text frames of one socket read, in order."""

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Time passed; called about once a second."""

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        """Carry exactly these subscriptions from now on, over the same socket."""

    def fetched(
        self, request: Request, body: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """A request that this feed asked for was answered with success.

        A candle in an answer is closed only where the answer itself or the venue's own time proves it.
        """

    def book_counters(self) -> Mapping[str, Mapping[str, int]]:
        """Return how each book fared, by the venue's symbol: `dropped`, `applied`, `gaps` and the venue's own."""

    def failed(self, request: Request, reason: str, now_ns: int, effects: list[Effect]) -> None:
        """A request that this feed asked for failed for good."""


class Rate(msgspec.Struct, frozen=True):
    """So much at most in any stretch of time of that length, wherever it begins."""

    count_max: int
    window_s: float


class Refusal(msgspec.Struct, frozen=True):
    """A no that means "asked too often": how to know it, and how long it lasts. What is not given may be anything."""

    status: int | None = None
    """Of HTTP."""
    code: str | None = None
    """The venue's own, as `parse_error` reads it."""
    words: str = ""
    """What the reason contains, in small letters."""
    wait_s: float | None = None
    """How long to stay away where the answer does not say; None: as long as the window of what was asked."""


TOO_MANY_REQUESTS: Final = Refusal(status=429)
BANNED: Final = Refusal(status=418)


class BudgetHeaders(msgspec.Struct, frozen=True):
    """The headers in which answers say what is left of a budget; empty where there is none."""

    left: str = ""
    """How many requests are left of what was asked (an endpoint, or all)."""
    limit: str = ""
    """Out of how many. Only where that is our number is `left` counted; elsewhere it matters when nothing is left."""
    reset: str = ""
    """When there will be more, as time since the Unix epoch."""
    reset_unit_s: float = 1.0


class Limits(msgspec.Struct, frozen=True):
    """What a market tolerates, as its documentation says.

    What is counted by address is shared by all the markets of the venue that name the same pool, whoever asks.
    """

    streams_per_connection_max: int
    connects_max: int
    connects_window_s: float
    messages_per_s_max: float
    """Control messages from us to the venue, a connection."""
    connection_life_s: float
    """After this long the venue cuts the connection."""
    silence_s_max: float
    """A connection that has said nothing at all for this long (pings included) is dead."""
    weight_max: int
    weight_window_s: float
    weight_header: str
    """The answer's header that says how much weight is used in the present window."""
    stream_silence_s_max: float | None = None
    """A stream that was acknowledged but has been silent for this long, while the market trades, is reported stale."""
    weight_pool: str = ""
    """Markets with the same name here share one budget of REST weight; empty: the market has its own."""
    connect_pool: str = ""
    """Markets with the same name here share one budget of connects, of connections and of `address_messages`."""
    connections_max: int | None = None
    """Sockets open at once, of all markets of the pool; None: none is documented."""
    connection_messages: Rate | None = None
    """Control messages of one connection, besides `messages_per_s_max`; heartbeats do not count."""
    address_messages: Rate | None = None
    """Control messages of all connections of the pool together, heartbeats among them."""
    endpoints: Mapping[str, Rate] = {}
    """What the venue counts by endpoint: by the request's path, so many requests whatever their weight.

    A path that is named here does not count in the weight pool. Markets of a venue share the budgets of equal paths.
    """
    headers: BudgetHeaders = BudgetHeaders()
    refusals: tuple[Refusal, ...] = (TOO_MANY_REQUESTS, BANNED)
    passing_codes: frozenset[str] = frozenset()
    """Codes of a no that another attempt may not meet: the venue is busy, or away."""
    message_bytes_max: int | None = None
    """The longest message that it may send, whole books in one piece among them; None: as a socket takes by itself."""


class Credentials(msgspec.Struct, frozen=True):
    """What a venue knows somebody by. It is shown to the venue, and never printed."""

    key: str
    secret: str

    def __repr__(self) -> str:
        """Tell that there is one, and nothing of it."""
        return "Credentials(…)"


class Market(msgspec.Struct, frozen=True):
    """One market of a venue, all that the shells need to know of it.

    `socket_url` and `rest_url` have no path beyond what every request shares, and no slash at the end.
    """

    venue: VenueId
    market: MarketId
    aliases: tuple[str, ...]
    socket_url: str
    rest_url: str
    limits: Limits
    intervals: tuple[Interval, ...]
    channels: tuple[Channel, ...]
    instrument: Callable[[str], Instrument]
    """Makes an instrument of a venue symbol alone, where no list of instruments was read; raises `ConfigError`."""
    instruments_request: Callable[[], Request]
    parse_instruments: Callable[[bytes], list[Instrument]]
    """Raises `DecodeError`."""
    plan: Callable[[Sequence[Subscription], int], list[Connection]]
    """Spreads subscriptions over sockets; the second argument bounds the instruments of one socket."""
    feed: Callable[[Connection], Feed]
    candle_request: Callable[[CandlePage], Request]
    """The first page of a range; later pages the feed asks for itself."""
    trade_request: Callable[[TradePage], Request] | None
    parse_error: Callable[[int, bytes], VenueError]
    """Reads the body of an answer that is not a success."""
    read_answer: Callable[[str, bytes, int], list[VenueEvent | Instrument]]
    """Reads a recorded REST answer by the URL (or path and query) that it answers, and the time of its receipt.

    Nothing comes of an answer that is documented and has nothing for us, an error among them; raises `DecodeError`.
    """
    headers: Mapping[str, str] = {}
    """What every request and every socket's upgrade carries besides what HTTP needs."""
    success_code: str | None = None
    """What `parse_error` reads as the code of an answer that is none, at a venue that refuses with a status of success.

    None: this venue's statuses do not lie.
    """
    next_instruments: Callable[[Request, bytes], Request | None] | None = None
    """Makes the request for the page of instruments that follows an answer to a request; None where none follows."""
    spell: Callable[[Symbol], str | None] | None = None
    """Tells the venue's own name of what a unified symbol says, where no list of instruments was read.

    None, or an answer of None: it is the one of the usual spellings (`naming.spellings`) that `instrument` takes.
    """
    past_only: tuple[Interval, ...] = ()
    """Those of `intervals` that REST has and no stream: past candles can be had, a subscription is refused."""
    needs_credentials: bool = False
    """Whether it gives nothing but lists to somebody without a key: a feed takes what `with_credentials` makes."""
    with_credentials: "Callable[[Credentials], Market] | None" = None
    """Makes the same market for somebody with a key; None where a key changes nothing."""

    @property
    def streamed(self) -> tuple[Interval, ...]:
        """Those of `intervals` that a subscription may name."""
        return tuple(interval for interval in self.intervals if interval not in self.past_only)

    @property
    def default_interval(self) -> Interval | None:
        """A minute, or the shortest that it streams where it streams none of a minute; None: it streams no candles."""
        return Interval.M1 if Interval.M1 in self.streamed else next(iter(self.streamed), None)


class Venue(msgspec.Struct, frozen=True):
    """A venue's declaration of itself."""

    name: VenueId
    markets: Mapping[MarketId, Market]
    default_market: MarketId | None
    """The market that is meant where the user names none; None: the user must."""
    documentation: str
    market_of: Callable[[str | None, bytes], MarketId | None]
    """Tells the market by a URL, if there is one, or by a frame; None where neither tells it."""
    market_of_symbol: Callable[[str], MarketId | None] | None = None
    """Tells the market by an instrument's symbol alone, in any case; None of a symbol that has no market's shape.

    Where a venue has it, a market that is not named is the one of each symbol, and `default_market` is second to it.
    """
