"""What a simulated venue is to the server that plays it: sessions that hear and answer, streams that speak, REST.

A dialect is the server's half of one venue's protocol. It decides in pure code what is said; the simulator has the
sockets, the clock and the faults. One dialect serves one origin (host and port), which may carry several markets.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

from heliograph.model.instrument import MarketId
from heliograph.venues.scene import Scene
from heliograph.venues.universe import Lister

Query = Mapping[str, str]


class Ask(msgspec.Struct, frozen=True):
    """An HTTP request, or the one that opens a socket."""

    path: str
    query: Query = {}
    method: str = "GET"
    headers: Mapping[str, str] = {}
    """By their names in lower case."""
    body: bytes = b""


class Manners(msgspec.Struct, frozen=True):
    """What a venue's socket server demands and does, in real time; None where it does not."""

    connects_max: int
    """How many connections one address may open within `connects_window_s`."""
    connects_window_s: float
    ping_s: float | None = None
    """How long after its last ping the server sends the next."""
    pong_s: float = 60.0
    """How long a ping may stay unanswered before the connection is cut."""
    messages_per_s: int | None = None
    """More than this many pings, pongs and control messages in a second close the connection."""
    silence_s: float | None = None
    """A connection on which neither side has said anything for this long is closed with `silence_code`."""
    silence_code: int = 1000
    silence_reason: str = ""
    life_s: float | None = None
    connections_max: int | None = None
    """How many connections one address may have at a time."""


class Reply(msgspec.Struct, frozen=True):
    """What to send back to a control message, and with which code to hang up after it.

    Code 1006, which cannot be sent, drops the connection without a word.
    """

    payloads: tuple[bytes, ...]
    close_code: int | None = None
    after_data: bool = False
    """Whether what new streams open with is said before it."""


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer: its status, its JSON, what it costs, and for how long to stay away, in seconds."""

    status: int
    body: bytes
    weight: int = 1
    retry_after_s: int | None = None


class Quota(msgspec.Struct, frozen=True):
    """What one address may use of something in one window of time; windows stand still and follow each other."""

    name: str
    weight_max: int
    window_s: int


class Stream(Protocol):
    """One stream that can be subscribed to. Equal streams say the same, so each is said once to all who hear it."""

    @property
    def name(self) -> str:
        """The stream as faults and `/sim/state` name it."""

    @property
    def kind(self) -> str:
        """What sort of stream it is, for counting."""

    @property
    def symbol(self) -> str:
        """The instrument it is of; something else where it is of none or of all."""

    @property
    def cadence_ns(self) -> int:
        """Time between two frames, in the market's time; 0 for as it happens."""

    def __hash__(self) -> int: ...


S = TypeVar("S", bound=Stream)


class Session(Protocol[S]):
    """One client's socket: what it has subscribed to, and what it is told in return."""

    streams: dict[str, S]
    combined: bool
    """Whether frames are wrapped in their stream's name, where the venue knows such a thing."""

    def greeting(self, now_ns: int) -> tuple[bytes, ...]:
        """Return what the server says first, before it has heard anything."""

    def received(self, text: str, now_ns: int = 0, now_s: float = 0.0) -> Reply:
        """Answer one text frame of the client.

        Args:
            text: the frame.
            now_ns: the time at the market.
            now_s: any clock that goes in real time, which is what a venue's limits go by.

        """

    def hears(self, stream: S) -> bool:
        """Say whether this connection is sent the stream's frames once it has subscribed."""

    def farewell(self, now_ns: int) -> bytes | None:
        """Return the frame that announces that this server is about to close; None where it says nothing."""


@runtime_checkable
class Numbering(Protocol):
    """A session that numbers all frames of its connection, whichever stream they are of; most venues have no such.

    What is lost on its way has had its number, which is how a client notices.
    """

    def numbered(self, payload: bytes) -> bytes:
        """Return a frame, or a reply, with the next number of this connection; called once for each, as they leave."""


class Rest(Protocol):
    """The REST interface of one origin."""

    def quota(self, ask: Ask) -> Quota:
        """Say what a request counts against."""

    def answer(self, ask: Ask, now_ns: int) -> Answer:
        """Answer a request; whatever is asked, something is answered."""

    def too_much(self, ask: Ask, *, wait_s: int) -> Answer:
        """Refuse a request because the quota is used up for `wait_s` seconds more."""

    def banned(self, *, until_ms: int, wait_s: int) -> Answer:
        """Refuse a request because the address is banned, in milliseconds since the epoch."""

    def broken(self, status: int) -> Answer:
        """Answer as a server in trouble does: whether it did anything is not known."""

    def headers(self, quota: Quota, used: int, reset_ms: int) -> Mapping[str, str]:
        """Return the headers that tell how much weight is used, and when its window ends (real time since 1970)."""

    @property
    def bans(self) -> bool:
        """Whether an address that goes on asking is banned for a while."""


class Dialect(Protocol[S]):
    """What one origin of a venue says, given what happens at its markets."""

    manners: Manners

    @property
    def markets(self) -> Mapping[MarketId, Scene]:
        """The markets that this origin carries."""

    def market_of(self, symbol: str) -> MarketId:
        """Return the market of an instrument, or the first one where there is no such instrument."""

    def session(self, ask: Ask) -> Session[S] | None:
        """Open a session at a URL's path and query; None where there is no such place."""

    def opening(self, stream: S, now_ns: int) -> list[bytes]:
        """Return what a client that has just subscribed is told at once; `frames` go on from `now_ns`."""

    def frames(self, stream: S, from_ns: int, to_ns: int) -> list[bytes]:
        """Return what a stream has to say about the time after `from_ns`, up to and including `to_ns`."""

    def wrapped(self, name: str, payload: bytes) -> bytes:
        """Wrap a raw frame the way a combined connection wants it."""


class Layout(msgspec.Struct, frozen=True):
    """How a simulated venue is laid out. Each venue that can be played has one, `LAYOUT` in its folder's `layout`."""

    listers: Mapping[MarketId, Lister]
    """What each market lists."""
    origins: Callable[[Mapping[MarketId, Scene]], Iterator[tuple[Dialect[Any], Rest]]]
    """Puts the markets behind origins, which are a host and a port each."""
    lossy: str
    """What the names of the streams have in them that random faults may lose frames of: the books."""
    book_step_ns: int | None = None
    """Where one change of a scene's book takes many messages: how far apart the changes are, in the market's time.

    Between the messages that bear the time of a change, and between changes, a book stands as the scene never has it.
    None: it is the scene's after every message.
    """
