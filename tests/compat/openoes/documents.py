"""The examples of the two documents that the SDK comes from, to the letter."""

import re
from pathlib import Path
from typing import Any

DOCUMENTS = ("openoes-sdk", "redis-mirror-ce-sdk")
FOLDER = Path(__file__).parent / "snippets"
SEEDS = Path(__file__).parents[4] / "shared" / "seeds"
"""The documents themselves, where they lie beside the checkout."""

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def examples(document: Path) -> list[str]:
    """Return the Python examples of a document, in their order."""
    return _BLOCK.findall(document.read_text(encoding="utf-8"))


def example(document: str, number: int) -> str:
    """Return one example, counted from 1 as in the facts of the two documents."""
    return examples(FOLDER / f"{document}.txt")[number - 1]


def play(document: str, number: int, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run an example as printed, and return what its names stand for.

    Args:
        document: which one.
        number: the example's.
        names: what the example takes for given; it is this dict that gets the example's own names, also while it runs.

    """
    names = {} if names is None else names
    exec(compile(example(document, number), f"{document}, example {number}", "exec"), names)
    return names
