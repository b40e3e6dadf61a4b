"""What the doctor says of a machine."""

import socket
from pathlib import Path

import pytest

from heliograph.bus.embedded import free_port
from heliograph.cli import machine_checks
from heliograph.cli.finding import Verdict
from heliograph.config import BusSettings, ConnectorSettings, described


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in described():
        monkeypatch.delenv(setting.variable, raising=False)


def test_an_old_python_cannot_work() -> None:
    assert machine_checks.python().verdict is Verdict.OK
    assert machine_checks.python((3, 10, 14)).verdict is Verdict.FAIL


def test_what_is_missing_fails_if_nothing_goes_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = (("json", True, ""), ("no_such_thing", True, "all"), ("no_such_thing_either", False, "speed"))
    monkeypatch.setattr(machine_checks, "_LIBRARIES", libraries)
    verdicts = [finding.verdict for finding in machine_checks.libraries()]
    assert verdicts == [Verdict.OK, Verdict.FAIL, Verdict.WARN]


def test_a_setting_that_is_misspelt_is_told_with_the_one_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {finding.verdict for finding in machine_checks.settings(None)} == {Verdict.OK}
    monkeypatch.setenv("CONNECTOR_WS_HOST", "::1")
    findings = {finding.check: finding for finding in machine_checks.settings(None)}
    assert findings["settings [connector]"].verdict is Verdict.FAIL
    assert "CONNECTOR_WSS_HOST" in findings["settings [connector]"].advice
    assert findings["settings [bus]"].verdict is Verdict.OK


async def test_a_port_that_is_taken_cannot_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = ConnectorSettings.model_construct(wss_port=port, wss_health_check_port=free_port())
        gateway, probes = await machine_checks.ports(settings)
    assert (gateway.verdict, probes.verdict) == (Verdict.FAIL, Verdict.OK)
    assert "CONNECTOR_WSS_PORT" in gateway.advice
    settings = ConnectorSettings.model_construct(wss_port=0, wss_health_check_enabled=False)
    assert [finding.verdict for finding in await machine_checks.ports(settings)] == [Verdict.OK]


async def test_a_host_that_is_not_ours_is_told() -> None:
    settings = ConnectorSettings.model_construct(wss_host="192.0.2.1", wss_health_check_enabled=False)
    (gateway,) = await machine_checks.ports(settings)
    assert gateway.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("soft", "hard", "verdict", "advice"),
    [
        (1024, 4096, "ok", ""),
        (-1, -1, "ok", ""),
        (512, 4096, "warn", "ulimit -n 4096"),
        (64, -1, "FAIL", "ulimit -n 1024"),
    ],
)
def test_few_open_files_are_a_limit(soft: int, hard: int, verdict: str, advice: str) -> None:
    finding = machine_checks.judge_files(soft, hard, unlimited=-1)
    assert (finding.verdict, finding.advice) == (verdict, advice)


@pytest.mark.parametrize(("free", "verdict"), [(10 * 1024**3, "ok"), (1024**3, "warn"), (1024**2, "FAIL")])
def test_little_room_is_told(free: int, verdict: str) -> None:
    assert machine_checks.judge_room("disk", free).verdict == verdict


def test_a_directory_that_is_not_there_cannot_be_written_to(tmp_path: Path) -> None:
    assert machine_checks.disk(tmp_path / "absent").verdict is Verdict.FAIL
    assert machine_checks.files().check == "open files"


async def test_a_server_to_embed_is_started() -> None:
    (finding,) = await machine_checks.embedded(BusSettings.model_construct(), needed=True)
    assert finding.verdict is Verdict.OK


@pytest.mark.parametrize(("needed", "verdict"), [(True, Verdict.FAIL), (False, Verdict.WARN)])
async def test_no_server_to_embed_matters_if_there_is_no_other(needed: bool, verdict: Verdict, tmp_path: Path) -> None:
    settings = BusSettings.model_construct(valkey_binary=tmp_path / "absent")
    (finding,) = await machine_checks.embedded(settings, needed=needed)
    assert finding.verdict is verdict


async def test_a_binary_that_is_no_server_is_told(tmp_path: Path) -> None:
    binary = tmp_path / "server"
    binary.write_text("#!/bin/sh\nexit 3\n")
    binary.chmod(0o755)
    (finding,) = await machine_checks.embedded(BusSettings.model_construct(valkey_binary=binary), needed=True)
    assert finding.verdict is Verdict.FAIL
    assert "code 3" in finding.found
