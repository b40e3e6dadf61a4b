"""What the settings of settlement mean, and what is said of those that are missing or wrong."""

from decimal import Decimal
from pathlib import Path

import pytest

from heliograph.cli.settle_keys import keys
from heliograph.cli.settle_parties import Party, key_line, read_keys
from heliograph.config import described
from heliograph.errors import ConfigError
from heliograph.settlement.keyring import PublicKey, Signer

PREFIX = "HELIOGRAPH_SETTLEMENT_"
PUBLIC = Signer.generate("theirs-1").public()


@pytest.fixture(autouse=True)
def usable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in described():
        monkeypatch.delenv(setting.variable, raising=False)
    keys("ours-1", tmp_path)
    (tmp_path / "theirs").write_text(f"# of last year\n\n{key_line(PUBLIC)}\n")
    for name, value in {
        "LINK": "acme",
        "PRIMARY": "redis://custodian:secret@p:1",
        "REPLICA": "redis://r",
        "SIBLINGS": "redis://s1 redis://s2:7",
        "KEY": "ours-1.pem",
        "PEER_KEYS": "theirs",
        "JOURNAL": "x.sqlite",
        "ASSETS": "BTC ETH",
        "DISPUTE_WINDOW": "1.5",
    }.items():
        monkeypatch.setenv(PREFIX + name, value)


def test_a_custodian_is_what_its_settings_say() -> None:
    settings = Party().custodian()
    assert (settings.link, settings.name, settings.window_ns) == ("acme", "custodian", 1_500_000_000)
    assert [(s.host, s.port) for s in settings.siblings] == [("s1", 6379), ("s2", 7)]
    assert (settings.primary.username, settings.primary.password) == ("custodian", "secret")
    assert settings.assets == {"BTC", "ETH"}
    assert settings.signer.name == "ours-1"
    assert settings.keys == (PUBLIC,)


def test_an_exchange_is_what_its_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Party().exchange().writer is None
    monkeypatch.setenv(PREFIX + "REPLICA_WRITER", "redis://exchange-write:secret@r")
    settings = Party().exchange()
    assert settings.writer is not None
    assert settings.writer.username == "exchange-write"
    assert (settings.journal, settings.policy.house) == (Path("x.sqlite"), "house")


@pytest.mark.parametrize("missing", ["LINK", "PRIMARY", "REPLICA", "KEY", "PEER_KEYS"])
def test_a_setting_that_is_missing_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PREFIX + missing)
    with pytest.raises(ConfigError, match=f"{PREFIX}{missing} is not set"):
        Party().custodian()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LINK", "a b", "not the name of a link"),
        ("PRIMARY", "http://p", "no known form"),
        ("KEY", "nowhere.pem", "nowhere.pem cannot be read"),
        ("KEY", "theirs", "no PEM"),
        ("DISPUTE_WINDOW", "-1", "DISPUTE_WINDOW is"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ConfigError, match=said):
        Party().custodian()


def test_keys_are_read_with_the_messages_that_they_may_sign(tmp_path: Path) -> None:
    old = PublicKey("theirs-0", Signer.generate("x").public().key, 1, 41)
    new = PublicKey("theirs-2", Signer.generate("x").public().key, 42)
    (tmp_path / "theirs").write_text(f"{key_line(old)}\n{key_line(new)}\n")
    assert read_keys(tmp_path / "theirs") == (old, new)


@pytest.mark.parametrize(
    "line",
    ["theirs", "theirs !", f"{key_line(PUBLIC)} 1 2", f"{key_line(PUBLIC)} x", "theirs QUJD", ""],
    ids=["no key", "no base64", "too much", "no number", "too short", "nothing"],  # A fresh key is in some.
)
def test_a_line_that_is_no_key_is_told(line: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text(line + "\n")
    with pytest.raises(ConfigError, match=r"NAME KEY"):
        read_keys(tmp_path / "theirs")


def test_two_keys_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text(f"{key_line(PUBLIC)}\n{key_line(PUBLIC)}\n")
    with pytest.raises(ConfigError, match="two keys"):
        read_keys(tmp_path / "theirs")


def test_a_journal_is_not_made_by_mistake() -> None:
    for opened in (Party().journal_to_read, Party().journal_to_sign):
        with pytest.raises(ConfigError, match="there is no journal"):
            opened()
    assert not Path("x.sqlite").exists()


def test_limits_are_read_from_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=f"{PREFIX}LIMITS is not set"):
        Party().limits()
    monkeypatch.setenv(PREFIX + "LIMITS", "limits.toml")
    (tmp_path / "limits.toml").write_text('[assets.BTC]\nuser_max = "5"\nday_max = "7.5"\n[default]\nlink_max = "9"\n')
    limits = Party().limits()
    assert (limits.of("BTC").user_max, limits.of("BTC").day_max) == (Decimal(5), Decimal("7.5"))
    assert limits.of("ETH").link_max == Decimal(9)


@pytest.mark.parametrize("text", ["x", "[assets.BTC]\nuser_mx = '1'", "[default]\nuser_max = 'NaN'", "worth_max = '1'"])
def test_a_file_that_is_no_limits_is_told(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "LIMITS", "limits.toml")
    (tmp_path / "limits.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"limits\.toml"):
        Party().limits()
