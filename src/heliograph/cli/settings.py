"""`heliograph config show|check`."""

import json as json_format
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from heliograph import config


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
    for name, default, meaning in config.variables():
        value = "" if values[name] is None else str(values[name])
        table.add_row(name, value, default, meaning)
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


def _without_password(value: Any) -> Any:
    if not isinstance(value, str) or "@" not in value or "://" not in value:
        return value
    scheme, rest = value.split("://", 1)
    return f"{scheme}://***@{rest.rsplit('@', 1)[1]}"
