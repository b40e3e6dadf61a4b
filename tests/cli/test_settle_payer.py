"""A program that pays withdrawals out."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from heliograph.cli.settle_payer import paying
from heliograph.errors import SettlementError
from heliograph.settlement.passage import Passage

OUT = Passage("out-1", "withdrawal", "alice", "BTC", Decimal("1E+2"), "Bitcoin", "bc1q; rm -rf $HOME", "leaving")


def _program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o700)
    return path


async def test_it_is_told_the_withdrawal_to_the_letter(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = (
        f"#!/usr/bin/env python3\nimport json, sys\njson.dump(sys.argv[1:], open({str(tmp_path / 'told')!r}, 'w'))\n"
    )
    await paying(_program(tmp_path / "payer", script + "print('noise')\n"))(OUT)
    told = json.loads((tmp_path / "told").read_text())
    assert told == ["out-1", "alice", "BTC", "100", "Bitcoin", "bc1q; rm -rf $HOME"]
    assert capfd.readouterr().out == ""


async def test_what_does_not_end_with_0_has_not_paid(tmp_path: Path) -> None:
    with pytest.raises(SettlementError, match="ended with 3") as refused:
        await paying(_program(tmp_path / "payer", "#!/bin/sh\nexit 3\n"))(OUT)
    assert refused.value.code == "not_paid"
    with pytest.raises(SettlementError, match="cannot be run: No such file"):
        await paying(tmp_path / "nowhere")(OUT)
