"""Amounts are printed to the last digit, in their one spelling, and a row is a line."""

import json
from decimal import Decimal

import pytest

from heliograph.cli.settle_table import instant, moment, print_json, print_table, text
from heliograph.errors import ConfigError
from heliograph.settlement.ledger import Position


def test_json_has_amounts_as_text_without_exponents(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": (Position(available=Decimal("1E+3")),), "b": Decimal("-0.50"), "c": None, "d": 7})
    told = json.loads(capsys.readouterr().out)
    assert told["a"][0]["available"] == "1000"
    assert (told["b"], told["c"], told["d"]) == ("-0.5", None, 7)


def test_a_row_is_a_line_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("what", "amount"), [("x" * 500, Decimal("1E-18")), ("[red]", None)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "0.000000000000000001" in lines[1]
    assert "[red]" in lines[2]


@pytest.mark.parametrize(
    ("said", "ns"),
    [
        ("", None),
        ("1970-01-01", 0),
        ("2001-09-09T01:46:40Z", 10**18),
        ("2001-09-09T03:46:40.000001+02:00", 10**18 + 1000),
    ],
)
def test_an_instant_is_read_as_utc_unless_it_says_otherwise(said: str, ns: int | None) -> None:
    assert moment(said) == ns


def test_what_is_no_instant_is_refused() -> None:
    with pytest.raises(ConfigError, match="not an instant"):
        moment("soon")


def test_what_stands_in_a_cell() -> None:
    assert [text(cell) for cell in (Decimal("5.00"), None, 3, "x")] == ["5", "", "3", "x"]
    assert (instant(0), instant(10**18)) == ("", "2001-09-09T01:46:40.000Z")
