"""`heliograph stream`."""

import json
import signal
from decimal import Decimal

import pytest

from heliograph.bus import keys
from heliograph.bus.embedded import Server
from heliograph.bus.reader import Reader
from heliograph.cli.stream import Board
from heliograph.model.book import BookSnapshot
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.market import Channel, Gap, Side, Trade, TradeCause
from tests.cli.commands import finished, running

BITCOIN = Instrument(VenueId("binance"), SPOT, "BTCUSDT", "BTC", "USDT")
ONE = Decimal(1)
SIMULATED = ("--market", "spot", "--simulated", "--speed", "60")


def test_events_of_every_channel_come_as_json_lines() -> None:
    channels = [word for name in Channel for word in ("--channel", name)]
    done = finished("stream", "binance", "BTC/USDT", *SIMULATED, *channels, "-o", "jsonl", "--limit", "200")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(events) == 200
    assert {e["kind"] for e in events} == {"candle", "ticker", "trade", "book_delta", "book_snapshot"}
    assert {e["instrument"] for e in events} == {"binance:spot:BTCUSDT"}


def test_the_table_shows_the_latest_and_stops_at_the_limit() -> None:
    done = finished("stream", "binance", "BTCUSDT", *SIMULATED, "--limit", "3")
    assert done.returncode == 0, done.stderr
    assert b"BTC/USDT" in done.stdout
    assert b"candle 1m" in done.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_the_stream_cleanly(number: int, code: int) -> None:
    with running("stream", "binance", "BTCUSDT", *SIMULATED, "-o", "jsonl") as process:
        process.line()
        assert process.stop(number) == code
        assert "Traceback" not in process.error()


def test_an_unknown_symbol_is_refused_with_what_there_is() -> None:
    done = finished("stream", "binance", "BTCUSDTX", *SIMULATED)
    assert done.returncode == 2
    assert b"BTCUSDT" in done.stderr
    assert done.stderr.count(b"\n") == 1


async def test_what_is_streamed_can_be_published_as_well(valkey: Server) -> None:
    done = finished("stream", "binance", "BTCUSDT", *SIMULATED, "-o", "jsonl", "--limit", "5", "--valkey", valkey.url)
    assert done.returncode == 0, done.stderr
    async with Reader(valkey.url, {}) as reader:
        assert len(await reader.last_entries("binance:BTCUSDT:candles_1m", 10)) >= 5
        feed = keys.merged_feed("binance", "spot", keys.shard_of(BITCOIN.id))
        assert len(await reader.last_entries(feed, 10)) >= 5


def test_the_board_keeps_the_latest_of_each_kind() -> None:
    board = Board()
    for price in (1, 2):
        board.take(Trade(BITCOIN, "1", 1, Decimal(price), ONE, Side.BUY, TradeCause.MARKET, None, 5 * 10**9))
    board.take(BookSnapshot(BITCOIN, [], [(ONE, ONE)], 1, None, 1))
    board.take(Gap(BITCOIN, Channel.TRADES, None, None, None, 1, 3, "the venue is away", 1))
    assert board.events == 4
    table, gap = board.drawn().renderables
    assert table.row_count == 2  # type: ignore[union-attr]
    assert "the venue is away" in str(gap)
