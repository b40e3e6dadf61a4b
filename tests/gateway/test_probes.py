import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from heliograph.clock import NS_PER_S, ManualClock
from heliograph.errors import ConfigError
from heliograph.gateway.probes import Probes, open_probes, readiness
from heliograph.metrics import FeedCollector, FeedMetrics

NOW_NS = 1_763_718_160_123_000_000
STAMP = "2025-11-21T09:42:40.123Z"


def flowing(exchange: str = "binance", contract_type: str = "spot") -> FeedMetrics:
    feed = FeedMetrics(exchange, contract_type)
    feed.active_connections = 2
    feed.last_message_ns = NOW_NS - 6 * NS_PER_S
    feed.quotes_open, feed.quotes_closed = 1500, 23
    return feed


@asynccontextmanager
async def probing(*feeds: FeedMetrics) -> AsyncIterator[tuple[Probes, aiohttp.ClientSession]]:
    collector = FeedCollector()
    for feed in feeds:
        collector.add(feed)
    async with (
        open_probes(lambda: feeds, collector, ManualClock(NOW_NS), "127.0.0.1", 0) as probes,
        aiohttp.ClientSession(f"http://127.0.0.1:{probes.port}") as session,
    ):
        yield probes, session


async def test_liveness_is_the_documented_answer_whatever_the_feeds_do() -> None:
    async with probing(FeedMetrics("binance", "spot")) as (_, session), session.get("/health") as answer:
        assert answer.status == 200
        assert answer.content_type == "application/json"
        assert await answer.json() == {"status": "healthy", "timestamp": STAMP}


async def test_readiness_is_the_documented_answer_when_quotes_flow() -> None:
    async with probing(flowing()) as (_, session), session.get("/ready") as answer:
        assert answer.status == 200
        assert await answer.json() == {
            "status": "ready",
            "timestamp": STAMP,
            "exchanges": [
                {
                    "exchange": "binance",
                    "contract_type": "spot",
                    "active_connections": 2,
                    "last_message_time": "2025-11-21T09:42:34.123Z",
                    "total_quotes": 1523,
                    "total_errors": 0,
                    "consecutive_failures": 0,
                    "circuit_state": "closed",
                    "healthy": True,
                }
            ],
        }


async def test_what_is_no_http_is_refused_without_a_word_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with probing() as (probes, session):
        for junk in (b"\x00" * 100, b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 20_000):
            reader, writer = await asyncio.open_connection("127.0.0.1", probes.port)
            writer.write(junk)
            assert b" 400 " in await reader.readline()
            writer.close()
        async with session.get("/health") as answer:
            assert answer.status == 200
    assert caplog.text == ""


async def test_a_fault_of_ours_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> list[FeedMetrics]:
        raise ZeroDivisionError

    async with (
        open_probes(broken, FeedCollector(), ManualClock(NOW_NS), "127.0.0.1", 0) as probes,
        aiohttp.ClientSession() as session,
        session.get(f"http://{probes.address}/ready") as answer,
    ):
        assert answer.status == 500
    assert "ZeroDivisionError" in caplog.text


async def test_nothing_wanted_is_ready_with_an_empty_list() -> None:
    async with probing() as (_, session), session.get("/ready") as answer:
        assert answer.status == 200
        assert await answer.json() == {"status": "ready", "timestamp": STAMP, "exchanges": []}


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("active_connections", 0),
        ("streams_stale", 1),
        ("last_message_ns", None),
        ("last_message_ns", NOW_NS - 60 * NS_PER_S),
    ],
)
async def test_one_unhealthy_feed_makes_the_whole_not_ready(attribute: str, value: int | None) -> None:
    bad = flowing("binance", "usdm")
    setattr(bad, attribute, value)
    bad.connection_errors["timeout"] += 3
    bad.venue_errors += 1
    bad.circuit_state = 2
    async with probing(flowing(), bad) as (_, session), session.get("/ready") as answer:
        assert answer.status == 503
        state = await answer.json()
    assert state["status"] == "not_ready"
    assert [e["healthy"] for e in state["exchanges"]] == [True, False]
    assert state["exchanges"][1]["total_errors"] == 4
    assert state["exchanges"][1]["circuit_state"] == "half_open"


def test_a_feed_heard_of_just_within_the_minute_is_healthy() -> None:
    feed = flowing()
    feed.last_message_ns = NOW_NS - 60 * NS_PER_S + 1
    assert readiness([feed], NOW_NS, draining=False).status == "ready"


async def test_a_service_about_to_stop_is_alive_and_not_ready() -> None:
    async with probing(flowing()) as (probes, session):
        probes.lower()
        async with session.get("/ready") as answer:
            assert answer.status == 503
            assert (await answer.json())["status"] == "not_ready"
        async with session.get("/health") as answer:
            assert answer.status == 200


async def test_metrics_are_prometheus_text_with_every_documented_name_and_label() -> None:
    feed = flowing()
    feed.connection_errors["timeout"] += 1
    feed.observe_latency(0.004, 10)
    async with probing(feed) as (_, session), session.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await answer.text()
    samples = {s.name: s for family in text_string_to_metric_families(text) for s in family.samples}
    for name, extra in {
        "connector_quotes_processed_total": {"is_closed"},
        "connector_quote_latency_seconds_bucket": {"le"},
        "connector_active_connections": set(),
        "connector_connection_errors_total": {"error_type"},
        "connector_reconnections_total": set(),
        "connector_rest_backfills_total": {"status"},
        "connector_queue_depth_closed": set(),
        "connector_queue_depth_open": set(),
        "connector_queue_blocking_events_total": set(),
        "connector_circuit_breaker_state": set(),
        "connector_duplicates_filtered_total": set(),
    }.items():
        assert set(samples[name].labels) == {"exchange", "contract_type"} | extra
        assert samples[name.replace("connector_", "heliograph_")].value == samples[name].value
    assert samples["connector_build_info"].labels == {"version": "0.2.0", "architecture": "clean"}
    assert samples["connector_quotes_processed_total"].value in (1500, 23)


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/readyz"), ("POST", "/health")])
async def test_anything_else_is_not_found(method: str, path: str) -> None:
    async with probing() as (_, session), session.request(method, path) as answer:
        assert answer.status == 404
        assert await answer.text() == "Not Found\n"


async def test_a_stalled_scrape_holds_back_no_probe() -> None:
    feeds = [flowing("binance", f"market{n}") for n in range(500)]  # A page of some megabytes.
    async with probing(*feeds) as (probes, session):
        reader, writer = await asyncio.open_connection("127.0.0.1", probes.port, limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(16)
        half, half_writer = await asyncio.open_connection("127.0.0.1", probes.port)
        half_writer.write(b"GET /metr")
        async with asyncio.timeout(5):
            async with session.get("/health") as answer:
                assert answer.status == 200
            async with session.get("/ready") as answer:
                assert json.loads(await answer.read())["status"] == "ready"
        for stalled in (writer, half_writer):
            stalled.transport.abort()
        del reader, half


async def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    async with probing() as (probes, _):
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{probes.port}: "):
            async with open_probes(lambda: (), FeedCollector(), ManualClock(), "127.0.0.1", probes.port):
                pass
