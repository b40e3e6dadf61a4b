"""What the doctor says of a venue."""

import asyncio
import socket
from datetime import UTC, datetime

import msgspec
import pytest

from heliograph.app import open_simulated
from heliograph.cli import venue_checks
from heliograph.cli.finding import Verdict
from heliograph.cli.venue_checks import judge_date, judge_status
from heliograph.model.instrument import SPOT, VenueId
from heliograph.venues import VENUES
from heliograph.venues.contract import Market

BINANCE = VENUES[VenueId("binance")].markets[SPOT]


def at(address: str, *, secure: bool = False) -> Market:
    tail = "s" if secure else ""
    return msgspec.structs.replace(BINANCE, socket_url=f"ws{tail}://{address}", rest_url=f"http{tail}://{address}")


@pytest.mark.parametrize("name", ["binance", "hyperliquid"])
async def test_a_simulated_venue_is_there_and_keeps_our_time(name: str) -> None:
    async with open_simulated(only=name) as venues:
        for market in venues[VenueId(name)].markets.values():
            findings = await venue_checks.market(market)
            assert [finding.verdict for finding in findings] == [Verdict.OK] * 3, findings


async def test_a_venue_that_is_away_is_told() -> None:
    findings = await venue_checks.market(at("127.0.0.1:1"))
    assert [finding.verdict for finding in findings] == [Verdict.FAIL] * 2
    assert all("127.0.0.1:1" in finding.found for finding in findings)


async def test_a_venue_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_checks, "LOOK_S_MAX", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _, rest = await venue_checks.market(at(f"127.0.0.1:{silent.getsockname()[1]}"))
    assert rest.verdict is Verdict.FAIL
    assert "no answer within" in rest.found


async def test_who_is_no_https_server_is_told() -> None:
    async def rude(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"no\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(rude, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        findings = await venue_checks.market(at(f"127.0.0.1:{port}", secure=True))
    assert [finding.verdict for finding in findings] == [Verdict.FAIL] * 2


@pytest.mark.parametrize(
    ("status", "verdict"), [(200, "ok"), (451, "FAIL"), (403, "FAIL"), (429, "warn"), (503, "warn")]
)
def test_statuses(status: int, verdict: str) -> None:
    assert judge_status("venue", status).verdict == verdict


@pytest.mark.parametrize(("offset_s", "verdict"), [(0.9, "ok"), (-5, "warn"), (300, "FAIL")])
def test_offsets(offset_s: float, verdict: str) -> None:
    now_s = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC).timestamp() + offset_s
    assert judge_date("clock", "Sat, 21 Nov 2026 12:00:00 GMT", now_s).verdict == verdict


def test_a_date_that_is_none_is_told() -> None:
    assert judge_date("clock", "yesterday", 0.0).verdict is Verdict.WARN
