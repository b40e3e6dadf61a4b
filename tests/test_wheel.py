"""What is shipped is whole: the wheels, their programs, and the links of the pages."""

import re
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Both distributions, built without the network as an index would get them."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, ROOT / "compat"):
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return sorted(folder.glob("*.whl"))


def names_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_m21_a_wheel_has_every_module_and_each_can_be_imported(wheels: list[Path], tmp_path: Path) -> None:
    names = set().union(*map(names_of, wheels))
    written = {p.relative_to(ROOT / "src").as_posix() for p in (ROOT / "src").rglob("*.py")}
    written |= {p.relative_to(ROOT / "compat").as_posix() for p in (ROOT / "compat").rglob("*.py")}
    assert written - names == set()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path)
    modules = sorted(
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in written
        if not name.endswith("__main__.py")
    )
    # What was unpacked comes before the sources, which the environment of the tests has as well.
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"from importlib import import_module\n"
        f"for name in {modules!r}:\n"
        f"    module = import_module(name)\n"
        f"    assert module.__file__.startswith({str(tmp_path)!r}), module.__file__\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_m21_every_program_that_a_wheel_installs_is_in_it(wheels: list[Path]) -> None:
    programs = set()
    for wheel in wheels:
        names = names_of(wheel)
        for name in [n for n in names if n.endswith(".dist-info/entry_points.txt")]:
            parser = ConfigParser()
            parser.read_string(zipfile.ZipFile(wheel).read(name).decode())
            for program, target in parser["console_scripts"].items():
                programs.add(program)
                assert f"{target.partition(':')[0].replace('.', '/')}.py" in names
    assert programs >= {"heliograph", "connector-cli", "connector-wss"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_m21_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []
