"""`heliograph config`."""

import json
from pathlib import Path

import pytest

from heliograph.cli.settings import check, show
from heliograph.errors import ConfigError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_shown_and_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HELIOGRAPH_VALKEY_URL", "redis://trader:hunter2@db.test:6379/0")
    assert show(None, as_json=True) == 0
    printed = capsys.readouterr().out
    values = json.loads(printed)
    assert values["CONNECTOR_WSS_PORT"] == 8765
    assert values["HELIOGRAPH_VALKEY_URL"] == "redis://***@db.test:6379/0"
    assert "hunter2" not in printed
    assert show(None, as_json=False) == 0
    assert "hunter2" not in capsys.readouterr().out


def test_usable_settings_are_said_to_be_usable(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(None) == 0
    assert "all usable" in capsys.readouterr().out


def test_a_wrong_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text("[bus]\nstream_maxlen = 0\n")
    with pytest.raises(ConfigError, match="HELIOGRAPH_STREAM_MAXLEN is 0"):
        check(file)
