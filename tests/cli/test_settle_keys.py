"""`heliograph settle keys`."""

from pathlib import Path

import pytest

from heliograph.cli.settle_keys import keys
from heliograph.cli.settle_parties import read_keys
from heliograph.errors import ConfigError
from heliograph.settlement.keyring import Keyring, Signer


def test_the_line_verifies_what_the_file_signs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys("acme-1", tmp_path) == 0
    private = tmp_path / "acme-1.pem"
    assert private.stat().st_mode & 0o777 == 0o600
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    public = tmp_path / "peer.keys"
    public.write_text(printed)
    signature = Signer.from_pem("acme-1", private.read_bytes()).sign(b"content")
    Keyring(read_keys(public)).verify("acme-1", 1, b"content", signature)


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    keys("acme-1", tmp_path)
    before = (tmp_path / "acme-1.pem").read_bytes()
    with pytest.raises(ConfigError, match="is not replaced: choose a new name"):
        keys("acme-1", tmp_path)
    assert (tmp_path / "acme-1.pem").read_bytes() == before


@pytest.mark.parametrize(("name", "said"), [("", "bad_name"), ("a b", "bad_name"), ("../x", "has a slash")])
def test_a_name_that_is_none_is_refused(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        keys(name, tmp_path)


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        keys("acme-1", tmp_path / "nowhere")
