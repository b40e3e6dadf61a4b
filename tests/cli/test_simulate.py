import json
import signal
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from heliograph.cli.simulate import simulate
from heliograph.errors import ConfigError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_endpoints_and_stops_on_a_signal(number: signal.Signals) -> None:
    program = "from heliograph.cli.simulate import simulate; simulate(symbols=1, history_minutes=5)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert set(told["endpoints"]) == {"spot", "usdm", "coinm"}
        assert told["endpoints"]["spot"]["socket_url"].startswith("ws://127.0.0.1:")
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert process.stdout.read() == ""


def test_what_cannot_be_simulated_is_refused_with_what_can() -> None:
    with pytest.raises(ConfigError, match=r"accepted: .*binance.*okx"):
        simulate(["mtgox"])
    for port in ("spot=70000", "spot=-1", "swap=1", "spot", "spot=٣", ""):
        with pytest.raises(ConfigError, match=r"accepted: spot=0 to 65535, usdm="):
            simulate(ports=[port])
    with pytest.raises(ConfigError, match="one venue with --port"):
        simulate(["okx", "binance"], ports=["spot=0"])
    with pytest.raises(ConfigError, match="cannot write"):
        simulate(authority_file=Path("/nowhere/ca.pem"))
    with pytest.raises(ConfigError, match="1 to 1000"):
        simulate(symbols=0)
    with pytest.raises(ConfigError, match="speed"):
        simulate(speed=-1)


def test_okx_is_one_origin_for_all_its_markets() -> None:
    program = "from heliograph.cli.simulate import simulate; simulate(['okx'], symbols=1, history_minutes=5)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert (told["venue"], set(told["endpoints"])) == ("okx", {"spot", "swap", "futures", "option"})
        assert len({urls["rest_url"] for urls in told["endpoints"].values()}) == 1
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_the_certificate_that_it_writes_is_what_its_clients_trust(tmp_path: Path) -> None:
    options = ["okx", "--symbols", "1", "--tls", str(tmp_path / "ca.pem")]
    command = [sys.executable, "-c", "from heliograph.cli.main import main; main()", "simulate", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        url = told["tls_endpoints"]["spot"]["rest_url"]
        assert url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        with urllib.request.urlopen(url + "/api/v5/public/time", context=trusting, timeout=10) as answer:
            assert json.load(answer)["code"] == "0"
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_with_until_eof_it_ends_when_its_starter_is_gone(tmp_path: Path) -> None:
    program = "from heliograph.cli.main import main; main()"
    command = [sys.executable, "-c", program, "simulate", "okx", "--symbols", "1", "--until-eof"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"words are not the end\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdin.close()  # As the system does when whoever held it is killed.
        assert process.wait(timeout=10) == 0
    with (tmp_path / "file").open("w+") as file:
        done = subprocess.run(command, stdin=file, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (2, b"heliograph: --until-eof without a pipe as the standard input\n")
