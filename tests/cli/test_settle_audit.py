"""`heliograph settle audit`: there and from an export, as it is and after somebody changed something."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.bus.embedded_pair import Pair
from heliograph.cli.acl import Wanted, apply
from heliograph.cli.settle_parties import Party
from heliograph.settlement.custodian import Custodian
from tests.cli.parties import Parties, parties
from tests.settlement.byhand import FIVE, TEN


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture(scope="module")
def made(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Parties:
    made = parties(pair, "audited", tmp_path_factory.mktemp("audited"))

    async def live() -> None:
        async with Custodian(Party(Path(made.custodian[1])).custodian()) as custodian:
            await custodian.deposit("alice", "BTC", TEN, "wire-1")
            await custodian.request("r1", FIVE)

    asyncio.run(live())
    return made


def test_a_ledger_that_is_whole_is_audited_there_and_from_its_export(made: Parties, tmp_path: Path) -> None:
    export = tmp_path / "export"
    told = made.told("audit", "--export", str(export))
    assert (told["entries"], told["findings"]) == (2, [])
    assert made.told("audit", str(export)) == told
    printed = made.settle("audit", str(export))
    assert printed.startswith("link audited: 2 entries replayed")
    made.settle("audit", "--export", str(export), code=2)  # Never written over.
    made.settle("audit", str(export), "--export", str(tmp_path / "other"), code=2)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (b'\\"amount\\":\\"10\\"', b'\\"amount\\":\\"11\\"', "changed"),
        (b'{"item":"end"', b'{"item":"ende"', "corrupt"),
    ],
)
def test_an_export_that_was_changed_is_told_with_the_place(
    made: Parties, tmp_path: Path, before: bytes, after: bytes, kind: str
) -> None:
    export = tmp_path / "export"
    made.settle("audit", "--export", str(export))
    raw = export.read_bytes()
    assert before in raw
    export.write_bytes(raw.replace(before, after))
    assert made.told("audit", str(export), code=1)["findings"][0]["kind"] == kind
    assert f"the first: {kind} at entry " in made.settle("audit", str(export), code=1)


def test_a_balance_that_was_changed_on_the_primary_is_told_with_its_key(pair: Pair, made: Parties) -> None:
    key = "ledger:audited:position:alice:BTC"
    pair.primary.ask("HSET", key, "available", "500")
    try:
        printed = made.settle("audit", code=1)
    finally:
        pair.primary.ask("HSET", key, "available", "5")
    assert f"the first: differs at entry 2, {key} available" in printed
    assert made.told("audit")["findings"] == []


def test_what_cannot_be_audited_is_told(
    made: Parties, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made.settle("audit", str(tmp_path / "none"), code=2)
    assert "cannot be read" in capsys.readouterr().err
    (tmp_path / "junk").write_text("{}\n")
    made.settle("audit", str(tmp_path / "junk"), code=1)
    assert "line 1 is no opening" in capsys.readouterr().err
    monkeypatch.setenv("HELIOGRAPH_SETTLEMENT_LINK", "nothing")
    made.settle("audit", "--export", str(tmp_path / "empty"), code=1)
    assert "knows no link 'nothing' (unknown_link)" in capsys.readouterr().err


def test_everything_is_done_with_the_least_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roles = ("admin", "custodian", "exchange", "auditor", "replication")
    for role in roles:
        monkeypatch.setenv(f"HELIOGRAPH_ACL_{role.upper()}", f"{role}-{role}-{role}")
    with Pair() as pair:
        made = parties(pair, "least", tmp_path)
        wanted = Wanted(link="least", primary=[pair.primary.url], replica=[pair.replica.url])
        assert apply(wanted, default_off=False, as_json=True) == 0
        ours, theirs = Path(made.custodian[1]), Path(made.exchange[1])
        bare = ours.read_text()
        ours.write_text(bare.replace("redis://", "redis://custodian:custodian-custodian-custodian@"))
        theirs.write_text(theirs.read_text().replace("redis://", "redis://exchange:exchange-exchange-exchange@"))
        statement = tmp_path / "statement"
        with made.serving():
            made.settle("deposit", "alice", "BTC", "10", "--reference", "wire-1")
            made.settle("pledge", "alice", "BTC", "4")
            statement.write_text(made.settle("statement", exchange=True))
        assert made.told("audit")["unseen"] == []
        ours.write_text(bare.replace("redis://", "redis://auditor:auditor-auditor-auditor@"))
        audited = made.told("audit")
        assert (audited["entries"], audited["findings"]) == (3, [])
        assert "CI:*" in [unseen["place"] for unseen in audited["unseen"]]
        assert "not looked at: CI:*" in made.settle("audit")
        assert made.told("reconcile", "--statement", str(statement))["agreed"]
        assert made.told("credit")["custodian"][0]["credit"] == "4"
