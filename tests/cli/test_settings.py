"""`heliograph config`."""

import json
from pathlib import Path

import pytest

from heliograph import config
from heliograph.cli.settings import check, doc, environment, markdown, show
from heliograph.config import SECTIONS, described
from heliograph.errors import ConfigError

CHECKOUT = Path(__file__).parents[2]


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


def test_a_key_is_not_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HELIOGRAPH_LUNO_KEY", "abcdef")
    monkeypatch.setenv("HELIOGRAPH_LUNO_SECRET", "hunter2")
    for as_json in (True, False):
        assert show(None, as_json=as_json) == 0
        printed = capsys.readouterr().out
        assert "HELIOGRAPH_LUNO_SECRET" in printed
        assert "hunter2" not in printed
        assert "abcdef" not in printed


def test_usable_settings_are_said_to_be_usable(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(None) == 0
    assert "all usable" in capsys.readouterr().out


def test_a_wrong_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text("[bus]\nstream_maxlen = 0\n")
    with pytest.raises(ConfigError, match="HELIOGRAPH_STREAM_MAXLEN is 0"):
        check(file)


def test_the_page_about_the_settings_is_what_the_settings_are() -> None:
    """After a change: `heliograph config doc > docs/configuration.md`."""
    assert (CHECKOUT / "docs/configuration.md").read_text() == markdown()


def test_the_example_file_is_the_settings() -> None:
    """After a change: `heliograph config doc --env > .env.example`."""
    assert (CHECKOUT / ".env.example").read_text() == environment()


def test_every_setting_has_its_row_with_default_unit_and_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert doc(as_env=False) == 0
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("| `")
    ]
    told = {row[0]: row[1:4] for row in rows}
    for section in SECTIONS.values():
        for name in section.model_fields:
            assert f"{section.model_config['env_prefix']}{name.upper()}" in told
    assert told["CONNECTOR_INACTIVITY_TIMEOUT"] == ["3.0", "seconds", "above 0, at most 10000000"]
    assert told["CONNECTOR_WSS_HEALTH_CHECK_PORT"] == ["8766", "port", "0 or more, at most 65535"]
    assert told["CONNECTOR_LOG_LEVEL"] == ["INFO", "", "DEBUG, INFO, WARNING, ERROR, CRITICAL"]
    assert told["HELIOGRAPH_VALKEY_URL"][0] == "none"


def test_what_is_told_does_not_depend_on_what_is_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONNECTOR_REST_TIMEOUT", "not a number")
    assert doc(as_env=True) == 0
    assert "\nCONNECTOR_REST_TIMEOUT=5.0\n" in capsys.readouterr().out


@pytest.mark.parametrize("setting", list(described()), ids=lambda setting: setting.variable)
def test_every_number_has_a_unit_and_every_setting_a_sentence(setting: config.Setting) -> None:
    assert setting.meaning
    assert not setting.meaning.endswith(".")
    field = SECTIONS[setting.section].model_fields[setting.name]
    assert bool(setting.unit) == (field.annotation in (int, float))
