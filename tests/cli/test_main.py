"""The command line as its users meet it: exit codes, and one clear line for every mistake."""

import subprocess
from pathlib import Path

import pytest
import typer

from heliograph import __version__
from heliograph.cli.main import app, run
from heliograph.errors import BusError
from tests.cli.commands import PROGRAM, START_S_MAX

COMMAND = typer.main.get_command(app)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bogus"], "heliograph: No such command 'bogus'; accepted: demo, stream"),
        (["config", "show", "--nope"], "heliograph: No such option: --nope; see heliograph config show --help"),
        (["stream"], "heliograph: Missing argument"),
        (["stream", "binance", "BTCUSDT", "--limit", "-1"], "heliograph: Invalid value for '--limit'"),
        (["demo", "--duration", "soon"], "heliograph: Invalid value for '--duration'"),
        (["stream", "bianance", "BTCUSDT"], "bianance"),
        (["stream", "binance", "BTCUSDT"], "spot"),
        (["stream", "binance", "BTCUSDT", "-m", "margin"], "spot"),
        (["stream", "binance", "BTCUSDT", "-m", "spot", "-i", "7m"], "1m"),
        (
            ["stream", "binance", "BTCUSDT", "-m", "usdm", "-i", "1s"],
            "usdm has no interval '1s'; accepted: 1m",
        ),
        (["serve", "all", "binance:coinm:BTCUSD_PERP", "-i", "10s"], "accepted: 1m, 3m"),
        (["stream", "binance", "BTCUSDT", "-m", "spot", "-c", "candels"], "candles"),
        (["stream", "binance", "BTCUSDT", "-m", "spot", "-o", "xml"], "jsonl"),
        (["stream", "binance", "BTCUSDT", "-m", "spot", "--endpoint", "ftp://x"], "http://"),
        (["serve", "everything"], "gateway"),
        (["serve", "feed", "binance:BTCUSDT"], "VENUE:MARKET:SYMBOL"),
        (["serve", "feed", "binance:banana:BTCUSDT"], "Unsupported contract_type for binance: banana"),
        (["serve", "feed", "okx:"], "VENUE:MARKET:SYMBOL"),
        (["serve", "feed", "okx:BTCUSDT"], "VENUE:SYMBOL, such as okx:BTC-USDT-SWAP"),
        (["serve", "feed", "okx:option:BTC-USD-261225-1-C", "-i", "1s"], "okx option has no interval '1s'"),
        (["serve", "feed", "okx:BTC/USD:BTC-261225-1-C", "-i", "1s"], "okx option has no interval '1s'"),
        (["stream", "okx", "BTC-USDT", "--market", "banana"], "accepted: spot, swap (perp), futures (future)"),
        (["simulate", "mtgox"], "binance"),
        (["simulate", "binance", "--host", "999.9.9.9"], "cannot listen on 999.9.9.9:0"),
        (["decode", "mtgox", "-"], "binance"),
        (["capture", "binance", "BTCUSDT", "--market", "nope", "--file", "x.jsonl"], "spot"),
        (["capture", "okx", "BTC-USDT", "BTC-USDT-SWAP", "--file", "x.jsonl"], "one market, not of spot and swap"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_accepted_and_exit_code_2(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(COMMAND, arguments) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_the_version_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(COMMAND, ["--version"]) == 0
    assert capfd.readouterr().out == f"heliograph {__version__}\n"


def test_every_command_has_help(capfd: pytest.CaptureFixture[str]) -> None:
    for name in COMMAND.commands:  # type: ignore[attr-defined]
        assert run(COMMAND, [name, "--help"]) == 0
        assert "Usage: heliograph" in capfd.readouterr().out


def test_called_with_nothing_the_help_is_the_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(COMMAND, []) == 2
    assert "Commands:" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [(BusError("the server is away"), 1, "the server is away\n"), (KeyboardInterrupt(), 130, "")],
)
def test_what_fails_later_has_its_own_exit_code(
    raised: BaseException, code: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def command(**_: object) -> int:
        raise raised

    assert run(command, []) == code
    assert capfd.readouterr().err.endswith(said)


def test_a_reader_that_leaves_is_no_failure() -> None:
    with subprocess.Popen([PROGRAM, "config", "show"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as popen:
        assert popen.stdout is not None
        popen.stdout.close()
        assert popen.stderr is not None
        assert popen.stderr.read() == b""
        assert popen.wait(START_S_MAX) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_the_output_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [PROGRAM, "config", "show"], stdout=full, stderr=subprocess.PIPE, timeout=START_S_MAX, check=False
        )
    assert ran.returncode == 1
    assert ran.stderr.count(b"\n") == 1
    assert b"No space left on device" in ran.stderr


def test_started_without_standard_streams_it_runs_all_the_same() -> None:
    command = f"exec {PROGRAM} stream binance BTC/USDT --simulated --limit 1 -o jsonl <&- >&- 2>&-"
    done = subprocess.run(["/bin/sh", "-c", command], timeout=START_S_MAX, check=False)
    assert done.returncode == 0
