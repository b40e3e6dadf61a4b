"""`heliograph config show|check|doc`."""

import json as json_format
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from heliograph import config

_PREAMBLE: Final = """\
# Configuration

Made by `heliograph config doc`; a test holds it equal. `heliograph config show` prints what holds where you stand, and
`heliograph config check` says whether all of it can be used. An unknown name fails, and the error says which one was
probably meant.

Stronger wins: the command line, the environment, `.env` in the working directory, a TOML file (`--config FILE`, or what
`HELIOGRAPH_CONFIG` names), the default. In TOML a section below is a table, and a key is the variable without its
prefix, in small letters:
"""

_ABOUT: Final = {
    "connector": "The OHLCV connector's settings, under the names of its document: feeds, their REST, and the gateway.",
    "bus": "Where the server is, and how much market data it keeps.",
    "repair": "How a feed mends its record.",
    "acl": "The passwords of the users that `heliograph acl` makes, one a role.",
    "settlement": "One party's end of a link between a custodian and an exchange: [how to set it up](settlement.md).",
    "luno": "An API key to Luno, which tells market data to nobody without one. Give it no permission to trade.",
}

_ENV_PREAMBLE: Final = """\
# Every setting with its default, made by `heliograph config doc --env`. Copy to .env and change what you need.
"""


def _loaded(file: Path | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for section in config.SECTIONS.values():
        settings = config.load(section, file)
        prefix = section.model_config["env_prefix"]
        values |= {f"{prefix}{name.upper()}": value for name, value in settings.model_dump(mode="json").items()}
    return values


def show(file: Path | None, *, as_json: bool) -> int:
    """Print every setting with its value and meaning; a password in a URL is not shown.

    Args:
        file: a TOML file of settings.
        as_json: one JSON object instead of a table.

    """
    values = {name: _without_password(value) for name, value in _loaded(file).items()}
    if as_json:
        print(json_format.dumps(values, indent=2))
        return 0
    table = Table(box=None, header_style="bold")
    for heading in ("variable", "value", "default", "meaning"):
        table.add_column(heading, overflow="fold")
    for setting in config.described():
        held = values[setting.variable]
        table.add_row(setting.variable, "" if held is None else str(held), setting.default, setting.meaning)
    Console().print(table)
    return 0


def check(file: Path | None) -> int:
    """Read all settings; whatever is wrong is raised as `ConfigError`.

    Args:
        file: a TOML file of settings.

    """
    count = len(_loaded(file))
    print(f"{count} settings, all usable")
    return 0


def doc(*, as_env: bool) -> int:
    """Print what every setting means, whatever is set here: name, default, unit, bounds.

    Args:
        as_env: as a file for `.env`, instead of Markdown.

    """
    print(environment() if as_env else markdown(), end="")
    return 0


def markdown() -> str:
    """Return the page about the settings."""
    settings = list(config.described())
    port = next(setting for setting in settings if setting.variable == "CONNECTOR_WSS_PORT")
    parts = [_PREAMBLE, f"\n```toml\n[{port.section}]\n{port.name} = {port.default}  # {port.variable}\n```\n"]
    for heading, about in _ABOUT.items():
        parts.append(f"\n## `[{heading}]`\n\n{about}\n\n")
        rows = [
            (f"`{s.variable}`", f"`{s.default}`" if s.default else "none", s.unit, s.accepted, s.meaning)
            for s in settings
            if s.section == heading
        ]
        parts.append(_table(("variable", "default", "unit", "accepted", "meaning"), rows))
    parts.append("\n## Variables beside them\n\n")
    parts.append(_table(("variable", "meaning"), [(f"`{name}`", what) for name, what in config.OUTSIDE.items()]))
    return "".join(parts)


def environment() -> str:
    """Return `.env.example`."""
    parts = [_ENV_PREAMBLE]
    for setting in config.described():
        # A setting without a default is absent, not empty.
        line = f"{'' if setting.default else '# '}{setting.variable}={setting.default}"
        parts.append(f"\n# {setting.meaning}.\n{line}\n")
    return "".join(parts)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    ruled = [heads, tuple("---" for _ in heads), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in ruled)


def _without_password(value: Any) -> Any:
    if not isinstance(value, str) or "@" not in value or "://" not in value:
        return value
    scheme, rest = value.split("://", 1)
    return f"{scheme}://***@{rest.rsplit('@', 1)[1]}"
