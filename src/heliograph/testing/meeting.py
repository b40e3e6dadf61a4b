"""A market's feeds and the dialect that they talk to, on one clock, without a socket.

Time goes in steps. What the dialect says reaches the codec at once, and so does every answer, unless a test spoils it
on its way. Nothing is decided here but the order: the codec decides what to send, and the dialect what to say to that.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.event import VenueEvent
from heliograph.testing.claim import require
from heliograph.testing.stage import KEY, START_NS, Stage, headers_of
from heliograph.venues.contract import Connection, Effect, Fetch, Market, Request, Send, Subscription
from heliograph.venues.dialect import Ask, Numbering, Session, Stream

STEP_NS: Final = 500 * NS_PER_MS
INSTRUMENTS_MAX: Final = 100

Spoil = Callable[[str, bytes], list[bytes]]
"""What becomes of one frame of a stream, by the stream's name, on its way."""


class Heard(msgspec.Struct, frozen=True):
    """One event, and the time up to which the venue had spoken."""

    event: VenueEvent
    at_ns: int


class Line:
    """One socket: the feed on its one side, the venue's session on the other."""

    def __init__(self, stage: Stage, market: Market, connection: Connection) -> None:
        self.connection = connection
        session = stage.dialect(market).session(Ask(connection.path, headers=headers_of(market)))
        require(session is not None, market, "its plan's paths exist at the venue", connection.path)
        assert session is not None
        self.session: Session[Any] = session
        self.feed = market.feed(connection)
        self.told: dict[Stream, int] = {}
        self.sent_ns: list[int] = []
        """When each message left that was no heartbeat."""
        self.spoke_ns = START_NS
        """When either side last said anything."""
        self.heard_ns = START_NS

    def numbered(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Return what is about to be said, with its numbers on this connection where the venue knows such."""
        session = self.session
        return [session.numbered(payload) for payload in payloads] if isinstance(session, Numbering) else [*payloads]


class Meeting:
    """Some subscriptions of one market, from the opening of their sockets on.

    Args:
        stage: the venue.
        market: the market.
        subscriptions: what the feeds are to carry.
        singly: whether a feed is given each frame by itself; else, all of a step as one batch.

    """

    def __init__(
        self, stage: Stage, market: Market, subscriptions: Sequence[Subscription], *, singly: bool = False
    ) -> None:
        self.stage = stage
        self.market = market
        self.now_ns = START_NS
        self.singly = singly
        self.heard: list[Heard] = []
        self.complaints: list[Effect] = []
        """Effects that a venue that behaves gives no reason for."""
        self.frames: list[bytes] = []
        """Every frame that a feed was given."""
        self.answers: list[tuple[Request, bytes]] = []
        """Every answer that a feed was given."""
        self.quiet = False
        """Whether the streams of instruments say nothing."""
        self.lines: list[Line] = []
        self.left: list[Line] = []
        """Those that carry nothing any more, and are closed."""
        self._dialect = stage.dialect(market)
        for connection in market.plan(subscriptions, INSTRUMENTS_MAX):
            self._open(connection)

    @property
    def events(self) -> list[VenueEvent]:
        """All that was told."""
        return [item.event for item in self.heard]

    def sources(self) -> Iterator[bytes]:
        """Yield all bytes that a feed was given."""
        yield from self.frames
        for _, body in self.answers:
            yield body

    def go(self, seconds: float, spoil: Spoil = lambda _name, frame: [frame]) -> None:
        """Let time pass."""
        until_ns = self.now_ns + int(seconds * NS_PER_S)
        while self.now_ns < until_ns:
            self.now_ns += STEP_NS
            for line in self.lines:
                self._speak(line, spoil)
            if self.now_ns % NS_PER_S == 0:
                for line in self.lines:
                    effects: list[Effect] = []
                    line.feed.ticked(self.now_ns, effects)
                    self._act(line, effects)

    def change(self, subscriptions: Sequence[Subscription]) -> None:
        """Let the same sockets carry these from now on; one more is opened only where there is none for its path.

        A socket that carries nothing any more is closed where its path names what it is for; elsewhere its codec has to
        leave the streams one by one, as it has to for some of them.
        """
        planned = list(self.market.plan(subscriptions, INSTRUMENTS_MAX))
        for line in tuple(self.lines):
            connection = next((each for each in planned if each.path == line.connection.path), None)
            if connection is not None:
                planned.remove(connection)
            elif self._is_one_instruments(line.connection):
                self.lines.remove(line)
                self.left.append(line)
                continue
            effects: list[Effect] = []
            line.feed.change(() if connection is None else connection.subscriptions, effects)
            self._act(line, effects)
        for connection in planned:
            self._open(connection)

    def _is_one_instruments(self, connection: Connection) -> bool:
        """Whether no other instrument would come to a socket of this path, by the market's own plan."""
        others = [
            msgspec.structs.replace(
                each,
                instrument=msgspec.structs.replace(each.instrument, venue_symbol=f"C{each.instrument.venue_symbol}"),
            )
            for each in connection.subscriptions
        ]
        return all(each.path != connection.path for each in self.market.plan(others, INSTRUMENTS_MAX))

    def ask(self, request: Request) -> None:
        """Let the first feed have the answer to a request, and the answers to what it asks for then."""
        self._act(self.lines[0], [Fetch(request)])

    def hear(self, line: Line, frames: Sequence[bytes]) -> None:
        """Give a feed some frames: as one read of its socket, or each by itself."""
        for batch in [[frame] for frame in frames] if self.singly else [list(frames)] if frames else []:
            self.frames += batch
            line.heard_ns = line.spoke_ns = self.now_ns
            events: list[VenueEvent] = []
            effects: list[Effect] = []
            line.feed.decode(batch, self.now_ns, events, effects)
            self.heard += [Heard(event, self.now_ns) for event in events]
            self._act(line, effects)

    def _open(self, connection: Connection) -> None:
        line = Line(self.stage, self.market, connection)
        self.lines.append(line)
        effects: list[Effect] = []
        line.feed.opened(self.now_ns, effects)
        self.hear(line, line.session.greeting(self.now_ns))
        self._act(line, effects)

    def _speak(self, line: Line, spoil: Spoil) -> None:
        said: list[bytes] = []
        for stream in list(line.session.streams.values()):
            if stream not in line.told:
                continue
            paced_ns = self.now_ns // stream.cadence_ns * stream.cadence_ns if stream.cadence_ns else self.now_ns
            before_ns, line.told[stream] = line.told[stream], max(paced_ns, line.told[stream])
            if paced_ns > before_ns and not (self.quiet and stream.symbol):
                frames = self._framed(line, stream, self._dialect.frames(stream, before_ns, paced_ns))
                said += [kept for frame in frames for kept in spoil(stream.name, frame)]
        self.hear(line, said)

    def _framed(self, line: Line, stream: Stream, payloads: Sequence[bytes]) -> list[bytes]:
        if not line.session.combined:
            return line.numbered(payloads)
        return [self._dialect.wrapped(stream.name, payload) for payload in payloads]

    def _act(self, line: Line, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._send(line, effect)
            elif isinstance(effect, Fetch):
                self._fetch(line, effect.request)
            else:
                self.complaints.append(effect)

    def _send(self, line: Line, send: Send) -> None:
        line.spoke_ns = self.now_ns
        if not send.heartbeat:
            line.sent_ns.append(self.now_ns)
        hidden = send.secret or KEY.secret.encode() not in send.payload
        require(hidden, self.market, "a message that shows the key is marked as secret", send.payload)
        reply = line.session.received(send.payload.decode(), self.now_ns, self.now_ns / NS_PER_S)
        hung_up = reply.close_code is not None
        require(not hung_up, self.market, "the venue does not hang up on what is sent", (send.payload, reply.payloads))
        streams = list(line.session.streams.values())
        line.told = {stream: line.told[stream] for stream in streams if stream in line.told}
        said = [] if reply.after_data else line.numbered(reply.payloads)
        for stream in streams:
            if stream in line.told or not line.session.hears(stream):
                continue
            cadence_ns = stream.cadence_ns or 1
            line.told[stream] = self.now_ns // cadence_ns * cadence_ns
            said += self._framed(line, stream, self._dialect.opening(stream, line.told[stream]))
        if reply.after_data:
            said += line.numbered(reply.payloads)
        self.hear(line, said)

    def _fetch(self, line: Line, request: Request) -> None:
        answer = self.stage.answer(self.market, request, self.now_ns)
        events: list[VenueEvent] = []
        effects: list[Effect] = []
        error = self.market.parse_error(answer.status, answer.body)
        refused = self.market.success_code is not None and error.code != self.market.success_code
        if answer.status == 200 and not refused:
            self.answers.append((request, answer.body))
            line.feed.fetched(request, answer.body, self.now_ns, events, effects)
            self.heard += [Heard(event, self.now_ns) for event in events]
        else:
            self.complaints.append(error)
            line.feed.failed(request, error.reason, self.now_ns, effects)
        self._act(line, effects)
