"""Spreading subscriptions over sockets, and streams over messages."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from heliograph.venues.contract import Subscription

Stream = TypeVar("Stream", bound=Hashable)


class _Socket:
    """One socket as it fills."""

    def __init__(self) -> None:
        self.carried: list[Subscription] = []
        self.streams: set[object] = set()
        self.size = 0
        self.members = 0


def spread(
    subscriptions: Sequence[Subscription],
    instruments_max: int,
    streams_of: Callable[[Subscription], Sequence[Stream]],
    *,
    streams_max: int,
    size_of: Callable[[Stream], int] | None = None,
    size_max: int = 0,
) -> list[tuple[Subscription, ...]]:
    """Return what each socket carries.

    All subscriptions of an instrument share a socket, unless they alone are more than it may carry; a stream that two
    of them need counts once.

    Args:
        subscriptions: what is wanted; a repetition counts once.
        instruments_max: instruments of one socket, at least one.
        streams_of: the streams that carry a subscription; one without any is left out.
        streams_max: streams of one socket.
        size_of: what a stream takes of `size_max`, where sockets are bounded by that as well.
        size_max: the sum of these, of one socket.

    """

    def added(socket: _Socket, streams: Iterable[Stream]) -> tuple[set[Stream], int]:
        fresh = {stream for stream in streams if stream not in socket.streams}
        return fresh, 0 if size_of is None else sum(size_of(stream) for stream in fresh)

    def fits(socket: _Socket, streams: Iterable[Stream]) -> bool:
        fresh, size = added(socket, streams)
        return len(socket.streams) + len(fresh) <= streams_max and (size_of is None or socket.size + size <= size_max)

    wanted: dict[str, dict[Subscription, Sequence[Stream]]] = {}
    for subscription in subscriptions:
        streams = streams_of(subscription)
        if streams:
            wanted.setdefault(subscription.instrument.id, {})[subscription] = streams
    sockets = [_Socket()]
    for group in wanted.values():
        socket = sockets[-1]
        together = [stream for streams in group.values() for stream in streams]
        if socket.carried and (socket.members == instruments_max or not fits(socket, together)):
            socket = _Socket()
            sockets.append(socket)
        socket.members += 1
        for subscription, streams in group.items():
            if socket.carried and not fits(socket, streams):
                socket = _Socket()
                sockets.append(socket)
                socket.members = 1
            fresh, size = added(socket, streams)
            socket.carried.append(subscription)
            socket.streams |= fresh
            socket.size += size
    return [tuple(socket.carried) for socket in sockets if socket.carried]


def chunks(
    streams: Iterable[Stream],
    *,
    count_max: int | None = None,
    size_of: Callable[[Stream], int] | None = None,
    size_max: int = 0,
) -> list[tuple[Stream, ...]]:
    """Spread streams over messages, in their order.

    Args:
        streams: what to name.
        count_max: streams of one message; None where only their size is bounded.
        size_of: what a stream takes of `size_max`; None where only their number is bounded.
        size_max: the sum of these, of one message; a stream that alone takes more has a message of its own.

    """
    made: list[list[Stream]] = []
    size = 0
    for stream in streams:
        length = 0 if size_of is None else size_of(stream)
        size += length
        if not made or len(made[-1]) == count_max or (size_of is not None and size > size_max):
            made.append([])
            size = length
        made[-1].append(stream)
    return [tuple(chunk) for chunk in made]
