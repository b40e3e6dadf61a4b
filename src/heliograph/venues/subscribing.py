"""What one socket is to carry, what the venue was told of it, and what it has answered.

A stream is named by whatever the venue names it by: a text, or a tuple of texts. Messages leave in their order, so many
from one tick of the clock to the next; each has a number, which those venues repeat that number their answers, while
others repeat the stream.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from heliograph.clock import NS_PER_S
from heliograph.venues.contract import Effect, Reconnect, Send, Subscription

ACKNOWLEDGED_NS_MAX: Final = 15 * NS_PER_S
"""How long a message may stay unanswered."""
UNACKNOWLEDGED: Final = "a subscription was not acknowledged"
SENT_MAX: Final = 4096
"""Messages without an answer that are remembered."""
_HOUR_NS: Final = 3600 * NS_PER_S

Stream = TypeVar("Stream", bound=Hashable)
Carried = dict[Stream, tuple[Subscription, ...]]


class Message(NamedTuple, Generic[Stream]):
    """A control message: what it asks for, or gives up."""

    number: int
    subscribes: bool
    streams: tuple[Stream, ...]


class _Sent(NamedTuple, Generic[Stream]):
    message: Message[Stream]
    left_ns: int
    unanswered: set[Stream]


def carried_by(
    subscriptions: Iterable[Subscription], streams_of: Callable[[Subscription], Sequence[Stream]]
) -> Carried[Stream]:
    """Return the streams that carry these subscriptions, and what each is for."""
    carried: Carried[Stream] = {}
    for subscription in dict.fromkeys(subscriptions):
        for stream in streams_of(subscription):
            carried[stream] = (*carried.get(stream, ()), subscription)
    return carried


class Subscriber(Generic[Stream]):
    """The control messages of one socket.

    Args:
        chunk: spreads streams over messages.
        encode: makes a message's text, at a time in nanoseconds.
        per_tick_max: messages that may leave from one tick to the next.
        per_hour_max: messages that may leave in an hour, where the venue bounds that.

    """

    def __init__(
        self,
        chunk: Callable[[Sequence[Stream]], Iterable[tuple[Stream, ...]]],
        encode: Callable[[Message[Stream], int], bytes],
        *,
        per_tick_max: int,
        per_hour_max: int | None = None,
    ) -> None:
        self.carried: Carried[Stream] = {}
        """The streams that are wanted, and what each is for."""
        self._chunk = chunk
        self._encode = encode
        self._per_tick_max = self._may_leave = per_tick_max
        self._per_hour_max = per_hour_max
        self._opened = False
        self._now_ns = 0
        self._next_number = 1
        self._outbox: deque[tuple[bool, tuple[Stream, ...]]] = deque()
        self._sent: dict[int, _Sent[Stream]] = {}
        self._left: deque[int] = deque()  # when the messages of the last hour left

    @property
    def busy(self) -> bool:
        """Whether there is something left to say."""
        return bool(self._outbox)

    def carry(self, carried: Carried[Stream], effects: list[Effect]) -> None:
        """Carry exactly these streams from now on; before the socket is open, that is only noted."""
        before, self.carried = self.carried, carried
        if self._opened:
            for sent in self._sent.values():  # What nobody wants any more need not be acknowledged.
                if sent.message.subscribes:
                    sent.unanswered.intersection_update(carried)
            self._say([stream for stream in before if stream not in carried], subscribes=False)
            self._say([stream for stream in carried if stream not in before], subscribes=True)
            self._drain(effects)

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        """Subscribe; over a few seconds where that takes many messages."""
        self._opened = True
        self._now_ns = now_ns
        self._say(list(self.carried), subscribes=True)
        self._drain(effects)

    def renew(self, streams: Iterable[Stream], effects: list[Effect]) -> None:
        """Give streams up and subscribe to them again, which brings a new snapshot."""
        wanted = [stream for stream in streams if stream in self.carried]
        self._say(wanted, subscribes=False)
        self._say(wanted, subscribes=True)
        self._drain(effects)

    def ask(self, streams: Iterable[Stream], effects: list[Effect]) -> None:
        """Subscribe to streams once more, in a message of their own; what is not wanted any more is left out."""
        self._say([stream for stream in streams if stream in self.carried], subscribes=True)
        self._drain(effects)

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Say what is still to be said, and give up a socket on which a subscription was not acknowledged."""
        self.tick(now_ns, effects)
        if self.late():
            effects.append(Reconnect(UNACKNOWLEDGED))

    def tick(self, now_ns: int, effects: list[Effect]) -> None:
        """Say what is still to be said."""
        self._now_ns = now_ns
        self._may_leave = self._per_tick_max
        self._drain(effects)

    def late(self) -> tuple[Stream, ...]:
        """Return the streams whose subscription was not acknowledged in time, once."""
        late: dict[Stream, None] = {}
        for number, sent in list(self._sent.items()):
            if sent.message.subscribes and self._now_ns - sent.left_ns >= ACKNOWLEDGED_NS_MAX:
                late.update(dict.fromkeys(s for s in sent.message.streams if s in sent.unanswered))
                del self._sent[number]
        return tuple(late)

    def asked(self, number: int | None) -> Message[Stream] | None:
        """Return the message of this number, if it is not answered yet."""
        sent = None if number is None else self._sent.get(number)
        return None if sent is None else sent.message

    def answered(self, number: object) -> Message[Stream] | None:
        """Take a venue's answer to a message, by the number that it repeats; None if none was waiting for it."""
        sent = self._sent.pop(number, None) if isinstance(number, int) else None
        return None if sent is None else sent.message

    def confirmed(self, stream: Stream, *, subscribes: bool = True) -> bool:
        """Take a venue's answer to a message, by the stream that it repeats; False if none was waiting for it."""
        for number, sent in self._sent.items():  # Answers come in the order of messages, so this does not go far.
            if sent.message.subscribes is subscribes and stream in sent.unanswered:
                sent.unanswered.discard(stream)
                if not sent.unanswered:
                    del self._sent[number]
                return True
        return False

    def unanswered(self) -> tuple[Stream, ...]:
        """Return the streams that were subscribed to and not acknowledged, in that order."""
        sent = (sent for sent in self._sent.values() if sent.message.subscribes)
        return tuple(stream for one in sent for stream in one.message.streams if stream in one.unanswered)

    def carriers(self, streams: Iterable[Stream]) -> tuple[Subscription, ...]:
        """Return what these streams are for; nothing of those that nobody wants any more."""
        return tuple(dict.fromkeys(s for stream in streams for s in self.carried.get(stream, ())))

    def give_up(self, streams: Iterable[Stream]) -> None:
        """Take it that the venue will not serve these: they are not wanted any more, and not to be left either."""
        for stream in streams:
            self.carried.pop(stream, None)

    def _say(self, streams: Sequence[Stream], *, subscribes: bool) -> None:
        self._outbox.extend((subscribes, chunk) for chunk in self._chunk(streams))

    def _drain(self, effects: list[Effect]) -> None:
        for _ in range(min(len(self._outbox), self._may_leave, self._left_of_hour())):
            self._may_leave -= 1
            subscribes, streams = self._outbox.popleft()
            message = Message(self._next_number, subscribes, streams)
            self._next_number += 1
            if len(self._sent) >= SENT_MAX:
                del self._sent[next(iter(self._sent))]
            wanted = {s for s in streams if s in self.carried} if subscribes else set(streams)
            self._sent[message.number] = _Sent(message, self._now_ns, wanted)
            if self._per_hour_max is not None:
                self._left.append(self._now_ns)
            effects.append(Send(self._encode(message, self._now_ns)))

    def _left_of_hour(self) -> int:
        if self._per_hour_max is None:
            return len(self._outbox)
        while self._left and not self._now_ns - _HOUR_NS < self._left[0] <= self._now_ns:
            self._left.popleft()
        return self._per_hour_max - len(self._left)


def find_number(text: str | None) -> int | None:
    """Read a message's number that a venue repeats as text; None of what is none."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else None
