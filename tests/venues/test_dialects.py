import ast
from pathlib import Path

import pytest

import heliograph.venues

DIALECTS = sorted(Path(heliograph.venues.__file__).parent.glob("*/dialect*.py"))


@pytest.mark.parametrize("path", DIALECTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_dialect_takes_nothing_from_its_venue_but_the_dialect_s_other_parts(path: Path) -> None:
    """Or the simulator would not be a second reading of the venue's documentation, and our codec its own judge."""
    own = f"heliograph.venues.{path.parent.name}"
    taken = {
        name
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }
    assert all(name.startswith(f"{own}.dialect") for name in taken if name.startswith(own))


def test_there_are_dialects_to_check() -> None:
    assert {path.parent.name for path in DIALECTS} >= {"binance", "okx"}
