"""The table of traps is whole, and what it names is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "traps.md"
ROW = re.compile(r"\| ([TM]\d+) \| (.+?) \| `([^`]+)` \|")
IDS = [f"T{number}" for number in range(1, 35)] + [f"M{number}" for number in range(1, 23)]
VENUES_OF_ORDERS = {
    "T20": {"okx", "bybit", "hyperliquid"},
    "T21": {"binance", "okx", "bybit", "gateio", "hyperliquid", "luno"},
    "T22": {"binance"},
    "T23": {"bybit", "luno", "gateio"},
    "T24": {"hyperliquid"},
    "T25": {"binance", "bybit"},
    "T26": {"okx", "bybit", "gateio", "luno"},
}
"""Where each trap of orders is known to be set; each of these venues has a test of its own."""


def rows(text: str) -> dict[str, str]:
    """Return the test of each id."""
    return {found[1]: found[3] for line in text.splitlines() if (found := ROW.fullmatch(line))}


@cache
def claims_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(n.name for n in tree.body if isinstance(n, kinds) and n.name.startswith("test_"))


def lacking(table: dict[str, str]) -> list[str]:
    """Return what is named in the table and not there."""
    return [node for node in table.values() if node.partition("::")[2] not in claims_of(ROOT / node.partition("::")[0])]


def test_every_trap_is_in_the_table_and_every_test_that_it_names_exists() -> None:
    table = rows(TABLE.read_text())
    assert list(table) == IDS
    assert lacking(table) == []


def test_a_name_that_is_mistaken_would_be_found() -> None:
    assert lacking({"T1": "tests/test_traps.py::test_nothing"}) == ["tests/test_traps.py::test_nothing"]
    assert lacking({"T1": "tests/nowhere.py::test_nothing"}) == ["tests/nowhere.py::test_nothing"]


@pytest.mark.parametrize("trap", VENUES_OF_ORDERS)
def test_a_trap_of_orders_has_a_test_at_every_venue_that_sets_it(trap: str) -> None:
    for venue in VENUES_OF_ORDERS[trap]:
        claims = claims_of(ROOT / "tests" / "venues" / venue / "test_orders.py")
        assert any(f"_{trap.lower()}_" in claim for claim in claims), venue


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_m21_every_file_of_tests_has_some(path: Path) -> None:
    assert claims_of(path)
