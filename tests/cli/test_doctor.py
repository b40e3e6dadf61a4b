"""`heliograph doctor`, called as the command line calls it."""

import json
import signal
import socket
from pathlib import Path

import pytest

from heliograph.bus.embedded import Server
from heliograph.cli.doctor import Patient, doctor
from heliograph.config import described
from heliograph.errors import ConfigError
from tests.cli.commands import running


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in described():
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.setenv("CONNECTOR_WSS_PORT", "0")
    monkeypatch.setenv("CONNECTOR_WSS_HEALTH_CHECK_PORT", "0")


def test_all_is_well_here_with_a_simulated_venue_and_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    with Server() as server:
        code = doctor(Patient(url=server.url, venues=["OKX"], simulated=True), as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert (code, said["ok"]) == (0, True), said
    verdicts = {finding["check"]: finding["verdict"] for finding in said["findings"]}
    assert {"python", "settings [bus]", "embedded server", "server rights", "okx swap REST", "open files"} <= set(
        verdicts
    )
    assert "FAIL" not in verdicts.values()


def test_what_fails_is_told_with_what_to_do_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HELIOGRAPH_STREAM_MAXLEM", "5")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("CONNECTOR_WSS_PORT", str(taken.getsockname()[1]))
        assert doctor(Patient(url="redis://u:hunter2@127.0.0.1:1"), as_json=True) == 1
    printed = capsys.readouterr().out
    failed = {f["check"]: f["advice"] for f in json.loads(printed)["findings"] if f["verdict"] == "FAIL"}
    assert set(failed) == {"settings [bus]", "port of the gateway", "server"}
    assert "HELIOGRAPH_STREAM_MAXLEN" in failed["settings [bus]"]
    assert "hunter2" not in printed


def test_without_a_url_nothing_is_asked_of_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(Patient(), as_json=False) == 0
    printed = capsys.readouterr().out
    assert "no URL is set" in printed
    assert "0 to mend" in printed


def test_a_url_that_cannot_be_used_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(Patient(url="http://hunter2"), as_json=True) == 1
    printed = capsys.readouterr().out
    assert "no known form" in printed
    assert "hunter2" not in printed


@pytest.mark.parametrize("patient", [Patient(venues=["nowhere"]), Patient(simulated=True)])
def test_what_cannot_be_looked_at_is_a_mistake_of_the_user(patient: Patient) -> None:
    with pytest.raises(ConfigError, match="accepted: "):
        doctor(patient, as_json=False)


def test_ctrl_c_ends_it_at_once() -> None:
    """A server that accepts and says nothing keeps the look busy for as long as it may take."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with running("doctor", "--valkey", url) as command:
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)
                assert command.stop(signal.SIGINT) == 130
                assert command.rest() == ""
