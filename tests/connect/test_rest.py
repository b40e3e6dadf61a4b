"""Requests against real HTTP servers, one per test."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from heliograph.connect.limits import loop_clock_ns
from heliograph.connect.rest import Client, Settings
from heliograph.errors import VenueRejected, VenueUnreachable
from heliograph.model.instrument import SPOT, VenueId
from heliograph.venues.contract import InstrumentPage, Limits, Market, Request, VenueError

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def market(port: int, weight_max: int = 6000) -> Market:
    """A market of which REST may use what is named here, and nothing else."""

    def unused(*_: object) -> object:
        raise AssertionError("not REST's to call")

    used = {
        "venue": VenueId("venue"),
        "market": SPOT,
        "rest_url": f"http://127.0.0.1:{port}",
        "limits": Limits(
            streams_per_connection_max=1024,
            connects_max=300,
            connects_window_s=300.0,
            messages_per_s_max=5.0,
            connection_life_s=86400.0,
            silence_s_max=60.0,
            weight_max=weight_max,
            weight_window_s=60.0,
            weight_header="X-Weight",
        ),
        "parse_error": lambda status, body: VenueError(code=str(status), reason=body.decode()),
    }
    return Market(**dict.fromkeys(Market.__struct_fields__, unused) | used)


def request(weight: int = 1, query: tuple[tuple[str, str], ...] = ()) -> Request:
    return Request(path="/api", query=query, weight=weight, purpose=InstrumentPage(SPOT))


def client(**settings: float) -> Client:
    return Client(Settings(**settings), random.Random(1))


class Desk:
    """What a server was asked, and how many at once."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.peers: set[object] = set()
        self.under_way = 0
        self.under_way_max = 0

    async def __call__(self, asked: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(asked.path_qs)
        self.peers.add(asked.transport and asked.transport.get_extra_info("peername"))
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)
        try:
            return await self.answer(asked)
        finally:
            self.under_way -= 1


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[Market, Desk]]:
    desk = Desk(answer)
    runner = web.ServerRunner(web.Server(desk), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield market(runner.addresses[0][1]), desk
    finally:
        await runner.cleanup()


def answers(*statuses: int, headers: dict[str, str] | None = None, body: bytes = b"body") -> Answer:
    """Answer with these statuses in turn, the last one for ever."""
    left = list(statuses)

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        status = left.pop(0) if len(left) > 1 else left[0]
        return web.Response(status=status, body=body, headers=headers)

    return answer


async def test_a_request_carries_its_query_and_brings_the_body() -> None:
    async with serving(answers(200)) as (venue, desk), client() as rest:
        assert await rest.get(venue, request(query=(("symbol", "BTCUSDT"), ("symbols", '["A B"]')))) == b"body"
    assert desk.asked == ["/api?symbol=BTCUSDT&symbols=%5B%22A+B%22%5D"]


async def test_a_request_with_a_body_is_a_post_of_json() -> None:
    async def echo(asked: web.BaseRequest) -> web.StreamResponse:
        heard = (asked.method, asked.headers.get("Content-Type"), (await asked.read()).decode())
        return web.json_response(heard)

    asks = b'{"type":"meta"}'
    async with serving(echo) as (venue, desk), client() as rest:
        posted = await rest.fetch(venue, Request("/info", (), 20, InstrumentPage(SPOT), asks))
        got = await rest.fetch(venue, request())
    assert json.loads(posted) == ["POST", "application/json", asks.decode()]
    assert json.loads(got) == ["GET", None, ""]
    assert desk.asked == ["/info", "/api"]


async def test_connections_are_reused_and_no_more_than_the_pool_holds_are_made() -> None:
    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0.01)
        return web.Response(body=b"x")

    async with serving(slow) as (venue, desk), client(connections_per_host_max=4) as rest:
        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(rest.get(venue, request()))
        assert len(desk.asked) == 40
        assert desk.under_way_max == 4
        assert len(desk.peers) == 4


async def test_all_hosts_together_get_no_more_connections_than_the_pool_holds() -> None:
    under_way: list[int] = [0]

    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        under_way.append(under_way[-1] + 1)
        await asyncio.sleep(0.01)
        under_way.append(under_way[-1] - 1)
        return web.Response(body=b"x")

    async with (
        serving(slow) as (venue, desk),
        serving(slow) as (other, other_desk),
        client(connections_per_host_max=4, connections_max=5) as rest,
    ):
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(rest.get(venue, request()))
                group.create_task(rest.get(other, request()))
        assert (len(desk.asked), len(other_desk.asked)) == (20, 20)
    assert max(under_way) == 5


async def test_waiting_for_a_turn_does_not_count_against_the_request() -> None:
    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return web.Response(body=b"x")

    async with serving(slow) as (venue, _), client(connections_per_host_max=1, timeout_s=0.3) as rest:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(rest.get(venue, request())) for _ in range(5)]
        assert [task.result() for task in tasks] == [b"x"] * 5


@pytest.mark.parametrize("status", [400, 403, 404, 409])
async def test_a_clear_no_is_rejected_with_the_venues_own_code_and_not_asked_twice(status: int) -> None:
    async with serving(answers(status, body=b"Invalid symbol.")) as (venue, desk), client() as rest:
        with pytest.raises(VenueRejected) as caught:
            await rest.fetch(venue, request())
    assert (caught.value.code, caught.value.reason) == (str(status), "Invalid symbol.")
    assert len(desk.asked) == 1


