"""When to say something on a socket, lest the venue cut it."""


class Heartbeat:
    """A rhythm of pings: one as soon as so much time has passed since `since_ns`.

    A venue that wants pings whatever else is said needs no more than `due`. One that wants them only of a socket that
    is silent has `since_ns` set to the time of each read.

    Args:
        every_ns: how much time. A second less than the venue's own bound, since time passes for us in steps of one.

    """

    def __init__(self, every_ns: int) -> None:
        self.since_ns: int | None = None
        """The last ping, or sign of life; None before the socket is open, when nothing is due."""
        self._every_ns = every_ns

    def due(self, now_ns: int) -> bool:
        """Tell whether to ping, and take it that it is being done."""
        # A clock that was set back must not silence us until it is where it was.
        if self.since_ns is None or 0 <= now_ns - self.since_ns < self._every_ns:
            return False
        self.since_ns = now_ns
        return True
