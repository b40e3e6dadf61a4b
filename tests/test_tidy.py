"""CONVENTIONS as a test: what a linter does not know of this house."""

import ast
import builtins
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = sorted(p for top in ("src", "compat") for p in (ROOT / top).rglob("*.py"))
EVERYTHING = sorted(
    p
    for top in ("src", "compat", "tests", "bench", "fuzz", "examples")
    if (ROOT / top).exists()
    for p in (ROOT / top).rglob("*.py")
)

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
NAMELESS = {"utils", "util", "helpers", "helper", "common", "base", "misc", "manager", "managers"}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _code_lines(source: str) -> set[int]:
    """Return the numbers of the lines that hold code: no comment, no blank, no docstring."""
    held: set[int] = set()
    skipped = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER
    }  # fmt: skip
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skipped:
            held.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            held.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return held


@pytest.mark.parametrize("path", PRODUCT, ids=_name)
def test_a_module_has_at_most_400_code_lines_and_a_function_50(path: Path) -> None:
    source = path.read_text()
    held = _code_lines(source)
    assert len(held) <= MODULE_LINES_MAX, f"{_name(path)} has {len(held)} code lines: split it by subject"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = len(held & set(range(node.lineno, (node.end_lineno or node.lineno) + 1)))
            assert lines <= FUNCTION_LINES_MAX, f"{_name(path)}: {node.name} has {lines} code lines"


@pytest.mark.parametrize("path", EVERYTHING, ids=_name)
def test_a_module_is_named_for_its_noun(path: Path) -> None:
    words = set(path.stem.split("_"))
    assert not words & NAMELESS, f"{_name(path)}: name it for what it holds"
    assert not re.search(r"_(v\d+|old|new|backup|copy)$", path.stem)


@pytest.mark.parametrize("path", PRODUCT, ids=_name)
def test_a_broad_except_says_why(path: Path) -> None:
    lines = path.read_text().splitlines()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type
        names = {n.id for n in ast.walk(caught) if isinstance(n, ast.Name)} if caught is not None else {"BaseException"}
        if names & {"Exception", "BaseException"} and not isinstance(node.body[-1], ast.Raise):
            here = "".join(lines[node.lineno - 2 : node.body[0].lineno])
            assert "#" in here, f"{_name(path)}:{node.lineno}: say why everything is caught here"


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


@pytest.mark.parametrize("path", EVERYTHING, ids=_name)
def test_comments_are_sentences_not_banners(path: Path) -> None:
    for line, comment in _comments(path):
        assert not re.search(r"[-=#*]{4,}", comment), f"{_name(path)}:{line}: no banners"
        assert not re.search(r"\bTODO\b(?!\(#\d+\))|\bFIXME\b|\bXXX\b", comment), f"{_name(path)}:{line}: TODO(#issue)"


@pytest.mark.parametrize("path", EVERYTHING, ids=_name)
def test_no_path_of_a_machine_and_no_emoji(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"""["'(\s]/(work|home|root|Users)/""", text), _name(path)
    assert not any(ord(c) >= 0x1F000 for c in text), _name(path)


def test_errors_do_not_take_the_names_of_builtins() -> None:
    tree = ast.parse((ROOT / "src/heliograph/errors.py").read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert not names & set(dir(builtins))


def test_exceptions_are_defined_in_errors_only() -> None:
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and path.name != "errors.py":
                bases = {ast.unparse(b) for b in node.bases}
                assert not {b for b in bases if b.endswith(("Error", "Exception"))}, f"{_name(path)}: {node.name}"


def test_money_is_never_a_float() -> None:
    for path in sorted((ROOT / "src/heliograph/model").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AnnAssign):
                assert "float" not in ast.unparse(node.annotation), f"{_name(path)}:{node.lineno}"


def test_importing_the_house_does_nothing() -> None:
    modules = [
        ".".join(p.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        for p in PRODUCT
        if p.is_relative_to(ROOT / "src") and p.name != "__main__.py"
    ]
    script = (
        "import os, sys, threading, logging, socket\n"
        "before = dict(os.environ)\n"
        "def refuse(*a, **k): raise AssertionError('a socket was opened by an import')\n"
        "opened = socket.socket.connect; socket.socket.connect = refuse\n"
        f"for name in {modules!r}: __import__(name)\n"
        "assert dict(os.environ) == before, 'an import changed the environment'\n"
        "assert threading.active_count() == 1, 'an import started a thread'\n"
        "assert not logging.getLogger().handlers, 'an import set logging up'\n"
    )
    done = subprocess.run([sys.executable, "-W", "error::SyntaxWarning", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_product_module_has_its_test_file() -> None:
    """A module that decides or acts is covered by its own test file, in the folder that mirrors its own."""
    missing = []
    for path in sorted((ROOT / "src/heliograph").rglob("*.py")):
        relative = path.relative_to(ROOT / "src/heliograph")
        if path.name in {"__init__.py", "__main__.py"} or not _decides(path):
            continue
        mirrored = ROOT / "tests" / relative.parent
        if not list(mirrored.glob(f"test_{path.stem}*.py")):
            missing.append(str(relative))
    assert not missing, f"no tests/<folder>/test_<module>.py for: {', '.join(missing)}"


def _decides(path: Path) -> bool:
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return any(not _is_declaration(f) for f in functions)


def _is_declaration(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    body = [n for n in function.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
    return not body
