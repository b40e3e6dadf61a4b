"""REST requests of a feed: what codecs want, and the pages that fill holes, on the same path as the sockets' frames."""

import asyncio
from collections.abc import Callable

import structlog

from heliograph.connect import rest
from heliograph.errors import VenueRejected, VenueUnreachable
from heliograph.marketdata.intake import Intake
from heliograph.marketdata.session import Session
from heliograph.venues.contract import BookPage, CandlePage, Market, Purpose, Request, TradePage, VenueError

log = structlog.get_logger()


class Requests:
    """The requests of one market under way, a bounded number at once.

    Args:
        market: whom to ask.
        client: makes the attempts, and waits for its budget of weight.
        intake: where what the answers tell goes.
        concurrency_max: requests under way at once.
        rejected: is told what was asked and the venue's no to it.
        tasks: where each request's task lives. Requests are few: one at most for each stream with a hole, and one for
            each book without a snapshot.

    """

    def __init__(
        self,
        market: Market,
        client: rest.Client,
        intake: Intake,
        concurrency_max: int,
        rejected: Callable[[Purpose, VenueError], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._market = market
        self._client = client
        self._intake = intake
        self._turns = asyncio.Semaphore(concurrency_max)
        self._rejected = rejected
        self._tasks = tasks

    def start(self, request: Request, session: Session) -> None:
        """Make a request that a session's codec wants."""
        self._tasks.create_task(self._complete(request, session))

    def ask(self, page: CandlePage | TradePage, session: Session) -> None:
        """Ask for a page that fills a hole; a session's codec reads the answer."""
        if isinstance(page, CandlePage):
            request = self._market.candle_request(page)
        else:
            assert self._market.trade_request is not None, "holes in trades are only asked for where that is possible"
            request = self._market.trade_request(page)
        self.start(request, session)

    async def _complete(self, first: Request, session: Session) -> None:
        """Make a request, and those for the pages that follow it."""
        request: Request | None = first
        while request is not None:
            try:
                async with self._turns:
                    body = await self._client.fetch(self._market, request)
                    await self._intake.lanes.room.wait()
            except (VenueRejected, VenueUnreachable) as e:
                self._fail(first, request, session, str(e), unreachable=isinstance(e, VenueUnreachable))
                if isinstance(e, VenueRejected):
                    self._rejected(first.purpose, VenueError(e.code, e.reason))
                return
            if isinstance(request.purpose, BookPage) and not session.open:
                return
            try:
                answer = session.fetched(request, body)
            except Exception:  # The supervisor's border: a fault of ours in one answer costs that answer, not the feed.
                log.exception("answer not taken", venue=self._market.venue, path=request.path)
                self._fail(first, request, session, "a fault of ours")
                return
            if answer.refusal is not None:
                self._intake.failed(first.purpose, answer.refusal)
                return
            request = answer.following
        self._intake.finished(first.purpose)

    def _fail(
        self, first: Request, request: Request, session: Session, reason: str, *, unreachable: bool = False
    ) -> None:
        log.warning("request failed", venue=self._market.venue, path=request.path, reason=reason)
        session.failed(request, reason)
        self._intake.failed(first.purpose, reason, unreachable=unreachable)