@pytest.mark.parametrize("status", [301, 500, 502, 503])
async def test_an_answer_that_is_none_is_asked_for_again_and_then_reported(status: int) -> None:
    async with serving(answers(status)) as (venue, desk), client(attempts_max=2) as rest:
        with pytest.raises(VenueUnreachable) as caught:
            await rest.fetch(venue, request())
    assert caught.value.kind == "http_status"
    assert len(desk.asked) == 2


async def test_a_venue_that_comes_back_is_read() -> None:
    async with serving(answers(500, 200)) as (venue, desk), client() as rest:
        assert await rest.fetch(venue, request()) == b"body"
    assert len(desk.asked) == 2


@pytest.mark.parametrize("status", [418, 429])
async def test_a_limit_holds_all_requests_of_the_market_for_as_long_as_was_asked(status: int) -> None:
    async with serving(answers(status, 200, headers={"Retry-After": "1"})) as (venue, desk), client() as rest:
        with pytest.raises(VenueUnreachable) as caught:
            await rest.get(venue, request())
        assert caught.value.retry_after_s == 1.0
        held_ns = loop_clock_ns()
        assert await rest.get(venue, request()) == b"body"
        assert loop_clock_ns() - held_ns > 900_000_000
    assert len(desk.asked) == 2


async def test_a_market_that_asked_for_silence_holds_no_other_markets_turns() -> None:
    async def limited(_: web.BaseRequest) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "30"})

    async def open_(_: web.BaseRequest) -> web.Response:
        return web.Response(body=b"here")

    async with serving(limited) as (silent, _), serving(open_) as (other, _), client(connections_max=1) as rest:
        other = msgspec.structs.replace(other, venue=VenueId("other"))
        with pytest.raises(VenueUnreachable):
            await rest.get(silent, request())
        waiting = asyncio.create_task(rest.get(silent, request()))
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            assert await rest.get(other, request()) == b"here"
        assert not waiting.done()
        waiting.cancel()


async def test_a_request_to_stay_away_for_long_is_reported_instead_of_waited_for() -> None:
    async with serving(answers(429, headers={"Retry-After": "3600"})) as (venue, desk), client() as rest:
        with pytest.raises(VenueUnreachable) as caught:
            await rest.fetch(venue, request())
    assert caught.value.retry_after_s == 3600.0
    assert len(desk.asked) == 1


async def test_the_venues_own_count_of_weight_is_believed() -> None:
    async with serving(answers(200, headers={"X-Weight": "5990"})) as (venue, _), client() as rest:
        await rest.get(venue, request(weight=10))
        assert rest.weight(venue).used(loop_clock_ns()) == 5990
        assert rest.weight(venue).delay_ns(loop_clock_ns(), 10) == 0
        assert rest.weight(venue).delay_ns(loop_clock_ns(), 11) > 0


@pytest.mark.parametrize("weight", ["", "many", "-1", "1e9"])
async def test_a_count_that_is_no_number_is_ignored(weight: str) -> None:
    async with serving(answers(200, headers={"X-Weight": weight})) as (venue, _), client() as rest:
        await rest.get(venue, request(weight=10))
        assert rest.weight(venue).used(loop_clock_ns()) == 10


async def test_an_answer_beyond_the_bound_is_not_read_to_its_end() -> None:
    async def endless(asked: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(asked)
        try:
            while True:
                await answer.write(b"x" * 10_000)
        except ConnectionError:
            return answer

    async with serving(endless) as (venue, _), client(body_bytes_max=100_000) as rest:
        with pytest.raises(VenueUnreachable, match="more than 100000 bytes") as caught:
            await rest.get(venue, request())
    assert caught.value.kind == "protocol"


async def test_a_server_that_never_answers_times_out() -> None:
    async def never(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(never) as (venue, _), client(timeout_s=0.1) as rest:
        with pytest.raises(VenueUnreachable) as caught:
            await rest.get(venue, request())
    assert caught.value.kind == "timeout"


@pytest.mark.parametrize(
    ("speech", "kind"),
    [(b"", "protocol"), (b"what?\r\n\r\n", "protocol"), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "protocol")],
)
async def test_a_peer_that_does_not_speak_http_is_unreachable(speech: bytes, kind: str) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(speech)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server, client() as rest:
        with pytest.raises(VenueUnreachable) as caught:
            await rest.get(market(server.sockets[0].getsockname()[1]), request())
    assert caught.value.kind == kind


async def test_nobody_listening_is_refused() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with client() as rest:
        with pytest.raises(VenueUnreachable) as caught:
            await rest.get(market(port), request())
    assert caught.value.kind == "refused"


async def test_a_client_is_used_inside_its_context_and_may_be_opened_again() -> None:
    async with serving(answers(200)) as (venue, _):
        rest = client()
        with pytest.raises(RuntimeError, match="async with"):
            await rest.get(venue, request())
        for _ in range(2):
            async with rest:
                assert await rest.get(venue, request()) == b"body"
        with pytest.raises(RuntimeError, match="async with"):
            await rest.get(venue, request())
