import re
import signal
import subprocess
import sys
from datetime import datetime, timedelta

import pytest
import structlog
import typer

from heliograph.cli.connector_cli import commands
from heliograph.cli.main import run
from heliograph.config import SECONDS_MAX, ConnectorSettings
from heliograph.sim import Fault, FaultKind
from heliograph.venues import VENUES
from tests.gateway.processes import finish, program, simulated, spot_of, start

LINE = re.compile(
    r"\[(?P<venue>\w+)::(?P<market>\w+)\] (?P<symbol>[\w-]+) O:(?P<o>[\d.]+) H:(?P<h>[\d.]+) L:(?P<l>[\d.]+)"
    r" C:(?P<c>[\d.]+) V:[\d.]+ closed=(?P<closed>True|False) @ (?P<time>\S+)"
)


async def test_ten_quotes_in_the_documented_form() -> None:
    command = ["binance", "BTCUSDT", "ETHUSDT", "--market", "spot", "--limit", "10", "--simulated", "--speed", "30"]
    outcome = await finish(await start(program("connector-cli"), *command))
    assert (outcome.code, outcome.err) == (0, [])
    assert len(outcome.out) == 10
    quotes = [LINE.fullmatch(line) for line in outcome.out]
    assert all(quotes), outcome.out
    assert {q["symbol"] for q in quotes if q} == {"BTCUSDT", "ETHUSDT"}
    for quote in quotes:
        assert quote is not None
        assert quote["market"] == "spot"
        assert float(quote["l"]) <= float(quote["c"]) <= float(quote["h"])
        moment = datetime.fromisoformat(quote["time"])
        assert moment.utcoffset() == timedelta(0)
        assert (moment.second, moment.microsecond) == (0, 0)


async def test_the_default_limit_is_ten_and_every_form_of_a_symbol_is_understood() -> None:
    command = ["binance", "btc/usdt", "ETH/USDT:USDT", "--market", "um", "--simulated", "--speed", "60"]
    outcome = await finish(await start(program("connector-cli"), *command))
    assert (outcome.code, len(outcome.out)) == (0, 10)
    assert {line.split()[1] for line in outcome.out} == {"BTCUSDT", "ETHUSDT"}
    assert all(line.startswith("[binance::usdm] ") for line in outcome.out)


@pytest.mark.parametrize("named", [(), ("--market", "um")])
async def test_okxs_command_line_of_the_document_prints_ten_quotes_whatever_market_is_named(named: tuple[str]) -> None:
    command = ["okx", "BTC-USDT-SWAP", "ETH-USDT-SWAP", "--limit", "10", "--simulated", "--speed", "30", *named]
    outcome = await finish(await start(program("connector-cli"), *command))
    assert (outcome.code, outcome.err) == (0, [])
    quotes = [LINE.fullmatch(line) for line in outcome.out]
    assert len(quotes) == 10
    assert {(q["venue"], q["market"], q["symbol"]) for q in quotes if q} == {
        ("okx", "swap", "BTC-USDT-SWAP"),
        ("okx", "swap", "ETH-USDT-SWAP"),
    }
    assert all(quotes), outcome.out


@pytest.mark.parametrize(
    ("command", "instruments"),
    [
        ("okx BTC-USDT-SWAP btc/usdt ETH/USD:ETH", {"swap BTC-USDT-SWAP", "spot BTC-USDT", "swap ETH-USD-SWAP"}),
        ("binance BTC/USDT BTC/USDT:USDT BTC/USD:BTC", {"spot BTCUSDT", "usdm BTCUSDT", "coinm BTCUSD_PERP"}),
    ],
)
async def test_t17_symbols_that_tell_their_market_are_printed_side_by_side(command: str, instruments: set[str]) -> None:
    arguments = [*command.split(), "--limit", "30", "--simulated", "--speed", "60"]
    outcome = await finish(await start(program("connector-cli"), *arguments))
    assert (outcome.code, outcome.err) == (0, [])
    quotes = [LINE.fullmatch(line) for line in outcome.out]
    assert {f"{q['market']} {q['symbol']}" for q in quotes if q} == instruments


