"""The options of `heliograph settle`."""

import pytest

from heliograph.cli.main import run
from heliograph.cli.settle_commands import settle_app
from tests.cli.parties import COMMAND

NAMES = [command.name or "" for command in settle_app.registered_commands]


@pytest.mark.parametrize("command", NAMES)
def test_every_command_has_help_and_goes_by_a_file_of_settings(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(COMMAND, ["settle", command, "--help"]) == 0
    printed = capfd.readouterr().out
    assert f"Usage: heliograph settle {command}" in printed
    if command not in ("keys", "statement"):
        assert "--config" in printed
        assert "--json" in printed


def test_a_mistake_says_what_there_is(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(COMMAND, ["settle", "plegde"]) == 2
    assert "; accepted: keys, deposit" in capfd.readouterr().err
