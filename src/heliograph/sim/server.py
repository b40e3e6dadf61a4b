"""One origin of a simulated venue on one port: REST, sockets, and the controls of the simulation itself."""

import asyncio
import contextlib
import ssl
import time
from collections import Counter, deque
from collections.abc import Coroutine, Sequence
from typing import Any, Final, Self

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from heliograph.clock import Clock
from heliograph.model.instrument import MarketId
from heliograph.model.interval import Interval
from heliograph.sim.budget import Budget
from heliograph.sim.doors import Doors
from heliograph.sim.faults import Fault, FaultKind, Faults
from heliograph.sim.ledger import Ledger
from heliograph.sim.publisher import Client, Publisher
from heliograph.venues.dialect import Ask, Dialect, Rest
from heliograph.venues.scene import Bar, Listing

TICK_S: Final = 0.05
"""Real time between two rounds of publishing: what bounds the frames a second, however fast the world goes."""


class Listener:
    """Serves one origin until it is closed; an async context manager.

    Args:
        dialect: its sockets.
        rest: its REST interface.
        clock: the time at its markets.
        ledger: what truly happens there.
        host: the address to listen on.
        port: the port, 0 for a free one.
        about: what `/sim/state` tells of the world.
        tls: what encrypted connections are served with, on a port of their own; None: there are none.

    """

    def __init__(
        self,
        dialect: Dialect[Any],
        rest: Rest,
        clock: Clock,
        ledger: Ledger,
        host: str,
        port: int,
        about: dict[str, object],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.faults = Faults()
        self.publisher = Publisher(dialect, clock, ledger, self.faults)
        self.answered: Counter[int] = Counter()
        """REST answers by HTTP status."""
        self.budget = Budget(rest)
        self.connects = 0
        self.turned_away = 0
        """How many connections were refused because their address had opened, or had open, too many."""
        self._dialect = dialect
        self._rest = rest
        self._clock = clock
        self._ledger = ledger
        self.doors = Doors(host, port, tls)
        self._about = about
        self._connected_s: deque[float] = deque()
        self._runner: web.ServerRunner | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self.failure: BaseException | None = None
        """What ended one of its own tasks, if anything did."""

    async def __aenter__(self) -> Self:
        server = web.Server(self._serve, access_log=None)
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        try:
            await self.doors.open(self._runner)
        except BaseException:
            await self._runner.cleanup()
            raise
        self._spawn(self._publish())
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in list(self.publisher.clients):
            client.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    async def fault(self, fault: Fault) -> None:
        """Let something go wrong."""
        self.faults.add(fault, time.monotonic())
        if fault.kind is FaultKind.DISCONNECT:
            for client in list(self.publisher.clients):
                if not fault.match or any(fault.match in name for name in client.session.streams):
                    client.cut()
        elif fault.kind is FaultKind.REFUSE and not self.doors.closed:
            await self.doors.close()
            self._spawn(self._listen_after(fault.duration_s))
        elif fault.kind is FaultKind.SHUTDOWN:
            self.publisher.announce()
            self._spawn(self._close_after(list(self.publisher.clients), fault.delay_s))

    def state(self) -> dict[str, object]:
        """Return what `/sim/state` tells."""
        sent: Counter[str] = Counter()
        for (market, kind), count in self._ledger.sent.items():
            if market in self._dialect.markets:
                sent[kind] += count
        return {
            **self._about,
            "markets": list(self._dialect.markets),
            "now_ns": self._clock.now_ns(),
            "symbols": [symbol for scene in self._dialect.markets.values() for symbol in scene.listings],
            "connections": len(self.publisher.clients),
            "connects": self.connects,
            "connects_refused": self.turned_away,
            "streams": self.publisher.streams,
            "answers": {str(status): count for status, count in self.answered.items()},
            "weight_used": self.budget.used.total(),
            "faults_happened": self.faults.happened,
            "frames_sent": dict(sent),
        }

    async def _listen_after(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        assert self._runner is not None  # It is made on entering, and only who has entered can be refused.
        await self.doors.open(self._runner)

    async def _close_after(self, clients: list[Client], delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await asyncio.gather(*(client.socket.close(code=1001, message=b"shutdown") for client in clients))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A simulator that went quiet by a mistake of its own would pass for a fault of the venue.
            self.failure = error
            task.get_loop().call_exception_handler({"message": "the simulator failed", "exception": error})

    async def _publish(self) -> None:
        looked_s = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            self.publisher.publish()
            now_s = time.monotonic()
            if now_s - looked_s >= 1:
                looked_s = now_s
                await self._look_after(now_s)

    async def _look_after(self, now_s: float) -> None:
        if self.faults.lasts(FaultKind.HALF_OPEN, "", now_s):
            return
        manners = self._dialect.manners
        for client in list(self.publisher.clients):
            since_s = client.unanswered_since_s
            ended = manners.life_s is not None and now_s - client.opened_s >= manners.life_s
            if ended or (since_s is not None and now_s - since_s >= manners.pong_s):
                client.cut()
            elif manners.silence_s is not None and now_s - client.active_s >= manners.silence_s:
                self._spawn(self._hang_up(client, manners.silence_code, manners.silence_reason))
                client.active_s = now_s
            elif manners.ping_s is not None and now_s - client.pinged_s >= manners.ping_s:
                client.pinged_s = now_s
                client.unanswered_since_s = now_s if since_s is None else since_s
                with contextlib.suppress(ConnectionError):
                    await client.socket.ping(str(self._clock.now_ns() // 1_000_000).encode())

    async def _hang_up(self, client: Client, code: int, reason: str) -> None:
        with contextlib.suppress(ConnectionError):
            await client.socket.close(code=code, message=reason.encode())

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/sim/"):
            return await self._control(request)
        until_s = self.faults.lasts(FaultKind.HALF_OPEN, "", time.monotonic())
        if until_s is not None:
            await asyncio.sleep(until_s - time.monotonic())
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=503)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._converse(request)
        return await self._answer(request)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        faults, path = self.faults, request.path
        if slow := faults.take(FaultKind.SLOW, path):
            await asyncio.sleep(slow.delay_s)
        ask = await _ask(request)
        answer = self.budget.refusal(ask, time.time())
        if answer is None:
            if wrong := faults.take(FaultKind.HTTP, path):
                answer = self._rest.broken(wrong.status)
                if wrong.status == 429:
                    answer = self._rest.too_much(ask, wait_s=1)
                elif wrong.status == 418:
                    answer = self._rest.banned(until_ms=int(time.time() * 1000) + 1000, wait_s=1)
            else:
                answer = self._rest.answer(ask, self._clock.now_ns())
        told = self.budget.spend(ask, answer.weight, time.time())
        self.answered[answer.status] += 1
        headers = {**told, "Content-Type": "application/json;charset=UTF-8"}
        if answer.retry_after_s is not None:
            headers["Retry-After"] = str(answer.retry_after_s)
        body = answer.body
        if faults.take(FaultKind.WRONG_JSON, path):
            body = body[: len(body) // 2]
        return web.Response(status=answer.status, body=body, headers=headers)

    async def _converse(self, request: web.BaseRequest) -> web.StreamResponse:
        now_s, manners = time.monotonic(), self._dialect.manners
        while self._connected_s and now_s - self._connected_s[0] > manners.connects_window_s:
            self._connected_s.popleft()
        crowded = manners.connections_max is not None and len(self.publisher.clients) >= manners.connections_max
        if crowded or len(self._connected_s) >= manners.connects_max:
            self.turned_away += 1
            return web.Response(status=429, text="too many connection attempts")
        self._connected_s.append(now_s)
        session = self._dialect.session(await _ask(request))
        if session is None:
            return web.Response(status=400, text="no such path, or a malformed stream name")
        ws = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=1 << 20)
        try:
            await ws.prepare(request)
        except ConnectionError:
            return web.Response(status=400)  # Whoever asked has gone, and will not hear it.
        with contextlib.suppress(ConnectionError):  # Whoever was cut, or hung up, needs no answer.
            await self._attend(Client(session, ws, request))
        return ws

    async def _attend(self, client: Client) -> None:
        self.connects += 1
        self.publisher.clients.add(client)
        self.publisher.sync(client)
        try:
            for payload in client.session.greeting(self._clock.now_ns()):
                await client.socket.send_frame(payload, WSMsgType.TEXT)
            await self._listen_to(client)
        finally:
            self.publisher.remove(client)

    async def _listen_to(self, client: Client) -> None:
        rate = self._dialect.manners.messages_per_s
        heard_s: deque[float] = deque(maxlen=None if rate is None else rate + 1)
        async for message in client.socket:
            now_s = client.active_s = time.monotonic()
            if rate is not None:
                heard_s.append(now_s)
                if len(heard_s) > rate and now_s - heard_s[0] < 1:
                    await client.socket.close(code=1008, message=b"Too many requests")
                    return
            if self.faults.lasts(FaultKind.HALF_OPEN, "", now_s):
                continue
            if message.type is WSMsgType.PING:
                await client.socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                client.unanswered_since_s = None
            elif message.type is WSMsgType.TEXT:
                reply = client.session.received(message.data, self._clock.now_ns(), now_s)
                self.publisher.sync(client)
                if reply.after_data:
                    client.flush()
                for payload in reply.payloads:
                    await client.socket.send_frame(client.numbered(payload), WSMsgType.TEXT)
                if reply.close_code == WSCloseCode.ABNORMAL_CLOSURE:
                    client.cut()
                elif reply.close_code is not None:
                    await client.socket.close(code=reply.close_code, message=b"Invalid request")
                if reply.close_code is not None:
                    return

    async def _control(self, request: web.BaseRequest) -> web.Response:
        """Answer the simulation's own requests, which cost no weight and never fail on purpose."""
        if request.path == "/sim/state":
            return _json(self.state())
        try:
            if request.path == "/sim/fault" and request.method == "POST":
                fault = msgspec.json.decode(await request.read(), type=Fault)
                await self.fault(fault)
                return _json({"accepted": fault})
            if request.path == "/sim/ledger":
                return _json(self._told(request))
        except (msgspec.DecodeError, ValueError, KeyError) as e:
            return _json({"error": f"{type(e).__name__}: {e}"}, status=400)
        return _json({"error": "no such control; accepted: /sim/state, /sim/ledger, POST /sim/fault"}, status=404)

    def _told(self, request: web.BaseRequest) -> dict[str, object]:
        query = request.query
        symbol = query["symbol"]
        market = MarketId(query.get("market", self._dialect.market_of(symbol)))
        listing = self._dialect.markets[market].listings[symbol]
        from_ns = int(query.get("from_ns", listing.listed_ns))
        to_ns = int(query["to_ns"]) if "to_ns" in query else None
        kind = query.get("kind", "candles")
        items: Sequence[object]
        if kind == "candles":
            interval = Interval(query.get("interval", "1m"))
            bars = self._ledger.candles(market, symbol, interval, from_ns, to_ns)
            items = [_candle(bar, listing) for bar in bars]
        elif kind == "trades":
            items = self._ledger.trades(market, symbol, from_ns, to_ns)
        elif kind == "fills":
            items = self._ledger.fills(market, symbol, from_ns, to_ns)
        else:
            raise ValueError(f"no ledger of {kind!r}; accepted: candles, trades, fills")
        return {"now_ns": self._clock.now_ns(), "market": market, "symbol": symbol, kind: items}


def _candle(bar: Bar, listing: Listing) -> dict[str, object]:
    base, quote, contracts = listing.volumes(bar)
    return {
        "open_ns": bar.open_ns,
        "close_ns": bar.end_ns,
        "open": f"{bar.open:f}",
        "high": f"{bar.high:f}",
        "low": f"{bar.low:f}",
        "close": f"{bar.close:f}",
        "base_volume": f"{base:f}",
        "quote_volume": f"{quote:f}",
        "contracts": None if contracts is None else f"{contracts:f}",
        "trade_count": bar.fills,
    }


async def _ask(request: web.BaseRequest) -> Ask:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Ask(request.path, request.query, request.method, headers, await request.read())


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")
