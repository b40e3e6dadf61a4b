"""The options of `heliograph acl`."""

import pytest
import typer

from heliograph.cli.main import app, run

COMMAND = typer.main.get_command(app)


@pytest.mark.parametrize("command", ["apply", "verify", "show"])
def test_every_command_has_help(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(COMMAND, ["acl", command, "--help"]) == 0
    printed = capfd.readouterr().out
    assert f"Usage: heliograph acl {command}" in printed
    for option in ("--link", "--primary", "--sibling", "--replica", "--bus", "--role", "--portable", "--json"):
        assert option in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["acl", "verify"], "heliograph: no server is named; accepted: --primary URL"),
        (["acl", "verify", "--bus", "redis://h", "--role", "king"], "unknown role 'king'; accepted: admin"),
        (["acl", "aply"], "; accepted: apply, verify, show"),
        (["acl", "show", "--link", "a b"], "cannot stand in a rule"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HELIOGRAPH_ACL_ADMIN", raising=False)
    assert run(COMMAND, arguments) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_a_server_that_is_away_is_told_and_exit_code_1(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(COMMAND, ["acl", "verify", "--bus", "redis://127.0.0.1:1", "--json"]) == 1
    assert '"ok": false' in capfd.readouterr().out
