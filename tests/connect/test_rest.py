"""Requests against real HTTP servers, one per test."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from heliograph.clock import NS_PER_MS, ManualClock
from heliograph.connect.limits import loop_clock_ns
from heliograph.connect.rest import Client, Settings
from heliograph.errors import VenueRejected, VenueUnreachable
from heliograph.model.instrument import SPOT, MarketId, VenueId
from heliograph.venues.contract import (
    BudgetHeaders,
    InstrumentPage,
    Limits,
    Market,
    Rate,
    Refusal,
    Request,
    VenueError,
)

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
        "headers": {},
        "success_code": None,
        "next_instruments": None,
    }
    return Market(**dict.fromkeys(Market.__struct_fields__, unused) | used)


def limited(venue: Market, market: str = "spot", **limits: object) -> Market:
    """The same with other limits, and perhaps another name."""
    changed = msgspec.structs.replace(venue.limits, **limits)
    return msgspec.structs.replace(venue, market=MarketId(market), limits=changed)


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


@pytest.mark.parametrize("weight", [1, 7])
async def test_an_endpoint_with_a_budget_of_its_own_does_not_spend_the_pools(weight: int) -> None:
    """By count, as OKX has it, and shared by the markets of a venue, which ask the same path."""
    async with serving(answers(200)) as (venue, desk), client() as rest:
        own = limited(venue, endpoints={"/api": Rate(2, 0.2)})
        other = msgspec.structs.replace(own, market=MarketId("other"))
        started_ns = loop_clock_ns()
        for asked in (own, other, own):
            await rest.get(asked, request(weight))
        assert loop_clock_ns() - started_ns >= 200_000_000, "the third waited for the first to be a window old"
        assert rest.weight(own).used(loop_clock_ns()) == 0
        await rest.get(own, Request("/elsewhere", (), weight, InstrumentPage(SPOT)))
        assert rest.weight(own).used(loop_clock_ns()) == weight
    assert len(desk.asked) == 4


async def test_markets_of_one_pool_share_its_weight_and_others_have_their_own() -> None:
    async with serving(answers(200)) as (venue, _), client() as rest:
        usdm, coinm = (limited(venue, name, weight_pool="futures") for name in ("usdm", "coinm"))
        await rest.get(usdm, request(30))
        await rest.get(coinm, request(12))
        assert rest.weight(usdm) is rest.weight(coinm)
        assert rest.weight(usdm).used(loop_clock_ns()) == 42
        assert rest.weight(venue).used(loop_clock_ns()) == 0


async def test_every_request_carries_the_markets_headers() -> None:
    async def echo(asked: web.BaseRequest) -> web.StreamResponse:
        return web.json_response([asked.headers.get("X-Size"), asked.headers.get("Content-Type")])

    async with serving(echo) as (venue, _), client() as rest:
        venue = msgspec.structs.replace(venue, headers={"X-Size": "1"})
        assert json.loads(await rest.get(venue, request())) == ["1", None]
        posted = Request("/info", (), 1, InstrumentPage(SPOT), b"{}")
        assert json.loads(await rest.get(venue, posted)) == ["1", "application/json"]


async def test_a_limit_is_waited_out_however_often_it_is_met_and_counted() -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=statuses.pop(0), body=b"body")

    statuses = [429, 429, 429, 429, 500, 429, 200]
    async with serving(answer) as (venue, desk), client(attempts_max=2) as rest:
        venue = limited(venue, weight_window_s=0.02)
        assert await rest.fetch(venue, request()) == b"body"
        assert len(desk.asked) == 7
        assert rest.pools.limited == {("venue", "spot"): 5}


async def test_a_limit_is_waited_out_within_a_bound() -> None:
    async with serving(answers(429)) as (venue, desk), client(retry_after_s_max=0.35) as rest:
        with pytest.raises(VenueUnreachable) as caught:
            await rest.fetch(limited(venue, weight_window_s=0.1), request())
    assert (caught.value.kind, caught.value.status) == ("limited", 429)
    assert len(desk.asked) == 3, "waits of 0.1 s and 0.2 s fit, one of 0.4 s does not"


async def test_a_ban_longer_than_our_patience_is_told_without_asking_again() -> None:
    """M13: Bybit's lasts ten minutes, and its status is 403, which elsewhere means something else."""
    ban = Refusal(status=403, words="access too frequent", wait_s=600)
    async with serving(answers(403, body=b"Access too frequent.")) as (venue, desk), client() as rest:
        venue = limited(venue, refusals=(ban,))
        for _ in range(3):
            with pytest.raises(VenueUnreachable) as caught:
                await rest.fetch(venue, request())
            assert caught.value.kind == "limited"
            assert 590 < (caught.value.retry_after_s or 0) <= 600
    assert len(desk.asked) == 1


