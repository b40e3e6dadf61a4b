"""The table of the published defects is whole, and what it names is there."""

import re

from tests.test_traps import ROOT, lacking

TABLE = ROOT / "docs" / "openoes.md"
ROW = re.compile(r"\| (D\d+) \| (.+?) \| `([^`]+)` \|")


def test_every_defect_is_in_the_table_and_every_test_that_it_names_exists() -> None:
    rows = {found[1]: found[3] for line in TABLE.read_text().splitlines() if (found := ROW.fullmatch(line))}
    assert list(rows) == [f"D{number}" for number in range(1, 43)]
    assert lacking(rows) == []
    for defect, node in rows.items():
        assert f"_d{int(defect[1:]):02d}_" in node, "the test carries the defect's number"
