"""What README.md shows is what works."""

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from heliograph.cli import connector_cli, connector_wss, main
from tests.gateway.processes import finish, simulated, spot_of, start

CHECKOUT = Path(__file__).parents[1]
README = (CHECKOUT / "README.md").read_text()
PROGRAMS: dict[str, Any] = {
    "heliograph": typer.main.get_command(main.app),
    "connector-cli": typer.main.get_command(connector_cli.commands),
    "connector-wss": typer.main.get_command(connector_wss.commands),
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    lines = [shlex.split(line, comments=True) for block in blocks("") for line in block.splitlines()]
    return [words for words in lines if words and words[0] in PROGRAMS]


async def test_the_python_example_prints_quotes() -> None:
    (example,) = blocks("python")
    async with simulated() as simulator:
        process = await start(sys.executable, "-c", example, HELIOGRAPH_ENDPOINT=spot_of(simulator))
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode() for _ in range(4)]
        process.terminate()
        assert (await finish(process)).err == []
    assert {line.partition(": ")[0] for line in lines} == {"BTCUSDT", "ETHUSDT"}


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_the_shown_flags_and_arguments(words: list[str]) -> None:
    program, *arguments = words
    command = PROGRAMS[program]
    if program == "heliograph":
        command = command.commands[arguments.pop(0)]
    assert command.make_context(program, arguments).params


def test_every_program_is_shown_and_every_shown_make_target_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), flags=re.MULTILINE))
    shown = set(re.findall(r"(?:`|^)make ([a-z]+)", README, flags=re.MULTILINE))
    assert {"demo", "test"} <= shown <= targets
    assert {words[0] for words in commands()} == set(PROGRAMS)


def test_every_linked_file_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (CHECKOUT / target).exists(), target
