"""Settings: sources, precedence, refusals."""

from pathlib import Path

import pytest

from heliograph.config import KEYS, BusSettings, ConnectorSettings, described, load, load_key
from heliograph.errors import ConfigError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder without our variables, so that only what a test sets is there."""
    monkeypatch.chdir(tmp_path)
    for setting in described():
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.delenv("HELIOGRAPH_CONFIG", raising=False)
    return tmp_path


def test_the_documented_defaults_hold() -> None:
    settings = load(ConnectorSettings)
    assert settings.inactivity_timeout == 3.0
    assert settings.max_symbol_per_ws == 50
    assert (settings.wss_host, settings.wss_port, settings.wss_health_check_port) == ("127.0.0.1", 8765, 8766)
    assert settings.open_queue_maxsize == 0


def test_command_line_beats_environment_beats_dotenv_beats_file_beats_default(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = elsewhere / "heliograph.toml"
    file.write_text("[connector]\nwss_port = 1\nrest_timeout = 1.0\nmax_symbol_per_ws = 1\nclosed_queue_maxsize = 1\n")
    (elsewhere / ".env").write_text("CONNECTOR_WSS_PORT=2\nCONNECTOR_REST_TIMEOUT=2\nCONNECTOR_MAX_SYMBOL_PER_WS=2\n")
    monkeypatch.setenv("CONNECTOR_WSS_PORT", "3")
    monkeypatch.setenv("CONNECTOR_REST_TIMEOUT", "3")
    settings = load(ConnectorSettings, file, wss_port=4, rest_timeout=None)
    assert settings.wss_port == 4
    assert settings.rest_timeout == 3.0
    assert settings.max_symbol_per_ws == 2
    assert settings.closed_queue_maxsize == 1
    assert settings.open_queue_maxsize == 0


def test_the_file_may_be_named_by_the_environment(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "h.toml").write_text('[bus]\nvalkey_url = "redis://example.test:1"\n')
    monkeypatch.setenv("HELIOGRAPH_CONFIG", str(elsewhere / "h.toml"))
    assert load(BusSettings).valkey_url == "redis://example.test:1"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CONNECTOR_WSS_PORT", "70000", "CONNECTOR_WSS_PORT is '70000'"),
        ("CONNECTOR_INACTIVITY_TIMEOUT", "soon", "CONNECTOR_INACTIVITY_TIMEOUT is 'soon'"),
        ("CONNECTOR_LOG_LEVEL", "LOUD", "CONNECTOR_LOG_LEVEL is 'LOUD'"),
        ("CONNECTOR_WS_HOST", "x", "unknown setting CONNECTOR_WS_HOST; accepted: CONNECTOR_WSS_HOST"),
    ],
)
def test_a_wrong_variable_is_one_clear_line(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as refusal:
        load(ConnectorSettings)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[connector]\nwss_prot = 1\n", "unknown setting connector.wss_prot"),
        ("[conector]\nwss_port = 1\n", "unknown table [conector]"),
        ("connector = 1\n", "must be a table"),
        ("[connector\n", "is not TOML"),
    ],
)
def test_a_wrong_file_is_one_clear_line(elsewhere: Path, text: str, said: str) -> None:
    file = elsewhere / "h.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refusal:
        load(ConnectorSettings, file)
    assert said in str(refusal.value)


def test_a_missing_file_says_so(elsewhere: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(ConnectorSettings, elsewhere / "absent.toml")


@pytest.mark.parametrize(
    ("content", "said"), [(b"CONNECTOR_WSS_PORT=1\nfoo bar\n", "line 2 of .env"), (b"\xff\xfe\x00", "not text")]
)
def test_a_dotenv_file_that_cannot_be_read_fails(
    content: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said):
        load(ConnectorSettings)


@pytest.mark.parametrize("value", ["inf", "nan", "1e300"])
def test_no_time_is_longer_than_can_be_waited_for(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTOR_INACTIVITY_TIMEOUT", value)
    with pytest.raises(ConfigError, match="less than or equal to 10000000"):
        load(ConnectorSettings)


def test_a_key_to_a_venue_is_whole_or_absent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_key("luno") is None
    assert load_key("binance") is None
    monkeypatch.setenv("HELIOGRAPH_LUNO_KEY", "abcdef")
    with pytest.raises(ConfigError, match="HELIOGRAPH_LUNO_KEY and HELIOGRAPH_LUNO_SECRET, or neither"):
        load_key("luno")
    monkeypatch.setenv("HELIOGRAPH_LUNO_SECRET", "hunter2")
    assert load_key("luno") == ("abcdef", "hunter2")
    held = load(KEYS["luno"])
    assert "hunter2" not in f"{held!r} {held} {held.model_dump(mode='json')}"
