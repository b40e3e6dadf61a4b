"""The OHLCV document's command lines, at every venue and market that can be played."""

import asyncio
import re
import sys
import time
from pathlib import Path

import pytest

from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.sim.layouts import layout_of, played
from heliograph.venues import VENUES

LINE = re.compile(
    r"\[(?P<venue>\w+)::(?P<market>\w+)\] (?P<symbol>\S+) O:[\d.]+ H:[\d.]+ L:[\d.]+ C:[\d.]+ V:[\d.]+ "
    r"closed=(True|False) @ \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
)
PROGRAM = Path(sys.executable).parent / "connector-cli"


def _markets(venue: str) -> list[str]:
    return [
        name
        for name, market in VENUES[venue].markets.items()
        if name in layout_of(venue).listers and Channel.CANDLES in market.channels and Interval.M1 in market.streamed
    ]


async def _printed(*arguments: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines()


@pytest.mark.parametrize("venue", [name for name in VENUES if name in played() and _markets(name)])
async def test_ten_documented_lines_of_every_market(venue: str) -> None:
    async def check(market: str) -> None:
        listed = [rules.listing for rules in layout_of(venue).listers[market](2, time.time_ns())]
        symbols = [listing.symbol for listing in listed][:2]
        lines = await _printed(venue, *symbols, "--market", market, "--limit", "10", "--simulated", "--speed", "30")
        assert len(lines) == 10
        for line in lines:
            match = LINE.fullmatch(line)
            assert match is not None, line
            assert (match["venue"], match["market"]) == (venue, market)
            assert match["symbol"] in symbols

    for market in _markets(venue):
        await check(market)