async def test_closed_candles_are_printed_once_and_in_order() -> None:
    async with simulated(speed=120) as simulator:
        command = f"binance BTCUSDT --market spot --limit 60 --endpoint {spot_of(simulator)}".split()
        outcome = await finish(await start(program("connector-cli"), *command))
    assert (outcome.code, outcome.err) == (0, [])
    opened = [datetime.fromisoformat(line.split()[-1]) for line in outcome.out if "closed=True" in line]
    assert len(opened) >= 2
    assert opened == [opened[0] + timedelta(minutes=n) for n in range(len(opened))]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "Missing argument"),
        ("nowhere BTCUSDT", "Unsupported exchange: nowhere; accepted: binance"),
        ("binance BTCUSDT", "Exchange binance needs a market (contract_type); accepted: spot, usdm (um), coinm (cm)"),
        ("binance BTCUSDT --market banana", "Unsupported contract_type for binance: banana; accepted: spot"),
        ("okx BTC-USDT --market banana", "Unsupported contract_type for okx: banana; accepted: spot, swap (perp)"),
        ("okx BTCUSDT", "BTCUSDT does not tell its market at okx; accepted: the venue's own name"),
        ("binance NOPE --market spot --simulated", "Unknown symbol at binance spot: NOPE; accepted: "),
        ("binance BTCUSDT btc/usdt --market spot --simulated", "Duplicate symbol: btc/usdt"),
        ("binance BTCUSDT --market spot --limit -1", "greater than or equal to 0"),
        ("binance BTCUSDT --market spot --limit ten", "Invalid value for '--limit'"),
        ("binance BTCUSDT --market spot --frobnicate", "No such option: --frobnicate"),
        ("binance BTCUSDT --market spot --endpoint ftp://x", "not an endpoint: ftp://x; accepted: http://host:port"),
        ("binance BTCUSDT --market spot --simulated --endpoint http://x:1", "both --simulated and --endpoint"),
    ],
)
def test_a_bad_argument_is_one_clear_line_and_exit_code_2(
    arguments: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = run(typer.main.get_command(commands), arguments.split(), "connector-cli")
    finally:
        structlog.reset_defaults()  # The command has sent the logs to the stderr of this test.
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert said.err.startswith("connector-cli: ")
    assert says in said.err


async def test_the_program_itself_ends_with_that_line_and_code() -> None:
    outcome = await finish(await start(program("connector-cli"), "nowhere", "X"))
    assert outcome.code == 2
    assert outcome.err == [f"connector-cli: Unsupported exchange: nowhere; accepted: {', '.join(sorted(VENUES))}"]


async def test_a_bad_variable_is_one_clear_line_and_exit_code_2() -> None:
    outcome = await finish(
        await start(program("connector-cli"), "binance", "X", "--market", "spot", CONNECTOR_REST_TIMEOUT="-1")
    )
    assert outcome.code == 2
    assert len(outcome.err) == 1
    assert "CONNECTOR_REST_TIMEOUT" in outcome.err[0]


async def test_silence_ends_it_with_the_documented_words() -> None:
    async with simulated() as simulator:
        await simulator.fault(Fault(FaultKind.SILENCE, duration_s=60))
        process = await start(
            program("connector-cli"),
            *f"binance BTCUSDT --market spot --endpoint {spot_of(simulator)}".split(),
            CONNECTOR_STREAM_IDLE_TIMEOUT="0.5",
            CONNECTOR_INACTIVITY_TIMEOUT="60",
        )
        outcome = await finish(process)
    assert outcome.out == ["No quotes received in 0.5 seconds. Cancelling stream."]
    assert (outcome.code, outcome.err) == (1, [])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_a_signal_ends_an_endless_stream_without_a_traceback(number: signal.Signals, code: int) -> None:
    command = ["binance", "BTCUSDT", "--market", "spot", "--limit", "0", "--simulated", "--speed", "30"]
    process = await start(program("connector-cli"), *command)
    assert process.stdout is not None
    for _ in range(12):  # More than the default limit.
        await process.stdout.readline()
    process.send_signal(number)
    outcome = await finish(process)
    assert (outcome.code, outcome.err) == (code, [])
    assert all(LINE.fullmatch(line) for line in outcome.out)


async def test_the_longest_times_that_the_settings_allow_can_be_waited_for() -> None:
    longest = {
        f"CONNECTOR_{name.upper()}": str(SECONDS_MAX)
        for name, field in ConnectorSettings.model_fields.items()
        if isinstance(field.default, float)
    }
    async with simulated() as simulator:
        arguments = ("binance", "BTCUSDT", "--market", "spot", "--limit", "1", "--endpoint", spot_of(simulator))
        outcome = await finish(await start(program("connector-cli"), *arguments, **longest))
    assert (outcome.code, len(outcome.out), outcome.err) == (0, 1, [])


@pytest.mark.parametrize("module", ["connector_cli", "connector_wss"])
def test_what_runs_is_imported_when_it_runs(module: str) -> None:
    """Until then Ctrl-C meets Python's own imports, and ends in a traceback."""
    script = f"import sys, heliograph.cli.{module}; sys.exit('aiohttp' in sys.modules or 'msgspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=30).returncode == 0