async def test_a_status_that_is_a_refusal_only_with_its_words_is_else_a_clear_no() -> None:
    ban = Refusal(status=403, words="access too frequent", wait_s=600)
    async with serving(answers(403, body=b"your country")) as (venue, _), client() as rest:
        with pytest.raises(VenueRejected):
            await rest.fetch(limited(venue, refusals=(ban,)), request())


async def test_t20_a_refusal_with_status_200_is_a_no_a_wait_or_another_attempt() -> None:
    """Bybit's and OKX's way: the code in the body says which."""
    codes = ["busy", "slow", "no"]

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=codes.pop(0).encode())

    async with serving(answer) as (venue, desk), client() as rest:
        venue = limited(venue, refusals=(Refusal(code="slow", wait_s=0.05),), passing_codes=frozenset({"busy"}))
        venue = msgspec.structs.replace(
            venue,
            success_code="fine",
            parse_error=lambda _, body: VenueError(body.decode(), "words"),
        )
        with pytest.raises(VenueRejected) as caught:
            await rest.fetch(venue, request())
        assert caught.value.code == "no"
        assert len(desk.asked) == 3
        assert rest.pools.limited.total() == 1
        codes.append("fine")
        assert await rest.fetch(venue, request()) == b"fine"


async def test_what_the_venue_says_is_left_is_believed_where_it_counts_what_we_count() -> None:
    told = {"X-Left": "3", "X-Limit": "6000"}
    names = BudgetHeaders(left="X-Left", limit="X-Limit")
    async with serving(answers(200, headers=told)) as (venue, _), client() as rest:
        venue = limited(venue, headers=names)
        await rest.get(venue, request(10))
        assert rest.weight(venue).used(loop_clock_ns()) == 5997
    async with serving(answers(200, headers=told | {"X-Limit": "10"})) as (venue, _), client() as rest:
        venue = limited(venue, headers=names)
        await rest.get(venue, request(10))
        assert rest.weight(venue).used(loop_clock_ns()) == 10, "another budget than ours"


async def test_when_nothing_is_left_nobody_asks_until_the_venue_says() -> None:
    clock = ManualClock(5_000 * NS_PER_MS)
    told = {"X-Left": "0", "X-Reset": "5200"}
    names = BudgetHeaders(left="X-Left", reset="X-Reset", reset_unit_s=0.001)
    async with (
        serving(answers(200, headers=told)) as (venue, _),
        Client(Settings(), random.Random(1), clock=clock) as rest,
    ):
        venue = limited(venue, headers=names)
        await rest.get(venue, request())
        started_ns = loop_clock_ns()
        await rest.get(venue, request())
        assert loop_clock_ns() - started_ns >= 190_000_000


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


async def test_a_request_that_never_left_spends_nothing_and_one_that_did_does() -> None:
    async with serving(answers(200)) as (venue, _):
        pass
    async with client(attempts_max=3) as rest:
        window = rest.weight(venue)
        with pytest.raises(VenueUnreachable):
            await rest.fetch(venue, request(weight=20))
        assert window.used(loop_clock_ns()) == 0
        async with serving(answers(500, 200)) as (there, _):
            answering = msgspec.structs.replace(venue, rest_url=there.rest_url)
            assert await rest.fetch(answering, request(weight=20)) == b"body"
        assert window.used(loop_clock_ns()) == 40


async def test_a_request_that_is_cut_off_unanswered_may_have_been_counted() -> None:
    async def cut(asked: web.BaseRequest) -> web.StreamResponse:
        assert asked.transport is not None
        asked.transport.abort()
        return web.Response()

    async with serving(cut) as (venue, _), client(attempts_max=1) as rest:
        with pytest.raises(VenueUnreachable):
            await rest.fetch(venue, request(weight=20))
        assert rest.weight(venue).used(loop_clock_ns()) >= 20


async def test_a_refusal_that_does_not_say_for_how_long_doubles_until_there_is_an_answer() -> None:
    waits_s: list[float | None] = []
    async with serving(answers(429, 429, 429, 200, 429)) as (venue, _), client() as rest:
        venue = limited(venue, weight_window_s=0.08)
        for _ in range(5):
            try:
                await rest.get(venue, request())
                waits_s.append(None)
            except VenueUnreachable as e:
                waits_s.append(e.retry_after_s)
    assert waits_s == [0.08, 0.16, 0.32, None, 0.08]


async def test_refusals_of_requests_that_were_made_together_are_one() -> None:
    together = asyncio.Barrier(4)

    async def refuse(_: web.BaseRequest) -> web.StreamResponse:
        await together.wait()
        return web.Response(status=429)

    async with serving(refuse) as (venue, _), client() as rest:
        failures = await asyncio.gather(*(rest.get(venue, request()) for _ in range(4)), return_exceptions=True)
    assert [getattr(failure, "retry_after_s", None) for failure in failures] == [7.5] * 4


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
