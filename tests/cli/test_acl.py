"""`heliograph acl`, called as the command line calls it, and in processes of its own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.bus.acl_admin import open_as
from heliograph.bus.acl_roles import Place, Role, Secret
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.cli.acl import Wanted, apply, show, verify
from heliograph.config import described
from heliograph.errors import ConfigError
from heliograph.sim.authority import Authority
from tests.bus.certificates import certify, with_tls
from tests.cli.commands import finished
from tests.conftest import binary_of

PASSWORD = "hunter2 hunter2 hunter2"


@pytest.fixture(autouse=True)
def passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in described():
        monkeypatch.delenv(setting.variable, raising=False)
    for role in Role:
        monkeypatch.setenv(f"HELIOGRAPH_ACL_{role.upper()}", f"{PASSWORD} {role}")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


def _wanted(pair: Pair, **more: object) -> Wanted:
    return Wanted(link="acme", primary=[pair.primary.url], replica=[pair.replica.url], **more)  # type: ignore[arg-type]


async def _poison(url: str, *rules: str) -> None:
    link = await open_as(parse_url(url), "admin", f"{PASSWORD} {Role.ADMIN}")
    await link.request("ACL", "SETUSER", *rules)
    link.abort("done")


def test_from_nothing_to_no_default_user_and_back_to_what_was_mended(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(_wanted(pair), as_json=True) == 1
    capsys.readouterr()

    assert apply(_wanted(pair), default_off=True, as_json=True) == 0
    printed = capsys.readouterr().out
    assert "hunter2" not in printed
    assert Secret(f"{PASSWORD} exchange").hash[1:] not in printed
    told = json.loads(printed)
    assert told["ok"] is True
    assert [f["level"] for f in told["findings"] if f["check"] == "default user"] == ["ok", "ok"]

    assert verify(_wanted(pair), as_json=False) == 0
    assert "0 failed" in capsys.readouterr().out
    assert apply(_wanted(pair), default_off=True, as_json=False) == 0
    assert "0 changed, 0 failed" in capsys.readouterr().out


async def test_a_right_that_must_not_be_is_told_by_role_command_and_key(pair: Pair) -> None:
    url = pair.replica.url
    await _poison(url, "exchange", "+set", "~CI:*")
    arguments = ("--link", "acme", "--replica", url, "--json")
    environment = finished("acl", "verify", *arguments)
    assert environment.returncode == 1, environment.stderr
    told = json.loads(environment.stdout)
    failed = [f"{f['user']}: {f['found']}" for f in told["findings"] if f["level"] == "FAIL"]
    assert told["ok"] is False
    assert "exchange: SET CI:acl-probe:ASSET is allowed, and must not be" in failed
    table = finished("acl", "verify", *arguments[:-1])
    assert table.returncode == 1
    assert b"FAIL" in table.stdout
    mended = finished("acl", "apply", *arguments[:-1], "--role", "exchange")
    assert (mended.returncode, mended.stderr) == (0, b"")
    assert b"hunter2" not in mended.stdout


def test_what_the_servers_have_is_shown_without_passwords(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert apply(_wanted(pair), default_off=False, as_json=True) == 0
    capsys.readouterr()
    assert show(_wanted(pair), as_json=True) == 0
    lines = json.loads(capsys.readouterr().out)
    assert {line["held"] for line in lines} == {"as it should be"}
    assert {line["user"] for line in lines} >= {"exchange", "custodian", "auditor", "replication", "admin"}
    assert show(_wanted(pair, roles=["feed"]), as_json=False) == 0
    assert "feed" not in capsys.readouterr().out.replace("feed:", "")


def test_rules_are_shown_without_a_server_and_without_passwords(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HELIOGRAPH_ACL_EXCHANGE")
    assert show(Wanted(link="acme", roles=["exchange"]), as_json=False) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# replica\nACL SETUSER exchange reset on")
    assert '"(-@all +xadd %W~exchange:stream:acme:answer:0' in printed
    assert show(Wanted(link="acme", roles=["exchange"], portable=True), as_json=True) == 0
    assert [line["user"] for line in json.loads(capsys.readouterr().out)] == ["exchange-write", "exchange-read"]
    assert show(Wanted(), as_json=False) == 0
    assert "custodian" not in capsys.readouterr().out


def test_passwords_come_from_a_file_as_well_and_as_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for role in Role:
        monkeypatch.delenv(f"HELIOGRAPH_ACL_{role.upper()}")
    file = tmp_path / "secrets.toml"
    file.write_text(f'[acl]\nfeed = "{Secret(PASSWORD).hash}"\n')
    assert apply(Wanted(bus=[valkey.url], settings=file), default_off=False, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)["findings"]
    assert {f["user"] for f in told if f["changed"]} == {"feed"}


def test_over_tls_with_the_settings_files_replication_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    binary = with_tls(binary_of("redis-7.0"))
    authority = Authority()
    files = certify(tmp_path, "operator", authority)
    for name, path in (("CA", files.ca_file), ("CERT", files.certificate_file), ("KEY", files.key_file)):
        monkeypatch.setenv(f"HELIOGRAPH_VALKEY_{name}", str(path))
    with Pair(binary=binary, tls=certify(tmp_path, "server", authority)) as pair:
        ports = (pair.primary.port, pair.replica.port)
        primary, replica = ([f"rediss://127.0.0.1:{port}"] for port in ports)
        wanted = Wanted(link="acme", primary=primary, replica=replica)
        code = apply(wanted, default_off=True, as_json=True)
        told = json.loads(capsys.readouterr().out)
        assert code == 0, [f for f in told["findings"] if f["level"] != "ok"]
        assert verify(wanted, as_json=False) == 0
        with pytest.raises(ConfigError, match="not one of TLS"):
            verify(Wanted(bus=[f"redis://127.0.0.1:{ports[0]}"]), as_json=False)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(), "no server is named"),
        (Wanted(bus=["redis://h"], roles=["king"]), "unknown role 'king'; accepted: admin, custodian"),
        (Wanted(bus=["redis://h"], link="a b"), "cannot stand in a rule"),
        (Wanted(bus=["http://h"]), "no known form"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(wanted: Wanted, said: str) -> None:
    for command in (lambda: apply(wanted, default_off=False, as_json=False), lambda: verify(wanted, as_json=False)):
        with pytest.raises(ConfigError, match=said):
            command()


def test_a_password_that_is_missing_or_short_is_refused_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HELIOGRAPH_ACL_FEED")
    with pytest.raises(ConfigError, match="HELIOGRAPH_ACL_FEED"):
        Wanted(roles=["feed"]).scheme(needs_secrets=True)
    assert [account.role for account in Wanted(roles=["feed"]).scheme(needs_secrets=False).accounts] == [
        "admin",
        "feed",
    ]
    monkeypatch.setenv("HELIOGRAPH_ACL_FEED", "hunter2")
    with pytest.raises(ConfigError, match="HELIOGRAPH_ACL_FEED is shorter than 16") as refused:
        Wanted(roles=["feed"]).scheme(needs_secrets=True)
    assert "hunter2" not in str(refused.value)


def test_one_server_that_is_named_twice_is_both() -> None:
    wanted = Wanted(primary=["redis://p"], bus=["redis://p:6379", "redis+cluster://b:1,c:2"], replica=["redis://r"])
    assert [(node.endpoint.host, node.places) for node in wanted.nodes()] == [
        ("p", (Place.PRIMARY, Place.BUS)),
        ("b", (Place.BUS,)),
        ("c", (Place.BUS,)),
        ("r", (Place.REPLICA,)),
    ]
