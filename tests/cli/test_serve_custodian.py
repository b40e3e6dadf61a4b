"""`heliograph serve custodian` as a process."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from heliograph.bus.embedded_pair import Pair
from heliograph.cli.serve_custodian import probed
from heliograph.cli.settle_parties import Party
from heliograph.metrics import LinkMetrics
from heliograph.settlement.custodian import Custodian
from tests.cli.commands import finished, running
from tests.cli.parties import parties


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


def test_it_says_where_it_is_refuses_a_second_one_and_stops_when_told(pair: Pair, tmp_path: Path) -> None:
    made = parties(pair, "told", tmp_path)
    with running("serve", "custodian", *made.custodian) as custodian:
        assert custodian.said() == {
            "role": "custodian",
            "link": "told",
            "control": str(made.control),
            "key": "custodian-1",
        }
        second = finished("serve", "custodian", *made.custodian)
        assert second.returncode == 2
        assert b"a custodian runs already" in second.stderr
        # The one that ran was not fenced by the other's attempt.
        made.settle("deposit", "alice", "BTC", "1", "--reference", "wire-1")
        assert custodian.stop() == 0
    assert not made.control.exists()
    with running("serve", "custodian", *made.custodian) as custodian:
        custodian.line()
        assert custodian.stop(signal.SIGINT) == 130
    assert not made.control.exists()


async def test_whoever_is_taken_over_says_so_and_ends_with_code_1(pair: Pair, tmp_path: Path) -> None:
    made = parties(pair, "fenced", tmp_path)
    with running("serve", "custodian", *made.custodian) as custodian:
        await asyncio.to_thread(custodian.line)
        async with Custodian(Party(Path(made.custodian[1])).custodian()):
            await asyncio.to_thread(made.settle, "deposit", "alice", "BTC", "1", "--reference", "wire-1", code=1)
            assert await asyncio.to_thread(custodian.popen.wait, 10) == 1
        said = custodian.error().splitlines()[-1]
    assert said.startswith("heliograph: another custodian has taken this link over")
    assert said.endswith("(fenced)")


def test_a_withdrawal_is_paid_by_the_program_of_the_settings(pair: Pair, tmp_path: Path) -> None:
    fifo, payer = tmp_path / "paid", tmp_path / "payer"
    os.mkfifo(fifo)
    payer.write_text(f'#!/bin/sh\necho "$*" > {fifo}\n')
    payer.chmod(0o700)
    made = parties(pair, "pays", tmp_path, payer=str(payer))
    with running("serve", "custodian", *made.custodian) as custodian:
        custodian.line()
        made.settle("deposit", "alice", "BTC", "3", "--reference", "wire-1")
        made.settle("withdraw", "alice", "BTC", "2", "--reference", "out-1", "--chain", "Bitcoin")
        assert fifo.read_text() == "out-1 alice BTC 2 Bitcoin \n"
        assert custodian.stop() == 0


async def test_probes_tell_that_it_is_ready_and_how_the_link_is(pair: Pair, tmp_path: Path) -> None:
    made = parties(pair, "probed", tmp_path)
    for role, options in (("exchange", made.exchange), ("custodian", made.custodian)):
        with running("serve", role, *options, "--probe-port", "0") as service:
            url = (await asyncio.to_thread(service.said))["probes"]
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{url}/ready") as answer:
                    assert answer.status == 200
                async with session.get(f"{url}/metrics") as answer:
                    lines = (await answer.text()).splitlines()
            (halted,) = [line for line in lines if line.startswith("heliograph_settlement_halted{")]
            assert f'side="{role}"' in halted
            assert halted.endswith(" 0.0")
            assert await asyncio.to_thread(service.stop) == 0


async def test_a_halted_link_is_not_ready() -> None:
    halted = False

    def end() -> LinkMetrics:
        return LinkMetrics(
            "custodian", "x", halted=halted, unacknowledged=0, unpublished=0, waiting=0, refused={}, reloads=0
        )

    async with probed(end, None, 0) as url, aiohttp.ClientSession() as session:
        for halted, status in ((False, 200), (True, 503)):  # noqa: B007  # `end` reads it
            async with session.get(f"{url}/ready") as answer:
                assert answer.status == status


def test_a_primary_that_is_away_is_told(pair: Pair, tmp_path: Path) -> None:
    made = parties(pair, "away", tmp_path)
    file = Path(made.custodian[1])
    file.write_text(file.read_text().replace(pair.primary.url, "redis://127.0.0.1:1"))
    ended = finished("serve", "custodian", *made.custodian)
    assert ended.returncode == 1
    assert b"redis://127.0.0.1:1" in ended.stderr.splitlines()[-1]
    assert not made.control.exists()


def test_options_of_market_data_are_refused() -> None:
    ended = finished("serve", "custodian", "binance:spot:BTCUSDT")
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert b"goes by the settings alone" in ended.stderr
