"""The table of traps is whole, and what it names is there."""

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "traps.md"
ROW = re.compile(r"\| ([TM]\d+) \| (.+?) \| (?:`([^`]+)`|(later)) \|")
IDS = [f"T{number}" for number in range(1, 35)] + [f"M{number}" for number in range(1, 23)]
LATER = {"T21", "T22", "T23", "T24", "T25", "T26"}
"""What concerns orders alone."""


def rows(text: str) -> dict[str, str]:
    """Return the test of each id, or `later`."""
    return {found[1]: found[3] or found[4] for line in text.splitlines() if (found := ROW.fullmatch(line))}


@cache
def claims_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(n.name for n in tree.body if isinstance(n, kinds) and n.name.startswith("test_"))


def lacking(table: dict[str, str]) -> list[str]:
    """Return what is named in the table and not there."""
    nodes = [node for node in table.values() if node != "later"]
    return [node for node in nodes if node.partition("::")[2] not in claims_of(ROOT / node.partition("::")[0])]


def test_every_trap_is_in_the_table_and_every_test_that_it_names_exists() -> None:
    table = rows(TABLE.read_text())
    assert list(table) == IDS
    assert lacking(table) == []


def test_a_name_that_is_mistaken_would_be_found() -> None:
    assert lacking({"T1": "tests/test_traps.py::test_nothing"}) == ["tests/test_traps.py::test_nothing"]
    assert lacking({"T1": "tests/nowhere.py::test_nothing"}) == ["tests/nowhere.py::test_nothing"]


def test_only_traps_of_orders_have_no_test_and_only_as_long_as_there_are_no_orders() -> None:
    """Whoever adds the layer of orders gives them theirs."""
    later = {name for name, node in rows(TABLE.read_text()).items() if node == "later"}
    assert later <= LATER
    assert not later or importlib.util.find_spec("heliograph.execution") is None


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_m21_every_file_of_tests_has_some(path: Path) -> None:
    assert claims_of(path)
