"""`heliograph acl`: its commands and their options; what they do is in `acl.py`, imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

acl_app = typer.Typer(
    help="Roles on servers: put them there, verify or show them.", no_args_is_help=True, rich_markup_mode=None
)

_PLACES = "; may be repeated. User and password in it are an administrator's."
Link = Annotated[str, typer.Option("--link", help="The link between custodian and exchange.")]
Primary = Annotated[list[str] | None, typer.Option("--primary", help=f"URL of the custodian's primary{_PLACES}")]
Sibling = Annotated[list[str] | None, typer.Option("--sibling", help=f"URL of a replica that may be promoted{_PLACES}")]
Replica = Annotated[list[str] | None, typer.Option("--replica", help=f"URL of the exchange's replica{_PLACES}")]
Bus = Annotated[list[str] | None, typer.Option("--bus", help=f"URL of a server of market data{_PLACES}")]
Roles = Annotated[
    list[str] | None, typer.Option("--role", help="Only this role; may be repeated. Default: all with a password.")
]
Settings = Annotated[Path | None, typer.Option("--config", help="A TOML file of settings.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
Portable = Annotated[
    bool, typer.Option("--portable", help="Two users a role as on 6.2, wherever the servers are newer.")
]


@acl_app.command("apply")
def apply(
    link: Link = "",
    primary: Primary = None,
    sibling: Sibling = None,
    replica: Replica = None,
    bus: Bus = None,
    role: Roles = None,
    portable: Portable = False,
    default_off: Annotated[
        bool, typer.Option("--default-off", help="In the end switch the default user off, if all is well.")
    ] = False,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Make the roles' users on every server that is named, and try them; a second time changes nothing.

    Passwords are settings: HELIOGRAPH_ACL_EXCHANGE and so on, or the table [acl] of a TOML file. Exit code 1 if
    anything failed.
    """
    from heliograph.cli.acl import Wanted
    from heliograph.cli.acl import apply as run

    wanted = Wanted.of(link, primary, sibling, replica, bus, role, settings, portable=portable)
    raise typer.Exit(run(wanted, default_off=default_off, as_json=json))


@acl_app.command("verify")
def verify(
    link: Link = "",
    primary: Primary = None,
    sibling: Sibling = None,
    replica: Replica = None,
    bus: Bus = None,
    role: Roles = None,
    portable: Portable = False,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Hold the users of every server that is named against the roles; exit code 1 if anything is otherwise.

    What each may do is asked of the server, and tried over a connection of each user with commands that change nothing.
    """
    from heliograph.cli.acl import Wanted
    from heliograph.cli.acl import verify as run

    wanted = Wanted.of(link, primary, sibling, replica, bus, role, settings, portable=portable)
    raise typer.Exit(run(wanted, as_json=json))


@acl_app.command("show")
def show(
    link: Link = "",
    primary: Primary = None,
    sibling: Sibling = None,
    replica: Replica = None,
    bus: Bus = None,
    role: Roles = None,
    portable: Portable = False,
    settings: Settings = None,
    json: Json = False,
) -> None:
    """Print the roles' rules; for servers that are named, in their form, and whether they have them so."""
    from heliograph.cli.acl import Wanted
    from heliograph.cli.acl import show as run

    wanted = Wanted.of(link, primary, sibling, replica, bus, role, settings, portable=portable)
    raise typer.Exit(run(wanted, as_json=json))
