"""Those who read the seeds' streams on the exchange's replica, and what they are shown: after the fact, never first.

A decision is on its way to the custodian before anybody else hears of it. What is shown may come twice, or, where the
replica is away for long, not at all: the link is the truth.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import structlog

from heliograph.bus.asker import Asker
from heliograph.bus.link import pause_s
from heliograph.errors import BusError
from heliograph.settlement.faces import Face
from heliograph.settlement.link.exchange import Row

FACE_LENGTH: Final = 10_000
"""Entries that a face keeps, roughly."""
WAITING_MAX: Final = 10_000
"""What waits to be shown; of more, the oldest goes."""
SHOWN_MAX: Final = 256
"""How many of these are shown at once."""

_log = structlog.get_logger(__name__)


class Onlookers:
    """What is shown; `run` it in a task group.

    Args:
        asker: to the replica, as the user that may append.
        link: which custodian and exchange.
        faces_of: makes the faces of decisions.

    """

    def __init__(self, asker: Asker, link: str, faces_of: Callable[[Sequence[Row]], Awaitable[list[Face]]]) -> None:
        self._asker = asker
        self._link = link
        self._faces_of = faces_of
        self._waiting: deque[Row | Face] = deque(maxlen=WAITING_MAX)
        self._some = asyncio.Event()

    def decided(self, rows: Iterable[Row]) -> None:
        """Show what was decided, in its turn."""
        self._waiting.extend(rows)
        self._some.set()

    def show(self, faces: Iterable[Face]) -> None:
        """Show something else, in its turn."""
        self._waiting.extend(faces)
        self._some.set()

    async def run(self) -> None:
        """Show what waits, for ever."""
        attempt = 0
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                items = [self._waiting.popleft() for _ in range(min(len(self._waiting), SHOWN_MAX))]
                shown = [item for item in items if isinstance(item, Face)]
                shown += await self._faces_of([item for item in items if isinstance(item, Row)])
                try:
                    await self._append(shown)
                    attempt = 0
                except BusError as e:
                    attempt += 1
                    _log.info("not shown", link=self._link, error=str(e), lost=len(shown))
                    await asyncio.sleep(pause_s(attempt, 2.0))

    async def _append(self, shown: Sequence[Face]) -> None:
        for reply in await self._asker.ask_all([_command(face) for face in shown]):
            if isinstance(reply, BusError):
                raise reply


def _command(face: Face) -> list[str | int]:
    fields = [part for item in face.fields.items() for part in item]
    return ["XADD", face.stream, "MAXLEN", "~", FACE_LENGTH, "*", *fields]
